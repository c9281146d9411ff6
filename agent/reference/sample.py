"""Whole rows of the training data from which directions are fitted, chosen by the hash of their number.

They are at most half of all rows, because they are not counted along the directions they gave: along the smallest ones
the rows that were fitted vary less than any others ever will, and traffic would look like drift beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from agent.records import Batch, Bools, Ints, Texts, select
from agent.reference.joined import joined
from agent.reference.survey import PIECES_MAX, row_hashes
from agent.reference.traffic import vector_entries, width

ROWS_MAX = 20_000  # directions need no more: their error is then under 1 % for 200 features
VALUES_MAX = 2_000_000  # numbers and texts held together: 16 MB
ENTRIES_MAX = 8_000_000  # of vectors: 32 MB


class RowsToFit:
    """At most ROWS_MAX rows, and half of all: the same ones whatever the size of the batches."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._hashes: list[np.ndarray] = []
        self._held = 0
        self._shift = 1  # half of all rows at most

    def add(self, first_row: int, batch: Batch) -> None:
        """Rows first_row, first_row + 1, … of the data."""
        hashes = row_hashes(first_row, batch.rows)
        chosen = np.flatnonzero(self._below(hashes))
        self.batches.append(_compact(select(batch, chosen)))
        self._hashes.append(hashes[chosen])
        self._held += len(chosen)
        while self._held > _bound(batch):
            self._halve()
        if len(self.batches) > PIECES_MAX:
            self._join()

    def holds(self, first_row: int, rows: int) -> Bools:
        """(rows,): which of these rows of the data were kept; asked when all have been added."""
        return self._below(row_hashes(first_row, rows))

    def _halve(self) -> None:
        self._shift += 1
        self._held = 0
        for i, hashes in enumerate(self._hashes):
            chosen = np.flatnonzero(self._below(hashes))
            self._hashes[i] = hashes[chosen]
            self.batches[i] = _compact(select(self.batches[i], chosen))
            self._held += len(chosen)

    def _join(self) -> None:
        """Of very long data each batch leaves a row or two, whose columns take more than their values."""
        self.batches = joined(self.batches)
        ends = np.cumsum([batch.rows for batch in self.batches])
        self._hashes = np.split(np.concatenate(self._hashes), ends[:-1])

    def _below(self, hashes: np.ndarray) -> Bools:
        return np.asarray(hashes >> np.uint64(64 - self._shift) == 0)


def _bound(batch: Batch) -> int:
    entries = vector_entries(batch)
    plain = width(batch) - entries
    return min(ROWS_MAX, VALUES_MAX // max(plain, 1), ENTRIES_MAX // max(entries, 1))


def _compact(batch: Batch) -> Batch:
    """With dictionaries of only the texts that its rows use."""
    return replace(
        batch,
        features=replace(batch.features, texts=_used(batch.features.texts)),
        outputs=replace(batch.outputs, texts=_used(batch.outputs.texts)),
    )


def _used(columns: Mapping[str, Texts]) -> dict[str, Texts]:
    found = {}
    for name, column in columns.items():
        used: Ints
        used, codes = np.unique(column.codes, return_inverse=True)
        texts = tuple(column.dictionary[code] for code in used.tolist()) if len(column.dictionary) else ()
        found[name] = Texts(texts, codes.astype(np.int32), column.state)
    return found
