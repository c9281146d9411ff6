"""The e-detector's promises: silence without a change, whatever labels have in common, and speed with one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.concept.baseline import RISES, Baseline, block_of
from agent.concept.detector import Detector, Moment
from agent.concept.losses import Kind, Scale
from agent.records import Floats

WRONG = Scale(Kind.CLASSES)


def windows(rng: np.random.Generator, shape: tuple[int, ...], n: int, rate: float, effect: float = 0.0) -> Floats:
    """(…, 4) counts: right and wrong. effect: standard deviation of every window's own rate."""
    rates: float | np.ndarray = rate
    if effect:
        share = rate * (1.0 - rate) / effect**2 - 1.0
        rates = rng.beta(rate * share, (1.0 - rate) * share, shape)
    wrong = rng.binomial(n, rates, shape).astype(float)
    return np.stack((n - wrong, np.zeros(shape), np.zeros(shape), wrong), axis=-1)


def baseline(rng: np.random.Generator, series: int, blocks: int, n: int, asked: float, **how: float) -> Baseline:
    made = block_of(windows(rng, (series, blocks), n, **how), WRONG)
    return Baseline(WRONG, made, np.full(series, asked))


def passed(known: Baseline, rng: np.random.Generator, steps: int, n: int, **how: float) -> np.ndarray:
    """How often each series passes its threshold; it begins anew then."""
    series = len(known.asked)
    detector, at = Detector(series, 1), np.arange(series)
    found = np.zeros(series)
    for step in range(steps):
        counts = windows(rng, (series,), n, **how)
        over = detector.step(at, known, counts, Moment(step, 0, 0)) >= known.asked
        found += over
        for one in np.flatnonzero(over).tolist():
            detector.clear(one)
    return found


def test_every_factor_is_one_on_average_at_the_bound() -> None:
    """A label's factor is a fair bet at the bound, a losing one below, for each rise: what the promise rests on."""
    known = baseline(np.random.default_rng(0), 1, 30, 500, 9.0, rate=0.1)
    right, wrong = (known.gains(np.eye(4)[[cell]])[0, 0] for cell in (0, 3))
    for k, bound in enumerate(known.bound[0, 0].tolist()):
        assert (1 - bound) * math.exp(right[k]) + bound * math.exp(wrong[k]) == pytest.approx(1.0)
        assert wrong[k] == pytest.approx(math.log(min(RISES[k], (1 + bound) / 2 / bound)))
    assert (known.bound > known.mean[..., None]).all()


@pytest.mark.parametrize(
    ("n", "rate", "effect", "blocks"),
    [(1000, 0.1, 0.0, 16), (100, 0.1, 0.0, 30), (50, 0.02, 0.0, 30), (1000, 0.1, 0.01, 16), (1000, 0.1, 0.03, 30)],
)
def test_nothing_changed_and_the_threshold_is_kept(n: int, rate: float, effect: float, blocks: int) -> None:
    """Mean over 300 references drawn anew: at most one false alarm in A windows, also where windows differ by a tenth
    or by a third of the rate (φ of 2 and 11), with a reference of no more than 16 of them."""
    rng, threshold = np.random.default_rng(n + blocks), 200.0
    known = baseline(rng, 300, blocks, n, math.log(threshold), rate=rate, effect=effect)
    found = passed(known, rng, 300, n, rate=rate, effect=effect)
    error = found.std() / math.sqrt(300)
    assert found.mean() - 2.0 * error <= 300 / threshold


def test_the_default_dial_is_kept_where_it_matters() -> None:
    """A = 9,600, hours: no looser than at a low threshold, though evidence so large comes from references that are too
    smooth by chance. 16 windows that differ by a fifth of the rate, 1,500 references."""
    rng, threshold = np.random.default_rng(6), 9600.0
    known = baseline(rng, 1500, 16, 1000, math.log(threshold), rate=0.1, effect=0.02)
    found = passed(known, rng, 200, 1000, rate=0.1, effect=0.02)
    assert found.mean() - 2.0 * found.std() / math.sqrt(1500) <= 200 / threshold


def test_independent_errors_alone_would_cry_wolf() -> None:
    """The same windows judged as if labels were independent alarm many times as often: the allowance is needed."""
    rng, threshold = np.random.default_rng(5), 200.0
    blocks = block_of(windows(rng, (100, 30), 1000, 0.1, 0.03), WRONG)
    even = np.broadcast_to(blocks.mean(axis=1, keepdims=True), blocks.shape)  # no block differs from another
    known = Baseline(WRONG, even, np.full(100, math.log(threshold)))
    assert passed(known, rng, 200, 1000, rate=0.1, effect=0.03).mean() > 10 * 200 / threshold


@pytest.mark.parametrize(("factor", "within"), [(1.25, 12), (1.5, 3), (2.0, 1), (3.0, 1)])
def test_a_rise_is_found_soon(factor: float, within: int) -> None:
    """Windows of 1,000 labels at .1, a reference of 30: median windows to an alarm of which one in 9,600 is false."""
    rng = np.random.default_rng(7)
    known = baseline(rng, 60, 30, 1000, math.log(9600.0), rate=0.1)
    detector, at, first = Detector(60, 1), np.arange(60), np.full(60, 99)
    for step in range(1, 25):
        counts = windows(rng, (60,), 1000, 0.1 * factor)
        over = detector.step(at, known, counts, Moment(step, 0, 0)) >= known.asked
        first = np.where(over & (first == 99), step, first)
    assert np.median(first) <= within


