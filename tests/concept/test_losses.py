"""What a prediction lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.concept.losses import SIDE, Kind, Scale, cells_of, kind_of, place, scale_of
from agent.records import Task
from tests.concept.labels import World


def test_errors_of_a_classifier_have_a_direction() -> None:
    """Right, false positive, false negative; a label that is neither of the two classes has a cell of its own."""
    pairs = replace(
        World(0, labels=5).classified(0, 0.1, 0.1),
        predicted_class=np.array([1, 1, 0, 0, -1], np.int32), actual_class=np.array([1, 0, 1, 2, 0], np.int32),
        classes=("no", "yes", "maybe"),
    )  # fmt: skip
    assert place(pairs, Kind.BINARY, "yes", np.nan).tolist() == [0, 1, 2, 3, -1]
    assert place(pairs, Kind.CLASSES, "", np.nan).tolist() == [0, 3, 3, 3, -1]


def test_a_score_is_held_against_the_threshold_where_no_label_was_predicted() -> None:
    """Senders that give scores alone are followed once the threshold is known."""
    pairs = replace(
        World(0, labels=4).classified(0, 0.1, 0.1),
        predicted_class=np.full(4, -1, np.int32), actual_class=np.array([1, 0, 1, 1], np.int32),
        scores=np.array([[0.9], [0.7], [0.2], [np.nan]]),
    )  # fmt: skip
    assert place(pairs, Kind.BINARY, "yes", 0.5).tolist() == [0, 1, 2, -1]
    assert place(pairs, Kind.BINARY, "yes", np.nan).tolist() == [-1, -1, -1, -1]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e12])
def test_the_error_of_a_number_is_kept_to_half_an_octave_in_any_unit(unit: float) -> None:
    """The mean loss that the cells give is within some hundredths of the true capped one; signs are kept apart."""
    error = unit * np.random.default_rng(1).standard_normal(20_000)
    pairs = replace(World(0, labels=20_000).numbered(0, 1.0), predicted=error, actual=np.zeros(20_000))
    cells = place(pairs, Kind.NUMBERS, "", np.nan)
    counts = np.bincount(cells, minlength=cells_of(Kind.NUMBERS)).astype(float)
    scale = scale_of(Kind.NUMBERS, counts)
    mean = scale.losses @ counts / counts.sum()
    capped = np.minimum(np.abs(error) / scale.cap, 1.0)
    assert mean[0] == pytest.approx(capped.mean(), rel=0.03)
    assert mean[1] == pytest.approx(np.where(error > 0, capped, 0.0).mean(), rel=0.03)
    assert mean[1] + mean[2] == pytest.approx(mean[0])
    assert scale.cap == pytest.approx(3 * 1.96 * unit, rel=0.3)


def test_an_exact_prediction_and_one_beyond_all_bounds_have_a_cell() -> None:
    """Zero is in the middle, what is larger than any unit at the ends, NaN nowhere."""
    pairs = replace(
        World(0, labels=4).numbered(0, 1.0), predicted=np.array([5.0, 1e300, -1e300, np.nan]), actual=np.full(4, 5.0)
    )
    assert place(pairs, Kind.NUMBERS, "", np.nan).tolist() == [SIDE, 2 * SIDE, 0, -1]


@pytest.mark.parametrize("kind", list(Kind))
def test_folding_loses_nothing(kind: Kind) -> None:
    """Labels by level of loss add up to the labels, and their losses to the losses."""
    counts = np.random.default_rng(2).poisson(3.0, (4, cells_of(kind))).astype(float)
    scale = Scale(kind, 2.0)
    folded = scale.folded(counts)
    np.testing.assert_allclose(folded.sum(axis=-1), np.repeat(counts.sum(axis=1)[:, None], len(scale.losses), axis=1))
    np.testing.assert_allclose(folded @ scale.levels, counts @ scale.losses.T)


@pytest.mark.parametrize(
    ("task", "positive", "kind"),
    [(Task.BINARY, "yes", Kind.BINARY), (Task.BINARY, "", Kind.CLASSES), (Task.MULTICLASS, "", Kind.CLASSES),
     (Task.REGRESSION, "", Kind.NUMBERS), (Task.RANKING, "", None), (Task.UNKNOWN, "", None)],
)  # fmt: skip
def test_what_cannot_be_followed_says_why(task: Task, positive: str, kind: Kind | None) -> None:
    """The task decides; without one nothing is guessed from numbers, which may be classes or amounts."""
    found, why = kind_of(task, positive)
    assert found is kind
    assert bool(why) is (kind is None)


def test_texts_are_classes_without_a_task() -> None:
    """Predictions that are words can only be right or wrong."""
    assert kind_of(Task.UNKNOWN, "", World(0).classified(0, 0.1, 0.1))[0] is Kind.CLASSES
    assert kind_of(Task.UNKNOWN, "", World(0).numbered(0, 1.0))[0] is None
