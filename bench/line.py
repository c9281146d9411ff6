"""One line of the report: a budget, what was measured, and what it was measured beside."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import pace as machine_pace


@dataclass(frozen=True, slots=True)
class Samples:
    """Repeats of one measurement, in one unit. Not empty. paces: the machine's at each, in µs (`bench.pace`); empty
    where they were not taken, or say nothing, as of memory."""

    values: tuple[float, ...]
    paces: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[float], paces: Sequence[float] = ()) -> Samples:
        return cls(tuple(values), tuple(paces))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def at_pace(self) -> Samples | None:
        """Each repeat as it would have been at the slow end of where the budgets were set. None without paces."""
        if not self.paces:
            return None
        slower = [pace / machine_pace.THEN[1] for pace in self.paces]
        return Samples(tuple(value / factor for value, factor in zip(self.values, slower, strict=True)))

    def less(self, other: Samples, divisor: float = 1.0) -> Samples:
        """The differences, repeat by repeat: both were taken in turns, so that the machine's moods cancel."""
        return Samples(
            tuple((a - b) / divisor for a, b in zip(self.values, other.values, strict=True)), self._between(other)
        )

    def plus(self, other: Samples) -> Samples:
        return Samples(tuple(a + b for a, b in zip(self.values, other.values, strict=True)), self._between(other))

    def _between(self, other: Samples) -> tuple[float, ...]:
        """One pace for what was made of both: apart, their noise would be larger than many a difference."""
        if not self.paces or not other.paces:
            return ()
        return tuple((a + b) / 2 for a, b in zip(self.paces, other.paces, strict=True))

    def text(self, unit: str) -> str:
        """`1.34 µs (1.30 to 1.52)`; the range only where there were repeats."""
        found = f"{number(self.median)} {unit}".strip()
        return found if len(self.values) == 1 else f"{found} ({number(min(self.values))} to {number(max(self.values))})"


@dataclass(frozen=True, slots=True)
class Beside:
    """The limit of what is possible, or another's way of doing it, measured in the same run."""

    name: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Line:
    """measured: None where nothing was (then `note` says why). budget: in `unit`; relative: as a multiple of beside[0].

    why: printed only when the budget is missed. note: printed always.
    """

    what: str
    unit: str
    measured: Samples | None = None
    budget: float | None = None
    relative: bool = False
    beside: tuple[Beside, ...] = ()
    why: str = ""
    note: str = ""

    @property
    def used(self) -> float | None:
        """What the budget speaks of: the median, or its ratio to the first thing beside it."""
        if self.measured is None:
            return None
        return ratio(self.measured, self.beside[0].samples) if self.relative else self.measured.median

    @property
    def met(self) -> bool | None:
        """None where there is no budget or nothing was measured."""
        used = self.used
        return None if used is None or self.budget is None else used <= self.budget

    @property
    def at_pace(self) -> Samples | None:
        """Measured, at the budgets' pace. None where it says nothing: of ratios, of memory and disk."""
        return None if self.measured is None or self.relative else self.measured.at_pace

    @property
    def met_at_pace(self) -> bool | None:
        """None where there is no budget or no such figure."""
        scaled = self.at_pace
        return None if scaled is None or self.budget is None else scaled.median <= self.budget


def ratio(measured: Samples, other: Samples) -> float:
    return measured.median / other.median if other.median else float("inf")


def in_turns(
    subjects: Mapping[str, Callable[[], float]],
    repeats: int,
    warm: int = 1,
    pace: Callable[[], float] = machine_pace.now,
) -> dict[str, Samples]:
    """Measures every subject in every round (A B C, A B C, …), the first `warm` rounds thrown away; and the machine's
    pace between any two of them: a repeat's own is the mean of those before and after it."""
    found: dict[str, list[float]] = {name: [] for name in subjects}
    paces: dict[str, list[float]] = {name: [] for name in subjects}
    before = pace()
    for number_ in range(warm + repeats):
        for name, measure in subjects.items():
            value, after = measure(), pace()
            if number_ >= warm:
                found[name].append(value)
                paces[name].append((before + after) / 2)
            before = after
    return {name: Samples.of(values, paces[name]) for name, values in found.items()}


def quantile(values: Sequence[float], share: float) -> float:
    """The value at this share, the next higher one where it falls between two. NaN for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def number(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
