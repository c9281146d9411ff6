"""Two batches of one model as one, whatever columns each has: rows that were read together, and the odd ones among them
that were read one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from agent.records import ABSENT, PRESENT, Batch, Columns, Flags, Ints, Items, Numbers, Texts, Vectors, select

Named = Mapping[str, Any]  # columns of one type


def merged(one: Batch, other: Batch, order: Ints) -> Batch:
    """order: which row comes where, rows of `other` counted after those of `one`; of each batch they stay in order.
    Ranked lists and traces: of `other` alone."""
    both, rows = (one, other), one.rows + other.rows
    together = Batch(
        model=one.model,
        rows=rows,
        arrived_ns=one.arrived_ns,
        features=_all_kinds(one.features, other.features, both),
        outputs=_all_kinds(one.outputs, other.outputs, both),
        time_ns=_array(both, "time_ns", one.arrived_ns),
        latency=_array(both, "latency", math.nan),
        errors=_array(both, "errors", False),
        segments=_columns(one.segments, other.segments, both),
        protected=_columns(one.protected, other.protected, both),
        measures=_columns(one.measures, other.measures, both),
        weights=_array(both, "weights", 1.0),
        ids=_array(both, "ids", np.uint64(0)),
        request_ids=_array(both, "request_ids", np.uint64(0)),
        items=None if other.items is None else _items(one.rows, other.items),
    )
    traces = other.traces
    if len(traces):
        traces = replace(traces, rows=np.argsort(order)[traces.rows + one.rows])
    return replace(select(together, order), traces=traces)


def _array(both: tuple[Batch, Batch], name: str, fill: Any) -> Any:
    """The array of that name; `fill` where one of the two has none, None where both have none."""
    found = [getattr(batch, name) for batch in both]
    if found[0] is None and found[1] is None:
        return None
    return np.concatenate(
        [np.full(batch.rows, fill) if own is None else own for batch, own in zip(both, found, strict=True)]
    )


def _items(rows: int, items: Items) -> Items:
    """So many empty lists before."""
    return replace(items, lengths=np.concatenate((np.zeros(rows, np.int32), items.lengths)))


def _all_kinds(one: Columns, other: Columns, both: tuple[Batch, Batch]) -> Columns:
    return Columns(
        _columns(one.numbers, other.numbers, both),
        _columns(one.texts, other.texts, both),
        _columns(one.flags, other.flags, both),
        _columns(one.vectors, other.vectors, both),
    )


def _columns(one: Named, other: Named, both: tuple[Batch, Batch]) -> dict[str, Any]:
    return {
        name: _column([(own.get(name), batch.rows) for own, batch in zip((one, other), both, strict=True)])
        for name in {**one, **other}
    }


def _column(parts: list[tuple[Any, int]]) -> Any:
    """The columns one after the other; where there is none, so many rows are without it."""
    sort = next(column for column, _ in parts if column is not None)
    given = [(_without(sort, rows), rows) if column is None else (column, rows) for column, rows in parts]
    full = all(column.state is None for column, _ in given)
    state = None
    if not full:
        states = [np.full(rows, PRESENT, np.uint8) if own.state is None else own.state for own, rows in given]
        state = np.concatenate(states)
    columns = [column for column, _ in given]
    if isinstance(sort, Texts):
        return _texts(columns, state)
    return type(sort)(np.concatenate([column.values for column in columns]), state)


def _without(sort: Any, rows: int) -> Any:
    absent = np.full(rows, ABSENT, np.uint8)
    make: dict[type, Callable[[], Any]] = {
        Numbers: lambda: Numbers(np.zeros(rows), absent),
        Texts: lambda: Texts((), np.zeros(rows, np.int32), absent),
        Flags: lambda: Flags(np.zeros(rows, bool), absent),
        Vectors: lambda: Vectors(np.zeros((rows, sort.values.shape[1]), np.float32), absent),
    }
    return make[type(sort)]()


def _texts(columns: list[Texts], state: Any) -> Texts:
    index: dict[str, int] = {}
    codes = []
    for column in columns:
        places = np.array([index.setdefault(text, len(index)) for text in column.dictionary], np.int32)
        codes.append(places[column.codes] if len(places) else column.codes)
    return Texts(list(index) or [""], np.concatenate(codes), state)
