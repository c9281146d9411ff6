"""How much a group's distance from the others wanders between windows: what no count of rows can say.

The distance of group g in a window is its mean less that of all others. Its variance between windows, beyond sampling,
is DerSimonian and Laird's (1986) moment estimate, drawn toward a prior as in Smyth (2004): eight windows that wander by
0.02 (for errors by a fiftieth of their size). One standard error is added: a long run of windows would show what a
single one's noise hides.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent.fairness.groups import MISSING
from agent.fairness.intervals import Estimates, estimate
from agent.fairness.outcomes import LABELLED, PREDICTED, RATES, Measure
from agent.records import Bools, Floats
from agent.statistics.autocorrelation import LAG_MAX, correlation, mean_variance

PRIOR_SPREAD, PRIOR_WINDOWS = 0.02, 8  # what duplicates believe of a share's wandering (docs/decisions/0071)
EVERY = slice(None)  # measure
OTHERS = slice(MISSING + 1, None)  # places of groups that somebody named
BLOCK_ROWS_MIN = 5.0  # of a group and of the others, in a window that is to say something of the spread
UNIT_MIN = 1e-100  # of a mean absolute error; less is none, and nothing can be divided by it
DF_MAX = 400.0  # a t of more is a normal
RUN, RUNS_MIN, PRIOR_RUNS = 8, 3, 3  # windows of a run; runs that say something; what independent windows weigh beside
_RHOS = np.linspace(0.0, LAG_MAX, 98)


@dataclass(frozen=True)
class Level:
    """Of groups and measures, (groups, MEASURES) each. total: (groups, MEASURES, SUMS) of all windows; windows: those
    that had the group; spread: variance between windows of the distance from the others; rho: its correlation from one
    window to the next; unit: (MEASURES,) what effects are told in: 1 for rates, the mean absolute error for errors."""

    total: Floats
    windows: Floats
    spread: Floats
    rho: Floats
    unit: Floats

    @cached_property
    def rates(self) -> Estimates:
        """Of all windows together."""
        return estimate(self.total)

    def freedom(self, horizon: Floats, share: Floats) -> Floats:
        """Degrees of freedom of a variance of which `share` is wandering, (horizons, groups, MEASURES), by
        Satterthwaite (1946): runs of so many windows are few, single windows are more. Never more than of these, which
        say how much is sampling, too."""
        single = PRIOR_WINDOWS + np.maximum(self.windows - 1.0, 0.0)
        runs = PRIOR_WINDOWS + np.maximum(self.windows / horizon[:, None, None] - 1.0, 0.0)
        both = 1.0 / (np.square(share) / runs + np.square(1.0 - share) / single)
        return np.asarray(np.minimum(np.minimum(both, single), DF_MAX))

    def wander(self, horizon: Floats) -> Floats:
        """(horizons, groups, MEASURES): variance between runs of so many windows; horizon: (horizons,)."""
        return np.asarray(self.spread * mean_variance(self.rho, horizon[:, None, None]))

    @cached_property
    def own_wander(self) -> Floats:
        """(groups, MEASURES): what is left of it in the mean over all windows."""
        return np.asarray(self.spread * mean_variance(self.rho, self.windows))


def merged(predicted: Level, labelled: Level) -> Level:
    """One of both sides: what needs no truth from the one, the rest from the other."""

    def both(one: Floats, other: Floats) -> Floats:
        return np.concatenate((one[:, PREDICTED], other[:, LABELLED]), axis=1)

    one, other = predicted, labelled
    return Level(
        both(one.total, other.total), both(one.windows, other.windows), both(one.spread, other.spread),
        both(one.rho, other.rho), other.unit,
    )  # fmt: skip


def level(blocks: Floats, total: Floats | None = None, side: slice = EVERY) -> Level:
    """blocks: (windows, groups, MEASURES, SUMS), one after another; total: of more windows than these, where so; side:
    the measures that have rows."""
    making = leveling(blocks, total, side)
    while True:
        try:
            next(making)
        except StopIteration as made:
            found: Level = made.value
            return found


def leveling(blocks: Floats, total: Floats | None = None, side: slice = EVERY) -> Generator[None, None, Level]:
    """The same in two steps."""
    whole = np.asarray(blocks.sum(axis=0) if total is None else total, dtype=np.float64)
    unit = _unit(whole)
    single = _between(blocks, side)
    freedom = np.maximum(single.count - 1.0, 0.0)
    yield
    prior = np.square(PRIOR_SPREAD * unit)
    # A prior of eight windows already doubts a few; more windows carry their own error.
    own = freedom * (np.maximum(single.found, 0.0) + single.error)
    spread = (PRIOR_WINDOWS * prior + own) / (PRIOR_WINDOWS + freedom)
    rho = correlation(single.z, single.count) if len(blocks) > 2 else np.zeros(spread.shape)
    return Level(whole, single.count, spread, np.maximum(rho, _of_runs(blocks, spread, side)), unit)


def _of_runs(blocks: Floats, spread: Floats, side: slice) -> Floats:
    """(groups, MEASURES): the correlation that would let runs of windows wander as much as they do. What lag one cannot
    tell in the noise of single windows shows in runs, whose noise is less."""
    runs = len(blocks) // RUN
    if runs < RUNS_MIN:
        return np.zeros(spread.shape)
    pooled = blocks[len(blocks) - runs * RUN :].reshape(runs, RUN, *blocks.shape[1:]).sum(axis=1)
    found = _between(pooled, side)
    freedom = np.maximum(found.count - 1.0, 0.0)
    wander = (PRIOR_RUNS * spread / RUN + freedom * np.maximum(found.found, 0.0)) / (PRIOR_RUNS + freedom)
    return np.asarray(np.interp(wander / spread, mean_variance(_RHOS, float(RUN)), _RHOS), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Between:
    """(groups, MEASURES): count of windows; found: variance between them, may be negative; error: its standard error
    where there is none. z: (windows, groups, MEASURES) deviates, 0 where there is no row."""

    count: Floats
    found: Floats
    error: Floats
    z: Floats


def _between(blocks: Floats, side: slice) -> _Between:
    apart, within = _distances(blocks[:, :, side], RATES[side])
    there = ~np.isnan(apart)
    count = there.sum(axis=0).astype(np.float64)
    weight = np.where(there, 1.0 / np.where(there, within, 1.0), 0.0)
    weights = np.maximum(weight.sum(axis=0), 1e-300)
    centre = np.where(there, weight * np.nan_to_num(apart), 0.0).sum(axis=0) / weights
    z = np.where(there, apart - centre, 0.0) * np.sqrt(weight)
    scale = weights - np.square(weight).sum(axis=0) / weights
    usable = (count >= 2) & (scale > 0)
    scale = np.where(usable, scale, 1.0)
    found = np.where(usable, (np.square(z).sum(axis=0) - (count - 1.0)) / scale, 0.0)
    error = np.where(usable, np.sqrt(2.0 * np.maximum(count - 1.0, 0.0)) / scale, 0.0)
    return _Between(*(_wide(part, side) for part in (count, found, error, z)))


def _wide(values: Floats, side: slice) -> Floats:
    """(…, MEASURES), 0 for those of the other side."""
    found = np.zeros((*values.shape[:-1], len(RATES)))
    found[..., side] = values
    return found


def _distances(blocks: Floats, rates: Bools) -> tuple[Floats, Floats]:
    """(windows, groups, MEASURES): distance of each group from all others of its window, and its sampling variance; NaN
    where either has too few rows."""
    found = estimate(blocks, rates)
    weight = found.weight.copy()
    weight[:, MISSING] = 0.0
    mean, error = np.nan_to_num(found.mean), np.where(weight > 0, found.error, 0.0)
    rest = weight.sum(axis=1, keepdims=True) - weight
    others = np.where(weight > 0, found.n, 0.0)
    enough = (found.n >= BLOCK_ROWS_MIN) & (weight > 0) & (others.sum(axis=1, keepdims=True) - others >= BLOCK_ROWS_MIN)
    safe = np.where(enough, rest, 1.0)
    whole, squares = (weight * mean).sum(axis=1, keepdims=True), np.square(weight) * error
    apart = mean - (whole - weight * mean) / safe
    within = error + (squares.sum(axis=1, keepdims=True) - squares) / np.square(safe)
    return np.where(enough, apart, np.nan), np.where(enough, np.maximum(within, 1e-18), np.nan)


def _unit(total: Floats) -> Floats:
    size = total[OTHERS, Measure.MEAN_ABSOLUTE_ERROR].sum(axis=0)
    mean = float(size[2] / size[0]) if size[0] > 0 and size[2] > UNIT_MIN * size[0] else 1.0
    return np.where(RATES | (np.arange(len(RATES)) == Measure.CALIBRATION_ERROR), 1.0, mean)


