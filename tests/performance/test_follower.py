"""The follower: counts, judges, says, keeps."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from agent.errors import CorruptError
from agent.packed import split, unpack
from agent.performance.follower import Performance
from agent.performance.form import Form
from agent.records import Batch, Columns, Finding, Items, Source, Task, Verdict
from agent.reference.profile import Reference
from agent.telemetry import PERFORMANCE, PERFORMANCE_OUTCOMES
from tests.performance.pairs import KEY, classified, counted, numbered
from tests.performance.worlds import REGIONS, START, about, by_name, closes, pairs_of, reference_of

BINARY = {"task": Task.BINARY, "positive": "yes"}


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Sixty windows of 1000 labels, nine of ten right."""
    return reference_of(60, 1000)


def _watching(reference: Reference | None, **more: object) -> Performance:
    found = Performance()
    found.prepare(about(reference, **(BINARY | more)))
    return found


def test_a_drop_names_the_metric_the_labels_the_predictions_and_the_segment(reference: Reference) -> None:
    """Accuracy .90 to .80 at 1000 labels a window: found at once, told so that a person can act."""
    follower, rng = _watching(reference), np.random.default_rng(1)
    quiet = by_name(closes(follower, START, pairs_of(rng, 1000, 0.1, START)))
    assert quiet["accuracy", ""].verdict is Verdict.WITHIN_NOISE
    found = by_name(closes(follower, START + 1, pairs_of(rng, 1000, 0.08, START + 1, north=0.44)))["accuracy", ""]
    assert found.alarms
    assert found.current == pytest.approx(0.8, abs=0.03)
    assert found.expected == pytest.approx(0.9, abs=0.01)
    assert found.effect == pytest.approx((found.expected - found.current) / (1 - found.expected))
    assert found.reason.startswith(f"accuracy fell from {found.expected:.3g} in the reference to {found.current:.3g}")
    assert "over 1 window of 1000 labels; of predictions made 2024-10-" in found.reason
    assert "most in region=north (0." in found.reason
    assert "false" in found.reason


def test_of_segments_nothing_is_alarmed_that_is_so_in_the_whole(reference: Reference) -> None:
    """Everybody fares worse, and the alarm of the whole, or concept drift's, says so: no segment is told to be the only
    one, whose feed is to be looked at."""
    follower, rng = _watching(reference), np.random.default_rng(9)
    for index in range(START, START + 3):
        found = by_name(closes(follower, index, pairs_of(rng, 3000, 0.3, index)))
    parts = [finding for (subject, segment), finding in found.items() if segment and subject == "accuracy"]
    assert found["accuracy", ""].alarms
    assert {finding.verdict for finding in parts} == {Verdict.MUTED}
    assert all(finding.reason.startswith("so it is in the whole; accuracy fell") for finding in parts)
    told = Finding("concept_drift", "", Source.PREDICTION, Verdict.ALARM)
    other = _watching(reference)
    for index in range(START, START + 6):
        other.beside([told])
        found = by_name(closes(other, index, pairs_of(rng, 1000, 0.06, index, north=0.2)))
    assert not found["accuracy", ""].alarms
    assert found["accuracy", "region=north"].verdict is Verdict.MUTED


def test_one_segment_alone_is_found_where_the_whole_hides_it(reference: Reference) -> None:
    """The north gets worse while the others get better: the whole is as ever."""
    follower, rng = _watching(reference), np.random.default_rng(2)
    found: dict[tuple[str, str], Finding] = {}
    for index in range(START, START + 6):
        found |= by_name(closes(follower, index, pairs_of(rng, 1000, 0.06, index, north=0.2)))
    assert not found["accuracy", ""].alarms
    assert found["accuracy", "region=north"].alarms
    assert ("accuracy", "region=south") not in found


