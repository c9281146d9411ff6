"""What the integration tests send: a model's windows with a drift in them, and predictions inside callers' traces."""

from __future__ import annotations

from typing import Any

from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import FIRST, MS, WELL, WINDOW_NS, Fault, drift, replay, sending, window
from tests.integration.prometheus import Prometheus, Series
from tests.integration.servers import until

WELL_WINDOWS: list[tuple[int, Fault]] = [(index, WELL) for index in range(20)]
DRIFTED = [(index, drift(x0=2.0)) for index in range(20, 25)]
AFTER = [(index, WELL) for index in range(25, 30)]
PARTS = ((WELL_WINDOWS + DRIFTED, range(2)), (AFTER[:3], range(2, 4)), (AFTER[3:], range(4, 6)))
"""Windows of what is sent before, while and after a backend is away; and traces of its last window."""
TRACES = sum(len(traces) for _, traces in PARTS)
LATENCY_SECONDS, STAGES = 0.010, (("queue", 0.0, 0.002), ("inference", 0.002, 0.006))
SPANS = 1 + len(STAGES)  # of a prediction
SERVICE = "loan-model"
OWN = f'job="{SERVICE}"'
OPTIONS = {
    "SIDELIGHT_TIME": "event",
    "SIDELIGHT_COLLECTORS": "cpu,memory,process",
    "SIDELIGHT_COLLECT_SECONDS": "1",
    "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    "OTEL_SERVICE_NAME": SERVICE,
}


def trace_id(number: int) -> str:
    return f"4bf92f3577b34da6{number:016x}"


def parent_id(number: int) -> str:
    return f"b7ad6b71{number:08x}"


def traced(numbers: range, index: int) -> wire.RecordRequest:
    """A prediction of window `index` in each of these traces, under the caller's span."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = "loan", "3"
    for number in numbers:
        row = request.rows.rows.add(
            prediction_id=f"traced-{number}",
            time_unix_nano=start_ns(index),
            latency_seconds=LATENCY_SECONDS,
            traceparent=f"00-{trace_id(number)}-{parent_id(number)}-01",
        )
        for k in range(3):
            row.numbers[f"x{k}"] = 0.0
        row.texts["city"] = "rome"
        row.outputs.add(label="yes").scores[""] = 0.5
        for name, offset, duration in STAGES:
            row.stages.add(name=name, offset_seconds=offset, duration_seconds=duration)
    return request


def start_ns(index: int) -> int:
    return (FIRST + index) * WINDOW_NS + MS


def play(agent: AgentProcess, part: int) -> None:
    """Sends the windows of a part, and traced predictions into the last of them."""
    windows, traces = PARTS[part]
    replay(agent, windows)
    with sending(agent) as send:
        assert send(traced(traces, windows[-1][0])).accepted == len(traces)
    agent.wait_for(lambda s: s["export"]["signals"]["traces"]["produced"] >= SPANS * traces.stop)


def latencies(windows: list[tuple[int, Fault]]) -> list[float]:
    """Seconds of every prediction of these windows, the traced ones not among them."""
    return [value for index, fault in windows for value in window(index, fault).columns.latency_seconds]


def books(agent: AgentProcess, prometheus: Prometheus) -> tuple[dict[str, Any], list[Series]]:
    """The export's books by signal at a moment when nothing waits, and what Prometheus held of the agent just then."""
    while True:
        before = until(lambda: _settled(agent), 120.0)
        held = prometheus.series(f"{{{OWN}}}")
        if _settled(agent) == before:
            return before, [each for each in held if each.labels["__name__"] != "target_info"]


def _settled(agent: AgentProcess) -> dict[str, Any] | None:
    signals: dict[str, Any] = agent.status()["export"]["signals"]
    return None if any(signal["queued"] for signal in signals.values()) else signals
