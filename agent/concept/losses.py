"""What a prediction lost, as one of few cells: right or wrong and which way, or the size of a number's error.

A window of labels is then a few counts, whatever it is tested with later: cheap to keep, to store and to add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from agent.records import Cells, Floats, Pairs, Task

# Cells of a classifier. Of a binary one WRONG is neither positive nor alike: other words, of which none is the positive
# one. That is no error, here as where performance is counted, and no truth to learn from either.
RIGHT, FALSE_POSITIVE, FALSE_NEGATIVE, WRONG = 0, 1, 2, 3
# Cells of a number's error: half octaves from 2^-40 to 2^60 on either side of zero, whatever its unit.
PER_OCTAVE, LOWEST, SIDE = 2, -40.0, 200
CELLS = 4
STREAMS = ("all", "over", "under")  # of all labels; predicted too much (false positives), too little (false negatives)


class Kind(StrEnum):
    """What the losses are: wrong or not; wrong in either direction; how far off."""

    CLASSES = "classes"
    BINARY = "binary"
    NUMBERS = "numbers"


def kind_of(task: Task, positive: str, pairs: Pairs | None = None) -> tuple[Kind | None, str]:
    """What of a task can be followed, or why nothing can; of an unknown one only predictions that are texts."""
    if task is Task.BINARY:
        return (Kind.BINARY if positive else Kind.CLASSES), ""
    if task is Task.MULTICLASS or (task is Task.UNKNOWN and pairs is not None and _texts(pairs)):
        return Kind.CLASSES, ""
    if task is Task.REGRESSION:
        return Kind.NUMBERS, ""
    if task is Task.UNKNOWN:
        return None, "the task is not known: neither the reference nor the model's start says it"
    return None, f"of {task.name.lower()} no single prediction is right or wrong"


def cells_of(kind: Kind) -> int:
    """How many cells there are."""
    return 2 * SIDE + 1 if kind is Kind.NUMBERS else CELLS


def place(pairs: Pairs, kind: Kind, positive: str, threshold: float) -> Cells:
    """int32 (rows,): each pair's cell, -1 where prediction or truth is missing."""
    if kind is Kind.NUMBERS:
        return _distance(pairs.predicted - pairs.actual)
    predicted, actual = pairs.predicted_class, pairs.actual_class
    own = _position(pairs.classes, positive)
    right = predicted == actual
    known = actual >= 0
    if kind is Kind.BINARY and own >= 0:
        said = predicted == own
        if (predicted < 0).any() and threshold == threshold:  # a sender that gives scores alone
            score = pairs.score(positive)
            said = np.where(predicted < 0, score >= threshold, said)
            right = np.where(predicted < 0, said == (actual == own), right)
            known = known & ((predicted >= 0) | np.isfinite(score))
        else:
            known = known & (predicted >= 0)
        wrong = np.where(said, FALSE_POSITIVE, np.where(actual == own, FALSE_NEGATIVE, WRONG))
    else:
        known, wrong = known & (predicted >= 0), np.full(pairs.rows, WRONG)
    return np.where(known, np.where(right, RIGHT, wrong), -1).astype(np.int32)


@dataclass(frozen=True)
class Scale:
    """What each cell's loss is, 0-1. cap: of numbers the absolute error that counts as 1, as all above it do."""

    kind: Kind
    cap: float = 1.0

    @cached_property
    def losses(self) -> Floats:
        """float64 (streams, cells): of all errors and, where they have a direction, of either one alone."""
        if self.kind is Kind.CLASSES:
            return np.array([[0.0, 1.0, 1.0, 1.0]])
        if self.kind is Kind.BINARY:
            return np.array([[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
        size = np.minimum(_middles() / self.cap, 1.0)
        side = np.sign(np.arange(2 * SIDE + 1) - SIDE)
        return np.stack([size, np.where(side > 0, size, 0.0), np.where(side < 0, size, 0.0)])

    @cached_property
    def levels(self) -> Floats:
        """float64 (levels,): the different losses there are, rising, the first 0."""
        if self.two_valued:
            return np.array([0.0, 1.0])
        return np.minimum(_middles()[SIDE:] / self.cap, 1.0)

    def folded(self, counts: Floats) -> Floats:
        """(series, streams, levels): how many labels lost how much, in each stream; counts: (series, cells)."""
        if self.two_valued:
            lost = counts @ self.losses.T
            return np.stack((counts.sum(axis=1, keepdims=True) - lost, lost), axis=-1)
        over, under = counts[:, SIDE:].copy(), counts[:, SIDE::-1].copy()
        either = over + under
        either[:, 0] -= under[:, 0]
        over[:, 0] += under[:, 1:].sum(axis=1)
        under[:, 0] = either.sum(axis=1) - under[:, 1:].sum(axis=1)
        return np.stack((either, over, under), axis=1)

    @property
    def two_valued(self) -> bool:
        return self.kind is not Kind.NUMBERS


def scale_of(kind: Kind, counts: Floats) -> Scale:
    """counts: (cells,), what is usual. Numbers are capped at three times the 95th percentile of the absolute error:
    far enough that a threefold rise still shows, near enough that one outlier is not a window's evidence."""
    if kind is not Kind.NUMBERS:
        return Scale(kind)
    folded = counts[SIDE:].copy()
    folded[1:] += counts[:SIDE][::-1]
    total = folded.sum()
    at = int(np.searchsorted(np.cumsum(folded), 0.95 * total)) if total else 0
    return Scale(kind, float(3.0 * _middles()[SIDE + max(at, 1)]))


def _middles() -> Floats:
    """float64 (cells,): the absolute error in each cell's middle; 0 where there is none."""
    away = np.abs(np.arange(2 * SIDE + 1) - SIDE).astype(np.float64)
    return np.where(away > 0, np.exp2((away - 0.5) / PER_OCTAVE + LOWEST), 0.0)


def _distance(error: Floats) -> Cells:
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.floor((np.log2(np.abs(error)) - LOWEST) * PER_OCTAVE) + 1.0
    steps = np.where(error == 0.0, 0.0, np.clip(steps, 1.0, SIDE))
    placed = SIDE + np.sign(error) * steps
    return np.where(np.isfinite(error), placed, -1.0).astype(np.int32)


def _position(classes: Sequence[str], name: str) -> int:
    return classes.index(name) if name in classes else -1


def _texts(pairs: Pairs) -> bool:
    there = pairs.predicted_class >= 0
    return bool(there.any() and np.isnan(pairs.predicted[there]).all())
