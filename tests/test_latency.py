"""Slow models must be found in their first slow window; noisy machines must not alarm."""

from __future__ import annotations

import numpy as np
import pytest

from agent.counting.durations import BUCKETS
from agent.errors import CorruptError
from agent.latency import LatencyBaseline, judge, judge_objective
from agent.records import Cells, Source, Verdict

ALPHA = 1e-6


def window(rng: np.random.Generator, median: float, rows: int = 200) -> Cells:
    seconds = median * 2.0 ** rng.normal(0, 0.6, rows)
    buckets = np.clip(np.ceil(4 * (np.log2(seconds) + 20)) - 1, 0, BUCKETS - 1).astype(int)
    return np.bincount(buckets, minlength=BUCKETS).astype(np.int32)


def baseline(rng: np.random.Generator, blocks: int = 8, wander: float = 0.05) -> LatencyBaseline:
    found = LatencyBaseline()
    for octave in rng.uniform(-wander, wander, blocks):
        found = found.learn(window(rng, 0.5 * 2**octave))
    return found


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("wander", [0.05, 0.5])
@pytest.mark.parametrize("rows", [30, 200, 5000])
def test_eight_times_slower_alarms_in_its_first_window(rng: np.random.Generator, wander: float, rows: int) -> None:
    """Story 7: 500 ms to 4 s with eight windows known, on a quiet machine and on one that varies twofold."""
    found = judge([window(rng, 4.0, rows)], baseline(rng, wander=wander), ALPHA, 12)
    assert found.alarms
    assert (found.check, found.subject, found.source, found.first_window) == ("latency", "latency", Source.LATENCY, 12)
    assert found.effect == pytest.approx(8, rel=0.45)
    assert set(found.distances) == {"p50", "p95", "p99", "baseline_p50", "baseline_p95", "baseline_p99"}
    assert found.distances["p50"] == pytest.approx(4, rel=0.3)


def test_a_noisy_machine_is_judged_less_sharply(rng: np.random.Generator) -> None:
    """Three times slower is an incident where windows are alike, and not where they vary twofold."""
    slow = [window(rng, 1.5)]
    quiet, noisy = baseline(rng, 32), baseline(rng, 32, wander=1.0)
    assert judge(slow, quiet, ALPHA, 0).alarms
    calm = judge(slow, noisy, ALPHA, 0)
    assert calm.verdict is Verdict.WITHIN_NOISE
    assert calm.phi > 5 * judge(slow, quiet, ALPHA, 0).phi


@pytest.mark.parametrize("wander", [0.05, 0.5])
def test_stationary_traffic_alarms_no_oftener_than_allowed(rng: np.random.Generator, wander: float) -> None:
    """2,000 windows at α = 0.01, 40 baselines of eight blocks: at most 1 % significant (99.9 % bound)."""
    below = 0
    for _ in range(40):
        known = baseline(rng, 8, wander)
        for octave in rng.uniform(-wander, wander, 50):
            below += judge([window(rng, 0.5 * 2**octave)], known, 0.01, 0).p_value <= 0.01
    assert below <= 20 + 3.1 * 20**0.5


def test_a_significant_but_small_rise_is_below_the_floor(rng: np.random.Generator) -> None:
    """Thirty per cent slower is not worth an alarm, however sure."""
    found = judge([window(rng, 0.65, 50_000)], baseline(rng, 32, 0.0), 0.01, 0)
    assert found.verdict is Verdict.BELOW_FLOOR
    assert found.effect < 1.5


def test_faster_is_no_alarm(rng: np.random.Generator) -> None:
    """The test is one-sided."""
    assert judge([window(rng, 0.05)], baseline(rng), ALPHA, 0).p_value > 0.5


def test_each_kind_of_blindness_is_said(rng: np.random.Generator) -> None:
    """No data, still learning, not enough rows."""
    ready = baseline(rng)
    assert judge([], ready, ALPHA, 0).verdict is Verdict.NO_DATA
    assert judge([np.zeros(BUCKETS, np.int32)], ready, ALPHA, 0).verdict is Verdict.NO_DATA
    assert judge([window(rng, 4.0)], baseline(rng, 7), ALPHA, 0).verdict is Verdict.LEARNING
    assert judge([window(rng, 4.0, 19)], ready, ALPHA, 0).verdict is Verdict.NOT_ENOUGH_ROWS


def test_the_baseline_learns_few_full_windows_and_stops(rng: np.random.Generator) -> None:
    """Windows under 50 rows teach nothing; after 32 blocks the past stands."""
    assert len(LatencyBaseline().learn(window(rng, 0.5, 49)).blocks) == 0
    full = baseline(rng, 40)
    assert len(full.blocks) == 32
    assert full.learn(window(rng, 4.0)) is full


def test_the_baseline_survives_its_bytes(rng: np.random.Generator) -> None:
    """Stored and read again it is the same; broken bytes are said to be broken."""
    known = baseline(rng)
    assert (LatencyBaseline.from_bytes(known.to_bytes()).blocks == known.blocks).all()
    assert LatencyBaseline.from_bytes(b"").blocks.shape == (0, BUCKETS)
    with pytest.raises(CorruptError):
        LatencyBaseline.from_bytes(known.to_bytes()[:-1])
    with pytest.raises(CorruptError):
        LatencyBaseline.from_bytes(b"\xff" * 512)


def test_the_objective_is_absolute(rng: np.random.Generator) -> None:
    """Over it: an alarm without any baseline; under it, by chance over it, or none set: no alarm."""
    slow = judge_objective([window(rng, 0.9)], 1.0, ALPHA, 3)
    assert slow is not None
    assert slow.alarms
    assert (slow.check, slow.distances["objective"]) == ("latency_objective", 1.0)
    assert slow.expected == pytest.approx(0.01)
    fast = judge_objective([window(rng, 0.1)], 1.0, ALPHA, 3)
    assert fast is not None
    assert fast.verdict is Verdict.WITHIN_NOISE
    assert judge_objective([window(rng, 0.5)], 0.0, ALPHA, 3) is None
    empty = judge_objective([], 1.0, ALPHA, 3)
    assert empty is not None
    assert empty.verdict is Verdict.NO_DATA
