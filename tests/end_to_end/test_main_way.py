"""The whole way of the data: records in over gRPC, metrics, events and spans out, over either protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from agent.telemetry import CATALOGUE, Shape
from agent.wire import recorder_pb2 as wire
from tests.end_to_end import stream
from tests.end_to_end.backends import alerts, attributes, metrics, records, serving, spans, until
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import (
    FIRST,
    MS,
    ROWS,
    WELL,
    WINDOW_NS,
    Fault,
    drift,
    kept,
    model_of,
    replay,
    said,
    sending,
    window,
)
from tests.export.backend import Backend

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = (("queue", 0.0, 0.002), ("preprocessing", 0.002, 0.003), ("inference", 0.005, 0.004))
WINDOWS: list[tuple[int, Fault]] = [
    *((index, WELL) for index in range(20)),
    *((index, drift(x0=2.0)) for index in range(20, 22)),
    *((index, drift(x0=2.0, x1=2.0)) for index in range(22, 25)),
    *((index, WELL) for index in range(25, 32)),
    *((index, Fault(broken=True)) for index in range(32, 34)),
    *((index, WELL) for index in range(34, 38)),
]
LAST = WINDOWS[-1][0]
DATA = {Shape.COUNTER: "sum", Shape.GAUGE: "gauge", Shape.HISTOGRAM: "exponential_histogram"}


@dataclass(frozen=True)
class Scene:
    """A story played to its end, and what the backend got of it. sent: records; status: the agent's last."""

    backend: Backend
    status: dict[str, Any]
    sent: int
    latency_sum: float
    exit_code: int


