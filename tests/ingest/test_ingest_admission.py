"""The account: each record is kept, refused, a duplicate, late or dropped; and a restart judges nothing again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.ingest.clients import WINDOW, Clients
from agent.ingest.limits import INDEX_MAX, Limits, Refusals
from agent.records import ModelKey
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2
from tests.ingest.door import HOUR_NS, Door, batches, columns, count, new_folder, refused, request, row, rows, totals
from tests.ingest.predictions import Prediction, as_columns, as_row, predictions

DAY_NS = 24 * HOUR_NS


# ── the account ──


def _any_message(random_: random.Random, stamp: dict[str, int]) -> wire.RecordRequest:
    kind = random_.choice(["rows", "columns", "bad rows", "short column", "bad code", "too many"])
    client = random_.choice(["", "c1", "c2"])
    model = random_.choice(["m", "n", "o"])
    if client:
        stamp[client] += random_.choice([0, 1, 1, 1])
    sequence = stamp.get(client, 0)
    if kind == "rows":
        return rows(*[row(a=1.0)] * random_.randint(1, 5), model=model, client=client, sequence=sequence)
    if kind == "bad rows":
        bad = row(a=1.0)
        bad.texts["a"] = "both"
        return rows(row(a=1.0), bad, row(a=2.0), model=model, client=client, sequence=sequence)
    message = columns(
        "a", count=random_.randint(1, 60 if kind == "too many" else 6), model=model, client=client, sequence=sequence
    )
    if kind == "short column":
        message.columns.numbers.add(name="b", values=[1.0])
    elif kind == "bad code":
        codes = [random_.randint(0, 2) for _ in range(message.columns.rows)]
        message.columns.texts.add(name="t", dictionary=["x", "y"], codes=codes)
    return message


@pytest.mark.parametrize("seed", range(5))
def test_received_is_kept_refused_duplicate_late_and_dropped(seed: int) -> None:
    """Law: per model, whatever is sent, every record is counted exactly once, in one of the five."""
    random_, stamp = random.Random(seed), {"c1": 0, "c2": 0}
    door = Door(new_folder(), limits=Limits(rows=50), queue_bytes=40_000, event_time=False)
    sent: dict[str, int] = {}
    kept: dict[str, int] = {}
    turned: dict[str, int] = {}
    for _ in range(400):
        message = _any_message(random_, stamp)
        name = message.model.name
        size = message.columns.rows or len(message.rows.rows)
        sent[name] = sent.get(name, 0) + size
        answer = door.send(message)
        if not answer.duplicate:
            by_reason = refused(answer)
            assert answer.accepted + sum(by_reason.values()) == size
        if random_.random() < 0.05:
            for item in door.take():
                assert item.model is not None
                kept[item.model.name] = kept.get(item.model.name, 0) + item.rows
                turned[item.model.name] = turned.get(item.model.name, 0) + sum(r.count for r in item.refused)
    for item in door.take():
        assert item.model is not None
        kept[item.model.name] = kept.get(item.model.name, 0) + item.rows
        turned[item.model.name] = turned.get(item.model.name, 0) + sum(r.count for r in item.refused)
    for name, total in sent.items():
        key = ModelKey(name, "1")
        assert total == kept[name] + turned[name] + door.admission.duplicates[key] + door.admission.dropped[key]
    assert sum(door.admission.duplicates.values())
    assert sum(door.admission.dropped.values())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-48, 48), min_size=1, max_size=30))
def test_late_rows_are_accepted_and_counted_as_late(hours: list[int]) -> None:
    """By event time: accepted = kept + late, with the windows before the watermark's hour closed after each message."""
    door = Door(new_folder(), event_time=True)
    now = door.clock.now_ns()
    series = None
    accepted = 0
    for hour in hours:
        accepted += door.send(rows(as_row(Prediction({"a": 1.0}, time_ns=now + hour * HOUR_NS)))).accepted
        for batch in batches(door.take()):
            series = series or count([])[batch.model] if series else _series(batch.model)
            series.add(batch, True)
            for index in list(series.due(series.newest_ns)):
                series.close(index)
    assert series is not None
    assert accepted == len(hours) == series.counters["kept"] + series.counters["late"]


def _series(model: ModelKey):  # type: ignore[no-untyped-def]
    from agent.counting.windows import Series
    from tests.ingest.door import reference

    return Series(model, HOUR_NS, reference(), None)


# ── resends ──


def test_a_resend_gets_its_first_answer_again() -> None:
    """The same client and sequence: nothing is counted twice, the verdict is the first one, whatever it now carries."""
    door = Door(new_folder())
    bad = row(a=1.0)
    bad.texts["a"] = "both"
    message = rows(row(a=1.0), bad, client="c", sequence=7)
    first, second = door.send(message), door.send(message)
    assert second.duplicate
    second.duplicate = False
    assert second == first
    assert door.admission.duplicates[ModelKey("m", "1")] == 2
    assert len(door.take()) == 1


