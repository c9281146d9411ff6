"""Delivery against backends on real sockets: what is retried, what is refused, what is lost (nothing, or counted)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # Google ships no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from agent.config import Otel
from agent.records import ModelKey
from agent.telemetry import RECORDS, Point
from tests.export.backend import GrpcBackend, HttpBackend, Say
from tests.export.relay import Relay
from tests.export.scene import scene, trace


@asynccontextmanager
async def serving(kind: str, **options: Any) -> AsyncIterator[tuple[GrpcBackend | HttpBackend, Otel]]:
    """A backend and the variables that lead to it."""
    backend: GrpcBackend | HttpBackend = GrpcBackend() if kind == "grpc" else HttpBackend()
    options["exporter_otlp_endpoint"] = await backend.start()
    options["exporter_otlp_protocol"] = "grpc" if kind == "grpc" else "http/protobuf"
    try:
        yield backend, Otel(**options)
    finally:
        await backend.stop()


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_every_signal_arrives_whole(tmp_path: Path, kind: str) -> None:
    """Points, spans and events arrive decoded as they were said, under one resource, each on its own path."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        await s.exporter.put_metrics([Point(RECORDS, n, {"sidelight.outcome": str(n)}) for n in range(700)])
        await s.tell("closed")
        rows = s.exporter.rows_for_traces([trace("a")], ModelKey("m", "1"), "7")
        await s.put(rows)
        await s.until_settled("metrics", 700)
        await s.until_settled("logs", 1)
        await s.until_settled("traces", 1)
        await s.assert_law()
    by_signal = {got.signal: got.message for got in backend.taken}
    metric = by_signal["metrics"].resource_metrics[0].scope_metrics[0].metrics[0]
    assert [p.as_int for p in metric.sum.data_points] == list(range(700))
    assert by_signal["traces"].resource_spans[0].scope_spans[0].spans[0].name == "predict m"
    assert by_signal["logs"].resource_logs[0].resource.attributes[0].value.string_value == "tested"
    assert backend.bodies() == ["closed"]
    if kind == "http":
        assert {got.path for got in backend.taken} == {"/v1/metrics", "/v1/traces", "/v1/logs"}


RETRIED = [
    ("grpc", Say("UNAVAILABLE")),
    ("grpc", Say("DEADLINE_EXCEEDED")),
    ("grpc", Say("CANCELLED")),
    ("grpc", Say("ABORTED")),
    ("grpc", Say("OUT_OF_RANGE")),
    ("grpc", Say("DATA_LOSS")),
    ("grpc", Say("RESOURCE_EXHAUSTED", retry_delay=7.5)),
    ("http", Say(429, retry_delay=9)),
    ("http", Say(502)),
    ("http", Say(503)),
    ("http", Say(504)),
]


@pytest.mark.parametrize(("kind", "say"), RETRIED, ids=lambda v: str(getattr(v, "code", v)))
async def test_a_retryable_failure_is_tried_again_until_it_is_taken(tmp_path: Path, kind: str, say: Say) -> None:
    """Twice refused for now, then taken once; pauses grow, never shorter than the backend asked for."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("logs", say, say)
        await s.tell("one")
        found = await s.until_settled("logs", 1)
        assert (found.delivered, found.rejected, found.last_error) == (1, 0, "")
        asked = say.retry_delay or 0.0
        assert s.pauses == [0.5 + asked, 1.0 + asked]
        await s.assert_law()
    assert len(backend.got) == 3
    assert backend.bodies() == ["one"]


def _status(retry_delay: bytes) -> bytes:
    """grpc-status-details-bin with these bytes as its RetryInfo."""
    packed = AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=retry_delay)
    encoded: bytes = Status(details=[packed]).SerializeToString()
    return encoded


LONG = RetryInfo(retry_delay=Duration(seconds=(1 << 63) - 1)).SerializeToString()
DATE, LATER = ("Date", b"Sun, 06 Nov 1994 08:49:37 GMT"), b"Sun, 06 Nov 1994 08:50:47 GMT"
ASKED = [
    pytest.param("http", Say(503, headers=(DATE, ("Retry-After", LATER))), 70.0, id="a date, by the answer's clock"),
    pytest.param("http", Say(503, headers=(("Retry-After", b"Tue, 14 Nov 2023 22:13:41 GMT"),)), 21.0, id="by ours"),
    pytest.param("http", Say(503, headers=(DATE, ("Retry-After", DATE[1]))), 0.0, id="a date that is over"),
    pytest.param("http", Say(503, headers=(("Retry-After", b"99999999999"),)), 3_600.0, id="more than an hour"),
    pytest.param("http", Say(503, headers=(("Retry-After", "²".encode("latin-1")),)), 0.0, id="a digit that is none"),
    pytest.param("http", Say(503, headers=(("Retry-After", b"9" * 400),)), 0.0, id="nonsense"),
    pytest.param("http", Say(503, headers=(("Retry-After", b"Mon, 99 Foo 9999999 99:99:99 GMT"),)), 0.0, id="no date"),
    pytest.param("grpc", Say("UNAVAILABLE", status=_status(LONG)), 3_600.0, id="RetryInfo of ages"),
    pytest.param("grpc", Say("UNAVAILABLE", status=_status(b"\xff\xff")), 0.0, id="a broken RetryInfo"),
    pytest.param("grpc", Say("UNAVAILABLE", status=b"\xff\xff"), 0.0, id="a broken status"),
]


@pytest.mark.parametrize(("kind", "say", "asked"), ASKED)
async def test_however_a_backend_asks_for_time_it_gets_it(tmp_path: Path, kind: str, say: Say, asked: float) -> None:
    """Seconds or a date, an hour at most; what cannot be read asks for nothing, and never ends the delivery."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("logs", say)
        await s.tell("one")
        found = await s.until_settled("logs", 1)
        assert (found.delivered, found.rejected) == (1, 0)
        assert s.pauses == [0.5 + asked]
    assert backend.bodies() == ["one"]


