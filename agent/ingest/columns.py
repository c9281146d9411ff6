"""Columns on the wire to columns inside: numpy views on the message's own bytes, nothing walked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from agent.counting.fingerprints import Hashes, identities, numbered
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
    Items,
    ModelKey,
    Numbers,
    Texts,
    Vectors,
)
from agent.traces.traced import NO_TRACES, STATE_MAX, Trace, Traces, error_type
from agent.wire import columns_pb2 as columns_wire
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2 as rows_wire
from agent.wire import twin_pb2 as twin

DTYPES = {name: np.dtype(name) for name in ("<f8", "<f4", "<u8", "<u4", "u1")}
FLOAT64, INT32 = np.dtype("<f8"), np.dtype("<i4")
STAGES_MAX = 64  # stages kept of one trace
INT32_MAX = (1 << 31) - 1
SMALL = 64  # entries up to which a dictionary is decoded whole, whatever its rows use of it
C = TypeVar("C")


class Decoded:
    """Names and small dictionaries decoded before: senders repeat theirs message after message. At most a few MB."""

    KEPT_MAX = 512
    BYTES_MAX = 1 << 10  # of one dictionary

    def __init__(self) -> None:
        self._dictionaries: dict[tuple[bytes, ...], tuple[str, ...]] = {}
        self._names: dict[bytes, str] = {}

    def name(self, name: bytes, limits: Limits, where: str) -> str:
        """The name as text. Raises RefusedError naming `where`."""
        found = self._names.get(name)
        if found is None:
            found = limits.text(name, where)
            if len(name) <= self.BYTES_MAX:
                _keep(self._names, name, found, 4 * self.KEPT_MAX)
        return found

    def texts(self, dictionary: tuple[bytes, ...], limits: Limits) -> tuple[str, ...] | None:
        """All entries as texts, or None where one of them is too long or no UTF-8. The same object for the same
        bytes, as long as it is remembered."""
        found = self._dictionaries.get(dictionary)
        if found is not None:
            return found
        if max(map(len, dictionary), default=0) > limits.text_bytes:
            return None
        try:
            found = tuple([text.decode() for text in dictionary])
        except UnicodeDecodeError:
            return None
        if len(dictionary) <= SMALL and sum(map(len, dictionary)) <= self.BYTES_MAX:
            _keep(self._dictionaries, dictionary, found, self.KEPT_MAX)
        return found


class Reader:
    """Reads one Columns message of `rows` records. Structural faults raise; faults of single records go to
    `refusals`. decoded: what earlier messages under the same limits had."""

    def __init__(
        self, message: twin.Columns, limits: Limits, refusals: Refusals, decoded: Decoded | None = None
    ) -> None:
        self._message = message
        self._rows = message.rows
        self._limits = limits
        self._refusals = refusals
        self._decoded = decoded or Decoded()

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
            time_ns = times.view(np.int64)
            if rows and time_ns.min() <= 0:
                time_ns = np.where(time_ns <= 0, np.int64(arrived_ns), time_ns)
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
            ids=self._hashes(m.ids, m.id_numbers, m.id_prefix, "ids"),
            request_ids=self._hashes(m.request_ids, m.request_id_numbers, m.request_id_prefix, "request_ids"),
            items=self._items(),
            traces=self._traces(time_ns, latency, status, arrived_ns),
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
        beside = len(m.measures) + len(m.segments) + len(m.protected) + len(m.outputs) + len(m.stages)
        if beside <= limits.features:
            beside += sum([len(output.scores) for output in m.outputs])
        if beside > limits.features:
            raise RefusedError(
                wire.REASON_TOO_MANY_FEATURES,
                "columns",
                f"{beside} measures, segments, outputs, scores and stages, limit {limits.features}",
                limits.features,
            )
        self._packed(m.part, "u1", m.rows, "part")
        limits.text(m.id_prefix, "id_prefix")
        limits.text(m.request_id_prefix, "request_id_prefix")
        self._check_ids(m.ids, m.id_numbers, "ids")
        self._check_ids(m.request_ids, m.request_id_numbers, "request_ids")

    def _check_ids(self, ids: Sequence[bytes], numbers: Sequence[bytes], where: str) -> None:
        self._packed(numbers, "<u8", self._rows, where)
        if not ids:
            return
        if len(ids) != self._rows:
            raise _length(where, len(ids), self._rows)
        limit = self._limits.text_bytes
        for i, value in enumerate(ids):
            if len(value) > limit or not value.isascii():
                self._try_text(i, value, where)

    def _try_text(self, row: int, value: bytes, where: str) -> None:
        try:
            self._limits.text(value, where)
        except RefusedError as error:
            self._refusals.add(row, error)

    def _check_overlap(self, features: Columns) -> None:
        """A feature may come in two typed columns, but a row has it in one of them only."""
        kinds = (features.numbers, features.texts, features.flags, features.vectors)
        if len(features.names()) == sum(map(len, kinds)):
            return
        for name, times in Counter(n for kind in kinds for n in kind).items():
            if times == 1:
                continue
            taken = np.zeros(self._rows, dtype=np.int8)
            for kind in kinds:
                column = kind.get(name)
                if column is not None:
                    taken += 1 if column.state is None else column.state != ABSENT
            both = np.flatnonzero(taken > 1)
            self._refusals.add_many(
                both, RefusedError(wire.REASON_DUPLICATE_KEY, f"features[{name}]", "in two typed columns at once")
            )

    def _named(self, columns: Any, where: str, read: Callable[[Any, str], C]) -> dict[str, C]:
        found: dict[str, C] = {}
        for column in columns:
            name = self._decoded.name(column.name, self._limits, where)
            if name in found:
                raise RefusedError(wire.REASON_DUPLICATE_KEY, f"{where}[{name}]", "stands twice in the message")
            found[name] = read(column, where)
        return found

    def _packed(self, chunks: Sequence[bytes], dtype: str, count: int, where: str, column: Any = None) -> Any:
        """An array of `count` entries, or None where nothing was sent. A sender may split a packed field: chunks are
        joined. `where` and the column's own name are put together only to refuse."""
        parts = len(chunks)
        if not parts:
            return None
        if parts > count + 16:  # nearly all of them empty
            raise _length(_field(where, column), parts, count)
        data = chunks[0] if parts == 1 else b"".join(chunks)
        kind = DTYPES[dtype]
        if len(data) != count * kind.itemsize:
            raise _length(_field(where, column), len(data) // kind.itemsize, count)
        return np.frombuffer(data, kind)

    def _full(self, chunks: Sequence[bytes], dtype: str, count: int, where: str, column: Any = None) -> Any:
        found = self._packed(chunks, dtype, count, where, column)
        if found is None:
            if count:
                raise _length(_field(where, column), 0, count)
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
                    raise _length(f"{_field(where, column)}.{name}", len(bitmap), (self._rows + 7) // 8)
                bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), count=self._rows, bitorder="little")
                state[bits.view(bool)] = value
        return state

    def _numbers(self, column: twin.NumberColumn, where: str) -> Numbers:
        chunks = column.values
        if len(chunks) == 1 and not column.nulls and not column.absents:  # nearly every column of every message
            data = chunks[0]
            if len(data) == 8 * self._rows:
                return Numbers(np.frombuffer(data, FLOAT64))
        return Numbers(self._full(column.values, "<f8", self._rows, where, column), self._state(column, where))

    def _flags(self, column: twin.FlagColumn, where: str) -> Flags:
        return Flags(self._full(column.values, "u1", self._rows, where, column) != 0, self._state(column, where))

    def _vectors(self, column: twin.VectorColumn, where: str) -> Vectors:
        size, limit = column.size, self._limits.vector_size
        if not 0 < size <= limit:
            field = _field(where, column)
            raise RefusedError(wire.REASON_VECTOR_SIZE, field, f"{size} values a row, limit {limit}", limit)
        flat = self._full(column.values, "<f4", self._rows * size, where, column)
        return Vectors(flat.reshape(self._rows, size), self._state(column, where))

    def _texts(self, column: twin.TextColumn, where: str) -> Texts:
        codes = self._full(column.codes, "<u4", self._rows, where, column)
        state = self._state(column, where)
        dictionary = column.dictionary
        size = len(dictionary)
        if self._rows and np.maximum.reduce(codes) >= size:  # `initial` would take as long again
            codes = self._refuse_outside(codes, state, size, _field(where, column))
        if size <= max(self._rows, SMALL):
            texts = self._decoded.texts(tuple(dictionary), self._limits)
            if texts is not None:
                return Texts(texts, codes.view(INT32), state)
        return self._used_texts(dictionary, codes, state, _field(where, column))

    def _refuse_outside(self, codes: Any, state: Bytes | None, size: int, where: str) -> Any:
        outside = codes >= size
        bad = np.flatnonzero(outside if state is None else outside & (state == 0))
        self._refusals.add_many(
            bad, RefusedError(wire.REASON_CODE_OUT_OF_RANGE, where, f"the dictionary has {size} entries", size)
        )
        return np.where(outside, 0, codes).astype("<u4")

    def _used_texts(self, dictionary: Sequence[bytes], codes: Any, state: Bytes | None, where: str) -> Texts:
        """Of a dictionary that is larger than the message has rows, or has bad entries: only what rows not refused yet
        use, so that the work is bounded by the rows. Rows that use a bad entry are refused."""
        live = np.frombuffer(self._refusals.verdict, dtype=np.uint8) == 0
        if state is not None:
            live &= state == 0
        rows = np.flatnonzero(live)
        used, places = np.unique(codes[rows], return_inverse=True)
        texts: list[str] = []
        first: dict[int, RefusedError] = {}  # by reason
        reasons = np.zeros(len(used), dtype=np.uint8)
        for i, entry in enumerate(used.tolist()):
            try:
                texts.append(self._limits.text(dictionary[entry], where))
            except RefusedError as error:
                texts.append("")
                reasons[i] = error.reason
                first.setdefault(error.reason, error)
        for reason, refusal in first.items():
            self._refusals.add_many(rows[reasons[places] == reason], refusal)
        found = np.zeros(self._rows, dtype=np.int32)
        found[rows] = places
        return Texts(texts, found, state)

    def _outputs(self) -> Columns:
        numbers: dict[str, Numbers] = {}
        texts: dict[str, Texts] = {}
        for output in self._message.outputs:
            name = self._decoded.name(output.name, self._limits, "outputs.name")
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
                numbers[key] = scores(self._full(score.values, "<f8", self._rows, f"{where}.scores"))
            if len(numbers) > self._limits.features:
                raise RefusedError(
                    wire.REASON_TOO_MANY_FEATURES, where, f"over {self._limits.features} outputs", self._limits.features
                )
        return Columns(numbers=numbers, texts=texts)

    def _traces(self, time_ns: Ints | None, latency: Floats | None, status: Bytes | None, arrived_ns: int) -> Traces:
        """All rows with a trace id; each is made whole only when it is asked for."""
        m, rows = self._message, self._rows
        if not m.trace_ids:
            return NO_TRACES
        if len(m.trace_ids) != 16 * rows:
            raise _length("trace_ids", len(m.trace_ids), 16 * rows)
        flags = m.trace_flags if len(m.trace_flags) == rows else b"\x01" * rows
        parents = m.span_ids if len(m.span_ids) == 8 * rows else bytes(8 * rows)
        ids = np.frombuffer(m.trace_ids, np.uint8).reshape(rows, 16)
        words = ids.view("<u8")
        known = np.flatnonzero(words[:, 0] | words[:, 1])
        if not known.size:
            return NO_TRACES
        # What can be refused is read now; afterwards nothing fails.
        stages = [self._stage(stage) for stage in m.stages[:STAGES_MAX]]
        prediction_id, errors = self._ids(), self._text_of_row("error_types")
        states = self._text_of_row("trace_states")

        def make(i: int) -> Trace:
            state = states(i)
            return Trace(
                row=i,
                trace_id=ids[i].tobytes(),
                parent_id=parents[8 * i : 8 * i + 8],
                flags=flags[i],
                prediction_id=prediction_id(i),
                start_ns=arrived_ns if time_ns is None else int(time_ns[i]),
                latency=float("nan") if latency is None else float(latency[i]),
                error_type=error_type(errors(i), 0 if status is None else int(status[i])),
                stages=tuple((n, float(o[i]), float(d[i])) for n, o, d in stages if d[i] == d[i]),
                state=state if len(state) <= STATE_MAX else "",
            )

        own = np.frombuffer(parents, np.uint8).reshape(rows, 8)[known]
        return Traces(known, ids[known], own, np.frombuffer(flags, np.uint8)[known], known, make)

    def _stage(self, stage: twin.StageColumn) -> tuple[str, Floats, Floats]:
        return (
            self._decoded.name(stage.name, self._limits, "stages.name"),
            self._full(stage.offset_seconds, "<f8", self._rows, "stages"),
            self._full(stage.duration_seconds, "<f8", self._rows, "stages"),
        )

    def _hashes(self, ids: Sequence[bytes], numbers: Sequence[bytes], prefix: bytes, where: str) -> Hashes | None:
        """Of each id, 0 where there is none; a request and its response share theirs, and have none here."""
        if ids:
            found = identities(ids)
        else:
            packed = self._packed(numbers, "<u8", self._rows, where)
            if packed is None:
                return None
            found = numbered(prefix, packed)
        parts = self._packed(self._message.part, "u1", self._rows, "part")
        return found if parts is None else np.where(parts == rows_wire.PART_COMPLETE, found, np.uint64(0))

    def _items(self) -> Items | None:
        """What the first output that is a ranking showed."""
        raw = next((output.items for output in self._message.outputs if output.items), b"")
        if not raw:
            return None
        try:
            return items_of(columns_wire.ItemsColumn.FromString(raw), self._rows, self._limits)
        except DecodeError:
            raise RefusedError(wire.REASON_UNDECODABLE, "outputs.items", f"{len(raw)} bytes") from None

    def _ids(self) -> Callable[[int], str]:
        """The prediction id of a row."""
        ids, prefix = self._message.ids, self._message.id_prefix.decode(errors="replace")
        if ids:
            return lambda row: ids[row].decode(errors="replace")
        numbers = self._packed(self._message.id_numbers, "<u8", self._rows, "ids")
        return lambda row: "" if numbers is None else f"{prefix}{numbers[row]}"

    def _text_of_row(self, name: str) -> Callable[[int], str]:
        """A row's text in a column that need not be there, empty where it has none."""
        if not self._message.HasField(name) or not getattr(self._message, name).dictionary:
            return lambda row: ""
        column = self._texts(getattr(self._message, name), name)
        texts, codes, state = column.dictionary, column.codes, column.state
        return lambda row: "" if not texts or (state is not None and state[row]) else texts[codes[row]]


