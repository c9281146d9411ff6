"""Divergence, scores, effect and distances: scipy as the oracle, and the laws any measure keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from agent.bins import Feature
from agent.drift.comparison import Comparison, compare, largest_cell
from agent.drift.distances import NAMES, Axis, distances
from agent.drift.divergence import power_divergence
from agent.drift.effect import corrected_psi, psi_terms
from agent.drift.pooling import EXPECTED_MIN, Cells, Levels, Pooled
from agent.drift.scores import Scores, normal_score
from agent.records import Kind, Source
from tests.drift.worlds import BINS, World, make_reference, zipf

COUNTS = hnp.arrays(np.float64, 12, elements=st.integers(0, 10_000).map(float)).filter(lambda c: c.sum() > 0)
EDGES = tuple(float(i) for i in range(11))


def one_table(current: np.ndarray, reference: np.ndarray) -> float:
    owner = np.zeros(current.size, dtype=np.int64)
    n, n_reference = np.array([current.sum()]), np.array([reference.sum()])
    return float(power_divergence(current, reference, n, n_reference, np.array([0]), owner)[0])


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS)
def test_divergence_is_scipys(current: np.ndarray, reference: np.ndarray) -> None:
    """Cressie-Read on a 2 x B table, empty columns left out."""
    both = np.vstack((current, reference))[:, current + reference > 0]
    expected = stats.chi2_contingency(both, correction=False, lambda_=2 / 3).statistic if both.shape[1] > 1 else 0.0
    assert one_table(current, reference) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def of_feature(feature: Feature, reference: np.ndarray) -> tuple[Cells, Axis]:
    profile = make_reference([feature], [reference[None, :]])
    cells = Cells.of(profile.layout, profile.share, profile.pooled)
    return cells, Axis.of(profile.layout, cells)


def shown(current: np.ndarray, reference: np.ndarray, kind: Kind = Kind.NUMBER) -> dict[str, float]:
    feature = Feature("x", Source.FEATURE, kind, edges=EDGES, categories=tuple("abcdefghij"))
    cells, axis = of_feature(feature, reference)
    found = distances(cells, axis, current[cells.take], reference[cells.take])
    return {name: float(value[0]) for name, value in found.items()}


@settings(max_examples=40, deadline=None)
@given(COUNTS, COUNTS, st.sampled_from([Kind.NUMBER, Kind.TEXT]))
def test_distances_are_not_negative_and_zero_to_oneself(current: np.ndarray, reference: np.ndarray, kind: Kind) -> None:
    """distance(p, p) = 0 and distance(p, q) ≥ 0, whichever distance."""
    apart, same = shown(current, reference, kind), shown(reference, reference, kind)
    assert set(apart) == set(NAMES)
    assert all(not value < 0 for value in apart.values())
    assert all(abs(value) < 1e-6 for value in same.values() if value == value)


@settings(max_examples=30, deadline=None)
@given(COUNTS, COUNTS)
def test_distances_of_shares_keep_to_their_range(current: np.ndarray, reference: np.ndarray) -> None:
    """Jensen-Shannon, KS and L-infinity lie in [0, 1]."""
    number, text = shown(current, reference), shown(current, reference, Kind.TEXT)
    for value in (number["jensen_shannon"], number["ks"], text["l_infinity"]):
        assert 0.0 <= value <= 1.0 + 1e-12


def test_distances_against_scipy_on_values() -> None:
    """KS, Wasserstein over σ, Jensen-Shannon and chi-square, with scipy's from bin mid-points or shares."""
    random = np.random.default_rng(3)
    reference = np.array([0.0, *random.integers(50, 500, 10), 0.0])
    current = np.array([0.0, *random.integers(50, 500, 10), 0.0])
    found, middle = shown(current, reference), np.arange(10) + 0.5
    p, q = current[1:-1] / current.sum(), reference[1:-1] / reference.sum()
    assert found["ks"] == pytest.approx(np.abs(np.cumsum(p - q)).max())
    deviation = np.sqrt(np.sum(q * (middle - np.sum(q * middle)) ** 2) + 1 / 12)
    # scipy puts each bin's mass on its mid-point, we spread it over the bin: a little less area where the lines cross.
    expected = stats.wasserstein_distance(middle, middle, p, q) / deviation
    assert found["wasserstein"] == pytest.approx(expected, rel=0.1)
    assert found["chi_square"] == pytest.approx(stats.chi2_contingency([current[1:-1], reference[1:-1]]).statistic)
    between = (stats.entropy(p, (p + q) / 2, base=2) + stats.entropy(q, (p + q) / 2, base=2)) / 2
    assert found["jensen_shannon"] == pytest.approx(np.sqrt(between))


def test_wasserstein_of_a_shift_is_the_shift() -> None:
    """All mass moved by two bins: two widths, over the standard deviation."""
    reference, current = np.zeros(12), np.zeros(12)
    reference[3:6], current[5:8] = 100, 100
    deviation = np.sqrt(2 / 3 + 1 / 12)
    assert shown(current, reference)["wasserstein"] == pytest.approx(2 / deviation)


