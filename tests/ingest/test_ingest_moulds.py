"""Messages of a known mould make the batches and answers that they make when each is read, whatever their bytes."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RefusedError
from agent.ingest import moulds
from agent.ingest.casts import Cast
from agent.ingest.columns import Decoded, Reader
from agent.ingest.limits import Limits, Refusals
from agent.ingest.mould import Mould
from agent.ingest.moulding import mould_of
from agent.ingest.moulds import ROWS_MIN, Moulds
from agent.ingest.together import Together, plain
from agent.records import Batch, ModelKey
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2, twin_pb2
from tests.ingest.door import Door, batches, new_folder, refused

MODEL = ModelKey("m", "1")
HOUR_NS = 3_600_000_000_000
ARRIVED_NS = 472_000 * HOUR_NS
NAMED = ("numbers", "texts", "flags", "measures", "segments", "protected")
SINGLE = ("id_numbers", "request_id_numbers", "time_unix_nano", "latency_seconds", "status", "weights")
NUMBERS = np.array([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, 5e-324, 1e308])
WORDS = ("x", "ü", "", "日本")
DECODED = Decoded()  # the door gives equal dictionaries as the same object


@dataclass(frozen=True)
class Structure:
    """How messages are built. columns: kind, name, and which bitmaps each has; output: of what it has one."""

    rows: int
    columns: tuple[tuple[str, str, tuple[bool, bool]], ...]
    single: tuple[str, ...]
    output: tuple[str, ...]
    prefixes: bool

    def message(self, rng: np.random.Generator, sequence: int = 0) -> wire.RecordRequest:
        request = wire.RecordRequest(model=wire.Model(name="m", version="1"), client_id="c" * (sequence > 0))
        request.sequence = sequence
        columns, rows = request.columns, self.rows
        columns.rows = rows
        if self.prefixes:
            columns.id_prefix, columns.request_id_prefix = rng.choice(["a-", "b-", "p7"]), "r-"
        for name in self.single:
            getattr(columns, name).extend(_single(name, rows, rng))
        for kind, name, bitmaps in self.columns:
            _fill(getattr(columns, kind).add(name=name), kind, rows, rng, bitmaps)
        if self.output:
            output = columns.outputs.add()
            for part in self.output:
                if part == "values":
                    output.values.values.extend(rng.choice(NUMBERS, rows))
                elif part == "labels":
                    _fill(output.labels, "texts", rows, rng, (False, False))
                else:
                    scores = rng.random(rows) if rng.random() < 0.5 else rng.choice(NUMBERS, rows)
                    output.scores.add(values=scores, **{"class": part})
        return request


def _single(name: str, rows: int, rng: np.random.Generator) -> list[Any]:
    if name == "status":
        return [int(status) for status in rng.integers(0, 4, rows)]
    if name in ("latency_seconds", "weights"):
        return [float(number) for number in rng.choice(NUMBERS, rows)]
    times = [0, 1, ARRIVED_NS, 1 << 63, (1 << 64) - 1] if rng.random() < 0.5 else [ARRIVED_NS]
    return [times[i] for i in rng.integers(0, len(times), rows)]


def _fill(column: Any, kind: str, rows: int, rng: np.random.Generator, bitmaps: tuple[bool, bool]) -> None:
    if kind in ("texts", "segments", "protected"):
        column.dictionary.extend(WORDS)
        column.codes.extend(rng.integers(0, len(WORDS), rows).tolist())
    elif kind == "flags":
        column.values.extend((rng.random(rows) < 0.5).tolist())
    else:
        column.values.extend(rng.choice(NUMBERS, rows).tolist())
    for there, name in zip(bitmaps, ("nulls", "absents"), strict=True):
        if there:
            setattr(column, name, np.packbits(rng.random(rows) < 0.3, bitorder="little").tobytes())


NAMES = st.sampled_from(["a", "ü", "n" * 200])
STRUCTURES = st.builds(
    Structure,
    st.integers(ROWS_MIN, ROWS_MIN + 9),
    st.lists(
        st.tuples(st.sampled_from(NAMED), NAMES, st.tuples(st.booleans(), st.booleans())),
        max_size=6,
        unique_by=lambda column: column[1],
    ).map(tuple),
    st.lists(st.sampled_from(SINGLE), unique=True).map(tuple),
    st.sampled_from([(), ("values",), ("labels", "", "yes"), ("yes", "values", "no"), ("",)]),
    st.booleans(),
)  # fmt: skip
WIDE = Structure(
    20,
    tuple((kind, f"{kind}_{i}", (i == 1, i == 2)) for kind in NAMED for i in range(3)),
    SINGLE,
    ("values", "labels", "", "yes"),
    prefixes=True,
)


def _read(raw: bytes, arrived_ns: int = ARRIVED_NS) -> Batch | None:
    """As it is read without moulds; None where it, or a record of it, is refused."""
    refusals = Refusals.none(20)
    try:
        columns = twin_pb2.Request.FromString(raw).columns
        refusals = Refusals.none(min(columns.rows, 1 << 20))
        found = Reader(columns, Limits(), refusals, DECODED).batch(MODEL, arrived_ns)
    except RefusedError:
        return None
    return None if refusals.count else found


def _known(*raws: bytes) -> Moulds:
    found = Moulds()
    for raw in (*raws, *raws):
        batch = _read(raw)
        assert batch is not None
        found.learn(raw, batch)
    return found


def _cast(known: Moulds, raw: bytes, arrived_ns: int = ARRIVED_NS) -> Cast | None:
    found = known.find(raw)
    return None if found is None else Cast(found.mould, found.columns, MODEL, arrived_ns)


def exactly(found: Any) -> Any:
    """A batch as what can be compared to the last bit."""
    if isinstance(found, np.ndarray):
        return found.dtype.str, found.shape, found.tobytes()
    if isinstance(found, dict):
        return [(name, exactly(own)) for name, own in found.items()]
    if isinstance(found, (tuple, list)):
        return tuple(map(exactly, found))
    return found


def _exactly(batch: Batch) -> Any:
    return exactly(astuple(replace(batch, traces=())))  # type: ignore[arg-type]


@given(STRUCTURES, st.integers(0, 1 << 32))
def test_messages_of_one_mould_are_the_batches_that_reading_makes_of_them(structure: Structure, seed: int) -> None:
    """Alone and put together; every kind of column, in their order, with and without bitmaps, whoever sent them."""
    rng = np.random.default_rng(seed)
    raws = [structure.message(rng, sequence).SerializeToString() for sequence in (0, 7, 300)]
    known = _known(raws[0])
    casts = [_cast(known, raw, ARRIVED_NS + i) for i, raw in enumerate(raws)]
    read = [_read(raw, ARRIVED_NS + i) for i, raw in enumerate(raws)]
    whole = [(cast, batch) for cast, batch in zip(casts, read, strict=True) if cast is not None and batch is not None]
    assert len(whole) == 3
    for cast, batch in whole:
        assert _exactly(cast.batch()) == _exactly(batch)
        assert plain(cast) == plain(batch)
    if not plain(whole[0][0]):
        return
    together, apart = Together(whole[0][0], HOUR_NS), Together(whole[0][1], HOUR_NS)
    for cast, batch in whole[1:]:
        assert together.takes(cast, HOUR_NS)
        assert apart.takes(batch, HOUR_NS)
    assert _exactly(together.batch()) == _exactly(apart.batch())


def test_moulds_that_differ_in_rows_and_bitmaps_are_put_together() -> None:
    """Nulls come and go, and so do rows: what has the same names and dictionaries is counted together."""
    rng = np.random.default_rng(3)
    structures = [
        replace(WIDE, rows=rows, columns=tuple((kind, name, bitmaps) for kind, name, _ in WIDE.columns))
        for rows, bitmaps in ((16, (False, False)), (20, (True, False)), (25, (True, True)))
    ]
    raws = [structure.message(rng).SerializeToString() for structure in structures]
    known = _known(*raws)
    casts = [cast for raw in raws if (cast := _cast(known, raw)) is not None]
    read = [batch for raw in raws if (batch := _read(raw)) is not None]
    assert len(casts) == len(read) == 3
    together, apart = Together(casts[0], HOUR_NS), Together(read[0], HOUR_NS)
    for cast, batch in zip(casts[1:], read[1:], strict=True):
        assert together.takes(cast, HOUR_NS)
        assert apart.takes(batch, HOUR_NS)
    assert _exactly(together.batch()) == _exactly(apart.batch())


def test_messages_with_other_words_are_put_together() -> None:
    """In another order, or not all of them, as senders have them; however each was read."""
    rng, raws = np.random.default_rng(3), []
    structure = replace(WIDE, columns=(("texts", "a", (False, False)), ("texts", "b", (True, False))))
    for words in (WORDS, WORDS[::-1], (*WORDS[1:], "new")):
        message = structure.message(rng)
        del message.columns.texts[0].dictionary[:]
        message.columns.texts[0].dictionary.extend(words)
        raws.append(message.SerializeToString())
    known = _known(*raws)
    casts = [cast for raw in raws if (cast := _cast(known, raw)) is not None]
    read = [batch for raw in raws if (batch := _read(raw)) is not None]
    assert len(casts) == len(read) == 3
    found = []
    several: list[list[Batch | Cast]] = [[*casts], [*read], [casts[0], read[1], casts[2]], [read[0], casts[1], read[2]]]
    for one, *others in several:
        begun = Together(one, HOUR_NS)
        assert all(begun.takes(other, HOUR_NS) for other in others)
        found.append(begun.batch())
    texts = found[0].features.texts["a"]
    apart = [batch.features.texts["a"] for batch in read]
    assert [texts.dictionary[code] for code in texts.codes] == [
        own.dictionary[code] for own in apart for code in own.codes
    ]
    for other in found[1:]:
        assert _exactly(other) == _exactly(found[0])


@given(st.data())
def test_a_message_with_a_byte_changed_is_read_or_is_what_reading_makes_of_it(data: st.DataObject) -> None:
    """Whatever a sender, or a wire, does to a message of a known mould: cut, longer, another byte, another body."""
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    raw = WIDE.message(rng, 7).SerializeToString()
    known = _known(raw)
    at = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).map(lambda value: bytes([value])))
    rows = wire.RecordRequest()
    rows.rows.rows.add(prediction_id="x")
    other = data.draw(st.sampled_from([b"", byte, raw, rows.SerializeToString(), b"\xf8\x01\x05", b"\x0a\x02\x0a\xff"]))
    before, behind = raw[:at], raw[at + 1 :]
    either = [before + byte + behind, before, before + byte + raw[at:], before + behind, raw + other, other + raw]
    changed = data.draw(st.sampled_from(either))
    cast = _cast(known, changed)
    if cast is None:
        return
    batch = _read(changed)
    assert batch is not None
    assert _exactly(cast.batch()) == _exactly(batch)
    assert _beside(changed) == _beside_of(known, changed)


def _beside(raw: bytes) -> Any:
    request = twin_pb2.Request.FromString(raw)
    return request.WhichOneof("body"), request.columns.rows, _stamp(request)


def _beside_of(known: Moulds, raw: bytes) -> Any:
    found = known.find(raw)
    assert found is not None
    return found.request.WhichOneof("body"), found.request.columns.rows, _stamp(found.request)


def _stamp(request: twin_pb2.Request) -> Any:
    return request.model, request.client_id, request.sequence, request.sent_at_unix_nano, request.report


@pytest.mark.parametrize(
    "more",
    [
        {"ids": ["a"] * 20},
        {"part": [rows_pb2.PART_COMPLETE] * 20},
        {"trace_ids": bytes(16 * 20)},
        {"error_types": {"dictionary": ["e"], "codes": [0] * 20}},
        {"vectors": [{"name": "v", "size": 1, "values": [0.0] * 20}]},
        {"stages": [{"name": "s", "offset_seconds": [0.0] * 20, "duration_seconds": [0.0] * 20}]},
        {"outputs": [{"scores": [{"values": [0.0] * 20}, {"values": [1.0] * 20}]}]},
        {"segments": [{"name": "wide", "dictionary": [str(i) for i in range(900)], "codes": [0] * 20}]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_has_no_mould_is_read(more: dict[str, Any]) -> None:
    structure = replace(WIDE, columns=(), single=("time_unix_nano",), output=())
    message = structure.message(np.random.default_rng(1))
    plainly = message.SerializeToString()
    message.columns.MergeFrom(type(message.columns)(**more))
    raw = message.SerializeToString()
    assert _known(plainly).find(plainly) is not None
    assert _known(raw).find(raw) is None


def test_the_door_answers_and_keeps_alike_with_and_without_moulds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among them messages with a code out of range, with a prefix that is no text, and sent twice."""

    def run() -> tuple[list[bytes], list[Any], list[Any]]:
        rng, folder, answers = np.random.default_rng(4), new_folder(), []
        door = Door(folder)
        for i in range(40):
            message = WIDE.message(rng, i + 1)
            if i % 7 == 5:
                message.columns.texts[0].codes[3] = 99
            raw = message.SerializeToString()
            if i % 7 == 6:
                raw = raw.replace(b"r-", b"\xff-", 1)
            answers += [door.send(raw).SerializeToString() for _ in range(1 + (i % 11 == 10))]
        kept = [_exactly(replace(batch, ids=None)) for batch in batches(door.take())]
        door.journal.close()
        again = Door(folder)
        restored = [_exactly(replace(batch, ids=None)) for batch in batches(again.restored)]
        again.journal.close()
        return answers, kept, restored

    found: list[int] = []
    find = Moulds.find

    def counted(self: Moulds, raw: bytes) -> moulds.Found | None:
        one = find(self, raw)
        found.append(one is not None)
        return one

    monkeypatch.setattr(Moulds, "find", counted)
    answers, kept, restored = run()
    assert sum(found) > 20
    monkeypatch.setattr(Moulds, "find", lambda self, raw: None)
    assert run() == (answers, kept, restored)
    assert kept == restored
    assert sum(sum(refused(wire.RecordResponse.FromString(answer)).values()) for answer in answers) > 100


