"""Rows that are read together make the batch that they make one by one, or are left to be read one by one."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RefusedError
from agent.ingest.alike import PAUSE_MAX, ROWS_MIN, Alike, Shapes, read
from agent.ingest.limits import Limits
from agent.ingest.row import parse
from agent.ingest.rows import Gathering
from agent.ingest.shape import shape_of
from agent.records import ModelKey, Texts
from agent.wire import rows_pb2
from tests.ingest.door import Door, batches, new_folder, refused, request, totals

MODEL = ModelKey("m", "1")
ARRIVED_NS = 1_700_000_000_000_000_000
NUMBERS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, float("nan")])
TEXTS = st.sampled_from(["", "x", "ü", "日本", "a\0b", "a\0", "\0\0", "z" * 127]) | st.text(max_size=5)
TIMES = st.sampled_from([1, ARRIVED_NS, 2**63 - 1, 2**63, 2**64 - 1])
NAMES = st.sampled_from(["a", "b", "t", "", "ü", "n" * 40])
Field = Callable[[Any], rows_pb2.Row]


def _output(given: tuple[float, str], kind: str, scores: tuple[str, ...]) -> rows_pb2.Row:
    number, text = given
    found = rows_pb2.Row()
    output = found.outputs.add()
    if kind == "value":
        output.value = number
    if kind == "label":
        output.label = text
    for name in scores:
        output.scores[name] = number
    return found


def _mapped(where: str, name: str) -> Field:
    def make(value: Any) -> rows_pb2.Row:
        found = rows_pb2.Row()
        getattr(found, where)[name] = value
        return found

    return make


def _own(name: str) -> Field:
    return lambda value: rows_pb2.Row(**{name: value})


@st.composite
def _fields(draw: st.DrawFn) -> list[tuple[Field, st.SearchStrategy[Any]]]:
    """What the rows of a message have, in the order in which they have it, and what it may be."""
    maps = st.tuples(st.sampled_from(["numbers", "texts", "segments"]), NAMES)
    found: list[tuple[Field, st.SearchStrategy[Any]]] = [
        (_mapped(where, name), NUMBERS if where == "numbers" else TEXTS)
        for where, name in draw(st.lists(maps, max_size=6, unique=draw(st.integers(0, 9)) > 0))
    ]
    for name, values in (("time_unix_nano", TIMES), ("latency_seconds", NUMBERS), ("weight", NUMBERS.filter(bool))):
        if draw(st.booleans()):
            found.append((_own(name), values))
    found += [(_own(name), TEXTS) for name in ("prediction_id", "request_id") if draw(st.booleans())]
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["value", "label", "none"]))
        scores = tuple(draw(st.lists(st.sampled_from(["", "yes", "no"]), unique=True, max_size=2)))
        found.append((lambda given: _output(given, kind, scores), st.tuples(NUMBERS, TEXTS)))
    return draw(st.permutations(found))


@st.composite
def _messages(draw: st.DrawFn) -> list[bytes]:
    """Encoded rows of the same fields, now and then with one in another order, or with something more or less."""
    fields, rows = draw(_fields()), draw(st.integers(ROWS_MIN, ROWS_MIN + 3))
    items = [b"".join([make(draw(values)).SerializeToString() for make, values in fields]) for _ in range(rows)]
    if draw(st.integers(0, 4)) == 0:
        failed = rows_pb2.Row(status=rows_pb2.STATUS_ERROR)
        more = draw(st.sampled_from([failed, rows_pb2.Row(nulls=["a"]), rows_pb2.Row(flags={"f": True})]))
        items[draw(st.integers(0, len(items) - 1))] += more.SerializeToString()
    return items


def _add(gathering: Gathering, items: list[bytes], which: Iterable[int]) -> list[int]:
    """Adds these one by one; gives those that were not refused."""
    added = []
    for i in which:
        try:
            gathering.add(parse(items[i], gathering.limits), items[i], ARRIVED_NS)
            added.append(i)
        except RefusedError:
            pass
    return added


def _walked(items: list[bytes]) -> Any:
    """The batch of rows read one by one."""
    gathering = Gathering(MODEL, ARRIVED_NS, Limits())
    _add(gathering, items, range(len(items)))
    return plain(gathering.batch())


def _together(*messages: tuple[list[bytes], Alike]) -> Any:
    """The batch of messages whose rows were read together, but for the odd ones."""
    gathering = Gathering(MODEL, ARRIVED_NS, Limits())
    for items, found in messages:
        gathering.take(found, _add(gathering, items, found.odd))
    return plain(gathering.batch())


def plain(found: Any) -> Any:
    """A batch as what can be compared: columns in any order, texts whatever their codes."""
    if isinstance(found, Texts):
        texts = np.array([found.dictionary[code] for code in found.codes], object)
        return [None if gone else text for text, gone in zip(texts, _gone(found), strict=True)], plain(found.state)
    if isinstance(found, np.ndarray):
        return found.dtype.str, found.shape, found.tobytes()
    if isinstance(found, dict):
        return {name: plain(one) for name, one in found.items()}
    if hasattr(found, "__slots__") and not isinstance(found, ModelKey):
        return [(name, plain(getattr(found, name))) for name in found.__slots__ if name != "make"]
    return found


def _gone(texts: Texts) -> Any:
    return np.zeros(len(texts.codes)) if texts.state is None else texts.state


@given(_messages())
def test_rows_read_together_are_those_read_one_by_one(items: list[bytes]) -> None:
    """Whatever the rows hold and in whatever order: the same batch, or none where they are not built alike."""
    found = Shapes().read(items, Limits(), ARRIVED_NS)
    if found is not None:
        assert _together((items, found)) == _walked(items)
    else:
        assert shape_of(items[0]) is None or sum(map(_alike_to(items[0]), items)) < max(ROWS_MIN, 0.75 * len(items))


def _alike_to(first: bytes) -> Callable[[bytes], bool]:
    shape = shape_of(first)
    assert shape is not None
    return shape.of


@given(_messages(), st.randoms(use_true_random=False))
def test_broken_rows_are_never_read_together_otherwise(items: list[bytes], r: random.Random) -> None:
    """Bytes changed, lost or added: what is still read together is what one by one would give."""
    first = shape_of(items[0])
    at = r.randrange(len(items))
    broken = bytearray(items[at])
    for _ in range(r.randint(1, 3)):
        where = r.randint(0, len(broken))
        broken[where : where + r.randint(0, 2)] = r.choice([b"", b"\0", b"\xff", b"\x80", r.randbytes(2)])
    items[at] = bytes(broken)
    for shape in (first, shape_of(items[0])):
        found = None if shape is None else read(items, shape, Limits(), ARRIVED_NS)
        if found is not None:
            assert _together((items, found)) == _walked(items)


def _items(names: str, rows: int = ROWS_MIN, **own: Any) -> list[bytes]:
    """Rows of these numbers, in this order."""
    fields = [[rows_pb2.Row(numbers={name: i + ord(name)}) for name in names] for i in range(rows)]
    return [b"".join([one.SerializeToString() for one in (*row, rows_pb2.Row(**own))]) for row in fields]


def _read(items: list[bytes], limits: Limits) -> Alike | None:
    return Shapes().read(items, limits, ARRIVED_NS)


def test_the_usual_row_is_read_together() -> None:
    """The law above is of use: rows as senders make them have a shape."""
    row = rows_pb2.Row(prediction_id="p-1", request_id="r", time_unix_nano=5, latency_seconds=0.1, weight=2.0)
    row.numbers.update({f"n{k}": 0.5 for k in range(16)})
    row.texts.update({f"t{k}": "x" for k in range(4)})
    row.segments["region"] = "eu"
    row.outputs.add(label="yes").scores.update({"yes": 0.5, "no": 0.5})
    items = [row.SerializeToString()] * ROWS_MIN
    found = _read(items, Limits())
    assert found is not None
    assert not found.odd
    assert _together((items, found)) == _walked(items)


def test_one_long_text_among_many_short_ones_takes_little_memory() -> None:
    """Texts are cut out of a message at the longest one's width, but never so that one long text makes all large."""
    rows = [rows_pb2.Row(texts={f"t{k:02d}": "\0" if k == i % 40 else "x" for k in range(40)}) for i in range(200)]
    rows[7].texts["t30"] = "z" * 110
    items = [row.SerializeToString(deterministic=True) for row in rows]
    tracemalloc.start()
    try:
        found = _read(items, Limits())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert peak < 2_000_000, "at the longest one's width all texts are 0.9 megabytes, and there are three copies"
    assert _together((items, found)) == _walked(items)


