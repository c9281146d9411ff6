"""What goes into the requests: points, events and spans, read back with the protocol's own messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from agent.export import logs, metrics, traces
from agent.export.attributes import Limits, any_value
from agent.export.streams import Streams
from agent.records import Event, ModelKey, Role
from agent.telemetry import BIN_COUNT, DRIFT, LATENCY, RECORDS, Exemplar, Exponential, Point
from tests.export.scene import NOW_NS, RESOURCE, trace

STARTED_NS = NOW_NS - 10**9


def _streams() -> Streams:
    """As after an export a nanosecond ago: too short for a zero before the first point of a counter."""
    streams = Streams("cumulative", STARTED_NS)
    streams.begin(NOW_NS - 1)
    return streams


def _metrics(points: list[Point]) -> dict[str, otlp.Metric]:
    ((body, items),) = list(metrics.encode(points, RESOURCE, _streams(), NOW_NS))
    request = ExportMetricsServiceRequest.FromString(body)
    (of_resource,) = request.resource_metrics
    (of_scope,) = of_resource.scope_metrics
    assert of_resource.resource == RESOURCE
    found = {metric.name: metric for metric in of_scope.metrics}
    assert len(found) == len(of_scope.metrics)
    assert items == sum(
        len(m.sum.data_points) + len(m.gauge.data_points) + len(m.exponential_histogram.data_points)
        for m in found.values()
    )
    return found


def test_a_counter_is_a_cumulative_monotonic_sum() -> None:
    """Integers stay integers, floats floats; the start is the point's own, else the agent's."""
    points = [Point(RECORDS, 5, {"sidelight.outcome": "kept"}), Point(RECORDS, 2.5, {}, start_ns=77)]
    found = _metrics(points)["sidelight.records"]
    assert (found.unit, found.description) == (RECORDS.unit, RECORDS.description)
    assert found.sum.is_monotonic
    assert found.sum.aggregation_temporality == otlp.AGGREGATION_TEMPORALITY_CUMULATIVE
    one, two = found.sum.data_points
    assert (one.as_int, one.start_time_unix_nano, one.time_unix_nano) == (5, STARTED_NS, NOW_NS)
    assert one.attributes[0].value.string_value == "kept"
    assert (two.as_double, two.start_time_unix_nano) == (2.5, 77)


def test_a_gauge_has_no_start_and_numpy_numbers_are_numbers() -> None:
    """numpy's scalars become ints and doubles of the same value."""
    values: list[Any] = [0.25, np.float64(0.5), np.float32(0.75), np.int32(3), np.int64(4), 0]
    found = _metrics([Point(DRIFT, value, {}) for value in values])["sidelight.drift.effect"]
    assert [p.start_time_unix_nano for p in found.gauge.data_points] == [0] * 6
    assert [p.as_double or p.as_int for p in found.gauge.data_points] == [0.25, 0.5, 0.75, 3, 4, 0]
    assert [p.WhichOneof("value") for p in found.gauge.data_points] == ["as_double"] * 3 + ["as_int"] * 3


def test_nan_is_left_out() -> None:
    """A gauge without a value is no point, and a request of nothing but such is no request."""
    assert list(metrics.encode([Point(DRIFT, math.nan, {})], RESOURCE, _streams(), NOW_NS)) == []
    found = _metrics([Point(DRIFT, math.nan, {}), Point(DRIFT, 1.0, {})])
    assert [p.as_double for p in found["sidelight.drift.effect"].gauge.data_points] == [1.0]


def test_a_histogram_keeps_scale_offset_and_buckets() -> None:
    """The exponential histogram arrives as it was counted."""
    value = Exponential(count=7, sum=3.5, scale=3, zero_count=1, offset=-4, buckets=[1, 2, 3])
    found = _metrics([Point(LATENCY, value, {"a": "b"})])["sidelight.prediction.duration"]
    (point,) = found.exponential_histogram.data_points
    assert (point.count, point.sum, point.scale, point.zero_count) == (7, 3.5, 3, 1)
    assert (point.positive.offset, list(point.positive.bucket_counts)) == (-4, [1, 2, 3])
    assert (point.start_time_unix_nano, point.attributes[0].key) == (STARTED_NS, "a")


