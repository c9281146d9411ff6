"""φ: how much more windows vary than independent rows would, learned from the reference's own windows.

Groups of h consecutive windows are each compared with the matched rest of the reference; the mean of z² is φ for
horizon h, with groups - 1 degrees of freedom. Few groups leave a wide t distribution, which would be silence; so each
estimate borrows from the other features and from the horizon before (docs/decisions/0010-shared-overdispersion.md).
What neighbours hide by resembling each other is put back (docs/decisions/0012-seasons-and-neighbours.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.drift.matching import Matching
from agent.drift.moderation import DF_MAX, Lending
from agent.drift.pooling import Levels
from agent.drift.raw import BlockSums, Deviates, deviates, residual
from agent.drift.tail_weight import Bend, excess_kurtosis, t_degrees
from agent.drift.wandering import Wander, Wandering
from agent.records import Bools, Floats, Ints
from agent.statistics.autocorrelation import correlation, growth, hidden, independent_groups

GROUPS_MIN = 3  # groups of a size, for that size to be known at all
RARE_GROUPS_MIN = 10  # rare mass borrows from nobody: its φ differs too much between features
DF_MIN = 15.0  # after borrowing; a t of fewer needs z > 8 at the ledger's levels, which is silence
GROWTH_MAX = 1.5  # how many times more rows than the reference's groups had


@dataclass(frozen=True)
class Phi:
    """For one horizon and n: phi, df, tested: (4, features) for location, scale, skew and the rest; df of the t
    distribution, tested whether there is a test. rare, rare_tested: (features,), of the mass that is tested exactly.
    """

    phi: Floats
    df: Floats
    tested: Bools
    rare: Floats
    rare_tested: Bools


@dataclass(frozen=True)
class Spread(Phi):
    """Of the whole. shape: (features,), degrees of freedom that the rest's own distribution has at most. effect:
    (features,), variance of the reference's windows' own mean location scores. wandering: single cells that vary more.
    """

    bend: Bend
    shape: Floats
    effect: Floats
    wandering: Wandering | None


class Dispersion:
    """φ by size of group. steps: blocks a group; rows, groups: (steps, features); phi, df: (steps, 4, features)."""

    def __init__(
        self, matching: Matching, levels: Levels, horizons: Sequence[int], texts: Bools, blocks_a_window: float = 1.0
    ) -> None:
        """texts: (features,). Takes some 100 ms for 200 features and 300 blocks."""
        blocks = len(matching.blocks)
        self._scale = blocks_a_window
        ladder = sorted({*(_steps(h, blocks_a_window) for h in horizons), *(2**k for k in range(16))})
        self.steps = np.array([s for s in ladder if s == 1 or blocks // s >= GROUPS_MIN])
        sums = BlockSums(matching, levels)
        found = [deviates(matching, sums, int(s)) for s in self.steps]
        first = found[0]
        self.rows = np.array([f.rows for f in found])
        self.groups = np.array([f.count for f in found])
        self.rare = np.array([f.rare for f in found])
        has = ~np.isnan(first.pooled.scores.skewness)
        excess = np.maximum(np.square(first.z[:, 0]) - 1.0, -1.0) / first.effective
        self.effect = np.maximum(np.where(first.enough, excess, 0.0).sum(axis=0) / np.maximum(first.count, 1.0), 0.0)
        self.correlation = correlation(first.z, first.count)
        self.bend = Bend.of(first, has, matching.cells.numeric)
        whole = np.array([season.known.size == 1 for season in matching.seasons])[matching.chosen]
        sizes = zip(found, self.steps.tolist(), strict=True)
        rest = [residual(f, matching, by_cell=f is first) for f in found]
        raw = [_Raw.of(f, size, blocks, self, whole, r.mean) for (f, size), r in zip(sizes, rest, strict=True)]
        self.shape = _seen_so_far([r.shape for r in rest])
        self.phi, self.df = _shared(raw)
        self.wander = Wander(matching, first, rest[0], texts, whole, self.steps)
        self.tail = np.array([r.tail for r in raw])
        # Averaging h windows divides a tail by h; a tail that is seen there all the same counts.
        self.tail = np.maximum(self.tail, self.tail[0] / self.steps[:, None, None])
        # Windows that move apart widen what they are pooled to, which their common location does not tell.
        self.tail[1:] = np.maximum(self.tail[1:], _bent_tail(first) / self.steps[1:, None, None])

    def at(self, horizon: int, n: Floats) -> Spread:
        """For n rows (features,) of `horizon` windows: from the smallest groups that are as long and about as large.

        A window effect adds variance that more rows a window do not average away, so φ - 1 grows with n; below the
        group's own size φ is left as it is, since clusters inside a window do not shrink with it.
        """
        features = np.arange(n.size)
        long = (self.steps >= _steps(horizon, self._scale))[:, None]
        fits = long & (self.groups >= GROUPS_MIN) & (self.rows * GROWTH_MAX >= n)
        step = np.argmax(fits, axis=0)
        known = fits[step, features]
        base, df = self.phi[step, :, features].T, self.df[step, :, features].T
        more = np.maximum(n / np.maximum(self.rows[step, features], 1.0), 1.0)
        phi, df = grown(base, df, more)
        tail = np.zeros_like(df)
        tail[:3] = self.tail[step, :, features].T
        tail[3] = tail[:3].max(axis=0)
        rare = 1.0 + (self.rare[step, features] - 1.0) * more
        # What the scores leave may lie in one direction, of which few groups say nothing: it follows the location's.
        tested = known & (df >= DF_MIN) & (df[0] >= DF_MIN)
        rare_tested = known & (self.groups[step, features] >= RARE_GROUPS_MIN)
        shape = self.shape[step, features]
        wandering = self.wander.at(step, self.rows[step, features], more)
        return Spread(phi, t_degrees(df, tail), tested, rare, rare_tested, self.bend, shape, self.effect, wandering)


def _steps(horizon: int, blocks_a_window: float) -> int:
    return max(int(np.ceil(horizon * blocks_a_window - 1e-9)), 1)


def _bent_tail(found: Deviates) -> Floats:
    """(3, features): excess kurtosis of windows whose scale and skew still follow their location."""
    phi = np.square(found.z).sum(axis=0) / np.maximum(found.count, 1.0)
    return excess_kurtosis(found.z, phi, found.count, np.ones_like(phi))


def _seen_so_far(shapes: Sequence[Floats]) -> Floats:
    """(steps, features): groups too few to tell have the shape of the longest that do."""
    found = [shapes[0]]
    for shape in shapes[1:]:
        found.append(np.where(np.isfinite(shape), shape, found[-1]))
    return np.array(found)


@dataclass(frozen=True)
class _Raw:
    """What groups of one size say of live windows, each (4, features); tail: (3, features).

    expected: how φ - 1 should have grown from independent blocks to this size, were the correlation all there is to it.
    """

    phi: Floats
    df: Floats
    tail: Floats
    expected: Floats

    @classmethod
    def of(cls, found: Deviates, size: int, blocks: int, parent: Dispersion, whole: Bools, rest: Floats) -> _Raw:
        rho = parent.correlation
        skewness = found.pooled.scores.skewness
        enough, count = found.enough, np.maximum(found.count, 1.0)
        location = np.square(found.z[:, 0]).sum(axis=0) / count
        z = parent.bend.straighten(found.z, np.maximum(location, 1.0), found.effective)[0]
        z = np.where(enough[:, None, :] & ~np.isnan(skewness), z, 0.0)
        phi = np.square(z).sum(axis=0) / count
        part = independent_groups(rho, size, np.clip(1.0 - 1.0 / np.maximum(phi, 1.0), 0.0, 1.0))
        tail = excess_kurtosis(z, phi, found.count, part)
        # A mean of correlated, heavy-tailed squares is worth fewer of them.
        df = np.maximum(found.count - 1.0, 0.0) * part * 2.0 / (2.0 + tail)
        df[np.isnan(skewness)] = 0.0
        # Where a season matches them, groups are compared with other days, which share nothing with them.
        mend = np.where(whole, hidden(rho, size, blocks), 1.0)
        live = np.where(phi > 1.0, 1.0 + (phi - 1.0) * mend, phi)
        rest_df = np.min(np.where(df > 0, df, np.inf), axis=0)
        rest_df = np.where(np.isfinite(rest_df), rest_df, 0.0)
        # A feature that moved little by chance has not shown in how many directions it would move: others have.
        usual = np.median(rest[rest_df > 0]) if (rest_df > 0).any() else 1.0
        rest_df = rest_df * directions(np.maximum(rest, usual), found.pooled.df.astype(np.float64))
        mend_rest = mend.max(axis=0)
        rest = np.where(rest > 1.0, 1.0 + (rest - 1.0) * mend_rest, rest)
        expected = np.where(whole, growth(rho, size, blocks), growth(rho, size, 1e9))
        return cls(np.vstack((live, rest)), np.vstack((df, rest_df)), tail, np.vstack((expected, expected.max(axis=0))))


def grown(phi: Floats, df: Floats, more: Floats) -> tuple[Floats, Floats]:
    """φ and its degrees of freedom for so many times `more` rows: φ - 1 grows with them, and its error grows too."""
    found = 1.0 + (phi - 1.0) * more
    return found, df * np.square(found / (more * phi))


def directions(phi: Floats, df: Floats | Ints) -> Floats:
    """How many directions the residual's variance fills at least, after Box (1954): all of the excess may lie in one.

    >>> directions(np.array([1.0, 47.0]), np.array([16, 16])).round(2).tolist()
    [16.0, 1.04]
    """
    excess = (np.maximum(phi, 1.0) - 1.0) * df
    whole = (df + excess) ** 2
    found: Floats = np.where(df > 0, whole / np.maximum((1.0 + excess) ** 2 + df - 1.0, 1e-9), 0.0)
    return found


def _shared(found: Sequence[_Raw]) -> tuple[Floats, Floats]:
    """Every estimate moderated: the shortest groups by all features, longer ones by the one before and all features."""
    phi, df, lending = [], [], Lending()
    prior, cap = np.ones_like(found[0].phi), np.full_like(found[0].phi, DF_MAX)
    before = found[0].expected
    for raw in found:
        prior = 1.0 + (prior - 1.0) * raw.expected / before
        prior, cap = lending.moderate(raw.phi, raw.df, prior, cap)
        phi.append(prior)
        df.append(cap)
        before = raw.expected
    return np.array(phi), np.array(df)