def items_of(column: columns_wire.ItemsColumn, rows: int, limits: Limits) -> Items:
    """Raises RefusedError where the lists do not fit the rows, or are too long."""
    lengths = np.array(column.lengths, dtype=np.int64)
    total, found = int(lengths.sum()), len(column.ids)
    if len(lengths) != rows:
        raise _length("outputs.items.lengths", len(lengths), rows)
    if total > limits.cells:
        raise RefusedError(
            wire.REASON_TOO_MANY_RECORDS, "outputs.items", f"{total} items, limit {limits.cells}", limits.cells
        )
    sizes = {"ids": found, "positions": len(column.positions) or total, "scores": len(column.scores) or total}
    for name, size in sizes.items():
        if size != total:
            raise _length(f"outputs.items.{name}", size, total)
    places = np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    given = np.array(column.positions, dtype=np.int64) if len(column.positions) else np.zeros(total, np.int64)
    scores = np.array(column.scores, dtype=np.float64) if len(column.scores) else np.full(total, np.nan)
    positions = np.minimum(np.where(given > 0, given, places), INT32_MAX).astype(np.int32)
    return Items(lengths.astype(np.int32), identities(list(column.ids)), positions, scores)


def scores(values: Floats) -> Numbers:
    """NaN: a row without it."""
    missing = np.isnan(values)
    return Numbers(values, missing.astype(np.uint8) * ABSENT if missing.any() else None)


def _length(where: str, found: int, expected: int) -> RefusedError:
    return RefusedError(wire.REASON_COLUMN_LENGTH, where, f"{found} entries for {expected}", expected)


def _field(where: str, column: Any) -> str:
    """The column's place in the message, for a refusal."""
    name = "" if column is None else column.name.decode(errors="replace")
    return f"{where}[{name}]" if name else where


def _keep(kept: dict[Any, Any], key: Any, value: Any, limit: int) -> None:
    """Remembers up to `limit` entries, and begins anew when they are too many."""
    if len(kept) >= limit:
        kept.clear()
    kept[key] = value
