"""The station as the app sees it: rows for its transactions, metrics, its own health, and what a full disk costs."""

from __future__ import annotations

import asyncio
import io
import json
import random
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent import telemetry
from agent.config import Otel, Settings
from agent.export import metrics, spool
from agent.export.console import ConsoleTransport
from agent.export.destination import UNSET
from agent.records import Event, ModelKey
from agent.telemetry import DRIFT, RECORDS, Point
from tests.certificates import certificates, needed
from tests.export.backend import GrpcBackend, HttpBackend, Say
from tests.export.scene import NOW_NS, RESOURCE, Scene, event, scene, trace


async def test_without_an_endpoint_nothing_is_spooled(tmp_path: Path) -> None:
    """No rows, no points, a reason in the status; the exporter runs on."""
    async with scene(tmp_path, Otel()) as s:
        assert not any(s.exporter.wants(signal) for signal in spool.SIGNALS)
        assert s.exporter.rows_for_events([event("a")]) == []
        assert s.exporter.rows_for_traces([trace()], ModelKey("m"), "1") == []
        await s.exporter.put_metrics([Point(RECORDS, 1, {})])
        assert await s.store.run(spool.queued) == {}
        status = s.exporter.status()
        assert (status["endpoint"], status["signals"]["logs"]["endpoint"]) == (UNSET, UNSET)


async def test_the_same_event_is_stored_once_however_often_it_is_replayed(tmp_path: Path) -> None:
    """Rows are a function of the events: the same keys, so the transaction of a replay adds nothing."""
    async with scene(tmp_path, Otel(exporter_otlp_endpoint="http://127.0.0.1:1"), run=False) as s:
        for _ in range(3):
            await s.tell("a", "b")
            await s.put(s.exporter.rows_for_traces([trace()], ModelKey("m"), "offset"))
        await s.exporter.count()
        assert (s.of("logs").produced, s.of("traces").produced) == (2, 1)
        await s.assert_law()


async def test_spans_of_two_models_from_one_message_are_both_kept(tmp_path: Path) -> None:
    """They come with the same journal offset; a replay of both still adds nothing."""
    async with scene(tmp_path, Otel(exporter_otlp_endpoint="http://127.0.0.1:1"), run=False) as s:
        for _ in range(2):
            for model in (ModelKey("a"), ModelKey("b")):
                await s.put(s.exporter.rows_for_traces([trace()], model, "7"))
        await s.exporter.count()
        assert s.of("traces").produced == 2


async def test_large_batches_of_spans_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row above the limit, every span in one of them."""
    monkeypatch.setattr(metrics, "REQUEST_BYTES_MAX", 2_000)
    async with scene(tmp_path, Otel(exporter_otlp_endpoint="http://127.0.0.1:1"), run=False) as s:
        rows = s.exporter.rows_for_traces([trace(str(n)) for n in range(50)], ModelKey("m"), "offset")
        assert max(len(row.payload) for row in rows) <= 2_000
        assert sum(row.items for row in rows) == 50
        assert len({row.key for row in rows}) == len(rows) > 1


async def test_the_exporter_reports_on_itself(tmp_path: Path) -> None:
    """Its points carry delivered, rejected and dropped items by signal, the spool's size and its limit."""
    backend = HttpBackend()
    async with scene(tmp_path, Otel(exporter_otlp_endpoint=await backend.start())) as s:
        backend.says("logs", Say(400))
        await s.tell("bad")
        await s.until_settled("logs", 1)
        await s.tell("good")
        await s.until_settled("logs", 2)
        found = {
            (p.metric.name, p.attributes.get("sidelight.signal"), p.attributes.get("sidelight.outcome")): p.value
            for p in s.exporter.points()
        }
        assert found["sidelight.export.produced", "logs", None] == 2
        assert found["sidelight.export.items", "logs", "delivered"] == 1
        assert found["sidelight.export.items", "logs", "rejected"] == 1
        assert found["sidelight.spool.items", "logs", None] == 0
        assert found["sidelight.spool.limit", None, None] == Settings().spool_bytes_max
        assert {point.metric.name for point in s.exporter.points()} <= set(telemetry.CATALOGUE)
        assert all(set(p.attributes) <= set(p.metric.attributes) for p in s.exporter.points())
        assert s.exporter.status()["signals"]["logs"]["delivered"] == 1
    await backend.stop()