def traced() -> wire.RecordRequest:
    """Four rows of the last window: sampled, not sampled, without a trace, and with a traceparent that is none."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = stream.MODEL.name, stream.MODEL.version
    for i, parent in enumerate((f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00", "", "00-nonsense-01")):
        row = request.rows.rows.add(
            prediction_id=f"traced-{i}",
            time_unix_nano=(FIRST + LAST) * WINDOW_NS + i * MS,
            latency_seconds=0.010,
            traceparent=parent,
        )
        for k in range(3):
            row.numbers[f"x{k}"] = 0.0
        row.texts["city"] = "rome"
        row.outputs.add(label="yes").scores[""] = 0.5
        for name, offset, duration in STAGES:
            row.stages.add(name=name, offset_seconds=offset, duration_seconds=duration)
    return request


@pytest.fixture(scope="module", params=["grpc", "http/protobuf"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("way")
    stream.reference(folder / "loan.sidelight")
    with serving(request.param) as (backend, url):
        options = {
            "SIDELIGHT_REFERENCE": str(folder / "loan.sidelight"),
            "SIDELIGHT_TIME": "event",
            "SIDELIGHT_CHECKPOINT_SECONDS": "0.2",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_RESOURCE_ATTRIBUTES": "team=fraud,k8s.pod.name=loan-7",
            "OTEL_SERVICE_NAME": "loan-model",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=abc",
        }
        with AgentProcess(folder, **options) as agent:
            replay(agent, WINDOWS)
            with sending(agent) as send:
                assert send(traced()).accepted == 4
            until(lambda: spans(backend) and len({m.name for _, m in metrics(backend)} & {"sidelight.windows"}))
            before = sum(got.signal == "metrics" for got in list(backend.taken))
            until(lambda: sum(got.signal == "metrics" for got in list(backend.taken)) > before)
            status = agent.status()
            code = agent.stop()
        latencies = sum(sum(window(i, fault).columns.latency_seconds) for i, fault in WINDOWS) + 4 * 0.010
        yield Scene(backend, status, ROWS * len(WINDOWS) + 4, latencies, code)


def points(scene: Scene, name: str) -> list[tuple[dict[str, Any], Any]]:
    """Every point of one metric, oldest first, with its attributes."""
    found = []
    for _, metric in metrics(scene.backend):
        if metric.name == name:
            data = getattr(metric, metric.WhichOneof("data"))
            found += [(attributes(point.attributes), point) for point in data.data_points]
    return found


def last(scene: Scene, name: str, **wanted: Any) -> Any:
    """The newest point of a metric whose attributes include these (dots written as two underscores)."""
    about = {key.replace("__", "."): value for key, value in wanted.items()}
    return [point for found, point in points(scene, name) if about.items() <= found.items()][-1]


def test_the_metrics_are_those_of_the_catalogue(scene: Scene) -> None:
    """Name, unit and shape as the catalogue has them, sums and histograms cumulative, the resource as configured."""
    seen = set()
    for resource, metric in metrics(scene.backend):
        assert resource["service.name"] == "loan-model"
        assert (resource["team"], resource["k8s.pod.name"]) == ("fraud", "loan-7")
        assert resource["service.instance.id"]
        assert not any(key.startswith("sidelight.model") for key in resource)
        listed = CATALOGUE[metric.name]
        assert metric.unit == listed.unit
        data = metric.WhichOneof("data")
        assert (
            data == {Shape.COUNTER: "sum", Shape.GAUGE: "gauge", Shape.HISTOGRAM: "exponential_histogram"}[listed.shape]
        )
        if data != "gauge":
            assert getattr(metric, data).aggregation_temporality == otlp.AGGREGATION_TEMPORALITY_CUMULATIVE
        seen.add(metric.name)
    assert seen >= {
        "sidelight.records",
        "sidelight.predictions",
        "sidelight.prediction.duration",
        "sidelight.windows",
        "sidelight.model.state",
        "sidelight.feature.bin.values",
        "sidelight.feature.bin.reference",
        "sidelight.drift.effect",
        "sidelight.reference.rows",
        "sidelight.journal.size",
        "sidelight.export.items",
    }
    assert all(got.headers["api-key"] == "abc" for got in scene.backend.taken)


def test_records_add_up(scene: Scene) -> None:
    """What was sent is what was kept, by outcome, and one state is 1: watching."""
    own = {"sidelight__model__name": "loan", "sidelight__model__version": "3"}
    outcomes = {
        o: last(scene, "sidelight.records", sidelight__outcome=o, **own).as_int
        for o in ("kept", "refused", "late", "duplicate", "dropped")
    }
    assert outcomes == {"kept": scene.sent, "refused": 0, "late": 0, "duplicate": 0, "dropped": 0}
    assert kept(scene.status) == scene.sent
    assert last(scene, "sidelight.windows").as_int == len(WINDOWS) - 1
    states = {found["sidelight.state"]: point.as_int for found, point in points(scene, "sidelight.model.state")}
    assert {name for name, value in states.items() if value} == {"watching"}


def test_bins_are_counters_with_their_zeros(scene: Scene) -> None:
    """Every bin of every watched value has a point, also those never hit; they add up to the records."""
    newest: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for found, point in points(scene, "sidelight.feature.bin.values"):
        newest[found["sidelight.feature.source"], found["sidelight.feature.name"]][found["sidelight.bin"]] = (
            point.as_int
        )
    assert set(newest) == {
        ("feature", "x0"),
        ("feature", "x1"),
        ("feature", "x2"),
        ("feature", "city"),
        ("prediction", "prediction"),
        ("score", "score"),
    }
    for bins in newest.values():
        assert sum(bins.values()) == scene.sent
        numbered = [name for name in bins if name.isdigit()]
        assert sorted(numbered, key=int) == [str(cell) for cell in range(len(numbered))]
        assert bins.keys() - set(numbered) == {"null", "absent", "NaN", "+inf", "-inf", "wrong type"}
        assert 0 in bins.values()


def test_latency_is_an_exponential_histogram_with_the_right_count_and_sum(scene: Scene) -> None:
    """Buckets add up to the count, the sum is exact, and the mean lies in the buckets."""
    point = last(scene, "sidelight.prediction.duration")
    assert point.count == scene.sent == sum(point.positive.bucket_counts) + point.zero_count
    assert point.sum == pytest.approx(scene.latency_sum, rel=1e-9)
    base = 2.0 ** (2.0**-point.scale)
    assert (
        base**point.positive.offset
        < point.sum / point.count
        <= base ** (point.positive.offset + len(point.positive.bucket_counts))
    )


def test_counters_start_once_and_never_fall(scene: Scene) -> None:
    """One start time a series, before every point of it; values never fall: no reset that was none."""
    series: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for _, metric in metrics(scene.backend):
        if metric.WhichOneof("data") == "sum":
            for point in metric.sum.data_points:
                series[metric.name, *sorted(attributes(point.attributes).items())].append(point)
    assert max(len(found) for found in series.values()) >= 2
    for found in series.values():
        assert len({point.start_time_unix_nano for point in found}) == 1
        assert all(0 < point.start_time_unix_nano <= point.time_unix_nano for point in found)
        values = [point.as_int if point.WhichOneof("value") == "as_int" else point.as_double for point in found]
        assert values == sorted(values)


def test_every_closed_window_is_one_log_event(scene: Scene) -> None:
    """In event time, once each, with its rows."""
    told = [(r, attributes(r.attributes)) for r in records(scene.backend) if r.event_name == "sidelight.window.closed"]
    ends = [record.time_unix_nano for record, _ in told]
    assert ends == sorted(set(ends))
    assert len(told) == last(scene, "sidelight.windows").as_int
    assert {record.time_unix_nano - own["sidelight.window.start_unix_nano"] for record, own in told} == {WINDOW_NS}
    assert {own["sidelight.window.rows"] for _, own in told} == {ROWS}


def test_alerts_are_log_events(scene: Scene) -> None:
    """Firing, updated, resolved, in order, each with event name, first bad window, features, next step, share."""
    events = [(r.event_name, attributes(r.attributes), r) for r in alerts(scene.backend)]
    assert [(name.rpartition(".")[2], a["sidelight.alert.name"]) for name, a, _ in events] == [
        ("firing", "data_drift"),
        ("updated", "data_drift"),
        ("resolved", "data_drift"),
        ("firing", "broken_pipeline"),
        ("resolved", "broken_pipeline"),
    ]
    assert all(name.startswith("sidelight.alert.") for name, _, _ in events)
    firing, updated, resolved, broken, _ = events
    assert firing[1]["sidelight.alert.start_unix_nano"] == (FIRST + 20) * WINDOW_NS
    assert [f["name"] for f in firing[1]["sidelight.alert.features"]] == ["x0"]
    assert {f["name"] for f in updated[1]["sidelight.alert.features"]} == {"x0", "x1"}
    assert [f["name"] for f in broken[1]["sidelight.alert.features"]] == ["city"]
    for _, found, record in events:
        assert found["sidelight.model.name"] == "loan"
        assert found["sidelight.traffic.share"] == 1.0
        assert found["sidelight.alert.next_step"]
        assert record.body.string_value
        assert record.time_unix_nano % WINDOW_NS == 0
        assert record.observed_time_unix_nano > record.time_unix_nano
    assert (firing[2].severity_text, resolved[2].severity_text) == ("ERROR", "INFO")
    assert len({found["sidelight.event.key"] for _, found, _ in events}) == len(events)
    assert len(said(scene.status)) == len(events)


def test_spans_stand_in_the_callers_trace_with_their_stages(scene: Scene) -> None:
    """The one sampled prediction: a span under the caller's, stages as its children, times from the record."""
    root, *stages = spans(scene.backend)
    assert [span.name for span in stages] == [name for name, _, _ in STAGES]
    assert (root.trace_id.hex(), root.parent_span_id.hex(), root.name) == (TRACE, PARENT, "predict loan")
    start = (FIRST + LAST) * WINDOW_NS
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (start, start + 10 * MS)
    assert attributes(root.attributes)["sidelight.prediction.id"] == "traced-0"
    for span, (_, offset, duration) in zip(stages, STAGES, strict=True):
        assert (span.trace_id, span.parent_span_id) == (root.trace_id, root.span_id)
        assert span.start_time_unix_nano == start + round(offset * 1e9)
        assert span.end_time_unix_nano - span.start_time_unix_nano == round(duration * 1e9)
    assert len({span.span_id for span in (root, *stages)}) == 4


