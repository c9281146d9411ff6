"""Since when: the window in which a change began, not the first of those it is most certain over."""

from __future__ import annotations

import numpy as np

from agent.drift.onset import moved_windows
from agent.records import Batch, Closed, Columns, Texts
from tests.drift.rows import KEY, counted, findings, judging, reference_of
from tests.drift.worlds import World

NAMES = tuple(f"shop {i}" for i in range(5_000))


def test_of_pooled_windows_those_that_moved_are_counted() -> None:
    """Four windows are judged together, three of which moved: most findings say three, nearly none four."""
    world = World(features=20, n=1000, reference_rows=50_000, seed=3)
    drift, said = world.drift(), []
    for _ in range(3):
        recent = [*world.windows(10), *(world.window(shift=0.25) for _ in range(3))]
        closed = [Closed(100 + i, counts) for i, counts in enumerate(recent)]
        found = [f for part in drift.judge(closed) for f in part if f.alarms and f.horizon == 4]
        said += [closed[-1].index - f.first_window + 1 for f in found]
    assert len(said) > 10
    assert np.mean([windows == 3 for windows in said]) > 0.6
    assert np.mean([windows == 4 for windows in said]) < 0.35


def test_hours_without_a_row_are_no_windows() -> None:
    """The shift began before a night without traffic: the window is named that moved, not one in the night."""
    world = World(features=5, n=1000, reference_rows=50_000, seed=4)
    recent = [*world.windows(10), *(world.window(shift=0.25) for _ in range(2))]
    hours = [*range(90, 101), 110]  # the second moved window comes nine hours after the first, of 100
    closed = [Closed(hour, counts) for hour, counts in zip(hours, recent, strict=True)]
    found = [f for part in world.drift().judge(closed) for f in part if f.alarms and f.horizon >= 2]
    assert found
    assert {f.first_window for f in found} == {100}


def test_each_stretch_is_held_against_the_reference_of_its_own() -> None:
    """Two cells, horizons of 1, 2 and 4: a jump in the newest window; in the newest two; three of four; none left of
    the newest; all of a slow change."""
    then = np.array([0.5, 0.5])

    def back(*moved: float, told: int) -> int:
        newest_first = np.cumsum([[m, -m] for m in moved], axis=0)
        horizons = [h for h in (1, 2, 4) if h <= len(moved)]
        rows = np.array([100.0 * h for h in horizons])
        return moved_windows(horizons, horizons.index(told), newest_first[[h - 1 for h in horizons]], rows, then)

    assert back(20.0, 0.0, told=2) == 1
    assert back(20.0, 20.0, told=2) == 2
    assert back(20.0, 20.0, 20.0, 0.0, told=4) == 3
    assert back(0.0, 20.0, 20.0, 20.0, told=4) == 4
    assert back(10.0, 9.0, 8.0, 7.0, told=4) == 4
    assert back(20.0, 20.0, 20.0, 0.0, told=2) == 3
    assert back(20.0, 20.0, 20.0, 20.0, told=1) == 4
    assert back(20.0, 0.0, 20.0, 20.0, told=1) == 1


def test_a_small_drift_that_goes_on_is_not_taken_for_over() -> None:
    """0.15 σ in windows of 300: alone each is often usual (p > 0.01), and yet shows the change; after it none does."""
    world = World(features=10, n=300, reference_rows=72_000, seed=5)
    drift, recent = world.drift(), world.windows(4)
    usual, after = [], []
    for i in range(24):
        recent.append(world.window(shift=0.15 if i < 16 else 0.0))
        closed = [Closed(100 + k, counts) for k, counts in enumerate(recent[-24:])]
        found = [f for part in drift.judge(closed) for f in part if f.alarms]
        usual += [f.distances["newest_part"] for f in found if f.distances["newest_p"] > 0.01 and i < 16]
        after += [f.distances["newest_part"] for f in found if i == 23]
    assert len(usual) > 10
    assert np.mean([part >= 0.5 for part in usual]) > 0.6
    assert len(after) > 2
    assert np.mean([part >= 0.5 for part in after]) < 0.2


def test_values_the_reference_happened_to_lack_do_not_date_a_change() -> None:
    """Of a text's rare values many are new in every window, and others stay away: that is no change, and none began."""
    random = np.random.default_rng(6)

    def draw(swollen: float) -> Batch:
        codes = random.zipf(1.4, 800) % 5_000
        codes[random.uniform(size=codes.size) < swollen] = 2
        return Batch(KEY, codes.size, 0, Columns(texts={"shop": Texts(NAMES, codes.astype(np.int32))}), Columns())

    reference = reference_of([draw(0.0) for _ in range(60)])
    measure = judging(reference)
    recent = [counted(reference, draw(0.0)) for _ in range(14)]
    for _ in range(4):
        recent.append(counted(reference, draw(0.08)))
        found = findings(measure, recent)["shop"]
    assert found.alarms
    assert 100 - 4 <= found.first_window <= 100 - 2