async def test_a_spool_over_its_limit_is_trimmed_while_the_backend_is_down(tmp_path: Path) -> None:
    """Bytes stay within the limit, what goes is counted by reason, alerts' events stay; age is bounded likewise."""
    settings = Settings(spool_bytes_max=1 << 20)
    async with scene(tmp_path, Otel(exporter_otlp_endpoint="http://127.0.0.1:1"), settings) as s:
        noise = random.Random(1)
        for number in range(12):
            s.clock.turn(15)
            await s.exporter.put_metrics(
                [Point(DRIFT, noise.random(), {"sidelight.segment": noise.randbytes(64).hex()}) for _ in range(2_000)]
            )
            await s.tell(f"event {number}")
        await s.until(lambda: s.of("metrics").produced == 24_000)
        # Within the limit once the newest export has been trimmed.
        await s.until(lambda: sum(s.of(signal).queued_bytes for signal in spool.SIGNALS) <= 1 << 20)
        await s.assert_law()
        assert set(s.of("metrics").dropped) == {"spool_full"}
        assert (s.of("logs").queued, dict(s.of("logs").dropped)) == (12, {})
        s.clock.turn(90_000)
        s.exporter.wake()
        await s.until(lambda: not s.of("logs").queued)
        assert dict(s.of("logs").dropped) == {"too_old": 12}
        await s.assert_law()


async def _forbid(s: Scene, what: str) -> None:
    """Every INSERT or DELETE on the spool fails, as on a full disk."""
    trigger = f"CREATE TRIGGER forbidden BEFORE {what} ON spool BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    await s.store.run(lambda db: db.execute(trigger).fetchall())


async def _allow(s: Scene) -> None:
    await s.store.run(lambda db: db.execute("DROP TRIGGER forbidden").fetchall())


async def test_a_store_that_cannot_be_written_costs_one_export_and_is_counted(tmp_path: Path) -> None:
    """The disk is full: the points are dropped with the reason `store`, and the law holds."""
    async with scene(tmp_path, Otel(exporter_otlp_endpoint="http://127.0.0.1:1"), run=False) as s:
        await _forbid(s, "INSERT")
        await s.exporter.put_metrics([Point(RECORDS, 1, {}), Point(RECORDS, 2, {"sidelight.outcome": "kept"})])
        await _allow(s)
        assert dict(s.of("metrics").dropped) == {"store": 2}
        assert s.of("metrics").last_error
        await s.assert_law()


async def test_a_store_that_fails_after_delivery_does_not_send_twice(tmp_path: Path) -> None:
    """The answer is kept until it can be written down; only then comes the next request."""
    backend = GrpcBackend()
    async with scene(tmp_path, Otel(exporter_otlp_endpoint=await backend.start(), exporter_otlp_protocol="grpc")) as s:
        await s.put(s.exporter.rows_for_events([event("one"), event("two")]))
        await _forbid(s, "DELETE")
        s.exporter.wake()
        await s.until(lambda: len(s.pauses) >= 3)
        assert len(backend.got) == 1
        await _allow(s)
        await s.until_settled("logs", 2)
        await s.assert_law()
    await backend.stop()
    assert backend.bodies() == ["one", "two"]


async def test_the_console_prints_one_request_a_line(tmp_path: Path) -> None:
    """OTLP's JSON: ids in hex, enumerations as numbers."""
    async with scene(tmp_path, Otel(traces_exporter="console"), run=False) as s:
        (row,) = s.exporter.rows_for_traces([trace()], ModelKey("m"), "1")
        assert s.of("traces").endpoint == "stdout"
    out = io.StringIO()
    await ConsoleTransport("traces", out).send(row.payload)
    (line,) = out.getvalue().splitlines()
    (span,) = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["parentSpanId"], span["kind"]) == (
        "0102030405060708090a0b0c0d0e0f10",
        "0102030405060708",
        1,
    )


def _is_down_to(s: Scene, left: int) -> bool:
    return s.of("logs").produced > 0 and s.of("logs").queued <= left


async def test_whatever_the_backend_does_the_books_balance(tmp_path: Path) -> None:
    """Two hundred answers drawn at random, over two lives of the exporter: the law holds, order is kept."""
    chance, backend = random.Random(7), GrpcBackend()
    answers = [Say(), Say(), Say("UNAVAILABLE"), Say("INVALID_ARGUMENT"), Say(rejected=1), Say("RESOURCE_EXHAUSTED")]
    backend.says("logs", *(chance.choice(answers) for _ in range(200)))
    otel = Otel(exporter_otlp_endpoint=await backend.start(), exporter_otlp_protocol="grpc")
    lives = []
    for life, left in enumerate((30, 30, 0)):
        async with scene(tmp_path, otel) as s:
            await s.tell(*(f"{life}{n:03}" for n in range(60)))
            await s.until(partial(_is_down_to, s, left))
            await s.assert_law()
        lives.append(s.of("logs"))
    await backend.stop()
    assert sum(life.delivered + life.rejected for life in lives) == 180
    assert sum(life.rejected for life in lives) > 0
    first_seen = list(dict.fromkeys(backend.bodies()))  # what was in flight when a life ended may come twice
    assert first_seen == sorted(first_seen)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return certificates(tmp_path_factory.mktemp("tls"))


