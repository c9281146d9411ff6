"""What the ledger says of segments is what their judge finds."""

from __future__ import annotations

import pytest

from agent.power.segments import segment_sights
from agent.power.sight import Sight
from tests.segments.segment_worlds import Regions, alarms, judged

TRIALS = 40


def sight(world: Regions, check: str, unit: str, region: int = 0) -> Sight:
    found = segment_sights(world.segments(), world.reference, sum(world.rows))
    (own,) = (s for s in found if (s.check, s.unit, s.segment) == (check, unit, world.names[region]))
    return own


def share(world: Regions, shift: float, horizon: int) -> float:
    """Of the trials in which a shift of number0 in region r0 is found over so many windows."""
    segments, hits = world.segments(), 0
    for _ in range(TRIALS):
        recent = [world.window(i, shift={0: shift}) for i in range(horizon)]
        found = [f for f in alarms(judged(segments, recent)) if (f.segment, f.subject) == ("region=r0", "number0")]
        hits += any(f.check == "drift" for f in found)
    return hits / TRIALS


@pytest.mark.parametrize(("rows", "horizon", "effect"), [(200, 1, 0.0), (40, 4, 0.0), (200, 4, 0.1)])
def test_the_shift_it_names_is_found_in_four_of_five(rows: int, horizon: int, effect: float) -> None:
    """Ten regions, with and without a wander of their own: what is named in about 80 %, three quarters of it in fewer
    than 60 %."""
    world = Regions([rows] * 10, features=3, texts=0, seed=3, effect=effect)
    (smallest,) = (s.smallest for s in sight(world, "drift", "σ").seen if s.horizon == horizon)
    assert 0.6 < share(world, smallest, horizon) <= 1.0
    assert share(world, 0.75 * smallest, horizon) < 0.6


def test_the_rise_of_missing_values_it_names_is_found() -> None:
    """1 % missing rises to what is named for one window: about four of five windows alarm, halfway there fewer than
    half."""
    world = Regions([200] * 4, features=1, texts=0, seed=4)
    smallest = sight(world, "missing", "share").seen[0].smallest
    segments, usual = world.segments(), world.missing

    def found(rate: float) -> float:
        world.missing = rate
        windows = [world.window(i) for i in range(TRIALS)]
        hits = [f for w in windows for f in alarms(judged(segments, [w])) if f.check == "missing"]
        return len(hits) / TRIALS / 4

    assert 0.6 < found(smallest) < 0.99
    assert found((usual + smallest) / 2) < 0.5


def test_a_segment_of_few_rows_is_blind_at_first_and_says_so_if_always() -> None:
    """Nine rows a window: nothing in one; 0.6 rows: nothing at all, with a reason."""
    assert min(s.horizon for s in sight(Regions([9, 300], seed=5), "drift", "σ").seen) == 16
    world = Regions([9, 300], seed=5)
    found = segment_sights(world.segments(), world.reference, 20.0)
    blind = [s for s in found if s.segment == "region=r0"]
    assert len(blind) == 3
    assert all(not s.seen and "too few rows" in s.reason for s in blind)
