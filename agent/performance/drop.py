"""Did the model become worse? Losses of the newest windows against those of the reference's blocks.

A window's mean loss has two kinds of noise: its rows are a sample, and windows differ beyond that. How much beyond, φ,
the blocks say themselves, in groups as long as what is judged; few blocks are moderated by a prior (Smyth 2004), a
longer group by the one before. One-sided, since only worse is an alarm; where errors are few, exact as well.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.performance.form import ROWS, W2, W2X, W2XX, WX, W
from agent.records import Bools, Floats, Ints
from agent.statistics.array_tails import beta_share, t_as_beta
from agent.statistics.autocorrelation import correlation, growth, hidden, independent_groups
from agent.statistics.tails import hypergeometric_tail
from agent.steps import finished

BLOCKS_MIN = 8
BLOCK_ROWS_MIN = 5  # effective; a block of fewer is no window to compare with
GROUPS_MIN = 3  # of a length: a horizon needs three times its length in blocks
ROWS_MIN = 20  # effective, of what is judged
DF_MIN = 6.0  # a t of fewer would need z > 15 at the ledger's levels: that is silence, and said so
# What is believed before blocks are known: a service's mean loss wanders by a twentieth of itself from window to
# window, as sure as eight blocks would make it.
PRIOR_SPREAD, PRIOR_BLOCKS = 0.05, 8.0
ALIKE = 2.0  # times as many rows at most, where two windows are as good a sample as each other
STEP = 12_500  # numbers of blocks that are looked at in one step
SIZES_STEP = 2  # sizes of groups that are looked at in one step
EXACT_MAX = 200.0  # expected errors; above it the t is as good


@dataclass(frozen=True)
class Baseline:
    """What losses were, by slice (the whole, then segments) and loss: all (slices, losses) but for those by size.

    n: effective rows; mean, variance: of one row; blocks: that count. By size of group (sizes, slices, losses): phi,
    df, rows: the mean effective rows of a group, 0 where that size is not known; worst: the largest mean of a group;
    count: of groups. rate: (losses,), whether a row's loss is 0 or 1.
    """

    sizes: tuple[int, ...]
    rate: Bools
    n: Floats
    mean: Floats
    variance: Floats
    blocks: Ints
    phi: Floats
    df: Floats
    rows: Floats
    worst: Floats
    count: Floats

    @classmethod
    def of(cls, blocks: Floats, rate: Bools, horizons: Sequence[int]) -> Baseline:
        """blocks: (slices, blocks, losses, 6) moments, oldest first."""
        return finished(cls.making(blocks, rate, horizons))

    @classmethod
    def making(cls, blocks: Floats, rate: Bools, horizons: Sequence[int]) -> Generator[None, None, Baseline]:
        """The same in steps of a millisecond or two, whatever slices and blocks there are."""
        if not blocks.shape[1]:  # as good as one in which nothing came
            blocks = np.zeros((len(blocks), 1, *blocks.shape[2:]))
        step = max(STEP // blocks[0].size, 1)
        parts = []
        for begin in range(0, len(blocks), step):
            parts.append((yield from _Known.making(blocks[begin : begin + step], horizons)))
            yield
        known = parts[0] if len(parts) == 1 else _Known.joined(parts)
        phi, df, rows = yield from _moderated(known.groups, known.mean, known.variance)
        worst, count = np.array([g.worst for g in known.groups]), np.array([g.count for g in known.groups])
        return cls(
            tuple(horizons), rate, known.n, known.mean, known.variance, known.blocks, phi, df, rows, worst, count
        )

    def part(self, of: slice) -> Baseline:
        """Of some slices."""
        n, mean, variance = (array[of] for array in (self.n, self.mean, self.variance))
        by_size = (array[:, of] for array in (self.phi, self.df, self.rows, self.worst, self.count))
        return Baseline(self.sizes, self.rate, n, mean, variance, self.blocks[of], *by_size)

    @property
    def ready(self) -> Bools:
        """(slices, losses): whether there is anything to judge by."""
        return np.asarray((self.blocks >= BLOCKS_MIN) & (self.n >= ROWS_MIN))


@dataclass(frozen=True)
class Judged:
    """Each (horizons, slices, losses). p: one-sided, 1 where nothing was tested; tested: whether it was. mean: of the
    newest windows; rise: over the baseline's; n: effective rows; phi."""

    p: Floats
    tested: Bools
    mean: Floats
    rise: Floats
    n: Floats
    phi: Floats


