"""What reaches the agent, whatever the agent does."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from sidelight import Recorder
from sidelight.wire import recorder_pb2

from tests.client.scripted_agent import ScriptedAgent, fail, hint, ids_of

Make = Callable[..., Recorder]
Until = Callable[[Callable[[], Any]], None]


def test_a_record_arrives_with_its_id_model_and_stamp(agent: ScriptedAgent, recorder: Recorder) -> None:
    """One record: its id is the one returned, the message says who speaks and counts from one."""
    identity = recorder.record({"age": 3}, 0.5)
    assert recorder.flush(10)
    (request,) = agent.requests
    assert ids_of(request.columns) == [identity]
    assert (request.model.name, request.model.version, request.sequence) == ("m", "1", 1)
    assert request.client_id
    assert request.report.recorded == 1
    assert not request.columns.ids, "ids of our own go as numbers"


def test_an_absent_agent_costs_nothing_and_gets_everything_when_it_comes(make: Make, socket: str, until: Until) -> None:
    """Records wait for an agent that is not there yet."""
    recorder = make()
    ids = [recorder.record({"x": float(one)}) for one in range(10)]
    until(lambda: recorder.stats().last_error)
    assert not recorder.stats().connected
    agent = ScriptedAgent(socket).start()
    try:
        assert recorder.flush(20)
        assert [identity for identity, _ in agent.rows()] == ids
        assert recorder.stats().connected
    finally:
        agent.stop()


def test_a_restarted_agent_is_found_again(recorder: Recorder, socket: str, agent: ScriptedAgent) -> None:
    """The agent goes and comes back on the same socket: nothing is lost in between."""
    first = recorder.record({"x": 1.0})
    assert recorder.flush(10)
    agent.stop()
    second = recorder.record({"x": 2.0})
    again = ScriptedAgent(socket).start()
    try:
        assert recorder.flush(20)
        assert [identity for identity, _ in agent.rows()] == [first]
        assert [identity for identity, _ in again.rows()] == [second]
    finally:
        again.stop()


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes(agent: ScriptedAgent, recorder: Recorder) -> None:
    """The agent kept the message but its answer was lost: the same bytes come again, and it says it knows them."""

    def duplicate(request: recorder_pb2.RecordRequest, context: grpc.ServicerContext) -> recorder_pb2.RecordResponse:
        return recorder_pb2.RecordResponse(accepted=1, duplicate=True)

    agent.script = [fail(grpc.StatusCode.UNAVAILABLE, "gone"), duplicate]
    recorder.record({"x": 1.0})
    assert recorder.flush(20)
    first, second = agent.raw
    assert first == second
    stats = recorder.stats()
    assert (stats.sent, stats.accepted, stats.duplicate) == (1, 1, 1)
    recorder.record({"x": 2.0})
    assert recorder.flush(20)
    assert [one.sequence for one in agent.requests] == [1, 1, 2]


def test_a_message_refused_whole_is_given_up_and_counted(agent: ScriptedAgent, recorder: Recorder) -> None:
    """INVALID_ARGUMENT is for good: no resend, dropped_failed."""
    agent.script = [fail(grpc.StatusCode.INVALID_ARGUMENT, "no")]
    recorder.record({"x": 1.0})
    assert recorder.flush(20)
    assert recorder.stats().dropped_failed == 1
    assert len(agent.raw) == 1
    assert "INVALID_ARGUMENT" in recorder.stats().last_error


def test_refused_records_are_counted(agent: ScriptedAgent, recorder: Recorder) -> None:
    """A bad record costs itself."""
    refusal = recorder_pb2.Refusal(reason=recorder_pb2.REASON_TEXT_TOO_LONG, count=1, index=[0])
    agent.script = [lambda request, context: recorder_pb2.RecordResponse(accepted=0, refusals=[refusal])]
    recorder.record({"x": 1.0})
    assert recorder.flush(10)
    assert (recorder.stats().sent, recorder.stats().refused) == (1, 1)


def test_a_full_agent_gets_the_records_again_as_a_new_message(agent: ScriptedAgent, recorder: Recorder) -> None:
    """QUEUE_FULL for the whole message: it is stamped anew, for its sequence has had its verdict."""
    full = recorder_pb2.RecordResponse(
        refusals=[recorder_pb2.Refusal(reason=recorder_pb2.REASON_QUEUE_FULL, count=1)],
        hints=recorder_pb2.Hints(retry_after_seconds=0.01),
    )
    agent.script = [lambda request, context: full]
    recorder.record({"x": 1.0})
    assert recorder.flush(20)
    assert [one.sequence for one in agent.requests] == [1, 2]
    assert (recorder.stats().accepted, recorder.stats().refused) == (1, 0)


def test_the_agent_may_ask_for_smaller_messages(agent: ScriptedAgent, recorder: Recorder) -> None:
    """max_rows_per_message holds from the next message on."""
    agent.script = [hint(max_rows_per_message=2)]
    recorder.record({"x": 0.0})
    assert recorder.flush(10)
    agent.script = [hint(max_rows_per_message=2) for _ in range(3)]
    for one in range(5):
        recorder.record({"x": float(one)})
    assert recorder.flush(10)
    assert max(columns.rows for columns in agent.columns()) <= 2
    assert len(list(agent.rows())) == 6


def test_sampling_is_by_id_and_weighted(agent: ScriptedAgent, make: Make) -> None:
    """With a ratio of a half: about half go, weighing two, always the same ids; the others are counted."""
    recorder = make(queue_records=2000)
    agent.script = [hint(sampling_ratio=0.5)] * 50
    recorder.record({"x": 0.0})
    assert recorder.flush(10)
    ids = [f"user-{random.Random(one).random()}" for one in range(1000)]
    kept = []
    for _ in range(2):
        before = len(agent.columns())
        for one in ids:
            recorder.record({"x": 1.0}, prediction_id=one)
        assert recorder.flush(10)
        new = agent.columns()[before:]
        assert {weight for columns in new for weight in columns.weights} == {2.0}
        kept.append([one for columns in new for one in ids_of(columns)])
    assert kept[0] == kept[1]
    assert 400 < len(kept[0]) < 600
    assert recorder.stats().sampled_out == 2 * (1000 - len(kept[0]))


def test_retry_after_is_waited_for(agent: ScriptedAgent, make: Make, until: Until) -> None:
    """An agent that asks for a pause of an hour gets nothing more, until the client closes."""
    recorder = make()
    agent.script = [hint(retry_after_seconds=3600.0)]
    recorder.record({"x": 0.0})
    assert recorder.flush(10)
    recorder.record({"x": 1.0})
    until(lambda: not len(recorder._waiting))
    assert len(agent.raw) == 1
    assert recorder.stats().queued == 1
    recorder.close(5)
    assert len(agent.raw) == 2


def test_a_full_queue_drops_the_oldest_and_tells_the_agent(make: Make, socket: str, until: Until) -> None:
    """Bounded: with the agent away the newest records stay; the report says how many went."""
    recorder = make(queue_records=10, batch_rows=5)
    recorder.record({"x": -1.0})
    until(lambda: recorder.stats().last_error)  # one message is on its way now, the rest waits
    ids = [recorder.record({"x": float(one)}) for one in range(100)]
    stats = recorder.stats()
    assert (stats.recorded, stats.dropped_full, stats.queued) == (101, 90, 11)
    agent = ScriptedAgent(socket).start()
    try:
        assert recorder.flush(20)
        assert [identity for identity, _ in agent.rows()][1:] == ids[-10:]
        assert agent.requests[-1].report.dropped_full == 90
    finally:
        agent.stop()


def test_the_queue_keeps_its_bound_at_every_call(make: Make, until: Until) -> None:
    """No more waits than is allowed, whether records are made at once or reserved and settled in any order; and what
    is over is counted."""
    recorder, chance = make(queue_records=10, batch_rows=7), random.Random(1)
    recorder.record({"x": -1.0})
    until(lambda: recorder.stats().last_error)  # one message is on its way now, the rest waits
    open_: list[Any] = []
    made = 1
    for one in range(2000):
        step = chance.random()
        if step < 0.5:
            recorder.record({"x": float(one)})
            made += 1
        elif step < 0.75:
            open_.append(recorder.prediction({"x": float(one)}))
            open_[-1].__enter__()
        elif open_:
            open_.pop(chance.randrange(len(open_))).__exit__(None, None, None)
            made += 1
        stats = recorder.stats()
        assert len(recorder._waiting) <= 10
        assert stats.recorded == made
        assert stats.recorded == stats.queued + stats.dropped_full


def test_a_full_batch_is_sent_at_once(agent: ScriptedAgent, make: Make, until: Until) -> None:
    """A batch does not wait for the flush's time once it is full, by whichever way its last record came."""
    recorder = make(batch_rows=5, flush_seconds=3600.0)
    recorder.record({"x": 0.0})
    until(lambda: recorder.stats().accepted == 1)
    with recorder.prediction({"x": 0.5}) as earlier:
        for one in range(3):
            recorder.record({"x": float(one)})
        recorder.record({"x": 4.0})
        until(lambda: recorder.stats().accepted == 5)
        earlier.prediction = 1.0
    for one in range(5):
        recorder.record({"x": float(one)})
    until(lambda: recorder.stats().accepted >= 10)