@pytest.mark.parametrize(
    "row",
    [
        rows_pb2.Row(prediction_id="12345"),
        rows_pb2.Row(texts={"t": "12345"}),
        rows_pb2.Row(numbers={"12345": 1.0}),
        rows_pb2.Row(numbers={"a": 1.0, "b": 1.0, "c": 1.0}),
        rows_pb2.Row(segments={"a": "x", "b": "x", "c": "x"}),
    ],
    ids=["id", "text", "name", "features", "beside"],
)
def test_what_breaks_a_limit_is_refused_one_by_one(row: rows_pb2.Row) -> None:
    """Limits hold: what they forbid is not read together, and so is refused with its reason."""
    items = [row.SerializeToString()] * ROWS_MIN
    assert _read(items, Limits(text_bytes=4, features=2)) is None
    assert _read(items, Limits(text_bytes=5, features=3)) is not None


def test_rows_of_several_processes_are_one_batch() -> None:
    """Each process has an order of its own: each is known, and their columns are those of one batch."""
    shapes, messages = Shapes(), []
    for names in ("abc", "cab", "abc", "bca"):
        items = _items(names)
        found = shapes.read(items, Limits(), ARRIVED_NS)
        assert found is not None
        messages.append((items, found))
    assert messages[2][1].shape is messages[0][1].shape
    assert _together(*messages) == _walked([row for items, _ in messages for row in items])


