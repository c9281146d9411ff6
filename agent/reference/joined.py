"""Batches one after another as one: a column of one row takes thirty times what its value does, and as long to walk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from agent.records import ABSENT, PRESENT, Batch, Bytes, Columns, Flags, Numbers, Texts, Vectors

Column = Numbers | Texts | Flags | Vectors


def joined(batches: Sequence[Batch]) -> list[Batch]:
    """The same rows in the same order, in as few batches as sizes of vectors allow: a name has one size in each.

    Of features, outputs and segments, which is all that a reference is made from; what a batch lacks is absent there.
    """
    return [_one(group) if len(group) > 1 else group[0] for group in _groups(batches)]


def _groups(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    group: list[Batch] = []
    known: dict[str, int] = {}
    for batch in batches:
        vectors = batch.features.vectors.items()
        sizes = {name: column.values.shape[1] for name, column in vectors if column.values.shape[1]}
        if any(known.get(name, size) != size for name, size in sizes.items()):
            yield group
            group, known = [], {}
        group.append(batch)
        known.update(sizes)
    if group:
        yield group


def _one(batches: Sequence[Batch]) -> Batch:
    rows = [batch.rows for batch in batches]
    features = _columns([batch.features for batch in batches], rows)
    outputs = _columns([batch.outputs for batch in batches], rows)
    segments = _each(_texts, [batch.segments for batch in batches], rows)
    return Batch(batches[0].model, sum(rows), batches[0].arrived_ns, features, outputs, segments=segments)


def _columns(parts: Sequence[Columns], rows: Sequence[int]) -> Columns:
    return Columns(
        _each(_numbers, [part.numbers for part in parts], rows),
        _each(_texts, [part.texts for part in parts], rows),
        _each(_flags, [part.flags for part in parts], rows),
        _each(_vectors, [part.vectors for part in parts], rows),
    )


def _each(join: Any, parts: Sequence[Mapping[str, Any]], rows: Sequence[int]) -> dict[str, Any]:
    """By name, in the order in which names came."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: join([part.get(name) for part in parts], rows) for name in names}


def _state(columns: Sequence[Column | None], rows: Sequence[int]) -> Bytes | None:
    if all(column is not None and column.state is None for column in columns):
        return None
    states = []
    for column, count in zip(columns, rows, strict=True):
        plain = np.full(count, ABSENT if column is None else PRESENT, dtype=np.uint8)
        states.append(plain if column is None or column.state is None else column.state)
    return np.concatenate(states)


def _numbers(columns: Sequence[Numbers | None], rows: Sequence[int]) -> Numbers:
    values = [np.zeros(n) if c is None else c.values for c, n in zip(columns, rows, strict=True)]
    return Numbers(np.concatenate(values), _state(columns, rows))


def _flags(columns: Sequence[Flags | None], rows: Sequence[int]) -> Flags:
    values = [np.zeros(n, dtype=np.bool_) if c is None else c.values for c, n in zip(columns, rows, strict=True)]
    return Flags(np.concatenate(values), _state(columns, rows))


def _texts(columns: Sequence[Texts | None], rows: Sequence[int]) -> Texts:
    """With a dictionary of the texts that rows use."""
    index: dict[str, int] = {}
    codes = []
    for column, count in zip(columns, rows, strict=True):
        if column is None or not len(column.dictionary):
            codes.append(np.zeros(count, dtype=np.int32))
            continue
        used, places = np.unique(column.codes, return_inverse=True)
        found = [index.setdefault(column.dictionary[code], len(index)) for code in used.tolist()]
        codes.append(np.array(found, dtype=np.int32)[places])
    return Texts(tuple(index), np.concatenate(codes), _state(columns, rows))


def _vectors(columns: Sequence[Vectors | None], rows: Sequence[int]) -> Vectors:
    """A batch without a vector of this name may have a column of size 0."""
    size = max((column.values.shape[1] for column in columns if column is not None), default=0)
    values = np.zeros((sum(rows), size), dtype=np.float32)
    at = 0
    for column, count in zip(columns, rows, strict=True):
        if column is not None and column.values.shape[1]:
            values[at : at + count] = column.values
        at += count
    return Vectors(values, _state(columns, rows))