def judge(recent: Floats, baseline: Baseline, least: float = -np.inf) -> Judged:
    """recent: (windows, slices, losses, 6), newest first, with zeros for windows that are not to count.

    The newest 1, 2, 4, … windows, as many of `baseline.sizes` as there are windows for. least: a smaller t is no
    matter, and its p is given as 1: of a thousand tests that nothing came of, tails are most of the cost.
    """
    sums = np.cumsum(recent, axis=0)
    last = np.array([min(size, len(recent)) - 1 for size in baseline.sizes])
    now = sums[last]
    n, mean, own = _known(now)
    with np.errstate(invalid="ignore", divide="ignore"):
        both = (n * mean + baseline.n * baseline.mean) / (n + baseline.n)
        within = np.where(baseline.rate, both * (1.0 - both), np.maximum(own, baseline.variance))
        more = np.maximum(n / np.maximum(baseline.rows, 1.0), 1.0)
        phi = 1.0 + (baseline.phi - 1.0) * more
        df = baseline.df * np.square(phi / (more * baseline.phi))  # an error of φ - 1 grows with it
        spread = within * (phi / n + baseline.phi.max(axis=0) / baseline.n)
        t = (mean - baseline.mean) / np.sqrt(spread)
    longer = np.array(baseline.sizes)[:, None, None] <= np.maximum(_windows(recent), 1)
    tested = baseline.ready & (baseline.rows > 0) & (n >= ROWS_MIN) & (df >= DF_MIN) & (spread > 0) & longer
    p = np.ones_like(t)
    asked = tested & (t >= least)
    if asked.any():
        two_sided = beta_share(*t_as_beta(t[asked], df[asked]))
        p[asked] = np.where(t[asked] > 0, 0.5 * two_sided, 1.0 - 0.5 * two_sided)
    # Bad days come in heavier tails than a t has: what the reference itself held once in so many windows is no rarer.
    held = (mean <= baseline.worst) & (n <= ALIKE * baseline.rows)
    p = np.where(held, np.maximum(p, 1.0 / np.maximum(baseline.count, 1.0)), p)
    return Judged(p, tested, mean, mean - baseline.mean, n, phi)


def exact(judged: Judged, baseline: Baseline, at: tuple[int, int, int]) -> float:
    """The p-value at one place, with the exact test's where errors are few: both samples as large as φ leaves them.

    Fisher's hypergeometric test; the larger of the two p counts.
    """
    _, s, k = at
    p = float(judged.p[at])
    n, mean, phi = float(judged.n[at]), float(judged.mean[at]), float(judged.phi[at])
    if not bool(baseline.rate[k]) or n * mean > EXACT_MAX:
        return p
    of_all = float(baseline.phi[:, s, k].max())
    rows, reference = round(n / phi), round(float(baseline.n[s, k]) / of_all)
    wrong = min(int(n * mean / phi), rows)
    before = min(round(float(baseline.n[s, k] * baseline.mean[s, k]) / of_all), reference)
    return max(p, hypergeometric_tail(wrong, rows, before, reference)) if rows and reference else p


def _windows(recent: Floats) -> Ints:
    """(slices, losses): how many of the windows have rows."""
    return np.asarray((recent[..., ROWS] > 0).sum(axis=0))


def _effective(moments: Floats) -> Floats:
    return np.square(moments[..., W]) / np.maximum(moments[..., W2], 1e-300)


