"""Messages of known moulds as batches: the values of many at once, one copy and one array for all columns of a type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from agent.counting.fingerprints import Hashes, numbered
from agent.ingest.columns import scores
from agent.ingest.mould import Column, Mould
from agent.ingest.words import joined
from agent.records import ABSENT, NULL, Batch, Bytes, Cells, Columns, Flags, Ints, ModelKey, Numbers, Texts
from agent.wire import rows_pb2

NOTHING = slice(0, 0)


@dataclass(frozen=True, slots=True)
class Cast:
    """One message, its columns as they came; none of its records is refused."""

    mould: Mould
    columns: memoryview
    model: ModelKey
    arrived_ns: int

    @property
    def rows(self) -> int:
        return self.mould.rows

    def batch(self) -> Batch:
        """It alone."""
        return batch_of((self,))


def batch_of(casts: Sequence[Cast]) -> Batch:
    """Of one family, model and window, as one: what they are when each is read and all are put together."""
    return _Making(casts).batch()


class _Making:
    def __init__(self, casts: Sequence[Cast]) -> None:
        self._casts, self._family = casts, casts[0].mould.family
        self._rows = sum([cast.mould.rows for cast in casts])
        self._bitmaps = any(cast.mould.bitmaps for cast in casts)

    def batch(self) -> Batch:
        casts, family = self._casts, self._family
        values = self._columns(lambda mould: mould.numbers, "<f8")
        codes = self._columns(lambda mould: mould.texts, "<i4")
        flags = self._columns(lambda mould: mould.flags, "u1")
        numbers = {name: Numbers(*next(values)) for name in family.numbers}
        measures = {name: Numbers(*next(values)) for name in family.measures}
        outputs = {
            name: scores(next(values)[0]) if score else Numbers(*next(values))
            for name, score in zip(family.outputs, family.scores, strict=True)
        }
        texts = {name: self._text(number, *next(codes)) for number, (name, _) in enumerate(family.texts)}
        labels, segments, protected = (
            {name: Texts(dictionary, *next(codes)) for name, dictionary in own}
            for own in (family.labels, family.segments, family.protected)
        )
        return Batch(
            model=casts[0].model,
            rows=self._rows,
            arrived_ns=casts[0].arrived_ns,
            features=Columns(
                numbers=numbers,
                texts=texts,
                flags={name: Flags(own != 0, state) for name, (own, state) in zip(family.flags, flags, strict=True)},
            ),
            outputs=Columns(numbers=outputs, texts=labels),
            time_ns=self._times(),
            latency=self._array("latency", "<f8"),
            errors=None if (status := self._array("status", "u1")) is None else status != rows_pb2.STATUS_OK,
            segments=segments,
            protected=protected,
            measures=measures,
            weights=self._array("weights", "<f8"),
            ids=self._hashes("ids"),
            request_ids=self._hashes("request_ids"),
            messages=tuple([(cast.rows, cast.arrived_ns) for cast in casts]) if len(casts) > 1 else (),
        )

    def _columns(self, of: Callable[[Mould], Sequence[Column]], dtype: str) -> Iterator[tuple[Any, Bytes | None]]:
        """(values, state) of each column."""
        each = list(zip(*[of(cast.mould) for cast in self._casts], strict=True))
        if not each:
            return iter(())
        octets = [cast.columns for cast in self._casts]
        data = b"".join([
            its[own.values] for columns in each for its, own in zip(octets, columns, strict=True)
        ])  # fmt: skip
        values = np.frombuffer(data, dtype).reshape(len(each), self._rows)
        return zip(values, map(self._state, each) if self._bitmaps else [None] * len(each), strict=True)

    def _text(self, number: int, codes: Cells, state: Bytes | None) -> Texts:
        """A feature's column, whose messages may have had different dictionaries."""
        dictionaries = [cast.mould.dictionaries[number] for cast in self._casts]
        if all(own is dictionaries[0] for own in dictionaries):
            return Texts(dictionaries[0], codes, state)
        ends = accumulate([cast.rows for cast in self._casts])
        apart = [codes[end - cast.rows : end] for cast, end in zip(self._casts, ends, strict=True)]
        return Texts(*joined(dictionaries, apart), state)

    def _state(self, columns: Sequence[Column]) -> Bytes | None:
        """Of one column, in all messages; None: every row has it."""
        if all(own.nulls is None and own.absents is None for own in columns):
            return None
        found, at = np.zeros(self._rows, np.uint8), 0
        for cast, own in zip(self._casts, columns, strict=True):
            rows = found[at : at + cast.rows]
            for place, value in ((own.nulls, NULL), (own.absents, ABSENT)):
                if place is not None:
                    octets = np.frombuffer(cast.columns[place], np.uint8)
                    rows[np.unpackbits(octets, count=cast.rows, bitorder="little").view(bool)] = value
            at += cast.rows
        return found

    def _array(self, name: str, dtype: str) -> Any:
        """That array, or None where there is none."""
        if name not in self._family.arrays:
            return None
        return np.frombuffer(b"".join([cast.columns[cast.mould.arrays[name]] for cast in self._casts]), dtype)

    def _times(self) -> Ints | None:
        """Where a record says none, its message's arrival."""
        found: Ints | None = self._array("times", "<i8")
        if found is None or found.min() > 0:
            return found
        arrived = np.repeat([cast.arrived_ns for cast in self._casts], [cast.rows for cast in self._casts])
        return np.where(found <= 0, arrived, found)

    def _hashes(self, name: str) -> Hashes | None:
        """Of the ids; senders differ in what stands before their numbers."""
        numbers = self._array(name, "<u8")
        if numbers is None:
            return None
        prefixes = [bytes(cast.columns[cast.mould.prefixes.get(name, NOTHING)]) for cast in self._casts]
        if len(set(prefixes)) == 1:
            return numbered(prefixes[0], numbers)
        ends = np.cumsum([cast.rows for cast in self._casts])[:-1]
        return np.concatenate([numbered(*own) for own in zip(prefixes, np.split(numbers, ends), strict=True)])