def test_messages_that_never_come_again_are_hardly_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning costs what reading does: it is paid by those that come again. A first message teaches nothing."""
    learned: list[bytes] = []

    def counted(raw: bytes, batch: Batch) -> Mould:
        learned.append(raw)
        return mould_of(raw, batch)

    monkeypatch.setattr(moulds, "mould_of", counted)
    known, message = Moulds(), WIDE.message(np.random.default_rng(2))
    batch = _read(message.SerializeToString())
    assert batch is not None
    for i in range(640):
        message.columns.texts[0].dictionary[0] = f"{i:08d}"
        raw = message.SerializeToString()
        assert known.find(raw) is None
        known.learn(raw, batch)
    assert 64 <= len(learned) <= 64 + 640 / 64


def test_many_moulds_are_forgotten_at_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moulds, "BYTES_MAX", 40_000)
    rng, known = np.random.default_rng(2), Moulds()
    held = []
    for rows in range(ROWS_MIN, ROWS_MIN + 20):
        raw = replace(WIDE, rows=rows).message(rng).SerializeToString()
        batch = _read(raw)
        assert batch is not None
        known.learn(raw, batch)
        known.learn(raw, batch)
        held.append(known.held_bytes)
    assert max(held) <= 40_000
    assert held != sorted(held)


def test_no_message_is_put_with_one_of_another_family() -> None:
    """However the two were read; those of one family are, and are what they are when all are read."""
    rng = np.random.default_rng(2)
    others = (WIDE, replace(WIDE, output=("values",)), replace(WIDE, single=("time_unix_nano",)))
    raws = [structure.message(rng).SerializeToString() for structure in others]
    known = _known(*raws)
    first, *rest = [cast for raw in raws if (cast := _cast(known, raw)) is not None]
    assert len(rest) == 2
    for other in rest:
        for one, its in ((first, other), (first, other.batch()), (first.batch(), other)):
            assert not Together(one, HOUR_NS).takes(its, HOUR_NS)
    read, several = first.batch(), _cast(known, WIDE.message(rng).SerializeToString())
    assert several is not None
    mixed, apart = Together(first, HOUR_NS), Together(read, HOUR_NS)
    assert mixed.takes(read, HOUR_NS)
    assert mixed.takes(several, HOUR_NS)
    assert apart.takes(several, HOUR_NS)
    assert apart.takes(read, HOUR_NS)
    whole = Together(first, HOUR_NS)
    assert whole.takes(first, HOUR_NS)
    assert whole.takes(several, HOUR_NS)
    assert _exactly(mixed.batch()) == _exactly(whole.batch())
    assert apart.rows == 3 * WIDE.rows
