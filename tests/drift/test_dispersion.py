"""φ, what hides it, and what leaks: neighbours that resemble each other, shifts that bend the shape, texts' ranks."""

from __future__ import annotations

import numpy as np
import pytest

from agent.bins import Feature, Layout
from agent.drift.moderation import DF_MAX, Borrowing
from agent.drift.pooling import Cells
from agent.drift.rare import CLASS_MIN, listed_by_chance, ranked
from agent.records import Floats, Kind, Source
from agent.statistics.array_tails import cauchy_combination
from agent.statistics.autocorrelation import correlation, growth, hidden, independent_groups, mean_variance
from tests.drift.worlds import World, findings, zipf


def series(random: np.random.Generator, blocks: int, rho: float, spread: float, features: int = 20) -> Floats:
    """(blocks, 3, features): an AR(1) effect of variance `spread` under noise of variance 1, around its own mean."""
    state, found = random.normal(size=(3, features)), np.empty((blocks, 3, features))
    for i in range(blocks):
        state = rho * state + np.sqrt(1 - rho**2) * random.normal(size=(3, features))
        found[i] = np.sqrt(spread) * state + random.normal(size=(3, features))
    centred: Floats = (found - found.mean(axis=0)) * np.sqrt(blocks / (blocks - 1))
    return centred


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("blocks", [50, 400])
def test_correlation_is_found_under_noise(rho: float, blocks: int) -> None:
    """On average over worlds within 0.06 of the truth, from fifty blocks on: a plain correlogram says 0.7 for 0.9."""
    found = [
        correlation(series(np.random.default_rng(seed), blocks, rho, 8.0), np.full(20, float(blocks)))
        for seed in range(6)
    ]
    assert np.mean(found) == pytest.approx(rho, abs=0.06)


def test_windows_that_do_not_vary_have_no_correlation() -> None:
    """Noise alone says nothing of the effect's correlation, and nothing is what is taken."""
    found = correlation(series(np.random.default_rng(1), 50, 0.0, 0.0), np.full(20, 50.0))
    assert np.median(found) < 0.2


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.95])
def test_variance_of_a_mean_is_the_sum_over_its_pairs(rho: float) -> None:
    """Against the covariance matrix; and groups of independent blocks hide nothing and grow by nothing."""
    lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    assert mean_variance(np.array(rho), 12.0) == pytest.approx((rho**lags).mean())
    nothing = np.zeros(1)
    assert hidden(nothing, 4, 50)[0] == pytest.approx(1.0)
    assert growth(nothing, 4, 50)[0] == pytest.approx(1.0)
    assert independent_groups(nothing, 4, np.array([0.9])).tolist() == [1.0]


def test_what_groups_hide_is_put_back() -> None:
    """Simulated: the mean square of a group beside the rest, times `hidden`, is that of far-away live windows."""
    random, rho, blocks, size = np.random.default_rng(2), 0.9, 60, 4
    near, far = [], []
    for _ in range(300):
        u = series_of(random, rho, blocks + 200 + size)
        groups = u[:blocks].reshape(-1, size).mean(axis=1)
        rest = (u[:blocks].sum() - size * groups) / (blocks - size)
        near.append(np.square(groups - rest).mean() / (1 / size + 1 / (blocks - size)))
        far.append((u[-size:].mean() - u[:blocks].mean()) ** 2 / (1 / size + 1 / blocks))
    mended = np.mean(near) * hidden(np.array(rho), size, blocks)
    assert mended == pytest.approx(np.mean(far), rel=0.25)
    assert np.mean(near) < 0.7 * np.mean(far)


def series_of(random: np.random.Generator, rho: float, length: int) -> Floats:
    found = np.empty(length)
    state = random.normal()
    for i in range(length):
        state = rho * state + np.sqrt(1 - rho**2) * random.normal()
        found[i] = state
    return found


def test_long_groups_borrow_what_shorter_ones_learned() -> None:
    """Three groups alone are worth two degrees of freedom; after fifty features' shorter ones, more than fifteen."""
    random = np.random.default_rng(3)
    lender, prior, cap = Borrowing(), np.ones((3, 50)), np.full((3, 50), DF_MAX)
    for groups in (50, 25, 12, 6, 3):
        df = np.full((3, 50), groups - 1.0)
        prior, cap = lender.moderate(random.chisquare(df) / df, df, prior, cap)
    assert np.median(cap) > 15.0
    assert np.quantile(prior, 0.95) < 1.5


def test_features_that_differ_lend_less() -> None:
    """Where each feature has a φ of its own, a common value is worth little."""
    random = np.random.default_rng(4)
    df, own = np.full((1, 50), 40.0), np.exp(random.normal(0.0, 1.0, (1, 50)))
    alike = Borrowing().moderate(random.chisquare(df) / df, df, np.ones((1, 50)), np.full((1, 50), DF_MAX))[1]
    apart = Borrowing().moderate(own * random.chisquare(df) / df, df, np.ones((1, 50)), np.full((1, 50), DF_MAX))[1]
    assert np.median(apart) < 55.0 < np.median(alike)


