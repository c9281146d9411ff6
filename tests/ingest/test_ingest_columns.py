"""Columns at the door: arrays in any legal encoding, and faults that cost the rows concerned."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from agent.ingest.limits import Limits
from agent.records import select
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2
from tests.ingest.door import Door, batches, columns, refused, request, totals


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _message(*parts: bytes, rows: int = 4) -> bytes:
    """A RecordRequest of columns, whose parts are encoded by hand."""
    body = b"\x08" + _varint(rows) + b"".join(parts)
    return request().SerializeToString() + _field(11, body)


VALUES = [0.5, float("nan"), 3.0, -1.0]
PACKED = struct.pack("<4d", *VALUES)
EXPECTED = columns()
EXPECTED.columns.numbers.add(name="a", values=VALUES)


def _number(values: bytes) -> bytes:
    return _field(10, _field(1, b"a") + values)


@pytest.mark.parametrize(
    "values",
    [
        _field(2, PACKED),
        _field(2, PACKED[:16]) + _field(2, PACKED[16:]),
        b"".join(_field(2, PACKED[i : i + 8]) for i in range(0, 32, 8)),
        b"".join(b"\x11" + PACKED[i : i + 8] for i in range(0, 32, 8)),
        _field(2, PACKED[:16]) + b"\x11" + PACKED[16:24] + b"\x11" + PACKED[24:],
        _field(2, b"") + _field(2, PACKED),
    ],
    ids=["packed", "two chunks", "a chunk each", "unpacked", "mixed", "an empty chunk"],
)
def test_every_legal_encoding_of_an_array_counts_alike(values: bytes, tmp_path: Path) -> None:
    """Packed, in chunks, unpacked or mixed: parsers must take them all."""
    one, other = Door(tmp_path / "1"), Door(tmp_path / "2")
    assert one.send(_message(_number(values))).accepted == 4
    other.send(EXPECTED)
    assert totals(one.take()) == totals(other.take())


def test_unpacked_codes_and_flags_are_read(tmp_path: Path) -> None:
    """Likewise for fixed32 codes and for booleans, also such as take two bytes."""
    door = Door(tmp_path)
    codes = b"".join(b"\x1d" + struct.pack("<I", c) for c in (0, 1, 0, 1))
    texts = _field(11, _field(1, b"t") + _field(2, b"x") + _field(2, b"z") + codes)
    flags = _field(12, _field(1, b"f") + _field(2, b"\x01\x80\x01\x00\x01"))
    assert door.send(_message(texts, flags)).accepted == 4
    (batch,) = batches(door.take())
    assert [batch.features.texts["t"].dictionary[c] for c in batch.features.texts["t"].codes] == ["x", "z", "x", "z"]
    assert batch.features.flags["f"].values.tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    "where", ["values", "codes", "nulls", "latency", "status", "times", "weights", "ids", "scores"]
)
def test_a_column_of_another_length_refuses_the_message(where: str, tmp_path: Path) -> None:
    """Which row a misfit value belongs to is not known: every record is refused, by the column's name."""
    door, message = Door(tmp_path), columns("a")
    c = message.columns
    if where == "values":
        c.numbers.add(name="b", values=[1.0] * 3)
    elif where == "codes":
        c.texts.add(name="t", dictionary=["x"], codes=[0] * 5)
    elif where == "nulls":
        c.numbers[0].nulls = b"\x01\x00"
    elif where == "latency":
        c.latency_seconds.extend([0.1] * 3)
    elif where == "status":
        c.status.extend([rows_pb2.STATUS_OK] * 5)
    elif where == "times":
        c.time_unix_nano.append(1)
    elif where == "weights":
        c.weights.append(1.0)
    elif where == "ids":
        c.ids.append("x")
    else:
        c.outputs.add().scores.add(values=[0.5])
    answer = door.send(message)
    assert (answer.accepted, refused(answer)) == (0, {wire.REASON_COLUMN_LENGTH: 4})
    assert door.send(columns("a")).accepted == 4


def test_a_code_outside_its_dictionary_costs_its_row(tmp_path: Path) -> None:
    """Unless the row is null or absent there: then the code says nothing."""
    door, message = Door(tmp_path), columns("a")
    message.columns.texts.add(name="t", dictionary=["x"], codes=[0, 7, 2**32 - 1, 9], nulls=b"\x04", absents=b"\x08")
    answer = door.send(message)
    assert (answer.accepted, refused(answer)) == (3, {wire.REASON_CODE_OUT_OF_RANGE: 1})
    assert list(answer.refusals[0].index) == [1]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [(b"\xff\xfe", wire.REASON_INVALID_UTF8), (b"x" * 5000, wire.REASON_TEXT_TOO_LONG)],
)
def test_a_bad_dictionary_entry_costs_the_rows_that_use_it(entry: bytes, reason: int, tmp_path: Path) -> None:
    """The other rows are kept with their own texts; an entry no row uses costs nothing."""
    door = Door(tmp_path)
    texts = _field(1, b"t") + _field(2, b"x") + _field(2, entry) + _field(2, entry)
    codes = _field(3, struct.pack("<4I", 0, 1, 0, 0))
    answer = door.send(_message(_field(11, texts + codes)))
    assert (answer.accepted, refused(answer)) == (3, {reason: 1})
    (batch,) = batches(door.take())
    assert [batch.features.texts["t"].dictionary[c] for c in batch.features.texts["t"].codes] == ["x"] * 3


