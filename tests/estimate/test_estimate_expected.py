"""Expected metrics and their errors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from agent.estimate.calibrating import make
from agent.estimate.calibration import Calibration
from agent.estimate.expected import estimates, metrics, of_confusion, roc_auc
from agent.records import Floats
from tests.estimate.estimate_worlds import Scored


def _calibration(seed: int = 3, rows: int = 60_000) -> tuple[Scored, Calibration]:
    world = Scored(seed=seed)
    score, said, truth = world.rows_of(rows)
    position = np.arange(rows) * 20 // rows
    places = said.astype(np.int64), truth.astype(np.int64)
    return world, make(("0", "1"), "1", float("nan"), score, *places, (position, 20))


def _counts(calibration: Calibration, score: Floats, said: Floats) -> Floats:
    place = said.astype(np.int64) * calibration.rates.shape[1] + calibration.bins_of(score)
    return np.bincount(place, minlength=calibration.rates.size).reshape(calibration.rates.shape).astype(np.float64)


def _realised(score: Floats, said: Floats, truth: Floats) -> dict[str, float]:
    return {
        "accuracy": oracle.accuracy_score(truth, said), "precision": oracle.precision_score(truth, said),
        "recall": oracle.recall_score(truth, said), "f1": oracle.f1_score(truth, said),
        "specificity": oracle.recall_score(1 - truth, 1 - said), "roc_auc": oracle.roc_auc_score(truth, score),
    }  # fmt: skip


def test_metrics_of_a_confusion_matrix_as_scikit_learn() -> None:
    """Binary, and macro means of several classes, one of which was never predicted and one never true."""
    rng = np.random.default_rng(1)
    truth, said = rng.integers(0, 4, 500), rng.choice([0, 1, 2, 4], 500)
    found = of_confusion(oracle.confusion_matrix(truth, said, labels=range(6)).T.astype(np.float64), binary=False)
    for name, of in (("precision", oracle.precision_score), ("recall", oracle.recall_score), ("f1", oracle.f1_score)):
        assert found[name] == pytest.approx(of(truth, said, average="macro", zero_division=0))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truth, said))


def test_where_labels_are_certain_the_estimate_is_the_metric() -> None:
    """Rates of 0 and 1 leave nothing to expect: every metric as scikit-learn has it."""
    score = np.repeat(np.linspace(0.05, 0.95, 10), 30)
    truth = (np.arange(300) % 7 < 3).astype(np.float64)
    score = np.round(score + truth * 0.001, 6)  # each score has one truth
    said = (score > 0.4).astype(np.float64)
    position = np.arange(300) * 2 // 300
    found = make(("0", "1"), "1", float("nan"), score, said.astype(int), truth.astype(int), (position, 2))
    sure = np.zeros_like(found.rates)
    for s, t in zip(score, truth, strict=True):
        sure[:, found.bins_of(np.array([s]))[0]] = (1 - t, t)
    values = metrics(found, _counts(found, score, said), sure)
    assert {name: float(value) for name, value in values.items()} == pytest.approx(_realised(score, said, truth))


def test_estimates_follow_a_shift_that_keeps_the_meaning_of_scores() -> None:
    """Harder and easier windows: each metric within four of its own errors of what labels show; the raw score's own
    word is far off."""
    world, calibration = _calibration()
    for mean, spread in ((-0.5, 2.0), (0.5, 1.0), (-2.0, 2.0), (0.0, 3.0)):
        score, said, truth = world.rows_of(20_000, mean, spread)
        found = estimates(calibration, _counts(calibration, score, said), 20_000.0)
        for name, value in _realised(score, said, truth).items():
            assert abs(found[name].value - value) < 4.0 * found[name].error, (name, mean)
        assert found["accuracy"].error < 0.006
    naive = np.maximum(score, 1 - score).mean()
    assert abs(naive - (said == truth).mean()) > 4.0 * found["accuracy"].error


def test_the_error_is_that_of_labels_drawn_by_chance() -> None:
    """Of many windows, the root mean square of estimate less realised is the error that was said, within a quarter."""
    world, calibration = _calibration(rows=200_000)
    apart: dict[str, list[float]] = {}
    for _ in range(80):
        score, said, truth = world.rows_of(1_000)
        found = estimates(calibration, _counts(calibration, score, said), 1_000.0)
        for name, value in _realised(score, said, truth).items():
            apart.setdefault(name, []).append((found[name].value - value) / found[name].error)
    for name, ratios in apart.items():
        assert 0.75 < float(np.sqrt(np.mean(np.square(ratios)))) < 1.25, name


def test_auc_of_bins_counts_ties_half() -> None:
    """As scikit-learn does, whose ties are the bins."""
    positive, negative = np.array([1.0, 5.0, 9.0]), np.array([7.0, 5.0, 2.0])
    truth = np.repeat([1, 0], [15, 14])
    score = np.concatenate((np.repeat([0, 1, 2], [1, 5, 9]), np.repeat([0, 1, 2], [7, 5, 2])))
    assert roc_auc(positive, negative) == pytest.approx(oracle.roc_auc_score(truth, score))


def test_no_rows_no_estimate() -> None:
    """Nothing is said of nothing."""
    _, calibration = _calibration(rows=2_000)
    assert estimates(calibration, np.zeros_like(calibration.rates), 0.0) == {}
