"""The test of a drop: how often it alarms where nothing changed, and how soon where something did."""

from __future__ import annotations

import numpy as np
import pytest

from agent.ledger import HORIZONS
from agent.performance.drop import Baseline, exact, judge
from agent.records import Floats

SERVICES = 100  # independent ones, side by side as slices
ALPHA = 0.05 * 0.10 / (24 * len(HORIZONS))  # one test's: the dial, performance's share, hourly windows


def _moments(x: Floats) -> Floats:
    """(services, 6) of losses (services, rows), all of weight 1."""
    ones = np.full(len(x), float(x.shape[1]))
    sums, squares = x.sum(axis=1), np.square(x).sum(axis=1)
    return np.stack((ones, ones, ones, sums, sums, squares), axis=1)


def _windows(kind: str, rng: np.random.Generator, count: int, rows: int, worse: float, wander: float) -> Floats:
    """(services, count, 1, 6): windows of losses; the mean wanders from window to window by a share of itself."""
    found = []
    for _ in range(count):
        level = worse * (1.0 + wander * rng.standard_normal(SERVICES))
        if kind == "error":
            wrong = rng.binomial(rows, np.clip(0.1 * level, 0.0, 1.0)).astype(float)
            ones = np.full(SERVICES, float(rows))
            found.append(np.stack((ones, ones, ones, wrong, wrong, wrong), axis=1))
        else:
            found.append(_moments(np.abs(rng.standard_t(4, (SERVICES, rows))) * level[:, None]))
    return np.stack(found, axis=1)[:, :, np.newaxis]


def _episodes(kind: str, blocks: int, rows: int, wander: float, alpha: float, windows: int = 96) -> float:
    """Alarm episodes a day of 24 windows, where nothing changes."""
    rng = np.random.default_rng(blocks + rows)
    rate = np.array([kind == "error"])
    baseline = Baseline.of(_windows(kind, rng, blocks, rows, 1.0, wander), rate, HORIZONS)
    live = np.moveaxis(_windows(kind, rng, windows, rows, 1.0, wander), 1, 0)
    episodes, active = 0, np.zeros(SERVICES, dtype=bool)
    for i in range(windows):
        alarms = _alarms(live[max(i - 23, 0) : i + 1][::-1], baseline, alpha)
        episodes += int((alarms & ~active).sum())
        active = alarms
    return episodes / (SERVICES * windows / 24)


def _alarms(recent: Floats, baseline: Baseline, alpha: float) -> np.ndarray:
    judged = judge(recent, baseline)
    found = np.zeros(recent.shape[1], dtype=bool)
    for h, s, k in np.argwhere(judged.p <= alpha).tolist():
        found[s] |= exact(judged, baseline, (h, s, k)) <= alpha
    return found


@pytest.mark.parametrize("kind", ["error", "absolute"])
@pytest.mark.parametrize(("blocks", "wander"), [(60, 0.0), (60, 0.1), (8, 0.1)])
def test_where_nothing_changes_it_is_as_rare_as_was_asked(kind: str, blocks: int, wander: float) -> None:
    """At twenty times the ledger's level, so that chance can be seen: at most 0.1 episodes a day, without the floor."""
    assert _episodes(kind, blocks, 200, wander, 20 * ALPHA) <= 0.1


@pytest.mark.parametrize(("share", "windows"), [(1.2, 10), (1.5, 2), (2.0, 1)])
def test_a_drop_is_found(share: float, windows: int) -> None:
    """Error .10 to .12, .15, .20 at 1000 labels a window against sixty such: half of all services within so many."""
    rng = np.random.default_rng(3)
    baseline = Baseline.of(_windows("error", rng, 60, 1000, 1.0, 0.0), np.array([True]), HORIZONS)
    live = np.moveaxis(_windows("error", rng, windows, 1000, share, 0.0), 1, 0)
    found = np.zeros(SERVICES, dtype=bool)
    for i in range(windows):
        found |= _alarms(live[: i + 1][::-1], baseline, ALPHA / 2)
    assert found.mean() >= 0.5


def test_better_is_no_alarm() -> None:
    """Half of the errors gone: p near 1."""
    rng = np.random.default_rng(4)
    baseline = Baseline.of(_windows("error", rng, 60, 1000, 1.0, 0.0), np.array([True]), HORIZONS)
    judged = judge(np.moveaxis(_windows("error", rng, 1, 1000, 0.5, 0.0), 1, 0), baseline)
    assert judged.p[0].min() > 0.99


def test_few_errors_are_tested_exactly() -> None:
    """Where the reference has none, three errors of thirty rows are less sure than a normal tail says."""
    ones = np.full((1, 60, 1, 1), 100.0)
    none = np.zeros((1, 60, 1, 3))
    baseline = Baseline.of(np.concatenate((ones, ones, ones, none), axis=-1), np.array([True]), HORIZONS)
    judged = judge(np.array([30.0, 30.0, 30.0, 3.0, 3.0, 3.0]).reshape(1, 1, 1, 6), baseline)
    assert judged.p[0, 0, 0] < 1e-9
    assert exact(judged, baseline, (0, 0, 0)) == pytest.approx((30 * 29 * 28) / (6030 * 6029 * 6028))


def test_windows_that_differ_ask_for_more() -> None:
    """The same rise is less significant where the reference's windows vary."""
    found = []
    for wander in (0.0, 0.3):
        rng = np.random.default_rng(5)
        baseline = Baseline.of(_windows("error", rng, 60, 1000, 1.0, wander), np.array([True]), HORIZONS)
        judged = judge(np.moveaxis(_windows("error", rng, 1, 1000, 1.5, 0.0), 1, 0), baseline)
        found.append((np.median(judged.p[0]), np.median(judged.phi[0])))
    assert found[0][0] < 1e-4 < found[1][0]
    assert found[0][1] < 2.0 < 5.0 < found[1][1]


def test_windows_much_larger_than_the_references_are_not_judged() -> None:
    """How two thousand labels a window vary, windows of twenty cannot say, unless they vary much themselves."""
    rng = np.random.default_rng(6)
    baseline = Baseline.of(_windows("error", rng, 60, 20, 1.0, 0.0), np.array([True]), HORIZONS)
    judged = judge(np.moveaxis(_windows("error", rng, 1, 2000, 1.0, 0.0), 1, 0), baseline)
    assert judged.tested[0].mean() < 0.2


def test_a_bad_day_such_as_the_reference_held_is_no_alarm() -> None:
    """Three days of 180 with thrice the errors: another such day is usual, a worse one is not."""
    wrong = np.full(180, 90.0)
    wrong[[20, 90, 140]] = 270.0, 265.0, 262.0
    ones = np.full(180, 1000.0)
    blocks = np.stack((ones, ones, ones, wrong, wrong, wrong), axis=1)[None, :, None]
    baseline = Baseline.of(blocks, np.array([True]), HORIZONS)

    def p(errors: float) -> float:
        day = np.array([1000.0, 1000.0, 1000.0, errors, errors, errors]).reshape(1, 1, 1, 6)
        return float(judge(day, baseline).p[0, 0, 0])

    assert p(260.0) > 0.005
    assert p(300.0) < 1e-4
