"""Counts by segment while a reference is learned from traffic: from the moment its bins are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.bins import Layout
from agent.records import Batch, Cells
from agent.reference.by_segment import ROWS_MIN, VALUES_MAX, BySegment, SegmentCounts, choose_runs, pack

CELLS_MAX = 250_000  # of all values and windows together: a megabyte, which every checkpoint writes


def count(
    held: dict[str, Cells], names: list[str], keys: Sequence[str], batch: Batch, placed: Cells, layout: Layout,
    windows: int,
) -> None:  # fmt: skip
    """Adds a batch to one window's counts by segment. names: values counted so far; grows while there is room."""
    for key in keys:
        column = batch.segments.get(key)
        if column is None:
            continue
        for code in np.unique(column.codes if column.state is None else column.codes[column.state == 0]).tolist():
            name = f"{key}={column.dictionary[code]}"
            if name not in names and not _room(names, key, layout.cells * windows):
                continue
            if name not in names:
                names.append(name)
            rows = column.codes == code if column.state is None else (column.codes == code) & (column.state == 0)
            own = np.bincount(placed[:, rows].ravel(), minlength=layout.cells).astype(np.int32)
            held[name] = held[name] + own if name in held else own


def finish(
    windows: Sequence[Mapping[str, Cells]], names: Sequence[str], keys: Sequence[str], layout: Layout
) -> BySegment:
    """windows: in order of time. Values in the order of their rows, most first; few rows: no counts of their own."""
    runs, blank = choose_runs(len(windows)), np.zeros(layout.cells, dtype=np.int32)
    first = slice(0, layout.features[0].cells - 1) if layout.features else slice(0, 0)
    values = []
    for name in names:
        counts = np.array([window.get(name, blank) for window in windows])
        rows = counts[:, first].sum(axis=1, dtype=np.int64)
        key, _, value = name.partition("=")
        packed = b""
        if rows.sum() >= ROWS_MIN:
            packed = pack(np.array([counts.sum(axis=0), *(counts[a : a + n].sum(axis=0) for a, n in runs)]))
        values.append(SegmentCounts(key, value, rows, packed))
    order = sorted(values, key=lambda v: (keys.index(v.key), -int(v.rows.sum()), v.value))
    return BySegment(tuple(keys), runs, tuple(order))


def _room(names: Sequence[str], key: str, cells: int) -> bool:
    own = sum(name.partition("=")[0] == key for name in names)
    return own < VALUES_MAX and (len(names) + 1) * max(cells, 1) <= CELLS_MAX
