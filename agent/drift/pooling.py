"""Which cells are judged together: pooled until the reference expects five or more in each.

All tested features lie one after another in flat arrays, and a sum over a feature or a pooled cell is one `reduceat`:
200 features of 22 bins and one of 1,000 categories cost what their cells cost, with no padding.

How far to pool depends on the rows, so it is worked out beforehand for levels of rows, each twice the one before, from
the reference alone: what is judged never chooses how it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import xxhash

from agent.bins import Feature, Layout
from agent.drift.scores import Scores, orthonormal
from agent.records import Bools, Floats, Ints, Kind, Source

EXPECTED_MIN = 5.0  # per pooled cell: Cochran's rule; Cressie-Read keeps its chi-square tail from there on
ROWS_MIN = 50  # fewer rows than this are never tested
LEVELS_MAX = 16
CLASS_MIN, CLASS_ERRORS = 30, 6.0  # of a text's categories: counts up to 30 are one class, each next six errors wide


@dataclass(frozen=True)
class Cells:
    """The value cells of the tested features, in the order in which they are pooled.

    Numbers and flags in their own order; texts by rising share, so that rare categories lie together, but see `ranked`.
    """

    features: tuple[int, ...]  # their numbers in the layout
    take: Ints  # (cells,): where each lies in a layout's array
    starts: Ints  # (features,): each feature's first
    owner: Ints  # (cells,): the feature each belongs to
    share: Floats  # (cells,): in the reference; 0 where it has no values of the feature
    numeric: Bools  # (features,)
    joined: tuple[int, ...] = ()  # cells that never stand apart from the one before
    credit: tuple[float, ...] = ()  # (features,): rows of mass never seen that the reference itself foretells

    @classmethod
    def of(cls, layout: Layout, share: Floats, pooled: Ints, features: Sequence[int] | None = None) -> Cells:
        """share, pooled: (layout cells,), of the reference: shares within each feature, and counts. features: those
        that are judged; None: all that can be."""
        tested = _tested(layout, pooled) if features is None else tuple(features)
        take = []
        credit = np.zeros(len(tested))
        never = np.zeros(layout.cells, dtype=bool)
        for k, i in enumerate(tested):
            feature, first = layout.features[i], int(layout.starts[i])
            own = np.arange(first, first + feature.bins)
            if feature.kind is Kind.TEXT:
                other = int(pooled[own[-2]])
                credit[k] = 0.0 if other else float((pooled[own] == 1).sum())
                order = first + ranked(pooled[own], feature.categories)
                chance = listed_by_chance(pooled[own])
                if chance.any():  # the least listed, other and never stand together
                    apart = np.isin(order, np.append(own[:-2][chance], own[-2:]))
                    order = np.concatenate((order[apart], order[~apart]))
                    never[order[1 : int(apart.sum())]] = True
                never[own[-1]] = other > 0
                own = order
            take.append(own)
        sizes = np.array([len(t) for t in take], dtype=np.int64)
        flat = np.concatenate(take) if take else np.empty(0, np.int64)
        return cls(
            features=tested,
            take=flat,
            starts=np.cumsum(sizes) - sizes,
            owner=np.repeat(np.arange(len(tested)), sizes),
            share=share[flat],
            numeric=np.array([layout.features[i].kind is Kind.NUMBER for i in tested], dtype=bool),
            joined=tuple(np.flatnonzero(never[flat]).tolist()),
            credit=tuple(credit.tolist()),
        )

    @cached_property
    def density(self) -> Floats:
        """(cells,): of a normal at the quantile where the cell begins; 0 at a feature's first."""
        before = np.cumsum(self.share) - self.share
        before -= before[self.starts][self.owner]
        normal = NormalDist()
        return np.array([normal.pdf(normal.inv_cdf(b)) if 1e-12 < b < 1.0 - 1e-12 else 0.0 for b in before.tolist()])

    def sums(self, values: Floats) -> Floats:
        """Sums over each feature's cells, along the last axis."""
        found: Floats = np.add.reduceat(values, self.starts, axis=-1)
        return found


def ranked(counts: Ints, categories: Sequence[str]) -> Ints:
    """The order of a text's cells: classes of rising count, and chance within a class.

    Were close counts put in order, the reference's own noise would choose what is pooled with what: those that happened
    to be rare would lie together, and come back more often in every window (regression to the mean). A class holds what
    noise alone may tell apart. Never seen follows other: which of both a rare category counts as was chance, too.
    """
    chance = [xxhash.xxh3_64_intdigest(name.encode()) for name in categories]
    order = np.array(sorted(range(len(categories)), key=lambda i: (counts[i], i)), dtype=np.int64)
    other, never = len(categories), len(categories) + 1
    at = int(np.searchsorted(counts[order], counts[other])) if len(order) else 0
    order = np.insert(order, at, other)
    chance += [0, 0]
    classes, upto, number = np.zeros(len(order), dtype=np.int64), float(CLASS_MIN), 0
    for k, count in enumerate(counts[order].tolist()):
        if count >= upto:
            number, upto = number + 1, count + CLASS_ERRORS * np.sqrt(count)
        classes[k] = number
    by_class = sorted(zip(classes.tolist(), order.tolist(), strict=True), key=lambda c: (c[0], chance[c[1]]))
    found = [cell for _, cell in by_class]
    found.insert(found.index(other) + 1, never)
    return np.array(found, dtype=np.int64)


def listed_by_chance(counts: Ints) -> Bools:
    """(categories,): which of a text's listed ones only chance put before some that are not listed.

    counts: of the listed, of other and of never seen. Those who came more often than they do were listed, so all of
    them come less often ever after (regression to the mean). None where even all others together are clearly rarer.
    """
    listed, other = counts[:-2], int(counts[-2])
    least = float(listed.min(initial=0))
    if other < max(1.0, least - CLASS_ERRORS * np.sqrt(least)):
        return np.zeros(listed.size, dtype=bool)
    return np.asarray(listed < max(float(CLASS_MIN), least + CLASS_ERRORS * np.sqrt(least)))


def _tested(layout: Layout, pooled: Ints) -> tuple[int, ...]:
    """All features that can be judged by their cells."""
    without = shapeless(layout, pooled)
    return tuple(i for i, f in enumerate(layout.features) if is_tested(f) and i not in without)


def shapeless(layout: Layout, pooled: Ints) -> frozenset[int]:
    """Texts without shares to judge, as ids are: chance chose all of the values that are listed."""
    texts = ((i, f) for i, f in enumerate(layout.features) if f.kind is Kind.TEXT and f.bins > 2 and is_tested(f))
    return frozenset(i for i, f in texts if listed_by_chance(pooled[layout.slice(i)][: f.bins]).all())


def is_tested(feature: Feature) -> bool:
    """Features, predictions and scores that have bins and are not ignored. Latency has a check of its own."""
    tested = feature.source is not Source.LATENCY and feature.kind is not Kind.VECTOR  # a vector by its parts
    return tested and feature.bins > 0 and not feature.ignored


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