def test_without_labels_in_the_reference_the_first_windows_are_the_measure() -> None:
    """Eight windows are learned, said so; then a drop is found; what alarms is not learned."""
    follower, rng = _watching(None), np.random.default_rng(3)
    for index in range(START, START + 8):
        found = by_name(closes(follower, index, pairs_of(rng, 1000, 0.1, index)))["accuracy", ""]
        assert found.verdict is Verdict.LEARNING
        assert f"{index - START} labelled windows of 8 known" in found.reason
    bad = [
        by_name(closes(follower, index, pairs_of(rng, 1000, 0.25, index)))["accuracy", ""]
        for index in range(START + 8, START + 11)
    ]
    assert [finding.alarms for finding in bad] == [True, True, True]
    assert all(finding.expected == pytest.approx(0.9, abs=0.02) for finding in bad)
    assert "in the first labelled windows" in bad[0].reason
    assert "the reference has no labels" in follower.show()["note"]


def test_a_drop_that_is_over_ends(reference: Reference) -> None:
    """After two good windows older ones count no more: pooled horizons do not raise it again."""
    follower, rng = _watching(reference), np.random.default_rng(4)
    for index in range(START, START + 4):
        closes(follower, index, pairs_of(rng, 1000, 0.2, index))
    after = [
        by_name(closes(follower, index, pairs_of(rng, 1000, 0.1, index)))["accuracy", ""]
        for index in range(START + 4, START + 30)
    ]
    quiet = next(i for i, finding in enumerate(after) if not finding.alarms)
    assert quiet <= 10
    assert not any(finding.alarms for finding in after[quiet:])


def test_a_drop_that_concept_drift_told_is_over_with_it(reference: Reference) -> None:
    """Long horizons must not tell it anew, not even where the agent was stopped in between."""
    rng, tells = np.random.default_rng(4), Finding("concept_drift", "", Source.PREDICTION, Verdict.ALARM)
    silent, asked = _watching(reference), _watching(reference)
    for index in range(START, START + 5):
        for follower in (silent, asked):
            follower.beside([tells])
        same = pairs_of(rng, 1000, 0.2, index)
        assert [by_name(closes(f, index, same))["accuracy", ""].alarms for f in (silent, asked)] == [True, True]
    again = _watching(reference)
    again.load(asked.dump())
    again.beside([replace(tells, verdict=Verdict.WITHIN_NOISE)])
    well = pairs_of(rng, 1000, 0.1, START + 5)
    assert by_name(closes(silent, START + 5, well))["accuracy", ""].alarms
    assert not by_name(closes(again, START + 5, well))["accuracy", ""].alarms


@pytest.mark.parametrize("wrong", [0.1, 0.0])
def test_ordinary_windows_raise_nothing(reference: Reference, wrong: float) -> None:
    """A hundred windows as in the reference, and of a model that became perfect."""
    follower, rng = _watching(reference), np.random.default_rng(5)
    for index in range(START, START + 100):
        found = closes(follower, index, pairs_of(rng, 300, wrong, index))
        assert not any(finding.alarms for finding in found)


@pytest.mark.parametrize(("wrong", "windows"), [(0.12, 16), (0.15, 2), (0.2, 1)])
def test_smaller_drops_take_longer(reference: Reference, wrong: float, windows: int) -> None:
    """Accuracy .90 to .88, .85 and .80, at 1000 labels a window (decision 0125)."""
    follower, rng = _watching(reference), np.random.default_rng(6)
    for index in range(START, START + windows):
        found = by_name(closes(follower, index, pairs_of(rng, 1000, wrong, index)))["accuracy", ""]
        if found.alarms:
            return
    pytest.fail(f"not found within {windows} windows")


def test_a_small_sure_drop_is_below_the_floor() -> None:
    """Seven tenths of a point of accuracy over very many labels is no alarm."""
    follower, rng = _watching(reference_of(30, 10_000, seed=7)), np.random.default_rng(7)
    found = [
        by_name(closes(follower, index, pairs_of(rng, 10_000, 0.107, index)))["accuracy", ""]
        for index in range(START, START + 10)
    ]
    assert found[-1].verdict is Verdict.BELOW_FLOOR


def test_few_labels_are_said_so(reference: Reference) -> None:
    """Nineteen labels judge nothing."""
    found = closes(_watching(reference), START, pairs_of(np.random.default_rng(8), 19, 0.9, START))
    assert {finding.verdict for finding in found} == {Verdict.NOT_ENOUGH_ROWS}