def _known(moments: Floats) -> tuple[Floats, Floats, Floats]:
    """Effective rows, mean, and variance of one row; 0 where there is nothing."""
    mean = moments[..., WX] / np.maximum(moments[..., W], 1e-300)
    squares = moments[..., W2XX] - 2.0 * mean * moments[..., W2X] + mean * mean * moments[..., W2]
    return _effective(moments), mean, np.maximum(squares, 0.0) / np.maximum(moments[..., W2], 1e-300)


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups of `size` blocks against all others, each (slices, losses): phi: mean z²; count: groups; rows: mean of
    theirs; worst: the largest mean of one with at least half of that, so that it is no small one's chance. z:
    (groups, slices, losses)."""

    size: int
    phi: Floats
    count: Floats
    rows: Floats
    worst: Floats
    z: Floats

    @classmethod
    def of(cls, blocks: Floats, size: int, pooled: Floats, variance: Floats) -> _Groups:
        count = blocks.shape[1] // size
        kept = blocks[:, blocks.shape[1] - count * size :]
        groups = kept.reshape(kept.shape[0], count, size, *kept.shape[2:]).sum(axis=2)
        n, mean, _ = _known(groups)
        other, usual, _ = _known(pooled[:, None] - groups)
        there = (n >= BLOCK_ROWS_MIN) & (other > 0)
        chance = variance[:, None] * (1.0 / np.maximum(n, 1e-9) + 1.0 / np.maximum(other, 1e-9))
        varies = there & (chance > 0)  # where no row was ever wrong, nothing does
        z = np.where(varies, (mean - usual) / np.sqrt(np.where(varies, chance, 1.0)), 0.0)
        known = there.sum(axis=1).astype(np.float64)
        full = np.maximum(known, 1.0)
        rows = np.where(there, n, 0.0).sum(axis=1) / full
        large = there & (n * ALIKE >= rows[:, None])
        worst = np.where(large, mean, -np.inf).max(axis=1, initial=-np.inf)
        return cls(size, np.square(z).sum(axis=1) / full, known, rows, worst, np.moveaxis(z, 1, 0))

    @classmethod
    def joined(cls, parts: Sequence[_Groups]) -> _Groups:
        phi, count, rows, worst = (
            np.concatenate([getattr(p, k) for p in parts]) for k in ("phi", "count", "rows", "worst")
        )
        return cls(parts[0].size, phi, count, rows, worst, np.concatenate([p.z for p in parts], axis=1))


@dataclass(frozen=True, slots=True)
class _Known:
    """What blocks say of themselves, (slices, losses) each, and groups of them by size."""

    n: Floats
    mean: Floats
    variance: Floats
    blocks: Ints
    groups: list[_Groups]

    @classmethod
    def making(cls, blocks: Floats, horizons: Sequence[int]) -> Generator[None, None, _Known]:
        pooled = blocks.sum(axis=1)
        n, mean, variance = _known(pooled)
        there = _effective(blocks) >= BLOCK_ROWS_MIN
        kept = np.where(there[..., None], blocks, 0.0)
        groups = []
        for i, size in enumerate(horizons, start=1):
            groups.append(_Groups.of(kept, size, pooled, variance))
            if i % SIZES_STEP == 0:
                yield
        return cls(n, mean, variance, there.sum(axis=1), groups)

    @classmethod
    def joined(cls, parts: Sequence[_Known]) -> _Known:
        n, mean, variance = (np.concatenate([getattr(p, k) for p in parts]) for k in ("n", "mean", "variance"))
        groups = [_Groups.joined(several) for several in zip(*(p.groups for p in parts), strict=True)]
        return cls(n, mean, variance, np.concatenate([p.blocks for p in parts]), groups)


def _moderated(
    found: Sequence[_Groups], mean: Floats, variance: Floats
) -> Generator[None, None, tuple[Floats, Floats, Floats]]:
    """φ at least 1, its degrees of freedom, and rows, each (sizes, slices, losses). In steps.

    Neighbouring windows resemble each other; what groups hide by that is put back (docs/decisions/0012).
    """
    first, blocks = found[0], len(found[0].z)
    rho = correlation(first.z.reshape(blocks, 1, -1), first.count.ravel()).reshape(mean.shape)
    varies = np.where(variance > 0, np.maximum(variance, 1e-12 * np.square(mean)), np.inf)
    effect = np.square(PRIOR_SPREAD * mean) / varies
    prior, worth = 1.0 + np.where(variance > 0, first.rows * effect, 0.0), np.full_like(mean, PRIOR_BLOCKS)
    before = growth(rho, 1, blocks)
    phi, df, rows = [], [], []
    for i, groups in enumerate(found):
        if i % SIZES_STEP == 0:
            yield
        expected = growth(rho, groups.size, blocks)
        prior = 1.0 + (prior - 1.0) * expected / before
        known, before = groups.count >= GROUPS_MIN, expected
        excess = np.maximum(groups.phi - 1.0, 0.0)
        raw = np.minimum(groups.phi, 1.0) + excess * hidden(rho, groups.size, blocks)
        worthy = independent_groups(rho, groups.size, np.clip(excess / np.maximum(groups.phi, 1.0), 0.0, 1.0))
        own = np.where(known, np.maximum(groups.count - 1.0, 0.0) * worthy, 0.0)
        drawn = np.maximum((worth * prior + own * raw) / (worth + own), 1.0)
        prior = np.where(known, drawn, prior)
        phi.append(prior)
        df.append(np.where(known, worth + own, 0.0))
        rows.append(np.where(known, groups.rows, 0.0))
        worth = np.minimum(worth + own, 2.0 * PRIOR_BLOCKS)
    return np.array(phi), np.array(df), np.array(rows)
