"""Intervals: published examples, and how often the truth is inside."""

from __future__ import annotations

import numpy as np
import pytest

from agent.fairness.disparity import disparities
from agent.fairness.intervals import difference_limits, estimate, limits, ratio_limits
from agent.fairness.outcomes import MEASURES, SUMS, Measure
from agent.records import Floats

RATE = Measure.SELECTION_RATE


def rates(*hits_of: tuple[float, float], weight: float = 1.0) -> Floats:
    """Sums of one group for each (hits, rows)."""
    sums = np.zeros((len(hits_of), MEASURES, SUMS))
    for group, (hits, rows) in enumerate(hits_of):
        sums[group, RATE] = rows * weight, rows * weight**2, hits * weight, hits * weight
    return sums


def told(sums: Floats) -> Floats:
    found = estimate(sums)
    return np.array((found.mean, *limits(found, 1.959964)))[:, :, RATE]


def test_wilson_newcombe_and_donner_and_zou() -> None:
    """Newcombe (1998), table II, method 10: 56/70 - 48/80 and 9/10 - 3/10; 0/20 - 0/10 has a width."""
    example = told(rates((56, 70), (48, 80), (9, 10), (3, 10), (0, 20), (0, 10)))
    assert example[:, 0].round(4).tolist() == [0.8, 0.6918, 0.877]
    low, high = difference_limits(example[:, ::2], example[:, 1::2])
    assert low.round(4).tolist() == [0.0524, 0.1705, -0.2775]
    assert high.round(4).tolist() == [0.3339, 0.809, 0.1611]
    low, high = ratio_limits(example[:, 0], example[:, 1])
    assert 1.0 < float(low) < 0.8 / 0.6 < float(high)


def test_a_weight_that_all_share_changes_nothing() -> None:
    """Rows of weight 5 say no more than rows of weight 1."""
    assert told(rates((30, 100), weight=5.0)) == pytest.approx(told(rates((30, 100))))


@pytest.mark.parametrize("true", [(0.3, 0.3), (0.3, 0.4), (0.5, 0.5, 0.5, 0.5), (0.2, 0.2, 0.2, 0.35)])
def test_the_true_gap_is_inside_as_often_as_promised(true: tuple[float, ...]) -> None:
    """Also where the two groups furthest apart are chosen after looking; 2,000 windows of 150 rows a group."""
    rng, rows = np.random.default_rng(7), 150
    hits = rng.binomial(rows, true, (2_000, len(true)))
    sums = np.stack([rates(*((h, rows) for h in each)) for each in hits.tolist()])
    found = [runs[0] for runs in disparities(estimate(sums), (RATE,))]
    ratios = [runs[1] for runs in disparities(estimate(sums), (RATE,))]
    gap, ratio = max(true) - min(true), min(true) / max(true)
    assert np.mean([each.low <= gap <= each.high for each in found]) >= 0.945
    assert np.mean([each.low <= ratio <= each.high for each in ratios]) >= 0.945