def test_everything_recorded_is_accounted_for(agent: ScriptedAgent, make: Make) -> None:
    """recorded = sent + dropped + sampled out + queued, over good, bad, refused and sampled records."""
    recorder = make(queue_records=50, batch_rows=7)
    agent.script = [hint(sampling_ratio=0.5), fail(grpc.StatusCode.INVALID_ARGUMENT)]
    for one in range(200):
        about = {"no_such_argument": 1} if one % 31 == 0 else {}
        recorder.record({"x": float(one), "t": "\ud800" if one % 13 == 0 else "fine"}, **about)
    recorder.label("id", 1.0)
    recorder.label(None, 1.0)
    recorder.close(10)
    stats = recorder.stats()
    lost = stats.dropped_full + stats.dropped_failed + stats.dropped_invalid + stats.sampled_out
    assert stats.recorded == stats.sent + lost + stats.queued == 202
    assert stats.queued == 0


def test_the_token_goes_along(agent: ScriptedAgent, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIDELIGHT_TOKEN is sent as a bearer token."""
    monkeypatch.setenv("SIDELIGHT_TOKEN", "secret")
    recorder = make()
    recorder.record({"x": 1.0})
    assert recorder.flush(10)
    assert agent.metadata[0]["authorization"] == "Bearer secret"


def test_after_close_nothing_is_sent_and_all_is_counted(agent: ScriptedAgent, recorder: Recorder) -> None:
    """A record made after the end is dropped_failed; nothing raises; flush does not wait for ever."""
    recorder.record({"x": 1.0})
    recorder.close(10)
    recorder.record({"x": 2.0})
    assert not recorder.flush(10)
    stats = recorder.stats()
    assert (stats.recorded, stats.accepted, stats.dropped_failed, stats.queued) == (2, 1, 1, 0)
    assert len(agent.raw) == 1
