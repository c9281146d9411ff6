"""The follower: alarms, silences with their reasons, what labels say to it, and its state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.errors import CorruptError
from agent.estimate.follower import Estimating
from agent.records import Finding, Source, Verdict, select
from agent.reference.profile import Reference
from tests.estimate.estimate_worlds import HOUR_NS, KEY, Numeric, Scored, about, alarms, batch_of, closed_of, pairs_of

CLASSES = ("0", "1")


@pytest.fixture(scope="module")
def scored() -> Reference:
    return Scored().reference()


@pytest.fixture(scope="module")
def numeric() -> Reference:
    return Numeric(rows=250, blocks=40).reference()


def _follower(reference: Reference, dial: float = 0.05) -> Estimating:
    follower = Estimating()
    follower.prepare(about(reference, dial))
    return follower


def _window(follower: Estimating, reference: Reference, world: Scored, index: int, **how: float) -> list[Finding]:
    score, said, _ = world.rows_of(**how)  # type: ignore[arg-type]
    batch = batch_of({"score": score, "prediction": said})
    follower.predicted(batch, index)
    return follower.close(index, [closed_of(reference, batch, index)], (index + 1) * HOUR_NS)


def test_a_window_of_harder_cases_alarms_and_says_it_is_an_estimate(scored: Reference) -> None:
    """Scores nearer to the middle: accuracy and ROC AUC, in the first such window; before it silence."""
    world, follower = Scored(seed=5), _follower(scored)
    for index in range(6):
        assert not alarms(_window(follower, scored, world, index))
    found = alarms(_window(follower, scored, world, 6, spread=0.9))
    assert {finding.subject for finding in found} == {"accuracy", "roc_auc"}
    for finding in found:
        assert finding.check == "estimated_performance"
        assert finding.source is Source.PREDICTION
        assert finding.p_value < finding.alpha
        assert "is estimated without labels" in finding.reason
        assert finding.current < finding.expected
    points: dict[tuple[object, object], object] = {
        (p.attributes["sidelight.performance.metric"], p.attributes["sidelight.statistic"]): p.value
        for p in follower.points() if "sidelight.statistic" in p.attributes
    }  # fmt: skip
    assert points["accuracy", "value"] == found[0].current
    assert {statistic for _, statistic in points} == {"value", "lower", "upper"}
    assert [line["name"] for line in follower.show()["lines"]][:2] == ["accuracy", "precision"]


def test_windows_that_were_not_believed_are_not_pooled_later(scored: Reference) -> None:
    """Scores in per cent for three windows: they say nothing of performance then, nor beside good ones after them, also
    where the agent was started again in between."""
    world, follower = Scored(seed=5), _follower(scored)
    for index in range(4):
        _window(follower, scored, world, index)
    for index in range(4, 7):
        score, said, _ = world.rows_of()
        batch = batch_of({"score": score * 100.0, "prediction": said})
        follower.predicted(batch, index)
        assert not alarms(follower.close(index, [closed_of(scored, batch, index)], 0))
        assert follower.show()["believed"] == "no"
    again = _follower(scored)
    again.load(follower.dump())
    for index in range(7, 16):
        assert not alarms(_window(again, scored, world, index))


def test_nothing_alarms_where_nothing_changes(scored: Reference) -> None:
    """At a dial of ten a day over two weeks of hours: the budget of this check would be seven."""
    world, follower = Scored(seed=6), _follower(scored, 10.0)
    episodes = sum(bool(alarms(_window(follower, scored, world, index))) for index in range(336))
    assert episodes <= 7


def test_windows_that_wander_as_the_references_did_are_within_the_noise() -> None:
    """A reference whose windows differ by more than chance: as much is usual of live ones too."""
    world = Scored(seed=7, effect=0.4)
    reference = world.reference()
    follower = _follower(reference)
    assert not [f for index in range(100) for f in alarms(_window(follower, reference, world, index))]


def test_a_regression_s_errors_rise_with_what_two_inputs_do_together(numeric: Reference) -> None:
    """No single input moves; before any label the mean absolute error is told to have risen."""
    world, follower = Numeric(seed=8), _follower(numeric)
    for index, tied in enumerate((0.0, 0.0, 0.0, 1.0)):
        features, predicted, _ = world.rows_of(4_000, tied=tied)
        batch = batch_of({"prediction": predicted}, features)
        follower.predicted(batch, index)
        found = follower.close(index, [closed_of(numeric, batch, index)], 0)
        assert bool(alarms(found)) is (tied > 0), found
    assert found[0].subject == "mae"
    assert "mean absolute error" in found[0].reason


def test_a_busy_window_is_sampled_evenly(numeric: Reference) -> None:
    """Fifty thousand rows: some thousands are looked at, and they stand for all."""
    world, follower = Numeric(seed=8), _follower(numeric)
    features, predicted, _ = world.rows_of(50_000)
    batch = batch_of({"prediction": predicted}, features)
    for index in range(2):
        for begin in range(0, 50_000, 1_000):
            follower.predicted(select(batch, np.arange(begin, begin + 1_000)), index)
        finding = follower.close(index, [], 0)[0]
        assert finding.n == 50_000 * finding.horizon
        assert finding.current == pytest.approx(finding.expected, rel=0.05)


def test_labels_that_say_otherwise_take_the_belief_away(scored: Reference) -> None:
    """Concept drift moves no score; the labels of a few hundred predictions show that the estimate cannot be right, and
    the alarm that the scores alone would raise is not raised on its word."""
    world, follower = Scored(seed=9), _follower(scored)
    _window(follower, scored, world, 0)
    assert follower.show()["believed"] == "yes"
    score, said, truth = world.rows_of(400)
    follower.labelled(pairs_of(said, truth, score, CLASSES), 1)
    _window(follower, scored, world, 1)
    assert follower.show()["believed"] == "yes"
    wrong = np.where(world.random.random(400) < 0.3, 1.0 - truth, truth)
    follower.labelled(pairs_of(said, wrong, score, CLASSES), 2)
    follower.labelled(pairs_of(said, wrong, score, CLASSES), 2)
    found = _window(follower, scored, world, 2, spread=0.9)
    assert follower.show()["believed"] == "no"
    assert "whose label came, accuracy is" in follower.show()["note"]
    assert {finding.verdict for finding in found} == {Verdict.NOT_BELIEVED}


def test_a_regression_s_labels_are_held_against_their_window(numeric: Reference) -> None:
    """The prediction's cells are gone when its label comes; the estimate of its window is not."""
    world, follower = Numeric(seed=10), _follower(numeric)
    features, predicted, actual = world.rows_of(2_000)
    follower.predicted(batch_of({"prediction": predicted}, features), 0)
    follower.close(0, [], 0)
    nothing = np.full(2_000, np.nan)
    for index, factor, believed in ((1, 1.0, "yes"), (2, 3.0, "no")):
        told = predicted + factor * (actual - predicted)
        follower.labelled(pairs_of(predicted, told, nothing, ()), index)
        features, predicted_now, _ = world.rows_of(2_000)
        follower.predicted(batch_of({"prediction": predicted_now}, features), index)
        follower.close(index, [], 0)
        assert follower.show()["believed"] == believed


