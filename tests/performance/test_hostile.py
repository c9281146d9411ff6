"""What nobody should send, and what comes all the same: labels of another kind, too many classes, broken states."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.config import Settings
from agent.errors import CorruptError
from agent.packed import join, pack, split, unpack
from agent.performance.figures import figures
from agent.performance.follower import Performance
from agent.performance.form import Form
from agent.performance.seen import ClassPlaces
from agent.records import Task
from agent.telemetry import PERFORMANCE
from tests.performance.pairs import classified, counted, numbered
from tests.performance.worlds import START, about, closes, pairs_of, reference_of

BINARY: dict[str, Any] = {"task": Task.BINARY, "positive": "yes"}
SCORES = np.linspace(0.05, 0.95, 60)


def _lived(windows: int, **more: Any) -> Performance:
    follower, rng = Performance(), np.random.default_rng(1)
    follower.prepare(about(None, **(BINARY | more)))
    for index in range(START, START + windows):
        closes(follower, index, pairs_of(rng, 300, 0.1, index))
    return follower


def test_classes_without_a_place_of_their_own_are_told_apart() -> None:
    """A thousand classes, every answer wrong: accuracy is 0, though all beyond the fiftieth share a place."""
    names, places = [f"c{k}" for k in range(1000)], ClassPlaces([])
    wrong = counted(Form(Task.MULTICLASS), classified(names, names[1:] + names[:1]), places=places)
    found = figures(wrong, places.names).named
    assert found["accuracy"].value == found["precision_micro"].value == 0.0
    half = counted(Form(Task.MULTICLASS), classified(names + names, names + names[1:] + names[:1]), places=places)
    assert figures(half, places.names).named["accuracy"].value == 0.5


def test_a_class_may_be_called_other() -> None:
    """What has no place is called something else then; nothing is written over it."""
    places = ClassPlaces([])
    names = ["other"] * 7 + [f"c{k}" for k in range(60)]
    found = figures(counted(Form(Task.MULTICLASS), classified(names, names), places=places), places.names)
    assert found.confusion["other", "other"] == 7
    assert found.confusion["(all others)", "(all others)"] == 11
    assert sum(found.confusion.values()) == 67


def test_classes_have_places_in_the_order_of_the_rows_however_they_come() -> None:
    """In one message or in many; classes that nobody said or was take none."""
    names = ["c", "a", "b", "a", "d"]
    whole, parts = ClassPlaces([]), ClassPlaces([])
    counted(Form(Task.MULTICLASS), classified(names, names[::-1]), places=whole)
    for name, said in zip(names, names[::-1], strict=True):
        counted(Form(Task.MULTICLASS), classified([name], [said]), places=parts)
    assert whole.names == parts.names == ["c", "d", "a", "b"]
    many = [str(k) for k in range(1000)]
    own = ClassPlaces([])
    own.among(many, np.array([997, -1, 998], dtype=np.int32))
    assert own.names == ["997", "998"]


def test_the_highest_score_decides_where_the_model_said_nothing() -> None:
    """Of several classes' scores; a row without any stays undecided, a predicted label goes before them."""
    scores = np.array([[0.7, 0.3], [0.1, 0.9], [np.nan, np.nan], [0.8, 0.2]])
    pairs = classified(["a", "a", "a", "b"], [None, None, None, "b"], scores, ("a", "b"))
    found = figures(counted(Form(Task.MULTICLASS), pairs), ["a", "b"])
    assert found.named["accuracy"].value == pytest.approx(2 / 3)
    assert found.undecided == 1


@pytest.mark.parametrize(
    ("task", "pairs", "metric", "words"),
    [
        (Task.REGRESSION, classified(["yes"] * 9, ["no"] * 9), "all", "of 9 labels none is a number"),
        (Task.BINARY, numbered(np.ones(9), np.ones(9)), "all", "of 9 labels none is a class"),
        (Task.BINARY, classified(["1", "0"] * 9, ["1", "0"] * 9), "recall", "are they written alike?"),
        (Task.BINARY, classified(["yes"] * 9, ["yes"] * 9), "specificity", "no label is negative"),
        (Task.BINARY, classified(["yes"] * 9, ["yes"] * 9), "roc_auc", "scores of both classes"),
        (Task.MULTICLASS, classified(["a"] * 9, None), "accuracy", "a score of each class"),
        (Task.MULTICLASS, classified(["a"] * 9, ["a"] * 9), "roc_auc", "of many there is no area"),
        (Task.REGRESSION, numbered(np.zeros(9), np.ones(9)), "mape", "all true numbers are 0"),
        (Task.REGRESSION, numbered(np.zeros(9), np.ones(9)), "r2", "all true numbers are alike"),
        (Task.RANKING, numbered(np.full(9, np.nan), np.ones(9)), "ndcg_1", "no clicked item"),
    ],
)
def test_what_cannot_be_computed_says_why(task: Task, pairs: Any, metric: str, words: str) -> None:
    """A label of another kind than the task's, one class only, nothing to divide by."""
    found = figures(counted(Form(task, positive="yes"), pairs))
    assert words in found.why_not[metric]
    assert metric not in found.named


