"""What senders get wrong, over the real socket: typed refusals by field and limit, and neighbours that are counted."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent.wire import recorder_pb2 as wire
from tests.end_to_end import stream
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import ROWS, kept, model_of, references, sending, window

SECRET = "hunter2-the-secret"
RSS_MAX_KIB = 200 * 1024


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    folder = tmp_path_factory.mktemp("bad")
    with AgentProcess(folder, SIDELIGHT_REFERENCE=str(references(folder, "loan", "clocks"))) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(autouse=True)
def unharmed(agent: AgentProcess) -> Iterator[None]:
    """Whatever a test sent: every record is accounted for, and the next good message is taken as ever."""
    yield
    before = kept(agent.status())
    assert agent.record(window(0)).accepted == ROWS
    status = agent.wait_for(lambda s: kept(s) >= before + ROWS)
    records = model_of(status)["records"]
    assert records["received"] == sum(records[f] for f in ("kept", "refused", "duplicate", "late", "dropped"))
    assert SECRET not in repr(status)
    assert SECRET not in agent.log.read_text()


def rows(*ids: str) -> wire.RecordRequest:
    request = wire.RecordRequest()
    request.model.name, request.model.version = stream.MODEL.name, stream.MODEL.version
    for name in ids:
        row = request.rows.rows.add(prediction_id=name)
        row.numbers["x0"] = 0.5
        row.texts["city"] = "rome"
        row.outputs.add(label="yes")
    return request


def reasons(answer: wire.RecordResponse) -> dict[str, tuple[str, int]]:
    """reason -> (field, count)"""
    return {wire.Reason.Name(r.reason).removeprefix("REASON_").lower(): (r.field, r.count) for r in answer.refusals}


def shown(agent: AgentProcess, reason: str) -> dict[str, Any]:
    """The status's line on a refusal, once it is there."""

    def lines(status: dict[str, Any]) -> list[dict[str, Any]]:
        return [line for line in model_of(status)["refusals"] if line["reason"] == reason]

    return lines(agent.wait_for(lambda s: model_of(s) and lines(s)))[0]


def test_random_bytes_are_refused_and_counted(agent: AgentProcess) -> None:
    """Noise is no message: a typed refusal, never an error of the transport, and the status counts the messages."""
    noise = random.Random(7)
    before = sum(agent.status()["messages"].values())
    with sending(agent) as send:
        answers = [send(noise.randbytes(size)) for size in (1, 2, 3, 10, 100, 1_000, 50_000) for _ in range(5)]
    refused = [answer for answer in answers if answer.refusals]
    assert len(refused) == len(answers)
    assert not any(answer.accepted for answer in answers)
    assert sum(agent.status()["messages"].values()) == before + len(answers)


def test_a_string_that_is_not_utf8_costs_its_own_record(agent: AgentProcess) -> None:
    """Row 1 of 3 holds a bad byte: refused by field, its neighbours are kept, the status shows reason and field."""
    raw = rows("a", "b", "c").SerializeToString()
    at = [i for i in range(len(raw)) if raw.startswith(b"rome", i)][1]
    answer = agent.record(raw[:at] + b"\xff" + raw[at + 1 :])
    assert answer.accepted == 2
    assert reasons(answer) == {"invalid_utf8": ("texts[city]", 1)}
    assert list(answer.refusals[0].index) == [1]
    line = shown(agent, "invalid_utf8")
    assert line["field"] == "texts[city]"
    assert "UTF-8" in line["detail"]


def test_ten_thousand_features_are_too_many(agent: AgentProcess) -> None:
    """As a row and as columns: refused with the limit; the row beside it is kept."""
    request = rows("a", "b")
    for i in range(10_000):
        request.rows.rows[0].numbers[f"f{i}"] = 1.0
    answer = agent.record(request)
    assert answer.accepted == 1
    assert reasons(answer)["too_many_features"][1] == 1
    assert answer.refusals[0].limit == 2_000
    answer = agent.record(narrow(10_000))
    assert answer.accepted == 0
    assert "too_many_features" in reasons(answer)


def narrow(features: int) -> wire.RecordRequest:
    """One row of so many columns."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = stream.MODEL.name, stream.MODEL.version
    request.columns.rows = 1
    for i in range(features):
        request.columns.numbers.add(name=f"f{i}", values=[0.0])
    return request


def test_a_megabyte_of_text_is_too_long(agent: AgentProcess) -> None:
    """In a row: that row is refused. In a column's dictionary: the rows that use it. The value is never shown."""
    request = rows("a", "b")
    request.rows.rows[1].texts["city"] = SECRET * 60_000
    answer = agent.record(request)
    assert (answer.accepted, reasons(answer)) == (1, {"text_too_long": ("texts[city]", 1)})
    assert SECRET not in str(answer)
    request = window(0)
    city = request.columns.texts[0]
    city.dictionary[2] = SECRET * 60_000
    using = sum(code == 2 for code in city.codes)
    answer = agent.record(request)
    assert (answer.accepted, reasons(answer)) == (ROWS - using, {"text_too_long": ("texts[city]", using)})
    assert str(answer.refusals[0].limit) in shown(agent, "text_too_long")["detail"]


def test_a_message_over_the_limit_is_refused_whole(agent: AgentProcess) -> None:
    """4.5 MB: a typed refusal before gRPC's own limit."""
    answer = agent.record(b"\x00" * 4_500_000)
    assert reasons(answer) == {"message_too_large": ("message", 1)}
    assert answer.refusals[0].limit == 4 << 20


