"""Expected confusion matrix and metrics of predictions whose chance of being right is known (CBPE: confidence-based
performance estimation, NannyML 2022; unbiased where the rates are right).

Each metric comes with the standard error that is left were the rates exact: labels are drawn by chance (delta method;
for the AUC after DeLong et al. 1988, by its influence on each row).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agent.estimate.calibration import Calibration
from agent.records import Floats

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
    rows = counts.sum()
    if not rows > 0:
        return {}
    swell = squares / rows  # of the variance, by uneven weights
    values = metrics(calibration, counts, calibration.rates)
    noise = _label_noise(calibration, counts)
    unsure = _map_variance(calibration, counts, values)
    return {
        name: Estimate(value, math.sqrt(swell * noise.get(name, NAN) + unsure.get(name, NAN)))
        for name, value in values.items()
    }


def metrics(calibration: Calibration, counts: Floats, rates: Floats) -> dict[str, float]:
    """All metrics at these rates; NaN where one is not defined."""
    found = of_confusion(confusion(counts.sum(axis=1), (counts * rates).sum(axis=1), calibration.errors),
                         calibration.binary)  # fmt: skip
    if calibration.binary:
        found[AUC] = roc_auc(*masses(counts, rates))
    return found


def confusion(rows: Floats, right: Floats, errors: Floats) -> Floats:
    """(classes, classes), [predicted, true]; rows, right: (classes,), of each predicted class."""
    return np.asarray(np.diag(right) + (rows - right)[:, None] * errors, dtype=np.float64)


def of_confusion(found: Floats, binary: bool) -> dict[str, float]:
    """Metrics of a confusion matrix [predicted, true]; a binary one's second class is the positive one.

    Multiclass: means over the classes that were predicted or true at all, as scikit-learn's macro averages. A class
    with nothing below the line counts as 0 there; of a binary task the metric is NaN then.
    """
    right, predicted, true = np.diag(found), found.sum(axis=1), found.sum(axis=0)
    accuracy = float(right.sum() / found.sum())
    if binary:
        precision, recall = _share(right[1], predicted[1]), _share(right[1], true[1])
        f1 = _share(2.0 * right[1], predicted[1] + true[1])
        return {ACCURACY: accuracy, "precision": precision, "recall": recall, "f1": f1,
                "specificity": _share(right[0], true[0])}  # fmt: skip
    there = predicted + true > 1e-12 * found.sum()
    named = {"precision": predicted, "recall": true, "f1": (predicted + true) / 2.0}
    mean = {name: float((right / np.maximum(below, 1e-300))[there].mean()) for name, below in named.items()}
    return {ACCURACY: accuracy, **mean}


def masses(counts: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """(bins,): expected rows with the positive and the negative label, of a binary task."""
    positive = counts[1] * rates[1] + counts[0] * (1.0 - rates[0])
    return positive, counts.sum(axis=0) - positive


def roc_auc(positive: Floats, negative: Floats) -> float:
    """Chance that a positive row has the higher score, ties half; NaN where one of both is missing."""
    below = np.cumsum(negative) - negative / 2.0
    return _share(float(positive @ below), float(positive.sum() * negative.sum()))


def auc_influence(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """(bins,): how one positive, and one negative, row of a bin moves the AUC, times all rows; mean 0 over each."""
    p, n = float(positive.sum()), float(negative.sum())
    auc = roc_auc(positive, negative)
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
            found[AUC] = np.tile(roc_auc(positive, negative) + chance * plus + (1.0 - chance) * minus, (2, 1))
    return found


def _label_noise(calibration: Calibration, counts: Floats) -> dict[str, float]:
    """Variance of each metric when labels are drawn at these rates, for rows of weight 1."""
    rates, errors = calibration.rates, calibration.errors
    rows, right = counts.sum(axis=1), (counts * rates).sum(axis=1)
    spread = (counts * rates * (1.0 - rates)).sum(axis=1)
    found = dict.fromkeys(of_confusion(confusion(rows, right, errors), calibration.binary), 0.0)
    for c in np.flatnonzero(spread > 0):
        step = np.zeros(len(rows))
        step[c] = STEP * rows[c]
        up = of_confusion(confusion(rows, right + step, errors), calibration.binary)
        down = of_confusion(confusion(rows, right - step, errors), calibration.binary)
        for name in found:
            found[name] += float(((up[name] - down[name]) / (2.0 * step[c])) ** 2 * spread[c])
    if calibration.binary:
        positive, negative = masses(counts, rates)
        found[AUC] = NAN
        if positive.sum() > 0 and negative.sum() > 0:
            plus, minus = auc_influence(positive, negative)
            chance, total = rates[1], counts.sum()
            found[AUC] = float((counts.sum(axis=0) * chance * (1 - chance) * (plus - minus) ** 2).sum() / total**2)
    return found


def _map_variance(calibration: Calibration, counts: Floats, values: Mapping[str, float]) -> dict[str, float]:
    groups = len(calibration.replicas)
    if groups < 2:
        return dict.fromkeys(values, 0.0)
    others = [metrics(calibration, counts, replica.astype(np.float64)) for replica in calibration.replicas]
    return {
        name: (groups - 1) / groups * sum((other[name] - value) ** 2 for other in others)
        for name, value in values.items()
    }


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else NAN
