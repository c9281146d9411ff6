"""Tails: beside scipy, as far out as the ledger asks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agent.fairness.tails import of_count, of_two_counts, student


@pytest.mark.parametrize("freedom", [8.0, 15.0, 55.0, 400.0])
def test_student_is_right_far_out(freedom: float) -> None:
    """0.2 % at 1e-8, either way; a half at 0."""
    p = 10.0 ** -np.arange(0.4, 8.0, 0.4)
    t = stats.t.isf(p, freedom)
    np.testing.assert_allclose(student(t, np.full(p.size, freedom)), p, rtol=2e-3)
    np.testing.assert_allclose(student(-t, np.full(p.size, freedom)), 1.0 - p, rtol=1e-6)
    assert student(np.zeros(1), np.array([freedom]))[0] == 0.5


def test_counts_are_binomial() -> None:
    """Upward and downward, nothing of nothing too."""
    rate, n, expected = np.array([0.3, 0.3, 0.0]), np.array([50.0, 50.0, 40.0]), np.array([0.1, 0.5, 0.2])
    found = of_count(rate, n, expected, np.array([True, False, False]))
    truth = [stats.binom.sf(14, 50, 0.1), stats.binom.cdf(15, 50, 0.5), stats.binom.cdf(0, 40, 0.2)]
    np.testing.assert_allclose(found, truth, rtol=1e-9)
    assert of_count(np.zeros(1), np.array([9.0]), np.array([0.5]), np.array([True])).tolist() == [1.0]


def test_of_two_counts_the_less_surprising_one_counts() -> None:
    """Five of five is little beside 100 of 500, although 100 of 500 is much beside a rate of one."""
    one, other = (np.array([1.0]), np.array([5.0]), np.array([0.2])), (np.array([0.2]), np.array([500.0]), np.ones(1))
    assert of_two_counts(one, other, np.array([True]))[0] == pytest.approx(0.2**5)
