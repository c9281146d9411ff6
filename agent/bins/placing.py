"""Values of one feature to cells, and what a batch becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.bins.feature import (
    ABSENT_CELL,
    FRACTIONAL_CELL,
    INF_CELL,
    MISMATCH_CELL,
    NAN_CELL,
    NEGATIVE_INF_CELL,
    NULL_CELL,
    Feature,
    text_cells,
)
from agent.bins.projections import Singles, VectorProjection, finite
from agent.records import ABSENT, NULL, PRESENT, Batch, Bools, Cells, Columns, Floats, Ints, Kind, Source

Taken = slice | Ints  # rows of a batch
EVERY_ROW = slice(None)


@dataclass(frozen=True, slots=True)
class Computed:
    """What one projection gave. rows: (taken,) those of the batch it was computed of; cells: int32 (parts, taken)."""

    rows: Ints
    cells: Cells


@dataclass(frozen=True, slots=True)
class Placed:
    """cells: int32 (features that are sent, rows); extra: further cells to count (fractional numbers), or None."""

    cells: Cells
    extra: Cells | None = field(default=None)
    computed: tuple[Computed, ...] = ()

    def count(self, size: int, rows: np.ndarray | None = None) -> Ints:
        """int64 (size,): how many values lie in each cell; `rows` selects some of them (boolean mask or indices), and
        leaves out what cannot be told apart by row or is counted of a sample."""
        chosen = self.cells if rows is None else self.cells[:, rows]
        counts = np.bincount(chosen.ravel(), minlength=size)
        if rows is None:
            if self.extra is not None:
                counts += np.bincount(self.extra, minlength=size)
            for own in self.computed:
                counts += np.bincount(own.cells.ravel(), minlength=size)
        return counts


def place(feature: Feature, columns: Columns, start: int, out: Cells, extra: list[Cells], batch: Batch) -> None:
    special = start + feature.bins
    if feature.source is Source.LATENCY:
        _place_latency(feature, start, out, batch)
        return
    own = _own_column(feature, columns)
    if own is None:
        out.fill(special + ABSENT_CELL)
        state = None
    else:
        state = own.state
        if feature.kind is Kind.NUMBER:
            _place_numbers(feature, own.values, state, start, out, extra)
        elif feature.kind is Kind.TEXT:
            table = np.array([start + c for c in text_cells(feature, own.dictionary)], dtype=np.int32)
            if table.size:
                np.take(table, own.codes, out=out, mode="clip")
            else:
                out.fill(special + ABSENT_CELL)
        elif feature.kind is Kind.FLAG:
            np.add(own.values, start, out=out, casting="unsafe")
        else:
            _place_vectors(feature, own.values, state, start, out)
        if state is None:
            return
        out[state == NULL] = special + NULL_CELL
        out[state == ABSENT] = special + ABSENT_CELL
    # Rows where the feature's own type is absent may carry it in another: a type mismatch, or a null said there.
    for other in _other_columns(feature, columns):
        present = np.ones(batch.rows, dtype=bool) if other.state is None else other.state != ABSENT
        if state is not None:
            present = present & (state == ABSENT)
        is_null = np.zeros(batch.rows, dtype=bool) if other.state is None else other.state == NULL
        out[present & ~is_null] = special + MISMATCH_CELL
        out[present & is_null] = special + NULL_CELL


def full_numbers(feature: Feature, columns: Columns, batch: Batch) -> Floats | None:
    """The values of a numeric feature that every row has, else None."""
    if feature.source is Source.LATENCY:
        return batch.latency
    found = columns.numbers.get(feature.name)
    return None if found is None or found.state is not None else found.values


def _own_column(feature: Feature, columns: Columns) -> Any:
    if feature.kind is Kind.NUMBER:
        return columns.numbers.get(feature.name)
    if feature.kind is Kind.TEXT:
        return columns.texts.get(feature.name)
    return columns.flags.get(feature.name) if feature.kind is Kind.FLAG else columns.vectors.get(feature.name)


def _other_columns(feature: Feature, columns: Columns) -> list[Any]:
    by_kind = {
        Kind.NUMBER: columns.numbers,
        Kind.TEXT: columns.texts,
        Kind.FLAG: columns.flags,
        Kind.VECTOR: columns.vectors,
    }
    return [
        found[feature.name] for kind, found in by_kind.items() if kind is not feature.kind and feature.name in found
    ]


def _place_numbers(
    feature: Feature, values: Floats, state: Any, start: int, out: Cells, extra: list[Cells]
) -> None:  # fmt: skip
    found = np.searchsorted(feature.split, values, side="right")
    np.add(found, start, out=out, casting="unsafe")
    special = start + feature.bins
    finite = np.isfinite(values)
    if not finite.all():
        place_not_finite(values, special, out)
    if feature.integral:  # what stands where a value is null or absent is nobody's
        count_fractional(values, finite if state is None else finite & (state == PRESENT), special, extra)


def _place_vectors(feature: Feature, values: Singles, state: Any, start: int, out: Cells) -> None:
    special = start + feature.bins
    out.fill(start if feature.bins else special + NULL_CELL)
    if not feature.bins:
        return
    if feature.size and values.shape[1] != feature.size:
        out.fill(special + MISMATCH_CELL)
        return
    _, whole = finite(values)
    if whole is None:
        return
    broken = np.flatnonzero(~whole)
    some = values[broken]
    out[broken[(some == -np.inf).any(axis=1)]] = special + NEGATIVE_INF_CELL
    out[broken[(some == np.inf).any(axis=1)]] = special + INF_CELL
    out[broken[np.isnan(some).any(axis=1)]] = special + NAN_CELL


def vectors_of(projection: VectorProjection, batch: Batch, taken: Taken) -> tuple[Singles, Bools | None]:
    """The taken rows' vectors, and which of them can be projected (None: all)."""
    found = batch.features.vectors.get(projection.name)
    if found is None or found.values.shape[1] != projection.size:
        nothing = np.zeros(len(np.arange(batch.rows)[taken]), dtype=bool)
        return np.zeros((len(nothing), projection.size), np.float32), nothing
    values, there = finite(found.values[taken])
    if found.state is not None:
        present = found.state[taken] == PRESENT
        there = present if there is None else there & present
    return values, there


def place_not_finite(values: Floats, special: int, out: Cells) -> None:
    out[np.isnan(values)] = special + NAN_CELL
    out[values == np.inf] = special + INF_CELL
    out[values == -np.inf] = special + NEGATIVE_INF_CELL


def count_fractional(values: Floats, finite: Bools, special: int, extra: list[Cells]) -> None:
    broken = int(np.count_nonzero(finite & (values != np.rint(values))))
    if broken:
        extra.append(np.full(broken, special + FRACTIONAL_CELL, dtype=np.int32))


def _place_latency(feature: Feature, start: int, out: Cells, batch: Batch) -> None:
    if batch.latency is None:
        out.fill(start + feature.bins + ABSENT_CELL)
        return
    np.add(np.searchsorted(feature.split, batch.latency, side="right"), start, out=out, casting="unsafe")
    out[~np.isfinite(batch.latency)] = start + feature.bins + ABSENT_CELL
