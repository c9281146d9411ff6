"""Lists of cells to typed wire columns. Arrays go as packed bytes: protobuf's own lists cost five times more."""

from __future__ import annotations

import struct
import sys
import threading
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from sidelight.values import ABSENT, FLAG, NULL, NUMBER, TEXT, VECTOR, Vector, cell, kind_of, number, text
from sidelight.wire import columns_pb2 as wire


class RaggedError(Exception):
    """Vectors of several sizes, which one column cannot hold. `rows` is true where the first size stands."""

    def __init__(self, rows: list[bool]) -> None:
        super().__init__("vectors of several sizes")
        self.rows = rows


# A thread keeps the interpreter for 5 ms unless it gives way, and a prediction must not wait that long for an encoder.
# Giving way is a system call (1 µs, 100 µs in some sandboxes), so not after every column.
_TURN_SECONDS = 0.0002
_turn = threading.local()
_SORTED_WORDS = 64  # of a column; where there are more they are hardly the same ones twice


def breathe() -> None:
    """Lets a waiting prediction have the interpreter, once in `_TURN_SECONDS`. Call it between columns."""
    now = time.perf_counter()
    if now - getattr(_turn, "since", 0.0) > _TURN_SECONDS:
        time.sleep(0)
        _turn.since = time.perf_counter()


def fill(message: Any, field: str, data: bytes) -> None:
    """Appends packed bytes to a repeated scalar field."""
    if data:
        tag, size = message.DESCRIPTOR.fields_by_name[field].number << 3 | 2, len(data)
        head = bytearray()
        for varint in (tag, size):
            rest = varint
            while rest > 127:
                head.append(rest & 127 | 128)
                rest >>= 7
            head.append(rest)
        message.MergeFromString(bytes(head) + data)


def packed(code: str, values: Iterable[Any]) -> bytes:
    """Little-endian bytes of `array(code, values)`, and its errors; in a fifth of its time where there are none."""
    cells = tuple(values)
    try:
        return struct.pack(f"<{len(cells)}{code}", *cells)
    except struct.error:
        entries = array(code, cells)
        if sys.byteorder == "big":
            entries.byteswap()
        return entries.tobytes()


def doubles(values: Any) -> bytes:
    """Packed doubles of anything numeric; a numpy array goes straight through."""
    if hasattr(values, "astype"):
        return bytes(values.astype("<f8").tobytes())
    try:
        return packed("d", values)
    except (OverflowError, ValueError):  # an integer beyond the range, a decimal's signalling NaN
        return packed("d", map(number, values))


def bitmap(flags: Iterable[bool]) -> bytes:
    """Least significant bit first; empty when no flag is set."""
    digits = "".join(["1" if flag else "0" for flag in flags])
    value = int(digits[::-1] or "0", 2)
    return value.to_bytes((len(digits) + 7) // 8, "little") if value else b""


def write_numbers(into: wire.NumberColumn, values: Any, nulls: bytes = b"", absents: bytes = b"") -> None:
    into.nulls, into.absents = nulls, absents
    fill(into, "values", doubles(values))


def write_texts(into: wire.TextColumn, values: Sequence[str], nulls: bytes = b"", absents: bytes = b"") -> None:
    into.nulls, into.absents = nulls, absents
    words = dict.fromkeys(values)
    # In an order that does not depend on who came first: the agent knows a dictionary that it has seen before.
    codes = {value: code for code, value in enumerate(sorted(words) if len(words) <= _SORTED_WORDS else words)}
    into.dictionary.extend(codes)
    fill(into, "codes", packed("I", map(codes.__getitem__, values)))


def write_flags(into: wire.FlagColumn, values: Iterable[Any], nulls: bytes = b"", absents: bytes = b"") -> None:
    into.nulls, into.absents = nulls, absents
    fill(into, "values", bytes(map(bool, values)))


def write_vectors(into: wire.VectorColumn, values: Sequence[Vector], nulls: bytes = b"", absents: bytes = b"") -> None:
    into.nulls, into.absents = nulls, absents
    into.size = max(map(len, values), default=0)
    empty = bytes(into.size * 4)
    fill(into, "values", b"".join([value or empty for value in values]))


Part = tuple[int, Sequence[Any], bytes, bytes]


def parts(values: Sequence[Any]) -> list[Part]:
    """Splits a column by kind: (kind, cells, nulls, absents), one part for almost every column there is.

    A null belongs to the first kind the column has, to numbers where it has none. Raises `RaggedError`.
    """
    types = set(map(type, values))
    kinds = {kind_of(one) for one in types}
    if len(kinds) == 1:
        (kind,) = kinds
        if kind in (NUMBER, FLAG) or types == {str}:
            return [(kind, values, b"", b"")]
        if kind == TEXT:
            return [(TEXT, [value if type(value) is str else text(value) for value in values], b"", b"")]
    cells = [cell(value) for value in values]
    present = sorted({kind for kind, _ in cells} - {NULL, ABSENT}) or [NUMBER]
    if VECTOR in present:
        sizes = [len(value) if kind == VECTOR else -1 for kind, value in cells]
        first = next(size for size in sizes if size >= 0)
        if any(size >= 0 and size != first for size in sizes):
            raise RaggedError([size in (-1, first) for size in sizes])
    # The blank text is one that the column has, so that the dictionary names no category that never was.
    word = next((value for kind, value in cells if kind == TEXT), "")
    blanks: dict[int, Any] = {NUMBER: 0.0, TEXT: word, FLAG: False, VECTOR: Vector()}
    found: list[Part] = []
    for kind in present:
        nulls = [own == NULL and kind == present[0] for own, _ in cells]
        absents = bitmap(own != kind and not null for (own, _), null in zip(cells, nulls))
        blank = blanks[kind]
        found.append((kind, [value if own == kind else blank for own, value in cells], bitmap(nulls), absents))
    return found


def add_features(columns: wire.Columns, name: str, values: Any) -> None:
    """One feature, in as many typed columns as it has kinds of values. `values` may be a numeric numpy array."""
    breathe()
    dtype = getattr(values, "dtype", None)
    if dtype is not None and dtype.kind in "fiu":
        write_numbers(columns.numbers.add(name=name), values)
        return
    for kind, cells, nulls, absents in parts(values if dtype is None else values.tolist()):
        if kind == NUMBER:
            write_numbers(columns.numbers.add(name=name), cells, nulls, absents)
        elif kind == TEXT:
            write_texts(columns.texts.add(name=name), cells, nulls, absents)
        elif kind == FLAG:
            write_flags(columns.flags.add(name=name), cells, nulls, absents)
        else:
            write_vectors(columns.vectors.add(name=name), cells, nulls, absents)


def add_texts(into: Any, name: str, values: Sequence[Any], missing: Any) -> None:
    """One attribute (segment, protected): always text; absent where `missing` stands, null where None does."""
    write_texts(
        into.add(name=name),
        ["" if value is None or value is missing else text(value) for value in values],
        bitmap(value is None for value in values),
        bitmap(value is missing for value in values),
    )


def some(values: Sequence[Any]) -> bool:
    """Whether any row has a value."""
    return any(value is not None for value in values)
