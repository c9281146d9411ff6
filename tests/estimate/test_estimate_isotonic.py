"""Isotonic regression on bins."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from agent.estimate.isotonic import isotonic

counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40)


@given(counts)
def test_as_scikit_learn(found: list[tuple[int, int]]) -> None:
    """On the bins that have rows; those without lie between."""
    hits = np.array([min(a, b) for a, b in found], dtype=np.float64)
    rows = np.array([max(a, b) for a, b in found], dtype=np.float64)
    own = isotonic(hits, rows)
    some = np.flatnonzero(rows > 0)
    assert (np.diff(own) >= -1e-12).all()
    assert ((own >= 0) & (own <= 1)).all()
    if some.size:
        expected = IsotonicRegression().fit_transform(some, hits[some] / rows[some], sample_weight=rows[some])
        np.testing.assert_allclose(own[some], expected, atol=1e-9)


def test_nothing_seen_is_even() -> None:
    """No rows: nobody knows."""
    assert isotonic(np.zeros(3), np.zeros(3)).tolist() == [0.5, 0.5, 0.5]
