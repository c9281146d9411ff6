"""A real agent that ends, by SIGTERM or SIGKILL, while its backend is away: the next life delivers what it left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import stream
from tests.end_to_end.backends import KINDS, attributes, metrics, records, serving, spans
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import ROWS, WELL, kept, replay, sending
from tests.export.backend import Backend, Say
from tests.integration.story import SPANS, traced

AWAY = {"grpc": Say("UNAVAILABLE"), "http/protobuf": Say(503)}
LIVES = ((range(6), range(3)), (range(6, 12), range(3, 6)))
"""Windows and traces of each life."""


def _points(backend: Backend) -> Counter[Any]:
    """How often each point came: metric, attributes, time."""
    return Counter(
        (metric.name, tuple(sorted(map(str, attributes(point.attributes).items()))), point.time_unix_nano)
        for _, metric in metrics(backend) for point in getattr(metric, metric.WhichOneof("data")).data_points
    )  # fmt: skip


def _live(agent: AgentProcess, windows: range, traces: range) -> None:
    """Sends the windows and the traces of a life; returns when all that they cause lies in the spool."""
    replay(agent, [(index, WELL) for index in windows])
    with sending(agent) as send:
        assert send(traced(traces, windows[-1])).accepted == len(traces)

    def spooled(status: dict[str, Any]) -> bool:
        waits = {signal: book["queued"] for signal, book in status["export"]["signals"].items()}
        return bool(waits["traces"] == SPANS * traces.stop and waits["logs"] >= windows[-1] and waits["metrics"])

    agent.wait_for(spooled)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_an_ended_agent_could_not_deliver_its_next_life_does(tmp_path: Path, kind: str, end: str) -> None:
    """Every point, span and event of both lives arrives once, nothing is dropped, and the counters are right."""
    stream.reference(tmp_path / "loan.sidelight")
    with serving(kind) as (backend, url):
        backend.always = AWAY[kind]
        agent = AgentProcess(
            tmp_path, SIDELIGHT_REFERENCE=str(tmp_path / "loan.sidelight"), SIDELIGHT_TIME="event",
            SIDELIGHT_CHECKPOINT_SECONDS="0.3", OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL=kind,
            OTEL_METRIC_EXPORT_INTERVAL="1000",
        )  # fmt: skip
        with agent:
            _live(agent, *LIVES[0])
            if end == "SIGTERM":
                assert agent.stop() == 0
            else:
                agent.kill()
            assert not backend.taken
            agent.start()
            _live(agent, *LIVES[1])
            backend.always = Say()
            status = agent.wait_for(lambda s: not any(each["queued"] for each in s["export"]["signals"].values()), 90.0)
            assert agent.stop() == 0
    everything = kept(status)
    assert everything == sum(ROWS * len(windows) + len(traces) for windows, traces in LIVES)
    for book in status["export"]["signals"].values():
        assert (book["produced"], book["rejected"], book["dropped"]) == (book["delivered"], 0, 0)
    points = _points(backend)
    assert set(points.values()) == {1}
    counted = [
        (point.time_unix_nano, point.as_int) for _, metric in metrics(backend) if metric.name == "sidelight.predictions"
        for point in metric.sum.data_points
    ]  # fmt: skip
    assert counted == sorted(counted)
    assert counted[-1][1] == everything
    found = Counter(span.span_id for span in spans(backend))
    assert (len(found), set(found.values())) == (SPANS * LIVES[-1][1].stop, {1})
    closed = Counter(
        attributes(record.attributes)["sidelight.event.key"] for record in records(backend)
        if record.event_name == "sidelight.window.closed"
    )  # fmt: skip
    assert (len(closed), set(closed.values())) == (LIVES[-1][0].stop - 1, {1})
