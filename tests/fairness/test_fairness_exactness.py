"""How often small groups would alarm by chance: every outcome of two groups enumerated through the tests themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agent.config.disparity_limits import DisparityLimit
from agent.fairness.beyond import beyond
from agent.fairness.gaps import compare
from agent.fairness.groups import FIRST
from agent.fairness.level import Level
from agent.fairness.outcomes import MEASURES, SUMS, Measure
from agent.records import Bools, Floats

RATE = Measure.SELECTION_RATE


def outcomes(one: int, other: int) -> Floats:
    """((one + 1) (other + 1), groups, MEASURES, SUMS): each number of members of both groups selected."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(one + 1.0), np.arange(other + 1.0), indexing="ij"))
    sums = np.zeros((x.size, FIRST + 2, MEASURES, SUMS))
    for place, (hits, rows) in enumerate(((x, one), (y, other)), FIRST):
        sums[:, place, RATE] = np.stack((np.full(x.size, rows), np.full(x.size, rows), hits, hits), axis=1)
    return sums


def still(rate: float, one: int, other: int) -> Level:
    """A past of very many rows without any gap, whose windows do not wander at all."""
    total = np.zeros((FIRST + 2, MEASURES, SUMS))
    for place, rows in enumerate((one, other), FIRST):
        total[place, RATE] = np.array([rows, rows, rows * rate, rows * rate]) * 1e6
    size = (FIRST + 2, MEASURES)
    return Level(total, np.full(size, 1e3), np.zeros(size), np.zeros(size), np.ones(size), np.ones(MEASURES))


def chance(alarms: Bools, one: int, other: int, rates: tuple[float, float]) -> float:
    """Probability of the outcomes that alarm."""
    x, y = (stats.binom.pmf(np.arange(n + 1), n, rate) for n, rate in zip((one, other), rates, strict=True))
    return float(x @ alarms.reshape(one + 1, other + 1) @ y)


@pytest.mark.parametrize(("one", "other"), [(20, 20), (25, 200)])
def test_a_gap_of_small_groups_alarms_by_chance_as_seldom_as_was_granted(one: int, other: int) -> None:
    """Whatever the rate, down to 1e-7: within twice of it, before any wandering is allowed for (then far below)."""
    sums = outcomes(one, other)
    for rate in (0.01, 0.05, 0.2, 0.5, 0.9, 0.99):
        found = compare(sums, np.ones(len(sums)), still(rate, one, other), (RATE,))
        p = np.nan_to_num(found.p[:, FIRST, RATE], nan=1.0)
        for alpha in (1e-2, 1e-4, 1e-6):
            assert chance(p <= alpha, one, other, (rate, rate)) <= 2.0 * alpha


def test_a_limit_on_small_groups_likewise() -> None:
    """The difference is truly the limit; the ratio too."""
    sums = outcomes(20, 20)
    for limit, pairs in (
        (DisparityLimit("demographic_parity_difference", 0.2), ((0.25, 0.05), (0.6, 0.4), (0.99, 0.79))),
        (DisparityLimit("demographic_parity_ratio", 0.8), ((0.25, 0.2), (0.6, 0.48), (0.99, 0.792))),
    ):
        p = np.array([one.p for part in beyond(limit, sums, np.ones(len(sums)), still(0.5, 20, 20)) for one in part])
        for rates in pairs:
            for alpha in (1e-2, 1e-4, 1e-6):
                assert chance(np.nan_to_num(p, nan=1.0) <= alpha, 20, 20, rates) <= 2.0 * alpha


def test_a_rate_among_others_of_none_is_seen() -> None:
    """Nobody of the others is selected, 60 of 200 of this group are, where it was nobody of either."""
    sums = outcomes(200, 200)[[60 * 201]]
    found = compare(sums, np.ones(1), still(0.0, 200, 200), (RATE,))
    assert found.p[0, FIRST, RATE] < 1e-9
    assert found.effect[0, FIRST, RATE] == pytest.approx(0.3)
