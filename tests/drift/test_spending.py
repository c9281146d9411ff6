"""What a horizon cannot spend goes to the others, and all together spend no more than the ledger gave."""

from __future__ import annotations

import numpy as np
from scipy import stats

from agent.drift.spending import _wallace, granted
from agent.records import Cells
from tests.drift.worlds import World, findings


def test_a_lone_window_has_what_all_horizons_would_spend() -> None:
    """At a start only the newest window is there: it alone can alarm."""
    world = World(features=4, n=100, reference_rows=10_000, seed=1)
    (lone, *_), (full, *_) = (findings(world.drift(), world.windows(k)) for k in (1, 24))
    assert lone.alpha > 3 * full.alpha


def test_horizons_that_the_floor_silences_give_to_the_short_ones() -> None:
    """Over 16 windows of 1,000 rows noise never has a PSI of 0.01; over 16 windows of 100 rows it has."""
    few, many = (World(features=4, n=n, reference_rows=100_000, seed=2) for n in (100, 1000))
    blunt, sharp = (world.drift().outlook(1, np.full(4, float(world.n))) for world in (few, many))
    assert blunt is not None
    assert sharp is not None
    assert (sharp.alpha > 1.5 * blunt.alpha).all()


def test_windows_that_vary_keep_their_long_horizons() -> None:
    """A window effect of 0.3 σ reaches the floor by itself: no horizon may give away what it spends."""
    calm, moved = (World(features=4, n=1000, reference_rows=100_000, seed=3, effect=e) for e in (0.0, 0.3))
    alpha = [
        outlook.alpha for world in (calm, moved)
        if (outlook := world.drift().outlook(1, np.full(4, 1000.0))) is not None
    ]  # fmt: skip
    assert (alpha[1] < 0.75 * alpha[0]).all()


def test_granted_never_exceeds_what_all_horizons_had() -> None:
    """Shares times the new alpha add up to the ledger's, unless that would be less than the ledger's own."""
    random = np.random.default_rng(4)
    shares = random.random((6, 500)) * random.integers(0, 2, (6, 500))
    alpha = np.full(500, 1e-6)
    new = granted(alpha, list(shares))
    assert (new * shares.sum(axis=0) <= 6 * alpha * (1 + 1e-9)).all()
    assert (new >= alpha).all()


def test_what_is_granted_is_not_overspent() -> None:
    """Still data of 1,000 rows a window, where the floor silences the long horizons, at a dial of 300 a day of which
    drift has at most two thirds: alarms stay under that by a bound that a true rate there breaks once in a thousand."""
    world = World(features=30, n=1000, reference_rows=50_000, seed=5)
    drift, recent, alarms = world.drift(dial=300.0), list[Cells](), 0
    for i in range(40):
        recent = [*recent[-23:], world.window()]
        alarms += sum(f.alarms for f in findings(drift, recent, i))
    assert 0 < alarms <= stats.poisson.isf(1e-3, 200.0 * 40 / 24)


def test_the_normal_limit_becomes_a_students() -> None:
    """t² by Wallace against scipy, at the ledger's levels."""
    for p in (1e-3, 1e-6, 1e-9):
        for df in (15.0, 60.0, 400.0):
            normal, exact = stats.norm.isf(p / 2), stats.t.isf(p / 2, df)
            found = float(np.sqrt(_wallace(np.array([normal]), np.array([df])))[0])
            assert abs(found / exact - 1.0) < 0.02
