"""Alerts on their way to real sockets: each receiver in a lane of its own, retried within bounds, counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config import Otel
from agent.export.receivers.transport import ATTEMPTS_MAX
from agent.telemetry import EXPORT_WITHHELD, Point
from tests.export.backend import Say
from tests.export.receivers.people import alert, listening, options
from tests.export.scene import event, scene

DAY = 86_400.0


async def test_alerts_are_posted_and_other_events_are_not(tmp_path: Path) -> None:
    """Signed, as JSON, retried after 503 by the policy; the URL's query travels, its token is not shown."""
    async with listening() as (backend, url):
        backend.says("webhook", Say(503))
        settings = options(webhook_url=f"{url}/hook/token?x=1", webhook_secret="s")
        async with scene(tmp_path, Otel(), settings) as s:
            assert not s.exporter.wants("logs")
            await s.put(s.exporter.rows_for_events([alert(), event("other")]))
            found = await s.until_settled("webhook", 1)
            assert (found.delivered, s.pauses) == (1, [0.5])
            assert "token" not in found.endpoint
            await s.assert_law()
    assert [got.path for got in backend.got] == ["/hook/token?x=1"] * 2
    assert json.loads(backend.taken[0].body)["key"] == alert().key
    assert backend.taken[0].headers["content-type"] == "application/json"
    assert backend.taken[0].headers["x-sidelight-signature"].startswith("t=1700000000,v1=")


async def test_an_alert_is_posted_once_per_key(tmp_path: Path) -> None:
    """The same event stored twice, as a replay does, leaves once."""
    async with listening() as (backend, url), scene(tmp_path, Otel(), options(webhook_url=url)) as s:
        for _ in range(2):
            await s.put(s.exporter.rows_for_events([alert()]))
        await s.until_settled("webhook", 1)
    assert len(backend.got) == 1


async def test_a_hanging_receiver_delays_no_other(tmp_path: Path) -> None:
    """Slack does not answer; PagerDuty has it all the same."""
    async with listening() as (slack, slack_url), listening() as (pager, pager_url):
        slack.says("webhook", Say(hang=True))
        settings = options(slack_url=slack_url, pagerduty_key="R1", pagerduty_url=f"{pager_url}/v2/enqueue")
        async with scene(tmp_path, Otel(), settings) as s:
            await s.put(s.exporter.rows_for_events([alert(), alert("resolved", key="8-0")]))
            await s.until_settled("pagerduty", 2)
            assert s.of("slack").queued == 2
    sent = [json.loads(got.body) for got in pager.taken]
    assert [each["event_action"] for each in sent] == ["trigger", "resolve"]
    assert {each["routing_key"] for each in sent} == {"R1"}


async def test_a_body_the_receiver_fails_on_is_given_up(tmp_path: Path) -> None:
    """HTTP 500 so many times for one alert: it is rejected and counted, and the next one gets its turn."""
    async with listening() as (backend, url), scene(tmp_path, Otel(), options(slack_url=url)) as s:
        backend.says("webhook", *[Say(500, "oops")] * ATTEMPTS_MAX)
        await s.put(s.exporter.rows_for_events([alert(), alert("resolved", key="8-0")]))
        found = await s.until_settled("slack", 2)
        assert (found.rejected, found.delivered, len(s.pauses)) == (1, 1, ATTEMPTS_MAX - 1)
        await s.assert_law()
    assert len(backend.got) == ATTEMPTS_MAX + 1


async def test_a_receiver_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """502, 503, 504 and 429 more often than a failing body may: nothing is given up."""
    async with listening() as (backend, url), scene(tmp_path, Otel(), options(slack_url=url)) as s:
        backend.says("webhook", *[Say(code) for code in (502, 503, 504)] * 3, Say(429, retry_delay=7))
        await s.put(s.exporter.rows_for_events([alert()]))
        found = await s.until_settled("slack", 1)
        assert (found.delivered, found.rejected, len(s.pauses)) == (1, 0, 10)
        assert s.pauses[-1] >= 7


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 413])
async def test_a_refusal_is_counted_and_not_repeated(tmp_path: Path, code: int) -> None:
    """Whoever says no is not asked again."""
    async with listening() as (backend, url), scene(tmp_path, Otel(), options(slack_url=url)) as s:
        backend.says("webhook", Say(code))
        await s.put(s.exporter.rows_for_events([alert()]))
        found = await s.until_settled("slack", 1)
        assert (found.rejected, found.last_error[:8]) == (1, f"HTTP {code}")
    assert len(backend.got) == 1


