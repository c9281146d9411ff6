"""An agent, the Collector, Prometheus and Jaeger, the Collector away for a while: the backends' own APIs are asked."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from agent.counting.durations import SCALE
from agent.telemetry import CATALOGUE
from tests.end_to_end import stream
from tests.end_to_end.backends import attributes
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import ROWS, model_of
from tests.integration.collector import Collector
from tests.integration.jaeger import Jaeger
from tests.integration.prometheus import Prometheus, Series
from tests.integration.servers import post, until
from tests.integration.story import (
    LATENCY_SECONDS,
    OPTIONS,
    OWN,
    PARTS,
    SERVICE,
    SPANS,
    STAGES,
    TRACES,
    books,
    latencies,
    parent_id,
    play,
    start_ns,
    trace_id,
)

pytestmark = pytest.mark.integration

COUNTED = re.compile(r"sidelight_.*_total")
MODEL = "sidelight_model_name"  # what carries it stands still when nothing more is sent
LINE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
WINDOWS = [window for windows, _ in PARTS for window in windows]


@dataclass(frozen=True)
class Scene:
    """The story played to its end. first: the status after the drift; drift: the effects that Prometheus had then.

    books: the export's, when nothing waited; held: what Prometheus had of the agent then; page: its /metrics; status,
    exit_code: its last.
    """

    prometheus: Prometheus
    jaeger: Jaeger
    collector: Collector
    first: dict[str, Any]
    drift: dict[str, float]
    books: dict[str, Any]
    held: list[Series]
    status: dict[str, Any]
    page: str
    exit_code: int


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("through-the-collector")
    stream.reference(folder / "loan.sidelight")
    prometheus, jaeger = Prometheus(folder), Jaeger(folder)
    collector = Collector(folder, prometheus, jaeger)
    options = OPTIONS | {
        "SIDELIGHT_REFERENCE": str(folder / "loan.sidelight"), "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }  # fmt: skip
    with prometheus, jaeger, collector, AgentProcess(folder, **options) as agent:
        for windows, traces in PARTS:
            for number in traces:
                post(f"{collector.http}/v1/traces", _callers_span(number, start_ns(windows[-1][0])))
        play(agent, 0)
        first = agent.status()
        closed = model_of(first)["windows_closed"]
        until(lambda: prometheus.value(f"sidelight_windows_total{{{OWN}}}") == closed)
        drift = prometheus.values(f'sidelight_drift_effect{{{OWN},sidelight_segment=""}}', "sidelight_feature_name")
        collector.stop()
        play(agent, 1)
        agent.wait_for(lambda s: s["export"]["signals"]["metrics"]["queued"] > 0)
        agent.wait_for(lambda s: s["export"]["signals"]["traces"]["last_error"])
        collector.start()
        play(agent, 2)
        kept = model_of(agent.status())["records"]["kept"]
        until(lambda: prometheus.value(f"sidelight_predictions_total{{{OWN}}}") == kept, 120.0)
        settled, held = books(agent, prometheus)
        status, page = agent.status(), agent.get("/metrics")[1]
        code = agent.stop()
        collector.stop()  # writes its files out
        yield Scene(prometheus, jaeger, collector, first, drift, settled, held, status, page, code)


def _callers_span(number: int, start: int) -> dict[str, Any]:
    """The span of the service that asked for the prediction, in OTLP's JSON."""
    span = {
        "traceId": trace_id(number), "spanId": parent_id(number), "name": "POST /loan", "kind": 2,
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 20_000_000),
    }  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


def newest(scene: Scene, name: str, **labels: str) -> Any:
    """The newest sample of the one series with this name whose labels include these."""
    found = [
        each.samples[-1][1] for each in scene.held
        if each.labels["__name__"] == name and labels.items() <= each.labels.items()
    ]  # fmt: skip
    assert len(found) == 1, f"{name} {labels}: {len(found)} series"
    return found[0]


def records(scene: Scene) -> list[Any]:
    """Every log record that went through the Collector."""
    return [
        record for request in scene.collector.requests("logs") for resource in request.resource_logs
        for scope in resource.scope_logs for record in scope.log_records
    ]  # fmt: skip


def test_names_are_those_the_catalogue_says(scene: Scene) -> None:
    """Every series is called what `Metric.in_prometheus` calls one of the catalogue, its labels what that may carry."""
    known = {metric.in_prometheus: metric for metric in CATALOGUE.values()}
    for each in scene.held:
        carried = {name.replace(".", "_") for name in known[each.labels["__name__"]].attributes}
        of_the_model = {label for label in each.labels if label.startswith("sidelight_model_")}
        assert each.labels.keys() - of_the_model <= carried | {"__name__", "job", "instance"}


