"""Which cells are judged together: pooled until the reference expects five or more in each.

All tested features lie one after another in flat arrays, and a sum over a feature or a pooled cell is one `reduceat`:
200 features of 22 bins and one of 1,000 categories cost what their cells cost, with no padding.

How far to pool depends on the rows, so it is worked out beforehand for levels of rows, each twice the one before, from
the reference alone: what is judged never chooses how it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.bins import Layout
from agent.drift.rare import Order, is_tested, order_of, shapeless
from agent.drift.scores import Scores, orthonormal
from agent.records import Bools, Floats, Ints, Kind

EXPECTED_MIN = 5.0  # per pooled cell: Cochran's rule; Cressie-Read keeps its chi-square tail from there on
ROWS_MIN = 50  # fewer rows than this are never tested
LEVELS_MAX = 16


@dataclass(frozen=True)
class Cells:
    """The value cells of the tested features, in the order in which they are pooled.

    Numbers and flags in their own order; texts by rising share, so that rare categories lie together, but see `rare`.
    """

    features: tuple[int, ...]  # their numbers in the layout
    take: Ints  # (cells,): where each lies in a layout's array
    starts: Ints  # (features,): each feature's first
    owner: Ints  # (cells,): the feature each belongs to
    share: Floats  # (cells,): in the reference; 0 where it has no values of the feature
    numeric: Bools  # (features,)
    joined: tuple[int, ...] = ()  # cells that never stand apart from the one before
    credit: tuple[float, ...] = ()  # (features,): rows of mass never seen that the reference itself foretells
    whole: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # (cells,): alike: one bin as people know it

    @classmethod
    def of(
        cls, layout: Layout, share: Floats, pooled: Ints, features: Sequence[int] | None = None, coarse: bool = False
    ) -> Cells:
        """share, pooled: (layout cells,), of the reference: shares within each feature, and counts. features: those
        that are judged; None: all that can be. coarse: "other" is one cell, whatever it is counted in."""
        tested = _tested(layout, pooled) if features is None else tuple(features)
        orders, whole = [], []
        for i in tested:
            feature, counts = layout.features[i], pooled[layout.slice(i)][: layout.features[i].bins]
            orders.append(order_of(feature, counts, coarse) if feature.kind is Kind.TEXT else Order.plain(feature))
            whole.append([int(layout.starts[i]) + feature.told(cell) for cell in orders[-1].cells.tolist()])
        sizes = np.array([len(order.cells) for order in orders], dtype=np.int64)
        take = [int(layout.starts[i]) + order.cells for i, order in zip(tested, orders, strict=True)]
        flat = np.concatenate(take) if take else np.empty(0, np.int64)
        joined = np.concatenate([order.joined for order in orders]) if take else np.empty(0, bool)
        return cls(
            features=tested,
            take=flat,
            starts=np.cumsum(sizes) - sizes,
            owner=np.repeat(np.arange(len(tested)), sizes),
            share=share[flat],
            numeric=np.array([layout.features[i].kind is Kind.NUMBER for i in tested], dtype=bool),
            joined=tuple(np.flatnonzero(joined).tolist()),
            credit=tuple(order.credit for order in orders),
            whole=np.array([cell for own in whole for cell in own], dtype=np.int64),
        )

    @cached_property
    def density(self) -> Floats:
        """(cells,): of a normal at the quantile where the cell begins; 0 at a feature's first."""
        before = np.cumsum(self.share) - self.share
        before -= before[self.starts][self.owner]
        normal = NormalDist()
        return np.array([normal.pdf(normal.inv_cdf(b)) if 1e-12 < b < 1.0 - 1e-12 else 0.0 for b in before.tolist()])

    @cached_property
    def by_bin(self) -> tuple[Ints, Ints]:
        """The cells in an order in which those of one bin, as people know it, are neighbours; where each bin begins."""
        bins, first, of_cell = np.unique(self.whole, return_index=True, return_inverse=True)
        order = np.argsort(first[of_cell], kind="stable")
        sizes = np.bincount(of_cell, minlength=bins.size)[np.argsort(first)]
        return order, np.cumsum(sizes) - sizes

    def known(self) -> Cells:
        """The bins as people know them, each one cell; `by_bin` says which cells of these go into each."""
        order, starts = self.by_bin
        owner = self.owner[order][starts]
        return Cells(
            self.features, self.take[order][starts], np.searchsorted(owner, np.arange(len(self.features))), owner,
            np.add.reduceat(self.share[order], starts), self.numeric, (), self.credit, self.whole[order][starts],
        )  # fmt: skip

    def in_bins(self, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(…, bins of `known`) of (…, cells)."""
        order, starts = self.by_bin
        return np.asarray(np.add.reduceat(counts[..., order], starts, axis=-1))

    def sums(self, values: Floats) -> Floats:
        """Sums over each feature's cells, along the last axis."""
        found: Floats = np.add.reduceat(values, self.starts, axis=-1)
        return found


def _tested(layout: Layout, pooled: Ints) -> tuple[int, ...]:
    """All features that can be judged by their cells."""
    without = shapeless(layout, pooled)
    return tuple(i for i, f in enumerate(layout.features) if is_tested(f) and i not in without)


@dataclass(frozen=True)
class Pooled:
    """One way to pool, for every feature the level that its rows allow.

    starts: (pooled,) first cell of each; first: (features,) each feature's first pooled cell; owner: (pooled,).
    bins: (features,) pooled cells a feature; df: (features,) degrees of freedom the scores leave; rare: (cells,) those
    whose mass is tested by the exact test.
    """

    starts: Ints
    first: Ints
    owner: Ints
    bins: Ints
    df: Ints
    scores: Scores
    rare: Bools


class Levels:
    """Every level's pooling, made once; `at` puts a mixture of levels together in about 0.2 ms for 200 features."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        begins: list[Bools] = []
        for level in range(LEVELS_MAX):
            begins.append(begins_of(cells, _threshold(level)))
            if not ((cells.share > 0) & (cells.share < _threshold(level))).any():
                break  # as fine as the reference itself
        self._begins = np.array(begins)
        bins = [cells.sums(b.astype(np.float64)).astype(np.int64) for b in begins]
        single = [b == 1 for b in bins]
        for begin, alone in zip(self._begins, single, strict=True):
            _split_off_main(cells, begin, alone)
        self._bins = np.array([cells.sums(b.astype(np.float64)).astype(np.int64) for b in self._begins])
        self._single = np.array(single)
        made = [orthonormal(cells, b, s) for b, s in zip(self._begins, single, strict=True)]
        self._vectors = np.array([m.vectors for m in made], dtype=np.float32)
        self._skewness = np.array([m.skewness for m in made])
        # The exact test of rare mass: texts and flags always, numbers only where nothing else can be tested.
        may = (~cells.numeric | self._single)[:, cells.owner]
        may[:, list(cells.joined)] = False
        self._rare = may & (cells.share < np.array([[_threshold(i)] for i in range(len(begins))]))
        self._position = np.arange(cells.take.size)

    @cached_property
    def count(self) -> int:
        return len(self._begins)

    def level(self, rows: Floats) -> Ints:
        """The finest level that so many rows carry; 0 also for fewer than ROWS_MIN."""
        with np.errstate(divide="ignore"):
            found = np.floor(np.log2(np.maximum(rows, 1.0) / ROWS_MIN) + 1e-9)
        return np.clip(found, 0, self.count - 1).astype(np.int64)

    def at(self, level: Ints) -> Pooled:
        """level: int (features,)."""
        cells, count = self.cells, len(self.cells.features)
        of_cell, own = level[cells.owner], level * count + np.arange(count)
        at = of_cell * self._position.size + self._position  # in a level's row: a tenth of the time of two indices
        starts = np.flatnonzero(self._begins.take(at))
        bins = self._bins.take(own)
        single = self._single.take(own)
        thirds = 2 * self._position.size * of_cell + at + self._position.size * np.arange(3)[:, None]
        return Pooled(
            starts=starts,
            first=np.cumsum(bins) - bins,
            owner=cells.owner[starts],
            bins=bins,
            df=np.where((bins >= 5) & ~single, bins - 4, 0),
            scores=Scores(self._vectors.take(thirds), self._skewness[level, :, np.arange(count)].T),
            rare=self._rare.take(at),
        )


def _threshold(level: int) -> float:
    return EXPECTED_MIN / float(ROWS_MIN * 2**level)


def begins_of(cells: Cells, threshold: float) -> Bools:
    """(cells,): where a pooled cell begins, each with at least `threshold` of its feature's share. Greedy along the
    feature's order; a light rest joins the one before."""
    begins = np.zeros(cells.take.size, dtype=bool)
    share, joined = cells.share.tolist(), set(cells.joined)
    for start, end in pairwise([*cells.starts.tolist(), cells.take.size]):
        mass, last = threshold, start
        for i in range(start, end):
            if mass >= threshold and i not in joined:
                begins[i], mass, last = True, 0.0, i
            mass += share[i]
        if mass < threshold and last > start:
            begins[last] = False
    return begins


def _split_off_main(cells: Cells, begins: Bools, alone: Bools) -> None:
    """Where all was pooled into one cell, the heaviest stands apart: its loss is what the exact test looks for."""
    for feature in np.flatnonzero(alone):
        start = int(cells.starts[feature])
        own = cells.owner == feature
        main = start + int(np.argmax(cells.share[own]))
        begins[start] = begins[main] = True
        if main + 1 < start + int(own.sum()):
            begins[main + 1] = True
