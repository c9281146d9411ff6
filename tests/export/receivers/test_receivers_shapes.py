"""What each receiver is sent, and how it is sealed."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import Secret
from agent.errors import RetryableError
from agent.export.receivers import alertmanager, pagerduty, retrain, slack, webhook
from agent.export.receivers.receiver import Credential, Speaker
from tests.export.receivers.people import SPEAKER, STEP, alert
from tests.export.scene import NOW_NS

BOOK = "https://docs.example/runbook"


def test_the_webhook_gets_the_event_as_it_is() -> None:
    """NaN and the infinities as null, numpy's numbers as numbers; who is speaking beside it."""
    found = json.loads(webhook.body(alert(n=np.int64(5), bad=float("nan"), shares=(0.5, np.float32(0.25))), SPEAKER))
    of = found.pop("attributes")
    assert found == {
        "key": "7-0-firing-data_drift-fares", "name": "sidelight.alert.firing", "time": "2023-11-14T22:13:20.000+00:00",
        "severity": "WARN", "body": f"fares version 3: data_drift. {STEP}",
        "source": {"service": "fares-agent", "namespace": "shop", "environment": "prod", "instance": "i-1"},
    }  # fmt: skip
    assert (of["n"], of["bad"], of["shares"]) == (5, None, [0.5, 0.25])


def test_a_signature_is_what_anyone_can_compute(tmp_path: Path) -> None:
    """HMAC-SHA256 of "t.body" over the bytes as they are sent, at that moment, by the file's newest secret."""
    file = tmp_path / "secret"
    file.write_text("one\n")
    seal = webhook.sealed(Credential("X", Secret(""), str(file)))
    for secret in ("one", "two"):
        file.write_text(f"{secret}\n")
        sealed = seal(b'{"a": 1}', 1_700_000_000)
        expected = hmac.new(secret.encode(), b'1700000000.{"a": 1}', hashlib.sha256).hexdigest()
        assert sealed.headers == (("X-Sidelight-Signature", f"t=1700000000,v1={expected}"),)
        assert sealed.body == b'{"a": 1}'


