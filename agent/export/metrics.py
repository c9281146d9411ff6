"""Points as OTLP metrics, cumulative or delta as `streams` says.

The SDK's own path costs 6-8 µs a point before encoding and loses one of two equal resources; protobuf's objects cost as
much and hold the loop for 30 ms when 3.5 MiB of them are serialised. So a point is put together from encoded parts, as
protobuf allows (fields in any order, messages by concatenation): its attributes are encoded once per (name, value), its
times and value are three fixed-width fields: about 4 µs a point, all included.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import xxhash
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.export.attributes import any_value, key_values, text
from agent.export.streams import Said, Streams
from agent.telemetry import Exponential, Metric, Point, Shape

SCOPE = "sidelight"
REQUEST_BYTES_MAX = 3_670_016
"""3.5 MiB: collectors refuse gRPC messages above 4 MiB by default."""
PAIRS_MAX = 20_000
KEY_MAX = (1 << 64) - 1
FRAME_BYTES = 6
"""Upper bound of a frame's tag and length below 256 MiB."""

DATA = {
    Shape.COUNTER: (otlp.Metric.SUM_FIELD_NUMBER, otlp.Sum(is_monotonic=True).SerializeToString()),
    Shape.GAUGE: (otlp.Metric.GAUGE_FIELD_NUMBER, b""),
    Shape.HISTOGRAM: (otlp.Metric.EXPONENTIAL_HISTOGRAM_FIELD_NUMBER, b""),
}
"""Field of Metric, and what stands in it beside the points (which are field 1 in all three)."""

# NumberDataPoint: start_time_unix_nano (2) and time_unix_nano (3) as fixed64, as_double (4) or as_int (6, sfixed64).
_START, _TIME, _DOUBLE, _INT = 2 << 3 | 1, 3 << 3 | 1, 4 << 3 | 1, 6 << 3 | 1
_WHOLE = struct.Struct("<BQBQBq").pack
_REAL = struct.Struct("<BQBQBd").pack


class Requests:
    """Fills one request after another with points of one time. `add` returns those that were finished meanwhile."""

    def __init__(self, resource: Resource, streams: Streams, now_ns: int, max_bytes: int = REQUEST_BYTES_MAX) -> None:
        self._streams, self._max_bytes = streams, max_bytes
        self._resource = _field(otlp.ResourceMetrics.RESOURCE_FIELD_NUMBER, resource.SerializeToString())
        self._scope = _field(otlp.ScopeMetrics.SCOPE_FIELD_NUMBER, InstrumentationScope(name=SCOPE).SerializeToString())
        self._pairs: dict[tuple[str, object, type], tuple[bytes, int]] = {}
        self._names: dict[str, int] = {}
        self._attributes: Mapping[str, object] | None = None  # the newest point's, as they were encoded
        self._encoded, self._digest = b"", 0
        streams.begin(now_ns)
        self._begin()

    def add(self, point: Point) -> list[tuple[bytes, int]]:
        """Adds what the point says; NaN is left out. Returns (request, points in it) for each that became full.

        A single point above `max_bytes` leaves as a request of its own.
        """
        value = point.value
        number = value.sum if isinstance(value, Exponential) else value
        if number != number:  # NaN, without a call per point
            return []
        attributes, key = self._series(point)
        return self._add(point, attributes, self._streams.say(point, key))

    def add_last(self) -> list[tuple[bytes, int]]:
        """The ends of alerts, and the series that stand for those over the cap. After all points."""
        full = []
        for point in list(self._streams.ended()):
            full += self.add(point)
        for point in self._streams.overflows():
            attributes, key = self._series(point)
            full += self._add(point, attributes, self._streams.say_overflow(point, key))
        return full

    def _add(self, point: Point, attributes: bytes, said: Sequence[Said]) -> list[tuple[bytes, int]]:
        full = []
        for one in said:
            value = one.value
            if isinstance(value, Exponential):
                frame = _field(1, _histogram(point, one, value))
            else:
                frame = _field(1, attributes + _number(one, value))
            frames = self._frames.get(point.metric.name)
            size = len(frame) if frames is not None else len(frame) + _header_bytes(point.metric)
            if self._points and self._size + size > self._max_bytes and (finished := self.finish()) is not None:
                full.append(finished)
                frames = None
            if frames is None:
                self._frames[point.metric.name] = frames = point.metric, self._streams.temporality(point), []
                self._size += _header_bytes(point.metric)
            frames[2].append(frame)
            self._size += len(frame)
            self._points += 1
        return full

    def finish(self) -> tuple[bytes, int] | None:
        """The request so far, or None when it is empty; begins the next."""
        if not self._points:
            return None
        metrics = b"".join(
            _field(otlp.ScopeMetrics.METRICS_FIELD_NUMBER, _metric(*metric)) for metric in self._frames.values()
        )
        of_scope = _field(otlp.ResourceMetrics.SCOPE_METRICS_FIELD_NUMBER, self._scope + metrics)
        body = _field(ExportMetricsServiceRequest.RESOURCE_METRICS_FIELD_NUMBER, self._resource + of_scope)
        finished = body, self._points
        self._begin()
        return finished

    def _begin(self) -> None:
        self._frames: dict[str, tuple[Metric, int, list[bytes]]] = {}
        self._size, self._points = len(self._resource) + len(self._scope) + 2 * FRAME_BYTES, 0

    def _series(self, point: Point) -> tuple[bytes, int]:
        """The attributes' bytes in a NumberDataPoint, and the series' key: the same over restarts, in any order."""
        name = point.metric.name
        of_name = self._names.get(name)
        if of_name is None:
            of_name = self._names[name] = xxhash.xxh3_64_intdigest(name.encode())
        attributes = point.attributes
        if attributes is not self._attributes:  # a bin's count and its reference carry the very same
            pairs, parts, key = self._pairs, [], 0
            for name, given in attributes.items():
                # The type is in the key because 1, 1.0 and True are equal.
                pair, digest = pairs.get((name, given, given.__class__)) or self._pair(name, given)
                parts.append(pair)
                key += digest
            self._attributes, self._encoded, self._digest = attributes, b"".join(parts), key
        return self._encoded, of_name + self._digest & KEY_MAX

    def _pair(self, name: str, value: str | int | float | bool) -> tuple[bytes, int]:
        """One attribute, as the bytes of a NumberDataPoint that has nothing else, and their hash."""
        if len(self._pairs) >= PAIRS_MAX:
            self._pairs.clear()
        pair = otlp.NumberDataPoint()
        pair.attributes.add(key=text(name), value=any_value(value))
        encoded = pair.SerializeToString()
        self._pairs[name, value, value.__class__] = found = encoded, xxhash.xxh3_64_intdigest(encoded)
        return found


