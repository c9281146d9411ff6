"""Raw estimates of how windows vary: the reference's groups of blocks, each against the matched rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.drift.comparison import cell_deviates, compare
from agent.drift.leave_out import Groups, Rows
from agent.drift.matching import Matching, Part
from agent.drift.pooling import ROWS_MIN, Levels, Pooled
from agent.drift.scores import two_sample
from agent.records import Bools, Floats, Ints

SHAPE_MIN = 20  # groups, for their residuals' variance to be known
_GROUPS_USED = 96  # for the residual, which needs every cell: more only cost time, evenly spaced ones are taken
_CELLS_AT_ONCE = 400_000  # cells held at once while preparing


@dataclass(frozen=True)
class Deviates:
    """Every group's normal deviates from the rest: z (groups, 3, features), 0 where there is none.

    n, rest: (groups, features), rows and effective rows; count, rows: (features,), groups large enough and their mean
    rows.
    """

    z: Floats
    n: Floats
    rest: Floats
    enough: Bools
    count: Floats
    rows: Floats
    pooled: Pooled
    rare: Floats
    groups: tuple[tuple[Part, Groups, Rows], ...]

    @property
    def effective(self) -> Floats:
        """(groups, features): rows behind z, as if the rest were the truth."""
        return 1.0 / (1.0 / np.maximum(self.n, 1.0) + 1.0 / np.maximum(self.rest, 1.0))


def deviates(matching: Matching, sums_at: BlockSums, size: int) -> Deviates:
    """Groups of `size` consecutive blocks, of every feature by its own season."""
    cells, blocks = matching.cells, matching.blocks
    n = cells.sums(blocks)
    made = []
    for part in matching.parts:
        if part.features.size:
            groups = Groups.of(part.season, size)
            made.append((part, groups, groups.rows(n[:, part.features])))
    count = len(blocks) // size
    total, rest = np.zeros((count, n.shape[1])), np.zeros((count, n.shape[1]))
    for part, _, rows in made:
        total[:, part.features], rest[:, part.features] = rows.total, rows.effective
    # Too small a group of a feature says nothing of windows that are judged.
    enough = (total >= ROWS_MIN) & (rest >= ROWS_MIN)
    seen = enough.sum(axis=0).astype(np.float64)
    mean_rows = np.where(enough, total, 0.0).sum(axis=0) / np.maximum(seen, 1.0)
    pooled, sums = sums_at.rows(mean_rows)
    z = np.zeros((count, 3, n.shape[1]))
    rare = np.ones(n.shape[1])
    for part, groups, rows in made:
        mean, other = groups.compare(sums[:, :, part.features], rows)
        width = np.sqrt(_variance(part, groups, rows))
        here = mean[:, :3] / width, other[:, :3] / width
        z[:, :, part.features] = two_sample(
            *here, rows.total[:, None, :], np.maximum(rows.effective, 1.0)[:, None, :],
            pooled.scores.skewness[:, part.features],
        )[1]  # fmt: skip
        ratio = rows.total / np.maximum(rows.effective, 1.0)
        mass, expected = mean[:, 3] * rows.total, other[:, 3] * rows.total
        rare[part.features] = rare_phi(mass, expected, ratio, enough[:, part.features])
    z = np.where(enough[:, None, :] & ~np.isnan(pooled.scores.skewness), z, 0.0)
    return Deviates(z, total, rest, enough, seen, mean_rows, pooled, rare, tuple(made))


class BlockSums:
    """Every block's sums of the three scores and its rare mass, anew only for features that are pooled anew."""

    def __init__(self, matching: Matching, levels: Levels) -> None:
        self._cells, self._blocks, self._levels = matching.cells, matching.blocks, levels
        self._level = np.full(len(self._cells.features), -1)
        self._sums = np.zeros((len(self._blocks), 4, len(self._cells.features)))

    def rows(self, rows: Floats) -> tuple[Pooled, Floats]:
        """rows: (features,), how many groups have; sums: (blocks, 4, features), good until the next call."""
        level = self._levels.level(rows)
        pooled = self._levels.at(level)
        changed = np.flatnonzero(level != self._level)
        at = np.flatnonzero(np.isin(self._cells.owner, changed))
        starts = np.searchsorted(self._cells.owner[at], changed)
        vectors = (*pooled.scores.vectors[:, at], pooled.rare[at])
        at_once = max(_CELLS_AT_ONCE // max(at.size, 1), 1)
        for start in range(0, len(self._blocks) if at.size else 0, at_once):
            some = self._blocks[start : start + at_once]
            some = some if at.size == some.shape[1] else some[:, at]
            for k, vector in enumerate(vectors):
                if vector.any():
                    self._sums[start : start + at_once, k, changed] = np.add.reduceat(some * vector, starts, axis=1)
                else:
                    self._sums[start : start + at_once, k, changed] = 0.0
        self._level = level
        return pooled, self._sums


def _variance(part: Part, groups: Groups, rows: Rows) -> Floats:
    """(groups, 3, features): of one value's scores within its phases; 1 without a season."""
    if part.season.known.size == 1:
        return np.ones((groups.count, 3, part.features.size))
    found = np.zeros((groups.count, 3, part.features.size))
    np.add.at(found, groups.of_pair, rows.weight[:, None, :] * part.variance[groups.phase_of_pair])
    return np.where(found > 0, found, 1.0)


def rare_phi(mass: Floats, expected: Floats, ratio: Floats, enough: Bools) -> Floats:
    """(features,): φ of the rare mass, from its squared surprises over their expectation; at least 1.

    All (groups, features): mass: counts; expected: of the rest; ratio: of a group's rows to the rest's.
    """
    square = np.where(enough, np.square(mass - expected), 0.0).sum(axis=0)
    noise = np.where(enough, expected * (1.0 + ratio), 0.0).sum(axis=0)
    return np.maximum(np.where(noise > 0, square / np.maximum(noise, 1e-12), 1.0), 1.0)


@dataclass(frozen=True)
class Left:
    """What the scores do not say. mean, shape: (features,), of the residual; seen: (features,), groups it is of. alone:
    the pooled cells of texts and flags; z: (groups, alone), deviates of their shares, 0 where there is none."""

    mean: Floats
    shape: Floats
    seen: Floats
    alone: Ints
    z: Floats


def residual(found: Deviates, matching: Matching, by_cell: bool = False) -> Left:
    """The mean residual of the divergence over its degrees of freedom, its shape, and by_cell: how single cells vary.

    The shape is the degrees of freedom of a χ² with the residual's mean and variance (Satterthwaite 1946). Where scores
    vary much more than rows would, they explain nearly all of the divergence: little is left, mostly none, but at times
    a lot.
    """
    cells, blocks = matching.cells, matching.blocks
    count, features = found.n.shape
    summed, squared, seen = np.zeros(features), np.zeros(features), np.zeros(features)
    alone = np.flatnonzero(~cells.numeric[found.pooled.owner] & by_cell)
    owner, z = found.pooled.owner[alone], list[Floats]()
    used = np.unique(np.linspace(0, count - 1, min(count, _GROUPS_USED)).astype(np.int64))
    at_once = max(_CELLS_AT_ONCE // max(blocks.shape[1], 1), 1)
    for start in range(0, used.size, at_once):
        chosen = used[start : start + at_once]
        current = np.zeros((chosen.size, blocks.shape[1]))
        reference = np.zeros_like(current)
        variance = np.ones((chosen.size, 3, features))
        for part, groups, rows in found.groups:
            current[:, part.cells], reference[:, part.cells] = _cells_of(blocks, part, groups, rows, chosen)
            if part.season.known.size > 1:
                variance[:, :, part.features] = _variance(part, groups, rows)[chosen]
        compared = compare(
            cells, found.pooled, current, reference, found.n[chosen], np.maximum(found.rest[chosen], 1.0), variance
        )
        left = np.where(found.enough[chosen], compared.residual, 0.0)
        summed += left.sum(axis=0)
        squared += np.square(left).sum(axis=0)
        seen += found.enough[chosen].sum(axis=0)
        both = compared.current[:, alone], compared.reference[:, alone]
        n, rest = np.maximum(found.n[chosen][:, owner], 1.0), np.maximum(found.rest[chosen][:, owner], 1.0)
        way = np.sign(both[0] / n - both[1] / rest)
        z.append(np.where(found.enough[chosen][:, owner], way * cell_deviates(*both, n, rest), 0.0))
    mean = summed / np.maximum(seen, 1.0)
    variance = (squared - seen * mean**2) / np.maximum(seen - 1.0, 1.0)
    shape = np.where((seen >= SHAPE_MIN) & (variance > 0), 2.0 * mean**2 / np.maximum(variance, 1e-12), np.inf)
    deviates_of = np.concatenate(z) if z else np.zeros((0, alone.size))
    return Left(mean / np.maximum(found.pooled.df, 1), shape, seen, alone, deviates_of)


def _cells_of(blocks: Floats, part: Part, groups: Groups, rows: Rows, chosen: Ints) -> tuple[Floats, Floats]:
    """(chosen, the part's cells): counts of these groups, and of what each is compared with, in effective rows."""
    current = np.zeros((chosen.size, part.cells.size))
    reference = np.zeros_like(current)
    first = groups.used.start
    everything = part.cells.size == blocks.shape[1]
    for row, group in enumerate(chosen):
        start = first + int(group) * groups.size
        own = blocks[start : start + groups.size]
        current[row] = (own if everything else own[:, part.cells]).sum(axis=0)
        if part.season.known.size == 1:
            reference[row] = part.counts[0] - current[row]
            continue
        for pair in _pairs(groups, int(group)):
            out = blocks[first + groups.members(pair)][:, part.cells].sum(axis=0)
            factor = rows.weight[pair] / rows.rest[pair] * rows.effective[group]
            reference[row] += (part.counts[groups.phase_of_pair[pair]] - out) * factor[part.owner]
    return current, np.maximum(reference, 0.0)


def _pairs(groups: Groups, group: int) -> Iterator[int]:
    start, end = np.searchsorted(groups.of_pair, (group, group + 1))
    yield from range(int(start), int(end))
