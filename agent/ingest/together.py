"""Messages of columns that wait at the same time are counted as one batch: numpy costs more per call than per value.

Only what differs in nothing but its values is put together, and in the order in which it came, so that counts, samples
and findings are those of one message after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.ingest import words
from agent.ingest.casts import Cast, batch_of
from agent.records import PRESENT, Batch, Columns, Texts

TOGETHER_ROWS = 2_048  # records in columns cost so little each that calls weigh up to here
TOGETHER_VALUES = 24 * TOGETHER_ROWS  # of wide models fewer rows: counting them is one stretch of the loop, some 2 ms
TOGETHER_BYTES = 1 << 20  # of messages that wait for company, and of vectors that are copied for it
APART_NS = 1_000_000_000  # between the first one's arrival and the last one's: a replay has hours at once
Named = Mapping[str, Any]  # columns of one type
_ARRAYS = ("latency", "errors", "weights", "ids", "request_ids")  # of a batch, each there or None


class Together:
    """Batches of one version, one window and one shape, on their way to the counting."""

    __slots__ = ("_bytes", "_index", "_rows_max", "batches", "rows")

    def __init__(self, batch: Batch | Cast, window_ns: int) -> None:
        self.batches, self.rows, self._bytes = [batch], batch.rows, _size(batch)
        self._rows_max = min(TOGETHER_ROWS, TOGETHER_VALUES // max(1, _width(batch)))
        self._index = batch.arrived_ns // window_ns

    def takes(self, batch: Batch | Cast, window_ns: int) -> bool:
        """Whether this one may be counted with them; then it will be."""
        first, rows, size = self.batches[0], self.rows + batch.rows, self._bytes + _size(batch)
        if rows > self._rows_max or size > TOGETHER_BYTES or batch.arrived_ns - first.arrived_ns >= APART_NS:
            return False
        if batch.arrived_ns // window_ns != self._index or not _alike(first, batch):
            return False
        self.batches.append(batch)
        self.rows, self._bytes = rows, size
        return True

    def batch(self) -> Batch:
        """All of them as one."""
        casts = [batch for batch in self.batches if isinstance(batch, Cast)]
        if len(casts) == len(self.batches):
            return batch_of(casts)
        batches = [batch.batch() if isinstance(batch, Cast) else batch for batch in self.batches]
        return batches[0] if len(batches) == 1 else _joined(batches, self.rows)


def plain(batch: Batch | Cast) -> bool:
    """Whether it may be counted with others: without what is of another length than the rows (items) or not arrays
    (traces), and with times of its own, for without them rows have that of their message."""
    if isinstance(batch, Cast):
        return "times" in batch.mould.arrays
    return batch.rows > 0 and batch.time_ns is not None and batch.items is None and not batch.traces


def _width(batch: Batch | Cast) -> int:
    """How many columns it has."""
    return (
        batch.mould.family.columns if isinstance(batch, Cast) else sum(map(len, (*_kinds(batch), batch.features.texts)))
    )


def _size(batch: Batch | Cast) -> int:
    """Bytes of its vectors: all else is small."""
    if isinstance(batch, Cast):
        return 0
    return sum([column.values.nbytes for column in batch.features.vectors.values()])


def _alike(one: Batch | Cast, other: Batch | Cast) -> bool:
    """Whether the two have the same columns in the same order, vectors of one size, and dictionaries that are the
    same or, of features, can be put together: which value of a segment came first is told by its dictionary."""
    if isinstance(one, Cast):
        return one.mould.family is other.mould.family if isinstance(other, Cast) else one.mould.has(other)
    if isinstance(other, Cast):
        return other.mould.has(one)
    if not _joinable(one.features.texts, other.features.texts):
        return False
    pairs = zip(_kinds(one), _kinds(other), strict=True)
    return all((getattr(one, name) is None) is (getattr(other, name) is None) for name in _ARRAYS) and all(
        list(mine) == list(its) and all(_fits(mine[name], its[name]) for name in mine) for mine, its in pairs
    )


def _joinable(one: Named, other: Named) -> bool:
    return list(one) == list(other) and all(
        words.joinable(own.dictionary, other[name].dictionary) for name, own in one.items()
    )


def _kinds(batch: Batch) -> tuple[Named, ...]:
    """Its columns but for the features' texts."""
    features, outputs = batch.features, batch.outputs
    own = (features.numbers, features.flags, features.vectors, outputs.numbers, outputs.texts)
    return (*own, batch.segments, batch.protected, batch.measures)


def _fits(one: Any, other: Any) -> bool:
    return (
        one.dictionary is other.dictionary if isinstance(one, Texts) else one.values.shape[1:] == other.values.shape[1:]
    )


def _joined(batches: list[Batch], rows: int) -> Batch:
    first = batches[0]
    return Batch(
        model=first.model,
        rows=rows,
        arrived_ns=first.arrived_ns,
        features=_all_kinds([batch.features for batch in batches]),
        outputs=_all_kinds([batch.outputs for batch in batches]),
        time_ns=_array(batches, "time_ns"),
        latency=_array(batches, "latency"),
        errors=_array(batches, "errors"),
        segments=_columns([batch.segments for batch in batches]),
        protected=_columns([batch.protected for batch in batches]),
        measures=_columns([batch.measures for batch in batches]),
        weights=_array(batches, "weights"),
        ids=_array(batches, "ids"),
        request_ids=_array(batches, "request_ids"),
        messages=tuple([(batch.rows, batch.arrived_ns) for batch in batches]),
    )


def _array(batches: list[Batch], name: str) -> Any:
    return None if getattr(batches[0], name) is None else np.concatenate([getattr(batch, name) for batch in batches])


def _all_kinds(parts: list[Columns]) -> Columns:
    return Columns(
        _columns([part.numbers for part in parts]),
        _columns([part.texts for part in parts]),
        _columns([part.flags for part in parts]),
        _columns([part.vectors for part in parts]),
    )


def _columns(parts: list[Named]) -> dict[str, Any]:
    return {name: _column([part[name] for part in parts]) for name in parts[0]}


def _column(parts: list[Any]) -> Any:
    first = parts[0]
    full = all(part.state is None for part in parts)
    state = None if full else np.concatenate([_state(part) for part in parts])
    if isinstance(first, Texts):
        return Texts(*words.joined([part.dictionary for part in parts], [part.codes for part in parts]), state)
    return type(first)(np.concatenate([part.values for part in parts]), state)


def _state(column: Any) -> Any:
    if column.state is not None:
        return column.state
    rows = len(column.codes if isinstance(column, Texts) else column.values)
    return np.full(rows, PRESENT, dtype=np.uint8)
