"""What a measure is: which cells of a feature are at fault, out of which, and how to say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from agent.bins import Feature
from agent.figures import percent as percent  # for the measures
from agent.records import Ints

# Rise in share below which nobody is woken: one row in two hundred cannot move a model's average by what anyone sees.
FLOOR = 0.005


class Of(Enum):
    """What a fault's share is a share of."""

    ROWS = "rows"
    VALUES = "values"  # rows with a finite value of the right type


@dataclass(frozen=True, slots=True)
class Look:
    """One feature under one measure. now, then: int64 (feature.cells,), this window and the whole reference.

    faulty of n now; expected: the reference's share of faults.
    """

    feature: Feature
    now: Ints
    then: Ints
    faulty: int
    n: int
    expected: float

    @property
    def share(self) -> float:
        return self.faulty / self.n

    def held(self, cells: tuple[int, ...]) -> float:
        """The share of the reference's values in these cells, 0-1, as it was counted: without what it is credited."""
        values = int(self.then[: self.feature.bins].sum())
        return int(self.then[list(cells)].sum()) / values if values else 0.0


def no_detail(look: Look) -> Mapping[str, float]:
    return {}


def no_credit(feature: Feature, then: Ints) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of fault.

    cells: the feature's faulty cells, counted from its first; empty where the measure does not apply.
    describe: one sentence about a fault, without values. detail: further figures for `Finding.distances`.
    credit: faults the reference is credited with at least, where bins made from it cannot show any.
    known: the reference's cells that stand for this fault, where they are not `cells` alone: NaN and null are often one
    thing in two spellings, since a table written by pandas holds null where the frame that is served holds NaN.
    """

    check: str
    of: Of
    cells: Callable[[Feature], tuple[int, ...]]
    describe: Callable[[Look], str]
    detail: Callable[[Look], Mapping[str, float]] = no_detail
    credit: Callable[[Feature, Ints], int] = no_credit
    known: Callable[[Feature], tuple[int, ...]] | None = None
