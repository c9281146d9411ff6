"""The wiring. The one file that knows every station, in the order a record passes them.

server ─> admission ─> journal ─> queue ─> pipeline (windows, evaluate, alerting) ─> outbox ─> spool ─> export
collectors ───────────────────────────────────────────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import collectors
from agent.alerting import book, wording
from agent.capture.capture import Capture
from agent.capture.writing import Place, Writer
from agent.clock import Clock, SystemClock
from agent.collecting import Collecting
from agent.config import Otel, Settings, state_path
from agent.counting.coverage import DOWN_SECONDS_MIN, STOOD_SECONDS_MIN, Alive
from agent.errors import ConfigurationError
from agent.export import resource, spool
from agent.export.attributes import plain
from agent.export.exporter import Exporter
from agent.ingest.admission import Admission
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import Limits, reason_name
from agent.ingest.queue import Queue
from agent.ingest.server import Server
from agent.labels.desks import Desks
from agent.pipeline.pipeline import Pipeline
from agent.report.reporting import Reporting
from agent.state import Store
from agent.telemetry import Point
from agent.traces.tracing import Tracing, refuse_protected
from agent.version import VERSION
from agent.watching import Watching
from agent.web.pages import json_page, routes
from agent.web.prometheus import Exposition
from agent.web.server import WebServer

GRACE_SECONDS = 2.0  # for running calls at the end
FLUSH_SECONDS = 3.0  # for the backend at the end; what stays is spooled and goes out after the next start
log = logging.getLogger("sidelight")


class App:
    """Builds the stations and runs them until told to stop."""

    def __init__(self, settings: Settings, otel: Otel, clock: Clock | None = None) -> None:
        self.settings, self.clock = settings, clock or SystemClock()
        refuse_protected(settings)
        self.folder = state_path(settings)
        self.started_ns, self._began = self.clock.now_ns(), self.clock.monotonic()
        self.ready = (False, "starting")
        self._stop = asyncio.Event()
        self._make_folder()
        capture = Place.of(settings)
        self.store = Store(self.folder / "state.db")
        self.journal = Journal(self.folder / "journal", settings.journal_bytes_max)
        self.alive = Alive(self.folder / "alive")
        self.queue = Queue(settings.queue_bytes_max)
        self.clients = Clients(settings.clients_max)
        self.resource = resource.build(otel, self.folder)
        self.exporter = Exporter(settings, otel, self.store, self.clock, self.resource)
        self.watches = Watching(settings)
        self.pipeline = Pipeline(
            settings,
            self.clock,
            self.store,
            self.journal,
            self.queue,
            self.clients,
            self.exporter,
            self.watches,
            Tracing(settings, otel) if self.exporter.wants(spool.TRACES) else None,
            Desks(settings, self.folder / "labels", resource.instance_id(self.folder)),
        )
        self.exporter.watch(lambda: wording.standing(self.pipeline.outbox.alerts))
        self.admission = Admission(
            Limits.of(settings),
            self.clock,
            self.journal,
            self.clients,
            self.queue,
            models_max=settings.models_max,
            event_time=settings.time == "event",
            future_ns=int(settings.future_seconds * 1e9),
            window_ns=self.watches.window_ns,
            config_hash=settings.counting_hash,
        )
        self.server = Server(settings, self.admission)
        self.collecting = Collecting(_collectors(settings), self.clock, settings.collect_seconds)
        self.reporting = Reporting(
            settings, self.clock, self.pipeline, self.admission, self.queue, self.journal, self.clients
        )
        self.capturing = Writer(capture, resource.instance_id(self.folder), self._captures) if capture else None
        self.web = self._web()
        self._metric_seconds = otel.metric_export_interval / 1000

    async def run(self) -> None:
        """Starts everything, serves until SIGTERM or SIGINT, and leaves nothing uncounted behind."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self.server.claim()
        lock = self._claim_folder()
        if self.store.open():
            self.pipeline.saving.corrupt += 1
        if self.web is not None:
            await self._start_web(self.web)
        await self.exporter.open()
        replayed = await self.pipeline.recover(self.admission)
        self._say_gap(self.alive.last_ns(), DOWN_SECONDS_MIN)
        await self.server.start()
        gc.collect()
        gc.freeze()  # what the imports made is never looked at again: shorter pauses
        self.ready = (True, "")
        log.info(
            "started version=%s endpoint=unix:%s state=%s replayed_frames=%d",
            VERSION,
            self.server.path,
            self.folder,
            replayed,
        )
        counting = asyncio.create_task(self.pipeline.run(), name="pipeline")
        around = [
            asyncio.create_task(self._keep(name, work), name=name)
            for name, work in (
                ("export", self.exporter.run),
                ("collect", self.collecting.run),
                ("metrics", self._send_metrics),
                ("ticks", self._ticks),
                ("sync", self._sync),
                ("outlook", self.reporting.reckon),
                *((("capture", self.capturing.run),) if self.capturing else ()),
            )
        ]
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({counting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await self._end(counting, around)
        os.close(lock)

    async def _end(self, counting: asyncio.Task[None], around: list[asyncio.Task[None]]) -> None:
        self.ready = (False, "stopping")
        await self.server.set_serving(False)
        await self.server.stop(GRACE_SECONDS)
        self.pipeline.stop()
        try:
            await counting  # raises what ended it, if it was not us
        finally:
            await _ended("metrics", lambda: self.exporter.put_metrics(self._points()))
            for task in around:
                task.cancel()
            # Bounded: before Python 3.12 `wait_for` can swallow a cancellation, and its task would never end.
            await asyncio.wait(around, timeout=GRACE_SECONDS)
            for name, end in self._ends():
                await _ended(name, end)
            gc.unfreeze()  # so that the interpreter can take itself apart in peace
            log.info("stopped")

    def _ends(self) -> Iterator[tuple[str, Callable[[], Awaitable[None] | None]]]:
        """What each station does last, in their order."""
        yield "export", lambda: self.exporter.stop(FLUSH_SECONDS)
        if self.capturing is not None:
            yield "capture", partial(_within, self.capturing.write_all, FLUSH_SECONDS)
        if self.web is not None:
            yield "web", self.web.stop
        yield "labels", self.pipeline.desks.close
        yield "journal", self.journal.close
        yield "store", self.store.close

    # ── work beside the data's way ──

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Supervises: what fails is logged and begun again a little later; it never takes the agent down."""
        while True:
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("task_failed name=%s", name)
                await asyncio.sleep(1.0)

    async def _send_metrics(self) -> None:
        while True:
            await asyncio.sleep(self._metric_seconds)
            await self.exporter.put_metrics(self._points())

    def _points(self) -> Iterator[Point]:
        """Everything there is to say, put together while it is asked for: it may take longer than the loop's slice."""
        yield from self.reporting.points()
        yield from book.points(self.pipeline.outbox.alerts)
        yield from self.pipeline.desks.points()
        yield from self.collecting.points()
        yield from self.exporter.points()

    async def _ticks(self) -> None:
        """Journals that time has passed a window's end, so that windows close without traffic too."""
        if self.settings.time == "event":  # only records move windows; but silent versions retire here too
            ticked_ns = 0
            while True:
                await asyncio.sleep(0.5)
                now = self.clock.now_ns()
                if now - ticked_ns > 60 * 10**9 or self.pipeline.desks.due(now):
                    ticked_ns = now
                    self.admission.tick(now)
        ticked: dict[int, int] = {}
        if len(self.watches):
            self.admission.tick(self.clock.now_ns())  # windows may have ended while nobody looked
        seen = self.clock.now_ns()
        while True:
            await asyncio.sleep(0.5)
            now = self.clock.now_ns()
            self._say_gap(seen, STOOD_SECONDS_MIN)  # the machine slept
            seen = now
            lengths = {watch.series.window_ns for watch in self.watches}
            passed = [ns for ns in lengths if ticked.get(ns, now // ns) != now // ns]
            ticked |= {ns: now // ns for ns in lengths}
            if passed or self.pipeline.desks.due(now):
                self.admission.tick(now)

    def _say_gap(self, watched_until_ns: int, seconds_min: float) -> None:
        """Journals that nobody watched since then, where that is longer than so many seconds."""
        now = self.clock.now_ns()
        if watched_until_ns and now - watched_until_ns > seconds_min * 1e9 and self.settings.time != "event":
            self.admission.tick(now, watched_until_ns)

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(self.alive.sign, self.clock.now_ns())
            await asyncio.to_thread(self.journal.sync)

    # ── what people see ──

    def status(self) -> dict[str, Any]:
        """The whole status; its shape is the local page's and `sidelight status`'s contract."""
        statistics = self.journal.statistics()
        return {
            "agent": {
                "version": VERSION,
                "started_at": self.started_ns / 1e9,
                "uptime_seconds": self.clock.monotonic() - self._began,
                "endpoint": f"unix:{self.server.path}",
                "tcp": self.settings.tcp,
                "durable": self.reporting.durable,
                "state_folder": str(self.folder),
                "journal_bytes": statistics.bytes,
                "journal_failures": statistics.failures,
                "failed_frames": self.pipeline.poisoned,
                "corrupt_set_aside": self.pipeline.saving.corrupt + statistics.corrupt_segments,
                "queue_bytes": self.queue.bytes,
                "checkpoint_seconds": self.pipeline.saving.seconds,
                "clock_skew_seconds": self.admission.skew_seconds,
                "offset": self.pipeline.applied,
                "pid": os.getpid(),
            },
            "models": self.reporting.models(),
            "clients": self.reporting.clients(),
            "alerts": self.reporting.alerts(),
            "events": list(self.pipeline.outbox.events),
            "export": self.exporter.status(),
            "collectors": self.collecting.status(),
            "messages": {reason_name(reason): count for reason, count in self.admission.refused_messages.items()},
            "hint": self.reporting.hint(),
        }

    def _captures(self) -> Iterator[Capture]:
        for watch in self.watches:
            yield from (one for one in watch.followers.members if isinstance(one, Capture))

    def _web(self) -> WebServer | None:
        if not self.settings.http:
            return None
        host, _, port = self.settings.http.rpartition(":")
        further = {"/ledger": lambda: json_page(self.reporting.ledgers())}
        pages = routes(self.status, lambda: self.ready, further)
        scraped = Exposition(self.clock, self._points, plain(self.resource.attributes))
        return WebServer(host.strip("[]"), int(port), pages, slow={"/metrics": scraped.page})

    async def _start_web(self, web: WebServer) -> None:
        try:
            await web.start()
        except OSError as error:
            expected = f"an address that can be bound ({error.strerror or error})"
            raise ConfigurationError("SIDELIGHT_HTTP", self.settings.http, expected) from None

    def _claim_folder(self) -> int:
        """Holds the state folder's lock for as long as the agent lives: two agents would count into one journal."""
        try:
            held = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            expected = f"a folder that no other agent uses ({error.strerror})"
            raise ConfigurationError("SIDELIGHT_STATE_DIR", str(self.folder), expected) from None
        return held

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError("not writable")
        except OSError as error:
            raise ConfigurationError(
                "SIDELIGHT_STATE_DIR", str(self.folder), f"a folder that can be written ({error})"
            ) from None


async def _within(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work()


async def _ended(name: str, end: Callable[[], Awaitable[None] | None]) -> None:
    """One station's end. What fails is said, and keeps no other station from its own."""
    try:
        ending = end()
        if ending is not None:
            await ending
    except Exception:
        log.exception("end_failed name=%s", name)


def _collectors(settings: Settings) -> tuple[collectors.Collector, ...]:
    try:
        return collectors.build(settings.collectors, collectors.Host(watched=settings.watch_processes))
    except ValueError as error:
        raise ConfigurationError("SIDELIGHT_COLLECTORS", ",".join(settings.collectors), str(error)) from None
