"""Columns on the wire to columns inside: numpy views on the message's own bytes, nothing walked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from agent.errors import RefusedError
from agent.ingest.limits import Limits, Refusals
from agent.records import (
    ABSENT,
    NULL,
    Batch,
    Bytes,
    Columns,
    Flags,
    Floats,
    Ints,
    ModelKey,
    Numbers,
    Texts,
    Trace,
    Vectors,
)
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2 as rows_wire
from agent.wire import twin_pb2 as twin

SIZES = {"<f8": 8, "<f4": 4, "<u8": 8, "<u4": 4, "u1": 1}
TRACES_MAX = 32  # traces kept of one message
ID_CHUNK = 8
C = TypeVar("C")


class Reader:
    """Reads one Columns message of `rows` records. Structural faults raise; faults of single records go to
    `refusals`."""

    def __init__(self, message: twin.Columns, limits: Limits, refusals: Refusals) -> None:
        self._message = message
        self._rows = message.rows
        self._limits = limits
        self._refusals = refusals

    def batch(self, model: ModelKey, arrived_ns: int) -> Batch:
        """The whole message as a batch, refused records still in it."""
        m, rows = self._message, self._rows
        self._check_shape()
        features = Columns(
            numbers=self._named(m.numbers, "numbers", self._numbers),
            texts=self._named(m.texts, "texts", self._texts),
            flags=self._named(m.flags, "flags", self._flags),
            vectors=self._named(m.vectors, "vectors", self._vectors),
        )
        self._check_overlap(features)
        times = self._packed(m.time_unix_nano, "<u8", rows, "time_unix_nano")
        status = self._packed(m.status, "u1", rows, "status")
        latency = self._packed(m.latency_seconds, "<f8", rows, "latency_seconds")
        time_ns = None
        if times is not None:
            time_ns = times.astype(np.int64)
            time_ns[time_ns <= 0] = arrived_ns
        return Batch(
            model=model,
            rows=rows,
            arrived_ns=arrived_ns,
            features=features,
            outputs=self._outputs(),
            time_ns=time_ns,
            latency=latency,
            errors=None if status is None else status != rows_wire.STATUS_OK,
            segments=self._named(m.segments, "segments", self._texts),
            protected=self._named(m.protected, "protected", self._texts),
            measures=self._named(m.measures, "measures", self._numbers),
            weights=self._packed(m.weights, "<f8", rows, "weights"),
            traces=self._traces(time_ns, latency, arrived_ns),
        )

    def _check_shape(self) -> None:
        m, limits = self._message, self._limits
        if m.rows > limits.rows:
            raise RefusedError(
                wire.REASON_TOO_MANY_RECORDS, "columns.rows", f"{m.rows} records, limit {limits.rows}", limits.rows
            )
        count = len(m.numbers) + len(m.texts) + len(m.flags) + len(m.vectors)
        if count > limits.features:
            raise RefusedError(
                wire.REASON_TOO_MANY_FEATURES, "columns", f"{count} features, limit {limits.features}", limits.features
            )
        self._packed(m.part, "u1", m.rows, "part")
        limits.text(m.id_prefix, "id_prefix")
        for ids, numbers, where in ((m.ids, m.id_numbers, "ids"), (m.request_ids, m.request_id_numbers, "request_ids")):
            self._packed(numbers, "<u8", m.rows, where)
            if ids and len(ids) != m.rows:
                raise _length(where, len(ids), m.rows)
            for i, value in enumerate(ids):
                if len(value) > limits.text_bytes or not value.isascii():
                    self._try_text(i, value, where)

    def _try_text(self, row: int, value: bytes, where: str) -> None:
        try:
            self._limits.text(value, where)
        except RefusedError as error:
            self._refusals.add(row, error)

    def _check_overlap(self, features: Columns) -> None:
        """A feature may come in two typed columns, but a row has it in one of them only."""
        names = [n for kind in (features.numbers, features.texts, features.flags, features.vectors) for n in kind]
        if len(names) == len(set(names)):
            return
        for name in {n for n in names if names.count(n) > 1}:
            taken = np.zeros(self._rows, dtype=np.int8)
            for kind in (features.numbers, features.texts, features.flags, features.vectors):
                column = kind.get(name)
                if column is not None:
                    taken += 1 if column.state is None else column.state != ABSENT
            both = np.flatnonzero(taken > 1)
            self._refusals.add_many(
                both, RefusedError(wire.REASON_DUPLICATE_KEY, f"features[{name}]", "in two typed columns at once")
            )

    def _named(self, columns: Any, where: str, read: Callable[[Any, str], C]) -> dict[str, C]:
        found = {}
        for column in columns:
            name = self._limits.text(column.name, f"{where}.name")
            if name in found:
                raise RefusedError(wire.REASON_DUPLICATE_KEY, f"{where}[{name}]", "stands twice in the message")
            found[name] = read(column, f"{where}[{name}]")
        return found

    def _packed(self, chunks: Sequence[bytes], dtype: str, count: int, where: str) -> Any:
        """An array of `count` entries, or None where nothing was sent. A sender may split a packed field: chunks are
        joined."""
        if not chunks:
            return None
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        size = SIZES[dtype]
        if len(data) != count * size:
            raise _length(where, len(data) // size, count)
        return np.frombuffer(data, dtype=dtype)

    def _full(self, chunks: Sequence[bytes], dtype: str, count: int, where: str) -> Any:
        found = self._packed(chunks, dtype, count, where)
        if found is None:
            if count:
                raise _length(where, 0, count)
            return np.empty(0, dtype=dtype)
        return found

    def _state(self, column: Any, where: str) -> Bytes | None:
        nulls, absents = column.nulls, column.absents
        if not nulls and not absents:
            return None
        state = np.zeros(self._rows, dtype=np.uint8)
        for bitmap, value, name in ((nulls, NULL, "nulls"), (absents, ABSENT, "absents")):
            if bitmap:
                if len(bitmap) != (self._rows + 7) // 8:
                    raise _length(f"{where}.{name}", len(bitmap), (self._rows + 7) // 8)
                bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), count=self._rows, bitorder="little")
                state[bits.view(bool)] = value
        return state

    def _numbers(self, column: twin.NumberColumn, where: str) -> Numbers:
        return Numbers(self._full(column.values, "<f8", self._rows, where), self._state(column, where))

    def _flags(self, column: twin.FlagColumn, where: str) -> Flags:
        return Flags(self._full(column.values, "u1", self._rows, where) != 0, self._state(column, where))

    def _vectors(self, column: twin.VectorColumn, where: str) -> Vectors:
        size, limit = column.size, self._limits.vector_size
        if not 0 < size <= limit:
            raise RefusedError(wire.REASON_VECTOR_SIZE, where, f"{size} values a row, limit {limit}", limit)
        flat = self._full(column.values, "<f4", self._rows * size, where)
        return Vectors(flat.reshape(self._rows, size), self._state(column, where))

    def _texts(self, column: twin.TextColumn, where: str) -> Texts:
        codes = self._full(column.codes, "<u4", self._rows, where)
        state = self._state(column, where)
        dictionary = list(column.dictionary)
        if codes.size and codes.max() >= len(dictionary):
            codes = self._refuse_outside(codes, state, len(dictionary), where)
        try:
            if max(map(len, dictionary), default=0) <= self._limits.text_bytes:
                return Texts([text.decode() for text in dictionary], codes.view("<i4"), state)
        except UnicodeDecodeError:
            pass
        texts = [self._entry(i, text, codes, state, where) for i, text in enumerate(dictionary)]
        return Texts(texts, codes.view("<i4"), state)

    def _refuse_outside(self, codes: Any, state: Bytes | None, size: int, where: str) -> Any:
        outside = codes >= size
        bad = np.flatnonzero(outside if state is None else outside & (state == 0))
        self._refusals.add_many(
            bad, RefusedError(wire.REASON_CODE_OUT_OF_RANGE, where, f"the dictionary has {size} entries", size)
        )
        return np.where(outside, 0, codes).astype("<u4")

    def _entry(self, entry: int, text: bytes, codes: Any, state: Bytes | None, where: str) -> str:
        """One text of the dictionary; rows that use a bad one are refused."""
        try:
            return self._limits.text(text, where)
        except RefusedError as error:
            using = codes == entry
            self._refusals.add_many(np.flatnonzero(using if state is None else using & (state == 0)), error)
            return ""

    def _outputs(self) -> Columns:
        numbers: dict[str, Numbers] = {}
        texts: dict[str, Texts] = {}
        for output in self._message.outputs:
            name = self._limits.text(output.name, "outputs.name")
            prefix = f"{name}." if name else ""
            where = f"outputs[{name}]"
            if f"{prefix}prediction" in numbers or f"{prefix}prediction" in texts:
                raise RefusedError(wire.REASON_DUPLICATE_KEY, where, "stands twice in the message")
            if output.HasField("values"):
                numbers[f"{prefix}prediction"] = self._numbers(output.values, f"{where}.values")
            if output.HasField("labels"):
                texts[f"{prefix}prediction"] = self._texts(output.labels, f"{where}.labels")
            for score in output.scores:
                label = getattr(score, "class")
                key = (
                    f"{prefix}score:{self._limits.text(label, f'{where}.scores.class')}" if label else f"{prefix}score"
                )
                numbers[key] = _scores(self._full(score.values, "<f8", self._rows, f"{where}.scores"))
            if len(numbers) > self._limits.features:
                raise RefusedError(
                    wire.REASON_TOO_MANY_FEATURES, where, f"over {self._limits.features} outputs", self._limits.features
                )
        return Columns(numbers=numbers, texts=texts)

    def _traces(self, time_ns: Ints | None, latency: Floats | None, arrived_ns: int) -> tuple[Trace, ...]:
        m, rows = self._message, self._rows
        if not m.trace_ids:
            return ()
        if len(m.trace_ids) != 16 * rows:
            raise _length("trace_ids", len(m.trace_ids), 16 * rows)
        flags = m.trace_flags if len(m.trace_flags) == rows else b"\x01" * rows
        sampled = [i for i in range(rows) if flags[i] & 1 and m.trace_ids[16 * i : 16 * i + 16] != bytes(16)][
            :TRACES_MAX
        ]
        parents = m.span_ids if len(m.span_ids) == 8 * rows else bytes(8 * rows)
        stages = (
            [
                (
                    self._limits.text(s.name, "stages.name"),
                    self._full(s.offset_seconds, "<f8", rows, "stages"),
                    self._full(s.duration_seconds, "<f8", rows, "stages"),
                )
                for s in m.stages
            ]
            if sampled
            else []
        )
        return tuple(
            Trace(
                row=i,
                trace_id=m.trace_ids[16 * i : 16 * i + 16],
                parent_id=parents[8 * i : 8 * i + 8],
                flags=flags[i],
                prediction_id=self._id(i),
                start_ns=arrived_ns if time_ns is None else int(time_ns[i]),
                latency=float("nan") if latency is None else float(latency[i]),
                error_type=self._error_type(i),
                stages=tuple((n, float(o[i]), float(d[i])) for n, o, d in stages if d[i] == d[i]),
            )
            for i in sampled
        )

    def _id(self, row: int) -> str:
        m = self._message
        if m.ids:
            return m.ids[row].decode(errors="replace")
        if not m.id_numbers:
            return ""
        number = int.from_bytes(b"".join(m.id_numbers)[ID_CHUNK * row : ID_CHUNK * row + ID_CHUNK], "little")
        return m.id_prefix.decode(errors="replace") + str(number)

    def _error_type(self, row: int) -> str:
        m = self._message
        if not m.HasField("error_types") or not m.error_types.dictionary:
            return ""
        column = self._texts(m.error_types, "error_types")
        return "" if column.state is not None and column.state[row] else column.dictionary[column.codes[row]]


def _scores(values: Floats) -> Numbers:
    missing = np.isnan(values)
    return Numbers(values, missing.astype(np.uint8) * ABSENT if missing.any() else None)


def _length(where: str, found: int, expected: int) -> RefusedError:
    return RefusedError(wire.REASON_COLUMN_LENGTH, where, f"{found} entries for {expected}", expected)