def _credentials(files: dict[str, str]) -> grpc.ServerCredentials:
    chain = Path(files["own.key"]).read_bytes(), Path(files["own.pem"]).read_bytes()
    return grpc.ssl_server_credentials([chain], Path(files["ca.pem"]).read_bytes(), require_client_auth=True)


def _context(files: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["ca.pem"])
    context.load_cert_chain(files["own.pem"], files["own.key"])
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def _secured(kind: str, files: dict[str, str]) -> AsyncIterator[tuple[GrpcBackend | HttpBackend, str]]:
    backend: GrpcBackend | HttpBackend
    if kind == "grpc":
        backend = GrpcBackend()
        await backend.start(_credentials(files))
    else:
        backend = HttpBackend()
        await backend.start(_context(files))
    try:
        yield backend, f"https://127.0.0.1:{backend.port}"
    finally:
        await backend.stop()


@needed
@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_mutual_tls(tmp_path: Path, authority: dict[str, str], kind: str) -> None:
    """With the authority and a certificate of its own the agent is let in; without them it keeps trying."""
    async with _secured(kind, authority) as (backend, endpoint):
        options: dict[str, Any] = {
            "exporter_otlp_endpoint": endpoint,
            "exporter_otlp_protocol": "grpc" if kind == "grpc" else "http/protobuf",
        }
        async with scene(tmp_path, Otel(**options)) as s:
            await s.tell("one")
            await s.until(lambda: len(s.pauses) >= 1)
            assert s.of("logs").queued == 1
        options |= {
            "exporter_otlp_certificate": authority["ca.pem"],
            "exporter_otlp_client_key": authority["own.key"],
            "exporter_otlp_client_certificate": authority["own.pem"],
        }
        async with scene(tmp_path, Otel(**options)) as s:
            await s.until_settled("logs", 1)
    assert backend.bodies() == ["one"]
    assert backend.taken[0].message.resource_logs[0].resource == RESOURCE


def test_the_station_brings_no_more_of_the_sdk_than_it_uses() -> None:
    """Memory and start-up: resource detection; no samplers, no providers of metrics or logs, no exporters."""
    code = (
        "import sys, agent.export.exporter, agent.export.resource\n"
        "heavy = ('opentelemetry.sdk.metrics', 'opentelemetry.sdk._logs', 'opentelemetry.sdk.trace.export',\n"
        "    'opentelemetry.sdk.trace.sampling', 'opentelemetry.exporter', 'requests', 'google.protobuf.json_format')\n"
        "used = ('opentelemetry.sdk.resources',)\n"
        "print([name for name in heavy + used if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "['opentelemetry.sdk.resources']"


async def test_an_export_of_metrics_yields_by_time(tmp_path: Path) -> None:
    """Points that take 0.7 ms each give the loop its turn after every second."""
    async with scene(tmp_path, Otel(exporter_otlp_endpoint="http://127.0.0.1:1"), run=False) as s:
        made: list[int] = []
        seen: list[int] = []

        def points() -> Iterator[Point]:
            for number in range(9):
                s.clock.turn(0.0007)
                made.append(number)
                yield Point(RECORDS, number, {})

        async def watch() -> None:
            while len(made) < 9:
                await asyncio.sleep(0)
                seen.append(len(made))

        await asyncio.gather(watch(), s.exporter.put_metrics(points()))
        assert seen == [0, 2, 4, 6, 8, 9]
        await s.exporter.count()
        assert s.of("metrics").produced == 9


async def test_spans_and_log_records_have_limits_of_their_own(tmp_path: Path) -> None:
    """OTEL_SPAN_… and OTEL_LOGRECORD_… go before OTEL_ATTRIBUTE_…, each for its signal."""
    backend = HttpBackend()
    otel = Otel(
        exporter_otlp_endpoint=await backend.start(), exporter_otlp_protocol="http/protobuf", attribute_count_limit=3,
        span_attribute_count_limit=1, logrecord_attribute_value_length_limit=5,
    )  # fmt: skip
    async with scene(tmp_path, otel) as s:
        told = Event("sidelight.test", "k", NOW_NS, "INFO", "", {f"a{n}": "long words" for n in range(4)})
        await s.put(s.exporter.rows_for_events([told]))
        await s.put(s.exporter.rows_for_traces([trace("p")], ModelKey("m", "1"), "0"))
        await s.until_settled("logs", 1)
        await s.until_settled("traces", 1)
    got = {each.signal: each.message for each in backend.taken}
    record = got["logs"].resource_logs[0].scope_logs[0].log_records[0]
    assert [pair.value.string_value for pair in record.attributes] == ["long "] * 3
    span = got["traces"].resource_spans[0].scope_spans[0].spans[0]
    assert (len(span.attributes), span.dropped_attributes_count > 0) == (1, True)
    await backend.stop()
