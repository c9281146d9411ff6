"""Rates over 1, 4 and 16 windows: small rises are found, the newest windows end the alert, wander is no rise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.machine import advance
from agent.bins import ABSENT_CELL, FRACTIONAL_CELL, INF_CELL, MISMATCH_CELL, NULL_CELL, Feature, Layout
from agent.ledger import RATES, Dial, Ledger
from agent.quality.judge import Quality
from agent.quality.wander import Wander
from agent.records import Closed, Floats, Kind, ModelKey, Source, Verdict
from agent.reference.profile import Reference
from tests.quality.quality_worlds import Fixed, found_in

NUMBER = Feature("x", Source.FEATURE, Kind.NUMBER, edges=(0.0, 1.0, 2.0), integral=True)
TEXT = Feature("t", Source.FEATURE, Kind.TEXT, categories=("a", "b"))
FAULTS = {
    "missing": (NUMBER, NUMBER.bins + NULL_CELL),
    "absent": (NUMBER, NUMBER.bins + ABSENT_CELL),
    "type_mismatch": (NUMBER, NUMBER.bins + MISMATCH_CELL),
    "not_finite": (NUMBER, NUMBER.bins + INF_CELL),
    "out_of_range": (NUMBER, 0),
    "fractional": (NUMBER, NUMBER.bins + FRACTIONAL_CELL),
    "new_category": (TEXT, TEXT.bins - 1),
}


class World:
    """Twenty features with one kind of fault each, at a rate that each window may set anew."""

    def __init__(self, check: str = "missing", seed: int = 0, features: int = 20) -> None:
        feature, self.cell = FAULTS[check]
        self.check = check
        self.rng = np.random.default_rng(seed)
        self.layout = Layout(tuple(replace(feature, name=f"x{i}") for i in range(features)))
        self.first = 1 if feature.kind is Kind.NUMBER else 0
        self.beside = self.cell == NUMBER.bins + FRACTIONAL_CELL and feature is NUMBER

    def window(self, rates: float | Floats, rows: int = 1000) -> np.ndarray:
        cells = np.zeros(self.layout.cells, np.int32)
        for start, rate in zip(self.layout.starts[:-1], np.broadcast_to(rates, len(self.layout.features)), strict=True):
            faulty = int(self.rng.binomial(rows, rate))
            good = rows if self.beside else rows - faulty
            half = int(self.rng.binomial(good, 0.5))
            cells[start + self.first : start + self.first + 2] = half, good - half
            cells[start + self.cell] = faulty
        return cells

    def reference(self, rates: Sequence[float | Floats], rows: int = 1000) -> Reference:
        blocks = np.stack([self.window(rate, rows) for rate in rates])
        return Reference("m", "1", self.layout, blocks, np.zeros(len(rates), np.int64), np.full(len(rates), rows))

    def closed(self, rates: Sequence[float | Floats], first: int = 0) -> list[Closed]:
        return [Closed(first + i, self.window(rate), rows=1000) for i, rate in enumerate(rates)]


def delays(world: World, reference: Reference, before: float, after: float, windows: int = 12) -> list[int]:
    """For each feature, windows until its first alarm after the rise; 99: none."""
    quality = Quality(reference, Ledger.of(Dial(), world.layout, 3600.0))
    recent = world.closed([before] * 16)
    found: dict[str, int] = {}
    for late in range(1, windows + 1):
        recent = [*recent, Closed(15 + late, world.window(after), rows=1000)][-24:]
        for f in found_in(quality.judge(recent)):
            if f.alarms and f.check == world.check:
                found.setdefault(f.subject, late)
    return sorted(found.get(f.name, 99) for f in world.layout.features)


@pytest.mark.parametrize(
    ("before", "after", "within"), [(0.01, 0.02, 4), (0.01, 0.05, 1), (0.001, 0.01, 2), (0.0, 0.015, 1)]
)
def test_missing_rises_are_found_in_time(before: float, after: float, within: int) -> None:
    """n = 1,000, N = 50,000, the ledger's α of twenty features: median delay in windows."""
    world = World(seed=1)
    found = delays(world, world.reference([before] * 50), before, after, windows=within + 2)
    assert np.median(found) <= within


@pytest.mark.parametrize("check", [check for check in FAULTS if check != "missing"])
def test_every_kind_of_fault_is_found_at_once_and_a_small_one_in_four(check: str) -> None:
    """From none to 3 % in one window; from 1 % (where a reference can hold it) to 2.5 % in four."""
    world = World(check, seed=2, features=8)
    clean = world.reference([0.0] * 50)
    assert np.median(delays(world, clean, 0.0, 0.03, windows=2)) == 1
    known = world.reference([0.01] * 50)
    assert np.median(delays(world, known, 0.01, 0.025, windows=4)) <= 4


def test_a_finding_tells_its_horizon_and_since_when() -> None:
    """1 to 2 % in the newest four windows: no single one stands out, all four do, and the first of them is named."""
    world = World(seed=3, features=4)
    quality = Quality(world.reference([0.01] * 100), Fixed(1e-5))
    recent = world.closed([0.01] * 12 + [0.02] * 4, first=100)
    found = [f for f in found_in(quality.judge(recent)) if f.alarms]
    assert {f.horizon for f in found} == {4}
    assert all(f.n == 4000 and "4 windows together" in f.reason for f in found)
    assert all(112 <= f.first_window <= 113 for f in found)
    for f in found:
        assert f.distances["newest_share"] == pytest.approx(0.02, abs=0.015)
        assert f.distances["newest_p"] > f.p_value


