"""Crash safety: the agent is killed at random moments under load, and what it knows afterwards is compared with an
agent
that was never killed."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.export.spool import unpack
from agent.wire import recorder_pb2 as wire
from agent.wire import state_pb2 as state
from tests.end_to_end import stream
from tests.end_to_end.harness import WAIT_SECONDS, AgentProcess
from tests.ports import refusing_port

SENDER_COUNTERS = ("kept", "received", "refused", "late", "labels", "windows", "errors", "joined")
FAULTS_SAID = 30 * stream.MESSAGES  # the first of the stream's faults lasts from window 20 to 24


def options(folder: Path, nobody: int) -> dict[str, str]:
    """Event time, and a backend that nobody is: everything the agent would send stays in its spool, to be looked at."""
    return {
        "SIDELIGHT_REFERENCE": str(folder / "loan.sidelight"),
        "SIDELIGHT_TIME": "event",
        "SIDELIGHT_CHECKPOINT_SECONDS": "0.3",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{nobody}",
        "OTEL_METRICS_EXPORTER": "none",
        # The limits go by the minute in which records arrive, and the two agents get them in others.
        "SIDELIGHT_TRACE_LIMIT_PER_MINUTE": "1000000000",
        "SIDELIGHT_TRACE_ALWAYS_PER_MINUTE": "1000000000",
    }


class Sender(threading.Thread):
    """Sends the stream in order, one message in flight, each until it is acknowledged."""

    def __init__(self, agent: AgentProcess) -> None:
        super().__init__(daemon=True)
        self._agent, self._ending = agent, threading.Event()
        self.sent = 0
        self.duplicates = 0
        self.accepted = 0

    def run(self) -> None:
        with grpc.insecure_channel(
            f"unix:{self._agent.socket}",
            [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50)],
        ) as channel:
            call = channel.unary_unary(
                "/sidelight.v1.Recorder/Record",
                request_serializer=bytes,
                response_deserializer=wire.RecordResponse.FromString,
            )
            while not self._ending.is_set():
                raw = stream.message(self.sent, traced=True).SerializeToString()
                answer = self._deliver(call, raw)
                assert answer.durable
                self.duplicates += answer.duplicate
                self.accepted += answer.accepted
                self.sent += 1

    def _deliver(self, call: Any, raw: bytes) -> wire.RecordResponse:
        while True:
            try:
                answer: wire.RecordResponse = call(raw, timeout=5, wait_for_ready=True)
                return answer
            except grpc.RpcError:
                time.sleep(0.005)

    def end(self) -> None:
        """Returns when the message in flight is acknowledged."""
        self._ending.set()
        self.join(timeout=WAIT_SECONDS)
        assert not self.is_alive()


def knows(folder: Path) -> dict[str, Any]:
    """What a stopped agent's state folder says: counters, counts, windows, alerts, and what it has to say."""
    with sqlite3.connect(folder / "state" / "state.db") as db:
        blobs = dict(db.execute("SELECT key, body FROM blob"))
        payloads = [row[0] for row in db.execute("SELECT payload FROM spool WHERE signal = 'logs' ORDER BY id")]
        traces = [row[0] for row in db.execute("SELECT payload FROM spool WHERE signal = 'traces'")]
    series = next(state.Series.FromString(body) for key, body in blobs.items() if key.startswith("series/"))
    requests = [ExportTraceServiceRequest.FromString(unpack(payload)) for payload in traces]
    spans = Counter(span.span_id.hex() for found in requests for span in found.resource_spans[0].scope_spans[0].spans)
    linked: set[str] = set()
    said: Counter[tuple[str, str, str]] = Counter()
    for payload in payloads:
        record = ExportLogsServiceRequest.FromString(unpack(payload)).resource_logs[0].scope_logs[0].log_records[0]
        attributes = {a.key: str(a.value).strip() for a in record.attributes if a.key != "sidelight.event.key"}
        linked.update(
            found.string_value
            for a in record.attributes
            if a.key == "sidelight.example.span_id"
            for found in a.value.array_value.values
        )
        said[(record.event_name, record.body.string_value, repr(sorted(attributes.items())))] += 1
    return {
        "counters": {name: int(series.counters.values.get(name, 0)) for name in SENDER_COUNTERS},
        "joins": next((_joins(body) for key, body in blobs.items() if key.startswith("labels/")), {}),
        "total": bytes(series.total),
        "latency": bytes(series.latency),
        "closed": {key: body for key, body in blobs.items() if key.startswith("closed/")},
        "alerts": blobs.get("alerts"),
        "said": said,
        "spans": spans,
        "linked": linked,
    }


