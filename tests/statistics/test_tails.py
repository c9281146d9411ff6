"""Tails against exact integers and scipy."""

from __future__ import annotations

import doctest
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agent.quality import inside
from agent.statistics import tails
from agent.statistics.tails import (
    beta_tail,
    binomial_tail,
    gamma_tail,
    hypergeometric_tail,
    normal_deviate,
    student_tail,
)


@given(st.integers(1, 300), st.integers(1, 2000), st.data())
@settings(max_examples=150, deadline=None)
def test_hypergeometric_is_right_to_twelve_digits(n: int, n_reference: int, data: st.DataObject) -> None:
    """The tail equals the ratio of whole numbers, wherever in the tail."""
    faulty = data.draw(st.integers(0, n))
    then = data.draw(st.integers(0, n_reference))
    bad, everything = faulty + then, n + n_reference
    ways = sum(math.comb(bad, j) * math.comb(everything - bad, n - j) for j in range(faulty, min(n, bad) + 1))
    exact = float(Fraction(ways, math.comb(everything, n)))
    assert hypergeometric_tail(faulty, n, then, n_reference) == pytest.approx(exact, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(
    ("faulty", "n", "then", "n_reference"),
    [(150, 1000, 2000, 100_000), (20_050, 100_000, 200_000, 1_000_000), (40, 1000, 100, 50_000), (9, 2000, 1, 10**6)],
)
def test_hypergeometric_agrees_with_scipy_where_counts_are_large(
    faulty: int, n: int, then: int, n_reference: int
) -> None:
    """scipy itself is right to about ten digits there."""
    found = hypergeometric_tail(faulty, n, then, n_reference)
    oracle = stats.hypergeom.sf(faulty - 1, n + n_reference, faulty + then, n)
    assert found == pytest.approx(oracle, rel=1e-9)
    assert abs(found - oracle) < 1e-10


@given(st.integers(1, 5000), st.floats(0.001, 0.9), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_binomial_agrees_with_scipy(rows: int, rate: float, share: float) -> None:
    """At any count, on either side of the mean."""
    hits = round(rows * share)
    assert binomial_tail(hits, rows, rate) == pytest.approx(stats.binom.sf(hits - 1, rows, rate), rel=1e-9, abs=1e-280)


@given(st.floats(-50, 500), st.sampled_from([1, 2, 3, 8, 15, 30, 39, 700]))
@settings(max_examples=100, deadline=None)
def test_student_agrees_with_scipy(t: float, freedom: int) -> None:
    """Also at probabilities no simulation reaches."""
    assert student_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9, abs=1e-280)


@given(st.floats(1e-3, 1.0, exclude_max=True), st.floats(0.05, 500.0), st.floats(0.05, 5000.0))
@settings(max_examples=150, deadline=None)
def test_beta_agrees_with_scipy(share: float, a: float, b: float) -> None:
    """In both tails, for shapes under one too."""
    assert beta_tail(share, a, b) == pytest.approx(stats.beta.sf(share, a, b), rel=1e-7, abs=1e-250)


@given(st.floats(1e-290, 1.0, exclude_max=True))
@settings(max_examples=150, deadline=None)
def test_deviates_read_back(p: float) -> None:
    """The tail of the deviate of p is p."""
    assert stats.norm.sf(normal_deviate(p)) == pytest.approx(p, rel=1e-9)


def test_examples_in_docstrings_run() -> None:
    """What the docstrings show is what happens."""
    for module in (tails, inside):
        result = doctest.testmod(module, extraglobs={"np": __import__("numpy")})
        assert result.attempted
        assert not result.failed


@pytest.mark.parametrize("shape", [0.05, 0.5, 3.0, 40.0, 900.0])
def test_the_gamma_tail_agrees_with_scipy(shape: float) -> None:
    """Below the mean, about it, and far out."""
    for x in (0.01 * shape, 0.5 * shape, shape, 1.5 * shape + 1.0, 3.0 * shape + 20.0, shape + 100.0):
        assert gamma_tail(x, shape) == pytest.approx(float(stats.gamma.sf(x, shape)), rel=1e-9, abs=1e-300)
    assert gamma_tail(0.0, shape) == 1.0
