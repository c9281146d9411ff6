"""What follows labels shares the loop with records: a window's end goes in steps."""

from __future__ import annotations

import numpy as np

from agent.config.disparity_limits import DisparityLimit
from agent.fairness.beyond import Beyond, beyond
from agent.fairness.level import level
from tests.fairness.fairness_worlds import HOUR_NS, Life, World, about, settings

GROUPS = 20  # as many as have a place


def _steps(limit: str = "", windows: int = 51, change: float = 0.0) -> int:
    """Of the end of the last of so many windows."""
    even, half = (1.0,) * GROUPS, (0.5,) * GROUPS
    names = [f"g{k}" for k in range(GROUPS)]
    world = World(4_000, even, qualified=half, tpr=(0.8,) * GROUPS, fpr=(0.2,) * GROUPS, names=names)
    life = Life(about(settings(limit)))
    life.through(world, windows - 1)
    batch, pairs = world.window({0: change})
    life.follower.predicted(batch, life.index)
    life.follower.labelled(pairs, life.index)
    return len(list(life.follower.closing(life.index, (), (life.index + 1) * HOUR_NS)))


def test_a_close_goes_in_steps() -> None:
    """The sums, the comparison, the finding; while the past is learned each side's wandering in two; beside an alarm
    the known criteria."""
    assert _steps() == 3
    assert _steps(windows=12) == 3 + 2 * 2
    assert _steps(change=-0.5) == 3 + 1


def test_limits_are_looked_at_one_after_the_other_and_by_horizons() -> None:
    """Of each the wandering, then the distances, the tails and the exact counts of as many pairs as one step has; three
    of six horizons where two measures are asked."""
    rate, odds = "demographic_parity_ratio<0.8", "equalized_odds_difference>0.2"
    assert _steps(rate) == 3 + (1 + 3) + 1
    assert _steps(f"{rate},{odds}") == 3 + (1 + 3) + (1 + 2 * 3) + 1


def test_horizons_apart_or_together_are_the_same() -> None:
    """Nothing of one horizon's test depends on another's."""
    random = np.random.default_rng(3)
    n = random.integers(50, 400, (12, 6, 8)).astype(np.float64)
    hits = np.floor(n * random.uniform(0.1, 0.9, n.shape[1:]))
    sums = np.stack((n, n, hits, hits), axis=-1)
    limit, own = DisparityLimit("equalized_odds_difference", 0.1), level(sums)
    pooled, horizons = np.cumsum(sums, axis=0)[[0, 1, 3, 7]], np.array([1.0, 2.0, 4.0, 8.0])

    def told(of: slice) -> list[Beyond]:
        return [one for part in beyond(limit, pooled[of], horizons[of], own) for one in part]

    whole = told(slice(None))
    assert whole == [one for k in range(4) for one in told(slice(k, k + 1))]
    assert len({one.p for one in whole}) > 1
