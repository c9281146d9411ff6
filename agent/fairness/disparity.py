"""How far apart groups are: the differences and ratios people know, as fairlearn defines them, with intervals.

The gap of a measure is its largest mean less its smallest over groups, and the ratio its smallest over its largest.
Which two groups these are is chosen after looking, so the plain interval of those two would be too hopeful: the true
gap is at least every pair's true difference, and is the difference of some pair. Its lower limit is the largest lower
limit of all ordered pairs, held together by Bonferroni; its upper limit the largest upper one, which needs no
correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from agent.fairness.intervals import Estimates, difference_limits, limits, ratio_limits
from agent.fairness.outcomes import Measure
from agent.records import Bools, Floats, Ints
from agent.statistics.tails import normal_deviate

LEVEL = 0.95
ROWS_MIN = 20.0  # a group of fewer takes no part in a gap: its rate would mostly be chance
SELECTION, TRUE_POSITIVE, FALSE_POSITIVE = (
    Measure.SELECTION_RATE, Measure.TRUE_POSITIVE_RATE, Measure.FALSE_POSITIVE_RATE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure. measures: the worst of these counts; ratio: or a difference."""

    name: str
    measures: tuple[Measure, ...]
    ratio: bool = False


METRICS: tuple[Metric, ...] = (
    Metric("demographic_parity_difference", (SELECTION,)),
    Metric("demographic_parity_ratio", (SELECTION,), ratio=True),
    Metric("equal_opportunity_difference", (TRUE_POSITIVE,)),
    Metric("equal_opportunity_ratio", (TRUE_POSITIVE,), ratio=True),
    Metric("equalized_odds_difference", (TRUE_POSITIVE, FALSE_POSITIVE)),
    Metric("equalized_odds_ratio", (TRUE_POSITIVE, FALSE_POSITIVE), ratio=True),
    Metric("precision_difference", (Measure.PRECISION,)),
    Metric("accuracy_difference", (Measure.ACCURACY,)),
    Metric("calibration_error_difference", (Measure.CALIBRATION_ERROR,)),
    Metric("mean_error_difference", (Measure.MEAN_ERROR,)),
    Metric("mean_absolute_error_difference", (Measure.MEAN_ABSOLUTE_ERROR,)),
)
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Disparity:
    """One metric of one attribute over some windows. low, high: of `LEVEL`; groups: how many took part; highest,
    lowest: indices of the two groups, of the measure that counts."""

    metric: Metric
    value: float
    low: float
    high: float
    groups: int
    highest: int
    lowest: int


@dataclass(frozen=True, slots=True)
class _Bounds:
    """(runs, MEASURES) each."""

    value: Floats
    low: Floats
    high: Floats


def disparities(found: Estimates, measures: Sequence[Measure], rows_min: float = ROWS_MIN) -> list[list[Disparity]]:
    """Of each run of windows every metric of these measures that at least two groups have rows for.

    found: (runs, groups, MEASURES). Groups with fewer than `rows_min` rows of the measure take no part.
    """
    taken = found.n >= rows_min
    count = taken.sum(axis=1)
    pairs = count * (count - 1)
    odds = pairs[:, [TRUE_POSITIVE, FALSE_POSITIVE]].sum(axis=1, keepdims=True)
    alone, single, joint = (_told(found, taken, one) for one in (np.ones_like(pairs), pairs, odds + 0 * pairs))
    known = {
        (False, False): _differences(alone, single), (False, True): _differences(alone, joint),
        (True, False): _ratios(alone, single), (True, True): _ratios(alone, joint),
    }  # fmt: skip
    top, bottom = (np.argmax(np.where(taken, side * found.mean, -np.inf), axis=1) for side in (1.0, -1.0))
    told: list[list[Disparity]] = []
    for run in range(len(count)):
        told.append([])
        for metric in METRICS:
            own = list(metric.measures)
            if set(own) <= set(measures) and (count[run, own] >= 2).all():
                bounds = known[metric.ratio, len(own) > 1]
                # Where no group has any, there is no ratio: the other measure's counts.
                own = [m for m in own if not np.isnan(bounds.value[run, m])] or own
                worst = own[int((np.argmin if metric.ratio else np.argmax)(bounds.value[run, own]))]
                read = np.min if metric.ratio else np.max
                told[-1].append(
                    Disparity(
                        metric, float(bounds.value[run, worst]), float(read(bounds.low[run, own])),
                        float(read(bounds.high[run, own])), int(count[run, own].min()), int(top[run, worst]),
                        int(bottom[run, worst]),
                    )
                )  # fmt: skip
    return told


def _told(found: Estimates, taken: Bools, pairs: Ints) -> Floats:
    """(3, runs, groups, MEASURES): estimate, lower and upper limit, held over so many pairs together; NaN not taken."""
    z = np.array([_deviate(n) for n in pairs.ravel().tolist()]).reshape(pairs.shape)[:, None, :]
    return np.where(taken, np.array((found.mean, *limits(found, z))), np.nan)


@cache
def _deviate(pairs: int) -> float:
    return normal_deviate((1.0 - LEVEL) / 2.0 / max(pairs, 1))


def _differences(alone: Floats, together: Floats) -> _Bounds:
    low, _ = difference_limits(together[:, :, :, None], together[:, :, None])
    _, high = difference_limits(alone[:, :, :, None], alone[:, :, None])
    value = _of_pairs(alone[0][:, :, None] - alone[0][:, None], np.fmax, -np.inf)
    return _Bounds(value, np.maximum(_of_pairs(low, np.fmax, -np.inf), 0.0), _of_pairs(high, np.fmax, -np.inf))


def _ratios(alone: Floats, together: Floats) -> _Bounds:
    rates = slice(0, FALSE_POSITIVE + 1)
    alone, together = alone[..., rates], together[..., rates]
    low, _ = ratio_limits(alone[:, :, :, None], alone[:, :, None])
    _, high = ratio_limits(together[:, :, :, None], together[:, :, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        value = alone[0][:, :, None] / alone[0][:, None]
    value, high = _of_pairs(value, np.fmin, np.inf), np.minimum(_of_pairs(high, np.fmin, np.inf), 1.0)
    return _Bounds(np.where(np.isfinite(value), value, np.nan), _of_pairs(low, np.fmin, np.inf), high)


def _of_pairs(values: Floats, of: np.ufunc, start: float) -> Floats:
    """(runs, groups, groups, MEASURES) to the extreme over all pairs of different groups; NaN leaves no trace."""
    apart = ~np.eye(values.shape[1], dtype=np.bool_)[:, :, None]
    return np.asarray(of.reduce(np.where(apart, values, start), axis=(1, 2)), dtype=np.float64)
