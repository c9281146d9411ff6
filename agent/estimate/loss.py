"""The section "loss" of a reference: how large the model's error is to be expected of a row, by its cells.

Direct loss estimation (NannyML 2023): the loss of rows with labels is learned from what is known without labels, the
features and the prediction. Of a regression: absolute, squared and relative errors; of a classifier without scores:
whether it is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import Layout
from agent.errors import CorruptError
from agent.estimate import SECTIONS
from agent.estimate.expected import ACCURACY, Estimate
from agent.estimate.held import HeldRows
from agent.estimate.spread import Past
from agent.estimate.trees import FOLDS, TREES_MAX, Trees, cross_fit, fit
from agent.packed import pack, unpack
from agent.records import Cells, Floats, Ints, Kind, Pairs, Source, Task
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.profile import Reference

KEY = SECTIONS[1]
ROWS_MIN = 1_000  # with a label; fewer teach trees little
ROWS_MAX = 60_000
ENTRIES_MAX = 12_000_000  # cells held while building: 24 MB
FIT_ENTRIES_MAX = 1_500_000  # cells that the trees are grown on: some half a minute
FEATURES_MAX = 24  # asked for by the trees: those that a first, shallow look finds to matter
FIRST_ROWS, FIRST_TREES, FIRST_DEPTH = 10_000, 24, 3
MAE, RMSE, MAPE = "mae", "rmse", "mape"
UNBOUNDED = frozenset({MAE, RMSE, MAPE})
ERROR_MAX = 1e50  # the square of its square is a number; more is none
FOLD_RUNS = 4  # each fold is so many runs of neighbouring windows


@dataclass(frozen=True, slots=True, eq=False)
class LossModel:
    """What trees expect of a row.

    metrics: by target, "mae", "rmse" (its target is the square), "mape", or "accuracy" (being wrong). features: int32,
    places in the layout, of what the trees ask. noise: (targets,), variance of one row's loss that the trees leave;
    between: (targets,), variance of windows that they leave beside it. explained: (targets,), share of the loss's
    variance that trees explain of rows they never saw. layout: hash of the layout whose cells these are. past: of the
    first target.
    """

    metrics: tuple[str, ...]
    features: Cells
    trees: Trees
    noise: Floats
    between: Floats
    explained: Floats
    layout: int
    past: Past

    def losses(self, layout: Layout, cells: Cells) -> Floats:
        """float64 (targets, rows) of placed cells (layout.sent, rows)."""
        own = cells[self.features] - layout.starts[self.features, None]
        return self.trees.values(own.astype(np.int32))

    def estimates(self, means: Floats, rows: float) -> dict[str, Estimate]:
        """means: (targets,), of the losses expected of `rows` (effective) rows."""
        found = {}
        for k, metric in enumerate(self.metrics):
            variance = float(self.noise[k] / rows + self.between[k])
            value = max(float(means[k]), 0.0)
            if metric == RMSE:
                value, variance = np.sqrt(value), variance / max(4.0 * value, 1e-300)
            found[metric] = Estimate(1.0 - value if metric == ACCURACY else float(value), float(np.sqrt(variance)))
        return found


def losses_of(pairs: Pairs, task: Task) -> tuple[tuple[str, ...], Floats]:
    """Metrics and (targets, rows) losses of joined pairs; NaN where a pair lacks its truth or prediction."""
    if task is Task.REGRESSION:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            error = np.abs(pairs.predicted - pairs.actual)
            error = np.where(error < ERROR_MAX, error, np.nan)
            relative = error / np.abs(pairs.actual)
        return (MAE, RMSE, MAPE), np.stack((error, error**2, relative))
    known = (pairs.predicted_class >= 0) & (pairs.actual_class >= 0)
    wrong = np.where(known, pairs.predicted_class != pairs.actual_class, np.nan)
    return (ACCURACY,), wrong[None].astype(np.float64)


class Losing:
    """Builds it. See `agent/reference/labelled.py`."""

    key = KEY

    def __init__(self, settled: Settled) -> None:
        self._settled = settled
        layout = settled.layout
        self._features = np.array(
            [i for i in range(layout.sent) if _tells(layout, i) and not layout.features[i].ignored], dtype=np.int32
        )
        self._held = HeldRows(min(ROWS_MAX, ENTRIES_MAX // max(len(self._features), 1)))
        self._metrics: tuple[str, ...] = ()
        self._scored = False
        self._notes: list[str] = []

    def add(self, rows: LabelledRows) -> None:
        self._metrics, losses = losses_of(rows.pairs, self._settled.task)
        if self._settled.task is not Task.REGRESSION:
            self._scored = self._scored or bool(np.isfinite(rows.pairs.scores).any())
            if self._scored:  # the calibration tells more
                return
        usable = np.flatnonzero(np.isfinite(losses[0]))
        own = rows.cells[self._features][:, usable] - self._settled.layout.starts[self._features, None]
        self._held.add(rows.numbers[usable], {
            "losses": losses[:, usable], "cells": own.astype(np.int16 if own.size and own.max() < 32_768 else np.int32),
            "position": rows.position[usable],
        })  # fmt: skip

    def finish(self) -> bytes:
        task, held = self._settled.task, self._held.columns()
        wanted = task is Task.REGRESSION or (task in (Task.BINARY, Task.MULTICLASS) and not self._scored)
        if not wanted or not len(self._features):
            return b""
        rows = held["losses"].shape[1] if held else 0
        if rows < ROWS_MIN:
            few = f"{rows} rows have a prediction and a label, {ROWS_MIN} are needed"
            self._notes.append(f"errors cannot be estimated before labels come: {few} (--prediction)")
            return b""
        metrics, losses = self._metrics, held["losses"]
        if metrics[-1] == MAPE and not np.isfinite(losses[-1]).all():  # a true value of 0
            metrics, losses = metrics[:-1], losses[:-1]
        made = make(self._settled.layout, metrics, self._features, held["cells"], losses, held["position"],
                    self._settled.blocks)  # fmt: skip
        return to_bytes(made)

    def notes(self) -> Sequence[str]:
        return self._notes


def _tells(layout: Layout, i: int) -> bool:
    feature = layout.features[i]
    return feature.source in (Source.FEATURE, Source.PREDICTION, Source.SCORE) and feature.kind is not Kind.VECTOR


def make(layout: Layout, metrics: tuple[str, ...], features: Cells, cells: Cells, losses: Floats, position: Ints,
         blocks: int) -> LossModel:  # fmt: skip
    """cells: (features, rows), from each feature's first; losses: (targets, rows); position: the window of each row."""
    chosen = matter(cells[:, :: -(-cells.shape[1] // FIRST_ROWS)], losses[:, :: -(-cells.shape[1] // FIRST_ROWS)])
    step = -(-cells.shape[1] * len(chosen) // FIT_ENTRIES_MAX)
    taken = slice(None, None, step)
    own = cells[chosen][:, taken].astype(np.int32)
    losses, position = losses[:, taken], position[taken]
    fold = (position * FOLDS * FOLD_RUNS // blocks) % FOLDS
    if len(np.unique(fold)) < FOLDS:  # windows too few to leave some out
        fold = np.arange(len(position)) % FOLDS
    trees, unseen = cross_fit(own, losses, fold.astype(np.int32))
    left = losses - unseen
    noise = np.square(left).mean(axis=1)
    fitted = trees.values(own)
    rows = np.bincount(position, minlength=blocks).astype(np.float64)
    mean = np.bincount(position, weights=fitted[0], minlength=blocks) / np.maximum(rows, 1.0)
    sign = -1.0 if metrics[0] == ACCURACY else 1.0
    past = Past((metrics[0],), (sign * mean + (sign < 0))[:, None], rows, fitted[:1].var(axis=1))
    explained = 1.0 - noise / np.maximum(losses.var(axis=1), 1e-300)
    return LossModel(metrics, features[chosen].astype(np.int32), trees, noise, _between(left, position, rows),
                     explained, layout.hash, past)  # fmt: skip


def matter(cells: Cells, losses: Floats) -> Ints:
    """Rising places of at most FEATURES_MAX features: those that some small trees ask for most."""
    if len(cells) <= FEATURES_MAX:
        return np.arange(len(cells), dtype=np.int64)
    asked = fit(cells.astype(np.int32), losses, FIRST_TREES, FIRST_DEPTH).features
    counts = np.bincount(asked.ravel(), minlength=len(cells))
    order = np.argsort(-counts, kind="stable")[:FEATURES_MAX]
    return np.sort(order[counts[order] > 0])


def _between(left: Floats, position: Ints, rows: Floats) -> Floats:
    """(targets,): variance of windows' mean losses beside what chance in single rows gives, by moments."""
    there = rows > 1
    if np.count_nonzero(there) < 2:
        return np.zeros(len(left))
    found = []
    for own in left:
        mean = np.bincount(position, weights=own, minlength=len(rows))[there] / rows[there]
        found.append(max(float(np.mean(mean**2 - own.var() / rows[there])), 0.0))
    return np.array(found)


def to_bytes(found: LossModel) -> bytes:
    head = {"format": 1, "metrics": found.metrics, "layout": f"{found.layout:016x}", "judged": found.past.metrics}
    return pack(head, {
        "features": found.features, "start": found.trees.start, "asked": found.trees.features,
        "above": found.trees.cells, "leaves": found.trees.leaves, "noise": found.noise, "between": found.between,
        "explained": found.explained, "values": found.past.values, "rows": found.past.rows,
        "variance": found.past.variance,
    }, level=6)  # fmt: skip


def from_bytes(stored: bytes) -> LossModel:
    """Raises CorruptError."""
    head, a = unpack(stored, f"reference: section {KEY}")
    try:
        if head["format"] != 1:
            raise ValueError(f"format {head['format']}")
        trees = Trees(a["start"], a["asked"], a["above"], a["leaves"])
        past = Past(tuple(head["judged"]), a["values"], a["rows"], a["variance"])
        found = LossModel(tuple(head["metrics"]), a["features"], trees, a["noise"], a["between"], a["explained"],
                          int(head["layout"], 16), past)  # fmt: skip
        _check(found)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CorruptError(f"reference: section {KEY}: {error}") from error
    return found


def _check(found: LossModel) -> None:
    targets, trees = (len(found.metrics),), found.trees
    number, depth = trees.features.shape
    fits = (
        targets[0] > 0
        and set(found.metrics) <= {MAE, RMSE, MAPE, ACCURACY}
        and found.noise.shape == found.between.shape == found.explained.shape == trees.start.shape == targets
        and trees.cells.shape == (number, depth)
        and number <= TREES_MAX
        and 1 <= depth <= 8
        and trees.leaves.shape == (number, targets[0], 1 << depth)
        and found.past.metrics == found.metrics[:1]
        and found.past.values.shape == (len(found.past.rows), 1)
        and found.past.variance.shape == (1,)
        and ((trees.features >= 0) & (trees.features < len(found.features))).all()
        and (found.features >= 0).all()
        and all(np.isfinite(part).all() for part in (trees.leaves, trees.start, found.noise, found.between))
    )
    if not fits:
        raise ValueError("its parts do not fit")


def read(reference: Reference) -> LossModel | None:
    """None where the reference has none. Raises CorruptError, also where it is of other bins."""
    stored = reference.section(KEY)
    if stored is None:
        return None
    found = from_bytes(stored)
    if found.layout != reference.layout.hash or (found.features >= reference.layout.sent).any():
        raise CorruptError(f"reference: section {KEY} is of another layout")
    return found
