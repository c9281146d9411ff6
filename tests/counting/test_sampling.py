"""Sampling rows of a window: an even share of them, and the same ones however they come in batches."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.counting.sampling import GROUP, GROUPED_FROM, evenly


def _numbers(batches: list[int], step: int) -> list[int]:
    found, before = [], 0
    for rows in batches:
        found += (before + np.arange(rows)[evenly(before, rows, step)]).tolist()
        before += rows
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=20), st.integers(1, 200))
def test_batches_do_not_matter(batches: list[int], step: int) -> None:
    """Law: the rows taken of many batches are those taken of all at once, each once, rising."""
    assert _numbers(batches, step) == _numbers([sum(batches)], step)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 50_000), st.integers(1, 300))
def test_the_share_is_one_in_so_many(before: int, rows: int, step: int) -> None:
    """Law: whatever came before, no more than a group is taken too many or too few."""
    taken = np.arange(rows)[evenly(before, rows, step)]
    assert abs(len(taken) - rows / step) <= (GROUP if step >= GROUPED_FROM else 1)


def test_few_rows_come_from_few_messages() -> None:
    """Of messages of 500 rows, one row in a hundred: those that have any have a few dozen."""
    found = [len(np.arange(500)[evenly(before, 500, 100)]) for before in range(0, 160_000, 500)]
    assert sum(found) == 1_600
    assert np.mean(np.array(found) > 0) < 0.35
