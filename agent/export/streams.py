"""What a point says of its series: everything since the series' start, or what came since it was last said.

Between the stations' points, which are always totals, and their encoding. Three things are decided here, by OTLP's
data model: temporality, where a series begins, and how many series a metric may have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from agent.export.baseline import CUMULATIVE, DELTA, Baseline, Value, minus, nothing, plus
from agent.telemetry import ALERT, Exemplar, Exponential, Metric, Point, Shape

Preference = Literal["cumulative", "delta", "lowmemory"]
OVERFLOW = {"otel.metric.overflow": True}
SERIES_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Said:
    """One data point: of (start_ns, time_ns]. start_ns 0: a gauge's, which has none. exemplars: oldest first."""

    start_ns: int
    time_ns: int
    value: Value
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(slots=True)
class _Overflow:
    """All series of one metric beyond the cap as one, counted since the agent's start. last: of each, what it had."""

    metric: Metric
    value: Value = 0
    last: dict[int, Value] = field(default_factory=dict)

    def add(self, key: int, value: Value, since_start: bool) -> None:
        """Never falls: a series that ends or begins anew takes nothing away."""
        before = self.last.get(key)
        self.last[key] = value
        if before is None and not since_start:
            return
        more = value if before is None else minus(value, before)
        if more is not None:
            self.value = plus(self.value, more)


class Streams:
    """One owner. `begin` an export, `say` its points, `overflows` at the end; `baseline` knows what a delta is to.

    started_ns: start of the counters that carry none of their own. Series whose key is new after `series_max` of their
    metric become one with the attribute otel.metric.overflow; a gauge's are left out, for no one value speaks for them.
    """

    def __init__(self, preference: Preference, started_ns: int, series_max: int = SERIES_MAX) -> None:
        self._preference, self._started_ns, self._max = preference, started_ns, series_max
        self._now_ns, self._last_ns = 0, 0
        self._known: dict[str, set[int]] = {}
        self._overflows: dict[str, _Overflow] = {}
        self._gauges: Counter[str] = Counter()
        self._firing: dict[int, Point] = {}  # alerts said at this export, by series
        self._fired: dict[int, Point] = {}  # and at the one before
        self._shown: dict[int, int] = {}  # time of the newest exemplar, by series
        self.overflowing: dict[str, int] = {}  # series over the cap at the newest export, by metric
        self.baseline = Baseline(started_ns)

    @property
    def delta(self) -> bool:
        """Whether a baseline is kept."""
        return self._preference != "cumulative"

    def temporality(self, point: Point) -> int:
        """OTLP's number, of a counter or a histogram. lowmemory: only what others count stays cumulative."""
        if self._preference == "cumulative" or (self._preference == "lowmemory" and point.observed):
            return CUMULATIVE
        return DELTA

    def begin(self, now_ns: int) -> None:
        """All points said from here on are of this time."""
        self._last_ns, self._now_ns = self._now_ns, now_ns
        self._gauges.clear()
        self._fired, self._firing = self._firing, {}
        self.baseline.begin(now_ns)

    def say(self, point: Point, key: int) -> tuple[Said, ...]:
        """The data points for it: none, one, or two where a counter begins. key: of the series, over all restarts."""
        name, shape = point.metric.name, point.metric.shape
        if shape is Shape.GAUGE:
            self._gauges[name] += 1
            if point.metric is ALERT and point.value:
                self._firing[key] = point
            return (Said(0, self._now_ns, point.value),) if self._gauges[name] <= self._max else ()
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = set()
        new = key not in known
        if new and len(known) >= self._max:
            self._overflow(point, key)
            return ()
        if new:
            known.add(key)
        return self._say(point, key, new)

    def ended(self) -> Iterator[Point]:
        """Alerts that the export before said and this one does not, as zeros, to be said like all points: OTLP has no
        mark for the end of a series, and Prometheus would show the last 1 for its lookback of five minutes."""
        for key, point in self._fired.items():
            if key not in self._firing:
                yield Point(point.metric, 0, point.attributes)

    def overflows(self) -> Iterator[Point]:
        """The series that stand for those over the cap; to be given to `say_overflow`."""
        self.overflowing = {name: n - self._max for name, n in self._gauges.items() if n > self._max}
        for name, held in self._overflows.items():
            self.overflowing[name] = len(held.last)
            yield Point(held.metric, held.value, OVERFLOW)

    def say_overflow(self, point: Point, key: int) -> tuple[Said, ...]:
        return self._say(point, key, False)

    def _say(self, point: Point, key: int, new: bool) -> tuple[Said, ...]:
        start_ns = point.start_ns or self._started_ns
        if self.temporality(point) == DELTA:
            said = self.baseline.since(key, point, start_ns)
            if said is None:
                return ()
            # The wall clock may have been set back: a point does not begin after its end.
            return (Said(min(said[0], self._now_ns), self._now_ns, said[1], self._exemplars(point, key)),)
        whole = Said(start_ns, self._now_ns, point.value, self._exemplars(point, key))
        zero_ns = self._zero_ns(start_ns) if new and not point.observed else 0
        return (Said(start_ns, zero_ns, nothing(point.value)), whole) if zero_ns else (whole,)

    def _exemplars(self, point: Point, key: int) -> tuple[Exemplar, ...]:
        """Those not said before, oldest first. One that is older than one said is left out: Prometheus refuses it."""
        if not point.exemplars:
            return ()
        last_ns = self._shown.get(key, -1)
        fresh = sorted((each for each in point.exemplars if each.time_ns > last_ns), key=lambda each: each.time_ns)
        if fresh:
            self._shown[key] = fresh[-1].time_ns
        return tuple(fresh)

    def _zero_ns(self, start_ns: int) -> int:
        """When a series that is new was still at zero; 0: not since the newest point that another life may have said.

        A backend takes a counter's growth from one point to the next: without this one its first counts would be lost.
        """
        since_ns = self._last_ns + 1 if self._last_ns else self._started_ns
        zero_ns = max(start_ns, self._last_ns + 1) if self._last_ns else start_ns
        return zero_ns if since_ns <= zero_ns < self._now_ns else 0

    def _overflow(self, point: Point, key: int) -> None:
        held = self._overflows.get(point.metric.name)
        if held is None:
            held = self._overflows[point.metric.name] = _Overflow(point.metric, _zero(point))
        held.add(key, point.value, not point.observed and (point.start_ns or self._started_ns) >= self._started_ns)


def _zero(point: Point) -> Value:
    return nothing(point.value) if isinstance(point.value, Exponential) else 0
