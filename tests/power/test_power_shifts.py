"""What the ledger says of drift is what simulation finds: about four of five changes of the size it names."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.drift import Drift
from agent.ledger import Dial, Ledger
from agent.power.shifts import drift_sights
from agent.power.sight import Seen, Sight
from agent.records import Floats, Source
from tests.drift.worlds import World, findings, zipf

TRIALS = 25


def alone(world: World, drift: Drift, horizon: int) -> Drift:
    """Only this horizon, at the alpha it is granted beside the others."""
    layout = world.reference.layout
    outlook, ledger = drift.outlook(horizon, np.full(len(layout.features), float(world.n * horizon))), ledger_of(world)
    assert outlook is not None
    own = np.array([ledger.alpha("drift", i) for i in outlook.cells.features])
    granted = float(np.median(outlook.alpha / own))
    return Drift(world.reference, ledger_of(world, Dial().false_alarms_per_day * granted), (horizon,))


def ledger_of(world: World, dial: float = Dial().false_alarms_per_day) -> Ledger:
    return Ledger.of(Dial(dial), world.reference.layout, 3600.0)


def found(
    world: World, drift: Drift, horizon: int, shift: float = 0.0, texts: list[Floats] | None = None, scale: float = 1.0
) -> Floats:
    """Share of the trials in which each feature alarms, after `horizon` windows with the change."""
    one = alone(world, drift, horizon)
    hits = np.zeros(len(world.reference.layout.features))
    for _ in range(TRIALS):
        recent = [world.window(shift, scale, texts=texts or ()) for _ in range(horizon)]
        hits += [f.alarms for f in findings(one, recent)]
    return np.asarray(hits / TRIALS)


def median(sights: list[Sight], horizon: int, unit: str = "σ") -> float:
    seen = [s.smallest for sight in sights if sight.unit == unit for s in sight.seen if s.horizon == horizon]
    return float(np.median(seen))


@pytest.mark.parametrize(("n", "rows", "horizon"), [(1000, 50_000, 1), (1000, 50_000, 4), (100, 50_000, 4)])
def test_the_shift_it_names_is_found_in_four_of_five(n: int, rows: int, horizon: int) -> None:
    """20 normal features: the shift it names is found in about 80 %, three quarters of it in fewer than 60 %."""
    world = World(features=20, n=n, reference_rows=rows, seed=3)
    drift = world.drift()
    shift = median(drift_sights(drift, world.reference, n), horizon)
    assert 0.65 < found(world, drift, horizon, shift).mean() < 0.97
    assert found(world, drift, horizon, 0.75 * shift).mean() < 0.6


@pytest.mark.parametrize(("n", "horizon"), [(1000, 1), (1000, 4), (100, 8)])
def test_the_spread_it_names_is_found_in_four_of_five(n: int, horizon: int) -> None:
    """Standard deviation x k: k is found in about 80 %, three fifths of the widening in fewer than 60 %."""
    world = World(features=20, n=n, reference_rows=50_000, seed=3)
    drift = world.drift()
    scale = median(drift_sights(drift, world.reference, n), horizon, "sd")
    assert 0.65 < found(world, drift, horizon, scale=scale).mean() < 0.97
    assert found(world, drift, horizon, scale=1 + 0.6 * (scale - 1)).mean() < 0.6


def test_critical_features_and_matched_hours_see_what_is_named() -> None:
    """Two critical features of twelve, a sine over the day: both kinds find what is named for them, each about 80 %."""
    world = World(features=12, n=1000, reference_rows=1000 * 24 * 14, seed=9, daily=0.3)
    features = tuple(replace(f, critical=i < 2) for i, f in enumerate(world.reference.layout.features))
    world.reference = replace(world.reference, layout=replace(world.reference.layout, features=features))
    drift = world.drift()
    sights = [s for s in drift_sights(drift, world.reference, 1000) if s.unit == "σ"]
    one = alone(world, drift, 1)
    for critical in (True, False):
        shift = median([s for s in sights if s.critical is critical], 1)
        hits = []
        for _ in range(50):
            closed = replace(world.closed(), counts=world.window(shift))
            world.hour += 1
            told = [f for part in one.judge([closed]) for f in part]
            hits += [f.alarms for f, s in zip(told, sights, strict=True) if s.critical is critical]
        assert 0.6 < np.mean(hits) < 0.97


def test_windows_that_vary_are_reckoned_with() -> None:
    """A window effect of .1 σ triples the shift that one window shows; what is named is found all the same."""
    steady = World(features=20, n=1000, reference_rows=100_000, seed=4)
    moving = World(features=20, n=1000, reference_rows=100_000, seed=4, effect=0.1)
    drift = moving.drift()
    shift = median(drift_sights(drift, moving.reference, 1000), 1)
    assert shift > 2 * median(drift_sights(steady.drift(), steady.reference, 1000), 1)
    assert 0.5 < found(moving, drift, 1, shift).mean() < 0.99


def test_the_share_it_names_is_found() -> None:
    """A category of 9 % grows to the share that it names for one window: found in about four of five windows."""
    shares = zipf(30, 1.3)
    world = World(features=20, n=1000, reference_rows=100_000, seed=5, texts=[shares])
    drift = world.drift()
    (sight,) = (s for s in drift_sights(drift, world.reference, 1000) if s.unit == "share")
    seen = sight.within(1)
    assert seen is not None
    assert 0.05 < sight.before < seen.smallest < 0.25
    k = int(np.argmin(np.abs(shares - sight.before)))
    grown = shares * (1 - seen.smallest) / (1 - shares[k])
    grown[k] = seen.smallest
    assert found(world, drift, 1, texts=[grown])[-1] > 0.6


def test_more_rows_show_less_down_to_the_floor() -> None:
    """A million rows a window see no less than about a tenth of a σ: the effect's floor binds."""
    world = World(features=10, n=1000, reference_rows=100_000, seed=6)
    drift = world.drift()
    by_rows = [median(drift_sights(drift, world.reference, rows), 1) for rows in (100, 1_000, 4_000)]
    assert by_rows == sorted(by_rows, reverse=True)
    assert min(s.smallest for sight in drift_sights(drift, world.reference, 2_000) for s in sight.seen) > 0.095