def test_empty_sides_have_no_distance() -> None:
    """No rows: unknown, never zero."""
    assert all(np.isnan(v) for v in shown(np.zeros(12), np.full(12, 5.0)).values())


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float64, 22, elements=st.floats(0, 1)), st.integers(50, 100_000), st.booleans())
def test_pooled_cells_expect_five(weights: np.ndarray, rows: int, text: bool) -> None:
    """Whatever the shares and however many rows: every pooled cell expects five, or the exact test takes over."""
    kind = Kind.TEXT if text else Kind.NUMBER
    categories = tuple(f"c{i}" for i in range(20))
    feature = Feature("x", Source.FEATURE, kind, edges=tuple(float(i) for i in range(21)), categories=categories)
    profile = make_reference([feature], [np.round(weights * 1e6)[None, :]])
    cells = Cells.of(profile.layout, profile.share, profile.pooled)
    levels = Levels(cells)
    pooled = levels.at(levels.level(np.array([float(rows)])))
    share = np.add.reduceat(cells.share, pooled.starts)
    scored = not np.isnan(pooled.scores.skewness).all()
    assert pooled.bins[0] == pooled.starts.size
    assert (share * rows >= EXPECTED_MIN - 1e-6).all() or (not scored and pooled.df[0] == 0)


def test_scores_and_residual_add_up_to_the_divergence() -> None:
    """Without drift the three z and the residual's mean square are 1 a degree of freedom."""
    world = World(features=20, n=1000, reference_rows=50_000, seed=4, texts=[zipf(15), zipf(40, 1.5)])
    reference = world.reference
    cells = Cells.of(reference.layout, reference.share, reference.pooled)
    levels, then = Levels(cells), reference.pooled[cells.take].astype(np.float64)
    now = np.array(world.windows(400))[:, cells.take].astype(np.float64)
    n, n_reference = cells.sums(now), cells.sums(then)
    pooled = levels.at(levels.level(n[0]))
    found = compare(cells, pooled, now, then, n, n_reference)
    np.testing.assert_allclose(np.square(found.z).mean(axis=(0, 2)), 1.0, atol=0.06)
    np.testing.assert_allclose(found.residual.mean(axis=0) / pooled.df, 1.0, atol=0.1)
    assert pooled.df[0] == BINS - 4


def test_location_sees_a_shift_scale_a_widening() -> None:
    """Each direction answers to its own kind of change, by its own sign."""
    world = World(features=5, n=20_000, reference_rows=1_000_000, seed=5)
    cells = Cells.of(world.reference.layout, world.reference.share, world.reference.pooled)
    levels, then = Levels(cells), world.reference.pooled[cells.take].astype(np.float64)

    def z(shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
        now = world.window(shift, scale)[cells.take].astype(np.float64)
        n, n_reference = cells.sums(now), cells.sums(then)
        return compare(cells, levels.at(levels.level(n)), now, then, n, n_reference).z

    up, wide = z(shift=0.1), z(scale=1.1)
    assert (up[0] > 8).all()
    assert (np.abs(up[1]) < 6).all()
    assert (wide[1] > 8).all()
    assert (np.abs(wide[0]) < 6).all()


def test_skewed_counts_keep_their_tail() -> None:
    """A Poisson count of mean 10 five deviations up: within a factor of two of the truth, a normal is not."""
    z, skewness = np.array([(25.5 - 10) / np.sqrt(10)]), np.array([1 / np.sqrt(10)])
    exact = stats.poisson.sf(25, 10)
    assert 0.5 < stats.norm.sf(normal_score(z, skewness))[0] / exact < 2
    assert stats.norm.sf(z)[0] < exact / 10


@pytest.mark.parametrize("shift", [0.1, 0.25, 0.5])
def test_effect_of_a_shift_is_its_square(shift: float) -> None:
    """Population PSI of d standard deviations is d², to a few per cent; the correction takes noise away."""
    world = World(features=15, n=10_000, reference_rows=500_000, seed=6)
    cells = Cells.of(world.reference.layout, world.reference.share, world.reference.pooled)
    now, then = world.window(shift=shift)[cells.take].astype(float), world.reference.pooled[cells.take].astype(float)
    n, n_reference = cells.sums(now), cells.sums(then)
    bins = np.full(15, BINS + 2)
    psi = cells.sums(psi_terms(now, then, n, n_reference, bins, cells.owner))
    effect = corrected_psi(psi, n, n_reference, np.full(15, BINS), np.ones(15))
    assert effect.mean() == pytest.approx(shift**2, rel=0.12)
    assert psi.mean() > effect.mean()


def test_a_category_with_next_to_no_rows_is_no_largest_cell() -> None:
    """A pooled cell that holds nothing on either side, or one row where 0.002 are expected, is left to the exact test:
    a normal deviate of it would be any number."""
    few = np.array([5.0, 55.0, 0.0]), np.array([3197.0, 51447.0, 0.0])
    one = np.array([9.0, 78.0, 1.0]), np.array([3197.0, 51447.0, 0.0])
    pooled = Pooled(
        starts=np.arange(3), first=np.array([0]), owner=np.zeros(3, np.int64), bins=np.array([3]), df=np.array([0]),
        scores=Scores(np.zeros((3, 3), np.float32), np.full((3, 1), np.nan)), rare=np.zeros(3, bool),
    )  # fmt: skip
    for current, reference in (few, one):
        found = Comparison(np.zeros((3, 1)), np.zeros(1), np.zeros(1), np.zeros(1), current, reference)
        whole = np.ones(1, dtype=bool)
        z = largest_cell(found, pooled, current.sum(keepdims=True), reference.sum(keepdims=True), whole)
        assert 0.0 <= float(z[0]) < 3.0