def test_unstamped_messages_are_never_duplicates() -> None:
    """No client, or no sequence: at least once."""
    door = Door(new_folder())
    for message in (rows(row(a=1.0)), rows(row(a=1.0), client="c"), rows(row(a=1.0), sequence=3)):
        assert [door.send(message).duplicate for _ in range(2)] == [False, False]


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_order_within_the_window_is_counted_once(random_: random.Random) -> None:
    """Law: up to 64 requests in flight, arriving in any order and any of them twice, are each taken exactly once."""
    clients = Clients(4)
    waiting, upto, taken = list(range(1, 33)), 33, []
    seen: list[int] = []
    while waiting:
        sequence = waiting.pop(random_.randrange(len(waiting)))
        again = random_.choice(seen) if seen and random_.random() < 0.5 else None
        for one in (sequence, again):
            if one is None:
                continue
            if clients.answer("c", one) is None and not clients.too_old("c", one):
                taken.append(one)
                clients.remember("c", one, b"answer", 0, "m")
        seen.append(sequence)
        if upto < 300:
            low = min([upto, *waiting])
            while len(waiting) < 32 and upto < low + WINDOW - 1:
                waiting.append(upto)
                upto += 1
    assert sorted(taken) == sorted(seen)


def test_a_resend_from_before_the_window_is_not_counted_again() -> None:
    """What was answered more than 64 messages ago is a duplicate, though its answer is forgotten."""
    door = Door(new_folder())
    for sequence in range(1, WINDOW + 10):
        door.send(rows(row(a=1.0), client="c", sequence=sequence))
    answer = door.send(rows(row(a=1.0), client="c", sequence=3))
    assert (answer.duplicate, answer.accepted) == (True, 0)


def test_the_longest_silent_sender_is_forgotten() -> None:
    """The table of senders is bounded; a forgotten one's resend is taken as new."""
    door = Door(new_folder(), clients_max=2)
    for client, sequence in (("a", 1), ("b", 1), ("a", 2), ("c", 1)):
        door.send(rows(row(a=1.0), client=client, sequence=sequence))
    assert list(door.clients.forgotten) == ["b"]
    assert door.send(rows(row(a=1.0), client="a", sequence=1)).duplicate


# ── limits of the whole ──


def test_a_full_queue_turns_away_and_journals_nothing() -> None:
    """RESOURCE: typed, counted as dropped, with a wish to come back, and nothing on disk; afterwards all is well."""
    door = Door(new_folder(), queue_bytes=1)
    assert door.send(rows(row(a=1.0))).accepted == 1
    before = door.journal.offset
    answer = door.send(rows(row(a=1.0), row(a=2.0), client="c", sequence=1))
    assert (answer.accepted, refused(answer)[wire.REASON_QUEUE_FULL]) == (0, 2)
    assert answer.hints.retry_after_seconds > 0
    assert door.journal.offset == before
    assert door.admission.dropped[ModelKey("m", "1")] == 2
    door.take()
    assert door.send(rows(row(a=1.0), row(a=2.0), client="c", sequence=1)).accepted == 2


def test_the_queue_counts_what_refused_and_tiny_messages_hold() -> None:
    """Memory: neither refused messages nor empty ones may gather without bound while the counting is busy."""
    door = Door(new_folder(), queue_bytes=1 << 20)
    bad = row(a=1.0)
    bad.texts["a"] = "both"
    refusing = rows(bad)
    refusing.report.language = "x" * 1000
    empty = request()
    empty.rows.SetInParent()
    for message in (refusing, empty):
        answers = [door.send(message) for _ in range(5000)]
        assert refused(answers[-1])[wire.REASON_QUEUE_FULL] or answers[-1].hints.retry_after_seconds
        door.take()


def test_models_are_bounded() -> None:
    """One more version than allowed is refused, those known go on."""
    door = Door(new_folder(), models_max=2)
    answers = [door.send(rows(row(a=1.0), model=name)) for name in ("a", "b", "c", "a")]
    assert [a.accepted for a in answers] == [1, 1, 0, 1]
    assert answers[2].refusals[0].reason == wire.REASON_TOO_MANY_MODELS
    assert door.admission.refused_messages == {wire.REASON_TOO_MANY_MODELS: 1}