def _half(values: np.ndarray, other: float) -> np.ndarray:
    return np.where(np.arange(len(values)) % 2 == 0, values, other)


WORDS = ["yes", "no"] * 30


@pytest.mark.parametrize(
    ("task", "pairs", "words"),
    [
        (Task.BINARY, classified(WORDS, WORDS, _half(SCORES, 2.5)), "30 of 60 labels met a score outside 0 to 1"),
        (Task.BINARY, classified(WORDS, WORDS, _half(SCORES, np.nan)), "30 of 60 labels met no score"),
        (Task.BINARY, classified(WORDS, [*WORDS[:40], *[None] * 20]), "20 of 60 labels met no decision"),
        (
            Task.MULTICLASS,
            classified(WORDS, WORDS, np.stack([_half(SCORES, np.nan), np.full(60, np.nan)], axis=1), ("yes", "no")),
            "30 of 60 labels met no score between 0 and 1 of the true class",
        ),
        (Task.REGRESSION, numbered(_half(SCORES, np.nan), SCORES), "30 of 60 labels are not a number"),
        (Task.REGRESSION, numbered(SCORES, _half(SCORES, 1e300)), "30 of 60 labels met no predicted number"),
    ],
)
def test_a_figure_of_some_labels_alone_says_so(task: Task, pairs: Any, words: str) -> None:
    """A mean without the pairs that have no value for it may be anything: it is told how many are missing, of which."""
    found = figures(counted(Form(task, positive="yes"), pairs), ("yes", "no"))
    (told,) = found.partly
    assert told.startswith(words)
    assert "left out of" in told
    assert "all" not in found.why_not


@pytest.mark.parametrize(
    ("task", "pairs"),
    [
        (Task.BINARY, classified(WORDS, WORDS, SCORES)),
        (Task.BINARY, classified(WORDS, WORDS)),
        (Task.BINARY, classified(WORDS, None, SCORES)),
        (Task.MULTICLASS, classified(WORDS, WORDS)),
        (Task.REGRESSION, numbered(SCORES, SCORES)),
        (Task.REGRESSION, classified(WORDS, WORDS)),
        (Task.RANKING, numbered(np.ones(9), np.ones(9), position=np.ones(9, np.int32))),
    ],
)
def test_what_all_labels_lack_is_no_part_of_them(task: Task, pairs: Any) -> None:
    """Nothing is left out where every label counts, and where none does the figure itself says why."""
    assert figures(counted(Form(task, positive="yes"), pairs), ("yes", "no")).partly == ()


def test_labels_of_positives_alone_are_no_measure_of_the_model() -> None:
    """Fraud is reported, honesty never: accuracy is recall then, and it is said. A few labels may well be alike."""
    pairs = classified(["yes"] * 60, WORDS, SCORES)
    (told,) = figures(counted(Form(Task.BINARY, positive="yes"), pairs)).partly
    assert told.startswith("all 60 labels are positive")
    few = classified(["yes"] * 30, WORDS[:30], SCORES[:30])
    assert figures(counted(Form(Task.BINARY, positive="yes"), few)).partly == ()


def test_the_status_says_which_labels_are_not_in_its_figures() -> None:
    """In the note, beside how many labels the window had."""
    follower = Performance()
    follower.prepare(about(None, **BINARY))
    pairs = pairs_of(np.random.default_rng(1), 300, 0.1, START)
    closes(follower, START, replace(pairs, scores=np.full_like(pairs.scores, 40.0)))
    assert "of 300 labels" not in follower.show()["note"]
    closes(follower, START + 1, replace(pairs, scores=np.where(np.arange(300)[:, np.newaxis] % 3, pairs.scores, 40.0)))
    assert "; 100 of 300 labels met a score outside 0 to 1, and are left out of" in follower.show()["note"]


def test_items_that_share_a_position_gain_no_more_than_there_is() -> None:
    """NDCG stays within 0 to 1."""
    pairs = numbered(np.ones(9), np.full(9, np.nan), position=np.ones(9, np.int32), ids=np.ones(9, np.uint64))
    named = figures(counted(Form(Task.RANKING), pairs)).named
    assert all(named[f"ndcg_{k}"].value == 1.0 for k in (1, 3, 5, 10))


def test_what_is_not_known_for_a_while_takes_nothing_back() -> None:
    """At a start the task may be known before the positive label is: nothing that was counted is lost."""
    follower = _lived(3)
    follower.prepare(about(None, task=Task.BINARY))
    follower.prepare(about(None))
    follower.prepare(about(None, **BINARY))
    assert follower.figures(0).rows == 900
    assert follower.windows == 3