def test_exemplars_are_in_their_histograms_point() -> None:
    """Value, time and the span they lead to."""
    shown = Exemplar(bytes(range(16)), bytes(range(8)), 0.25, NOW_NS - 5)
    found = _metrics([Point(LATENCY, Exponential(1, 0.25, 2, 0, -9, [1]), {}, 7, exemplars=(shown,))])
    (one,) = found["sidelight.prediction.duration"].exponential_histogram.data_points[-1].exemplars
    assert (one.trace_id, one.span_id, one.as_double, one.time_unix_nano) == (
        shown.trace_id, shown.span_id, shown.value, shown.time_ns
    )  # fmt: skip


def test_equal_attribute_values_of_different_types_stay_apart() -> None:
    """1, 1.0 and True are equal in Python and not in OTLP."""
    found = _metrics([Point(DRIFT, 1, {"a": value}) for value in (1, True, 1.0, "1")])["sidelight.drift.effect"]
    kinds = [point.attributes[0].value.WhichOneof("value") for point in found.gauge.data_points]
    assert kinds == ["int_value", "bool_value", "double_value", "string_value"]


@given(st.integers(1, 400), st.integers(600, 20_000))
def test_requests_are_split_and_nothing_is_lost(points: int, max_bytes: int) -> None:
    """Every request is within the limit, has one ResourceMetrics, and together they hold every point once."""
    given_points = [
        Point(metric, n, {"sidelight.feature.name": f"feature-{n % 7}", "sidelight.bin": n})
        for n in range(points)
        for metric in (BIN_COUNT, DRIFT)
    ]
    found = list(metrics.encode(given_points, RESOURCE, _streams(), NOW_NS, max_bytes))
    assert all(len(body) <= max_bytes for body, _ in found)
    requests = [ExportMetricsServiceRequest.FromString(body) for body, _ in found]
    assert all(len(request.resource_metrics) == 1 for request in requests)
    sums = [
        p.as_int
        for request in requests
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        for p in metric.sum.data_points
    ]
    assert sums == list(range(points))
    assert sum(items for _, items in found) == 2 * points


def test_an_event_is_a_log_record_with_the_top_level_name() -> None:
    """Name, severity, both times, the text for people and typed attributes, nested ones too."""
    attributes = {
        "text": "a",
        "whole": 3,
        "real": 0.5,
        "flag": True,
        "none": None,
        "list": [1, "b"],
        "map": {"inner": {"deep": np.float64(2.0)}},
        "array": np.array([1, 2]),
        "big": 1 << 70,
        "lone": "\ud800",
    }
    body, items = logs.encode([Event("sidelight.alert.fired", "k", 5, "WARN", "Drift.", attributes)], RESOURCE, NOW_NS)
    request = ExportLogsServiceRequest.FromString(body)
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    assert items == 1
    assert (record.event_name, record.severity_number, record.severity_text) == ("sidelight.alert.fired", 13, "WARN")
    assert (record.time_unix_nano, record.observed_time_unix_nano, record.body.string_value) == (5, NOW_NS, "Drift.")
    found = {pair.key: pair.value for pair in record.attributes}
    assert set(found) == set(attributes) - {"none"}
    assert (found["whole"].int_value, found["real"].double_value, found["flag"].bool_value) == (3, 0.5, True)
    assert [v.WhichOneof("value") for v in found["list"].array_value.values] == ["int_value", "string_value"]
    assert found["map"].kvlist_value.values[0].value.kvlist_value.values[0].value.double_value == 2.0
    assert [v.int_value for v in found["array"].array_value.values] == [1, 2]
    assert (found["big"].string_value, found["lone"].string_value) == (str(1 << 70), "?")


def test_attribute_limits_cut_and_count() -> None:
    """Too many attributes are counted as dropped; too long a text is cut; endless nesting ends as text."""
    event = Event("e", "k", 5, "INFO", "b", {"a": "xxxxx", "b": 1, "c": 2})
    body, _ = logs.encode([event], RESOURCE, NOW_NS, Limits(2, 3))
    (record,) = ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records
    assert (len(record.attributes), record.dropped_attributes_count) == (2, 1)
    assert record.attributes[0].value.string_value == "xxx"
    endless: list[object] = []
    endless.append(endless)
    assert any_value(endless).ByteSize() < 1_000


def _spans(found: tuple[bytes, int]) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(found[0])
    spans = list(request.resource_spans[0].scope_spans[0].spans)
    assert len(spans) == found[1]
    return spans


