"""One fault after another, over gRPC and HTTP, in one signal while the others are well: what arrived is what was
produced less what was counted as rejected or dropped, in order, and twice only where the answer was lost."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent import telemetry
from agent.config import Otel
from agent.errors import RetryableError
from agent.export import spool
from agent.records import ModelKey
from agent.telemetry import RECORDS, Point
from tests.export.backend import GrpcBackend, HttpBackend, Say
from tests.export.relay import Relay
from tests.export.scene import NOW_NS, Scene, event, scene, trace

EVERY_SECONDS = 15
HOUR = 3_600 // EVERY_SECONDS  # exports
VARIABLE = "exporter_otlp_metrics_temporality_preference"
SERIES = ("kept", "late", "refused")


@dataclass(frozen=True)
class Fault:
    """say: every answer while it lasts; None: nobody listens. cut: connections end while a request is in flight.

    refuses, in_part: what is sent, or some of it, is to be counted as rejected. twice: the agent cannot know that a
    request was taken. timeout: of the sick signal, in milliseconds.
    """

    name: str
    kinds: tuple[str, ...]
    say: Say | None
    refuses: bool = False
    in_part: bool = False
    cut: bool = False
    twice: bool = False
    timeout: float = 10_000.0


BOTH, GRPC, HTTP = ("grpc", "http"), ("grpc",), ("http",)
FAULTS = [
    Fault("down", BOTH, None),
    Fault("slow", BOTH, Say(after=0.02)),
    Fault("silent", BOTH, Say(hang=True), timeout=1_000.0),
    Fault("too slow, but it took it", BOTH, Say(hang=True, took=True), timeout=100.0, twice=True),
    Fault("reset mid-call", BOTH, Say(hang=True), cut=True),
    Fault("reset before the answer", BOTH, Say(hang=True, took=True), cut=True, twice=True),
    Fault("some of each request refused", BOTH, Say(rejected=1, message="out of order"), in_part=True),
    Fault("UNAVAILABLE", GRPC, Say("UNAVAILABLE")),
    Fault("RESOURCE_EXHAUSTED with RetryInfo", GRPC, Say("RESOURCE_EXHAUSTED", retry_delay=7.0)),
    Fault("RESOURCE_EXHAUSTED", GRPC, Say("RESOURCE_EXHAUSTED"), refuses=True),
    Fault("INVALID_ARGUMENT", GRPC, Say("INVALID_ARGUMENT"), refuses=True),
    Fault("503", HTTP, Say(503)),
    Fault("429 with Retry-After", HTTP, Say(429, retry_delay=7.0)),
    Fault("429", HTTP, Say(429)),
    Fault("400", HTTP, Say(400), refuses=True),
    Fault("413", HTTP, Say(413), refuses=True),
]
CASES = [pytest.param(kind, fault, id=f"{kind}, {fault.name}") for fault in FAULTS for kind in fault.kinds]
WHERE = [("metrics", "cumulative"), ("metrics", "delta"), ("traces", "cumulative"), ("logs", "cumulative")]


@dataclass
class World:
    """One backend and one wire to it for each signal. produced: ids of what was said, in order."""

    scene: Scene
    backends: dict[str, GrpcBackend | HttpBackend]
    wires: dict[str, Relay]
    delta: bool
    produced: dict[str, list[Any]] = field(default_factory=lambda: {signal: [] for signal in spool.OTLP})
    exports: int = 0
    waiting: list[spool.SpoolRow] = field(default_factory=list)  # what found no room, as in the pipeline's outbox

    async def say(self, exports: int) -> None:
        """So many times, 15 s apart: an export of three counters, an event, a prediction with one stage."""
        for _ in range(exports):
            self.exports += 1
            self.scene.clock.turn(EVERY_SECONDS)
            await self.scene.exporter.put_metrics(
                [Point(RECORDS, self.exports + i, {"sidelight.outcome": name}) for i, name in enumerate(SERIES)]
            )
            now_ns = self.scene.clock.now_ns()
            if self.exports == 1 and not self.delta:
                self.produced["metrics"] += [(name, at) for name in SERIES for at in (NOW_NS, now_ns)]
            else:
                self.produced["metrics"] += [(name, now_ns) for name in SERIES]
            await self.tell()

    async def tell(self) -> None:
        """One event and one prediction's spans, as the pipeline's outbox brings them."""
        number = self.exports
        its = trace(f"p-{number}", trace_id=number.to_bytes(16, "big"), stages=(("queue", 0.0, 0.1),))
        self.waiting += self.scene.exporter.rows_for_events([event(str(number))])
        self.waiting += self.scene.exporter.rows_for_traces([its], ModelKey("m", "1"), str(number))
        with contextlib.suppress(RetryableError):
            await self.scene.put(self.waiting)
            self.waiting.clear()
        self.produced["logs"].append(str(number))
        self.produced["traces"] += [(its.trace_id, "predict m"), (its.trace_id, "queue")]

    def arrived(self, signal: str) -> list[Any]:
        """Ids of what the backend took, in order of arrival."""
        return [each for got in self.backends[signal].taken for each in ids(signal, got.message)[got.rejected :]]

    async def settled(self, signal: str) -> None:
        await self.scene.until_settled(signal, len(self.produced[signal]))

    def identity(self) -> None:
        """What is exported of each signal adds up: produced = delivered + rejected + dropped + queued."""
        produced: dict[Any, Any] = {}
        parts: dict[Any, Any] = defaultdict(int)
        for point in self.scene.exporter.points():
            signal = point.attributes.get("sidelight.signal")
            if point.metric is telemetry.EXPORT_PRODUCED:
                produced[signal] = point.value
            elif point.metric in (telemetry.EXPORT_ITEMS, telemetry.SPOOL_ITEMS):
                parts[signal] += point.value
        assert produced.keys() >= set(spool.OTLP)
        assert produced == {signal: parts[signal] for signal in produced}

    async def balance(self, signal: str, twice: bool = False) -> None:
        """Books, exported points, the store and the backend agree; nothing waits."""
        await self.scene.assert_law()
        self.identity()
        book, arrived = self.scene.of(signal), self.arrived(signal)
        once = list(dict.fromkeys(arrived))
        assert book.produced == len(self.produced[signal]) == len(set(self.produced[signal]))
        assert len(once) == book.produced - book.rejected - sum(book.dropped.values()) == book.delivered
        left = set(once)
        assert once == [each for each in self.produced[signal] if each in left]
        assert twice == (arrived != once)


def ids(signal: str, message: Any) -> list[Any]:
    """What tells the items of a request apart, in their order."""
    if signal == "logs":
        return [
            record.body.string_value for resource in message.resource_logs for scope in resource.scope_logs
            for record in scope.log_records
        ]  # fmt: skip
    if signal == "traces":
        return [
            (span.trace_id, span.name) for resource in message.resource_spans for scope in resource.scope_spans
            for span in scope.spans
        ]  # fmt: skip
    return [(point.attributes[0].value.string_value, point.time_unix_nano) for point in points_of(message)]


def points_of(message: Any) -> list[Any]:
    """The counters' data points."""
    (scope,) = message.resource_metrics[0].scope_metrics
    return [point for metric in scope.metrics for point in metric.sum.data_points]