def test_drift_is_read_with_promql(scene: Scene) -> None:
    """While it drifted, Prometheus had the effects of the agent's own status: large for the one, small for the rest."""
    said = {
        each["feature"]: each["distances"]["newest_effect"]
        for each in model_of(scene.first)["drift"] if not each["segment"] and "newest_effect" in each["distances"]
    }  # fmt: skip
    assert said.keys() >= {"x0", "x1", "x2", "city", "prediction", "score"}
    assert {name: scene.drift[name] for name in said} == said
    assert scene.drift["x0"] > 0.25 > 0.1 > max(scene.drift[name] for name in ("x1", "x2", "city"))


def test_the_alert_came_and_went(scene: Scene) -> None:
    """sidelight.alert was 1 while data_drift fired, then 0 once; Prometheus does not show a 1 after its end."""
    (alert,) = [
        each for each in scene.held
        if each.labels["__name__"] == "sidelight_alert_ratio" and each.labels["sidelight_alert_name"] == "data_drift"
    ]  # fmt: skip
    *fired, ended = (float(value) for _, value in alert.samples)
    assert (set(fired), ended) == ({1.0}, 0.0)
    assert alert.samples[-1][0] < max(each.samples[-1][0] for each in scene.held)


def test_every_counter_is_the_statuss(scene: Scene) -> None:
    """Records by outcome, predictions, windows and labels are those of the agent's own status."""
    model = model_of(scene.status)
    sent = ROWS * len(WINDOWS) + TRACES
    assert model["records"]["kept"] == sent
    for outcome in ("kept", "refused", "late", "duplicate"):
        found = newest(scene, "sidelight_records_total", sidelight_outcome=outcome)
        assert float(found) == model["records"][outcome]
    assert float(newest(scene, "sidelight_predictions_total")) == sent
    assert float(newest(scene, "sidelight_windows_total")) == model["windows_closed"]
    assert float(newest(scene, "sidelight_labels_total", sidelight_outcome="kept")) == model["labels"]
    bins = scene.prometheus.values(
        f"sum by (sidelight_feature_name) (last_over_time(sidelight_feature_bin_values_total{{{OWN}}}[1h]))",
        "sidelight_feature_name",
    )
    assert bins == dict.fromkeys(("x0", "x1", "x2", "city", "prediction", "score"), float(sent))


def test_every_counter_is_that_of_the_page_for_scrapes(scene: Scene) -> None:
    """Whatever counts records, by name and labels: what was pushed through the Collector is what `/metrics` shows."""
    pushed = {
        (each.labels["__name__"], *sorted(each.labels.items() - {("job", SERVICE)})): float(each.samples[-1][1])
        for each in scene.held if COUNTED.fullmatch(each.labels["__name__"]) and MODEL in each.labels
    }  # fmt: skip
    (instance,) = {each.labels["instance"] for each in scene.held}
    shown = {}
    for line in scene.page.splitlines():
        found = LINE.fullmatch(line)
        if found and COUNTED.fullmatch(found["name"]) and MODEL in (found["labels"] or ""):
            labels = {"__name__": found["name"], "instance": instance, **dict(LABEL.findall(found["labels"] or ""))}
            shown[found["name"], *sorted(labels.items())] = float(found["value"])
    assert len(shown) > 100
    assert pushed == shown


def test_latency_quantiles_come_from_the_native_histogram(scene: Scene) -> None:
    """histogram_quantile of the exponential histogram is the senders' own quantile, to within a bucket."""
    sent = latencies(WINDOWS) + TRACES * [LATENCY_SECONDS]
    name = f"last_over_time(sidelight_prediction_duration_seconds{{{OWN}}}[1h])"
    for share in (0.5, 0.95, 0.99):
        found = scene.prometheus.value(f"histogram_quantile({share}, {name})")
        assert found is not None
        assert abs(np.log2(found / np.quantile(sent, share))) < 2.0**-SCALE
    assert scene.prometheus.value(f"histogram_count({name})") == len(sent)
    assert scene.prometheus.value(f"histogram_sum({name})") == pytest.approx(sum(sent), rel=1e-9)