REFUSED = [
    ("grpc", Say("INVALID_ARGUMENT", "bad point")),
    ("grpc", Say("RESOURCE_EXHAUSTED", "too large")),
    ("grpc", Say("UNAUTHENTICATED")),
    ("grpc", Say("UNIMPLEMENTED")),
    ("grpc", Say("INTERNAL")),
    ("http", Say(400, "bad point")),
    ("http", Say(413)),
    ("http", Say(401)),
    ("http", Say(500)),
    ("http", Say(301)),
]


@pytest.mark.parametrize(("kind", "say"), REFUSED, ids=lambda v: str(getattr(v, "code", v)))
async def test_a_refused_request_is_counted_and_never_sent_again(tmp_path: Path, kind: str, say: Say) -> None:
    """The refused event is rejected with the backend's words; the next one is delivered at once."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("logs", say)
        await s.tell("bad")
        found = await s.until_settled("logs", 1)
        assert (found.delivered, found.rejected) == (0, 1)
        assert str(say.code) in found.last_error
        assert say.message in found.last_error
        await s.tell("good")
        found = await s.until_settled("logs", 2)
        assert (found.delivered, found.rejected, found.last_error, s.pauses) == (1, 1, "", [])
        await s.assert_law()
    assert len(backend.got) == 2


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_a_partial_success_is_counted_and_never_sent_again(tmp_path: Path, kind: str) -> None:
    """Three of ten points rejected: seven delivered, the message shown, one request."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("metrics", Say(rejected=3, message="out of order"))
        await s.exporter.put_metrics([Point(RECORDS, n, {"sidelight.outcome": str(n)}) for n in range(10)])
        found = await s.until_settled("metrics", 10)
        assert (found.delivered, found.rejected, found.last_error) == (7, 3, "out of order")
        await s.assert_law()
    assert len(backend.got) == 1


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_a_backend_that_comes_back_gets_everything_in_order(tmp_path: Path, kind: str) -> None:
    """Down while events are told: all are kept, and arrive in order, once each, when it is up again."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        await backend.stop()
        await s.tell(*(str(n) for n in range(20)))
        await s.until(lambda: len(s.pauses) >= 3)
        await s.tell(*(str(n) for n in range(20, 30)))
        assert s.of("logs").delivered == 0
        assert s.of("logs").last_error
        await backend.start()
        found = await s.until_settled("logs", 30)
        assert (found.delivered, found.rejected, dict(found.dropped)) == (30, 0, {})
        await s.assert_law()
    assert backend.bodies() == [str(n) for n in range(30)]


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_a_backlog_goes_out_in_few_requests(tmp_path: Path, kind: str) -> None:
    """A hundred events are two requests, in order; a partial success of one is counted once."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("logs", Say(rejected=3, message="too old"))
        await s.tell(*(f"{n:02}" for n in range(100)))
        found = await s.until_settled("logs", 100)
        assert (found.delivered, found.rejected) == (97, 3)
        await s.assert_law()
    assert len(backend.got) == 2
    assert backend.bodies() == [f"{n:02}" for n in range(100)]


@pytest.mark.parametrize(("kind", "say"), [("grpc", Say("INVALID_ARGUMENT", "bad")), ("http", Say(400, "bad"))])
async def test_a_bad_row_costs_no_neighbours(tmp_path: Path, kind: str, say: Say) -> None:
    """A refused request of several rows is sent again row by row; only the bad one is rejected."""
    async with serving(kind) as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("logs", say, Say(), say)
        await s.tell(*(f"{n:02}" for n in range(70)))
        found = await s.until_settled("logs", 70)
        assert (found.delivered, found.rejected, s.pauses) == (69, 1, [])
        await s.assert_law()
    assert len(backend.got) == 1 + 64 + 1
    assert backend.bodies() == [f"{n:02}" for n in range(70) if n != 1]


async def test_a_slow_backend_gets_smaller_requests(tmp_path: Path) -> None:
    """After a request of several rows has no answer, its rows go one by one, so that there is progress."""
    async with serving("grpc") as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("logs", Say("DEADLINE_EXCEEDED"))
        await s.tell("0", "1", "2")
        assert (await s.until_settled("logs", 3)).delivered == 3
        assert s.pauses == [0.5]
        await s.tell("3", "4")
        await s.until_settled("logs", 5)
    assert [len(got.message.resource_logs) for got in backend.got] == [3, 1, 1, 1, 2]
    assert backend.bodies() == [str(n) for n in range(5)]