def test_correlated_windows_keep_the_dial() -> None:
    """AR 0.9 of 0.1 σ, fifty blocks, two references: the hardest of the nulls has no alarm in four days."""
    alarms = 0
    for seed in (61, 62):
        world = World(features=16, n=1000, reference_rows=50_000, seed=seed, effect=0.1, memory=0.9)
        drift = world.drift()
        world.windows(200)  # far away from the reference
        recent = world.windows(23)
        for i in range(48):
            recent = [*recent[-23:], world.window()]
            alarms += sum(f.alarms for f in findings(drift, recent, i))
    assert alarms == 0


def test_a_widening_is_seen_beside_windows_that_move() -> None:
    """Windows move by 0.1 σ, which bends the scale; sd x 1.25 is found in one window all the same."""
    world = World(features=20, n=1000, reference_rows=100_000, seed=64, effect=0.1)
    found = findings(world.drift(), [*world.windows(8), world.window(scale=1.25)])
    assert sum(f.alarms for f in found) >= 12


def test_close_counts_are_ordered_by_chance() -> None:
    """Equal categories: their order has nothing to do with which of them the reference happened to see more often."""
    random = np.random.default_rng(5)
    names = tuple(f"category{i}" for i in range(40))
    ranks = []
    for _ in range(60):
        counts = np.append(random.multinomial(4000, np.full(40, 1 / 40)), (0, 0))
        order = ranked(counts, names)
        assert sorted(order.tolist()) == list(range(42))
        assert order.tolist().index(41) == order.tolist().index(40) + 1
        ranks.append(np.corrcoef(counts[order[order < 40]], np.arange(40))[0, 1])
    assert abs(np.mean(ranks)) < 0.1


def test_common_categories_follow_rare_ones() -> None:
    """Counts that noise cannot confuse keep their order, and rare ones are one class."""
    counts = np.array([10_000, 3, 500, CLASS_MIN - 1, 0, 2000, 0, 0])
    order = ranked(counts, tuple("abcdef")).tolist()
    assert [i for i in order if counts[i] >= CLASS_MIN] == [2, 5, 0]


def test_never_seen_stands_with_other() -> None:
    """Which of both a rare category counts as was the reference's chance: a text of many keeps the dial."""
    world = World(features=0, n=1000, reference_rows=50_000, seed=65, texts=[zipf(30, 1.2)] * 4)
    cells = Cells.of(world.reference.layout, world.reference.share, world.reference.pooled)
    assert cells.joined == ()  # nothing is other
    pooled = world.reference.pooled.copy()
    pooled[world.reference.layout.slice(0)][30] = 400
    assert len(Cells.of(world.reference.layout, world.reference.share, pooled).joined) == 1


def test_many_equal_categories_keep_the_dial() -> None:
    """200 categories by Zipf, a reference of 5,000: what was rare by chance comes back, and is no drift."""
    world = World(features=0, n=100, reference_rows=5_000, seed=66, texts=[zipf(200)] * 10)
    drift, recent, alarms = world.drift(dial=5.0), world.windows(23), 0
    for i in range(48):
        recent = [*recent[-23:], world.window()]
        alarms += sum(f.alarms for f in findings(drift, recent, i))
    assert alarms <= 12


def test_weights_share_the_alpha() -> None:
    """A statistic with half of the weights may be half as significant as alone; absent ones give theirs away."""
    p = np.array([1e-9, 0.4, np.nan])
    weights = np.array([0.5, 0.25, 0.25])
    assert cauchy_combination(p, weights=weights) == pytest.approx(1.5e-9)
    assert cauchy_combination(p[:1]) == pytest.approx(1e-9)


def test_windows_that_move_apart_are_no_widening() -> None:
    """0.7 σ to either side where 0.3 σ is usual: two such windows are wider together, which is no news of the shape."""
    world = World(features=12, n=1000, reference_rows=50_000, seed=67, effect=0.3)
    drift = world.drift()
    world.effect = 0.0
    apart = [*world.windows(6), world.window(shift=0.7), world.window(shift=-0.7)]
    assert sum(f.alarms for f in findings(drift, apart)) <= 1
    wider = [*world.windows(6), *(world.window(scale=1.4) for _ in range(2))]
    assert sum(f.alarms for f in findings(drift, wider)) >= 9


def test_what_only_chance_listed_stands_together_with_the_others() -> None:
    """Of thousands of planes the fifty most frequent of the reference's were listed: each flies less often afterwards.
    Where the others together are clearly rarer than the least listed, nothing was left to chance."""
    planes = np.array([*np.linspace(8, 20, 50), 4_400, 0], dtype=np.int64)
    assert listed_by_chance(planes).all()
    carriers = np.array([900, 250, 240, 3, 0], dtype=np.int64)
    assert not listed_by_chance(carriers).any()
    shops = np.array([900, 400, 12, 11, 300, 0], dtype=np.int64)
    assert listed_by_chance(shops).tolist() == [False, False, True, True]


def test_a_text_whose_values_chance_listed_is_not_judged_by_their_shares() -> None:
    """Ids have no shares that could drift; a text with few values is judged as ever."""
    layout = Layout(
        tuple(Feature(n, Source.FEATURE, Kind.TEXT, categories=tuple(f"{n}{i}" for i in range(9))) for n in "ab")
    )
    counts = np.zeros(layout.cells, dtype=np.int64)
    counts[layout.slice(0)][:10] = [*range(8, 17), 4_000]
    counts[layout.slice(1)][:10] = [*range(300, 390, 10), 0]
    share = counts / 4_200
    assert Cells.of(layout, share, counts).features == (1,)
