"""Segments' counts in windows: what they hold, and how small."""

from __future__ import annotations

import numpy as np
import pytest

from agent.counting.segments import narrowed


@pytest.mark.parametrize(("largest", "size"), [(0, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**32 - 1, 4)])
def test_closed_counts_are_as_wide_as_the_largest_and_no_wider(largest: int, size: int) -> None:
    """Whatever the width, every count is the one that was counted."""
    counts = np.array([0, 7, largest], dtype=np.int64)
    kept = narrowed(counts)
    assert kept.dtype.itemsize == size
    assert kept.tolist() == counts.tolist()


def test_no_cells_are_no_counts() -> None:
    """A series without a reference has none."""
    assert narrowed(np.zeros(0, dtype=np.int64)).size == 0