def test_a_message_of_too_many_records_costs_nothing() -> None:
    """A lie about its size must not cost more than itself: not on disk, and no later than the next message."""
    door = Door(new_folder(), limits=Limits(rows=100))
    lie = request()
    lie.columns.rows = 4_000_000_000
    answer = door.send(lie)
    assert answer.accepted == 0
    assert set(refused(answer)) == {wire.REASON_TOO_MANY_RECORDS}
    many = door.send(rows(*[row(a=1.0)] * 101))
    assert refused(many) == {wire.REASON_TOO_MANY_RECORDS: 101}
    assert door.journal.statistics().bytes == 0
    (one, other) = door.take()
    assert sum(r.count for r in other.refused) == 101
    assert one.offset == 0


def test_records_one_by_one_are_fewer_a_message_than_columns() -> None:
    """Nobody is served while rows are read: the limit is named in each answer to rows, and the refusal says columns."""
    door = Door(new_folder(), limits=Limits(row_messages=3))
    few = door.send(rows(*[row(a=1.0)] * 3))
    many = door.send(rows(*[row(a=1.0)] * 4))
    labels = request()
    labels.labels.labels.add()
    labels.labels.labels.MergeFrom(list(labels.labels.labels) * 3)
    assert (few.accepted, few.hints.max_rows_per_message) == (3, 3)
    assert (refused(many), many.hints.max_rows_per_message) == ({wire.REASON_TOO_MANY_RECORDS: 4}, 3)
    assert "columns" in many.refusals[0].detail
    assert refused(door.send(labels)) == {wire.REASON_TOO_MANY_RECORDS: 4}
    block = door.send(columns("a", count=4))
    assert (block.accepted, block.hints.max_rows_per_message) == (4, 0)


def test_invented_model_names_open_no_account() -> None:
    """Resends and turned away messages are charged to watched models only; others by reason, in one bounded table."""
    door = Door(new_folder(), models_max=2, queue_bytes=2 << 10)
    assert door.send(rows(row(a=1.0), client="c", sequence=1)).accepted == 1
    for i in range(50):
        assert door.send(rows(row(a=1.0), model=f"n{i}", client="c", sequence=1)).duplicate
    assert door.send(rows(row(a=1.0))).accepted == 1
    for i in range(50):
        assert refused(door.send(rows(row(a=1.0), model=f"n{i}"))) == {wire.REASON_QUEUE_FULL: 1}
    assert (set(door.admission.duplicates), set(door.admission.dropped)) == (set(), set())
    assert door.admission.refused_messages == {wire.REASON_MODEL_MISSING: 50, wire.REASON_QUEUE_FULL: 50}


def test_the_queue_counts_what_rows_become() -> None:
    """An empty row is two bytes on the wire and some hundred inside; once counted, nothing of it stays on the books."""
    door = Door(new_folder())
    door.send(rows(*[rows_pb2.Row()] * 1000))
    assert door.queue.bytes > 200 * 1000
    door.take()
    assert door.queue.bytes == 0


def test_refusing_all_names_the_first_positions() -> None:
    """One refusal for the whole message, the first 64 positions named; records refused before keep their own reason."""
    from agent.errors import RefusedError

    refusals = Refusals.none(1000)
    refusals.add(3, RefusedError(wire.REASON_INVALID_UTF8, "ids", "x"))
    refusals.all(RefusedError(wire.REASON_COLUMN_LENGTH, "columns", "x"))
    groups = {group.reason: group for group in refusals.groups.values()}
    assert groups[wire.REASON_COLUMN_LENGTH].count == 999
    assert list(groups[wire.REASON_COLUMN_LENGTH].index) == [i for i in range(INDEX_MAX + 1) if i != 3]
    assert refusals.count == 1000


@pytest.mark.parametrize("part", [b"", b"\xff\xff", b"\x08"])
def test_a_report_that_is_none_is_left_out(part: bytes) -> None:
    """What a sender says of itself may be broken; its records do not suffer, and nobody inside has to parse it."""
    door = Door(new_folder())
    raw = rows(row(a=1.0), client="c", sequence=1).SerializeToString() + b"\x32" + bytes([len(part)]) + part
    assert door.send(raw).accepted == 1
    (item,) = door.take()
    wire.ClientReport.FromString(item.report)


# ── event time ──


def test_a_clock_ten_years_off_is_refused_and_does_not_move_time() -> None:
    """Event time: one record may push the watermark by `future_seconds` at most; its neighbours are kept."""
    door = Door(new_folder(), event_time=True)
    now = door.clock.now_ns()
    times = [now, now + 3650 * DAY_NS, now + DAY_NS]
    for message in (
        rows(*[as_row(Prediction({"a": 1.0}, time_ns=t)) for t in times]),
        as_columns(request(), [Prediction({"a": 1.0}, time_ns=t) for t in times]),
    ):
        answer = door.send(message)
        assert (answer.accepted, refused(answer)) == (2, {wire.REASON_FUTURE: 1})
        assert list(answer.refusals[0].index) == [1]
    assert all(t <= now + DAY_NS for b in batches(door.take()) for t in b.time_ns.tolist())  # type: ignore[union-attr]


