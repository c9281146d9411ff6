"""What scores tell of, and what came: a rare outcome that becomes rarer makes fewer errors, and is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.concept.baseline import RISES
from agent.concept.expected import BINS, LOGITS, OUTCOMES, WIDTH, Expected, errors_of, joint, row_of, scored_of
from agent.concept.losses import Kind, place
from agent.records import Floats, Pairs, Verdict
from tests.concept.labels import World, about, closed, watching

LEVEL = -3.2  # 6 % yes
FALL = 0.72  # to 3.1 %


def known(bins: Floats, asked: float = 9.0, blocks: int = 30) -> Expected:
    """As if every block had the same."""
    part = bins[np.newaxis] / blocks
    return Expected(np.repeat(row_of(part)[:, np.newaxis], blocks, axis=1), bins[np.newaxis], np.array([asked]))


def usual(labels: float, slope: float = 1.0) -> Floats:
    """(BINS, 2): as many labels in each bin as a normal has, outcomes as often as scores say."""
    each = labels * np.exp(-0.5 * np.square(LOGITS + 3.0)) / np.exp(-0.5 * np.square(LOGITS + 3.0)).sum()
    rate = 1.0 / (1.0 + np.exp(-slope * LOGITS))
    return np.stack((each * (1.0 - rate), each * rate), axis=-1)


def test_a_cell_holds_the_loss_the_outcome_and_the_score() -> None:
    """Right and not, in either class; a score of 0 or 1 is in an end bin, none in the bin for none."""
    pairs = replace(
        World(0, labels=6).classified(0, 0.1, 0.1), predicted_class=np.array([0, 1, 0, 1, 0, -1], np.int32),
        actual_class=np.array([0, 1, 1, 0, 0, 1], np.int32),
        scores=np.array([[0.0], [1.0], [0.5], [0.55], [np.nan], [0.1]]),
    )  # fmt: skip
    cells = joint(pairs, place(pairs, Kind.BINARY, "yes", np.nan), "yes")
    assert (cells[:5] // OUTCOMES).tolist() == [0, BINS - 1, BINS // 2, BINS // 2, BINS]
    assert cells[5] == -1
    counts = np.bincount(cells[:5], minlength=WIDTH)[np.newaxis].astype(float)
    assert errors_of(counts).tolist() == [[3.0, 1.0, 1.0, 0.0]]
    assert scored_of(counts)[0].sum(axis=0).tolist() == [2.0, 2.0]
    margins = replace(pairs, scores=pairs.scores * 3.0)
    assert (joint(margins, place(margins, Kind.BINARY, "yes", np.nan), "yes")[:5] // OUTCOMES == BINS).all()


def test_every_bet_is_fair_in_every_bin_at_its_bound() -> None:
    """A label's factor is 1 on average where the outcome is as frequent as the bound says, whatever its score."""
    judged = known(usual(3_000.0))
    assert judged.ready.all()
    for cell in range(BINS):
        one = np.zeros((1, BINS, 2))
        one[0, cell, 0] = 1.0
        without, with_ = judged.evidence(one)[0], judged.evidence(one[:, :, ::-1])[0]
        p = (1.0 - np.exp(without)) / (np.exp(with_) - np.exp(without))
        assert np.allclose(with_ - without, np.log(RISES) * np.array([[1.0], [-1.0]]))
        assert (p[0] > judged.rates[0, cell]).all()
        assert (p[1] < judged.rates[0, cell]).all()


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_what_is_usual_adds_up_and_takes_the_model_s_shape(slope: float) -> None:
    """As many outcomes are expected of the usual labels as came; with many, each bin's rate is its own."""
    bins = usual(1e6, slope)
    judged = known(bins)
    assert float(judged.sums(bins[np.newaxis])[0, 2]) == pytest.approx(float(bins[:, 1].sum()), rel=1e-4)
    many = bins.sum(axis=1) > 1_000.0
    assert judged.rates[0, many] == pytest.approx(bins[many, 1] / bins[many].sum(axis=1), rel=0.15)


