"""An agent that sends straight to Prometheus (OTLP/HTTP) and Jaeger (OTLP/gRPC), both away for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end import stream
from tests.end_to_end.harness import AgentProcess
from tests.integration.jaeger import Jaeger
from tests.integration.prometheus import Prometheus
from tests.integration.servers import until
from tests.integration.story import OPTIONS, OWN, SPANS, TRACES, books, play, trace_id

pytestmark = pytest.mark.integration


def test_backends_that_come_back_have_everything_once(tmp_path: Path) -> None:
    """Both stop and start again: every export of the outage is in Prometheus at its own time, every trace in Jaeger."""
    stream.reference(tmp_path / "loan.sidelight")
    prometheus, jaeger = Prometheus(tmp_path), Jaeger(tmp_path)
    options = OPTIONS | {
        "SIDELIGHT_REFERENCE": str(tmp_path / "loan.sidelight"), "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{prometheus.endpoint}/v1/metrics",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": jaeger.endpoint, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
    }  # fmt: skip
    with prometheus, jaeger, AgentProcess(tmp_path, **options) as agent:
        play(agent, 0)
        until(lambda: prometheus.value(f"sidelight_predictions_total{{{OWN}}}"))
        until(lambda: jaeger.trace(trace_id(0)))
        prometheus.stop()
        jaeger.stop()
        play(agent, 1)
        before = agent.status()["export"]["signals"]["metrics"]["produced"]
        agent.wait_for(lambda s: s["export"]["signals"]["metrics"]["produced"] >= 2 * before)
        agent.wait_for(lambda s: all(s["export"]["signals"][of]["last_error"] for of in ("metrics", "traces")))
        prometheus.start()
        jaeger.start()
        play(agent, 2)
        settled, held = books(agent, prometheus)
        assert agent.stop() == 0
        for signal in ("metrics", "traces"):
            book = settled[signal]
            assert book["produced"] == book["delivered"] > 0
            assert (book["rejected"], book["dropped"]) == (0, 0)
        assert sum(len(each.samples) for each in held) == settled["metrics"]["delivered"]
        assert settled["traces"]["delivered"] == SPANS * TRACES
        for number in range(TRACES):
            spans = jaeger.trace(trace_id(number))
            assert len(spans) == len({span["spanID"] for span in spans}) == SPANS