def test_a_gap_in_the_history_is_believed_after_a_while() -> None:
    """64 records in a row beyond the bound are a gap, not a broken clock: the 65th and what follows is taken."""
    door = Door(new_folder(), event_time=True)
    now = door.clock.now_ns()
    door.send(rows(as_row(Prediction({"a": 1.0}, time_ns=now))))
    later = as_row(Prediction({"a": 1.0}, time_ns=now + 365 * DAY_NS))
    answer = door.send(rows(*[later] * 70))
    assert (answer.accepted, refused(answer)) == (6, {wire.REASON_FUTURE: 64})


def test_a_refused_record_does_not_move_event_time() -> None:
    """Only kept records push the watermark."""
    door = Door(new_folder(), event_time=True)
    now = door.clock.now_ns()
    bad = as_row(Prediction({"a": 1.0}, time_ns=now + 6 * DAY_NS))
    bad.texts["a"] = "both"
    good = as_row(Prediction({"a": 1.0}, time_ns=now))
    far = as_row(Prediction({"a": 1.0}, time_ns=now + 8 * DAY_NS))
    answer = door.send(rows(good, bad, far))
    assert refused(answer) == {wire.REASON_DUPLICATE_KEY: 1, wire.REASON_FUTURE: 1}


# ── a restart ──

TIGHT = Limits(message_bytes=1 << 10, rows=1, features=1, text_bytes=16, vector_size=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(predictions(["k1", "k2"]), min_size=1, max_size=5), min_size=1, max_size=8), st.data())
def test_a_restart_restores_what_was_live(messages: list[list[Prediction]], data: st.DataObject) -> None:
    """Law: the journal read back gives the same counts as the live door, even under tighter limits: nothing is judged
    twice, no acknowledged record is lost."""
    folder = new_folder()
    live = Door(folder)
    for many in messages:
        bad: rows_pb2.Row = as_row(Prediction({"k1": 1.0, "t": "x" * 40}))
        if data.draw(st.booleans()):
            bad.texts["k1"] = "both"
        if data.draw(st.booleans()):
            live.send(rows(*map(as_row, many), bad))
        else:
            message = as_columns(request(), [*many, Prediction({"t": "x" * 40})])
            if data.draw(st.booleans()):
                message.columns.texts.add(name="long", dictionary=["y" * 5000, "fine"], codes=[0] + [1] * len(many))
            live.send(message)
        if data.draw(st.booleans()):
            live.clock.turn(1800.0)
    taken = live.take()
    limits = data.draw(st.sampled_from([Limits(), TIGHT, Limits(text_bytes=1 << 20)]))
    again = Door(folder, limits=limits, models_max=data.draw(st.sampled_from([0, 32])))
    assert totals(again.restored) == totals(taken)
    assert [(i.offset, i.kind, i.rows) for i in again.restored] == [
        (i.offset, i.kind, i.rows) for i in taken if i.offset
    ]


def test_a_restart_knows_the_senders() -> None:
    """After a restart a resend is still a duplicate, with its first answer."""
    folder = new_folder()
    live = Door(folder)
    message = rows(row(a=1.0), row(a=2.0), client="c", sequence=5)
    first = live.send(message)
    answer = Door(folder).send(message)
    assert (answer.duplicate, answer.accepted) == (True, first.accepted)


def test_a_restart_knows_how_far_event_time_has_come() -> None:
    """The bound on the future is that of the newest record, before a restart and after it."""
    folder = new_folder()
    live = Door(folder, event_time=True)
    now = live.clock.now_ns()
    live.send(rows(as_row(Prediction({"a": 1.0}, time_ns=now - 300 * DAY_NS))))
    far = rows(as_row(Prediction({"a": 1.0}, time_ns=now - 100 * DAY_NS)))
    again = Door(folder, event_time=True)
    assert refused(again.send(far)) == refused(live.send(far)) == {wire.REASON_FUTURE: 1}


def test_clients_survive_as_blobs() -> None:
    """Dumped and loaded, a sender's window is the same; a blob that is none is corrupt."""
    from agent.errors import CorruptError

    clients = Clients(10)
    for sequence in range(1, 100):
        clients.remember("c", sequence, b"%d" % sequence, sequence, "m")
    loaded = Clients(10)
    (client,) = clients
    loaded.load(Clients.dump(client))
    assert loaded.answer("c", 99) == b"99"
    assert loaded.too_old("c", 20)
    assert not loaded.too_old("c", 100)
    with pytest.raises(CorruptError):
        loaded.load(b"\xff\xff\xff")
