"""A learner as sealed bytes, for the checkpoint. While the bins are not fixed raw values lie in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from agent.errors import CorruptError
from agent.records import Batch, Columns, Flags, Kind, ModelKey, Numbers, Texts, Vectors
from agent.reference.file import layout_message, layout_of
from agent.reference.learn import Learner, State, Window, blank
from agent.reference.learn_segments import Named
from agent.reference.profile import Reference
from agent.reference.schema import Schema
from agent.reference.traffic import NO_SCHEMA
from agent.sketches.blob import BlobKind, seal, unseal
from agent.wire import reference_pb2 as pb

NAME = "learner"


def encode(learner: Learner) -> bytes:
    """The same learner gives the same bytes. About 8 bytes for each buffered value, or for each cell and window."""
    state = learner.state
    message = pb.LearnerState(
        head=layout_message(state.head),
        made_by=state.head.made_by,
        fixed=state.fixed,
        learn_rows=state.learn_rows,
        learn_windows=state.learn_windows,
        buffer=[_buffered(window, batch) for window, batch in state.buffer],
        windows=[_window(index, window) for index, window in state.windows.items()],
        tainted=sorted(state.tainted),
        paused=state.paused,
        skipped_rows=state.skipped_rows,
        segment_keys=state.segments.keys,
        segment_names=state.segments.values,
    )
    return seal(BlobKind.LEARNER, message.SerializeToString(deterministic=True))


def decode(blob: bytes, schema: Schema = NO_SCHEMA) -> Learner:
    """The learner that was encoded, with the schema as it is now. Raises CorruptError."""
    try:
        message = pb.LearnerState.FromString(unseal(BlobKind.LEARNER, blob))
        head = _head(message)
        windows = {int(w.window): _window_of(w, head) for w in message.windows}
        buffer = [(int(b.window), _batch(b, head)) for b in message.buffer]
    except (DecodeError, ValueError) as error:
        raise CorruptError(f"{NAME}: {error}") from error
    return Learner.resumed(
        State(
            head=head,
            learn_rows=message.learn_rows,
            learn_windows=message.learn_windows,
            fixed=message.fixed,
            buffer=buffer,
            windows=windows,
            tainted=set(message.tainted),
            paused=message.paused,
            skipped_rows=message.skipped_rows,
            segments=Named(tuple(message.segment_keys), list(message.segment_names)),
            schema=schema,
        )
    )


def _head(message: pb.LearnerState) -> Reference:
    head = message.head
    start = blank(head.model, head.version, 1.0, message.made_by, int(head.task), head.positive_label,
                  head.trained_at_unix_nano)  # fmt: skip
    return replace(start, layout=layout_of(head, NAME), segments=tuple(head.segments), protected=tuple(head.protected))


def _window(index: int, window: Window) -> pb.LearnedWindow:
    counts = b"" if window.counts is None else np.ascontiguousarray(window.counts, dtype="<i8").tobytes()
    segments = {name: own.astype("<i4").tobytes() for name, own in window.segments.items()}
    return pb.LearnedWindow(window=index, rows=window.rows, counts=counts, closed=window.closed, segments=segments)


def _window_of(message: pb.LearnedWindow, head: Reference) -> Window:
    counts = np.frombuffer(message.counts, dtype="<i8").astype(np.int64) if message.counts else None
    if counts is not None and len(counts) != head.layout.cells:
        raise CorruptError(f"{NAME}: {len(counts)} cells, expected {head.layout.cells}")
    segments = {name: np.frombuffer(own, dtype="<i4").astype(np.int32) for name, own in message.segments.items()}
    if any(len(own) != head.layout.cells for own in segments.values()):
        raise CorruptError(f"{NAME}: a segment's counts are not {head.layout.cells} cells")
    return Window(int(message.rows), counts, message.closed, segments)


def _buffered(window: int, batch: Batch) -> pb.BufferedBatch:
    message = pb.BufferedBatch(window=window, rows=batch.rows)
    for columns, output in ((batch.features, False), (batch.outputs, True)):
        tables: tuple[tuple[Kind, Any], ...] = (
            (Kind.NUMBER, columns.numbers), (Kind.TEXT, columns.texts), (Kind.FLAG, columns.flags),
            (Kind.VECTOR, columns.vectors),
        )  # fmt: skip
        for kind, table in tables:
            for name, column in table.items():
                _buffer_column(message, name, output, kind, column)
    for key, column in batch.segments.items():
        _buffer_column(message, key, False, Kind.TEXT, column)
        message.columns[-1].segment = True
    return message


FORMS = {Kind.NUMBER: "<f8", Kind.TEXT: "<i4", Kind.FLAG: "|u1", Kind.VECTOR: "<f4"}


def _buffer_column(message: pb.BufferedBatch, name: str, output: bool, kind: Kind, column: Any) -> None:
    values = column.codes if kind is Kind.TEXT else column.values
    message.columns.add(
        name=name,
        output=output,
        kind=int(kind),
        values=np.ascontiguousarray(values, dtype=FORMS[kind]).tobytes(),
        state=b"" if column.state is None else column.state.tobytes(),
        dictionary=column.dictionary if kind is Kind.TEXT else (),
        size=column.values.shape[1] if kind is Kind.VECTOR else 0,
    )


def _batch(message: pb.BufferedBatch, head: Reference) -> Batch:
    parts: dict[bool, dict[Kind, dict[str, Any]]] = {o: {kind: {} for kind in Kind} for o in (False, True)}
    segments: dict[str, Any] = {}
    for column in message.columns:
        kind = Kind(column.kind)
        into = segments if column.segment else parts[column.output][kind]
        into[column.name] = _column(column, kind, message.rows)
    features, outputs = (
        Columns(part[Kind.NUMBER], part[Kind.TEXT], part[Kind.FLAG], part[Kind.VECTOR]) for part in parts.values()
    )
    return Batch(ModelKey(head.model, head.version), message.rows, 0, features, outputs, segments=segments)


def _column(message: pb.BufferedColumn, kind: Kind, rows: int) -> Numbers | Texts | Flags | Vectors:
    values = np.frombuffer(message.values, dtype=FORMS[kind])
    state = np.frombuffer(message.state, dtype=np.uint8).copy() if message.state else None
    expected = rows * message.size if kind is Kind.VECTOR else rows
    if len(values) != expected or (state is not None and len(state) != rows):
        raise CorruptError(f"{NAME}: column of {len(values)} values, expected {expected}")
    if kind is Kind.NUMBER:
        return Numbers(values.astype(np.float64), state)
    if kind is Kind.TEXT:
        return Texts(list(message.dictionary), values.astype(np.int32), state)
    if kind is Kind.FLAG:
        return Flags(values.astype(np.bool_), state)
    return Vectors(values.astype(np.float32).reshape(rows, message.size), state)