def test_a_column_shorter_than_its_batch_is_refused_by_name(agent: AgentProcess) -> None:
    """What belongs to which row cannot be known: the whole message is refused, naming the column."""
    request = window(0)
    del request.columns.numbers[1].values[-1]
    answer = agent.record(request)
    assert (answer.accepted, reasons(answer)) == (0, {"column_length": ("numbers[x1]", ROWS)})
    assert shown(agent, "column_length")["field"] == "numbers[x1]"


def test_codes_outside_the_dictionary_cost_their_rows(agent: AgentProcess) -> None:
    """Two of 200 codes point nowhere: 198 records are kept."""
    request = window(0)
    for i in (3, 7):
        request.columns.texts[0].codes[i] = 99
    answer = agent.record(request)
    assert (answer.accepted, reasons(answer)) == (ROWS - 2, {"code_out_of_range": ("texts[city]", 2)})
    assert list(answer.refusals[0].index) == [3, 7]


def test_a_feature_in_two_maps_is_refused(agent: AgentProcess) -> None:
    """x0 as number and as text at once: that row only."""
    request = rows("a", "b")
    request.rows.rows[0].texts["x0"] = SECRET
    answer = agent.record(request)
    assert (answer.accepted, reasons(answer)) == (1, {"duplicate_key": ("features[x0]", 1)})


def test_empty_ids_nan_and_infinity_are_accepted_and_counted(agent: AgentProcess) -> None:
    """They are values the quality checks see, not errors: kept, whatever stands beside them."""
    before = kept(agent.status())
    request = rows("", "", "c")
    for row, value in zip(request.rows.rows, (math.nan, math.inf, -math.inf), strict=True):
        row.numbers["x0"], row.latency_seconds = value, value
        row.outputs[0].scores[""] = value
    answer = agent.record(request)
    assert (answer.accepted, len(answer.refusals)) == (3, 0)
    request = window(0)
    request.columns.numbers[0].values[:3] = [math.nan, math.inf, -math.inf]
    request.columns.latency_seconds[:4] = [math.nan, math.inf, -math.inf, -1.0]
    assert agent.record(request).accepted == ROWS
    agent.wait_for(lambda s: kept(s) == before + 3 + ROWS)


def test_a_label_without_an_id_is_refused_and_its_neighbour_kept(agent: AgentProcess) -> None:
    """A label needs an id, or its prediction, and a truth."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = stream.MODEL.name, stream.MODEL.version
    request.labels.labels.add(label="yes")
    request.labels.labels.add(prediction_id="a")
    request.labels.labels.add(prediction_id="a", label="yes")
    answer = agent.record(request)
    assert (answer.accepted, set(reasons(answer))) == (1, {"id_missing", "label_missing"})


def test_what_names_no_model_or_nothing_is_refused(agent: AgentProcess) -> None:
    """No model, no body: typed, counted by message."""
    nameless = window(0)
    nameless.model.name = ""
    assert set(reasons(agent.record(nameless))) == {"model_missing"}
    empty = wire.RecordRequest()
    empty.model.name = "loan"
    assert set(reasons(agent.record(empty))) == {"empty"}
    assert {"model_missing", "empty"} <= set(agent.status()["messages"])


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_ten_years_off_is_kept_by_arrival_and_its_skew_shown(agent: AgentProcess, years: int) -> None:
    """By arrival time a sender's clock moves nothing: the records are kept, the skew stands in the status."""
    before = kept(agent.status())
    request = window(0)
    request.sent_at_unix_nano = time.time_ns() + years * 31_557_600 * 10**9
    request.columns.time_unix_nano[:] = [request.sent_at_unix_nano] * ROWS
    assert agent.record(request).accepted == ROWS
    status = agent.wait_for(lambda s: kept(s) == before + ROWS)
    assert status["agent"]["clock_skew_seconds"] == pytest.approx(years * 31_557_600, rel=0.001)


def test_by_event_time_a_clock_ahead_is_refused_and_one_behind_is_late(tmp_path: Any) -> None:
    """One record ten years ahead moves no watermark: `future`; one ten years back belongs to a closed window: late."""
    options = {"SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": "60"}
    with AgentProcess(tmp_path, **options) as running:
        for index in range(3):
            assert running.record(window(index)).accepted == ROWS
        request, decade = rows("ahead", "now", "behind"), 315_576_000 * 10**9
        now = stream.START_NS + 2 * 60 * 10**9
        for row, moment in zip(request.rows.rows, (now + decade, now, now - decade), strict=True):
            row.time_unix_nano = moment
        answer = running.record(request)
        assert (answer.accepted, reasons(answer)) == (2, {"future": ("time_unix_nano", 1)})
        records = model_of(running.wait_for(lambda s: s["agent"]["offset"] >= 4))["records"]
        assert (records["kept"], records["late"], records["refused"]) == (3 * ROWS + 1, 1, 1)
        assert running.stop() == 0


def test_memory_stays_bounded_under_hostile_input(agent: AgentProcess) -> None:
    """400 messages of new feature names, long texts and noise: resident memory stays under its bound."""
    noise = random.Random(3)
    with sending(agent) as send:
        for number in range(400):
            if number % 2:
                send(noise.randbytes(30_000))
                continue
            request = rows(*(f"{number}-{i}" for i in range(5)))
            for row in request.rows.rows:
                for i in range(50):
                    row.texts[f"{number}/{i}"] = noise.randbytes(100).hex()
            send(request)
    assert agent.process is not None
    with open(f"/proc/{agent.process.pid}/status") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    assert resident < RSS_MAX_KIB
