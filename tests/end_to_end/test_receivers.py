"""Alerts of a real agent at the doors of those who are told: over a kill, past one that hangs, over a restart."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.backends import serving, until
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import WELL, drift, references, replay
from tests.export.backend import Backend, Say

SECRET = "correct horse battery staple"
NAMES = ("am_0", "am_1", "hook", "slack", "pager", "retrain")
QUIET = [(index, WELL) for index in range(30)]
FAULT = [(index, drift(x0=2.0)) for index in range(30, 33)]
AFTER = [(index, WELL) for index in range(33, 40)]


@pytest.fixture(scope="module")
def doors() -> Iterator[dict[str, tuple[Backend, str]]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving("http/protobuf")) for name in NAMES}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, doors: dict[str, tuple[Backend, str]]) -> dict[str, Any]:
    """Two models drift while one Alertmanager hangs; the agent is killed, comes back, and the drift ends."""
    folder: Path = tmp_path_factory.mktemp("receivers")
    url = {name: door[1] for name, door in doors.items()}
    (folder / "token").write_text("t0\n")
    doors["am_1"][0].says("webhook", Say(hang=True))
    options = {
        "SIDELIGHT_REFERENCE": str(references(folder, "loan", "card")), "SIDELIGHT_TIME": "event",
        "SIDELIGHT_ALERTMANAGER_URLS": f"{url['am_0']},{url['am_1']}", "SIDELIGHT_ALERTMANAGER_SECONDS": "1",
        "SIDELIGHT_WEBHOOK_URL": f"{url['hook']}/hunter2", "SIDELIGHT_WEBHOOK_SECRET": SECRET,
        "SIDELIGHT_SLACK_URL": f"{url['slack']}/hunter2", "SIDELIGHT_PAGERDUTY_KEY": "hunter2",
        "SIDELIGHT_PAGERDUTY_URL": url["pager"], "SIDELIGHT_RETRAIN_TEMPLATE": "github",
        "SIDELIGHT_RETRAIN_URL": f"{url['retrain']}/repos/o/r/dispatches",
        "SIDELIGHT_RETRAIN_TOKEN_FILE": str(folder / "token"),
    }  # fmt: skip
    with AgentProcess(folder, **options) as agent:
        for model in ("loan", "card"):
            replay(agent, [*QUIET, *FAULT], model)
        until(lambda: all(len(doors[name][0].taken) >= 2 for name in ("hook", "slack", "pager", "retrain")))
        until(lambda: doors["am_0"][0].taken)
        agent.wait_for(_answered)  # what was taken and not answered yet comes again after a kill, under the same key
        agent.kill()
        killed = len(doors["am_0"][0].taken)
        agent.start()
        until(lambda: len(doors["am_0"][0].taken) > killed)
        again = len(doors["am_0"][0].taken)
        replay(agent, [*AFTER, *((index, drift(x0=2.0)) for index in range(40, 43))], "loan")
        until(lambda: len(doors["hook"][0].taken) >= 4)
        status = agent.wait_for(lambda s: s["export"]["signals"]["retrain"]["withheld"])
        replay(agent, [(index, WELL) for index in range(43, 50)], "loan")
        until(lambda: len(doors["hook"][0].taken) >= 5)
        until(lambda: _models(doors["am_0"][0].taken[-1]) == {"card"})
        assert agent.stop() == 0
        return {"status": status, "log": agent.log.read_text(), "again": again, "killed": killed}


def _answered(status: dict[str, Any]) -> bool:
    told = (status["export"]["signals"][name] for name in ("webhook", "slack", "pagerduty", "retrain"))
    return all(books["delivered"] >= 2 and books["queued"] == 0 for books in told)


def _posted(door: tuple[Backend, str]) -> list[Any]:
    return [json.loads(got.body) for got in door[0].taken]


def _models(got: Any) -> set[str]:
    return {entry["labels"]["model"] for entry in json.loads(got.body)}


def test_every_event_comes_once_to_everyone(scene: dict[str, Any], doors: dict[str, tuple[Backend, str]]) -> None:
    """Over a kill: no event twice, none missing, in order for each model; all three receivers tell the same story."""
    said = _posted(doors["hook"])
    assert len({each["key"] for each in said}) == len(said)
    states = [each["name"].rpartition(".")[2] for each in said
              if each["attributes"]["sidelight.model.name"] == "loan"]  # fmt: skip
    assert states == ["firing", "resolved", "firing", "resolved"]
    assert [each["event_action"] for each in _posted(doors["pager"])] == [
        "resolve" if each["name"].endswith(".resolved") else "trigger" for each in said
    ]
    assert len({each["dedup_key"] for each in _posted(doors["pager"])}) == 2
    assert [each["blocks"][1]["text"]["text"] for each in _posted(doors["slack"])] == [
        each["body"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for each in said
    ]


def test_the_webhooks_signature_can_be_verified(scene: dict[str, Any], doors: dict[str, tuple[Backend, str]]) -> None:
    """By the receiver's own reckoning, over the bytes as they came."""
    for got in doors["hook"][0].taken:
        parts = dict(part.split("=", 1) for part in got.headers["x-sidelight-signature"].split(","))
        expected = hmac.new(SECRET.encode(), parts["t"].encode() + b"." + got.body, hashlib.sha256).hexdigest()
        assert parts["v1"] == expected


def test_alertmanager_is_told_until_the_end(scene: dict[str, Any], doors: dict[str, tuple[Backend, str]]) -> None:
    """Both models, again after the kill with the same labels; the end of one; the replica that hung holds up none."""
    told = doors["am_0"][0].taken
    assert scene["again"] > scene["killed"] > 0
    labels = {json.dumps(entry["labels"], sort_keys=True) for got in told for entry in json.loads(got.body)}
    assert {(json.loads(each)["model"], json.loads(each)["alertname"]) for each in labels} == {
        ("loan", "SidelightDataDrift"), ("card", "SidelightDataDrift"),
    }  # fmt: skip
    assert _models(told[scene["again"] - 1]) == {"loan", "card"}
    ends = {entry["labels"]["model"]: entry["endsAt"] for got in told for entry in json.loads(got.body)}
    assert ends["loan"] < ends["card"]
    assert _models(told[-1]) == {"card"}


def test_retraining_is_asked_for_once_a_cause(scene: dict[str, Any], doors: dict[str, tuple[Backend, str]]) -> None:
    """Each model once; its second drift, after the kill, falls into the cool-down and is counted."""
    asked = _posted(doors["retrain"])
    assert sorted(each["client_payload"]["model"] for each in asked) == ["card", "loan"]
    assert {got.headers["authorization"] for got in doors["retrain"][0].taken} == {"Bearer t0"}
    books = scene["status"]["export"]["signals"]["retrain"]
    assert (books["withheld"], books["dropped"]) == (1, 0)


def test_no_secret_is_shown(scene: dict[str, Any], doors: dict[str, tuple[Backend, str]]) -> None:
    """Neither the status nor the log has one; both say where alerts go."""
    shown = json.dumps(scene["status"]) + scene["log"]
    assert not [secret for secret in ("hunter2", SECRET, "t0\n") if secret in shown]
    assert f"signal=slack endpoint={doors['slack'][1]}/…" in scene["log"]
