"""Anything at the door: it answers, neighbours survive, memory is bounded, and what it let in can be counted."""

from __future__ import annotations

import random
import resource
import struct
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.config import Settings
from agent.ingest.limits import Limits
from agent.ingest.server import Server
from agent.wire import labels_pb2, lifecycle_pb2, rows_pb2
from agent.wire import recorder_pb2 as wire
from tests.ingest.door import Door, columns, count, request, row, rows, totals
from tests.ingest.predictions import Prediction, as_columns, as_row

NASTY_TEXTS = ["", "x", "ü", "\0", "a" * 5000, "\u202e", "=,\n\"'", "日" * 1400, "corrupt/", "a.b.c"]
NASTY_NUMBERS = [0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324, 2.0**63]
NASTY_TIMES = [0, 1, 1_700_000_000_000_000_000, 2_015_000_000_000_000_000, 2**63 - 1, 2**63, 2**64 - 1]
NASTY_BYTES = [b"", b"\0", b"\xff", b"\xff" * 16, b"\x01" * 64]


def _nasty_row(r: random.Random) -> rows_pb2.Row:
    def text() -> str:
        return r.choice(NASTY_TEXTS)

    one = rows_pb2.Row(prediction_id=text(), request_id=text(), time_unix_nano=r.choice(NASTY_TIMES))
    one.part, one.status = r.choice([0, 1, 2, 99]), r.choice([0, 1, 3, 77])  # type: ignore[assignment]
    for _ in range(r.randint(0, 4)):
        where = r.choice(["numbers", "texts", "flags", "measures", "segments", "protected", "vectors"])
        key = r.choice(["a", "b", "t", "f", "region", text()])
        if where == "vectors":
            one.vectors[key].values.extend([r.choice([0.0, 1e38, float("nan")])] * r.choice([0, 1, 3, 9000]))
        else:
            values: Any = {"numbers": NASTY_NUMBERS, "measures": NASTY_NUMBERS, "flags": [True, False]}.get(
                where, NASTY_TEXTS
            )
            getattr(one, where)[key] = r.choice(values)
    one.nulls.extend(text() for _ in range(r.choice([0, 0, 1, 3])))
    for _ in range(r.choice([0, 1, 1, 3])):
        output = one.outputs.add(name=r.choice(["", text()]))
        if r.random() < 0.5:
            output.value = r.choice(NASTY_NUMBERS)
        else:
            output.label = text()
        for _ in range(r.choice([0, 1, 5])):
            output.scores[text()] = r.choice(NASTY_NUMBERS)
    if r.random() < 0.5:
        one.latency_seconds = r.choice([*NASTY_NUMBERS, -1.0])
    one.stages.add(name=text(), offset_seconds=r.choice(NASTY_NUMBERS), duration_seconds=r.choice(NASTY_NUMBERS))
    one.traceparent = r.choice(["", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "0-0-0-0", "00-zz-1-01", "-" * 50])
    one.weight = r.choice(NASTY_NUMBERS)
    return one


