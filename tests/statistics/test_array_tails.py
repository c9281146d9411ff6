"""Tails against scipy, as far out as 100 segments need them and further."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from agent.drift.moderation import digamma, trigamma
from agent.statistics.array_tails import (
    beta_share,
    cauchy_combination,
    f_tail,
    log_gamma,
    t_as_beta,
)  # fmt: skip

RANDOM = np.random.default_rng(7)
DF = RANDOM.choice([1.0, 2.0, 3.0, 4.5, 11.0, 30.0, 49.5, 120.0, 400.0, 1000.0], 3000)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Relative error 1e-9 down to 1e-250; and the draw did reach below 1e-15."""
    there = expected > 1e-250
    assert (expected[there] < 1e-15).any()
    np.testing.assert_allclose(found[there], expected[there], rtol=1e-9)


def test_student_two_sided_far_out() -> None:
    """P(|T| ≥ t), from the heaviest tail to nearly normal."""
    t = RANDOM.uniform(-40, 40, 3000)
    assert_close(beta_share(*t_as_beta(t, DF)), 2 * stats.t.sf(np.abs(t), DF))


def test_f_far_out_with_broken_degrees_of_freedom() -> None:
    """Effective degrees of freedom are not whole numbers."""
    f, df1 = RANDOM.uniform(0, 30, 3000), RANDOM.uniform(0.9, 60, 3000)
    assert_close(f_tail(f, df1, DF), stats.f.sf(f, df1, DF))


def test_binomial_far_out() -> None:
    """The exact test of rare mass: P(X ≥ count) is a share of a Beta."""
    count = RANDOM.integers(0, 300, 3000).astype(float)
    trials, share = count + RANDOM.integers(1, 3000, 3000), RANDOM.uniform(0.001, 0.999, 3000)
    found = beta_share(count + 1.0, trials - count, share, 1.0 - share)
    assert_close(found, stats.binom.sf(count, trials, share))


def test_gamma_functions() -> None:
    """ln Γ, ψ and ψ' where degrees of freedom lie."""
    x = np.array([0.25, 0.5, 1.0, 1.5, 3.0, 7.9, 8.0, 25.5, 500.0])
    np.testing.assert_allclose(log_gamma(x), special.gammaln(x), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(digamma(x), special.digamma(x), rtol=1e-7)
    np.testing.assert_allclose(trigamma(x), special.polygamma(1, x), rtol=1e-7)


def test_combination_of_uniforms_is_uniform() -> None:
    """Independent tests of a true null combine to a p-value: its rate is what it says, 1 % and 0.1 %."""
    p = cauchy_combination(RANDOM.uniform(size=(4, 400_000)))
    for alpha in (1e-2, 1e-3):
        assert stats.binomtest(int((p < alpha).sum()), p.size, alpha).pvalue > 1e-6


@pytest.mark.parametrize("smallest", [1e-12, 1e-100, 1e-290])
def test_combination_in_the_far_tail_is_the_smallest_times_their_number(smallest: float) -> None:
    """One certain test is not drowned by three that saw nothing, not even by a p-value of one."""
    found = cauchy_combination(np.array([smallest, 1.0, 0.7, 1.0]))
    assert found == pytest.approx(4 * smallest, rel=1e-3)


def test_combination_without_tests_is_unknown() -> None:
    """No test, no p-value."""
    assert np.isnan(cauchy_combination(np.array([np.nan, np.nan])))


@given(st.floats(0.3, 500), st.floats(0.3, 500), st.floats(0.0, 1.0))
def test_beta_share_is_a_share_and_mirrors(a: float, b: float, x: float) -> None:
    """I_x(a, b) lies in [0, 1] and is 1 - I_{1-x}(b, a)."""
    one, other = float(beta_share(a, b, x, 1.0 - x)), float(beta_share(b, a, 1.0 - x, x))
    assert 0.0 <= one <= 1.0
    assert one + other == pytest.approx(1.0, abs=1e-9)


def test_no_tests_at_all() -> None:
    """Empty arrays come back empty."""
    assert beta_share(*t_as_beta(np.empty(0), np.empty(0))).shape == (0,)
