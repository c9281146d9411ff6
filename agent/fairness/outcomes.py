"""What became of the members of each group, as sums: every rate and mean error of a window, a run of windows, a year.

A measure is the mean of some x over some rows: the selection rate is that of "was selected" over all predictions, the
true positive rate the same over those whose truth is positive. So four sums of each say all: Σw, Σw², Σwx, Σwx².
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from agent.records import PRESENT, Bools, Columns, Floats, Ints, Numbers, Pairs, Task

SUMS = 4  # Σw, Σw², Σwx, Σwx²
BINS = 10  # of scores, for calibration: equally wide over 0 to 1
ERROR_MAX = 1e60  # a larger one's powers would be no numbers
BIN_SUMS = 3  # Σw, Σw score, Σw truth


class Measure(IntEnum):
    """Place in the sums. Names as fairlearn has them, where it does."""

    SELECTION_RATE = 0
    TRUE_POSITIVE_RATE = 1
    FALSE_POSITIVE_RATE = 2
    PRECISION = 3
    ACCURACY = 4
    CALIBRATION_ERROR = 5  # mean score less the share of positives
    MEAN_ERROR = 6  # predicted less actual
    MEAN_ABSOLUTE_ERROR = 7

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def said(self) -> str:
        return self.word.replace("_", " ")


MEASURES = len(Measure)
PREDICTED, LABELLED = slice(0, 1), slice(1, MEASURES)  # measures that need no truth, and those that do
RATES = np.arange(MEASURES) < Measure.CALIBRATION_ERROR  # their x is 0 or 1


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a prediction means: the model's task, its positive label, and the score from which on it is given.

    Anything else may be counted in one sum only while this stays the same.
    """

    task: Task = Task.UNKNOWN
    positive: str = ""
    threshold: float = math.nan

    def with_known(self, task: Task, positive: str, threshold: float) -> Meaning:
        """With what is known now. What is not known for a while, at a start say, takes nothing back."""
        if task not in (Task.UNKNOWN, self.task):
            return Meaning(task, positive, threshold)
        known = threshold if not math.isnan(threshold) else self.threshold
        return Meaning(self.task, positive or self.positive, known)

    @property
    def binary(self) -> bool:
        """Whether somebody is selected. Of several classes, one may be the favourable one."""
        return bool(self.positive) and self.task is not Task.REGRESSION and self.task is not Task.RANKING

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Those that can be computed."""
        if self.task is Task.REGRESSION:
            return Measure.MEAN_ERROR, Measure.MEAN_ABSOLUTE_ERROR
        if self.binary:
            return tuple(Measure)[: Measure.MEAN_ERROR]
        return (Measure.ACCURACY,) if self.task is Task.MULTICLASS else ()

    @property
    def silence(self) -> str:
        """Why nothing can be computed; empty: something can."""
        if self.measures:
            return ""
        if self.task is Task.BINARY:
            return "the positive label is not known: --positive of the reference, or the model-loaded event, says it"
        if self.task is Task.RANKING:
            return "rankings have no selection rate"
        return "the model's task is not known: --task of the reference, or the model-loaded event, says it"


def same_meaning(one: Meaning, other: Meaning) -> bool:
    """NaN being the same as NaN."""
    return repr(one) == repr(other)


@dataclass(slots=True)
class Outcomes:
    """Sums by place. sums: float64 (places, MEASURES, SUMS); bins: float64 (places, BINS, BIN_SUMS); rows: float64
    (places, 2), unweighted: predictions and labels."""

    sums: Floats
    bins: Floats
    rows: Floats

    @classmethod
    def empty(cls, places: int = 0) -> Outcomes:
        return cls(np.zeros((places, MEASURES, SUMS)), np.zeros((places, BINS, BIN_SUMS)), np.zeros((places, 2)))

    def grow(self, places: int) -> None:
        """Makes room for so many places."""
        more = places - len(self.sums)
        if more > 0:
            self.sums = np.concatenate((self.sums, np.zeros((more, MEASURES, SUMS))))
            self.bins = np.concatenate((self.bins, np.zeros((more, BINS, BIN_SUMS))))
            self.rows = np.concatenate((self.rows, np.zeros((more, 2))))

    def add(self, other: Outcomes) -> None:
        """Adds what another one holds."""
        places = len(other.sums)
        self.grow(places)
        self.sums[:places] += other.sums
        self.bins[:places] += other.bins
        self.rows[:places] += other.rows

    def predicted(self, places: Ints, chosen: Ints, weights: Floats | None, size: int) -> None:
        """Counts predictions. places: (rows,); chosen: as `selected` gives it."""
        self.grow(size)
        code = places * 4 + chosen
        count = np.bincount(code, minlength=size * 4).reshape(size, 2, 2)
        self.rows[:size, 0] += count.sum(axis=(1, 2))
        if weights is None:
            weight = squares = count[:, 1].astype(np.float64)
        else:
            weight, squares = (_summed(code, w, size)[:, 1] for w in (weights, weights * weights))
        _add_rate(self.sums[:size, Measure.SELECTION_RATE], weight, squares)

    def labelled(self, places: Ints, pairs: Pairs, meaning: Meaning, size: int) -> None:
        """Counts predictions whose truth came."""
        self.grow(size)
        self.rows[:size, 1] += np.bincount(places, minlength=size)[:size]
        if meaning.task is Task.REGRESSION:
            self._add_errors(places, pairs, size)
            return
        if meaning.task is Task.MULTICLASS or not meaning.binary:
            self._add_hits(places, pairs, size)
        if meaning.binary:
            self._add_confusion(places, pairs, meaning, size)

    def _add_confusion(self, places: Ints, pairs: Pairs, meaning: Meaning, size: int) -> None:
        selected, known = selected_pairs(pairs, meaning)
        positive = _place(pairs.classes, meaning.positive)
        actual = pairs.actual_class == positive
        known &= pairs.actual_class >= 0
        code = (places * 4 + actual * 2 + selected)[known]
        own = pairs.weights[known]
        # [place, actual, selected]
        weight, squares = (_summed(code, w, size) for w in (own, own * own))
        sums = self.sums[:size]
        _add_rate(sums[:, Measure.TRUE_POSITIVE_RATE], weight[:, 1], squares[:, 1])
        _add_rate(sums[:, Measure.FALSE_POSITIVE_RATE], weight[:, 0], squares[:, 0])
        _add_rate(sums[:, Measure.PRECISION], weight[:, :, 1], squares[:, :, 1])
        if meaning.task is not Task.MULTICLASS:  # its accuracy is that of all classes
            right, wrong = (w[:, [0, 1], [0, 1]].sum(axis=1) for w in (weight, squares))
            both = weight.sum(axis=(1, 2)), squares.sum(axis=(1, 2))
            _add_rate(
                sums[:, Measure.ACCURACY],
                np.stack((both[0] - right, right), axis=1),
                np.stack((both[1] - wrong, wrong), axis=1),
            )
        self._add_scores(places, pairs.score(meaning.positive), actual, pairs)

    def _add_scores(self, places: Ints, score: Floats, actual: Bools, pairs: Pairs) -> None:
        rows = np.flatnonzero((score >= 0.0) & (score <= 1.0) & (pairs.actual_class >= 0))
        if not rows.size:
            return
        size = len(self.sums)
        place, score, truth, own = places[rows], score[rows], actual[rows].astype(np.float64), pairs.weights[rows]
        self._add_means(Measure.CALIBRATION_ERROR, place, score - truth, own)
        code = place * BINS + np.minimum((score * BINS).astype(np.int64), BINS - 1)
        for k, values in enumerate((own, own * score, own * truth)):
            self.bins[:, :, k] += np.bincount(code, values, size * BINS).reshape(size, BINS)

    def _add_hits(self, places: Ints, pairs: Pairs, size: int) -> None:
        known = (pairs.predicted_class >= 0) & (pairs.actual_class >= 0)
        hit = (pairs.predicted_class == pairs.actual_class).astype(np.int64)
        code, own = (places * 4 + hit)[known], pairs.weights[known]
        weight, squares = (_summed(code, w, size)[:, 0] for w in (own, own * own))
        _add_rate(self.sums[:size, Measure.ACCURACY], weight, squares)

    def _add_errors(self, places: Ints, pairs: Pairs, size: int) -> None:
        error = pairs.predicted - pairs.actual
        known = np.flatnonzero(np.abs(error) < ERROR_MAX)
        place, error, own = places[known], error[known], pairs.weights[known]
        self._add_means(Measure.MEAN_ERROR, place, error, own)
        self._add_means(Measure.MEAN_ABSOLUTE_ERROR, place, np.abs(error), own)

    def _add_means(self, measure: Measure, place: Ints, x: Floats, w: Floats) -> None:
        for k, values in enumerate((w, w * w, w * x, w * x * x)):
            self.sums[:, measure, k] += np.bincount(place, values, len(self.sums))


def selected(outputs: Columns, rows: int, meaning: Meaning) -> Ints:
    """Of each prediction: 3 the positive label was given, 2 it was not, 0 or 1 that is not known.

    By the predicted label where there is one, else by score and threshold.
    """
    texts = outputs.texts.get("prediction")
    if texts is not None and texts.state is None and len(texts.dictionary):
        return np.array([2 + (text == meaning.positive) for text in texts.dictionary])[texts.codes]
    given, known = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
    if texts is not None and len(texts.dictionary):
        known = np.asarray(texts.state == PRESENT)
        given = np.array([text == meaning.positive for text in texts.dictionary])[texts.codes] & known
    number, wanted = outputs.numbers.get("prediction"), _number(meaning.positive)
    if number is not None and not known.all():
        there = _there(number) & ~known
        given, known = given | (there & (number.values == wanted)), known | there
    score = outputs.numbers.get(f"score:{meaning.positive}") or outputs.numbers.get("score")
    if score is not None and meaning.threshold == meaning.threshold and not known.all():
        there = _there(score) & ~known
        given, known = given | (there & (score.values >= meaning.threshold)), known | there
    return np.asarray(known * np.int64(2) + given)


def _there(column: Numbers) -> Bools:
    there = ~np.isnan(column.values)
    return there if column.state is None else there & (column.state == PRESENT)


def selected_pairs(pairs: Pairs, meaning: Meaning) -> tuple[Bools, Bools]:
    """Likewise of joined pairs."""
    known = pairs.predicted_class >= 0
    given = known & (pairs.predicted_class == _place(pairs.classes, meaning.positive))
    if meaning.threshold == meaning.threshold and not known.all():
        score = pairs.score(meaning.positive)
        there = ~known & ~np.isnan(score)
        given, known = given | (there & (score >= meaning.threshold)), known | there
    return given, known


def _summed(code: Ints, values: Floats, size: int) -> Floats:
    found: Floats = np.bincount(code, values, size * 4).astype(np.float64)
    return found[: size * 4].reshape(size, 2, 2)


def _add_rate(sums: Floats, weight: Floats, squares: Floats) -> None:
    """sums: (places, SUMS); weight, squares: (places, 2), of x = 0 and of x = 1. Then Σwx² = Σwx."""
    sums[:, 0] += weight.sum(axis=1)
    sums[:, 1] += squares.sum(axis=1)
    sums[:, 2] += weight[:, 1]
    sums[:, 3] += weight[:, 1]


def _place(classes: Sequence[str], positive: str) -> int:
    """-2: no label so far was that one."""
    return classes.index(positive) if positive in classes else -2


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