def test_the_documented_vector_is_right() -> None:
    """docs/alerts.md shows one made with openssl."""
    vector = webhook.signature("correct horse battery staple", 1_700_000_000, b'{"name":"sidelight.alert.firing"}')
    assert vector in (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()


def test_without_a_secret_nothing_is_signed() -> None:
    """An unsigned header would look like a signature that fails."""
    assert webhook.sealed(Credential("X", Secret("")))(b"{}", 0).headers == ()


def test_a_secret_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    """The variable is named, the path is not."""
    with pytest.raises(RetryableError, match="SIDELIGHT_WEBHOOK_SECRET_FILE") as raised:
        Credential("SIDELIGHT_WEBHOOK_SECRET", Secret(""), str(tmp_path / "gone")).read()
    assert str(tmp_path) not in str(raised.value)


def test_slack_gets_a_message_people_can_read() -> None:
    """State, severity, model; the sentence; who speaks and a link. Nothing in it is markup or mentions anyone."""
    event = alert(severity="ERROR", body="")
    found = json.loads(slack.body(event, SPEAKER, BOOK))
    head, section, context = found["blocks"]
    assert head["text"]["text"] == "data drift firing (error): fares version 3" == found["text"]
    assert section["text"]["text"] == event.body
    assert [each["text"] for each in context["elements"]] == [
        "service fares-agent, namespace shop, environment prod, instance i-1", f"<{BOOK}#data-drift|Runbook>",
    ]  # fmt: skip
    hostile = json.loads(slack.body(alert(model="<!channel> & <@U1>"), SPEAKER, ""))
    assert "<!" not in hostile["text"] + hostile["blocks"][1]["text"]["text"]
    assert "resolved:" in json.loads(slack.body(alert("resolved"), SPEAKER, ""))["text"]
    bare = json.loads(slack.body(replace(event, body=""), Speaker(), ""))  # Slack refuses a text without a character
    assert all(each["text"] for each in (bare["blocks"][1]["text"], *bare["blocks"][2]["elements"]))


@given(st.text(st.sampled_from("ab<>&é\ud800"), max_size=4_000), st.integers(10, 3_000))
def test_slacks_limits_hold_for_any_text(said: str, limit: int) -> None:
    """Never longer, never an escape cut in two, always sendable."""
    found = slack.escaped(said, limit)
    assert len(found) <= limit
    found.encode()
    bare = found.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not set(bare) & set("<>&")


@pytest.mark.parametrize("make", [
    lambda event: slack.body(event, SPEAKER, BOOK),
    lambda event: pagerduty.body(event, SPEAKER, BOOK),
    lambda event: retrain.body(event, SPEAKER, retrain.TEMPLATES["github"], ""),
])  # fmt: skip
def test_no_message_outgrows_its_receiver(make: Any) -> None:
    """Ten features with names and words as long as may be: Slack's blocks, PagerDuty's 512 kB, GitHub's 64 KiB hold."""
    features = [{"name": "x" * 4_096, "said": "y" * 20_000}] * 10
    more = {"sidelight.alert.features": features, "sidelight.model.version": "v" * 4_096}
    event = alert(model="m" * 4_096, more=more)
    found = make(type(event)(event.name, event.key, event.time_ns, "WARN", "z" * 90_000, event.attributes))
    assert len(found) < 60_000
    blocks = json.loads(found).get("blocks", [])
    assert [len(b["text"]["text"]) <= most for b, most in zip(blocks, (150, 3_000), strict=False)] in ([], [True, True])


def test_pagerduty_opens_and_closes_one_incident() -> None:
    """The same dedup_key from beginning to end, another for another model, alert or agent; severities in its words."""
    opened, grown, closed = (json.loads(pagerduty.body(alert(s), SPEAKER, BOOK)) for s in
                             ("firing", "updated", "resolved"))  # fmt: skip
    assert [each["event_action"] for each in (opened, grown, closed)] == ["trigger", "trigger", "resolve"]
    assert opened["dedup_key"] == grown["dedup_key"] == closed["dedup_key"]
    assert len(opened["dedup_key"]) <= 255
    others = [alert(model="rides"), alert(name="latency"), alert(more={"sidelight.model.version": "4"})]
    keys = {json.loads(pagerduty.body(each, SPEAKER, ""))["dedup_key"] for each in others}
    keys.add(json.loads(pagerduty.body(alert(), Speaker("fares-agent", "shop", "prod", "i-2"), ""))["dedup_key"])
    assert len(keys | {opened["dedup_key"]}) == 5
    payload = opened["payload"]
    assert (payload["severity"], payload["source"], payload["class"]) == ("warning", "i-1", "data_drift")
    assert payload["timestamp"] == "2023-11-14T22:13:20.000Z"
    assert payload["custom_details"]["features"] == ["age: moved up", "fare: "]
    assert opened["links"] == [{"href": f"{BOOK}#data-drift", "text": "Runbook"}]


def test_pagerdutys_key_is_added_on_the_way_out() -> None:
    """It is in the request, not in what is spooled."""
    spooled = pagerduty.body(alert(), SPEAKER, "")
    sealed = pagerduty.sealed(Credential("X", Secret('k"1')))(spooled, 0)
    assert json.loads(sealed.body) == {"routing_key": 'k"1', **json.loads(spooled)}
    assert sealed.secret == 'k"1'


def test_every_template_asks_in_its_receivers_words() -> None:
    """The same cause, as Airflow, Argo, Kubeflow and GitHub want to be asked."""
    said = retrain.cause(alert(), SPEAKER)
    assert (said["alert"], said["model"], said["version"]) == ("data_drift", "fares", "3")
    assert said["features"] == ["age", "fare"]
    assert len(said) <= 10

    def asked(name: str, pipeline: str = "") -> Any:
        return json.loads(retrain.body(alert(), SPEAKER, retrain.TEMPLATES[name], pipeline))

    assert asked("webhook") == asked("argo") == said
    assert asked("airflow") == {"dag_run_id": f"sidelight-{said['key']}", "logical_date": None, "conf": said}
    assert asked("github") == {"event_type": "sidelight-retrain", "client_payload": said}
    kubeflow = asked("kubeflow", "p-1/v-2")
    assert kubeflow["pipeline_version_reference"] == {"pipeline_id": "p-1", "pipeline_version_id": "v-2"}
    assert kubeflow["runtime_config"] == {"parameters": {"sidelight": said}}
    assert asked("kubeflow", "p-1")["pipeline_version_reference"] == {"pipeline_id": "p-1"}


def test_the_same_trigger_twice_has_the_same_key() -> None:
    """So a request that is sent again starts nothing twice where runs have ids; another agent's is another."""
    asked = ((alert(), SPEAKER), (alert(), SPEAKER), (alert(), Speaker("other")), (alert(key="8-0"), SPEAKER))
    keys = [retrain.cause(event, who)["key"] for event, who in asked]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_alertmanagers_labels_are_the_alert_not_its_findings() -> None:
    """Stable while it fires: another feature, another sentence, the same labels. What is empty is left out."""
    of = alertmanager.labels(alert(), SPEAKER)
    grown = alert("updated", key="9-0", more={"sidelight.alert.features": [{"name": "speed"}]})
    assert of == alertmanager.labels(grown, SPEAKER)
    assert dict(of) == {
        "alertname": "SidelightDataDrift", "severity": "warning", "service": "fares-agent", "namespace": "shop",
        "environment": "prod", "instance": "i-1", "model": "fares", "version": "3",
    }  # fmt: skip
    notes = alertmanager.notes(alert(), BOOK)
    assert notes == {
        "summary": "data drift: fares version 3", "description": f"fares version 3: data_drift. {STEP}",
        "features": "age, fare", "segments": "region=north", "next_step": STEP, "runbook_url": f"{BOOK}#data-drift",
    }  # fmt: skip
    said = alertmanager.alert(of, notes, NOW_NS, NOW_NS + 240 * 10**9)
    assert (said["startsAt"], said["endsAt"]) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:17:20.000Z")
