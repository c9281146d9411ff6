"""A feature that is stuck: found at once where it varied, silent where its own past or chance explains it."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import Feature, Layout
from agent.quality.constant import _dealt
from agent.quality.judge import Quality
from agent.records import Closed, Finding, Kind, Source, Verdict
from agent.reference.profile import Reference
from tests.quality.quality_worlds import Fixed, found_in

NUMBER = Feature("x", Source.FEATURE, Kind.NUMBER, edges=tuple(float(x) for x in range(6)))
TEXT = Feature("t", Source.FEATURE, Kind.TEXT, categories=("a", "b", "c"))
FLAG = Feature("f", Source.FEATURE, Kind.FLAG)


def world(feature: Feature, blocks: np.ndarray) -> Reference:
    """blocks: (blocks, own bins) counts, laid into the feature's own bins."""
    cells = np.zeros((len(blocks), feature.cells), np.int32)
    first = 1 if feature.kind is Kind.NUMBER else 0
    cells[:, first : first + blocks.shape[1]] = blocks
    return Reference(
        "m", "1", Layout((feature,)), cells, np.zeros(len(blocks), np.int64), np.asarray(blocks.sum(axis=1), np.int64)
    )


def stuck(reference: Reference, cell: int, rows: int, alpha: float = 1e-6) -> Finding | None:
    window = np.zeros(reference.layout.cells, np.int32)
    window[cell] = rows
    found = found_in(Quality(reference, Fixed(alpha)).judge([Closed(3, window)]))
    return next((f for f in found if f.check == "constant"), None)


def drawn(rng: np.random.Generator, shares: Sequence[float], blocks: int = 40, rows: int = 500) -> np.ndarray:
    return rng.multinomial(rows, shares, blocks)


@pytest.mark.parametrize(
    ("feature", "shares", "cell", "rows"),
    [
        (NUMBER, (0.2,) * 5, 3, 12),  # a sensor that sends one value
        (NUMBER, (0.05, 0.05, 0.8, 0.05, 0.05), 3, 100),
        (TEXT, (0.5, 0.3, 0.2), 1, 25),  # a default filled in for everyone
        (FLAG, (0.95, 0.05), 0, 600),  # a rare flag that is never set again
    ],
)
def test_a_stuck_value_alarms_in_one_window(feature: Feature, shares: tuple[float, ...], cell: int, rows: int) -> None:
    """As soon as rows and shares make chance unlikely: 12 rows of a number, 600 of a flag that is rarely set."""
    reference = world(feature, drawn(np.random.default_rng(1), shares))
    found = stuck(reference, cell, rows)
    assert found is not None
    assert found.alarms
    assert found.reason.startswith(f"all {rows} values fall in one bin, which held ")
    assert found.reason.endswith(" % in the reference: stuck?")
    assert found.effect == pytest.approx(1.0 - found.expected)
    assert found.changes[0].current == 1.0


def test_chance_alone_is_no_alarm() -> None:
    """Fifty rows of a flag that is set in one of twenty: every thirteenth window has none."""
    reference = world(FLAG, drawn(np.random.default_rng(2), (0.95, 0.05)))
    found = stuck(reference, 0, 50)
    assert found is not None
    assert found.verdict is Verdict.WITHIN_NOISE
    assert found.p_value == pytest.approx(0.95**50, rel=0.6)


def test_a_feature_that_is_constant_within_each_window_stays_so() -> None:
    """The day of the week: one value in every hour. Stuck on one of them for an hour is what it always was."""
    days = np.zeros((140, 5), int)
    days[np.arange(140), np.arange(140) // 24 % 5] = 500
    found = stuck(world(NUMBER, days), 2, 500)
    assert found is not None
    assert found.verdict is Verdict.WITHIN_NOISE
    assert found.p_value > 0.1


def test_nearly_constant_is_below_the_floor_and_a_short_reference_says_so() -> None:
    """99.5 % false was always so, however many rows make it certain; three blocks do not know how shares wander."""
    rng = np.random.default_rng(3)
    rare = stuck(world(FLAG, drawn(rng, (0.995, 0.005), blocks=200, rows=2000)), 0, 20_000)
    short = stuck(world(NUMBER, drawn(rng, (0.2,) * 5, blocks=3)), 1, 500)
    assert rare is not None
    assert rare.verdict is Verdict.BELOW_FLOOR
    assert short is not None
    assert short.verdict is Verdict.REFERENCE_TOO_SHORT


def test_below_above_and_unknown_are_no_single_value() -> None:
    """All values above the range are many values: the range's own check speaks of them."""
    reference = world(NUMBER, drawn(np.random.default_rng(4), (0.2,) * 5))
    assert stuck(reference, 0, 100) is None
    assert stuck(reference, NUMBER.bins - 1, 100) is None
    texts = world(TEXT, drawn(np.random.default_rng(4), (0.5, 0.3, 0.2)))
    assert stuck(texts, TEXT.bins - 1, 100) is None


@pytest.mark.parametrize("wander", [0.02, 0.2, 0.6])
def test_false_alarms_where_shares_wander(wander: float) -> None:
    """Shares anew in each window, from a Dirichlet: windows that are constant by themselves alarm no more than α.

    α = 0.01, 1,000 windows of 30 rows: at most what a binomial brings in one of a thousand tries.
    """
    rng = np.random.default_rng(5)
    whole = 1.0 / wander - 1.0

    def windows(count: int) -> np.ndarray:
        shares = rng.dirichlet(whole * np.array([0.7, 0.2, 0.1]), count)
        return np.array([rng.multinomial(30, share) for share in shares])

    alarms = 0
    for _ in range(8):
        quality = Quality(world(TEXT, windows(40)), Fixed(0.01))
        for cells in windows(125):
            padded = np.zeros(TEXT.cells, np.int32)
            padded[:3] = cells
            found = found_in(quality.judge([Closed(0, padded)]))
            alarms += any(f.check == "constant" and f.p_value <= 0.01 for f in found)
    assert alarms <= 10 + 3.1 * 10**0.5


@given(st.lists(st.integers(0, 8), min_size=1, max_size=4), st.integers(1, 5), st.data())
@settings(max_examples=100, deadline=None)
def test_dealing_out_blindly_is_counted_exactly(then: list[int], n: int, data: st.DataObject) -> None:
    """The share of all ways to deal n of both samples' values that leave one bin alone: by counting them."""
    cell = data.draw(st.integers(0, len(then) - 1))
    both = [k + n * (i == cell) for i, k in enumerate(then)]
    exact = sum(comb(k, n) for k in both) / comb(sum(both), n)
    assert _dealt(np.array(then), cell, n) == pytest.approx(exact, rel=1e-9)