def test_horizons_pool_the_newest_windows(reference: Reference) -> None:
    """The figures of two windows are those of their pairs together, however they came."""
    follower, rng = _watching(reference), np.random.default_rng(9)
    parts = [pairs_of(rng, rows, 0.1, START) for rows in (700, 3, 5, 800)]
    follower.labelled(parts[0], START)
    follower.close(START, [], 0)
    for part in parts[1:]:
        follower.labelled(part, START + 1)
    follower.close(START + 1, [], 0)
    whole = counted(Form(Task.BINARY, "yes"), *parts)
    for horizon in (2, 24, 0):
        held = follower.figures(horizon)
        assert held.rows == 1508
        assert held.confusion["positive", "positive"] == whole.form.part(whole.sums, "confusion")[1, 1, 0]
    assert follower.figures(1).rows == 808
    assert sum(follower.figures(2, part).rows for part in (1, 2, 3)) == 1508


def test_what_is_kept_goes_on_as_if_nothing_had_happened(reference: Reference) -> None:
    """Dumped and loaded at any moment: the same findings, figures and bytes."""
    for given in (reference, None):
        one, rng = _watching(given), np.random.default_rng(10)
        for index in range(START, START + 10):
            closes(one, index, pairs_of(rng, 400, 0.1, index))
        one.labelled(pairs_of(rng, 30, 0.1, START), START + 10)
        other = Performance()
        other.prepare(about(given, **(BINARY | {"threshold": 0.3})))
        other.load(one.dump())
        assert unpack(split(other.dump(), "it")[0], "it")[0]["threshold"] == 0.3
        other.prepare(about(given, **BINARY))
        assert other.dump() == one.dump()
        last = pairs_of(rng, 400, 0.3, START)
        assert repr(closes(other, START + 10, last)) == repr(closes(one, START + 10, last))
        assert other.dump() == one.dump()
        assert repr(other.show()) == repr(one.show())


@pytest.mark.parametrize("cut", [0, 1, 10, 200, 1000])
def test_broken_state_is_refused_and_begun_anew(reference: Reference, cut: int) -> None:
    """CorruptError, and the follower is as new."""
    one = _watching(reference)
    closes(one, START, pairs_of(np.random.default_rng(11), 400, 0.1, START))
    with pytest.raises(CorruptError):
        one.load(one.dump()[:cut])
    assert one.show() == {}


def test_an_unknown_task_says_what_is_missing() -> None:
    """Labels that came are counted as such; the reason stands where the figures would."""
    follower = Performance()
    follower.prepare(about(None))
    closes(follower, START, pairs_of(np.random.default_rng(12), 50, 0.1, START))
    shown = follower.show()
    assert "the task is not known" in shown["note"]
    assert "50 labels" in shown["note"]
    follower.prepare(about(None, task=Task.BINARY))
    closes(follower, START + 1, pairs_of(np.random.default_rng(12), 500, 0.1, START))
    assert follower.figures(1).named["accuracy"].value == pytest.approx(0.9, abs=0.05)
    assert "positive label is not known" in follower.show()["note"]


def test_task_positive_label_and_threshold_come_from_the_reference(reference: Reference) -> None:
    """Scores alone are decided by the threshold that the reference's predictions show."""
    follower = Performance()
    follower.prepare(about(reference))
    rng = np.random.default_rng(13)
    pairs = pairs_of(rng, 500, 0.1, START)
    blank = replace(pairs, predicted_class=np.full(500, -1, dtype=np.int32))
    follower.labelled(blank, START)
    follower.close(START, [], 0)
    own = Performance()
    own.prepare(about(reference))
    own.labelled(pairs, START)
    own.close(START, [], 0)
    assert follower.figures(1).named["accuracy"].value == own.figures(1).named["accuracy"].value


def test_a_rising_error_of_a_regression_is_found() -> None:
    """Mean absolute error, heavy tails and all, against the first windows."""
    follower, rng = Performance(), np.random.default_rng(14)
    follower.prepare(about(None, task=Task.REGRESSION))
    for index in range(START, START + 60):
        true = rng.gamma(3.0, 20.0, 500)
        found = closes(follower, index, numbered(true, true + 5.0 * rng.standard_t(4, 500)))
        assert not any(finding.alarms for finding in found)
    for index in range(START + 60, START + 64):
        true = rng.gamma(3.0, 20.0, 500)
        found = closes(follower, index, numbered(true, true + 7.0 * rng.standard_t(4, 500)))
    assert found[0].subject == "mae"
    assert found[0].alarms
    assert found[0].current > found[0].expected


