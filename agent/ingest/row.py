"""One row of a message: read, and checked."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from agent.errors import RefusedError
from agent.ingest.limits import Limits
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2 as rows_wire
from agent.wire import twin_pb2 as twin

TEXTUAL = ("texts", "segments", "protected")
TRACE_ID, PARENT_ID, FLAGS = range(1, 4)  # parts of a traceparent
PART_LENGTHS = (2, 32, 16, 2)
TIME_MAX_NS = (1 << 63) - 1


def parse(raw: bytes, limits: Limits) -> rows_wire.Row:
    """One row. Raises RefusedError; where a string is not UTF-8, naming the field."""
    try:
        return rows_wire.Row.FromString(raw)
    except DecodeError:
        pass
    try:
        row = twin.Row.FromString(raw)
    except DecodeError:
        raise RefusedError(wire.REASON_UNDECODABLE, "row", f"not a Row, {len(raw)} bytes") from None
    for name in ("prediction_id", "request_id", "error_type", "traceparent", "tracestate", "batch_id"):
        limits.text(getattr(row, name), name)
    for name in ("numbers", "texts", "flags", "vectors", "measures", "segments", "protected"):
        for entry in getattr(row, name):
            key = limits.text(entry.key, f"{name}.key")
            if name in TEXTUAL:
                limits.text(entry.value, f"{name}[{key}]")
    for value in row.nulls:
        limits.text(value, "nulls")
    raise RefusedError(wire.REASON_INVALID_UTF8, "outputs or stages", f"not UTF-8, row of {len(raw)} bytes")


def traceparent(text: str) -> tuple[bytes, bytes, int] | None:
    """Trace id, parent id and flags, or None where W3C Trace Context (level 1, 3.2.2) forbids it."""
    parts = text.split("-")
    if tuple(map(len, parts[:4])) != PART_LENGTHS or parts[0] == "ff" or (parts[0] == "00" and len(parts) > 4):
        return None
    try:
        trace_id, parent_id = bytes.fromhex(parts[TRACE_ID]), bytes.fromhex(parts[PARENT_ID])
        (flags,) = bytes.fromhex(parts[FLAGS])
    except ValueError:
        return None
    if len(trace_id) != 16 or len(parent_id) != 8 or not any(trace_id) or not any(parent_id):
        return None
    return trace_id, parent_id, flags


def start_ns(row: rows_wire.Row, arrived_ns: int) -> int:
    """When the prediction started; a time that int64 does not hold is an unknown one, as in columns."""
    time_ns = row.time_unix_nano
    return time_ns if 0 < time_ns <= TIME_MAX_NS else arrived_ns


def too_many(where: str, detail: str, limit: int) -> RefusedError:
    return RefusedError(wire.REASON_TOO_MANY_FEATURES, where, detail, limit)


def check_text(text: str, where: str, limit: int) -> None:
    if len(text) * 4 > limit and len(text.encode()) > limit:
        raise RefusedError(wire.REASON_TEXT_TOO_LONG, where, f"limit {limit}", limit)


def check_keys(row: rows_wire.Row, limits: Limits) -> None:
    """The part of the check that only a row with new names needs."""
    for where in ("measures", "segments", "protected"):
        for name in getattr(row, where):
            check_text(name, f"{where}.key", limits.text_bytes)
    seen: set[str] = set()
    for where in ("numbers", "texts", "flags", "vectors", "nulls"):
        for name in getattr(row, where):
            if len(name.encode()) > limits.text_bytes:
                raise RefusedError(
                    wire.REASON_TEXT_TOO_LONG,
                    f"{where}.key",
                    f"{len(name.encode())} bytes, limit {limits.text_bytes}",
                    limits.text_bytes,
                )
            if name in seen:
                raise RefusedError(wire.REASON_DUPLICATE_KEY, f"features[{name}]", "stands in two of the row's maps")
            seen.add(name)
    for name, vector in row.vectors.items():
        if not 0 < len(vector.values) <= limits.vector_size:
            raise RefusedError(
                wire.REASON_VECTOR_SIZE,
                f"vectors[{name}]",
                f"{len(vector.values)} values, limit {limits.vector_size}",
                limits.vector_size,
            )
