"""Rows and columns are two forms of one thing: the same predictions give the same counts, however they are cut up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import MISMATCH_CELL, NULL_CELL, Feature, Layout
from agent.ingest.limits import Limits
from agent.records import Kind, ModelKey, Source
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2
from tests.ingest.door import Door, batches, count, new_folder, refused, request, row, rows, totals
from tests.ingest.predictions import NULL, Prediction, as_columns, as_row, predictions

KEY = ModelKey("m", "1")
SPARSE = [f"k{i}" for i in range(12)]


def _door() -> Door:
    return Door(new_folder())


@settings(max_examples=150, deadline=None)
@given(st.lists(predictions(SPARSE), min_size=1, max_size=12), st.data())
def test_rows_and_columns_count_alike(many: list[Prediction], data: st.DataObject) -> None:
    """Law: one message of columns and any number of messages of rows give the same cells, latencies and errors."""
    by_columns, by_rows = _door(), _door()
    answer = by_columns.send(as_columns(request(), many))
    assert (answer.accepted, list(answer.refusals)) == (len(many), [])
    at = 0
    taken = []
    while at < len(many):
        upto = data.draw(st.integers(at + 1, len(many)))
        part = many[at:upto]
        assert by_rows.send(rows(*map(as_row, part))).accepted == len(part)
        if data.draw(st.booleans()):  # the counting came in between: the next rows begin another gathering
            taken += by_rows.take()
        at = upto
    one, other = count(by_columns.take())[KEY], count(taken + by_rows.take())[KEY]
    assert one.total.tolist() == other.total.tolist()
    assert one.latency.tolist() == other.latency.tolist()
    assert {k: v for k, v in one.counters.items() if v} == {k: v for k, v in other.counters.items() if v}
    (a,), (b,) = one.open.values(), other.open.values()
    filled = {k: v.tolist() for k, v in a.segments.items() if v.any()}
    assert filled == {k: v.tolist() for k, v in b.segments.items() if v.any()}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(predictions(SPARSE), min_size=1, max_size=10),
    st.integers(0, 9),
    st.sampled_from(["key", "utf8", "long", "junk"]),
)
def test_a_bad_row_costs_itself_alone(many: list[Prediction], at: int, kind: str) -> None:
    """Law: with a bad row among them the others count as if it had never been there."""
    clean, dirty = _door(), _door()
    clean.send(rows(*map(as_row, many)))
    bad = as_row(Prediction({"new": 1.0, "t": "x"}))
    if kind == "key":
        bad.texts["new"] = "also"
    elif kind == "long":
        bad.texts["t"] = "y" * 5000
    raw = [as_row(p).SerializeToString() for p in many]
    body = bad.SerializeToString()
    if kind == "utf8":
        bad.texts["t"] = "\x01\x02\x03"
        body = bad.SerializeToString().replace(b"\x01\x02\x03", b"\xff\xfe\xfd")
    elif kind == "junk":
        body = b"\xff" * 7
    raw.insert(min(at, len(many)), body)
    answer = dirty.send(_raw_rows(raw))
    assert answer.accepted == len(many)
    assert sum(refused(answer).values()) == 1
    assert totals(dirty.take()) == totals(clean.take())


def _raw_rows(items: list[bytes]) -> bytes:
    """A message whose rows need not be valid."""
    body = b"".join(b"\x0a" + _varint(len(i)) + i for i in items)
    head = wire.RecordRequest(model=wire.Model(name="m", version="1")).SerializeToString()
    return head + b"\x52" + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_null_absent_and_nan_are_three_things() -> None:
    """Each has its own cell, in rows as in columns."""
    many = [Prediction({"a": NULL}), Prediction({}), Prediction({"a": float("nan")}), Prediction({"a": "text"})]
    for message in (rows(*map(as_row, many)), as_columns(request(), many)):
        door = _door()
        assert door.send(message).accepted == 4
        cells = totals(door.take())["m"][:12]
        assert cells == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0]


def test_a_model_may_change_all_its_features() -> None:
    """A name limit is per record: a schema that changes wholesale is not locked out by names known from before."""
    door = Door(new_folder(), limits=Limits(features=100))
    kept = 0
    for generation in range(4):
        many = [row(**{f"g{generation}_{i}": 1.0 for i in range(80)}) for _ in range(3)]
        answer = door.send(rows(*many))
        assert (answer.accepted, list(answer.refusals)) == (3, []), f"generation {generation}"
        kept += sum(b.rows for b in batches(door.take())) if generation % 2 else 0
    assert kept == 12


def test_names_of_nulls_are_bounded_like_all_others() -> None:
    """A row that is null in other features than its neighbours makes a column of each: so many a message, no more."""
    door = Door(new_folder(), limits=Limits(features=100))
    many = [rows_pb2.Row(nulls=[f"n{i}_{k}" for k in range(60)]) for i in range(3)]
    answer = door.send(rows(*many))
    assert (answer.accepted, refused(answer)[wire.REASON_TOO_MANY_FEATURES]) == (1, 2)
    assert {(group.field, group.limit) for group in answer.refusals} == {("nulls", 100)}
    assert door.send(rows(many[1])).accepted == 1
    assert door.send(rows(many[2])).accepted == 1  # the room is each message's own
    assert sum(len(batch.features.numbers) for batch in batches(door.take())) <= 3 * 60


def test_a_replay_gathers_no_more_names_than_the_door_did() -> None:
    """Messages whose features differ: thousands of columns at once would end the start that reads them again."""
    folder, many = new_folder(), [rows(row(**{f"{i}_{k}": 1.0 for k in range(40)})) for i in range(50)]
    door = Door(folder, limits=Limits(features=100))
    for message in many:
        assert door.send(message).accepted == 1
    again = Door(folder, limits=Limits(features=100))
    for taken in (door.take(), again.restored):
        widths = [len(batch.features.numbers) for batch in batches(taken)]
        assert max(widths) <= 140
        assert sum(widths) == 50 * 40


def test_a_refused_row_leaves_no_names_behind() -> None:
    """The names of a refused row do not use up the room of its neighbours, in this message or in later ones."""
    door = Door(new_folder(), limits=Limits(features=100))
    bad = row(**{f"bad{i}": 1.0 for i in range(95)})
    bad.texts["bad0"] = "twice"
    good = row(**{f"good{i}": 1.0 for i in range(50)})
    answer = door.send(rows(bad, good, good))
    assert (answer.accepted, refused(answer)[wire.REASON_DUPLICATE_KEY]) == (2, 1)
    (batch,) = batches(door.take())
    assert set(batch.features.numbers) == {f"good{i}" for i in range(50)}


@pytest.mark.parametrize("where", ["measures", "segments", "protected"])
def test_a_long_key_is_refused_in_every_map(where: str) -> None:
    """A key is a text: none may be longer than the limit, whatever map it stands in."""
    door = _door()
    bad = row(a=1.0)
    getattr(bad, where)["k" * 5000] = 1.0 if where == "measures" else "v"
    answer = door.send(rows(row(a=1.0), bad, row(a=1.0)))
    assert (answer.accepted, refused(answer)[wire.REASON_TEXT_TOO_LONG]) == (2, 1)


def test_scores_are_bounded_over_all_rows() -> None:
    """A row may not carry more scores than a record may carry features, nor may many rows with differing classes."""
    door = Door(new_folder(), limits=Limits(features=50))
    many = [row(a=1.0) for _ in range(4)]
    many[1].outputs.add().scores.update({f"c{i}": 0.1 for i in range(51)})
    assert refused(door.send(rows(*many)))[wire.REASON_TOO_MANY_FEATURES] == 1
    spread = [row(a=1.0) for _ in range(40)]
    for i, one in enumerate(spread):
        one.outputs.add().scores.update({f"c{i}.{j}": 0.1 for j in range(10)})
    door.send(rows(*spread))
    assert all(len(b.outputs.numbers) <= 50 for b in batches(door.take()))


@pytest.mark.parametrize("time_ns", [2**63, 2**64 - 1])
def test_a_time_beyond_the_calendar_counts_as_unknown(time_ns: int) -> None:
    """A clock that shows a time int64 does not hold: the record counts as of its arrival, in both forms."""
    many = [Prediction({"a": 1.0}, time_ns=time_ns), Prediction({"a": 1.0})]
    for message in (rows(*map(as_row, many)), as_columns(request(), many)):
        door = _door()
        assert door.send(message).accepted == 2
        (batch,) = batches(door.take())
        assert batch.time_ns is not None
        assert batch.time_ns.tolist() == [door.clock.now_ns()] * 2


@pytest.mark.parametrize("flags", ["1" * 40, "+1", " 1", "0_1", "-1"])
def test_trace_flags_are_two_hex_digits(flags: str) -> None:
    """A traceparent with other flags is no traceparent, which means: no trace, and the record is kept."""
    door = _door()
    one = row(a=1.0)
    one.traceparent = f"00-{'ab' * 16}-{'cd' * 8}-{flags}"
    assert door.send(rows(one)).accepted == 1
    (batch,) = batches(door.take())
    assert not batch.traces


def test_rows_of_as_many_but_other_names_keep_their_own() -> None:
    """The short way for rows like the last one is left where names, types or outputs differ, and nothing mixes."""
    door = _door()
    features: list[dict[str, object]] = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "c": 4.0}, {"t": "x", "a": 5.0, "b": 6.0}]
    features += [{"t": "y", "a": 7.0, "c": 8.0}, {"a": 9.0, "b": 1.0, "t": "x"}, {}, {"a": 1.0, "b": 2.0}]
    many = [as_row(Prediction(each)) for each in features]
    many[0].outputs.add(label="yes").scores[""] = 0.5
    many[1].outputs.add(label="no").scores["no"] = 0.25
    many[2].outputs.add(value=1.5)
    many[3].outputs.add(label="").scores[""] = 0.75
    many[4].outputs.add(name="other", label="yes")
    many[6].outputs.add(label="yes")
    assert door.send(rows(*many)).accepted == len(many)
    (batch,) = batches(door.take())

    def values(columns: Any, name: str) -> list[Any]:
        column = columns.numbers.get(name) or columns.texts[name]
        read = [column.dictionary[c] for c in column.codes] if name in columns.texts else column.values.tolist()
        state = [0] * batch.rows if column.state is None else column.state.tolist()
        return [None if s else v for v, s in zip(read, state, strict=True)]

    for name in "abct":
        assert values(batch.features, name) == [each.get(name) for each in features]
    labels = batch.outputs.texts["prediction"]
    assert labels.state is not None
    said = [None if s else labels.dictionary[c] for c, s in zip(labels.codes, labels.state, strict=True)]
    assert said == ["yes", "no", None, "", None, None, "yes"]
    assert values(batch.outputs, "score") == [0.5, None, None, 0.75, None, None, None]
    assert values(batch.outputs, "score:no") == [None, 0.25, None, None, None, None, None]
    assert values(batch.outputs, "other.prediction") == [None, None, None, None, "yes", None, None]


def test_a_vector_of_another_size_is_a_mismatch_in_rows_as_in_columns() -> None:
    """It came, and it is not what the reference has: no null. A flag of that name in a further row is one too."""
    vector = Feature("e", Source.FEATURE, Kind.VECTOR, size=3, group="e")
    layout = Layout((vector,))
    by_rows = _door()
    many = [row(a=0.5) for _ in range(6)]
    for one, size in zip(many, (3, 3, 2, 3, 0, 0), strict=True):
        if size:
            one.vectors["e"].values.extend([0.5] * size)
    many[4].flags["e"] = True
    many[5].nulls.append("e")
    assert by_rows.send(rows(*many)).accepted == 6
    (batch,) = batches(by_rows.take())
    special = vector.bins
    assert layout.place(batch).cells[0].tolist() == [
        0, 0, special + MISMATCH_CELL, 0, special + MISMATCH_CELL, special + NULL_CELL,
    ]  # fmt: skip
    by_columns = _door()
    message = request()
    message.columns.rows = 2
    message.columns.vectors.add(name="e", size=2, values=[0.5] * 4)
    assert by_columns.send(message).accepted == 2
    (batch,) = batches(by_columns.take())
    assert layout.place(batch).cells[0].tolist() == [special + MISMATCH_CELL] * 2


@pytest.mark.parametrize(
    ("parent", "read"),
    [
        (f"00-{'ab' * 16}-{'cd' * 8}-00", True),
        (f"cc-{'ab' * 16}-{'cd' * 8}-01-what-the-future-will-be-like", True),
        (f"00-{'ab' * 16}-{'cd' * 8}-01-more", False),
        (f"ff-{'ab' * 16}-{'cd' * 8}-01", False),
        (f"00-{'00' * 16}-{'cd' * 8}-01", False),
        (f"00-{'ab' * 16}-{'00' * 8}-01", False),
        ("00-" + "ab " * 10 + "ab-" + "cd" * 8 + "-01", False),
    ],
)
def test_a_traceparent_is_read_as_the_w3c_asks(parent: str, read: bool) -> None:
    """Also an unsampled one, and one of a later version with more parts; never a malformed one."""
    door = _door()
    one = row(a=1.0)
    one.traceparent = parent
    assert door.send(rows(one)).accepted == 1
    (batch,) = batches(door.take())
    assert bool(batch.traces) == read
