"""φ: how much more windows vary than independent rows would, learned from the reference's own windows.

Groups of h consecutive windows are each compared with the rest of the reference; the mean of z² is φ for horizon h,
with groups - 1 degrees of freedom. Few groups leave a wide t distribution, which would be silence; so each estimate
borrows from the other features and from the horizon before (docs/decisions/0010-shared-overdispersion.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.drift.comparison import compare
from agent.drift.moderation import DF_MAX, moderate
from agent.drift.pooling import ROWS_MIN, Cells, Levels, Pooled
from agent.drift.scores import score_sums, two_sample
from agent.records import Bools, Floats

GROUPS_MIN = 3  # groups of a size, for that size to be known at all
RARE_GROUPS_MIN = 10  # rare mass borrows from nobody: its φ differs too much between features
DF_MIN = 15.0  # after borrowing; a t of fewer needs z > 8 at the ledger's levels, which is silence
LAG_MAX = 0.95
GROWTH_MAX = 1.5  # how many times more rows than the reference's groups had
_GROUPS_USED = 96  # more only cost time: evenly spaced ones are taken
_CELLS_AT_ONCE = 400_000  # cells held at once while preparing


@dataclass(frozen=True)
class Spread:
    """φ for one horizon and n.

    phi, df, tested: (4, features) for location, scale, skew and the rest; df of the t distribution. rare, rare_tested:
    (features,).
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
        self.tail = np.array([f.tail for f in found])
        # Averaging h windows divides a tail by h; a tail that is seen there all the same counts.
        self.tail = np.maximum(self.tail, self.tail[0] / self.steps[:, None, None])
        self.long = self._long(found[0].lag)
        self.total = cells.sums(blocks.sum(axis=0))

    def _long(self, lag: Floats) -> Floats:
        """φ of groups as long as the reference: the largest that is seen, or what the windows' autocorrelation says."""
        seen = np.where((self.groups >= 5)[:, None, :], self.phi, 1.0).max(axis=0)
        excess = self.phi[0] - 1.0
        slow = np.zeros_like(excess)
        # z holds sampling noise too, which hides the autocorrelation of what moves.
        own = np.minimum(lag * self.phi[0, :3] / np.maximum(excess[:3], 0.05), LAG_MAX)
        factor = (1.0 + own) / (1.0 - own)
        # The windows' own spread is measured around a mean that moved with them: what that hid is put back.
        hidden = np.minimum(factor / np.maximum(self.groups[0], 1.0), 0.5)
        slow[:3] = excess[:3] * factor / (1.0 - hidden)
        return np.asarray(np.maximum(seen, 1.0 + slow), dtype=np.float64)

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
        tail = np.zeros_like(df)
        tail[:3] = self.tail[step, :, features].T
        tail[3] = tail[:3].max(axis=0)
        # The reference's mean is uncertain by its slowest movements, which a window compared with the rest cannot show.
        slow = 2.0 * np.maximum(self.long - phi, 0.0) * (n / np.maximum(n + self.total, 1.0))
        rare = 1.0 + (self.rare[step, features] - 1.0) * growth
        # What the scores leave may lie in one direction, of which few groups say nothing: it follows the location's.
        tested = known & (df >= DF_MIN) & (df[0] >= DF_MIN)
        rare_tested = known & (self.groups[step, features] >= RARE_GROUPS_MIN)
        # Windows with the excess kurtosis κ have the tail of a t with 4 + 6/κ.
        both = 1.0 / (1.0 / np.clip(df, 1.0, DF_MAX) + tail / (4.0 * tail + 6.0))
        return Spread(phi + slow, both, tested, rare, rare_tested)


@dataclass(frozen=True)
class _Groups:
    """Raw estimates of one size of group. tail: excess kurtosis of z; lag: its autocorrelation."""

    phi: Floats
    df: Floats
    tail: Floats
    lag: Floats
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
    """Every group against the rest: z², the residual over its degrees of freedom, the rare mass."""
    total, n = groups.sum(axis=0), cells.sums(groups)
    rest = cells.sums(total) - n
    # Too small a group of a feature says nothing of windows that are judged.
    enough = (n >= ROWS_MIN) & (rest >= ROWS_MIN)
    count = enough.sum(axis=0).astype(np.float64)
    rows = np.where(enough, n, 0.0).sum(axis=0) / np.maximum(count, 1.0)
    pooled = levels.at(levels.level(rows))
    z = _leave_one_out(cells, pooled, groups, n, rest)
    z = np.where(enough[:, None, :] & ~np.isnan(pooled.scores.skewness), z, 0.0)
    phi = np.square(z).sum(axis=0) / np.maximum(count, 1.0)
    lag, tail = _lag(z), _tail(z, phi, count)
    # A mean of correlated, heavy-tailed squares is worth fewer of them.
    df = np.maximum(count - 1.0, 0.0) * (1.0 - lag**2) / (1.0 + lag**2) * 2.0 / (2.0 + tail)
    df[np.isnan(pooled.scores.skewness)] = 0.0
    rest_phi = _residual(cells, pooled, groups, n, rest, enough)
    rest_df = np.min(np.where(df > 0, df, np.inf), axis=0)
    rest_df = np.where(np.isfinite(rest_df), rest_df, 0.0) * directions(rest_phi, pooled.df.astype(np.float64))
    rare = _rare(cells, pooled, groups, n / np.maximum(rest, 1.0), enough)
    return _Groups(np.vstack((phi, rest_phi)), np.vstack((df, rest_df)), tail, lag, rare, rows, count)


