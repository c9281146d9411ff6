"""Typed maps of many rows, and the columns they become. A field keeps one tuple a row, in the order of its names:
reading a protobuf map through an `itemgetter` costs a quarter of walking it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from agent.counting.fingerprints import identities
from agent.ingest.limits import Limits
from agent.ingest.row import too_many
from agent.records import ABSENT, PRESENT, Bools, Bytes, Flags, Items, Numbers, Texts, Vectors
from agent.wire import rows_pb2 as rows_wire

INT32_MAX = (1 << 31) - 1


class Field:
    """One typed map of the gathered rows: a tuple a row, entries in the order of `names`, None where the row lacks
    it."""

    __slots__ = ("_getter", "_kept", "before", "names", "ragged", "rows")

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.before = 0  # names known when the present message began: the limit is on what one message adds
        self._kept = 0  # names some kept row has, or was lent
        self.rows: list[tuple[Any, ...]] = []
        self.ragged = False  # some row lacks a name, or came before a name was known
        self._getter: Callable[[Any], tuple[Any, ...]] | None = None

    def read(self, mapping: Any, again: Callable[[], Any], limits: Limits) -> tuple[Any, ...]:
        """The map's values. `again` parses the map anew: asking a protobuf map for a key it lacks adds the key."""
        names, size = self.names, len(mapping)
        if size == len(names) and self._getter is not None:
            values = self._getter(mapping)
            if len(mapping) == size:
                return values
            mapping = again()
        fresh = [name for name in mapping if name not in names]
        if len(names) + len(fresh) > self.before + limits.features:
            raise too_many("features", f"over {limits.features} different names in one message", limits.features)
        if (len(names) + len(fresh)) * len(self.rows) > limits.cells:
            raise too_many("features", f"rows too different, over {limits.cells} cells", limits.cells)
        if fresh:
            self.ragged |= bool(self.rows)
            names.update(dict.fromkeys(fresh))
            self._getter = _getter(names)
        values = tuple([mapping.get(name) for name in names])  # unlike [], get adds nothing
        self.ragged |= len(mapping) < len(names)
        return values

    def known(self, mapping: Any) -> tuple[Any, ...] | None:
        """The values of a map as large as `names`. None where it has other names; then it has these too from now
        on."""
        if self._getter is None:
            return ()
        values = self._getter(mapping)
        return values if len(mapping) == len(self.names) else None

    def keep(self) -> None:
        """The names read so far stay."""
        self._kept = len(self.names)

    def forget(self) -> None:
        """Unlearns names that only a refused row had."""
        if len(self.names) > self._kept:
            while len(self.names) > self._kept:
                self.names.popitem()
            self._getter = _getter(self.names)

    def lend(self, other: Field) -> None:
        """Gives `other` the names known here."""
        if not self.ragged:  # names that come and go are learned anew
            other.names, other._getter = dict(self.names), self._getter
            other.before = other._kept = len(other.names)

    def crowded(self, limits: Limits) -> bool:
        """Whether further rows should begin without these names."""
        return len(self.names) > limits.features or len(self.names) * len(self.rows) > limits.cells // 2

    def columns(self) -> list[tuple[str, Sequence[Any]]]:
        """Values by name, None where a row lacks it."""
        width = len(self.names)
        rows = [r + (None,) * (width - len(r)) for r in self.rows] if self.ragged else self.rows
        return list(zip(self.names, zip(*rows, strict=True), strict=True)) if width and rows else []


def _getter(names: dict[str, None]) -> Callable[[Any], tuple[Any, ...]] | None:
    return itemgetter(*names) if len(names) > 1 else _single(next(iter(names))) if names else None


def _single(name: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda mapping: (mapping[name],)


def padded(fields: Field, rows: int) -> list[tuple[str, Sequence[Any]]]:
    if not fields.names:
        return []
    if len(fields.rows) < rows:
        fields.rows.extend([()] * (rows - len(fields.rows)))
        fields.ragged = True
    return fields.columns()


def number_columns(fields: Field, rows: int) -> dict[str, Numbers]:
    if not fields.names:
        return {}
    if not fields.ragged and len(fields.rows) == rows:
        matrix = np.ascontiguousarray(np.array(fields.rows, dtype=np.float64).reshape(rows, len(fields.names)).T)
        return {name: Numbers(matrix[i]) for i, name in enumerate(fields.names)}
    return {
        name: Numbers(np.array([0.0 if v is None else v for v in values], dtype=np.float64), state_of(values))
        for name, values in padded(fields, rows)
    }


def text_columns(fields: Field, rows: int) -> dict[str, Texts]:
    return {name: coded(values) for name, values in padded(fields, rows)}


def coded(values: Sequence[str | None]) -> Texts:
    index = {value: code for code, value in enumerate(dict.fromkeys(values))}
    codes = np.fromiter(map(index.__getitem__, values), dtype=np.int32, count=len(values))
    return Texts([v or "" for v in index], codes, state_of(values) if None in index else None)


def vector_columns(columns: list[tuple[str, Sequence[Any]]]) -> tuple[dict[str, Vectors], dict[str, Bools]]:
    """Vectors of the size that most of a name's have; and by name, (rows,), where others came."""
    found, misfits = {}, {}
    for name, values in columns:
        sizes = [len(v.values) for v in values if v is not None]
        size = max(set(sizes), key=sizes.count) if sizes else 1
        matrix = np.zeros((len(values), size), dtype=np.float32)
        state = np.zeros(len(values), dtype=np.uint8)
        for i, value in enumerate(values):
            if value is None or len(value.values) != size:
                state[i] = ABSENT
            else:
                matrix[i] = value.values
        found[name] = Vectors(matrix, state if state.any() else None)
        there = np.array([value is not None for value in values]) & (state == ABSENT)
        if there.any():
            misfits[name] = there
    return found, misfits


def beside(flags: Flags | None, there: Bools) -> Flags:
    """What does not fit its name's column stands in one of another type, where it is counted as a mismatch."""
    if flags is None:
        flags = Flags(np.zeros(len(there), dtype=bool), np.full(len(there), ABSENT, dtype=np.uint8))
    state = np.full(len(there), PRESENT, dtype=np.uint8) if flags.state is None else flags.state
    return Flags(flags.values, np.where(there, np.uint8(PRESENT), state))


def state_of(values: Sequence[Any]) -> Bytes | None:
    if None not in values:
        return None
    return np.array([v is None for v in values], dtype=np.uint8) * np.uint8(ABSENT)


def with_state(column: Any, state: Bytes) -> Any:
    return (
        Texts(column.dictionary, column.codes, state)
        if isinstance(column, Texts)
        else type(column)(column.values, state)
    )


def items_of(by_row: dict[int, Sequence[rows_wire.Item]], rows: int) -> Items:
    """The lists of all rows, one after another; an item without a position has its place in the list."""
    lists = [by_row.get(i, ()) for i in range(rows)]
    return Items(
        np.array([len(one) for one in lists], dtype=np.int32),
        identities([item.id for one in lists for item in one]),
        np.array([min(item.position or i + 1, INT32_MAX) for one in lists for i, item in enumerate(one)], np.int32),
        np.array([item.score if item.HasField("score") else math.nan for one in lists for item in one]),
    )
