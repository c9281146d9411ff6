"""What a score is worth: how often a prediction with it is right, learned from the reference's labels.

Scores fall into bins that the reference's own scores spread evenly over. For each predicted class and bin there is one
rate, isotonic in the score; how sure they are is known from as many fits, each without one part of the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.estimate.isotonic import isotonic
from agent.estimate.spread import Past
from agent.records import Floats

BINS = 256  # of a binary score; ties within a bin cost the AUC less than 0.0005
CLASS_BINS = 64  # of a class's score
GROUPS_MAX = 20  # parts of the reference that are left out in turn
THRESHOLD = 0.5  # of binary models that give a score and no class


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The map from scores to rates, and the reference it was learned from.

    edges: float64 (bins - 1,), rising; the first and last bin lie outside the reference's scores. classes: as
    predicted; of a binary task (negative, positive), and positive is set. threshold: the score from which on `positive`
    is predicted, where predictions give no class; NaN: they do. rates: (classes, bins), 0-1, how often such a
    prediction is right; replicas: float32 (groups, classes, bins), the same without one part of the reference. errors:
    (classes, classes), of wrong predictions of a class the shares of what was true. counts: (classes, bins), the
    reference's rows with a label. past: what was estimated of the reference's own windows.
    """

    edges: Floats
    classes: tuple[str, ...]
    positive: str
    threshold: float
    rates: Floats
    replicas: npt.NDArray[np.float32]
    errors: Floats
    counts: Floats
    past: Past

    @property
    def binary(self) -> bool:
        return bool(self.positive)

    def bins_of(self, scores: Floats) -> npt.NDArray[np.intp]:
        """The bin of each finite score. About 40 ns each."""
        return np.searchsorted(self.edges, scores, side="right")

    def outside(self, counts: Floats) -> float:
        """Rows of counts (classes, bins) whose score lies outside the reference's."""
        return float(counts[:, 0].sum() + counts[:, -1].sum())


def edges_of(sample: Floats, bins: int) -> Floats:
    """(bins - 1 at most,): quantiles of the scores that were seen, from the smallest to just above the largest. Scores
    that take fewer values have a bin for each.

    >>> edges_of(np.array([0.0, 0.5, 0.5, 1.0]), 8).tolist()
    [0.0, 0.5, 1.0, 1.0000000000000002]
    """
    found = np.unique(np.quantile(sample, np.linspace(0.0, 1.0, bins - 2), method="inverted_cdf"))
    return np.append(found, math.nextafter(float(found[-1]), math.inf)).astype(np.float64)


def rates_of(right: Floats, wrong: Floats, binary: bool) -> Floats:
    """(classes, bins): isotonic rates of being right. right, wrong: rows, (classes, bins).

    A binary score says how likely the positive label is, whatever was predicted: one map for both classes. Else each
    class has its own, of its own score.
    """
    if binary:
        positive = isotonic(right[1] + wrong[0], right.sum(axis=0) + wrong.sum(axis=0))
        return np.stack((1.0 - positive, positive))
    return np.stack([isotonic(hits, hits + misses) for hits, misses in zip(right, wrong, strict=True)])


def replicas_of(right: Floats, wrong: Floats, binary: bool) -> npt.NDArray[np.float32]:
    """float32 (groups, classes, bins): the rates without one group each. right, wrong: (groups, classes, bins)."""
    whole_right, whole_wrong = right.sum(axis=0), wrong.sum(axis=0)
    found = [rates_of(whole_right - r, whole_wrong - w, binary) for r, w in zip(right, wrong, strict=True)]
    return np.array(found, dtype=np.float32)


def errors_of(confusion: Floats) -> Floats:
    """(classes, classes): shares of the true classes among wrong predictions of each; confusion: [predicted, true]."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0.0)
    sums = wrong.sum(axis=1, keepdims=True)
    others = max(len(wrong) - 1, 1)
    even = (1.0 - np.eye(len(wrong))) / others
    return np.asarray(np.where(sums > 0, wrong / np.maximum(sums, 1e-300), even), dtype=np.float64)
