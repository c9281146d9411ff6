"""How much, and how long, gaps wander between windows: a variance that is not of rows, and a correlation.

A gap's own wandering is taken to be an AR(1) series over windows. Its correlation is what neighbouring windows show
(lag one), or what runs of eight windows show if that is more: single windows' noise hides what runs' does not. Either
is seen around the past's own mean, which moved with it, and that is put back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.fairness.groups import MISSING
from agent.fairness.intervals import estimate
from agent.fairness.outcomes import RATES
from agent.records import Bools, Floats
from agent.statistics.autocorrelation import LAG_MAX, mean_variance

BLOCK_ROWS_MIN = 5.0  # of a group and of the others, in a window that is to say something of the spread
RUN, RUNS_MIN, PRIOR_RUNS = 8, 3, 3  # windows of a run; runs that say something; what independent windows weigh beside
NOTICEABLE, PAIRS_MIN = 2.0, 7  # standard errors above independent rows', and neighbours, that may speak of lag one
HALVINGS = 8  # of the range of correlations


@dataclass(frozen=True, slots=True)
class Between:
    """(groups, MEASURES): count of windows; found: variance between them, may be negative; error: its standard error
    where there is none. z: (windows, groups, MEASURES) deviates, 0 where there is no row; there: where there are."""

    count: Floats
    found: Floats
    error: Floats
    z: Floats
    there: Bools

    @property
    def share(self) -> Floats:
        """What part of the variance between windows is their own wandering."""
        square = np.square(self.z).sum(axis=0) / np.maximum(self.count, 1.0)
        return np.asarray(1.0 - 1.0 / np.maximum(square, 1.0))


def between(blocks: Floats, side: slice) -> Between:
    """blocks: (windows, groups, MEASURES, SUMS); side: the measures that have rows."""
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
    count, found, error, z = (_wide(part, side) for part in (count, found, error, z))
    return Between(count, found, error, z, _wide(there, side) > 0.0)


def runs_of(blocks: Floats) -> Floats:
    """The newest windows by runs: (runs, groups, MEASURES, SUMS)."""
    runs = len(blocks) // RUN
    return np.asarray(blocks[len(blocks) - runs * RUN :].reshape(runs, RUN, *blocks.shape[1:]).sum(axis=1))


def shown(rho: Floats, size: float, runs: Floats) -> Floats:
    """Of a series with variance 1, the variance that so many runs of `size` windows show around their own mean.

    >>> shown(np.array([0.0, 0.9]), 1.0, np.array([48.0, 48.0])).round(2).tolist()
    [1.0, 0.7]
    """
    runs = np.maximum(runs, 2.0)
    seen = mean_variance(rho, size) - mean_variance(rho, size * runs)
    return np.asarray(np.maximum(seen, 1e-3) * runs / (runs - 1.0))


def of_runs(runs: Between, single: Between, spread: Floats) -> Floats:
    """(groups, MEASURES): the correlation with which runs of windows would show as much beside single ones (`spread`)
    as they do; drawn toward what independent windows would."""
    freedom = np.maximum(runs.count - 1.0, 0.0)
    wander = (PRIOR_RUNS * spread / RUN + freedom * np.maximum(runs.found, 0.0)) / (PRIOR_RUNS + freedom)
    low, high = np.zeros(spread.shape), np.full(spread.shape, LAG_MAX)
    for _ in range(HALVINGS):
        rho = (low + high) / 2.0
        less = spread * shown(rho, float(RUN), runs.count) < wander * shown(rho, 1.0, single.count)
        low, high = np.where(less, rho, low), np.where(less, high, rho)
    return np.where(runs.count >= RUNS_MIN, low, 0.0)


def lag_one(z: Floats, there: Bools) -> Floats:
    """(groups, MEASURES): correlation of neighbouring windows of which both have the group, drawn toward that of all
    groups and measures together as far as they agree. z, there: as `Between` has them.

    Moments, as in `statistics/autocorrelation.py`; a window without the group counts as none, not as a mean one.
    """
    count, pairs = there.sum(axis=0), (there[1:] & there[:-1]).sum(axis=0)
    square = np.maximum(np.square(z).sum(axis=0) / np.maximum(count, 1.0), 1e-12)
    beyond = square - 1.0
    speaks = (beyond > NOTICEABLE * np.sqrt(2.0 / np.maximum(count, 1.0)) * square) & (pairs >= PAIRS_MIN)
    if not speaks.any():
        return np.zeros(count.shape)
    beyond, pairs = np.where(speaks, beyond, 1.0), np.maximum(pairs, 1.0)
    covariance = (z[1:] * z[:-1]).sum(axis=0) / pairs
    own = _unbiased(covariance / beyond, pairs)
    error = np.square(square / beyond) * np.maximum(1.0 - own**2, 0.05) / pairs
    weight = np.where(speaks, 1.0 / error, 0.0)
    pooled = np.where(speaks, covariance / square, 0.0).sum() / np.where(speaks, beyond / square, 0.0).sum()
    common = _unbiased(np.array(pooled), np.array(np.median(pairs[speaks])))
    disagree = max(float((weight * (np.square(own - common) - error)).sum() / weight.sum()), 0.0)
    disagree += float(np.sqrt(2.0 / speaks.sum()) / np.mean(weight[speaks]))
    trust = np.where(speaks, disagree / (disagree + error), 0.0)
    return np.asarray(np.clip(common + trust * (own - common), 0.0, LAG_MAX))


def _unbiased(ratio: Floats, pairs: Floats) -> Floats:
    """Marriott and Pope's (1954) bias of a correlogram around its own mean taken off."""
    return np.asarray(np.clip((ratio * pairs + 1.0) / np.maximum(pairs - 4.0, 1.0), 0.0, LAG_MAX))


def _wide(values: Floats | Bools, side: slice) -> Floats:
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
