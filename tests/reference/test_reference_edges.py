"""Laws of the bins: whatever the values were, each lies in a bin of its own reference."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.bins import Feature, Layout, Rules, text_cells, text_hash
from agent.records import Batch, Columns, Kind, ModelKey, Numbers, Source
from agent.reference.edges import BINS, QUANTILES, categories, number_edges, rare_cells, text_key, with_range
from agent.reference.features import make_feature
from agent.reference.schema import FeatureSchema
from agent.reference.survey import NumberSurvey
from agent.sketches.frequent import FrequentTexts

LARGEST = float(np.finfo(np.float64).max)
VALUES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200)


def _edges(values: np.ndarray) -> tuple[float, ...]:
    survey = NumberSurvey(plots=False)
    survey.add(Numbers(values))
    return number_edges(values, survey.distinct, survey.low, survey.high)


@settings(max_examples=300, deadline=None)
@given(VALUES)
@example([LARGEST])
@example([-LARGEST, LARGEST])
@example([5e-324])
@example([0.0, -0.0, 5e-324])
@example([1e16, 1e16 + 2])
@example([*map(float, range(30)), 1e308, -1e308])
def test_every_value_lies_in_a_bin_of_its_own_reference(values: list[float]) -> None:
    """Edges are finite and rise, at most 20 bins, and nothing they were made from is below or above them."""
    array = np.array(values)
    edges = _edges(array)
    assert np.isfinite(edges).all()
    assert all(a < b for a, b in pairwise(edges))
    assert 1 <= len(edges) - 1 <= BINS
    layout = Layout((Feature("x", Source.FEATURE, Kind.NUMBER, edges=edges),))
    batch = Batch(ModelKey("m"), len(array), 0, Columns({"x": Numbers(array)}), Columns())
    counts = layout.place(batch).count(layout.cells)
    assert counts[1 : len(edges)].sum() == len(array)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20, unique=True), st.integers(0, 2**32))
def test_few_whole_values_have_a_bin_each(values: list[int], seed: int) -> None:
    """At most 20 different whole numbers: as many bins, and any number above the largest is above."""
    array = np.random.default_rng(seed).permutation(np.repeat(np.array(values, dtype=np.float64), 3))
    edges = _edges(array)
    assert len(edges) - 1 == len(values)
    assert max(values) < edges[-1] < max(values) + 1


BOUNDS = st.integers(-20, 20).map(float) | st.floats(-20.0, 20.0)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(-15.0, 15.0) | st.integers(-15, 15).map(float), min_size=1, max_size=60),
    BOUNDS | st.just(float("-inf")),
    BOUNDS | st.just(float("inf")),
    st.booleans(),
)
@example([0.0, 1.0], 0.0, 1.0, True)
@example([0.25, 0.5, 1.0], 0.0, 1.0, False)
@example([3.0], 5.0, 5.0, False)
@example([LARGEST], float("-inf"), LARGEST, False)
def test_values_outside_a_range_are_counted_exactly(values: list[float], low: float, high: float, whole: bool) -> None:
    """Neighbours of both bounds, values far off, and the reference itself: the outer cells hold the impossible alone.

    Only a range that ends at a bin's own value ends one ulp later; where all is to be whole, fractions do not matter.
    """
    low, high = min(low, high), max(low, high)
    array = np.rint(values) if whole else np.array(values)
    rules = Rules(low=low, high=high, whole=whole)
    survey = NumberSurvey(plots=False)
    survey.add(Numbers(array))
    edges = with_range(number_edges(array, survey.distinct, survey.low, survey.high), rules, survey.high)
    assert all(a < b for a, b in pairwise(edges))
    assert np.isfinite(edges).all()
    near = [b + d for b in (low, high) if np.isfinite(b) for d in (-40.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 40.0)]
    tried = np.array([*array, *near, np.nextafter(low, -np.inf), -99.0, 99.0])
    tried = tried[np.isfinite(tried)]
    tried = np.unique(np.rint(tried)) if whole else tried
    layout = Layout((Feature("x", Source.FEATURE, Kind.NUMBER, edges=edges, rules=rules),))
    batch = Batch(ModelKey("m"), len(tried), 0, Columns({"x": Numbers(tried)}), Columns())
    counts = layout.place(batch).count(layout.cells)
    outside = int(((tried < low) | (tried > high)).sum())
    assert counts[list(layout.features[0].outside)].sum() == outside
    inside = array[(array >= low) & (array <= high)]
    counted = layout.place(Batch(ModelKey("m"), len(inside), 0, Columns({"x": Numbers(inside)}), Columns()))
    assert counted.count(layout.cells)[1 : len(edges)].sum() == len(inside)


def test_many_values_lie_between_the_quantiles() -> None:
    """10,000 different values: twenty bins with the shares that the quantiles give, to a value."""
    values = np.random.default_rng(0).normal(size=10_000)
    counts = np.histogram(values, _edges(values))[0]
    assert len(counts) == BINS == 20
    assert np.abs(counts - 10_000 * np.diff([0.0, *QUANTILES, 1.0])).max() <= 1


def test_nothing_finite_gives_a_bin_that_judges_nothing() -> None:
    """No finite value ever: a bin from 0 to 1."""
    assert _edges(np.array([np.nan, np.inf])) == (0.0, 1.0)


@pytest.mark.parametrize("long", [False, True])
def test_every_counted_text_is_known_afterwards(long: bool) -> None:
    """A category, or `other`; a text that was not counted is never seen; long texts are known by their hash only."""
    names = [f"{'x' * 300 if long else ''}{i}" for i in range(200)]
    texts = FrequentTexts()
    texts.add({text_key(name): 200 - i for i, name in enumerate(names)})
    own, seen = categories(texts)
    assert own == (() if long else tuple(names[:50]))
    feature = Feature("c", Source.FEATURE, Kind.TEXT, categories=own, seen=seen)
    expected = [len(own)] * 200 if long else [*range(50), *[50] * 150]
    assert text_cells(feature, [*names, "new"]) == [*expected, len(own) + 1]


def test_rare_texts_are_spread_over_cells_by_their_hash() -> None:
    """Known or new, in the same one of eight each time; the numbers are those of every machine and version."""
    names = [f"merchant {i}" for i in range(400)]
    seen = frozenset(map(text_hash, names[1:]))
    feature = Feature("c", Source.FEATURE, Kind.TEXT, categories=("merchant 0",), seen=seen, rare_cells=8)
    cells = text_cells(feature, names)
    assert cells[:6] == [0, 7, 1, 8, 6, 3]
    assert np.bincount(cells)[1:9].min() > 25
    assert (feature.other, feature.never) == (range(1, 9), range(9, 17))
    labels = [feature.label(cell) for cell in (0, 1, 8, 9, 16)]
    assert labels == ["merchant 0", "other", "other", "never seen", "never seen"]
    unknown = text_cells(replace(feature, seen=frozenset()), names)
    assert unknown[1:] == [cell + 8 for cell in cells[1:]]


@pytest.mark.parametrize(
    ("rare", "rows", "expected"),
    [(500, 2_000, 8), (16, 2_000, 8), (15, 2_000, 4), (8, 2_000, 4), (7, 2_000, 1), (500, 79, 4), (500, 39, 1)],
)
def test_as_many_cells_as_rare_texts_can_fill(rare: int, rows: int, expected: int) -> None:
    """Two texts and a thousandth of the rows for each; where less is rare, "other" is one cell, as it ever was."""
    texts = FrequentTexts()
    texts.add({"main": 10_000 - rows, **({"rest": rows} if rows else {})})
    assert rare_cells(texts, ("main",), frozenset(range(rare))) == expected


@pytest.mark.parametrize(("beyond", "high"), [(np.nan, 1.0), (np.inf, np.inf)])
def test_a_score_that_was_ever_infinite_is_no_probability(beyond: float, high: float) -> None:
    """Nobody said so: what the reference held breaks no rule of its own. NaN is no answer, and says nothing of it."""
    survey = NumberSurvey()
    survey.add(Numbers(np.array([0.1, 0.5, 0.9, beyond])))
    name = (Source.SCORE, "score")
    feature = make_feature(name, Kind.NUMBER, FeatureSchema(), survey, np.array([0.1, 0.5, 0.9]))
    assert feature.rules.high == high