def test_rankings_are_judged_by_their_clicks() -> None:
    """Impressions come with predictions, clicks with labels; NDCG falls when clicks move down the list."""
    follower, rng = Performance(), np.random.default_rng(15)
    follower.prepare(about(None, task=Task.RANKING))
    found = []
    for index in range(START, START + 16):
        lists = 400
        items = Items(
            np.full(lists, 10, np.int32), np.arange(10 * lists, dtype=np.uint64),
            np.tile(np.arange(1, 11, dtype=np.int32), lists), np.full(10 * lists, math.nan),
        )  # fmt: skip
        follower.predicted(Batch(KEY, lists, 0, Columns(), Columns(), items=items), index)
        place = np.minimum(rng.geometric(0.5 if index < START + 12 else 0.25, lists), 10).astype(np.int32)
        pairs = numbered(
            np.ones(lists), np.full(lists, np.nan), position=place, request_ids=np.arange(1, lists + 1, dtype=np.uint64)
        )  # fmt: skip
        found = closes(follower, index, pairs)
    newest = follower.figures(1).named
    assert newest["ctr"].value == pytest.approx(0.1)
    assert newest["precision_1"].value == pytest.approx(0.25, abs=0.08)
    assert [finding.subject for finding in found] == ["ndcg_10"]
    assert found[0].alarms


def test_points_carry_metric_horizon_and_segment(reference: Reference) -> None:
    """Value and limits of the whole, values of segments, outcomes as counters, nothing that is no number."""
    follower, rng = _watching(reference), np.random.default_rng(16)
    for index in range(START, START + 3):
        closes(follower, index, pairs_of(rng, 500, 0.1, index))
    points = list(follower.points())
    assert all(isinstance(point.value, float) and math.isfinite(point.value) for point in points)
    told = [p for p in points if p.metric is PERFORMANCE and p.attributes["sidelight.performance.metric"] == "accuracy"]
    where = {(p.attributes["sidelight.horizon"], p.attributes["sidelight.statistic"]) for p in told}
    assert {("1", "value"), ("24", "lower"), ("total", "upper")} <= where
    assert {p.attributes.get("sidelight.segment") for p in told} == {None, *REGIONS}
    counters = [p.value for p in points if p.metric is PERFORMANCE_OUTCOMES]
    assert sum(value for value in counters if isinstance(value, float)) == 1500
    json.dumps(follower.show(), allow_nan=False)


def test_classes_leave_by_number_unless_they_are_public(reference: Reference) -> None:
    """A private class's name stays in the pod."""
    follower = Performance()
    follower.prepare(about(reference, task=Task.MULTICLASS))
    words = ["secret", "other words"] * 50
    closes(follower, START, classified(words, words))
    assert not any("secret" in str(point.attributes) for point in follower.points())


def test_a_class_keeps_its_number_when_others_come(reference: Reference) -> None:
    """A class that comes last moves nobody, whatever its name: counters of the same name are of the same outcome."""
    follower = Performance()
    follower.prepare(about(reference, task=Task.MULTICLASS))

    def outcomes() -> dict[tuple[object, object], float]:
        said = [point for point in follower.points() if point.metric is PERFORMANCE_OUTCOMES]
        names = "sidelight.performance.actual", "sidelight.performance.predicted"
        found = {tuple(point.attributes[name] for name in names): point.value for point in said}
        assert len(found) == len(said)
        return found  # type: ignore[return-value] # two names each

    seen = classified(["b", "c"] * 50, ["b", "b"] * 50)
    known = replace(seen, classes=("a", *seen.classes), actual_class=seen.actual_class + 1,
                    predicted_class=seen.predicted_class + 1)  # fmt: skip
    closes(follower, START, known)
    first = outcomes()
    assert first == {("0", "0"): 50.0, ("1", "0"): 50.0}
    closes(follower, START + 1, classified(["a"] * 10, ["c"] * 10))
    assert outcomes() == first | {("2", "1"): 10.0}
