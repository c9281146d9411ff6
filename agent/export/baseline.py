"""What was last said of every series, so that a delta is exactly what came since, also after a kill.

It lies in the store beside the spool and is written in the transaction that stores an export: either both are there
or neither. What it may hold after a crash is then at most what the journal's replay counts again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from agent.errors import CorruptError
from agent.state import delete, get, put
from agent.telemetry import Exponential, Point
from agent.wire import state_pb2 as state

log = logging.getLogger("sidelight.export")
DELTA, CUMULATIVE = int(otlp.AGGREGATION_TEMPORALITY_DELTA), int(otlp.AGGREGATION_TEMPORALITY_CUMULATIVE)
KEY = "baseline"
FORGET_NS = 86_400 * 10**9
"""A series nobody has shown for so long is forgotten."""

Value = float | int | Exponential


class Baseline:
    """Of each series: its total and when it was looked at. Changes since `begin` count once `keep` is called."""

    def __init__(self, since_ns: int) -> None:
        self._since_ns = since_ns
        self._begun = False  # something was said before: a series that is not known has said nothing
        self._known: dict[int, tuple[int, Value]] = {}
        self._seen: dict[int, tuple[int, Value]] = {}
        self._now_ns = 0

    def begin(self, now_ns: int) -> None:
        self._seen, self._now_ns = {}, now_ns

    def since(self, key: int, point: Point, start_ns: int) -> tuple[int, Value] | None:
        """Since when, and what came since; None where that is nothing.

        Before the first export ever, counts older than the baseline were said otherwise (cumulative, or by one that was
        lost): they are taken as said. So is, always, what an observed counter counted before it was first read.
        """
        self._seen[key] = self._now_ns, point.value
        before = self._known.get(key)
        if before is None:
            unsaid = not point.observed and (self._begun or start_ns >= self._since_ns)
            return _something(start_ns, point.value) if unsaid else None
        then_ns, old = before
        if start_ns > then_ns:
            return _something(start_ns, point.value)  # it began anew
        more = minus(point.value, old)
        if more is None:  # fewer than before: another's counter was set back; of ours, a dead host took what was said
            return _something(then_ns, point.value) if point.observed else None
        return _something(then_ns, more)

    def write(self, db: sqlite3.Connection) -> None:
        """Into the caller's transaction: what `keep` makes of it."""
        put(db, KEY, _encode(self._merged(), self._since_ns))

    def keep(self) -> None:
        """The transaction is through."""
        self._known, self._begun, self._seen = self._merged(), True, {}

    def load(self, db: sqlite3.Connection) -> None:
        """What an earlier life said. Without one, or with a broken one, it begins now, and the store says so."""
        try:
            blob = get(db, KEY)
            if blob is not None:
                self._known, self._since_ns, self._begun = _decode(blob)
                return
        except (CorruptError, ValueError) as error:
            log.warning("state_blob_set_aside key=%s error=%s: deltas begin anew", KEY, error)
        put(db, KEY, _encode(None, self._since_ns))

    def _merged(self) -> dict[int, tuple[int, Value]]:
        oldest = self._now_ns - FORGET_NS
        kept = {key: was for key, was in self._known.items() if was[0] >= oldest}
        kept.update(self._seen)
        return kept


def forget(db: sqlite3.Connection) -> None:
    """Cumulative points are being sent: whatever deltas come later do not begin where the last ones ended."""
    delete(db, KEY)


def minus(value: Value, before: Value) -> Value | None:
    """What came on top; None where there is less than before."""
    if isinstance(value, Exponential) and isinstance(before, Exponential):
        if value.count < before.count or value.scale != before.scale:
            return None
        positive = _buckets(value.offset, value.buckets, before.offset, before.buckets, -1)
        negative = _buckets(value.negative_offset, value.negative, before.negative_offset, before.negative, -1)
        if min([*positive[1], *negative[1], value.zero_count - before.zero_count], default=0) < 0:
            return None
        return replace(
            value, count=value.count - before.count, sum=value.sum - before.sum,
            zero_count=value.zero_count - before.zero_count, offset=positive[0], buckets=positive[1],
            negative_offset=negative[0], negative=negative[1],
        )  # fmt: skip
    if isinstance(value, Exponential) or isinstance(before, Exponential) or value < before:
        return None
    return value - before