def test_the_estimate_is_shown_beside_what_labels_show(scored: Reference, numeric: Reference) -> None:
    """Of the very predictions whose label came, weighted; on the page and as points; before any label nothing."""
    world, follower = Scored(seed=9), _follower(scored)
    _window(follower, scored, world, 0)
    assert not [p for p in follower.points() if p.attributes.get("sidelight.statistic") == "realised"]
    score, said, truth = world.rows_of(400)
    pairs = replace(pairs_of(said, truth, score, CLASSES), weights=np.where(said == truth, 1.0, 3.0))
    follower.labelled(pairs, 1)
    _window(follower, scored, world, 1)
    right = float(np.average(said == truth, weights=pairs.weights))
    line = follower.show()["lines"][1]
    assert (line["name"], line["value"]) == ("accuracy, as labels show it", pytest.approx(right))
    assert line["note"].startswith("of 400 predictions whose label came, 0.")
    told = {p.attributes["sidelight.statistic"]: p.value for p in follower.points()
            if p.attributes.get("sidelight.performance.metric") == "accuracy"}  # fmt: skip
    assert told["realised"] == pytest.approx(right)
    assert told["estimated_of_realised"] == pytest.approx(np.mean(said == truth), abs=0.08)
    features, predicted, actual = Numeric(seed=10).rows_of(2_000)
    other = _follower(numeric)
    other.predicted(batch_of({"prediction": predicted}, features), 0)
    other.close(0, [], 0)
    other.labelled(pairs_of(predicted, actual, np.full(2_000, np.nan), ()), 1)
    assert other.show()["lines"][1]["value"] == pytest.approx(np.abs(predicted - actual).mean())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e160, -1e308, 5e-324, -7.0])
def test_values_of_any_size_stop_nothing(scored: Reference, numeric: Reference, value: float) -> None:
    """In scores, predictions and truths: numbers stay numbers, and the state can be read again."""
    rng, odd = np.random.default_rng(15), np.arange(200) % 3 == 0
    score, said = np.where(odd, value, rng.random(200)), np.where(odd, value, rng.integers(0, 2, 200).astype(float))
    for reference in (scored, numeric):
        follower = _follower(reference)
        for index in range(3):
            names = [feature.name for feature in reference.layout.features if feature.source is Source.FEATURE]
            features = dict.fromkeys(names, score)
            batch = batch_of({"score": score, "prediction": said}, features)
            follower.predicted(replace(batch, weights=np.where(odd, 1e9, 1e-9)), index)
            follower.labelled(pairs_of(said, np.roll(score, 1), score, CLASSES, index), index)
            follower.labelled(pairs_of(score, said, said, (), index + 1_000_000), index)
            follower.close(index, [closed_of(reference, batch, index)], 0)
        assert all(isinstance(point.value, float) and np.isfinite(point.value) for point in follower.points())
        assert all(np.isfinite(line["value"]) for line in follower.show()["lines"])
        _follower(reference).load(follower.dump())


