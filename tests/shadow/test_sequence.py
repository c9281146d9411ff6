"""The confidence sequence: right at all looks together, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from agent.shadow.deciding import half_width
from agent.shadow.losses import Sums, apart, paired
from agent.shadow.sequence import Now, labels_needed, multiplier, spread

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
BOTH = np.array([1.0, -1.0])


def errors(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Wrong in a tenth, half of the mistakes in common."""
    common, first, second = (rng.random(rows) < 0.1 for _ in range(3))
    own = rng.random(rows) < 0.5
    return np.where(own, common, first).astype(float), np.where(own, common, second).astype(float)


def heavy(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """One version is mostly better and now and then much worse: the same mean."""
    return np.full(rows, math.exp(0.5)), np.exp(rng.normal(size=rows))


def windows(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Each window favours one of the two."""
    return rng.gamma(4.0, 0.25, rows) + 0.2 * rng.normal(), rng.gamma(4.0, 0.25, rows)


class Slow:
    """Hours favour one version for long: AR(1) .8 from window to window, thrice an hour's variance."""

    def __init__(self) -> None:
        self.effect, self.of = 0.0, np.random.default_rng()

    def __call__(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        kept = 0.8 if rng is self.of else 0.0  # another world begins
        self.of, self.effect = rng, kept * self.effect + math.sqrt(1.0 - kept**2) * rng.normal()
        return rng.normal(size=rows) + math.sqrt(2.0 / rows) * self.effect, np.zeros(rows)


def misses(draw: Draw, seeds: int, looks: int, rows: int = 20, by_themselves: bool = False) -> int:
    """In how many of the worlds some look says that two equal versions differ."""
    found = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        both, one, other = Sums(2), Sums(1), Sums(1)
        for window in range(looks):
            first, second = draw(rng, rows)
            both.add(window, np.ones(rows), first, second)
            one.add(window, np.ones(rows), first)
            other.add(window, np.ones(rows), second)
            if window >= 24 and window % 3 == 0:
                look = apart(one, other, BOTH) if by_themselves else paired(both, BOTH)
                if abs(look.mean) > half_width(look, 0.05):
                    found += 1
                    break
    return found


@pytest.mark.parametrize("draw", [errors, heavy, windows])
def test_equal_versions_are_told_apart_in_few_worlds_over_all_looks(draw: Draw) -> None:
    """At most about one in twenty of 60 worlds with some 40 looks each: eight would be a chance of one in a hundred."""
    assert misses(draw, 60, 150) < 8


def test_hours_that_favour_one_version_for_long_decide_nothing_too_soon() -> None:
    """Two days, a look after every third hour, where a false decision would fall if it falls: at most one in twenty of
    150 worlds; fifteen were, when a first day was believed to show all."""
    assert misses(Slow(), 150, 48) <= 7


def test_a_variance_known_by_few_degrees_of_freedom_widens_it() -> None:
    """As Student's t does the normal; many change nothing. Windows that differ by chance alone have them all."""
    wide = [multiplier(1_000, 0.05, freedom) for freedom in (5.0, 20.0, 1e5, math.inf)]
    assert wide[0] > 1.3 * wide[3]
    assert wide[1] > 1.05 * wide[3]
    assert wide[2] == pytest.approx(wide[3], rel=1e-4)
    weights = np.full(100, 10.0)
    even = np.tile([1.0, -1.0], 50)
    assert spread(even, weights, 1_000.0).freedom == math.inf
    assert spread(40.0 * even, weights, 1_000.0).freedom < 110.0


def test_versions_by_themselves_are_right_too() -> None:
    """Requests of their own."""
    assert misses(errors, 40, 120, by_themselves=True) < 7


def test_windows_that_differ_widen_it() -> None:
    """The variance is that of windows, not of labels; neighbours that resemble each other widen it further."""
    rng = np.random.default_rng(1)
    weights = np.full(200, 10.0)
    alone = rng.normal(size=200) * math.sqrt(10.0)
    assert spread(alone, weights, 2_000.0).variance < 3_000.0
    assert spread(3.0 * alone, weights, 2_000.0).variance > 14_000.0
    slow = np.repeat(rng.normal(size=20) * 10.0, 10)
    assert spread(slow, weights, 2_000.0).variance > 5.0 * 200.0 * float(np.square(slow).mean())


def test_windows_are_joined_and_nothing_is_lost() -> None:
    """A thousand windows in at most 256 blocks: the same mean, the same labels."""
    rng, sums = np.random.default_rng(2), Sums(2)
    every = rng.normal(size=(1_000, 2, 5))
    for window in range(1_000):
        sums.add(window, np.ones(5), *every[window])
    assert len(sums.ids) <= 256
    assert sums.windows == 1_000
    assert sums.means() == pytest.approx(every.mean(axis=(0, 2)))
    look = paired(sums, BOTH)
    apart_each = every[:, 0] - every[:, 1]
    assert look.mean == pytest.approx(apart_each.mean())
    assert sums.independent(BOTH) == pytest.approx(apart_each.var(ddof=1) / 5_000)


def test_what_is_needed_shrinks_with_the_difference() -> None:
    """And is none to be foreseen where there is no difference."""
    now = Now(labels=1_000.0, windows=1e6, variance=0.001, dispersion=1.0)
    far, near = (labels_needed(distance, now, 0.05) for distance in (0.2, 0.1))
    assert 100 < far < near / 3
    half = math.sqrt(0.001 * 1_000.0 / near) * multiplier(near, 0.05)
    assert half == pytest.approx(0.1, rel=0.02)
    assert labels_needed(0.0, now, 0.05) == math.inf


def test_what_few_windows_cannot_show_is_foreseen_to_fade() -> None:
    """The same labels in one day's windows: more are needed than in many, and no more than the widest doubt says."""
    day, month = (labels_needed(0.1, Now(1_000.0, windows, 0.001, 1.0), 0.05) for windows in (24, 720))
    assert 1.1 * month < day < 5.0 * month
