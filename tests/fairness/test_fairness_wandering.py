"""How gaps wander between windows, and what of that a short past shows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.errors import CorruptError
from agent.fairness.attribute import WINDOWS_MAX, Attribute
from agent.fairness.groups import FIRST
from agent.fairness.level import level
from agent.fairness.outcomes import MEASURES, PREDICTED, SUMS, Measure, Outcomes
from agent.fairness.past import LEARN_RUNS_MAX, LEARN_WINDOWS_MAX
from agent.fairness.wandering import RUN, lag_one
from agent.records import Bools, Floats
from agent.statistics.autocorrelation import mean_variance
from tests.fairness.fairness_worlds import Life, World, about

RATE = Measure.SELECTION_RATE


def series(rng: np.random.Generator, windows: int, count: int, rho: float) -> Floats:
    """(windows, count): AR(1) series with variance 1."""
    found = rng.normal(size=(windows, count))
    for k in range(1, windows):
        found[k] = rho * found[k - 1] + math.sqrt(1.0 - rho**2) * found[k]
    return found


def selections(rng: np.random.Generator, windows: int, apart: float, rho: float, rows: int = 500) -> Floats:
    """(windows, groups, MEASURES, SUMS): half of either group selected, apart by `apart` (sd) from window to window."""
    rates = np.clip(0.5 + apart / math.sqrt(2.0) * series(rng, windows, 2, rho), 0.0, 1.0)
    found = np.zeros((windows, FIRST + 2, MEASURES, SUMS))
    found[:, FIRST:, RATE] = np.moveaxis(np.broadcast_to(rows, (SUMS, windows, 2)), 0, -1)
    found[:, FIRST:, RATE, 2:] = rng.binomial(rows, rates)[..., None]
    return found


def outcomes(sums: Floats) -> Outcomes:
    """One window of them."""
    found = Outcomes.empty(len(sums))
    found.sums[:] = sums
    found.rows[:, 0] = sums[:, RATE, 0]
    return found


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_a_group_that_is_absent_from_windows_counts_for_none(rho: float) -> None:
    """Present in three hours of four: windows without it are no windows that were usual. Places that nobody has change
    nothing."""
    rng = np.random.default_rng(1)
    z = 2.0 * series(rng, 400, 6, rho)[:, :, None] + rng.normal(size=(400, 6, 1))
    there: Bools = np.broadcast_to((np.arange(400) % 4 < 3)[:, None, None], z.shape)
    found = lag_one(np.where(there, z, 0.0), there)
    assert found == pytest.approx(np.full((6, 1), rho), abs=0.13)
    assert found.mean() == pytest.approx(rho, abs=0.07)
    empty = np.zeros((400, 9, 1))
    more = lag_one(np.concatenate((np.where(there, z, 0.0), empty), axis=1), np.concatenate((there, empty > 0), axis=1))
    assert more[:6] == pytest.approx(found)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_what_a_short_past_expects_of_a_day_is_what_a_day_does(rho: float) -> None:
    """Two days of hours, ten thousand rows: the variance expected of the mean of a day, the median of 40 pasts, is at
    least three quarters of the true one; around its own mean a past shows less than half of it where hours remember."""
    expected = []
    for seed in range(40):
        blocks = selections(np.random.default_rng(seed), LEARN_WINDOWS_MAX, 0.04, rho, 5_000)
        own = level(blocks, side=PREDICTED)
        expected.append(float(own.wander(np.array([24.0]))[0, FIRST, RATE]))
    true = 0.04**2 * float(mean_variance(np.array(rho), 24.0))
    assert 0.75 * true < np.median(expected) < 2.5 * true


def test_windows_that_left_the_longest_horizon_are_learned_by_runs_of_eight() -> None:
    """None twice, none that is still looked at, and never more than so many."""
    rng, attribute = np.random.default_rng(2), Attribute("gender")
    attribute.groups.of("f"), attribute.groups.of("m")
    blocks = selections(rng, 300, 0.0, 0.0)
    for index, sums in enumerate(blocks):
        attribute.open[index] = outcomes(sums)
        attribute.learn(index, attribute.end(index), alarms=False)
        known = attribute.own.level(FIRST + 2)
        older = max(index + 1 - WINDOWS_MAX - LEARN_WINDOWS_MAX, 0) // RUN
        windows = min(index + 1, LEARN_WINDOWS_MAX) + RUN * min(older, LEARN_RUNS_MAX)
        assert known.windows[FIRST, RATE] == windows
        assert known.total[FIRST:, RATE] == pytest.approx(blocks[:windows, FIRST:, RATE].sum(axis=0))
    assert attribute.own.said(0) == "the service's own first 240 windows"


def test_nothing_is_learned_while_a_gap_is_suspected() -> None:
    """Nor afterwards what was half a run when it began."""
    life, world = Life(about()), World(seed=3)
    life.through(world, 76)
    own = life.follower._of["gender"].own
    assert [windows for _, windows in own.half] == [4, 4]
    found = life.through(world, 8, {0: -0.3})
    assert found[-1][0].alarms
    assert [windows for _, windows in own.half] == [0, 0]
    life.through(world, 30, {0: -0.3})
    assert own.runs == ([], [])


def test_runs_survive_a_restart_and_states_without_them_are_read() -> None:
    """The same bytes after, whole and half runs among them; an older state goes on learning from its newest window."""
    attribute = Attribute("gender")
    attribute.groups.of("f"), attribute.groups.of("m")
    for index, sums in enumerate(selections(np.random.default_rng(4), 100, 0.0, 0.0)):
        attribute.open[index] = outcomes(sums)
        attribute.learn(index, attribute.end(index), alarms=False)
    head, arrays = attribute.closed_state()
    again = Attribute.of_closed("gender", head, list(arrays))
    same = again.closed_state()
    assert (same[0], head["runs"], head["half"]) == (head, [3, 0], [4, 0])
    assert all(np.array_equal(one, other) for one, other in zip(same[1], arrays, strict=True))
    older = {key: value for key, value in head.items() if key not in ("runs", "half", "last")}
    assert Attribute.of_closed("gender", older, list(arrays)).own.last == [99, 99]
    with pytest.raises(CorruptError):
        Attribute.of_closed("gender", head | {"half": [8]}, list(arrays))