def test_the_change_is_dated() -> None:
    """Forty quiet windows, then twice the errors: the first window since, and the rate since."""
    rng = np.random.default_rng(8)
    known = baseline(rng, 1, 30, 1000, 9.0, rate=0.1)
    detector = Detector(1, 1)
    for step in range(43):
        counts = windows(rng, (1,), 1000, 0.1 if step < 40 else 0.2)
        detector.step(np.array([0]), known, counts, Moment(step, step * 10, step * 10 + 9))
    change = detector.change(0)
    assert change.index == 40
    assert (change.first_ns, change.last_ns, change.labels) == (400, 429, 3000.0)
    assert change.means[0] == pytest.approx(0.2, abs=0.03)


def test_a_window_of_a_million_labels_overflows_nothing() -> None:
    """Everything wrong, then everything right, for ever: finite, and the alarm can end."""
    known = baseline(np.random.default_rng(9), 1, 30, 1000, 9.0, rate=0.1)
    detector, at = Detector(1, 1), np.array([0])
    assert math.isfinite(detector.step(at, known, np.array([[0.0, 0.0, 0.0, 1e6]]), Moment(0, 0, 0))[0])
    assert detector.step(at, known, np.array([[1e6, 0.0, 0.0, 0.0]]), Moment(1, 0, 0))[0] < 0.0


def test_no_error_in_the_reference_is_no_certainty() -> None:
    """A first error after a faultless reference is no alarm; an eighth of the labels wrong is."""
    blocks = block_of(np.tile([100.0, 0.0, 0.0, 0.0], (1, 16, 1)), WRONG)
    known = Baseline(WRONG, blocks, np.array([9.0]))
    one, many = np.array([[99.0, 0.0, 0.0, 1.0]]), np.array([[88.0, 0.0, 0.0, 12.0]])
    assert Detector(1, 1).step(np.array([0]), known, one, Moment(0, 0, 0))[0] < 9.0
    assert Detector(1, 1).step(np.array([0]), known, many, Moment(0, 0, 0))[0] > 9.0


@pytest.mark.parametrize(("rate", "blocks"), [(0.97, 30), (0.999, 16), (0.5, 16)])
def test_a_model_that_is_mostly_wrong_is_not_called_worse(rate: float, blocks: int) -> None:
    """One right answer in thirty, as of a choice among thousands: bets against a bound below the usual would win."""
    rng, threshold = np.random.default_rng(10), 200.0
    known = baseline(rng, 200, blocks, 1000, math.log(threshold), rate=rate)
    assert (known.bound > known.mean[..., None]).all()
    assert (known.bound < 1.0).all()
    found = passed(known, rng, 200, 1000, rate=rate)
    assert found.mean() - 2.0 * found.std() / math.sqrt(200) <= 200 / threshold


@pytest.mark.parametrize(("n", "rate", "heavy"), [(1000, 0.02, 20.0), (200, 0.1, 50.0)])
def test_heavy_labels_keep_the_threshold(n: int, rate: float, heavy: float) -> None:
    """One in twenty counts for so many: a bet raised to a power above 1 is no fair one, and φ makes up for it."""
    rng, threshold = np.random.default_rng(11), 200.0

    def counts(shape: tuple[int, ...]) -> Floats:
        many = rng.binomial(n, 0.05, shape)
        weight, squares = n - many + heavy * many, n - many + heavy**2 * many
        wrong = rng.binomial(n - many, rate) + heavy * rng.binomial(many, rate)
        nothing, worth = np.zeros(shape), weight / squares
        return np.stack(((weight - wrong) * worth, nothing, nothing, wrong * worth), axis=-1)

    known = Baseline(WRONG, block_of(counts((300, 30)), WRONG), np.full(300, math.log(threshold)))
    detector, at, found = Detector(300, 1), np.arange(300), np.zeros(300)
    for step in range(200):
        over = detector.step(at, known, counts((300,)), Moment(step, 0, 0)) >= known.asked
        found += over
        for one in np.flatnonzero(over).tolist():
            detector.clear(one)
    assert found.mean() - 2.0 * found.std() / math.sqrt(300) <= 200 / threshold


def test_a_part_of_the_series_is_judged_as_it_is_alone() -> None:
    """What was reckoned of all series at once serves some of them."""
    rng = np.random.default_rng(12)
    blocks = block_of(windows(rng, (7, 20), 300, 0.1, 0.02), WRONG)
    whole, at = Baseline(WRONG, blocks, np.linspace(3.0, 9.0, 7)), np.array([1, 4, 5])
    alone, counts = Baseline(WRONG, blocks[at], whole.asked[at]), windows(rng, (3,), 300, 0.15)
    part = whole.part(at)
    assert np.array_equal(part.gains(counts), alone.gains(counts))
    assert np.array_equal(part.dilution(counts.sum(axis=1)), alone.dilution(counts.sum(axis=1)))
    assert np.array_equal(part.part(np.array([2])).bound, alone.bound[2:])