def _number(said: Said, value: float) -> bytes:
    """A NumberDataPoint without attributes. A gauge has no start: its start time is 0, which OTLP reads as unset."""
    if isinstance(value, int | np.integer):
        return _WHOLE(_START, said.start_ns, _TIME, said.time_ns, _INT, value)
    return _REAL(_START, said.start_ns, _TIME, said.time_ns, _DOUBLE, value)


def _histogram(point: Point, said: Said, value: Exponential) -> bytes:
    made = otlp.ExponentialHistogramDataPoint(
        start_time_unix_nano=said.start_ns, time_unix_nano=said.time_ns, count=int(value.count),
        sum=float(value.sum), scale=int(value.scale), zero_count=int(value.zero_count),
        zero_threshold=value.zero_threshold, attributes=key_values(point.attributes)[0],
    )  # fmt: skip
    for side, offset, buckets in (
        (made.positive, value.offset, value.buckets), (made.negative, value.negative_offset, value.negative),
    ):  # fmt: skip
        if len(buckets):
            side.offset = int(offset)
            side.bucket_counts.extend(int(count) for count in buckets)
    for each in said.exemplars:
        made.exemplars.add(
            trace_id=each.trace_id, span_id=each.span_id, as_double=each.value, time_unix_nano=max(each.time_ns, 0)
        )
    return made.SerializeToString()


def _metric(metric: Metric, temporality: int, frames: list[bytes]) -> bytes:
    number, beside = DATA[metric.shape]
    if metric.shape is not Shape.GAUGE:  # field 2 of both others
        beside += bytes((otlp.Sum.AGGREGATION_TEMPORALITY_FIELD_NUMBER << 3, temporality))
    head = otlp.Metric(name=metric.name, unit=metric.unit, description=metric.description).SerializeToString()
    return head + _field(number, b"".join(frames) + beside)


def _header_bytes(metric: Metric) -> int:
    """Upper bound of what a metric adds beside its points."""
    return 4 * len(metric.name + metric.unit + metric.description) + 6 * FRAME_BYTES


def _field(number: int, body: bytes) -> bytes:
    """A length-delimited protobuf field: tag, length as varint, bytes. number: below 16."""
    size = len(body)
    if size < 0x80:
        return bytes((number << 3 | 2, size)) + body
    if size < 0x4000:
        return bytes((number << 3 | 2, size & 0x7F | 0x80, size >> 7)) + body
    head = bytearray((number << 3 | 2,))
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + body


def encode(
    points: Iterable[Point], resource: Resource, streams: Streams, now_ns: int, max_bytes: int = REQUEST_BYTES_MAX
) -> Iterator[tuple[bytes, int]]:
    """One export: encoded ExportMetricsServiceRequests, each with its number of points and one ResourceMetrics.

    now_ns: the time of every point.
    """
    requests = Requests(resource, streams, now_ns, max_bytes)
    for point in points:
        yield from requests.add(point)
    yield from requests.add_last()
    if (finished := requests.finish()) is not None:
        yield finished
