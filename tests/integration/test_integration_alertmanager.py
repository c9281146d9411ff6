"""An agent and two Alertmanagers, of which one loses its memory: the alert, its resolution, and who was told."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import stream
from tests.end_to_end.backends import serving
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import replay
from tests.export.backend import Backend
from tests.integration.alertmanager import Alertmanager
from tests.integration.servers import get, post, until
from tests.integration.story import OPTIONS, PARTS

pytestmark = pytest.mark.integration

DRIFT = "SidelightDataDrift"


def posted(hook: Backend) -> list[tuple[str, str, str]]:
    """What Alertmanager told its own receiver of the drift: (status, fingerprint, end), in order."""
    bodies: list[Any] = [json.loads(got.body) for got in list(hook.taken)]
    return [
        (each["status"], each["fingerprint"], each["endsAt"]) for body in bodies for each in body["alerts"]
        if each["labels"]["alertname"] == DRIFT
    ]  # fmt: skip


def drifts(manager: Alertmanager) -> list[dict[str, Any]]:
    """Alerts of drift that fire there; what follows from drift (a retraining that is due) is an alert of its own."""
    return [each for each in manager.alerts() if each["labels"]["alertname"] == DRIFT]


def silenced(manager: Alertmanager, alert: dict[str, Any]) -> None:
    """A silence by model holds it, however often the agent says it again, until it is lifted."""
    def state() -> str:
        (found,) = drifts(manager)
        return str(found["status"]["state"])

    now = datetime.now(UTC)
    matcher = {"name": "model", "value": alert["labels"]["model"], "isRegex": False, "isEqual": True}
    post(f"{manager.url}/api/v2/silences", {
        "matchers": [matcher], "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "test", "comment": "maintenance",
    })  # fmt: skip
    until(lambda: state() == "suppressed")
    (held,) = [each for each in get(f"{manager.url}/api/v2/silences") if each["status"]["state"] == "active"]
    lifted = urllib.request.Request(f"{manager.url}/api/v2/silence/{held['id']}", method="DELETE")
    with urllib.request.urlopen(lifted, timeout=30):
        until(lambda: state() == "active")


def inhibited(manager: Alertmanager, alert: dict[str, Any]) -> None:
    """Drift is held back while the same series' pipeline is broken, by the rule of docs/alerts.md."""
    def cause() -> list[str]:
        (found,) = drifts(manager)
        return list(found["status"]["inhibitedBy"])

    broken = {"labels": alert["labels"] | {"alertname": "SidelightBrokenPipeline"}}
    post(f"{manager.url}/api/v2/alerts", [broken])
    until(cause)
    post(f"{manager.url}/api/v2/alerts", [broken | {"endsAt": datetime.now(UTC).isoformat()}])
    until(lambda: not cause())


def test_an_alert_and_its_resolution_are_in_both_alertmanagers(tmp_path: Path) -> None:
    """Both have it once while it fires, the one that was away too; then neither; their receivers heard of its end."""
    stream.reference(tmp_path / "loan.sidelight")
    with serving("http/protobuf") as (first_hook, first_url), serving("http/protobuf") as (second_hook, second_url):
        first, second = Alertmanager(tmp_path / "one", first_url), Alertmanager(tmp_path / "two", second_url)
        options = OPTIONS | {
            "SIDELIGHT_REFERENCE": str(tmp_path / "loan.sidelight"), "SIDELIGHT_ALERTMANAGER_SECONDS": "1",
            "SIDELIGHT_ALERTMANAGER_URLS": f"{first.url},{second.url}",
        }  # fmt: skip
        with first, second, AgentProcess(tmp_path, **options) as agent:
            replay(agent, PARTS[0][0])
            (alert,) = until(lambda: drifts(first))
            until(lambda: drifts(second))
            second.stop()
            second.start()
            (again,) = until(lambda: drifts(second))
            assert again["labels"] == alert["labels"]
            assert again["fingerprint"] == alert["fingerprint"]
            until(lambda: posted(first_hook) and posted(second_hook))
            silenced(second, alert)
            inhibited(second, alert)
            replay(agent, PARTS[1][0])
            until(lambda: not drifts(first) and not drifts(second))
            until(lambda: {posted(hook)[-1][0] for hook in (first_hook, second_hook)} == {"resolved"})
            assert agent.stop() == 0
    assert alert["labels"].items() >= {"alertname": DRIFT, "model": "loan", "version": "3"}.items()
    assert alert["annotations"]["features"].split(", ")[0] == "x0"
    assert alert["status"]["state"] == "active"
    assert [status for status, _, _ in posted(first_hook)] == ["firing", "resolved"]
    assert {fingerprint for _, fingerprint, _ in posted(first_hook) + posted(second_hook)} == {alert["fingerprint"]}