def test_odd_rows_stand_where_they_came() -> None:
    """Rows with something more or less are read one by one, and lie among the others in the order of all."""
    more = rows_pb2.Row(status=rows_pb2.STATUS_ERROR, texts={"t": "x"}, flags={"f": True}, nulls=["n"])
    more.vectors["v"].values.extend([1.0, 2.0])
    more.outputs.add().items.add(id="first", position=1)
    more.traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    more.segments["region"] = "eu"
    shapes, messages = Shapes(), []
    for odd in ((3, 7), (), (0, 1, 11), (2,)):
        items = _items("ab", 24, prediction_id="p-7", latency_seconds=0.5)
        for i in odd:
            items[i] += more.SerializeToString() if i != 7 else b"\xff"
        found = shapes.read(items, Limits(), ARRIVED_NS)
        assert found is not None
        assert found.odd == list(odd)
        messages.append((items, found))
    assert _together(*messages) == _walked([row for items, _ in messages for row in items])


def test_rows_that_are_never_alike_are_tried_ever_more_rarely() -> None:
    """A sender whose maps come in another order each time costs next to nothing more; alike ones are found again."""
    shapes, mixed = Shapes(), [*_items("ab"), *_items("ba")]
    tries = [shapes.read(mixed, Limits(), ARRIVED_NS) for _ in range(100)]
    assert not any(tries)
    waited = next(i for i in range(PAUSE_MAX + 1) if shapes.read(_items("ab"), Limits(), ARRIVED_NS))
    assert waited > 20
    assert shapes.read(_items("ba"), Limits(), ARRIVED_NS)


@pytest.mark.parametrize("event_time", [False, True])
def test_messages_of_all_sorts_count_as_their_rows_do(event_time: bool) -> None:
    """Rows in large messages, some alike, some not, some refused: what is counted and refused is what the same rows
    give in messages of their own; a replay gives it again."""
    r = random.Random(7)
    together, alone = Door(new_folder(), event_time=event_time), Door(new_folder(), event_time=event_time)
    reasons, own_reasons, taken, own = [], [], [], []
    for i in range(60):
        items = _items(r.choice(["ab", "ba", "abf"]), r.choice([1, 8, 30]), prediction_id=f"p-{i}", latency_seconds=0.2)
        if i % 4 == 0:
            items[-1] += rows_pb2.Row(outputs=[rows_pb2.Output(value=0.5)]).SerializeToString()
        if i % 6 == 0:
            items[0] += r.choice([b"\xff", rows_pb2.Row(texts={"a": "twice"}).SerializeToString()])
        reasons.append(refused(together.send(_message(items))))
        taken += together.take() if i % 5 == 0 else []
        own_reasons += [refused(alone.send(_message([item]))) for item in items]
        own += alone.take()
    taken += together.take()
    assert sum(reasons, start=refused(together.send(b""))) == sum(own_reasons, start=refused(alone.send(b"")))
    assert totals(taken, event_time) == totals(own, event_time)
    assert sum(one.rows for one in batches(taken)) == sum(one.rows for one in batches(own))
    again = Door(together.folder, event_time=event_time)
    assert totals(again.restored, event_time) == totals(own, event_time)


def _message(items: list[bytes]) -> bytes:
    message = request()
    message.rows.SetInParent()
    body = b"".join([b"\x0a" + _varint(len(item)) + item for item in items])
    raw = message.SerializeToString()
    assert raw.endswith(b"\x52\x00")
    return raw[:-1] + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
