"""What the schema demands, whatever the reference held: no significance, no dial. Broken once is an alarm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from agent.bins import ABSENT_CELL, FRACTIONAL_CELL, INF_CELL, NEGATIVE_INF_CELL, Feature, Layout
from agent.quality.measure import Of, percent
from agent.quality.missing import valueless
from agent.records import Cells, Ints, Kind, Source

ROWS_MIN = 10  # for a share that may be above 0: one row of three is no share of anything


@dataclass(frozen=True, slots=True)
class Demand:
    """At most `limit` (a share, 0-1) of the rows or values may lie in these cells of the feature."""

    check: str
    cells: tuple[int, ...]
    of: Of
    limit: float
    words: str


@dataclass(frozen=True, slots=True)
class Breach:
    """A demand that one window broke, by so many of n rows or values. effect: the share beyond the limit."""

    demand: Demand
    faulty: int
    n: int

    @property
    def effect(self) -> float:
        return self.faulty / self.n - self.demand.limit

    @property
    def reason(self) -> str:
        what = "rows" if self.demand.of is Of.ROWS else "values"
        allowed = percent(self.demand.limit) if self.demand.limit else "none"
        said = f"{self.faulty} of {self.n} {what} {self.demand.words}"
        share = f" ({percent(self.faulty / self.n)})" if self.demand.limit else ""
        return f"{said}{share}: the schema's rule allows {allowed}"


def demands(feature: Feature) -> Iterator[Demand]:
    """The feature's rules, one by one."""
    rules, bins = feature.rules, feature.bins
    if feature.ignored or feature.computed or feature.source is Source.LATENCY:
        return
    if rules.required:
        yield Demand("absent", (bins + ABSENT_CELL,), Of.ROWS, 0.0, "do not hold it")
    if rules.never_null:
        yield Demand("missing", _empty(feature), Of.ROWS, 0.0, "hold no value in it")
    if rules.max_missing < 1.0:
        yield Demand("missing", valueless(feature), Of.ROWS, rules.max_missing, "have no value of it")
    if rules.whole:
        yield Demand("fractional", (bins + FRACTIONAL_CELL,), Of.VALUES, 0.0, "are no whole numbers")
    if feature.outside:
        yield Demand("out_of_range", feature.outside, Of.VALUES, 0.0, "outside the possible range")
    if infinite := _beyond(feature):
        yield Demand("not_finite", infinite, Of.ROWS, 0.0, "are infinite, outside the possible range")
    if rules.max_new < 1.0 and feature.kind is Kind.TEXT:
        words = f"are none of the {'allowed' if rules.max_new == 0.0 else 'known'} categories"
        yield Demand("new_category", tuple(feature.never), Of.VALUES, rules.max_new, words)


def _empty(feature: Feature) -> tuple[int, ...]:
    """Sent without a value."""
    return tuple(cell for cell in valueless(feature) if cell != feature.bins + ABSENT_CELL)


def _beyond(feature: Feature) -> tuple[int, ...]:
    """Infinite numbers, on each side where the possible range has an end: they are no values, and in no bin."""
    if feature.kind is not Kind.NUMBER:
        return ()
    ends = ((INF_CELL, feature.rules.high), (NEGATIVE_INF_CELL, feature.rules.low))
    return tuple(feature.bins + cell for cell, end in ends if math.isfinite(end))


class Demands:
    """Every rule of a layout."""

    def __init__(self, layout: Layout) -> None:
        self._all: list[tuple[int, Demand, Ints]] = []
        for i, feature in enumerate(layout.features):
            start = int(layout.starts[i])
            self._all += [(i, d, start + np.array(d.cells, dtype=np.int64)) for d in demands(feature) if d.cells]

    def __len__(self) -> int:
        return len(self._all)

    def broken(self, counts: Cells | Ints, bases: Mapping[Of, Ints]) -> dict[tuple[str, int], Breach]:
        """The worst breach of one window by check and feature. bases: what shares are shares of, (features,) each."""
        found: dict[tuple[str, int], Breach] = {}
        for i, demand, cells in self._all:
            n = int(bases[demand.of][i])
            faulty = min(int(counts[cells].sum()), n)
            if not faulty or not n or (demand.limit and n < ROWS_MIN) or faulty <= demand.limit * n:
                continue
            breach, key = Breach(demand, faulty, n), (demand.check, i)
            if key not in found or breach.effect > found[key].effect:
                found[key] = breach
        return found
