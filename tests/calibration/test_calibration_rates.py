"""The arithmetic of a cell: rates, intervals, verdicts, thresholds of the peers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from calibration.cells import Cell, normal
from calibration.outcome import Found, Null, null_of
from calibration.rates import gamma_lower, median, median_interval, poisson_interval, rate_of
from calibration.schedule import Task
from calibration.versus import episodes, threshold
from calibration.worlds import Change


@pytest.mark.parametrize("count", [0, 1, 3, 20, 250])
def test_intervals_are_garwoods(count: int) -> None:
    """Against scipy's chi-square quantiles."""
    low, high = poisson_interval(count)
    assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, abs=1e-6)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2, rel=1e-6)


@pytest.mark.parametrize(("shape", "x"), [(0.5, 0.2), (3.0, 9.0), (40.0, 31.0), (300.0, 330.0)])
def test_the_incomplete_gamma_function_is_right(shape: float, x: float) -> None:
    """Also for the fractions of counts that a dispersion leaves."""
    assert gamma_lower(shape, x) == pytest.approx(stats.gamma.cdf(x, shape), rel=1e-9)


def test_one_bad_reference_widens_the_interval() -> None:
    """Twelve episodes that are all one reference's say less of the mean than twelve of twelve references."""
    even = rate_of([(1, 4.0)] * 12)
    uneven = rate_of([(12, 4.0)] + [(0, 4.0)] * 11)
    assert even.rate == uneven.rate == 0.25
    assert uneven.error > 3 * even.error
    assert uneven.interval[1] > even.interval[1]
    assert (uneven.worst, uneven.often) == (3.0, 1 / 12)


@pytest.mark.parametrize(("episodes", "fails"), [(0, False), (5, False), (12, False), (20, True)])
def test_a_cell_fails_two_standard_errors_above_its_limit(episodes: int, fails: bool) -> None:
    """200 days at 0.05 expect ten; twelve are no evidence, twenty are."""
    counts = [(1, 4.0)] * episodes + [(0, 4.0)] * (50 - episodes)
    assert rate_of(counts).fails(0.05) is fails


def test_a_measure_that_raises_fails_its_cell() -> None:
    """An agent that goes on without a measure raises no alarm: that is not calm."""
    task = Task(Cell("x", normal(1), 100, 1_000), 1.0, 3, [], 0, broken="measure_failed", failed=True)
    assert null_of(task).failed
    task.failed = False  # the data are not installed: nobody's fault, and said
    assert not null_of(task).failed


def test_a_limit_of_nothing_is_shown_and_not_judged() -> None:
    """For what is known not to be kept."""
    cell = Cell("x", normal(1), 100, 1_000, limit=0.0)
    null = Null(cell, rate_of([(50, 4.0)] * 3), None, *(null_of(Task(cell, 1.0, 3, [], 0)).alerts,) * 2, 1)
    assert not null.failed


def test_what_was_not_found_is_later_than_everything_that_was() -> None:
    """A median of those found alone would flatter."""
    assert median([1, 2, 0, 0, 0]) == math.inf
    assert median([4, 2, 0]) == 4
    assert median([1, 3]) == 2


@pytest.mark.parametrize(
    ("delays", "expected", "failed"),
    [
        ((1, 1, 2, 1, 1), 1.0, False),
        ((3, 3, 3, 3, 3), 1.0, True),
        ((1, 1, 1, 0, 0), 1.0, True),
        ((7, 8, 8, 8, 9), 4.0, False),
        ((0, 0, 0), 0.0, False),
    ],
)
def test_a_promise_is_missed_by_more_than_twice_the_delay(
    delays: tuple[int, ...], expected: float, failed: bool
) -> None:
    """Or where a fifth of the changes is not found at all; what was never promised cannot be missed."""
    cell = Cell("x", normal(1), 100, 1_000, change=Change("shift", 1.0), expected=expected)
    assert Found(cell, delays, 1).failed is failed


def test_a_tuned_threshold_leaves_no_more_alarms_than_asked() -> None:
    """Ties included: what is above it is what alarms."""
    scores = np.random.default_rng(1).standard_normal(10_000).round(1)
    found = threshold(scores, 0.001)
    assert (scores > found).mean() <= 0.001
    assert (scores >= found).mean() > 0.001


def test_an_episode_ends_after_two_quiet_windows() -> None:
    """As our own alerts do; an alarm that never ends is one episode."""
    assert episodes(np.ones(24, dtype=bool)) == 1
    assert episodes(np.array([1, 0, 1, 0, 0, 1], dtype=bool)) == 2
    assert episodes(np.zeros(5, dtype=bool)) == 0


@pytest.mark.parametrize("n", [6, 11, 20, 45])
def test_the_median_s_interval_holds_the_median_of_the_world(n: int) -> None:
    """In at least 95 % of samples, here of delays whose median is 4 (sampling error: a hundredth)."""
    random = np.random.default_rng(n)
    held = 0
    for _ in range(1_000):
        low, high = median_interval(random.integers(1, 8, n).tolist())
        held += low <= 4.0 <= high
    assert held >= 940


def test_delays_that_were_not_found_are_the_longest() -> None:
    """Two of six found: the median may be later than anything."""
    assert median_interval([0, 0, 3, 0, 5, 0]) == (3.0, math.inf)