async def test_a_refusal_that_repeats_the_key_is_not_shown(tmp_path: Path) -> None:
    """Receivers echo what they were sent; neither the status nor the log gets to see a secret by that."""
    async with listening() as (backend, url):
        backend.says("webhook", Say(400, "bad key hunter2"))
        settings = options(pagerduty_key="hunter2", pagerduty_url=url)
        async with scene(tmp_path, Otel(), settings) as s:
            await s.put(s.exporter.rows_for_events([alert()]))
            found = await s.until_settled("pagerduty", 1)
    assert "bad key (hidden)" in found.last_error


async def test_a_token_that_no_header_can_carry_is_not_shown(tmp_path: Path) -> None:
    """A file may hold anything: the trigger waits for a better one, and nobody quotes this one."""
    file = tmp_path / "token"
    file.write_text("hunter\n2")
    async with listening() as (backend, url):
        settings = options(retrain_url=url, retrain_token_file=str(file))
        async with scene(tmp_path, Otel(), settings) as s:
            await s.put(s.exporter.rows_for_events([alert()]))
            await s.until(lambda: bool(s.of("retrain").last_error))
            assert "hunter" not in s.of("retrain").last_error
            file.write_text("hunter2")
            assert (await s.until_settled("retrain", 1)).delivered == 1
    assert backend.got[0].headers["authorization"] == "Bearer hunter2"


async def test_secrets_do_not_lie_in_the_spool(tmp_path: Path) -> None:
    """Keys and tokens are added on the way out: the state folder holds none."""
    settings = options(
        pagerduty_key="hunter2", pagerduty_url="http://127.0.0.1:9", webhook_url="http://127.0.0.1:9/hunter2",
        webhook_secret="hunter2", retrain_url="http://127.0.0.1:9/hunter2", retrain_token="hunter2",
    )  # fmt: skip
    async with scene(tmp_path, Otel(), settings, run=False) as s:
        rows = s.exporter.rows_for_events([alert()])
        assert {row.signal for row in rows} == {"webhook", "pagerduty", "retrain"}
        assert not [row for row in rows if b"hunter2" in row.payload]


async def test_a_cause_is_triggered_for_once(tmp_path: Path) -> None:
    """Two versions, a second feature, another window: one request; the rest is withheld and counted as cooling down.
    A broken pipeline, slowness and an end ask for nothing, and count for nothing."""
    async with listening() as (backend, url):
        settings = options(retrain_url=f"{url}/hook", retrain_token="t0", retrain_cooldown_seconds=DAY)
        async with scene(tmp_path, Otel(), settings) as s:
            for said in (
                alert(name="broken_pipeline"), alert(), alert(key="7-1", more={"sidelight.model.version": "4"}),
                alert("updated", key="8-0"), alert(name="latency"), alert("resolved", key="9-0"), alert(model="rides"),
            ):  # fmt: skip
                await s.put(s.exporter.rows_for_events([said]))
            found = await s.until_settled("retrain", 2)
            assert (found.delivered, dict(found.dropped), dict(found.withheld)) == (2, {}, {"cooldown": 1})
            of = {"sidelight.signal": "retrain", "sidelight.reason": "cooldown"}
            assert Point(EXPORT_WITHHELD, 1, of) in s.exporter.points()
            await s.assert_law()
    assert [json.loads(got.body)["model"] for got in backend.taken] == ["fares", "rides"]
    assert {got.headers["authorization"] for got in backend.taken} == {"Bearer t0"}


async def test_the_cooldown_survives_a_restart(tmp_path: Path) -> None:
    """It lies in the store with the row that began it; a day later the next cause is heard again."""
    async with listening() as (backend, url):
        settings = options(retrain_url=url, retrain_cooldown_seconds=DAY)
        async with scene(tmp_path, Otel(), settings) as s:
            await s.put(s.exporter.rows_for_events([alert()]))
            await s.until_settled("retrain", 1)
        async with scene(tmp_path, Otel(), settings) as s:
            await s.exporter.open()
            assert s.exporter.rows_for_events([alert(key="8-0")]) == []
            assert dict(s.of("retrain").withheld) == {"cooldown": 1}
            s.clock.turn(DAY)
            await s.put(s.exporter.rows_for_events([alert(key="9-0")]))
            await s.until_settled("retrain", 1)
    assert len(backend.got) == 2


async def test_a_trigger_that_was_heard_before_is_no_failure(tmp_path: Path) -> None:
    """Airflow answers 409 when the run is there already: the answer was lost, the trigger was not."""
    async with listening() as (backend, url):
        backend.says("webhook", Say(409))
        settings = options(retrain_url=f"{url}/api/v2/dags/fares/dagRuns", retrain_template="airflow")
        async with scene(tmp_path, Otel(), settings) as s:
            await s.put(s.exporter.rows_for_events([alert()]))
            found = await s.until_settled("retrain", 1)
            assert (found.delivered, found.rejected) == (1, 0)