MODEL = ModelKey("churn", "3", Role.SHADOW)


def test_a_prediction_is_a_span_in_its_callers_trace() -> None:
    """The span hangs under the caller's, its stages under it; an error shows in status and error.type."""
    given_trace = trace(
        error_type="timeout", state="vendor=1", reason="error", stages=(("encode", 0.0, 0.1), ("infer", 0.1, 0.15))
    )
    root, encode, infer = _spans(traces.encode([given_trace], MODEL, RESOURCE))
    assert (root.trace_id, root.parent_span_id) == (given_trace.trace_id, given_trace.parent_id)
    assert root.name == "predict churn"
    assert (root.kind, root.status.code, root.flags) == (Span.SPAN_KIND_INTERNAL, Status.STATUS_CODE_ERROR, 0x301)
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (NOW_NS, NOW_NS + 250_000_000)
    assert {pair.key: pair.value.string_value for pair in root.attributes} == {
        **MODEL.attributes(),
        "sidelight.prediction.id": "p-1",
        "error.type": "timeout",
        "sidelight.sampled.reason": "error",
    }
    assert {span.trace_state for span in (root, encode, infer)} == {"vendor=1"}
    assert [span.parent_span_id for span in (encode, infer)] == [root.span_id] * 2
    assert (infer.name, infer.start_time_unix_nano - NOW_NS, infer.end_time_unix_nano - NOW_NS) == (
        "infer",
        100_000_000,
        250_000_000,
    )
    assert len({root.span_id, encode.span_id, infer.span_id}) == 3


@pytest.mark.parametrize(("latency", "end"), [(math.nan, 0.3), (-1.0, 0.0), (math.inf, 31_536_000.0)])
def test_strange_latencies_still_make_a_span(latency: float, end: float) -> None:
    """Unknown: until the last stage's end; negative: none; endless: a year."""
    root = _spans(traces.encode([trace(latency=latency, stages=(("a", 0.1, 0.2),))], MODEL, RESOURCE))[0]
    assert root.end_time_unix_nano - root.start_time_unix_nano == pytest.approx(end * 1e9)


def test_a_replay_gives_the_same_span_ids_and_nothing_else_does() -> None:
    """Ids depend on prediction and model alone; without a prediction id, on time and row."""

    def ids(*found: tuple[bytes, int]) -> list[bytes]:
        return [span.span_id for each in found for span in _spans(each)]

    first = traces.encode([trace("a", row=0)], MODEL, RESOURCE)
    assert ids(first) == ids(traces.encode([trace("a", row=5)], MODEL, RESOURCE))
    others = [
        traces.encode([trace("b")], MODEL, RESOURCE),
        traces.encode([trace("a")], ModelKey("churn", "4"), RESOURCE),
        traces.encode([trace("", row=0), trace("", row=1)], MODEL, RESOURCE),
    ]
    assert len(set(ids(first, *others))) == 5


def test_named_values_are_attributes_of_the_prediction_alone() -> None:
    """Numbers, texts and flags with their own types; stages carry none, and segments leave with no span."""
    given_trace = trace(
        values=(("age", 41.0), ("city", "rome"), ("member", True)),
        segments=("region=north",),
        stages=(("infer", 0.0, 0.1),),
    )
    root, stage = _spans(traces.encode([given_trace], MODEL, RESOURCE))
    found = {pair.key: pair.value for pair in root.attributes}
    assert found["sidelight.feature.age"].double_value == 41.0
    assert found["sidelight.feature.city"].string_value == "rome"
    assert found["sidelight.feature.member"].bool_value
    assert not stage.attributes
    assert b"north" not in root.SerializeToString()


def test_an_exported_span_is_sampled_whatever_its_caller_was() -> None:
    """An error under an unsampled caller is exported: its own flag says so."""
    (root,) = _spans(traces.encode([trace(flags=0)], MODEL, RESOURCE))
    assert root.flags & 0xFF == 1


def test_broken_ids_make_no_span() -> None:
    """What W3C forbids is left out."""
    broken = [trace(trace_id=b"\0" * 16), trace(trace_id=b"short"), trace(parent_id=b"\0" * 8)]
    assert traces.encode(broken, MODEL, RESOURCE) == (b"", 0)