async def test_a_killed_exporter_is_continued_by_the_next(tmp_path: Path) -> None:
    """What the first could not deliver, and what it was just sending, the second delivers; its books begin with it."""
    async with serving("grpc") as (backend, otel):
        backend.says("logs", Say(), Say(hang=True))
        async with scene(tmp_path, otel) as s:
            await s.tell("0")
            await s.until_settled("logs", 1)
            await s.tell("1", "2")
            await s.until(lambda: len(backend.got) == 2)
        async with scene(tmp_path, otel) as s:
            found = await s.until_settled("logs", 2)
            assert (found.produced, found.delivered) == (2, 2)
            await s.assert_law()
    assert backend.bodies() == ["0", "1", "2"]


async def test_a_dead_signal_does_not_delay_another(tmp_path: Path) -> None:
    """While metrics hang, events are delivered."""
    async with serving("grpc") as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("metrics", Say(hang=True))
        await s.exporter.put_metrics([Point(RECORDS, 1, {})])
        await s.until(lambda: len(backend.got) == 1)
        await s.tell("alive")
        await s.until_settled("logs", 1)
        assert (s.of("metrics").queued, s.of("metrics").delivered) == (1, 0)


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_an_answer_that_does_not_come_is_retried(tmp_path: Path, kind: str) -> None:
    """After the configured time the request counts as failed for now."""
    async with serving(kind, exporter_otlp_timeout=100.0) as (backend, otel), scene(tmp_path, otel) as s:
        backend.says("logs", Say(hang=True))
        await s.tell("late")
        assert (await s.until_settled("logs", 1)).delivered == 1
        assert s.pauses == [0.5]
    assert len(backend.got) == 2


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_headers_travel(tmp_path: Path, kind: str) -> None:
    """Keys and percent-encoded values of OTEL_EXPORTER_OTLP_HEADERS come with every request; gzip says so over HTTP."""
    async with serving(kind, exporter_otlp_headers="api-key=a%20b") as (backend, otel), scene(tmp_path, otel) as s:
        await s.tell("one")
        await s.until_settled("logs", 1)
    assert backend.got[0].headers["api-key"] == "a b"
    assert backend.got[0].headers.get("content-encoding") == (None if kind == "grpc" else "gzip")


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_requests_are_compressed_as_asked(tmp_path: Path, kind: str, compression: str) -> None:
    """Of 200 kB of the same letter gzip leaves little on the wire, none leaves all; either arrives whole."""
    backend: GrpcBackend | HttpBackend = GrpcBackend() if kind == "grpc" else HttpBackend()
    await backend.start()
    wire = Relay(backend.port)
    await wire.start()
    otel = Otel.of({
        "exporter_otlp_endpoint": f"http://127.0.0.1:{wire.port}", "exporter_otlp_compression": compression,
        "exporter_otlp_protocol": "grpc" if kind == "grpc" else "http/protobuf",
    })  # fmt: skip
    async with scene(tmp_path, otel) as s:
        await s.tell("x" * 200_000)
        await s.until_settled("logs", 1)
    assert backend.bodies() == ["x" * 200_000]
    assert wire.carried < 20_000 if compression == "gzip" else wire.carried > 200_000
    await wire.stop()
    await backend.stop()


async def test_a_final_flush_that_fails_keeps_no_other_signal_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a transport raises: the others are sent, and the books are closed."""

    async def broken() -> None:
        raise ValueError("nobody thought of this")

    async with serving("http") as (backend, otel), scene(tmp_path, otel, run=False) as s:
        await s.tell("one")
        first = next(each for each in s.exporter._deliveries if each._signal != "logs")
        monkeypatch.setattr(first, "flush", broken)
        await s.exporter.stop(60)
        assert backend.bodies() == ["one"]
        assert s.of("logs").delivered == 1
    assert "flush_failed error=ValueError" in caplog.text


async def test_the_final_flush_keeps_its_deadline(tmp_path: Path) -> None:
    """A hanging backend costs no more than the deadline; what was not taken stays in the spool."""
    async with serving("grpc") as (backend, otel), scene(tmp_path, otel, run=False) as s:
        backend.says("logs", Say(), Say(hang=True))
        await s.tell(*(str(n) for n in range(66)))
        async with asyncio.timeout(30):  # half of what the backend hangs
            await s.exporter.stop(4)
        assert (s.of("logs").delivered, s.of("logs").queued) == (64, 2)
        await s.assert_law()


async def test_the_final_flush_sends_what_waits(tmp_path: Path) -> None:
    """Nothing runs any more; stop alone empties the spool."""
    async with serving("http") as (_, otel), scene(tmp_path, otel, run=False) as s:
        await s.tell("0", "1")
        await s.exporter.stop(60)
        assert (s.of("logs").delivered, s.of("logs").queued) == (2, 0)
