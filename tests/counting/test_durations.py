"""Durations: OTLP's exponential histogram, and quantiles back from it."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.counting import durations
from agent.counting.durations import BUCKETS, OFFSET, SCALE, bucket, quantiles


@given(st.floats(1e-6, 4000.0))
def test_a_bucket_is_that_of_the_exponential_histogram(seconds: float) -> None:
    """OTLP: bucket i holds (base^i, base^(i+1)], base = 2^(2^-scale); ours are shifted by the offset."""
    base = 2.0 ** (2.0**-SCALE)
    at = int(bucket(np.array([seconds]))[0]) + OFFSET
    assert base**at * (1 - 1e-12) <= seconds <= base ** (at + 1) * (1 + 1e-12)


@pytest.mark.parametrize("power", range(-19, 12))
def test_upper_bounds_belong_to_their_bucket(power: int) -> None:
    """Exact powers of two are bounds: each lies in the bucket it closes."""
    assert int(bucket(np.array([2.0**power]))[0]) + OFFSET + 1 == power * (1 << SCALE)


def test_extremes_lie_in_the_outermost_buckets() -> None:
    """Nothing falls outside."""
    found = bucket(np.array([0.0, 5e-324, 1e-9, 1e9, 1e308, math.inf]))
    assert found.tolist() == [0, 0, 0, *[BUCKETS - 1] * 3]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(1e-5, 3000.0), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_quantiles_are_right_to_one_bucket(seconds: list[float], share: float) -> None:
    """Against sorting: within one bucket's width, a factor of 2^(1/4), of the exact order statistic."""
    counts = np.bincount(bucket(np.array(seconds)), minlength=BUCKETS)
    (found,) = quantiles(counts, (share,))
    exact = sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)]
    assert 2**-0.2501 <= found / exact <= 2**0.2501


def test_no_latencies_have_no_quantiles() -> None:
    """Nothing known: nothing said."""
    assert quantiles(np.zeros(BUCKETS, dtype=np.int64)) == ()


def test_examples_in_docstrings_run() -> None:
    """What the docstring shows is what happens."""
    result = doctest.testmod(durations)
    assert result.attempted
    assert not result.failed
