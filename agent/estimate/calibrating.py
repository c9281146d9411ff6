"""The section "calibration" of a reference: made from its rows with a score and a label, and read again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import CorruptError
from agent.estimate import SECTIONS
from agent.estimate.calibration import (
    BINS,
    CLASS_BINS,
    GROUPS_MAX,
    THRESHOLD,
    Calibration,
    edges_of,
    errors_of,
    rates_of,
    replicas_of,
)
from agent.estimate.expected import ACCURACY, AUC, row_values
from agent.estimate.held import HeldRows
from agent.estimate.spread import Past
from agent.packed import pack, unpack
from agent.records import Floats, Ints, Task
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.profile import Reference

KEY = SECTIONS[0]
ROWS_MAX = 400_000  # held while building: 10 MB
ROWS_MIN = 500  # with a label; fewer say too little of a score
CLASSES_MAX = 50  # predicted ones; further ones are not estimated


class Calibrating:
    """Builds it. See `agent/reference/labelled.py`."""

    key = KEY

    def __init__(self, settled: Settled) -> None:
        self._settled = settled
        self._held = HeldRows(ROWS_MAX)
        self._classes: list[str] = []
        self._notes: list[str] = []

    def add(self, rows: LabelledRows) -> None:
        pairs = rows.pairs
        if self._settled.task not in (Task.BINARY, Task.MULTICLASS):
            return
        self._classes = list(pairs.classes)  # grows; a place never changes
        score = pairs.score(self._settled.positive)
        usable = np.flatnonzero(np.isfinite(score) & (pairs.actual_class >= 0))
        columns: dict[str, npt.NDArray[Any]] = {
            "score": score[usable], "said": pairs.predicted_class[usable], "actual": pairs.actual_class[usable],
            "position": rows.position[usable].astype(np.int32),
        }  # fmt: skip
        self._held.add(rows.numbers[usable], columns)

    def finish(self) -> bytes:
        made = self._made()
        return b"" if made is None else to_bytes(made)

    def notes(self) -> Sequence[str]:
        return self._notes

    def _made(self) -> Calibration | None:
        task, positive = self._settled.task, self._settled.positive
        if task not in (Task.BINARY, Task.MULTICLASS):
            return None
        held = self._held.columns()
        if not held or len(held["score"]) < ROWS_MIN:
            few = f"{len(held['score']) if held else 0} rows have a score and a label, {ROWS_MIN} are needed"
            self._notes.append(f"performance cannot be estimated from scores before labels come: {few} (--score)")
            return None
        binary = task is Task.BINARY
        if binary and positive not in self._classes:
            self._notes.append(f"performance cannot be estimated from scores: no label is {positive!r} (--positive)")
            return None
        threshold = math.nan
        if binary and (held["said"] < 0).all():
            threshold = THRESHOLD
            held["said"] = np.where(held["score"] >= threshold, self._classes.index(positive), -2).astype(np.int32)
            self._notes.append(f"no --prediction: scores from {THRESHOLD} on are taken as {positive!r}")
        classes = self._named(positive) if binary else self._predicted(held["said"])
        said, actual = (_coded(held[name], self._classes, classes, binary) for name in ("said", "actual"))
        known = (said >= 0) & (actual >= 0 if binary else held["actual"] >= 0)
        position = held["position"][known].astype(np.int64)
        return make(classes, positive if binary else "", threshold, held["score"][known], said[known], actual[known],
                    (position, self._settled.blocks))  # fmt: skip

    def _named(self, positive: str) -> tuple[str, ...]:
        others = [name for name in self._settled.classes if name != positive]
        return (others[0] if len(others) == 1 else f"not {positive}", positive)

    def _predicted(self, said: Ints) -> tuple[str, ...]:
        """The most frequently predicted classes."""
        counts = np.bincount(said[said >= 0], minlength=len(self._classes))
        order = np.argsort(-counts, kind="stable")[:CLASSES_MAX]
        return tuple(sorted(self._classes[i] for i in order.tolist() if counts[i]))


def _coded(places: Ints, names: Sequence[str], classes: Sequence[str], binary: bool) -> Ints:
    """int64 (rows,): places among `names` as places among `classes`, -1 where there is none."""
    index = {name: i for i, name in enumerate(classes)}
    table = [index.get(name, 0 if binary else -1) for name in names]
    coded = np.array([*table, -1], dtype=np.int64)[np.maximum(places, -1)]
    return np.where(places == -2, 0, coded)  # below the threshold


def make(classes: tuple[str, ...], positive: str, threshold: float, scores: Floats, said: Ints, actual: Ints,
         blocks: tuple[Ints, int]) -> Calibration:  # fmt: skip
    """The calibration of these rows. said, actual: places in classes, actual -1 for one never predicted; blocks: the
    window of each row, and how many there are."""
    binary = bool(positive)
    edges = edges_of(scores, BINS if binary else CLASS_BINS)
    position, number = blocks
    size, bins = len(classes), len(edges) + 1
    place = said * bins + np.searchsorted(edges, scores, side="right")
    hit = said == actual
    groups = min(number, GROUPS_MAX)
    counted = [_by_part(place[of], (position[of] * groups) // number, groups, size * bins) for of in (hit, ~hit)]
    right, wrong = (found.reshape(groups, size, bins) for found in counted)
    confusion = np.zeros((size, size))
    np.add.at(confusion, (said[actual >= 0], actual[actual >= 0]), 1.0)
    counts = (right + wrong).sum(axis=0)
    found = Calibration(
        edges, classes, positive, threshold, rates_of(right.sum(axis=0), wrong.sum(axis=0), binary),
        replicas_of(right, wrong, binary), errors_of(confusion), counts, Past((), np.zeros((0, 0)), np.zeros(0),
        np.zeros(0)),
    )  # fmt: skip
    return _with_past(found, place, position, number)


def _by_part(place: Ints, part: Ints, parts: int, size: int) -> Floats:
    return np.bincount(part * size + place, minlength=parts * size).astype(np.float64)


def _with_past(found: Calibration, place: Ints, position: Ints, number: int) -> Calibration:
    """With what would have been estimated of each of the reference's windows."""
    values = row_values(found, found.counts)
    rows = np.bincount(position, minlength=number).astype(np.float64)
    means, variances = [], []
    for of in values.values():
        own = of.ravel()[place]
        means.append(np.bincount(position, weights=own, minlength=number) / np.maximum(rows, 1.0))
        variances.append(float(own.var()))
    past = Past(tuple(values), np.array(means).T.copy(), rows, np.array(variances))
    return Calibration(found.edges, found.classes, found.positive, found.threshold, found.rates, found.replicas,
                       found.errors, found.counts, past)  # fmt: skip