@asynccontextmanager
async def world(
    folder: Path, kind: str, preference: str = "cumulative", timeouts: dict[str, float] | None = None
) -> AsyncIterator[World]:
    """Three backends, a wire to each, and an exporter that is told of the wires."""
    async with AsyncExitStack() as stack:
        backends: dict[str, GrpcBackend | HttpBackend] = {}
        wires: dict[str, Relay] = {}
        for signal in spool.OTLP:
            backends[signal] = GrpcBackend() if kind == "grpc" else HttpBackend()
            await backends[signal].start()
            stack.push_async_callback(backends[signal].stop)
            wires[signal] = Relay(backends[signal].port)
            await wires[signal].start()
            stack.push_async_callback(wires[signal].stop)
        s = await stack.enter_async_context(scene(folder, otel(kind, wires, preference, timeouts or {})))
        await s.exporter.open()
        yield World(s, backends, wires, preference == "delta")


def otel(kind: str, wires: dict[str, Relay], preference: str, timeouts: dict[str, float]) -> Otel:
    options: dict[str, Any] = {f"exporter_otlp_{signal}_timeout": timeout for signal, timeout in timeouts.items()}
    options |= {VARIABLE: preference, "exporter_otlp_protocol": "grpc" if kind == "grpc" else "http/protobuf"}
    for signal, wire in wires.items():
        path = "" if kind == "grpc" else f"/v1/{signal}"
        options[f"exporter_otlp_{signal}_endpoint"] = f"http://127.0.0.1:{wire.port}{path}"
    return Otel.of(options)


