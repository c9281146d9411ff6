"""Laws of the frequent texts."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.sketches.frequent import FrequentTexts

COUNTS = st.lists(st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.integers(1, 50), max_size=16), max_size=12)


@given(COUNTS, st.integers(1, 5))
def test_counts_are_too_low_by_at_most_the_error(parts: list[dict[str | int, int]], size: int) -> None:
    """With room for few texts: true - error <= held <= true, the error at most total / capacity, the size bounded."""
    held, true = FrequentTexts(size), Counter[str | int]()
    for part in parts:
        held.add(part)
        true.update(part)
        assert len(held.counts) <= 2 * size
    assert held.total == sum(true.values())
    assert held.error <= held.total / size
    for key, count in true.items():
        assert count - held.error <= held.counts.get(key, 0) <= count


@given(COUNTS, COUNTS)
def test_merging_keeps_the_bounds(left: list[dict[str | int, int]], right: list[dict[str | int, int]]) -> None:
    """A merged summary answers for both streams within the sum of their errors."""
    one, two, true = FrequentTexts(3), FrequentTexts(3), Counter[str | int]()
    for part in left:
        one.add(part)
        true.update(part)
    for part in right:
        two.add(part)
        true.update(part)
    one.merge(two)
    assert one.total == sum(true.values())
    for key, count in true.items():
        assert count - one.error <= one.counts.get(key, 0) <= count


def test_top_is_in_order_of_count_then_text() -> None:
    """Ties are broken by the text, so that the same data always give the same categories."""
    held = FrequentTexts()
    held.add({"b": 2, "a": 2, "c": 5, 12: 2})
    assert held.top(4) == [("c", 5), ("a", 2), ("b", 2), (12, 2)]
    assert held.exact


def test_the_frequent_survive_a_flood_of_rare_ones() -> None:
    """A text with 5 % of 100,000 rows is found among 50,000 that came once, with room for 1,000."""
    held = FrequentTexts(1000)
    rng = np.random.default_rng(0)
    for start in range(0, 50_000, 500):
        held.add({f"once {i}": 1 for i in range(start, start + 500)})
        held.add({"often": 50, f"seldom {rng.integers(0, 5)}": 450})
    assert "often" in [key for key, _ in held.top(6)]
    assert not held.exact