def _leave_one_out(cells: Cells, pooled: Pooled, groups: Floats, n: Floats, rest: Floats) -> Floats:
    """(groups, 3, features): each group's normal deviates from all others."""
    if not len(groups):
        return np.zeros((0, 3, n.shape[1]))
    at_once = max(_CELLS_AT_ONCE // max(groups.shape[1], 1), 1)
    sums = np.concatenate(
        [score_sums(cells, pooled.scores, groups[i : i + at_once]) for i in range(0, len(groups), at_once)]
    )
    n, rest = np.maximum(n, 1.0)[:, None, :], np.maximum(rest, 1.0)[:, None, :]
    return two_sample(sums / n, (sums.sum(axis=0) - sums) / rest, n, rest, pooled.scores.skewness)[1]


def _lag(z: Floats) -> Floats:
    """Autocorrelation of neighbouring groups, 0 unless beyond two standard errors; Kendall's (1954) bias taken off."""
    groups = len(z)
    if groups < 8:
        return np.zeros(z.shape[1:])
    centred = z - z.mean(axis=0)
    found = (centred[1:] * centred[:-1]).sum(axis=0) / np.maximum(np.square(centred).sum(axis=0), 1e-12)
    mended = np.minimum(found + (1.0 + 3.0 * found) / groups, LAG_MAX)
    return np.where(found > 2.0 / np.sqrt(groups), mended, 0.0)


def _tail(z: Floats, phi: Floats, count: Floats) -> Floats:
    """Excess kurtosis of a window's z, 0 for a normal: its own where that is certain, or the features' common one."""
    kurtosis = (z**4).sum(axis=0) / np.maximum(count * phi**2, 1e-12) - 3.0
    error = np.sqrt(24.0 / np.maximum(count, 1.0))
    there = (phi > 0) & (count >= 8)
    m = np.maximum(there.sum(axis=1, keepdims=True), 1)
    common = np.where(there, kurtosis, 0.0).sum(axis=1, keepdims=True) / m
    common -= np.where(there, error, 0.0).sum(axis=1, keepdims=True) / m / np.sqrt(m)
    return np.where(there, np.maximum(np.maximum(kurtosis - 2.0 * error, common), 0.0), 0.0)


def _residual(
    cells: Cells, pooled: Pooled, groups: Floats, n: Floats, rest: Floats, enough: Bools
) -> Floats:
    """(features,): the mean residual over its degrees of freedom."""
    found, seen = np.zeros(n.shape[1]), np.zeros(n.shape[1])
    used = np.unique(np.linspace(0, len(groups) - 1, min(len(groups), _GROUPS_USED)).astype(np.int64))
    at_once = max(_CELLS_AT_ONCE // max(groups.shape[1], 1), 1)
    total = groups.sum(axis=0)
    for start in range(0, used.size, at_once):
        chosen = used[start : start + at_once]
        compared = compare(cells, pooled, groups[chosen], total - groups[chosen], n[chosen], rest[chosen])
        found += np.where(enough[chosen], compared.residual, 0.0).sum(axis=0)
        seen += enough[chosen].sum(axis=0)
    mean: Floats = found / np.maximum(pooled.df, 1) / np.maximum(seen, 1.0)
    return mean


def _rare(cells: Cells, pooled: Pooled, groups: Floats, ratio: Floats, enough: Bools) -> Floats:
    """(features,): φ of the rare mass, from its squared surprises over their expectation; at least 1."""
    mass = cells.sums(groups * pooled.rare)
    expected = (mass.sum(axis=0) - mass) * ratio
    square = np.where(enough, np.square(mass - expected), 0.0).sum(axis=0)
    noise = np.where(enough, expected * (1.0 + ratio), 0.0).sum(axis=0)
    return np.maximum(np.where(noise > 0, square / np.maximum(noise, 1e-12), 1.0), 1.0)


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
    """Every estimate moderated: the shortest groups' by all features, longer ones' by the one before and all features.

    The three scores share how far features differ; what they leave stands alone.
    """
    phi, df = [], []
    prior, cap = np.ones_like(found[0].phi), np.full_like(found[0].phi, DF_MAX)
    # Where windows depend on each other, how φ grows with the horizon is the feature's own: little can be borrowed.
    trust = 1.0 - np.square(found[0].lag.max(axis=0))
    for groups in found:
        both = [moderate(groups.phi[k], groups.df[k], prior[k], cap[k]) for k in (slice(0, 3), slice(3, 4))]
        prior = np.concatenate([b[0] for b in both])
        df.append(np.concatenate([b[1] for b in both]))
        cap = df[-1] * trust
        phi.append(prior)
    return np.array(phi), np.array(df)