@pytest.mark.parametrize("slope_bias", [(1.0, 0.0), (2.0, 1.0)])
def test_a_rare_outcome_that_becomes_rarer_is_found(slope_bias: tuple[float, float]) -> None:
    """6.2 → 3.2 %: fewer errors than ever, and scores too high; also of a model whose scores never were right."""
    concept, world = watching(), World(1)
    before = [closed(concept, world.scored(i, LEVEL, 0.0, *slope_bias), i)[0] for i in range(40)]
    after = [closed(concept, world.scored(i, LEVEL, FALL, *slope_bias), i)[0] for i in range(40, 48)]
    assert not any(f.alarms for f in before)
    alarm = next(f for f in after if f.alarms)
    assert 38 <= alarm.first_window <= 41
    assert "yes was expected in 6." in alarm.reason
    assert "scores are too high" in alarm.reason
    assert alarm.expected == pytest.approx(0.062, abs=0.006)
    assert alarm.current == pytest.approx(0.032, abs=0.008)
    assert 0.5 < alarm.effect < 1.8
    assert alarm.distances["loss_all"] < alarm.distances["usual_all"]


def test_more_than_was_told_is_found_too() -> None:
    """Scores too low; the ratio is the effect, and the errors that come with it are told beside it."""
    concept, world = watching(), World(2)
    for i in range(40):
        closed(concept, world.scored(i, LEVEL), i)
    found = [closed(concept, world.scored(i, LEVEL, -1.0), i)[0] for i in range(40, 44)]
    assert found[-1].alarms
    assert "scores are too low; the error rate rose" in found[-1].reason
    assert found[-1].effect == pytest.approx(found[-1].current / found[-1].expected - 1.0)


@pytest.mark.parametrize("moved", [-1.5, 1.5])
def test_other_people_alone_are_no_change_of_what_scores_mean(moved: float) -> None:
    """The mix of scores moves by one and a half of its deviations, the model is calibrated: the scores still hold."""
    concept, world = watching(), World(3)
    for i in range(40):
        closed(concept, world.scored(i, LEVEL), i)
    found = [closed(concept, world.scored(i, LEVEL + moved), i)[0] for i in range(40, 60)]
    assert not any("was expected in" in f.reason for f in found if f.alarms)


def test_the_segment_that_fell_most_is_named() -> None:
    """Its own rates, before and since."""
    concept, world = watching(), World(4, labels=3_000, segments=("north", "south", "east"))
    for i in range(40):
        closed(concept, world.scored(i, LEVEL), i)
    found = [closed(concept, world.scored(i, LEVEL, 0.5), i) for i in range(40, 46)]
    assert found[-1][0].alarms
    assert "most in region=north (" in found[-1][0].reason


def test_a_change_of_no_worth_is_no_alarm() -> None:
    """1 → 0.85 % is sure with so many labels, and neither half a point nor a quarter of it."""
    concept, world = watching(), World(5, labels=80_000)
    for i in range(34):
        closed(concept, world.scored(i, -5.1), i)
    found = [closed(concept, world.scored(i, -5.1, 0.17), i)[0] for i in range(34, 50)]
    assert not any(f.alarms for f in found)
    assert found[-1].verdict is Verdict.BELOW_FLOOR


def test_without_scores_errors_have_the_whole_stake() -> None:
    """Nothing is said of scores that nobody gave, and nothing is lost for them."""
    concept, world = watching(), World(6)

    def bare(pairs: Pairs) -> Pairs:
        return replace(pairs, scores=np.full((pairs.rows, 1), np.nan))

    for i in range(40):
        closed(concept, bare(world.scored(i, LEVEL)), i)
    assert concept._tracks is not None
    bets = concept._tracks._bets
    assert bets is not None
    assert bets[2].stakes.tolist() == [[0.5, 0.25, 0.25, 0.0, 0.0]]
    assert not any(closed(concept, bare(world.scored(i, LEVEL, FALL)), i)[0].alarms for i in range(40, 60))


def test_a_restart_changes_nothing() -> None:
    """Stored and loaded after every window, labels of an open one included: the same findings."""
    straight, stored, one, two = watching(), watching(), World(7, 300, ("a", "b")), World(7, 300, ("a", "b"))
    for i in range(30):
        fall = 0.0 if i < 22 else 1.5
        expected = closed(straight, one.scored(i, LEVEL, fall), i)
        stored.labelled(two.scored(i, LEVEL, fall), i)
        again = watching(about())
        again.load(stored.dump())
        again.beside(())
        assert repr(again.close(i, (), 0)) == repr(expected)  # NaN is itself there
        stored = again
    assert expected[0].alarms
