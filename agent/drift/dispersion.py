"""φ: how much more windows vary than independent rows would, learned from the reference's own windows.

Groups of h consecutive windows are each compared with the rest of the reference; the mean of z² is φ for horizon h, with
groups - 1 degrees of freedom. Few groups leave a wide t distribution, which would be silence; so each estimate borrows
from the other features and from the horizon before (docs/decisions/0010-shared-overdispersion.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.drift.comparison import compare
from agent.drift.moderation import moderate
from agent.drift.pooling import ROWS_MIN, STATISTICS, Cells, Levels
from agent.records import Bools, Floats, Ints

GROUPS_MIN = 3  # groups of a size, for that size to be known at all
RARE_GROUPS_MIN = 10  # rare mass borrows from nobody: its φ differs too much between features
DF_MIN = 30.0  # after borrowing; a t of fewer needs z > 6.5 at the ledger's levels, which is silence
DF_MAX = 1000.0  # a t of more is a normal, and costs more
GROWTH_MAX = 1.5  # how many times more rows than the reference's groups had
_GROUPS_USED = 96  # more only cost time: evenly spaced ones are taken
_ROWS_AT_ONCE = 400_000  # cells held at once while preparing


@dataclass(frozen=True)
class Spread:
    """φ for one horizon and n. phi, tested: (4, features) for location, scale, skew, rest; rare and its own: (features,).

    df: (4, features), those of the t distribution.
    """

    phi: Floats
    df: Floats
    tested: Bools
    rare: Floats
    rare_tested: Bools


class Dispersion:
    """φ by size of group. steps: windows a group; rows, groups: (steps, features); phi, df: (steps, 4, features)."""

    def __init__(self, cells: Cells, levels: Levels, blocks: Floats, horizons: Sequence[int]) -> None:
        """blocks: (windows, cells) counts, in order of time. Takes some 100 ms for 200 features and 300 windows."""
        ladder = sorted({*horizons, *(2**k for k in range(16))})
        self.steps = np.array([s for s in ladder if s == 1 or len(blocks) // s >= GROUPS_MIN])
        found = [_of_groups(cells, levels, _grouped(blocks, int(s))) for s in self.steps]
        self.rows = np.array([f.rows for f in found])
        self.groups = np.array([f.groups for f in found])
        self.rare = np.array([f.rare for f in found])
        self.phi, self.df = _shared(found)
        self.long = np.where((self.groups >= 5)[:, None, :], self.phi, 1.0).max(axis=0)
        self.total = cells.sums(blocks.sum(axis=0))

    def at(self, horizon: int, n: Floats) -> Spread:
        """For n rows (features,) of `horizon` windows: from the smallest groups that are as long and about as large.

        A window effect adds variance that more rows a window do not average away, so φ - 1 grows with n; below the
        group's own size φ is left as it is, since clusters inside a window do not shrink with it.
        """
        features = np.arange(n.size)
        fits = (self.steps >= horizon)[:, None] & (self.groups >= GROUPS_MIN) & (self.rows * GROWTH_MAX >= n)
        step = np.argmax(fits, axis=0)
        known = fits[step, features]
        base, df = self.phi[step, :, features].T, self.df[step, :, features].T
        growth = np.maximum(n / np.maximum(self.rows[step, features], 1.0), 1.0)
        phi = 1.0 + (base - 1.0) * growth
        df = df * np.square(phi / (growth * base))  # the error of φ - 1 grows too
        # The reference's mean is uncertain by its slowest movements, which a window compared with the rest cannot show.
        slow = 2.0 * np.maximum(self.long - phi, 0.0) * (n / np.maximum(n + self.total, 1.0))
        rare = 1.0 + (self.rare[step, features] - 1.0) * growth
        rare_tested = known & (self.groups[step, features] >= RARE_GROUPS_MIN)
        return Spread(phi + slow, np.clip(df, 1.0, DF_MAX), known & (df >= DF_MIN), rare, rare_tested)


@dataclass(frozen=True)
class _Groups:
    """Raw estimates of one size of group; (4, features) or (features,)."""

    phi: Floats
    df: Floats
    rare: Floats
    rows: Floats
    groups: Floats


def _grouped(blocks: Floats, size: int) -> Floats:
    groups = max(len(blocks) // size, 1)
    # The oldest are left over; groups end where the reference ends.
    whole = blocks[len(blocks) - groups * size :] if len(blocks) >= groups * size else blocks
    found: Floats = np.add.reduceat(whole, np.arange(0, len(whole), size), axis=0) if size > 1 else whole
    return found


def _of_groups(cells: Cells, levels: Levels, groups: Floats) -> _Groups:
    """Every group against the rest: means of z², of the residual over its degrees of freedom, of the rare mass."""
    total = groups.sum(axis=0)
    n_total = cells.sums(total)
    n_all = cells.sums(groups)
    # Too small a group of a feature says nothing of windows that are judged.
    enough = (n_all >= ROWS_MIN) & (n_total - n_all >= ROWS_MIN)
    count = enough.sum(axis=0).astype(np.float64)
    rows = np.where(enough, n_all, 0.0).sum(axis=0) / np.maximum(count, 1.0)
    pooled = levels.at(levels.level(rows))
    squares, residual = np.zeros((3, rows.size)), np.zeros(rows.size)
    rare_square, rare_expected = np.zeros(rows.size), np.zeros(rows.size)
    used, seen = _some(len(groups)), np.zeros(rows.size)
    at_once = max(_ROWS_AT_ONCE // max(total.size, 1), 1)
    for start in range(0, used.size, at_once):
        chosen = used[start : start + at_once]
        n, current, valid = n_all[chosen], groups[chosen], enough[chosen]
        rest = n_total - n
        found = compare(cells, pooled, current, total - current, n, rest)
        squares += np.where(valid[:, None, :], np.square(found.z), 0.0).sum(axis=0)
        residual += np.where(valid, found.residual, 0.0).sum(axis=0)
        ratio = n / np.maximum(rest, 1.0)
        expected = np.where(valid, found.rare_reference * ratio, 0.0)
        rare_square += np.square(np.where(valid, found.rare - found.rare_reference * ratio, 0.0)).sum(axis=0)
        rare_expected += (expected * (1.0 + ratio)).sum(axis=0)
        seen += valid.sum(axis=0)
    free = np.maximum(pooled.df, 1)
    weight = np.maximum(seen, 1.0)
    phi = np.concatenate([squares, (residual / free)[None]]) / weight
    df = np.repeat(np.maximum(seen - 1.0, 0.0)[None], STATISTICS, axis=0)
    df[-1] *= directions(phi[-1], pooled.df.astype(np.float64))
    df[:-1][np.isnan(pooled.scores.skewness)] = 0.0
    rare = np.maximum(rare_square / np.maximum(rare_expected, 1e-12), 1.0)
    return _Groups(phi, df, np.where(rare_expected > 0, rare, 1.0), rows, count)


def _some(groups: int) -> Ints:
    return np.unique(np.linspace(0, groups - 1, min(groups, _GROUPS_USED)).astype(np.int64))


def directions(phi: Floats, df: Floats) -> Floats:
    """How many directions the residual's variance fills at least, after Box (1954): all of the excess may lie in one.

    >>> directions(np.array([1.0, 47.0]), np.array([16, 16])).round(2).tolist()
    [16.0, 1.04]
    """
    excess = (np.maximum(phi, 1.0) - 1.0) * df
    whole = (df + excess) ** 2
    found: Floats = np.where(df > 0, whole / np.maximum((1.0 + excess) ** 2 + df - 1.0, 1e-9), 0.0)
    return found


def _shared(found: Sequence[_Groups]) -> tuple[Floats, Floats]:
    """Each statistic's estimates, moderated: the shortest by all features, longer ones by the one before."""
    phi, df = [], []
    prior, cap = np.ones_like(found[0].phi), np.full_like(found[0].phi, DF_MAX)
    for groups in found:
        both = [moderate(groups.phi[k], groups.df[k], prior[k], cap[k]) for k in range(STATISTICS)]
        prior = np.array([b[0] for b in both])
        cap = np.array([b[1] for b in both])
        phi.append(prior)
        df.append(cap)
    return np.array(phi), np.array(df)