def test_only_segments_that_the_operator_chose_are_looked_at() -> None:
    """Whatever keys senders send: no value of another one is counted apart, shown or exported."""
    rng = np.random.default_rng(2)
    settings = Settings(segments=("plan",))
    known = about(reference_of(20, 100), **BINARY)
    follower = Performance()
    follower.prepare(type(known)(known.key, settings, known.ledger, known.window_ns, known.reference, **BINARY))
    closes(follower, START, pairs_of(rng, 300, 0.1, START))
    assert follower.segments == []
    told = [p.attributes for p in follower.points() if p.metric is PERFORMANCE]
    assert told
    assert not any("sidelight.segment" in attributes for attributes in told)


def test_a_segment_is_compared_with_itself_in_the_reference() -> None:
    """Whichever came first here, and whatever order the reference has them in."""
    follower, rng = Performance(), np.random.default_rng(6)
    follower.prepare(about(None, **BINARY))
    pairs = pairs_of(rng, 300, 0.1, START)
    closes(follower, START, replace(pairs, names=("west", "south", "north")))
    assert list(follower.segments) == ["region=west", "region=south", "region=north"]
    follower.prepare(about(reference_of(20, 1000, north=0.4), **BINARY))
    usual = {name: follower.usual(k) for k, name in enumerate(follower.segments, start=1)}
    told = {name: figures.named["accuracy"].value for name, figures in usual.items() if figures is not None}
    assert told == {
        "region=north": pytest.approx(0.6, abs=0.03), "region=south": pytest.approx(0.9, abs=0.03),
        "region=west": pytest.approx(0.9, abs=0.03),
    }  # fmt: skip


def test_a_segment_key_that_is_chosen_no_more_is_forgotten() -> None:
    """Of a state under other options: its values make room, the whole and other keys go on as they were."""
    follower = _lived(10)
    whole, other = follower.figures(24), Performance()
    settings = Settings(segments=("plan",))
    known = about(None, **BINARY)
    other.prepare(type(known)(known.key, settings, known.ledger, known.window_ns, **BINARY))
    other.load(follower.dump())
    assert (other.segments, other.windows) == ([], 10)
    assert other.figures(24).named == whole.named
    found = closes(other, START + 10, pairs_of(np.random.default_rng(3), 300, 0.5, START))
    assert [(f.alarms, f.segment) for f in found if f.subject == "accuracy"] == [(True, "")]


def test_a_state_of_another_kind_is_refused() -> None:
    """Other counts, other slices, windows that nobody could hold: CorruptError, and it begins anew."""
    stored = split(_lived(9).dump(), "it")
    head, arrays = unpack(stored[0], "it")
    wrongs: list[dict[str, Any]] = [
        {"counts": "0"}, {"task": 3}, {"task": 99}, {"pivot": float("nan")}, {"segments": []},
        {"segments": ["r"] * 200}, {"ring": [1]}, {"ring": list(range(99))}, {"open": [1]},
        {"begins": [[9, 0, 1]]}, {"well": [[0, 7, 1]]},
        {"learned": [1]}, {"learned": [-4] * 9}, {"uncounted": float("inf")}, {"classes": 7}, {"ring": [[]]},
    ]  # fmt: skip
    for wrong in wrongs:
        follower = Performance()
        follower.prepare(about(None, **BINARY))
        with pytest.raises(CorruptError):
            follower.load(join([pack(head | wrong, arrays), *stored[1:]]))
        assert follower.windows == 0
        closes(follower, START, pairs_of(np.random.default_rng(4), 100, 0.1, START))
        assert follower.figures(1).rows == 100


def test_turned_bytes_are_refused_or_no_matter() -> None:
    """Wherever they are: CorruptError, or the same state."""
    stored, rng = _lived(3).dump(), np.random.default_rng(5)
    for k in np.sort(rng.integers(0, len(stored), 60)).tolist():
        turned = bytearray(stored)
        turned[k] ^= 1 << int(rng.integers(8))
        follower = Performance()
        follower.prepare(about(None, **BINARY))
        try:
            follower.load(bytes(turned))
        except CorruptError:
            assert follower.windows == 0
        else:
            assert follower.dump() == stored


def test_a_perfect_or_useless_model_has_intervals() -> None:
    """At 0 and at 1, of few rows and of one: within 0 to 1, never of no width, no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (1, 2, 60):
            for said in ("yes", "no"):
                words = ["yes"] * (rows - rows // 2) + ["no"] * (rows // 2)
                flipped = ["no" if word == "yes" else "yes" for word in words]
                score = np.where(np.array(words) == said, 1.0, 0.0)
                pairs = classified(words, words if said == "yes" else flipped, score)
                for name, one in figures(counted(Form(Task.BINARY, "yes"), pairs)).named.items():
                    if name not in ("calibration_bias", "log_loss", "brier", "calibration_error"):
                        assert 0.0 <= one.low < one.high <= 1.0, (rows, said, name)
                        assert one.low <= one.value <= one.high, (rows, said, name)