def test_ids_are_doubted_row_by_row(tmp_path: Path) -> None:
    """An id too long or not UTF-8 costs its row; an id's prefix is every row's."""
    door = Door(tmp_path)
    ids = _field(4, b"fine") + _field(4, b"\xff") + _field(4, b"x" * 5000) + _field(4, "ü".encode())
    answer = door.send(_message(ids))
    assert refused(answer) == {wire.REASON_INVALID_UTF8: 1, wire.REASON_TEXT_TOO_LONG: 1}
    prefix = _field(2, b"p" * 5000) + _field(3, struct.pack("<4Q", 1, 2, 3, 4))
    assert refused(door.send(_message(prefix))) == {wire.REASON_TEXT_TOO_LONG: 4}


def test_a_feature_in_two_columns_is_refused_where_both_have_it(tmp_path: Path) -> None:
    """Two typed columns of one name, present in turn, are a mixed feature; in one row at once they are a fault."""
    door, message = Door(tmp_path), columns()
    message.columns.numbers.add(name="a", values=[1.0] * 4, absents=b"\x08")
    message.columns.texts.add(name="a", dictionary=["x"], codes=[0] * 4, absents=b"\x03")
    answer = door.send(message)
    assert refused(answer) == {wire.REASON_DUPLICATE_KEY: 1}
    assert list(answer.refusals[0].index) == [2]
    twice = columns("a", "a")
    assert refused(door.send(twice)) == {wire.REASON_DUPLICATE_KEY: 4}


def test_limits_are_named(tmp_path: Path) -> None:
    """10,000 features, long names, vectors without or beyond size: each refusal names its field and its limit."""
    door = Door(tmp_path, limits=Limits(features=50, vector_size=8))
    for message, reason, limit in (
        (columns(*[f"n{i}" for i in range(51)]), wire.REASON_TOO_MANY_FEATURES, 50),
        (columns("n" * 5000), wire.REASON_TEXT_TOO_LONG, 4096),
        (_vectors(0), wire.REASON_VECTOR_SIZE, 8),
        (_vectors(9), wire.REASON_VECTOR_SIZE, 8),
    ):
        answer = door.send(message)
        assert (refused(answer), answer.refusals[0].limit) == ({reason: 4}, limit)
        assert answer.refusals[0].field


def _vectors(size: int) -> wire.RecordRequest:
    message = columns()
    message.columns.vectors.add(name="v", size=size, values=[0.5] * 4 * size)
    return message


def test_a_refusal_never_carries_a_value(tmp_path: Path) -> None:
    """Secrets stay: type and length only."""
    door = Door(tmp_path)
    message = columns()
    message.columns.texts.add(name="t", dictionary=["secret" * 1000], codes=[0] * 4)
    assert b"secretsecret" not in door.send(message).SerializeToString()


def test_an_answer_is_bounded_however_many_fields_fail(tmp_path: Path) -> None:
    """A stamped sender's window keeps its answers: one message cannot make a large one."""
    door, message = Door(tmp_path), columns(count=500)
    for i in range(500):
        codes = [0] * 500
        codes[i] = 9
        message.columns.texts.add(name=f"{i}" + "n" * 3000, dictionary=["x"], codes=codes)
    answer = door.send(message)
    assert refused(answer) == {wire.REASON_CODE_OUT_OF_RANGE: 500}
    assert answer.ByteSize() < 64 << 10
    assert any(group.field == "further fields" for group in answer.refusals)


def test_a_trace_of_a_column_message_is_kept_whole(tmp_path: Path) -> None:
    """Rows' trace contexts travel with their ids, sampled or not, also over refused neighbours."""
    door, message = Door(tmp_path), columns("a")
    c = message.columns
    c.trace_ids = bytes(16) + b"\x01" * 48
    c.span_ids = b"\x02" * 32
    c.trace_flags = b"\x01\x01\x00\x01"
    c.id_prefix = "p-"
    c.id_numbers.extend([1, 2, 3, 4])
    door.send(message)
    (batch,) = batches(door.take())
    assert [(t.row, t.prediction_id, t.flags) for t in batch.traces] == [(1, "p-2", 1), (2, "p-3", 0), (3, "p-4", 1)]
    assert batch.traces.rows.tolist() == [1, 2, 3]
    kept = select(batch, np.array([0, 3])).traces
    assert (kept.rows.tolist(), [t.prediction_id for t in kept]) == ([1], ["p-4"])


