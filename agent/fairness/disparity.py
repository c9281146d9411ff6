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

import numpy as np

from agent.fairness.intervals import Estimates, difference_limits, limits, ratio_limits
from agent.fairness.outcomes import Measure
from agent.records import Bools, Floats
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


def disparities(found: Estimates, measures: Sequence[Measure], rows_min: float = ROWS_MIN) -> list[Disparity]:
    """Every metric of these measures that at least two groups have rows for. found: (groups, MEASURES).

    Groups with fewer than `rows_min` rows of the measure take no part.
    """
    told = (_disparity(metric, found, rows_min) for metric in METRICS if set(metric.measures) <= set(measures))
    return [each for each in told if each is not None]


def _disparity(metric: Metric, found: Estimates, rows_min: float) -> Disparity | None:
    taken = {measure: np.flatnonzero(found.n[:, measure] >= rows_min) for measure in metric.measures}
    if any(len(groups) < 2 for groups in taken.values()):
        return None
    pairs = sum(len(groups) * (len(groups) - 1) for groups in taken.values())
    told = [_extremes(metric, _told(found, measure, groups, pairs), groups) for measure, groups in taken.items()]
    worst = (min if metric.ratio else max)(told, key=lambda each: each[0])
    low, high = ((min, min) if metric.ratio else (max, max))
    return Disparity(
        metric, worst[0], low(each[1] for each in told), high(each[2] for each in told),
        min(len(groups) for groups in taken.values()), worst[3], worst[4],
    )  # fmt: skip


def _told(found: Estimates, measure: Measure, groups: np.ndarray, pairs: int) -> tuple[Floats, Floats]:
    """(3, groups) estimate, lower and upper limit: of one pair alone, and of all pairs together."""
    part = Estimates(*(getattr(found, name)[groups] for name in Estimates.__slots__))
    both = (limits(part, normal_deviate((1.0 - LEVEL) / 2.0 / times)) for times in (1, pairs))
    alone, together = (np.array((part.mean, *each))[:, :, measure] for each in both)
    return alone, together


def _extremes(
    metric: Metric, told: tuple[Floats, Floats], groups: np.ndarray
) -> tuple[float, float, float, int, int]:
    """(value, low, high, group with the highest mean, with the lowest) of one measure."""
    alone, together = ((each[:, :, None], each[:, None, :]) for each in told)
    apart: Bools = ~np.eye(len(groups), dtype=np.bool_)
    means = told[0][0]
    top, bottom = int(np.argmax(means)), int(np.argmin(means))
    if metric.ratio:
        low, _ = ratio_limits(*alone)
        _, high = ratio_limits(*together)
        value = means[bottom] / means[top] if means[top] else float("nan")
        return float(value), float(low[apart].min()), float(min(high[apart].min(), 1.0)), groups[top], groups[bottom]
    low, _ = difference_limits(*together)
    _, high = difference_limits(*alone)
    bounds = float(max(low[apart].max(), 0.0)), float(high[apart].max())
    return float(means[top] - means[bottom]), *bounds, int(groups[top]), int(groups[bottom])
