"""Figures beside scikit-learn's on whatever comes: weights, ties, one class only, classes never said, a single row."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from agent.performance.figures import Figures, figures
from agent.performance.form import Form
from agent.performance.seen import ClassPlaces
from agent.records import Task
from tests.performance.pairs import classified, counted, numbered

NAMES = ("a", "b", "c", "d")
WEIGHTS = st.sampled_from([0.125, 0.5, 1.0, 1.0, 3.0, 1000.0])


def _rows(draw: Any, *columns: st.SearchStrategy[Any]) -> list[np.ndarray]:
    rows = draw(st.lists(st.tuples(*columns), min_size=1, max_size=40))
    return [np.array(column) for column in zip(*rows, strict=True)]


def _holds(found: Figures, expected: Mapping[str, float]) -> None:
    for name, value in expected.items():
        if np.isfinite(value):
            assert found.named[name].value == pytest.approx(value, rel=1e-9, abs=1e-9), name
            assert found.named[name].low <= found.named[name].value <= found.named[name].high
        else:
            assert name not in found.named


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_binary_classifier(data: st.DataObject) -> None:
    """Few different scores: so areas are exact, ties and all; what is not defined is not told."""
    scores = st.sampled_from([0.0, 1e-6, 0.1, 0.25, 0.5, 0.75, 1.0])
    true, said, score, w = _rows(data.draw, st.booleans(), st.booleans(), scores, WEIGHTS)
    words = [["no", "yes"][int(value)] for value in true], [["no", "yes"][int(value)] for value in said]
    found = figures(counted(Form(Task.BINARY, "yes"), classified(*words, score, weights=w)))
    weight, nothing = {"sample_weight": w}, {"zero_division": np.nan}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": metrics.accuracy_score(true, said, **weight),
            "precision": metrics.precision_score(true, said, **weight, **nothing),
            "recall": metrics.recall_score(true, said, **weight, **nothing),
            "specificity": metrics.recall_score(~true, ~said, **weight, **nothing),
            "f1": metrics.f1_score(true, said, **weight, **nothing),
            "log_loss": metrics.log_loss(true, score, labels=[False, True], **weight),
            "brier": metrics.brier_score_loss(true, score, **weight),
            "roc_auc": metrics.roc_auc_score(true, score, **weight) if 0 < true.sum() < true.size else np.nan,
        }
        if true.any():
            expected["average_precision"] = metrics.average_precision_score(true, score, **weight)
        matrix = metrics.confusion_matrix(true, said, labels=[False, True], **weight)
    _holds(found, expected)
    assert list(found.confusion.values()) == pytest.approx(matrix.ravel().tolist())


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_many_classes(data: st.DataObject) -> None:
    """Macro over the classes that are true or said, as scikit-learn has it."""
    place = st.integers(0, 3)
    true, said, w = _rows(data.draw, place, place, WEIGHTS)
    p = np.random.default_rng(len(true)).dirichlet(np.ones(4), len(true))
    places = ClassPlaces([])
    pairs = classified([NAMES[k] for k in true], [NAMES[k] for k in said], p, NAMES, weights=w)
    form = Form(Task.MULTICLASS)
    for own in (form, form.coarse):
        found = figures(counted(own, pairs, places=places), places.names)
        expected = {
            "accuracy": metrics.accuracy_score(true, said, sample_weight=w),
            "log_loss": metrics.log_loss(true, p, labels=range(4), sample_weight=w),
        }
        for average in ("macro", "micro", "weighted"):
            told = metrics.precision_recall_fscore_support(
                true, said, average=average, sample_weight=w, zero_division=0.0
            )
            expected |= {f"{n}_{average}": v for n, v in zip(("precision", "recall", "f1"), told, strict=False)}
        _holds(found, expected)


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_regression(data: st.DataObject) -> None:
    """Constant truths have no R², zeros no share of themselves."""
    number = st.sampled_from([-1e6, -2.5, 0.0, 1e-3, 1.0, 1.0, 7.25, 1e6])
    true, predicted, w = _rows(data.draw, number, number, WEIGHTS)
    found = figures(counted(Form(Task.REGRESSION, pivot=float(true.mean())), numbered(true, predicted, weights=w)))
    weight, apart = {"sample_weight": w}, true != 0.0
    _holds(
        found,
        {
            "mae": metrics.mean_absolute_error(true, predicted, **weight),
            "rmse": np.sqrt(metrics.mean_squared_error(true, predicted, **weight)),
            "bias": np.average(predicted - true, weights=w),
            "mape": metrics.mean_absolute_percentage_error(true[apart], predicted[apart], sample_weight=w[apart])
            if apart.any() else np.nan,
            "r2": metrics.r2_score(true, predicted, **weight) if len(set(true.tolist())) > 1 else np.nan,
            **{f"quantile_loss_{q:g}": metrics.mean_pinball_loss(true, predicted, alpha=q, **weight)
               for q in (0.1, 0.5, 0.9)},
        },
    )  # fmt: skip
