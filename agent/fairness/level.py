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
from agent.fairness.wandering import RUN, between, lag_one, of_runs, runs_of, shown
from agent.records import Floats
from agent.statistics.autocorrelation import independent_groups, mean_variance
from agent.steps import finished

PRIOR_SPREAD, PRIOR_WINDOWS = 0.02, 8  # what duplicates believe of a share's wandering (docs/decisions/0071)
EVERY = slice(None)  # measure
OTHERS = slice(MISSING + 1, None)  # places of groups that somebody named
UNIT_MIN = 1e-100  # of a mean absolute error; less is none, and nothing can be divided by it
DF_MAX = 400.0  # a t of more is a normal


@dataclass(frozen=True)
class Level:
    """Of groups and measures, (groups, MEASURES) each. total: (groups, MEASURES, SUMS) of all windows; windows: those
    that had the group; spread: variance between windows of the distance from the others; rho: its correlation from one
    window to the next; part: how many windows that resemble each other are worth one, inverted; unit: (MEASURES,) what
    effects are told in: 1 for rates, the mean absolute error for errors."""

    total: Floats
    windows: Floats
    spread: Floats
    rho: Floats
    part: Floats
    unit: Floats

    @cached_property
    def rates(self) -> Estimates:
        """Of all windows together."""
        return estimate(self.total)

    def freedom(self, horizon: Floats, share: Floats) -> Floats:
        """Degrees of freedom of a variance of which `share` is wandering, (horizons, groups, MEASURES), by
        Satterthwaite (1946): runs of so many windows are few, single windows are more. Never more than of these, which
        say how much is sampling, too."""
        single = PRIOR_WINDOWS + np.maximum(self.windows - 1.0, 0.0) * self.part
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
        both(one.rho, other.rho), both(one.part, other.part), other.unit,
    )  # fmt: skip


def level(blocks: Floats, total: Floats | None = None, side: slice = EVERY) -> Level:
    """As `leveling`, at once."""
    return finished(leveling(blocks, total, side))


def leveling(
    blocks: Floats, total: Floats | None = None, side: slice = EVERY, later: Floats | None = None
) -> Generator[None, None, Level]:
    """In two steps. blocks: (windows, groups, MEASURES, SUMS), one after another; total: of more windows than these,
    where so; side: the measures that have rows; later: (runs, groups, MEASURES, SUMS), runs that came after."""
    after = blocks[:0] if later is None else later
    whole = np.asarray(blocks.sum(axis=0) if total is None else total, dtype=np.float64) + after.sum(axis=0)
    unit = _unit(whole)
    single = between(blocks, side)
    freedom = np.maximum(single.count - 1.0, 0.0)
    yield
    runs = between(np.concatenate((runs_of(blocks), after)), side)
    # A prior of eight windows already doubts a few; more windows carry their own error.
    believed = PRIOR_WINDOWS * np.square(PRIOR_SPREAD * unit)
    own = freedom * (np.maximum(single.found, 0.0) + single.error)
    known = PRIOR_WINDOWS + freedom
    rho = np.maximum(lag_one(single.z, single.there), of_runs(runs, single, (believed + own) / known))
    spread = (believed + own / shown(rho, 1.0, single.count)) / known
    more = RUN * np.maximum(runs.count - len(blocks) // RUN, 0.0) * single.count / max(len(blocks), 1)
    part = independent_groups(rho, 1.0, single.share)
    return Level(whole, single.count + more, spread, rho, part, unit)


def _unit(total: Floats) -> Floats:
    size = total[OTHERS, Measure.MEAN_ABSOLUTE_ERROR].sum(axis=0)
    mean = float(size[2] / size[0]) if size[0] > 0 and size[2] > UNIT_MIN * size[0] else 1.0
    return np.where(RATES | (np.arange(len(RATES)) == Measure.CALIBRATION_ERROR), 1.0, mean)