def test_what_is_blind_says_why() -> None:
    """Five windows of reference for windows of ten times their rows: nothing is seen, with the reason."""
    world = World(features=3, n=1000, reference_rows=2_000, seed=7)
    short = drift_sights(world.drift(), world.reference, 1000)
    assert all(not s.seen and "the reference" in s.reason for s in short)
    few = drift_sights(world.drift(), world.reference, 1.0)
    assert all(not s.seen and "too few rows" in s.reason for s in few)


def test_a_constant_says_that_it_is_one() -> None:
    """No shift of it can be named, however long the reference; what tells of another value is."""
    world = World(features=2, n=1000, reference_rows=50_000, seed=7)
    layout, blocks = world.reference.layout, world.reference.blocks.copy()
    own = layout.slice(1)
    blocks[:, own.start + 5] += blocks[:, own.start : own.start + 5].sum(axis=1)
    blocks[:, own.start + 5] += blocks[:, own.start + 6 : own.start + layout.features[1].bins].sum(axis=1)
    blocks[:, own.start : own.start + 5] = blocks[:, own.start + 6 : own.start + layout.features[1].bins] = 0
    alone = replace(world.reference, blocks=blocks)
    drift = Drift(alone, ledger_of(world), (1, 2))
    blind = [sight for sight in drift_sights(drift, alone, 1000) if not sight.seen]
    assert {sight.subject for sight in blind} == {layout.features[1].name}
    assert all("always the same" in sight.reason for sight in blind)


def test_of_nearly_equal_shifts_the_soonest_is_told() -> None:
    """0.102 σ in one window is better news than 0.1 σ in eight."""
    sight = Sight("drift", "x", Source.FEATURE, "σ", seen=(Seen(1, 0.102), Seen(8, 0.1)))
    assert sight.within(24) == Seen(1, 0.102)
    share = Sight("missing", "x", Source.FEATURE, "share", 0.09, seen=(Seen(1, 0.102), Seen(8, 0.1)))
    assert share.within(24) == Seen(8, 0.1)
    assert share.within(0.5) is None
    assert math.isnan(sight.before)
