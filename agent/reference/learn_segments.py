"""Counts by segment while a reference is learned from traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.bins import Layout
from agent.records import Batch, Cells
from agent.reference.by_segment import ROWS_MIN, VALUES_MAX, BySegment, SegmentCounts, choose_runs, pack

CELLS_MAX = 250_000  # of all values and windows together: a megabyte, which every checkpoint writes


@dataclass(slots=True)
class Named:
    """Which values are counted. keys: of segments; values: as "key=value", more while there is room."""

    keys: tuple[str, ...] = ()
    values: list[str] = field(default_factory=list)

    def takes(self, name: str, cells: int) -> bool:
        """Whether the value is counted; begins it where there is room. cells: that a value takes over all windows."""
        if name in self.values:
            return True
        key = name.partition("=")[0]
        own = sum(known.partition("=")[0] == key for known in self.values)
        if own >= VALUES_MAX or (len(self.values) + 1) * max(cells, 1) > CELLS_MAX:
            return False
        self.values.append(name)
        return True


def count(held: dict[str, Cells], named: Named, batch: Batch, placed: Cells, layout: Layout, windows: int) -> None:
    """Adds a batch to one window's counts by segment. windows: how many are going to be learned from."""
    for key in named.keys:
        column = batch.segments.get(key)
        if column is None or key in batch.protected:
            continue
        for code in np.unique(column.codes if column.state is None else column.codes[column.state == 0]).tolist():
            name = f"{key}={column.dictionary[code]}"
            if not named.takes(name, layout.cells * windows):
                continue
            rows = column.codes == code if column.state is None else (column.codes == code) & (column.state == 0)
            own = np.bincount(placed[:, rows].ravel(), minlength=layout.cells).astype(np.int32)
            held[name] = held[name] + own if name in held else own


def finish(windows: Sequence[Mapping[str, Cells]], named: Named, protected: Sequence[str], layout: Layout) -> BySegment:
    """windows: in order of time. Values in the order of their rows, most first; few rows: no counts of their own."""
    runs, blank = choose_runs(len(windows)), np.zeros(layout.cells, dtype=np.int32)
    first = slice(0, layout.features[0].cells - 1) if layout.features else slice(0, 0)
    values = []
    keys = [key for key in named.keys if key not in protected]
    for name in named.values:
        counts = np.array([window.get(name, blank) for window in windows])
        rows = counts[:, first].sum(axis=1, dtype=np.int64)
        key, _, value = name.partition("=")
        if key not in keys:
            continue
        packed = b""
        if rows.sum() >= ROWS_MIN:
            packed = pack(np.array([counts.sum(axis=0), *(counts[a : a + n].sum(axis=0) for a, n in runs)]))
        values.append(SegmentCounts(key, value, rows, packed))
    order = sorted(values, key=lambda v: (keys.index(v.key), -int(v.rows.sum()), v.value))
    return BySegment(tuple(keys), runs, tuple(order))
