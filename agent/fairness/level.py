"""How much a group's distance from the others wanders between windows: what no count of rows can say.

The distance of group g in a window is its mean less that of all others. Its variance between windows, beyond sampling,
is DerSimonian and Laird's (1986) moment estimate, drawn toward a prior as in Smyth (2004): eight windows that wander by
0.02 (for errors by a fiftieth of their size). One standard error is added: a long run of windows would show what a
single one's noise hides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent.fairness.groups import MISSING
from agent.fairness.intervals import Estimates, estimate
from agent.fairness.outcomes import LABELLED, PREDICTED, RATES, Measure
from agent.records import Floats
from agent.statistics.autocorrelation import correlation, mean_variance

PRIOR_SPREAD, PRIOR_WINDOWS = 0.02, 8  # what duplicates believe of a share's wandering (docs/decisions/0071)
OTHERS = slice(MISSING + 1, None)  # places of groups that somebody named
BLOCK_ROWS_MIN = 5.0  # of a group and of the others, in a window that is to say something of the spread
DF_MAX = 400.0  # a t of more is a normal


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

    @cached_property
    def freedom(self) -> Floats:
        """Degrees of freedom of the spread."""
        return np.asarray(np.minimum(PRIOR_WINDOWS + np.maximum(self.windows - 1.0, 0.0), DF_MAX))

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


def level(blocks: Floats, total: Floats | None = None) -> Level:
    """blocks: (windows, groups, MEASURES, SUMS), one after another; total: of more windows than these, where so."""
    whole = np.asarray(blocks.sum(axis=0) if total is None else total, dtype=np.float64)
    unit = _unit(whole)
    apart, within = _distances(blocks)
    there = ~np.isnan(apart)
    count = there.sum(axis=0).astype(np.float64)
    weight = np.where(there, 1.0 / np.where(there, within, 1.0), 0.0)
    weights = np.maximum(weight.sum(axis=0), 1e-300)
    centre = np.where(there, weight * np.nan_to_num(apart), 0.0).sum(axis=0) / weights
    away = np.where(there, apart - centre, 0.0)
    scale = weights - np.square(weight).sum(axis=0) / weights
    usable = (count >= 2) & (scale > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = ((weight * np.square(away)).sum(axis=0) - (count - 1.0)) / scale
        error = np.sqrt(2.0 * np.maximum(count - 1.0, 0.0)) / scale
    found, error = (np.where(usable, value, 0.0) for value in (found, error))
    freedom = np.maximum(count - 1.0, 0.0)
    prior = np.square(PRIOR_SPREAD * unit)
    # A prior of eight windows already doubts a few; more windows carry their own error.
    spread = (PRIOR_WINDOWS * prior + freedom * (np.maximum(found, 0.0) + error)) / (PRIOR_WINDOWS + freedom)
    rho = correlation(away * np.sqrt(weight), np.maximum(count, 0.0)) if len(blocks) > 2 else np.zeros(spread.shape)
    return Level(whole, count, spread, rho, unit)


def _distances(blocks: Floats) -> tuple[Floats, Floats]:
    """(windows, groups, MEASURES): distance of each group from all others of its window, and its sampling variance; NaN
    where either has too few rows."""
    found = estimate(blocks)
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
    mean = float(size[2] / size[0]) if size[0] > 0 and size[2] > 0 else 1.0
    return np.where(RATES | (np.arange(len(RATES)) == Measure.CALIBRATION_ERROR), 1.0, mean)


