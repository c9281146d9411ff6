"""What a value is: how it is kept safely in the caller's thread, and which typed cell it becomes later."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

NUMBER, TEXT, FLAG, VECTOR, NULL, ABSENT = range(6)

# A single vector is bounded, so that the queue is bounded in bytes as well as in records.
VECTOR_ENTRIES_MAX = 65_536


class Missing:
    """The one value that stands for a key a row does not have."""


MISSING = Missing()


class Vector(bytes):
    """Little-endian float32 entries."""

    def __len__(self) -> int:
        return super().__len__() // 4


# Types whose values can never change, so that keeping a reference is as good as a copy. numpy's scalar types are added
# when first seen: numpy is never imported here.
STILL: set[type] = {
    float, int, bool, str, bytes, type(None), Decimal, datetime, date, time, timedelta, UUID, Vector,
}  # fmt: skip


def keep(value: Any) -> Any:
    """The value, or a copy that later changes cannot reach. Raises ValueError for vectors over the limit."""
    if type(value) in STILL:
        return value
    module = type(value).__module__
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas.NA and NaT
        return None
    if isinstance(value, Enum):
        return keep(value.value)
    if module == "numpy":
        return _keep_numpy(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, (bytearray, bytes)):
        return bytes(value)
    if isinstance(value, datetime):
        return value
    if isinstance(value, (list, tuple)):
        if len(value) > VECTOR_ENTRIES_MAX:
            raise ValueError(f"vector: {len(value)} entries, at most {VECTOR_ENTRIES_MAX}")
        return tuple(map(keep, value))
    if isinstance(value, Mapping):
        return {key: keep(one) for key, one in value.items()}
    if hasattr(value, "tolist"):  # array.array, tensors, pandas arrays
        return keep(value.tolist())
    return str(value)


def _keep_numpy(value: Any) -> Any:
    if isinstance(value, sys.modules["numpy"].generic):
        STILL.add(type(value))
        return value
    if value.ndim == 0:
        return keep(value.item())
    if value.size > VECTOR_ENTRIES_MAX:
        raise ValueError(f"vector: {value.size} entries, at most {VECTOR_ENTRIES_MAX}")
    if value.dtype.kind not in "fiub":
        return keep(value.tolist())
    with sys.modules["numpy"].errstate(over="ignore"):
        return Vector(value.astype("<f4").tobytes())


# Whether no value of a dict can change, told in half the time that a look at each type takes: the collector does not
# `is_tracked` a dict of atoms, and what else it does not track and yet can change, as numpy's arrays and bytearray, has
# no hash, so that `hashed` raises TypeError. (From Python 3.14 on the collector tracks every dict.)
hashed: Callable[[Iterable[Any]], bool] = frozenset[Any]().isdisjoint


def keep_mapping(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """A copy of a mapping, its values kept. Still values cost one pass over their types, nothing more."""
    kept = dict(values)
    if not {*map(type, kept.values())} <= STILL:
        kept = {key: keep(value) for key, value in kept.items()}
    return kept


_KINDS: dict[type, int] = {
    float: NUMBER, int: NUMBER, Decimal: NUMBER, bool: FLAG, str: TEXT, bytes: TEXT, Vector: VECTOR, tuple: VECTOR,
    type(None): NULL, Missing: ABSENT,
}  # fmt: skip


def kind_of(kind: type) -> int:
    """The kind a type's values go out as. A tuple's is VECTOR, unless an entry is no number: then `cell` says TEXT."""
    found = _KINDS.get(kind)
    if found is None:
        names = {base.__name__ for base in kind.__mro__ if base.__module__ == "numpy"}
        if "bool" in names or "bool_" in names:
            found = FLAG
        elif names & {"integer", "floating"} and "timedelta64" not in names:
            found = NUMBER
        else:
            found = TEXT
        _KINDS[kind] = found
    return found


def cell(value: Any) -> tuple[int, Any]:
    """(kind, the value in that kind's own type). The slow and general form; columns of one type never come here."""
    kind = kind_of(type(value))
    if kind == NUMBER:
        return NUMBER, number(value)
    if kind == TEXT:
        return TEXT, text(value)
    if kind == FLAG:
        return FLAG, bool(value)
    if kind == VECTOR and type(value) is tuple:
        try:
            return VECTOR, vector(value)
        except TypeError:
            return TEXT, str(value)
    return kind, value


def number(value: Any) -> float:
    """As double; an integer or decimal beyond its range becomes an infinity of its sign."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    except ValueError:
        if isinstance(value, Decimal):  # a signalling NaN
            return float("nan")
        raise


def text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def vector(values: Iterable[Any]) -> Vector:
    """float32 entries. Raises TypeError when an entry is no number."""
    try:
        entries = array("f", values)
    except OverflowError:
        entries = array("f", map(number, values))
    if sys.byteorder == "big":
        entries.byteswap()
    return Vector(entries.tobytes())
