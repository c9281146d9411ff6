"""Did a gap grow? A group's distance from the others, now and then, in every measure and over several horizons.

The others are weighed as they were then, so that a group which sends more traffic than it did moves no gap. A rise has
to be beyond sampling and beyond what windows do by themselves (`level.py`): Student's t. The count of the group has to
be beyond the exact binomial besides, given the others' rate, and the others' given the group's, since rates near 0 or 1
have a longer tail than a t of few rows knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.fairness.disparity import ROWS_MIN
from agent.fairness.groups import MISSING
from agent.fairness.intervals import Estimates, estimate
from agent.fairness.level import Level
from agent.fairness.outcomes import RATES, Measure
from agent.fairness.tails import of_two_counts, student
from agent.records import Bools, Floats

REFERENCE_ROWS_MIN = 100.0  # of a group then, and of the others
WINDOWS_MIN = 8  # fewer say too little of how a gap wanders
EXACT_UNDER = 0.005  # a t's tail: above, nothing alarms (the ledger's largest alpha is 0.01)
FLOOR = 0.05  # of a rate: a twentieth of a group's members fare otherwise. Below, people do not act
ERROR_FLOOR = 0.1  # of the mean absolute error
JUDGED = (
    Measure.SELECTION_RATE, Measure.TRUE_POSITIVE_RATE, Measure.FALSE_POSITIVE_RATE, Measure.MEAN_ERROR,
    Measure.MEAN_ABSOLUTE_ERROR,
)  # fmt: skip


def judged(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """Those whose gaps alarm: what the known criteria are made of. Accuracy only where there is nothing else."""
    return tuple(m for m in measures if m in JUDGED) or measures


@dataclass(frozen=True, slots=True)
class Gaps:
    """(horizons, groups, MEASURES) each, NaN where not tested. now, then: a group's distance from the others; p:
    two-sided, of one test; effect: how much further apart than then, in units of `Level.unit`. tests: (horizons,), of
    two groups one, as each is as far from the other. rates: of the windows."""

    now: Floats
    then: Floats
    p: Floats
    effect: Floats
    phi: Floats
    tests: Floats
    rates: Estimates

    @property
    def tested(self) -> Bools:
        return ~np.isnan(self.p)


def compare(pooled: Floats, horizons: Floats, before: Level, measures: tuple[Measure, ...]) -> Gaps:
    """pooled: (horizons, groups, MEASURES, SUMS) of the newest windows; measures: those to test."""
    now, then = estimate(pooled), before.rates
    taken = _taken(now, then, before, measures)
    mix = np.where(taken, then.weight, 0.0)
    apart_now, error_now = _apart(now, mix, taken)
    apart_then, error_then = _apart(then, mix, taken)
    side = np.where(apart_now >= 0.0, 1.0, -1.0)
    expected = np.maximum(side * apart_then, 0.0)
    grown = side * apart_now - expected
    sampling = error_now + error_then
    variance = sampling + before.wander(horizons) + before.own_wander
    t = grown[taken] / np.sqrt(variance[taken])
    tail = np.full(taken.shape, np.nan)
    tail[taken] = student(t, np.broadcast_to(before.freedom, taken.shape)[taken])
    near = taken & RATES & (np.nan_to_num(tail, nan=1.0) < EXACT_UNDER)
    if near.any():
        tail = np.where(near, np.maximum(tail, _exact(now, mix, near, taken, side, expected)), tail)
    p, tests = _of_all(tail, taken)
    phi = np.where(taken, variance / np.where(taken, sampling, 1.0), 1.0)
    return Gaps(apart_now, apart_then, p, np.where(taken, grown / before.unit, np.nan), phi, tests, now)


def floor() -> Floats:
    """(MEASURES,): the least effect that is worth an alarm."""
    return np.where(RATES | (np.arange(len(RATES)) == Measure.CALIBRATION_ERROR), FLOOR, ERROR_FLOOR)


def _taken(now: Estimates, then: Estimates, before: Level, measures: tuple[Measure, ...]) -> Bools:
    """(horizons, groups, MEASURES): what is compared; of a measure at least two groups, or none."""
    wanted = np.isin(np.arange(len(Measure)), measures)
    known = wanted & (then.n >= REFERENCE_ROWS_MIN) & (before.windows >= WINDOWS_MIN)
    taken = known & (now.n >= ROWS_MIN)
    taken[:, MISSING] = False
    return np.asarray(taken & (taken.sum(axis=1, keepdims=True) >= 2))


def _apart(found: Estimates, mix: Floats, taken: Bools) -> tuple[Floats, Floats]:
    """Distance of each group from the others, weighed by `mix`, and its sampling variance; NaN where not taken."""
    mean, error = np.where(taken, found.mean, 0.0), np.where(taken, found.error, 0.0)
    rest, rest_error = _rest(mean, error, mix)
    return np.where(taken, mean - rest, np.nan), np.where(taken, error + rest_error, np.nan)


def _rest(mean: Floats, error: Floats, mix: Floats) -> tuple[Floats, Floats]:
    whole = mix.sum(axis=-2, keepdims=True) - mix
    safe = np.where(whole > 0, whole, 1.0)
    of_means, of_errors = mix * mean, np.square(mix) * error
    rest = (of_means.sum(axis=-2, keepdims=True) - of_means) / safe
    return rest, (of_errors.sum(axis=-2, keepdims=True) - of_errors) / np.square(safe)


def _exact(now: Estimates, mix: Floats, where: Bools, taken: Bools, side: Floats, expected: Floats) -> Floats:
    """The larger of two exact binomial tails: the group's count at the others' rate and the gap then, and the others'
    count at the group's rate. 0 elsewhere than `where`. Counts are those that the rows are worth without weights."""
    mean, error = np.where(taken, now.mean, 0.0), np.where(taken, now.error, 0.0)
    rest, rest_error = (part[where] for part in _rest(mean, error, mix))
    rest_n = np.maximum(rest * (1.0 - rest) / np.maximum(rest_error, 1e-300), 1.0)
    mean, sign, gap = mean[where], side[where], expected[where]
    found = np.zeros(where.shape)
    found[where] = of_two_counts((mean, now.n[where], rest + sign * gap), (rest, rest_n, mean - sign * gap), sign > 0)
    return found


def _of_all(tail: Floats, taken: Bools) -> tuple[Floats, Floats]:
    """Two-sided p, and how many tests a horizon has."""
    groups = taken.sum(axis=1, keepdims=True)
    pair = groups == 2
    tail = np.where(pair, np.where(taken, tail, 0.0).max(axis=1, keepdims=True), tail)
    tests = np.where(pair, 1, groups).sum(axis=(1, 2)).astype(np.float64)
    return np.where(taken, np.minimum(2.0 * tail, 1.0), np.nan), tests