def test_values_beyond_the_reference_are_in_doubt_then_not_believed(scored: Reference) -> None:
    """Scores that the reference never gave, from a fiftieth of the rows on, and from a tenth."""
    world, follower = Scored(seed=11), _follower(scored)
    for index, (share, believed) in enumerate(((0.0, "yes"), (0.05, "doubtful"), (0.3, "no"))):
        score, said, _ = world.rows_of()
        score = np.where(world.random.random(len(score)) < share, 1.5, score)
        batch = batch_of({"score": score, "prediction": said})
        follower.predicted(batch, index)
        follower.close(index, [closed_of(scored, batch, index)], 0)
        assert follower.show()["believed"] == believed


def test_drifting_inputs_put_it_in_doubt_and_still_alarm(scored: Reference) -> None:
    """That is when it is needed; it says on what it stands."""
    world, follower = Scored(seed=12), _follower(scored)
    follower.beside([Finding("drift", "income", Source.FEATURE, Verdict.ALARM)])
    found = alarms(_window(follower, scored, world, 0, spread=0.9))
    assert found
    assert "inputs drift (income)" in found[0].reason


def test_rows_without_score_or_class_are_told(scored: Reference) -> None:
    """NaN scores, and a class that was never predicted: counted apart, and too many are not to be believed."""
    follower = _follower(scored)
    score, said, _ = Scored(seed=13).rows_of()
    score[:100], said[100:200] = np.nan, 7.0
    follower.predicted(batch_of({"score": score, "prediction": said}), 0)
    assert follower.close(0, [], 0)[0].n == 1_000
    assert "20 % of the rows have no score" in follower.show()["note"]


def test_its_state_comes_back_whole(scored: Reference) -> None:
    """Told before or after what the reference is; the next window's findings are the same."""
    follower, twins = _follower(scored), [Estimating(), _follower(scored)]
    world = Scored(seed=14)
    for index in range(3):
        _window(follower, scored, world, index)
    score, said, truth = world.rows_of()
    batch = batch_of({"score": score, "prediction": said})
    follower.predicted(batch, 3)
    follower.labelled(pairs_of(said, truth, score, CLASSES), 3)
    for twin in twins:
        twin.load(follower.dump())
    twins[0].prepare(about(scored))
    told = follower.close(3, [], 0)
    assert all(twin.close(3, [], 0) == told for twin in twins)
    assert {twin.dump() for twin in twins} == {follower.dump()}


def test_a_broken_state_is_refused_and_another_reference_s_is_let_go(scored: Reference, numeric: Reference) -> None:
    """As new then."""
    follower = _follower(scored)
    fresh = follower.dump()
    _window(follower, scored, Scored(), 0)
    stored = follower.dump()
    with pytest.raises(CorruptError):
        follower.load(stored[:-4])
    assert follower.dump() == fresh
    other = _follower(numeric)
    before = other.dump()
    with pytest.raises(CorruptError):
        other.load(stored)
    assert other.dump() == before


def test_without_labels_in_the_reference_it_says_so(scored: Reference) -> None:
    """No section, nothing estimated, no finding, and why; a broken one likewise."""
    bare = Reference("credit", "1", scored.layout, scored.blocks, scored.starts_ns, scored.rows, task=1)
    broken = Reference(
        "credit", "1", scored.layout, scored.blocks, scored.starts_ns, scored.rows, task=1,
        unknown=(("calibration", b"x"),),
    )  # fmt: skip
    for reference, said in ((bare, "--label"), (broken, "section calibration")):
        follower = _follower(reference)
        assert _window(follower, reference, Scored(), 0) == []
        assert said in follower.show()["note"]
        assert list(follower.points()) == []


def test_another_version_s_reference_is_in_doubt(scored: Reference) -> None:
    """Scores of another version may mean something else."""
    borrowed = Reference(
        "credit", "0", scored.layout, scored.blocks, scored.starts_ns, scored.rows, task=1, positive_label="1",
        unknown=scored.unknown,
    )  # fmt: skip
    follower = _follower(borrowed)
    _window(follower, borrowed, Scored(), 0)
    assert follower.show()["believed"] == "doubtful"
    assert KEY.version != borrowed.version


def test_a_close_goes_in_steps_a_horizon_of_a_metric_in_each(scored: Reference) -> None:
    """The loop is shared: the metrics, their error, the belief, the windows together, then two metrics over the six
    horizons of 24 windows each. The findings are those of a close at once."""
    world, follower, twin = Scored(seed=5), Estimating(), Estimating()
    for one in (follower, twin):
        one.prepare(about(scored))
    for index in range(24):
        score, predicted, _ = world.rows_of(200)
        batch, end_ns = batch_of({"score": score, "prediction": predicted}), (index + 1) * HOUR_NS
        for one in (follower, twin):
            one.predicted(batch, index)
        at_once, steps = twin.close(index, [], end_ns), list(follower.closing(index, [], end_ns))
    assert len(steps) == 3 + 2 * (1 + 6 + 1)
    assert [finding for part in steps for finding in part] == at_once