def test_a_horizon_runs_only_where_the_reference_carries_it() -> None:
    """Forty blocks carry four windows, not sixteen: eight groups are needed, unless there never was such a fault."""
    world = World(seed=4, features=6)
    recent = world.closed([0.013] * 24)
    short = found_in(Quality(world.reference([0.01] * 40), Fixed(0.01)).judge(recent))
    long = found_in(Quality(world.reference([0.01] * 140), Fixed(0.01)).judge(recent))
    assert max(f.horizon for f in short) <= 4
    assert max(f.horizon for f in long) == 16


def test_an_alert_ends_by_the_newest_windows() -> None:
    """Four windows of 5 %, then none: the pool of sixteen still remembers, the alert ends after two good closes."""
    world = World(seed=5, features=1)
    quality = Quality(world.reference([0.002] * 140), Fixed(1e-6))
    book, said, recent = AlertBook(), [], world.closed([0.002] * 16)
    for i, rate in enumerate([0.05] * 4 + [0.002] * 4):
        recent = [*recent, Closed(16 + i, world.window(rate), rows=1000)][-24:]
        found = found_in(quality.judge(recent))
        context = WindowContext(ModelKey("m"), 16 + i, i, i + 1, 1000)
        book, changes = advance(book, found, context)
        said.append([change.event.name.split(".")[-1] for change in changes if change.event])
        if i == 5:
            assert any(f.alarms and f.horizon > 1 for f in found)
    assert said[:6] == [["firing"], [], [], [], [], ["resolved"]]


def rates_of(rng: np.random.Generator, windows: int, features: int, mean: float, spread: float, lag: float) -> Floats:
    """(windows, features): Beta rates of this mean and relative spread, neighbours correlated."""
    steps = rng.normal(size=(windows, features))
    for i in range(1, windows):
        steps[i] = lag * steps[i - 1] + (1 - lag**2) ** 0.5 * steps[i]
    if not spread:
        return np.full(steps.shape, mean)
    whole = (1.0 - mean) / (mean * spread**2) - 1.0
    return np.asarray(stats.beta.ppf(stats.norm.cdf(steps), mean * whole, (1.0 - mean) * whole))


@pytest.mark.parametrize(("spread", "lag", "blocks"), [(0.0, 0.0, 60), (0.3, 0.0, 60), (0.6, 0.0, 60), (0.4, 0.5, 160)])
def test_false_alarms_stay_within_the_ledger_at_every_horizon(spread: float, lag: float, blocks: int) -> None:
    """Stationary faults, with and without wander from window to window: tests at p ≤ 0.01 are at most 1.5 % of all.

    40 features × 24 windows (for the longer horizons, a sixth of them are independent); the floor is not counted on.
    """
    world = World(seed=6, features=40)
    rates = rates_of(world.rng, blocks + 40, 40, 0.02, spread, lag)
    quality = Quality(world.reference(list(rates[:blocks])), Fixed(0.01))
    recent = world.closed(list(rates[blocks : blocks + 16]))
    low, tests = dict.fromkeys(RATES, 0), 0
    for i in range(24):
        recent = [*recent[-23:], Closed(16 + i, world.window(rates[blocks + 16 + i]), rows=1000)]
        tests += 40
        for f in found_in(quality.judge(recent)):
            low[f.horizon] += f.p_value <= f.alpha
    carried = [horizon for horizon in RATES if blocks >= 8 * horizon]
    assert sum(low.values()) / tests <= 0.015 * len(carried)


def test_the_dial_holds_with_rates_that_wander() -> None:
    """The whole rule at the ledger's own α: forty features, twenty days of hours, no alarm."""
    world = World(seed=7, features=10)
    rates = rates_of(world.rng, 340, 10, 0.02, 0.3, 0.3)
    quality = Quality(world.reference(list(rates[:100])), Ledger.of(Dial(), world.layout, 3600.0))
    recent = world.closed(list(rates[100:116]))
    alarms = 0
    for i in range(220):
        recent = [*recent[-23:], Closed(16 + i, world.window(rates[116 + i]), rows=1000)]
        alarms += sum(f.alarms for f in found_in(quality.judge(recent)))
    assert alarms == 0


@given(st.floats(0.0, 0.9), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_pooled_windows_wander_less_and_never_less_than_independent_ones(lag: float, seed: int) -> None:
    """The variance of a mean of h windows lies between 1/h of a window's and all of it, a little noise apart."""
    rng = np.random.default_rng(seed)
    rates = rates_of(rng, 240, 30, 0.05, 0.5, lag)
    wander = Wander.of(rng.binomial(1000, rates), np.full((240, 30), 1000), RATES)
    single, four, sixteen = np.median(wander.excess, axis=1)
    assert single * 1.05 >= four >= sixteen
    assert four >= single / 4 * 0.7
    assert sixteen >= single / 16 * 0.5
    assert (wander.freedom >= 1.0).all()
    assert (np.array([wander.phi(i, 4.0, 4000, 240_000)[0] for i in range(30)]) >= 1.0).all()


def test_a_forgotten_past_counts_as_what_is_left() -> None:
    """Emptied windows leave one with rows: it is judged as one window, not as sixteen that averaged out."""
    world = World(seed=8, features=3)
    quality = Quality(world.reference(list(np.linspace(0.0, 0.04, 160))), Fixed(1e-4))
    empty = [Closed(i, np.zeros(world.layout.cells, np.int32)) for i in range(23)]
    found = found_in(quality.judge([*empty, Closed(23, world.window(0.045), rows=1000)]))
    assert {f.horizon for f in found if f.check == "missing"} == {1}
    assert not any(f.verdict is Verdict.ALARM for f in found)