def test_the_end_is_clean(scene: Scene) -> None:
    """SIGTERM ends with 0, after the last counters went out."""
    assert scene.exit_code == 0
    assert last(scene, "sidelight.predictions").as_int == scene.sent


def test_each_signal_may_have_its_own_endpoint_or_none(tmp_path: Path) -> None:
    """Metrics to one backend, events to another, spans nowhere; the status says which, and keeps none for nobody."""
    stream.reference(tmp_path / "loan.sidelight")
    with serving("http/protobuf") as (first, metrics_url), serving("grpc") as (second, logs_url):
        options = {
            "SIDELIGHT_REFERENCE": str(tmp_path / "loan.sidelight"),
            "SIDELIGHT_TIME": "event",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{metrics_url}/v1/metrics",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": logs_url,
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        with AgentProcess(tmp_path, **options) as agent:
            replay(agent, [(0, WELL), (1, Fault(broken=True)), (2, WELL)])
            assert agent.record(traced()).accepted == 4
            until(lambda: records(second) and metrics(first))
            signals = agent.status()["export"]["signals"]
            assert agent.stop() == 0
        assert {got.signal for got in first.taken} == {"metrics"}
        assert {got.signal for got in second.taken} == {"logs"}
    assert signals["traces"]["endpoint"] == "OTEL_TRACES_EXPORTER=none"
    assert (signals["traces"]["produced"], signals["traces"]["queued"]) == (0, 0)
    assert logs_url.removeprefix("http://") in signals["logs"]["endpoint"]


def test_without_an_endpoint_it_watches_on_and_says_where_to_point_it(tmp_path: Path) -> None:
    """Nothing is set: drift is found and shown all the same, nothing piles up, and the status names the variable."""
    stream.reference(tmp_path / "loan.sidelight")
    options = {"SIDELIGHT_REFERENCE": str(tmp_path / "loan.sidelight"), "SIDELIGHT_TIME": "event"}
    with AgentProcess(tmp_path, **options) as agent:
        status = replay(agent, [(0, WELL), (1, Fault(broken=True)), (2, WELL)])
        assert [name for what, name, _ in said(status) if what == "firing"] == ["broken_pipeline"]
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in status["export"]["endpoint"]
        assert all(signal["queued"] == 0 for signal in status["export"]["signals"].values())
        assert model_of(status)["state"] == "watching"
        assert agent.stop() == 0