def _nasty_columns(r: random.Random, message: wire.RecordRequest) -> None:
    c = message.columns
    c.rows = r.choice([0, 1, 3, 8, 8, 8, 200, 2**32 - 1])
    n = min(c.rows, 200)

    def size() -> int:
        return n if r.random() < 0.95 else r.choice([0, n + 1, max(0, n - 1)])

    def bitmap() -> bytes:
        return r.choice([b"", b"", r.randbytes((n + 7) // 8), b"\x01"])

    for _ in range(r.randint(0, 3)):
        name = r.choice(["a", "b", "t", "f", r.choice(NASTY_TEXTS)])
        kind = r.randrange(4)
        if kind == 0:
            c.numbers.add(name=name, values=r.choices(NASTY_NUMBERS, k=size()), nulls=bitmap(), absents=bitmap())
        elif kind == 1:
            words = r.choices(NASTY_TEXTS, k=r.choice([0, 1, 3]))
            codes = r.choices([0, 1, 2, 2**32 - 1] if r.random() < 0.3 else [0], k=size())
            c.texts.add(name=name, dictionary=words, codes=codes, nulls=bitmap(), absents=bitmap())
        elif kind == 2:
            c.flags.add(name=name, values=[True] * size(), nulls=bitmap(), absents=bitmap())
        else:
            width = r.choice([0, 1, 2, 2**32 - 1])
            c.vectors.add(name=name, size=width, values=[0.5] * (size() * min(width, 2)))
    if r.random() < 0.5:
        c.time_unix_nano.extend(r.choices(NASTY_TIMES, k=size()))
    if r.random() < 0.5:
        c.latency_seconds.extend(r.choices(NASTY_NUMBERS, k=size()))
    if r.random() < 0.4:
        absents = r.choice([b"", b"\xff" * ((n + 7) // 8)])
        c.segments.add(
            name="region", dictionary=r.choices(NASTY_TEXTS, k=r.choice([0, 2])), codes=[0] * size(), absents=absents
        )
    if r.random() < 0.4:
        output = c.outputs.add(name=r.choice(["", "x"]))
        output.scores.add(values=r.choices(NASTY_NUMBERS, k=size()))
        if r.random() < 0.5:
            output.labels.dictionary.append("x")
            output.labels.codes.extend([0] * size())
    if r.random() < 0.3:
        c.trace_ids, c.span_ids, c.trace_flags = r.randbytes(16 * size()), r.randbytes(8 * size()), r.randbytes(size())
        c.stages.add(name="s", offset_seconds=r.choices(NASTY_NUMBERS, k=size()), duration_seconds=[1.0] * size())
        c.error_types.dictionary.extend(r.choices(NASTY_TEXTS, k=2))
        c.error_types.codes.extend(r.choices([0, 1, 7], k=size()))
    if r.random() < 0.3:
        c.ids.extend(r.choices(NASTY_TEXTS, k=size()))


def _nasty(r: random.Random) -> bytes:
    message = request(
        r.choice(["m", "m", "n", r.choice(NASTY_TEXTS)]), r.choice(["", "c", "d"]), r.choice([0, 1, r.randint(1, 500)])
    )
    message.sent_at_unix_nano = r.choice(NASTY_TIMES)
    kind = r.randrange(6)
    if kind <= 1:
        message.rows.rows.extend(_nasty_row(r) for _ in range(r.randint(0, 6)))
    elif kind <= 3:
        _nasty_columns(r, message)
    elif kind == 4:
        label = labels_pb2.Label(
            prediction_id=r.choice(NASTY_TEXTS), value=r.choice(NASTY_NUMBERS), time_unix_nano=r.choice(NASTY_TIMES)
        )
        message.labels.labels.extend([label, labels_pb2.Label()])
        if r.random() < 0.5:
            message.label_columns.CopyFrom(labels_pb2.LabelColumns(rows=r.choice([1, 2, 2**32 - 1]), ids=["x", ""]))
    else:
        event = lifecycle_pb2.Event(time_unix_nano=r.choice(NASTY_TIMES))
        event.loaded.positive_label = r.choice(NASTY_TEXTS)
        event.loaded.trained_at_unix_nano = r.choice(NASTY_TIMES)
        message.lifecycle.events.extend([event, lifecycle_pb2.Event()])
    if r.random() < 0.2:
        message.report.dropped_full = 2**64 - 1
    return message.SerializeToString()


def _mutated(r: random.Random, raw: bytes) -> bytes:
    body = bytearray(raw)
    for _ in range(r.randint(1, 8)):
        kind = r.randrange(5)
        at = r.randrange(len(body)) if body else 0
        if kind == 0 and body:
            body[at] ^= 1 << r.randrange(8)
        elif kind == 1:
            del body[at:]
        elif kind == 2:
            body[at:at] = r.randbytes(r.randint(1, 9))
        elif kind == 3 and body:
            del body[at : at + r.randint(1, 9)]
        elif body:
            other = r.randrange(len(body))
            body[at:at] = body[other : other + r.randint(1, 64)]
    return bytes(body[: 1 << 20])


def _anything(r: random.Random) -> bytes:
    kind = r.randrange(10)
    if kind == 0:
        return r.randbytes(r.choice([0, 1, 7, 50, 1000]))
    raw = _nasty(r)
    return _mutated(r, raw) if kind <= 5 else raw


def _good() -> wire.RecordRequest:
    return as_columns(request("good"), [Prediction({"a": 1.0, "t": "x", "f": True}, value=0.5)] * 3)


@pytest.mark.parametrize(("seed", "event_time"), [(1, False), (2, False), (3, True), (4, True)])
def test_anything_is_answered_and_what_is_taken_can_be_counted(seed: int, event_time: bool, tmp_path: Path) -> None:
    """Seeded: random bytes, mutations and well-formed nonsense. Nothing raises; the next good message is taken."""
    r = random.Random(seed)
    door = Door(tmp_path, event_time=event_time, limits=Limits(message_bytes=1 << 19), models_max=12)
    assert door.send(_good()).accepted == 3
    door.take()
    accepted = 0
    for number in range(700):
        answer = door.send(_anything(r))
        assert wire.RecordResponse.FromString(answer.SerializeToString()) == answer
        accepted += answer.accepted
        if number % 60 == 59:
            count(door.take(), event_time)
            assert door.queue.bytes == 0
            fresh = _good()
            assert door.send(fresh).accepted == 3
            one = count(door.take(), event_time)
            assert [s.counters["kept"] for s in one.values()] == [3]
    count(door.take(), event_time)
    assert accepted > 300, "the fuzz must get in, too"
    assert len(door.admission.models) <= 12
    again = Door(tmp_path, event_time=event_time)
    count(again.restored, event_time)
    assert len(again.restored) == door.journal.offset


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_of_a_mutated_row_survive(seed: int, tmp_path: Path) -> None:
    """Whatever bytes a row is made of: it alone is refused, or kept; the rows around it count as ever."""
    r = random.Random(seed)
    door = Door(tmp_path)
    good = as_row(Prediction({"a": 1.0, "t": "x"}, value=0.5)).SerializeToString()
    for _ in range(150):
        bad = _mutated(r, _nasty_row(r).SerializeToString())
        body = b"".join(b"\x0a" + _varint(len(i)) + i for i in (good, bad, good))
        answer = door.send(request().SerializeToString() + b"\x52" + _varint(len(body)) + body)
        named = [i for group in answer.refusals for i in group.index]
        assert answer.accepted >= 2
        assert set(named) <= {1}
    assert totals(door.take())["m"][2] >= 300  # 1.0 lies in the second bin of "a"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_memory_does_not_follow_what_a_message_claims(tmp_path: Path) -> None:
    """4 MB of the worst kinds, one after another: rows whose keys all differ, scores of many classes, false sizes."""
    door = Door(tmp_path)
    sparse = rows(*[row(**{f"k{(i * 20 + j) % 2000}": 1.0 for j in range(20)}) for i in range(9_000)])
    classes = rows(*[row(a=1.0) for _ in range(512)])
    for i, one in enumerate(classes.rows.rows):
        one.outputs.add().scores.update({f"{i}.{j}": 0.1 for j in range(300)})
    wide = rows(*[row(a=1.0) for _ in range(400)])
    for i, one in enumerate(wide.rows.rows):
        one.vectors[f"v{i % 100}"].values.extend([1.0] * 2000)
    lie = columns()
    lie.columns.rows = 2**32 - 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for message in (sparse, classes, wide, lie):
        door.send(message)
        count(door.take())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 200, f"{grown:.0f} MiB more at the peak"


async def test_anything_over_a_real_socket_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unary and streamed, over gRPC: one answer a message, and the server stays up."""
    monkeypatch.setenv("SIDELIGHT_ENDPOINT", f"unix:{tmp_path}/s.sock")
    door = Door(tmp_path / "journal")
    server = Server(Settings(), door.admission)
    server.claim()
    await server.start()
    r = random.Random(11)
    try:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s.sock") as channel:
            unary: Any = channel.unary_unary(
                "/sidelight.v1.Recorder/Record", response_deserializer=wire.RecordResponse.FromString
            )
            for _ in range(200):
                await unary(_anything(r))
            stream: Any = channel.stream_stream("/sidelight.v1.Recorder/RecordStream")
            messages = [_anything(r) for _ in range(200)]
            answers = [a async for a in stream(iter(messages))]
            assert len(answers) == len(messages)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(bytes(8 << 20))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await unary(bytes(4 << 20) + b"x")).refusals[0].reason == wire.REASON_MESSAGE_TOO_LARGE
            assert (await unary(_good().SerializeToString())).accepted == 3
    finally:
        await server.stop(0)
    count(door.take())


def test_struct_sizes_hold() -> None:
    """The twin's arrays are little endian whatever the machine: what tests encode by hand is what a client sends."""
    message = columns("a", count=1)
    assert struct.pack("<d", 0.5) in message.SerializeToString()
