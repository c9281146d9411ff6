"""Joined pairs as a task sees them: what was true, what the model decided, what probability it gave to the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.performance.form import CLASSES_MAX, VALUE_MAX, Form
from agent.records import Bools, Cells, Floats, Ints, Pairs, Task

OTHER = CLASSES_MAX  # the place of every class beyond the first fifty
NOT = -1


@dataclass(frozen=True, slots=True)
class Seen:
    """Every array (rows,). actual, said: int32 places of the true and the predicted class, -1 where there is none; of a
    binary task 1 is the positive one. right: whether both are the same class, also where they share a place. score: of
    a binary task the positive class's, of a multiclass one the true class's, NaN none. predicted, true: numbers, NaN
    none. position: of a ranked item, 0 none; lists: int64, which list it is of."""

    weights: Floats
    actual: Cells
    said: Cells
    right: Bools
    score: Floats
    predicted: Floats
    true: Floats
    position: Cells
    lists: Ints


@dataclass(frozen=True, slots=True)
class ClassPlaces:
    """The classes of a multiclass model, the first 50 in the order they came: a place is never another's."""

    names: list[str]

    def of(self, classes: Sequence[str]) -> Cells:
        """int32 (classes + 1,): the place of each; the last entry is that of -1."""
        return self.among(classes, np.arange(len(classes), dtype=np.int32))

    def among(self, classes: Sequence[str], *codes: Cells) -> Cells:
        """Likewise, but only of the classes that come in one of the columns `codes`, in the order of the rows: however
        the rows are cut into messages, places are the same. All others have -1."""
        both = np.stack(codes, axis=1).ravel()
        used, first = np.unique(both, return_index=True)
        table = np.full(len(classes) + 1, NOT, dtype=np.int32)
        known = {name: i for i, name in enumerate(self.names)}
        for code in used[np.argsort(first)].tolist():
            if code >= 0:
                table[code] = self._place(classes[code], known)
        return table

    def _place(self, name: str, known: dict[str, int]) -> int:
        place = known.get(name, OTHER)
        if place == OTHER and len(self.names) < CLASSES_MAX:
            place = known[name] = len(self.names)
            self.names.append(name)
        return place


def see(form: Form, pairs: Pairs, places: ClassPlaces) -> Seen:
    """The pairs by the task's eyes. places: grows with the classes of a multiclass task."""
    rows = pairs.rows
    nothing = np.full(rows, NOT, dtype=np.int32)
    actual, said, score = nothing, nothing, np.full(rows, np.nan)
    right = np.zeros(rows, dtype=np.bool_)
    if form.task is Task.BINARY:
        actual, said, score = _binary(form, pairs)
        right = actual == said
    elif form.task is Task.MULTICLASS:
        classes, decided = _decided(pairs)
        table = places.among(classes, pairs.actual_class, decided)
        actual, said, score = table[pairs.actual_class], table[decided], _of_true_class(pairs)
        right = pairs.actual_class == decided
    elif form.task is Task.RANKING:
        actual = _clicked(form, pairs)
    position = np.zeros(rows, dtype=np.int32) if pairs.position is None else pairs.position
    keys = np.where(pairs.ids != 0, pairs.ids, pairs.request_ids)  # of a ranking a request's is that of one item
    lists = np.unique(keys, return_inverse=True)[1] if form.task is Task.RANKING else np.zeros(rows, dtype=np.int64)
    score = np.where(np.isfinite(score), score, np.nan)
    return Seen(
        pairs.weights, actual, said, right, score, _bounded(pairs.predicted), _bounded(pairs.actual), position, lists
    )


def _bounded(values: Floats) -> Floats:
    """Numbers whose powers can be added up; NaN for all others."""
    return np.where(np.abs(values) <= VALUE_MAX, values, np.nan)


def _binary(form: Form, pairs: Pairs) -> tuple[Cells, Cells, Floats]:
    """The model's own decision where it gave one, else its score against the threshold, where that is known."""
    positive = list(pairs.classes).index(form.positive) if form.positive in pairs.classes else -2
    actual = np.where(pairs.actual_class < 0, NOT, pairs.actual_class == positive)
    score = pairs.score(form.positive)
    by_score = np.where(np.isnan(score) | np.isnan(form.threshold), NOT, score >= form.threshold)
    said = np.where(pairs.predicted_class < 0, by_score, pairs.predicted_class == positive)
    return actual.astype(np.int32), said.astype(np.int32), score


def _decided(pairs: Pairs) -> tuple[Sequence[str], Cells]:
    """Classes, and the one predicted of each row: what the model said, else the one with the highest score."""
    silent = pairs.predicted_class < 0
    names = [k for k, name in enumerate(pairs.score_names) if name]
    if len(names) < 2 or not silent.any():
        return pairs.classes, pairs.predicted_class
    scores = np.nan_to_num(pairs.scores[:, names], nan=-np.inf)
    classes = [*pairs.classes, *(pairs.score_names[k] for k in names if pairs.score_names[k] not in pairs.classes)]
    table = np.array([classes.index(pairs.score_names[k]) for k in names], dtype=np.int32)
    highest = np.where(np.isfinite(scores.max(axis=1)), table[scores.argmax(axis=1)], np.int32(NOT))
    return classes, np.where(silent, highest, pairs.predicted_class).astype(np.int32)


def _of_true_class(pairs: Pairs) -> Floats:
    columns = {name: i for i, name in enumerate(pairs.score_names)}
    table = np.array([*(columns.get(name, NOT) for name in pairs.classes), NOT], dtype=np.int64)
    column = table[pairs.actual_class]
    if not pairs.score_names:
        return np.full(pairs.rows, np.nan)
    return np.where(column >= 0, pairs.scores[np.arange(pairs.rows), column], np.nan)


def _clicked(form: Form, pairs: Pairs) -> Cells:
    """1 where the item was clicked: the positive label, or a number above zero."""
    positive = list(pairs.classes).index(form.positive) if form.positive in pairs.classes else -2
    by_number = np.where(np.isnan(pairs.actual), NOT, pairs.actual > 0)
    return np.where(form.positive != "", pairs.actual_class == positive, by_number).astype(np.int32)