def _joins(blob: bytes) -> dict[str, Any]:
    """What a desk counted. Whether a label was looked up before its prediction came depends on the moment."""
    kept = json.loads(blob[4 : 4 + int.from_bytes(blob[:4], "little")])["kept"]
    kinds = kept["kinds"]
    kinds["joined"] += kinds.pop("early", 0)
    return dict(kept)


def killed(folder: Path, nobody: int, kills: int) -> tuple[dict[str, Any], int]:
    """One agent killed `kills` times under load; what it knows in the end, and how many messages it was sent."""
    random_moment = random.Random(kills)
    stream.reference(folder / "loan.sidelight")
    agent = AgentProcess(folder, **options(folder, nobody)).start()
    sender = Sender(agent)
    sender.start()
    for number in range(kills):
        # Some kills come while the agent still starts and replays, most while it counts, checkpoints and closes
        # windows.
        ready = number % 5 != 4
        if ready:
            agent.wait_ready()
        time.sleep(random_moment.uniform(0.0, 0.6))
        agent.kill()
        agent.start(wait=False)
    agent.wait_ready()
    # The agent must be seen to have survived the last kill under load, too; and a slow machine's faults must be said.
    more = max(sender.sent + 20, FAULTS_SAID)
    while sender.sent < more:
        time.sleep(0.01)
    sender.end()
    assert agent.stop() == 0
    found = knows(folder)
    assert sum(found["counters"][name] for name in ("kept", "labels")) == sender.accepted
    return found, sender.sent


def never_killed(folder: Path, nobody: int, sent: int) -> dict[str, Any]:
    stream.reference(folder / "loan.sidelight")
    with (
        AgentProcess(folder, **options(folder, nobody)) as agent,
        grpc.insecure_channel(f"unix:{agent.socket}") as channel,
    ):
        call = channel.unary_unary(
            "/sidelight.v1.Recorder/Record",
            request_serializer=bytes,
            response_deserializer=wire.RecordResponse.FromString,
        )
        for number in range(sent):
            call(stream.message(number, traced=True).SerializeToString(), timeout=WAIT_SECONDS)
        assert agent.stop() == 0
    return knows(folder)


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.long)])
def test_a_killed_agent_knows_what_one_that_was_never_killed_knows(tmp_path: Path, kills: int) -> None:
    """Nothing acknowledged is lost, nothing stamped is counted twice, alerts are said once and point at the same
    examples, and the same predictions are spans, each once, whenever SIGKILL comes."""
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    with refusing_port() as nobody:
        found, sent = killed(tmp_path / "killed", nobody, kills)
        expected = never_killed(tmp_path / "whole", nobody, sent)
    assert found["counters"] == expected["counters"]
    for what in ("said", "spans"):
        lost, more = expected[what] - found[what], found[what] - expected[what]
        assert (list(lost)[:3], list(more)[:3]) == ([], []), f"{what}: {lost.total()} lost, {more.total()} more"
    assert [what for what in expected if found[what] != expected[what]] == []  # names alone: the values are megabytes
    assert expected["linked"], "alerts must point at examples, or they are not compared"
    assert expected["linked"] <= set(expected["spans"]), "an example that is no span leads nowhere"
    assert set(expected["spans"].values()) == {1}
    kinds = expected["joins"]["kinds"]
    assert min(kinds[kind] for kind in ("joined", "repeated", "changed")) > 0, "labels of each kind must be compared"
    assert expected["said"], "the stream's faults must have been said, or the comparison compares nothing"