@pytest.mark.parametrize(("signal", "preference"), WHERE)
@pytest.mark.parametrize(("kind", "fault"), CASES)
async def test_what_arrived_is_what_was_produced_less_what_was_counted(
    tmp_path: Path, kind: str, fault: Fault, signal: str, preference: str
) -> None:
    """And while it lasts, the two other signals are delivered as if nothing were."""
    async with world(tmp_path, kind, preference, {signal: fault.timeout}) as w:
        sick = w.backends[signal]
        if fault.say is None:
            await sick.stop()
        else:
            sick.always = fault.say
        await w.say(10)
        for other in set(spool.OTLP) - {signal}:
            await w.settled(other)
            await w.balance(other)
        w.identity()
        await w.scene.until(partial(_felt, w, signal, fault))
        if fault.say is None:
            await sick.start()
        sick.always = Say()
        if fault.cut:
            w.wires[signal].cut()
        await w.say(2)
        await w.settled(signal)
        await w.balance(signal, fault.twice)
        book = w.scene.of(signal)
        assert dict(book.dropped) == {}
        assert book.delivered > 0
        assert bool(book.rejected) == (fault.refuses or fault.in_part)


def _felt(w: World, signal: str, fault: Fault) -> bool:
    return bool(w.scene.of(signal).last_error if fault.say is None else w.backends[signal].got)


async def _room(s: Scene, pages: int) -> None:
    """The store may grow by so many pages and no more: then SQLite says that the disk is full."""

    def limit(db: sqlite3.Connection) -> None:
        (now,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {now + pages}").fetchall()

    await s.store.run(limit)


@pytest.mark.parametrize("preference", ["cumulative", "delta"])
@pytest.mark.parametrize("kind", BOTH)
async def test_a_disk_that_fills_up_in_an_outage(tmp_path: Path, kind: str, preference: str) -> None:
    """Exports that found no room are counted as dropped, reason `store`; events and spans wait with who told them, and
    the books are right throughout. Deltas lose no counts: the next export carries them."""
    async with world(tmp_path, kind, preference) as w:
        for backend in w.backends.values():
            await backend.stop()
        await w.say(3)
        await _room(w.scene, 2)
        for _ in range(60):
            await w.say(1)
            w.identity()
        assert w.scene.of("metrics").dropped["store"] >= 4 * len(SERIES)
        assert w.waiting
        await _room(w.scene, 1 << 20)
        for backend in w.backends.values():
            await backend.start()
        await w.say(2)
        for signal in spool.OTLP:
            await w.settled(signal)
            await w.balance(signal)
        dropped = {signal: dict(w.scene.of(signal).dropped) for signal in spool.OTLP}
        assert dropped == {"metrics": {"store": dropped["metrics"]["store"]}, "traces": {}, "logs": {}}
        if preference == "delta":
            sums: Counter[str] = Counter()
            for got in w.backends["metrics"].taken:
                for point in points_of(got.message):
                    sums[point.attributes[0].value.string_value] += point.as_int
            assert sums == {name: w.exports + i for i, name in enumerate(SERIES)}


@pytest.mark.parametrize("kind", BOTH)
async def test_an_hour_without_any_backend_costs_no_memory(tmp_path: Path, kind: str) -> None:
    """What waits lies on the disk, and nothing else grows with it; then all of it arrives, in order, once."""
    async with world(tmp_path, kind) as w:
        for backend in w.backends.values():
            await backend.stop()
        await w.say(HOUR // 8)
        gc.collect()
        tracemalloc.start()
        try:
            await w.say(HOUR)
            gc.collect()
            held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, "*/tests/*")])
        finally:
            tracemalloc.stop()
        assert sum(line.size for line in held.statistics("filename")) < 128 << 10
        for backend in w.backends.values():
            await backend.start()
        for signal in spool.OTLP:
            await w.settled(signal)
            await w.balance(signal)
            assert w.scene.of(signal).delivered == len(w.produced[signal]) > HOUR
