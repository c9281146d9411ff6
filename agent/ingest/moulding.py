"""A mould from a message that was read and kept whole: where its values stand on the wire."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.ingest.mould import Coded, Column, Family, Mould
from agent.ingest.words import small
from agent.records import Batch, Texts
from agent.wire import twin_pb2

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types
COLUMNS_TAG = twin_pb2.Request.COLUMNS_FIELD_NUMBER << 3 | LENGTH
DOUBLE, WORD, CODE, OCTET = 8, 8, 4, 1  # bytes of a value
# Fields of twin.Columns: what they are, and of a column the number of the field that has its values.
ROWS, OUTPUTS = 1, 14
PREFIXES = {2: "ids", 5: "request_ids"}
ARRAYS = {
    3: ("ids", WORD),
    6: ("request_ids", WORD),
    8: ("times", WORD),
    16: ("latency", DOUBLE),
    18: ("status", OCTET),
    26: ("weights", DOUBLE),
}
COLUMNS = {
    10: ("numbers", 2, DOUBLE),
    11: ("texts", 3, CODE),
    12: ("flags", 2, OCTET),
    15: ("measures", 2, DOUBLE),
    24: ("segments", 3, CODE),
    25: ("protected", 3, CODE),
}
OUTPUT = {2: ("values", 2, DOUBLE), 3: ("labels", 3, CODE), 4: ("scores", 2, DOUBLE)}  # fields of twin.OutputColumn


class OtherwiseError(Exception):
    """The message has something that no mould has."""


def mould_of(raw: bytes, batch: Batch) -> Mould:
    """batch: what the message was read as. Raises OtherwiseError where it has what no mould has: ids that are texts,
    vectors, lists, traces, an array in pieces."""
    _, begin, end = columns_of(raw)
    learning = _Learning(raw[begin:end], batch.rows)
    learning.read()
    return learning.mould(batch)


def columns_of(raw: bytes) -> tuple[int, int, int]:
    """Where a request's columns stand: the field's beginning, theirs, and their end. Raises OtherwiseError where they
    do not stand in it once."""
    found = [(at, begin, end) for tag, at, begin, end in fields(raw, 0, len(raw)) if tag == COLUMNS_TAG]
    if len(found) != 1:
        raise OtherwiseError
    return found[0]


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, where the field begins, where what it holds does, where it ends) of a protobuf message. Raises
    OtherwiseError where it is none."""
    while at < end:
        tag, begin = _varint(data, at, end)
        sort = tag & 7
        if sort == LENGTH:
            size, begin = _varint(data, begin, end)
            stop = begin + size
        elif sort == VARINT:
            stop = _varint(data, begin, end)[1]
        elif sort in (FIXED64, FIXED32):
            stop = begin + (8 if sort == FIXED64 else 4)
        else:
            raise OtherwiseError
        if stop > end:
            raise OtherwiseError
        yield tag, at, begin, stop
        at = stop


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number, and where it ends."""
    value = shift = 0
    while at < end and shift < 64:
        octet = data[at]
        at += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, at
        shift += 7
    raise OtherwiseError


@dataclass(slots=True)
class _Learning:
    data: bytes
    rows: int
    holes: list[tuple[int, int]] = field(default_factory=list)
    columns: dict[str, list[Column]] = field(default_factory=dict)
    arrays: dict[str, slice] = field(default_factory=dict)
    prefixes: dict[str, slice] = field(default_factory=dict)
    scores: list[bool] = field(default_factory=list)

    def read(self) -> None:
        for number, begin, end in self._held(0, len(self.data)):
            if number in ARRAYS:
                name, width = ARRAYS[number]
                _once(name, self.arrays)
                self.arrays[name] = self._hole(begin, end, width * self.rows)
            elif number in PREFIXES:
                _once(PREFIXES[number], self.prefixes)
                self.prefixes[PREFIXES[number]] = self._hole(begin, end, end - begin)
            elif number in COLUMNS:
                name, values, width = COLUMNS[number]
                self._add(name, self._column(begin, end, values, width))
            elif number == OUTPUTS:
                self._output(begin, end)
            elif number != ROWS:
                raise OtherwiseError

    def _held(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(field number, begin, end) of what a message here has; ROWS alone has no length."""
        for tag, _, inner, stop in fields(self.data, begin, end):
            if tag & 7 != LENGTH and tag != ROWS << 3 | VARINT:
                raise OtherwiseError
            yield tag >> 3, inner, stop

    def _output(self, begin: int, end: int) -> None:
        found: dict[str, list[Column]] = {"values": [], "labels": [], "scores": []}
        for number, inner, stop in self._held(begin, end):
            if number in OUTPUT:
                name, values, width = OUTPUT[number]
                found[name].append(self._column(inner, stop, values, width))
            elif number != 1:
                raise OtherwiseError
        if len(found["values"]) > 1 or len(found["labels"]) > 1:
            raise OtherwiseError
        for column in (*found["values"], *found["scores"]):  # as they are read
            self._add("outputs", column)
        for column in found["labels"]:
            self._add("labels", column)
        self.scores += [False] * len(found["values"]) + [True] * len(found["scores"])

    def _column(self, begin: int, end: int, values: int, width: int) -> Column:
        """values: the number of the field that has them; before it come name and dictionary, after it two bitmaps."""
        found: dict[int, slice] = {}
        for number, inner, stop in self._held(begin, end):
            if number < values:
                continue
            _once(number, found)
            if number == values:
                found[number] = self._hole(inner, stop, width * self.rows)
            elif number <= values + 2:
                found[number] = self._hole(inner, stop, (self.rows + 7) // 8)
            else:
                raise OtherwiseError
        if values not in found:
            raise OtherwiseError
        return Column(found[values], found.get(values + 1), found.get(values + 2))

    def _hole(self, begin: int, end: int, size: int) -> slice:
        if end - begin != size:
            raise OtherwiseError
        self.holes.append((begin, end))
        return slice(begin, end)

    def _add(self, name: str, column: Column) -> None:
        self.columns.setdefault(name, []).append(column)

    def mould(self, batch: Batch) -> Mould:
        family, own = self._family(batch), _coded(batch.features.texts)
        coded = (*own, *family.labels, *family.segments, *family.protected)
        return Mould(
            size=len(self.data),
            rows=self.rows,
            fixed=tuple(self._fixed()),
            family=family,
            numbers=self._all("numbers", "measures", "outputs"),
            texts=self._all("texts", "labels", "segments", "protected"),
            flags=self._all("flags"),
            entries=np.array([len(dictionary) for _, dictionary in coded], np.uint32).reshape(-1, 1),
            arrays=self.arrays,
            prefixes=self.prefixes,
            dictionaries=tuple([dictionary for _, dictionary in own]),
            bitmaps=any(own.nulls or own.absents for columns in self.columns.values() for own in columns),
        )

    def _all(self, *names: str) -> tuple[Column, ...]:
        return tuple([column for name in names for column in self.columns.get(name, ())])

    def _fixed(self) -> Iterator[tuple[int, bytes]]:
        at = 0
        for begin, end in (*sorted(self.holes), (len(self.data), len(self.data))):
            if begin > at:
                yield at, self.data[at:begin]
            at = end

    def _family(self, batch: Batch) -> Family:
        features, outputs = batch.features, batch.outputs
        read = {
            "numbers": features.numbers, "measures": batch.measures, "outputs": outputs.numbers,
            "flags": features.flags, "texts": features.texts, "labels": outputs.texts, "segments": batch.segments,
            "protected": batch.protected,
        }  # fmt: skip
        if any(len(self.columns.get(name, ())) != len(own) for name, own in read.items()):
            raise OtherwiseError  # the same score twice, say
        return Family(
            numbers=tuple(features.numbers),
            measures=tuple(batch.measures),
            outputs=tuple(outputs.numbers),
            scores=tuple(self.scores),
            flags=tuple(features.flags),
            texts=tuple(
                [(name, None if small(dictionary) else dictionary) for name, dictionary in _coded(features.texts)]
            ),
            labels=_coded(outputs.texts),
            segments=_coded(batch.segments),
            protected=_coded(batch.protected),
            arrays=frozenset(self.arrays),
        )


def _once(key: object, found: Container[object]) -> None:
    if key in found:
        raise OtherwiseError


def _coded(columns: Mapping[str, Texts]) -> Coded:
    """Raises OtherwiseError where a dictionary was read in part."""
    found = []
    for name, column in columns.items():
        if not isinstance(column.dictionary, tuple):
            raise OtherwiseError
        found.append((name, column.dictionary))
    return tuple(found)