def test_exemplars_lead_to_spans_that_jaeger_has(scene: Scene) -> None:
    """Each exemplar of the latency is a prediction's span, found under its trace, as long as it says;
    of the newest traces of a part of the story."""
    found = scene.prometheus.exemplars(f"sidelight_prediction_duration_seconds{{{OWN}}}")
    of_parts = [trace_id(traces[-1]) for _, traces in PARTS]  # of a bucket the newest at each export
    assert {of_parts[0], of_parts[-1]} <= {each.trace_id for each in found} <= set(of_parts)
    for each in found:
        (span,) = [span for span in scene.jaeger.trace(each.trace_id) if span["spanID"] == each.span_id]
        assert span["operationName"] == "predict loan"
        assert span["duration"] == round(each.value * 1e6)
        assert span["startTime"] == round(each.seconds * 1e6)


def test_a_prediction_is_found_in_its_callers_trace(scene: Scene) -> None:
    """Jaeger has each prediction's span as child of the caller's, its stages below it; those of the outage too."""
    for number in range(TRACES):
        spans = {span["spanID"]: span for span in scene.jaeger.trace(trace_id(number))}
        children = defaultdict(list)
        for span in spans.values():
            assert not span.get("warnings")
            for reference in span["references"]:
                assert (reference["refType"], reference["traceID"]) == ("CHILD_OF", span["traceID"])
                children[reference["spanID"]].append(span)
        caller = spans[parent_id(number)]
        assert (caller["service"], caller["operationName"]) == ("shop", "POST /loan")
        (prediction,) = children[caller["spanID"]]
        assert (prediction["service"], prediction["operationName"]) == (SERVICE, "predict loan")
        assert prediction["duration"] == round(LATENCY_SECONDS * 1e6)
        tags = {tag["key"]: tag["value"] for tag in prediction["tags"]}
        assert tags["sidelight.prediction.id"] == f"traced-{number}"
        stages = sorted((span["operationName"], span["duration"]) for span in children[prediction["spanID"]])
        assert stages == sorted((name, round(duration * 1e6)) for name, _, duration in STAGES)
        assert len(spans) == 1 + SPANS


def test_the_books_balance_in_prometheus_at_every_export(scene: Scene) -> None:
    """Per signal and at every time: produced = delivered + rejected + dropped + queued."""
    produced: dict[tuple[str, int], int] = {}
    settled_or_waiting: Counter[tuple[str, int]] = Counter()
    for each in scene.held:
        if each.labels["__name__"] == "sidelight_export_produced_total":
            produced |= {(each.labels["sidelight_signal"], at): int(value) for at, value in each.samples}
        elif each.labels["__name__"] in ("sidelight_export_items_total", "sidelight_spool_items"):
            settled_or_waiting.update({(each.labels["sidelight_signal"], at): int(value) for at, value in each.samples})
    assert {signal for signal, _ in produced} == {"metrics", "traces", "logs"}
    assert produced == dict(settled_or_waiting)
    for signal, book in scene.books.items():
        if signal != "webhook":
            assert book["produced"] == book["delivered"] > 0


def test_nothing_is_lost(scene: Scene) -> None:
    """Prometheus holds exactly as many samples as the agent says were delivered; the spans and events are all there."""
    assert sum(len(each.samples) for each in scene.held) == scene.books["metrics"]["delivered"]
    assert scene.books["traces"]["delivered"] == SPANS * TRACES
    events = {attributes(each.attributes)["sidelight.event.key"] for each in records(scene)}
    assert scene.books["logs"]["delivered"] == len(events)
    assert events >= {event["key"] for event in scene.status["events"]} != set()
    assert {each["rejected"] + each["dropped"] for each in scene.books.values()} == {0}
    assert scene.exit_code == 0


def test_nothing_is_doubled(scene: Scene) -> None:
    """Each point (series, time), each span and each event went through the Collector once, over its restart too."""
    points: Counter[Any] = Counter()
    for request in scene.collector.requests("metrics"):
        for resource in request.resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    about = tuple(sorted(attributes(point.attributes).items()))
                    points[metric.name, about, point.time_unix_nano] += 1
    assert set(points.values()) == {1}
    assert len(points) >= scene.books["metrics"]["delivered"]
    spans = Counter(
        span.span_id for request in scene.collector.requests("traces") for resource in request.resource_spans
        for scope in resource.scope_spans for span in scope.spans
    )  # fmt: skip
    assert set(spans.values()) == {1}
    assert len(spans) == (1 + SPANS) * TRACES
    events = Counter(attributes(each.attributes)["sidelight.event.key"] for each in records(scene))
    assert set(events.values()) == {1}
