"""Expected confusion matrix and metrics of predictions whose chance of being right is known (CBPE: confidence-based
performance estimation, NannyML 2022; unbiased where the rates are right).

Each metric comes with the standard error that is left were the rates exact: labels are drawn by chance (delta method;
for the AUC after DeLong et al. 1988, by its influence on each row).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from agent.estimate.calibration import Calibration
from agent.records import Floats
from agent.steps import finished

ACCURACY, AUC = "accuracy", "roc_auc"
STEP = 1e-6  # of a class's rows, for a metric's slope
NAN = math.nan


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric. error: standard error of the metric as labels would show it of these rows; NaN where value is."""

    value: float
    error: float = NAN


def estimates(calibration: Calibration, counts: Floats, squares: float) -> dict[str, Estimate]:
    """By metric: accuracy, precision, recall, f1; of binary tasks specificity and roc_auc too; multiclass: macro means.

    counts: (classes, bins), sums of weights; squares: sum of squared weights. Without rows {}. The error holds what
    chance does to labels and what the calibration does not know (delete-a-group jackknife, Kott 2001).
    """
    return finished(estimating(calibration, counts, squares))


def estimating(
    calibration: Calibration, counts: Floats, squares: float
) -> Generator[None, None, dict[str, Estimate]]:
    """The same in two steps."""
    rows = counts.sum()
    if not rows > 0:
        return {}
    swell = squares / rows  # of the variance, by uneven weights
    groups = len(calibration.replicas)
    values = metrics(calibration, counts, np.concatenate((calibration.rates[None], calibration.replicas)))
    yield
    noise = _label_noise(calibration, counts)
    found = {}
    for name, (value, *others) in values.items():
        unsure = (groups - 1) / groups * float(np.square(np.array(others) - value).sum()) if groups > 1 else 0.0
        found[name] = Estimate(float(value), math.sqrt(swell * noise[name] + unsure))
    return found


def metrics(calibration: Calibration, counts: Floats, rates: Floats) -> dict[str, Floats]:
    """(...) each, of counts and rates (..., classes, bins), one of which may be for all; NaN where not defined."""
    matrix = confusion(counts.sum(axis=-1), (counts * rates).sum(axis=-1), calibration.errors)
    found = of_confusion(matrix, calibration.binary)
    if calibration.binary:
        found[AUC] = roc_auc(*masses(counts, rates))
    return found


def confusion(rows: Floats, right: Floats, errors: Floats) -> Floats:
    """(..., classes, classes), [predicted, true]; rows, right: (..., classes), of each predicted class."""
    found = (rows - right)[..., None] * errors
    own = np.arange(len(errors))
    found[..., own, own] += right
    return np.asarray(found, dtype=np.float64)


def of_confusion(found: Floats, binary: bool) -> dict[str, Floats]:
    """Metrics (...) of confusion matrices (..., predicted, true); a binary one's second class is the positive one.

    Multiclass: means over the classes that were predicted or true at all, as scikit-learn's macro averages. A class
    with nothing below the line counts as 0 there; of a binary task the metric is NaN then.
    """
    right = np.diagonal(found, axis1=-2, axis2=-1)
    predicted, true = found.sum(axis=-1), found.sum(axis=-2)
    accuracy = _share(right.sum(axis=-1), predicted.sum(axis=-1))
    both = (predicted + true) / 2.0
    if binary:
        named = {"precision": predicted, "recall": true, "f1": both}
        return {
            ACCURACY: accuracy, **{name: _share(right[..., 1], below[..., 1]) for name, below in named.items()},
            "specificity": _share(right[..., 0], true[..., 0]),
        }  # fmt: skip
    there = both > 1e-12 * predicted.sum(axis=-1, keepdims=True)
    classes = there.sum(axis=-1)
    found_of = {}
    for name, below in {"precision": predicted, "recall": true, "f1": both}.items():
        shares = np.where(there, right / np.maximum(below, 1e-300), 0.0)
        found_of[name] = _share(shares.sum(axis=-1), classes)
    return {ACCURACY: accuracy, **found_of}


def masses(counts: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """(..., bins): expected rows with the positive and the negative label, of a binary task."""
    positive = counts[..., 1, :] * rates[..., 1, :] + counts[..., 0, :] * (1.0 - rates[..., 0, :])
    return positive, counts.sum(axis=-2) - positive


def roc_auc(positive: Floats, negative: Floats) -> Floats:
    """(...): chance that a positive row has the higher score, ties half; NaN where one of both is missing."""
    below = np.cumsum(negative, axis=-1) - negative / 2.0
    return _share((positive * below).sum(axis=-1), positive.sum(axis=-1) * negative.sum(axis=-1))


def auc_influence(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """(bins,): how one positive, and one negative, row of a bin moves the AUC, times all rows; mean 0 over each."""
    p, n = float(positive.sum()), float(negative.sum())
    auc = float(roc_auc(positive, negative))
    above = p - np.cumsum(positive) + positive / 2.0
    below = np.cumsum(negative) - negative / 2.0
    return (below / n - auc) * (p + n) / p, (above / p - auc) * (p + n) / n


def row_values(calibration: Calibration, counts: Floats) -> dict[str, Floats]:
    """(classes, bins) by metric: what a row adds, so that a sample's metric is nearly the mean over its rows.

    For accuracy exactly; for the AUC to first order around `counts`.
    """
    found = {ACCURACY: calibration.rates}
    if calibration.binary:
        positive, negative = masses(counts, calibration.rates)
        if positive.sum() > 0 and negative.sum() > 0:
            plus, minus = auc_influence(positive, negative)
            chance = calibration.rates[1]
            found[AUC] = np.tile(float(roc_auc(positive, negative)) + chance * plus + (1.0 - chance) * minus, (2, 1))
    return found


def _label_noise(calibration: Calibration, counts: Floats) -> dict[str, float]:
    """Variance of each metric when labels are drawn at these rates, for rows of weight 1."""
    rates, errors = calibration.rates, calibration.errors
    rows, right = counts.sum(axis=1), (counts * rates).sum(axis=1)
    spread = (counts * rates * (1.0 - rates)).sum(axis=1)
    steps = np.diag(STEP * np.maximum(rows, 1.0))
    up, down = (of_confusion(confusion(rows, right + step, errors), calibration.binary) for step in (steps, -steps))
    found = {
        name: float(np.square((up[name] - down[name]) / (2.0 * np.diagonal(steps))) @ spread) for name in up
    }
    if calibration.binary:
        positive, negative = masses(counts, rates)
        found[AUC] = NAN
        if positive.sum() > 0 and negative.sum() > 0:
            plus, minus = auc_influence(positive, negative)
            chance, total = rates[1], counts.sum()
            found[AUC] = float((counts.sum(axis=0) * chance * (1 - chance) * (plus - minus) ** 2).sum() / total**2)
    return found


def _share(part: Floats, whole: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, NAN)