def plus(value: Value, more: Value) -> Value:
    """Both together. Histograms of one scale."""
    if isinstance(value, Exponential) and isinstance(more, Exponential):
        positive = _buckets(value.offset, value.buckets, more.offset, more.buckets, 1)
        negative = _buckets(value.negative_offset, value.negative, more.negative_offset, more.negative, 1)
        return replace(
            value, count=value.count + more.count, sum=value.sum + more.sum,
            zero_count=value.zero_count + more.zero_count, offset=positive[0], buckets=positive[1],
            negative_offset=negative[0], negative=negative[1],
        )  # fmt: skip
    if isinstance(value, Exponential) or isinstance(more, Exponential):
        raise TypeError("a number and a histogram in one metric")
    return value + more


def nothing(value: Value) -> Value:
    """Zero, of the same kind."""
    if isinstance(value, Exponential):
        return replace(value, count=0, sum=0.0, zero_count=0, offset=0, buckets=(), negative_offset=0, negative=())
    return type(value)(0)


def _something(since_ns: int, value: Value) -> tuple[int, Value] | None:
    count = value.count if isinstance(value, Exponential) else value
    return (since_ns, value) if count else None


def _buckets(
    offset: int, buckets: Sequence[int], other: int, counts: Sequence[int], sign: int
) -> tuple[int, list[int]]:
    """Counts of both, one beside the other; an empty side has no offset. Empty ends are cut off."""
    if not counts:
        return offset, list(buckets)
    first = min(offset, other) if buckets else other
    found = [0] * (max(offset + len(buckets) if buckets else first, other + len(counts)) - first)
    for i, count in enumerate(buckets, offset - first):
        found[i] += int(count)
    for i, count in enumerate(counts, other - first):
        found[i] += sign * int(count)
    while found and not found[-1]:
        found.pop()
    skip = next((i for i, count in enumerate(found) if count), 0)
    return first + skip, found[skip:]


def _encode(known: Mapping[int, tuple[int, Value]] | None, since_ns: int) -> bytes:
    """None: nothing was ever said."""
    message = state.Baseline(since_unix_nano=since_ns, begun=known is not None)
    whole: list[tuple[int, int, int]] = []
    real: list[tuple[int, int, float]] = []
    for key, (time_ns, value) in (known or {}).items():
        if isinstance(value, Exponential):
            message.histograms.append(_histogram(key, time_ns, value))
        elif isinstance(value, float | np.floating):
            real.append((key, time_ns, float(value)))
        else:
            whole.append((key, time_ns, int(value)))
    for column, rows, kind in ((message.whole, whole, "<i8"), (message.real, real, "<f8")):
        keys, times, values = zip(*rows, strict=True) if rows else ((), (), ())
        column.keys, column.times = np.array(keys, "<u8").tobytes(), np.array(times, "<u8").tobytes()
        column.values = np.array(values, kind).tobytes()
    return message.SerializeToString()


def _decode(blob: bytes) -> tuple[dict[int, tuple[int, Value]], int, bool]:
    message = state.Baseline.FromString(blob)
    known: dict[int, tuple[int, Value]] = {}
    for column, kind in ((message.whole, "<i8"), (message.real, "<f8")):
        keys, times = np.frombuffer(column.keys, "<u8").tolist(), np.frombuffer(column.times, "<u8").tolist()
        values = np.frombuffer(column.values, kind).tolist()
        known |= {key: (time, value) for key, time, value in zip(keys, times, values, strict=True)}
    for held in message.histograms:
        known[held.key] = held.time_unix_nano, Exponential(
            held.count, held.sum, held.scale, held.zero_count, held.offset, list(held.buckets),
            held.negative_offset, list(held.negative), held.zero_threshold,
        )  # fmt: skip
    return known, message.since_unix_nano, message.begun


def _histogram(key: int, time_ns: int, value: Exponential) -> state.HeldHistogram:
    return state.HeldHistogram(
        key=key, time_unix_nano=time_ns, count=value.count, sum=value.sum, scale=value.scale,
        zero_count=value.zero_count, offset=value.offset, buckets=value.buckets,
        negative_offset=value.negative_offset, negative=value.negative, zero_threshold=value.zero_threshold,
    )  # fmt: skip
