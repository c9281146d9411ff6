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


@dataclass(frozen=True, slots=True)
class Beside:
    """A group and all others. n, rest_n: rows; error: variance of the distance."""

    mean: Floats
    rest: Floats
    n: Floats
    rest_n: Floats
    error: Floats

    @property
    def apart(self) -> Floats:
        return self.mean - self.rest


def compare(pooled: Floats, horizons: Floats, before: Level, measures: tuple[Measure, ...]) -> Gaps:
    """pooled: (horizons, groups, MEASURES, SUMS) of the newest windows; measures: those to test."""
    now, then = estimate(pooled), before.rates
    taken = _taken(now, then, before, measures)
    mix = np.where(taken, then.weight, 0.0)
    ours, theirs = _beside(now, mix, taken), _beside(then, mix, taken)
    side = np.where(ours.apart >= 0.0, 1.0, -1.0)
    expected = np.maximum(side * theirs.apart, 0.0)
    grown = side * ours.apart - expected
    sampling = theirs.error + np.where(
        RATES, np.maximum(ours.error, restricted_variance(ours, side * expected)), ours.error
    )
    wander = before.wander(horizons) + before.own_wander
    variance = sampling + wander
    t = grown[taken] / np.sqrt(variance[taken])
    tail = np.full(taken.shape, np.nan)
    tail[taken] = student(t, before.freedom(horizons, wander / variance)[taken])
    near = taken & RATES & (np.nan_to_num(tail, nan=1.0) < EXACT_UNDER)
    if near.any():
        tail[near] = np.maximum(tail[near], _exact(ours, near, side, expected))
    p, tests = _of_all(tail, taken)
    phi = np.where(taken, variance / np.where(taken, sampling, 1.0), 1.0)

    def told(values: Floats) -> Floats:
        return np.where(taken, values, np.nan)

    return Gaps(told(ours.apart), told(theirs.apart), p, told(grown / before.unit), phi, tests, now)


def restricted_variance(ours: Beside, gap: Floats) -> Floats:
    """Variance of the distance of two rates if it truly is `gap`: what a rate of 0 or 1 seen by chance hides. As in
    Farrington and Manning (1990), with the rates pooled by rows in place of their maximum likelihood."""
    rows = ours.n + ours.rest_n
    rest = (ours.n * (ours.mean - gap) + ours.rest_n * ours.rest) / rows
    edge = 0.5 / rows
    rest = np.clip(rest, edge, 1.0 - edge)
    rate = np.clip(rest + gap, edge, 1.0 - edge)
    return rate * (1.0 - rate) / ours.n + rest * (1.0 - rest) / ours.rest_n


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


def _beside(found: Estimates, mix: Floats, taken: Bools) -> Beside:
    """Each group beside the others, weighed by `mix`."""
    mean, n = np.where(taken, found.mean, 0.0), np.where(taken, found.n, 1.0)
    rest, rest_error = _rest(mean, np.where(taken, found.error, 0.0), mix)
    _, one_over_n = _rest(mean, np.where(taken, 1.0 / n, 0.0), mix)
    rest_n = 1.0 / np.where(one_over_n > 0, one_over_n, 1.0)
    return Beside(mean, rest, n, rest_n, np.where(taken, found.error, 1.0) + rest_error)


def _rest(mean: Floats, error: Floats, mix: Floats) -> tuple[Floats, Floats]:
    whole = mix.sum(axis=-2, keepdims=True) - mix
    safe = np.where(whole > 0, whole, 1.0)
    of_means, of_errors = mix * mean, np.square(mix) * error
    rest = (of_means.sum(axis=-2, keepdims=True) - of_means) / safe
    return rest, (of_errors.sum(axis=-2, keepdims=True) - of_errors) / np.square(safe)


def _exact(ours: Beside, where: Bools, side: Floats, expected: Floats) -> Floats:
    """The larger of two exact binomial tails: the group's count at the others' rate and the gap then, and the others'
    count at the group's rate. Counts are those that the rows are worth without weights."""
    mean, rest, n, rest_n = (part[where] for part in (ours.mean, ours.rest, ours.n, ours.rest_n))
    gap = (side * expected)[where]
    return of_two_counts((mean, n, rest + gap), (rest, rest_n, mean - gap), side[where] > 0)


def _of_all(tail: Floats, taken: Bools) -> tuple[Floats, Floats]:
    """Two-sided p, and how many tests a horizon has."""
    groups = taken.sum(axis=1, keepdims=True)
    pair = groups == 2
    tail = np.where(pair, np.where(taken, tail, 0.0).max(axis=1, keepdims=True), tail)
    tests = np.where(pair, 1, groups).sum(axis=(1, 2)).astype(np.float64)
    return np.where(taken, np.minimum(2.0 * tail, 1.0), np.nan), tests