def to_bytes(found: Calibration) -> bytes:
    head = {"format": 1, "classes": found.classes, "positive": found.positive, "metrics": found.past.metrics,
            "threshold": None if math.isnan(found.threshold) else found.threshold}  # fmt: skip
    return pack(head, {
        "edges": found.edges, "rates": found.rates, "replicas": found.replicas, "errors": found.errors,
        "counts": found.counts, "values": found.past.values, "rows": found.past.rows, "variance": found.past.variance,
    }, level=6)  # fmt: skip


def from_bytes(stored: bytes) -> Calibration:
    """Raises CorruptError."""
    head, arrays = unpack(stored, f"reference: section {KEY}")
    try:
        if head["format"] != 1:
            raise ValueError(f"format {head['format']}")
        threshold = math.nan if head["threshold"] is None else float(head["threshold"])
        past = Past(tuple(head["metrics"]), arrays["values"], arrays["rows"], arrays["variance"])
        found = Calibration(arrays["edges"], tuple(head["classes"]), str(head["positive"]), threshold, arrays["rates"],
                            arrays["replicas"], arrays["errors"], arrays["counts"], past)  # fmt: skip
        _check(found)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"reference: section {KEY}: {error}") from error
    return found


def _check(found: Calibration) -> None:
    size, shape = len(found.classes), (len(found.classes), len(found.edges) + 1)
    metrics, blocks = len(found.past.metrics), len(found.past.rows)
    fits = (
        found.rates.shape == found.counts.shape == found.replicas.shape[1:] == shape
        and found.errors.shape == (size, size)
        and found.past.values.shape == (blocks, metrics)
        and found.past.variance.shape == (metrics,)
        and set(found.past.metrics) <= {ACCURACY, AUC}
        and (size == 2 if found.positive else size > 0)
    )
    if not fits or not (np.diff(found.edges) > 0).all() or not np.isfinite(found.edges).all():
        raise ValueError("its parts do not fit")
    if not all(((r >= 0) & (r <= 1)).all() for r in (found.rates, found.replicas, found.errors)):
        raise ValueError("a rate beyond 0 to 1")


def read(reference: Reference) -> Calibration | None:
    """None where the reference was built without scores and labels. Raises CorruptError."""
    stored = reference.section(KEY)
    return None if stored is None else from_bytes(stored)