def test_a_status_without_a_word_is_an_error_of_the_conventions(tmp_path: Path) -> None:
    """error.type: the sender's own, else the status' word, else _OTHER; and the tracestate travels."""
    door, message = Door(tmp_path), columns("a")
    c = message.columns
    c.trace_ids, c.span_ids = b"\x01" * 64, b"\x02" * 32
    c.status.extend([rows_pb2.STATUS_OK, rows_pb2.STATUS_ERROR, rows_pb2.STATUS_TIMEOUT, rows_pb2.STATUS_REJECTED])
    c.trace_states.dictionary.extend(["vendor=1", "x" * 513])
    c.trace_states.codes.extend([0, 1, 0, 0])
    door.send(message)
    (batch,) = batches(door.take())
    assert [t.error_type for t in batch.traces] == ["", "_OTHER", "timeout", "rejected"]
    assert [t.state for t in batch.traces] == ["vendor=1", "", "vendor=1", "vendor=1"]


def test_of_a_large_dictionary_only_what_rows_use_is_read(tmp_path: Path) -> None:
    """A hundred thousand bad entries cost the one row that uses one; null rows use none; texts stay their rows'."""
    door = Door(tmp_path)
    entries = b"".join(_field(2, b"\xff") for _ in range(100_000)) + _field(2, b"x") + _field(2, b"y")
    codes = _field(3, struct.pack("<4I", 100_001, 5, 100_000, 6))
    answer = door.send(_message(_field(11, _field(1, b"t") + entries + codes + _field(4, b"\x08"))))
    assert (answer.accepted, refused(answer)) == (3, {wire.REASON_INVALID_UTF8: 1})
    (batch,) = batches(door.take())
    texts = batch.features.texts["t"]
    assert [texts.dictionary[c] for c in texts.codes[:2]] == ["y", "x"]
    assert len(texts.dictionary) <= 4


def test_a_dictionary_met_before_is_read_alike(tmp_path: Path) -> None:
    """What is remembered of earlier messages changes no text: the same entries in another order, or one of them bad."""
    door = Door(tmp_path)
    for entries in ([b"x", b"y"], [b"y", b"x"], [b"x", b"y"], [b"x", b"\xff"], [b"x", b"y"]):
        dictionary = b"".join(_field(2, entry) for entry in entries)
        door.send(_message(_field(11, _field(1, b"t") + dictionary + _field(3, struct.pack("<4I", 0, 1, 0, 1)))))
        (batch,) = batches(door.take())
        texts = batch.features.texts["t"]
        wanted = [e.decode() for e in entries if e != b"\xff"] * 2
        assert [texts.dictionary[c] for c in texts.codes] == wanted


@pytest.mark.parametrize("what", ["measures", "segments", "protected", "outputs", "scores", "stages"])
def test_what_stands_beside_the_features_is_limited_too(what: str, tmp_path: Path) -> None:
    """Each further kind of column counts against the limit of features."""
    door, message = Door(tmp_path, limits=Limits(features=20)), columns("a")
    c = message.columns
    for i in range(21):
        if what == "scores":
            (c.outputs[0] if c.outputs else c.outputs.add()).scores.add(**{"class": str(i)}, values=[0.5] * 4)
        else:
            getattr(c, what).add(name=str(i))
    assert refused(door.send(message)) == {wire.REASON_TOO_MANY_FEATURES: 4}


def test_a_trace_keeps_its_error_type_and_its_first_stages(tmp_path: Path) -> None:
    """Error types come by row; of very many stages the first 64 are kept."""
    door, message = Door(tmp_path), columns("a")
    c = message.columns
    c.trace_ids = b"\x01" * 64
    c.error_types.dictionary.extend(["Timeout", "503"])
    c.error_types.codes.extend([1, 0, 0, 1])
    c.error_types.absents = b"\x04"
    for i in range(80):
        c.stages.add(name=str(i), offset_seconds=[0.0] * 4, duration_seconds=[0.1, 0.1, 0.1, float("nan")])
    door.send(message)
    (batch,) = batches(door.take())
    assert [t.error_type for t in batch.traces] == ["503", "Timeout", "", "503"]
    assert [len(t.stages) for t in batch.traces] == [64, 64, 64, 0]


def test_a_column_in_very_many_empty_chunks_is_read(tmp_path: Path) -> None:
    """Legal, and of no use to anybody: packed anew once, and read."""
    door = Door(tmp_path)
    numbers = _field(3, b"") * 10_000 + _field(3, struct.pack("<4Q", 1, 2, 3, 4))
    assert door.send(_message(_number(_field(2, PACKED)), numbers, _field(20, b"\x01" * 64))).accepted == 4
    (batch,) = batches(door.take())
    assert [t.prediction_id for t in batch.traces] == ["1", "2", "3", "4"]
