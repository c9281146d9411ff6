"""The station: what the agent has to say, encoded, spooled and delivered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import xxhash
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent import telemetry
from agent.clock import Clock
from agent.config import Otel, Settings
from agent.errors import CorruptError, RetryableError
from agent.export import logs, metrics, spool, traces
from agent.export.accounts import Accounts, Statistics
from agent.export.attributes import Limits
from agent.export.baseline import forget
from agent.export.console import ConsoleTransport
from agent.export.delivery import Chance, Delivery, Sleep
from agent.export.destination import Destination, Nowhere, resolve
from agent.export.otlp_grpc import GrpcTransport
from agent.export.otlp_http import HttpTransport
from agent.export.policy import Transport
from agent.export.receivers.alerts import Alerts, Way, is_alert, way_shown
from agent.export.receivers.receiver import Receiver
from agent.export.receivers.transport import ReceiverTransport
from agent.export.spool import SpoolRow
from agent.export.streams import Streams
from agent.records import Event, ModelKey
from agent.state import Store
from agent.telemetry import Point
from agent.traces.traced import Trace

log = logging.getLogger("sidelight.export")

SLICE_SECONDS = 0.001
"""How long points are encoded before the loop gets its turn: a call that comes meanwhile waits for several turns."""
EXPORT_BYTES = 1 << 18
"""Size of one request of metrics: far below the limit, because putting 1 MiB together holds the loop for 7 ms."""
HOUSEKEEPING_SECONDS = 30.0


class Exporter:
    """Rows for the caller's transactions, and the tasks that deliver them.

    Call `wake` after a transaction that stored rows. To stop: cancel `run`, then `stop`. Raises ConfigurationError when
    certificates cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        otel: Otel,
        store: Store,
        clock: Clock,
        resource: Resource,
        *,
        sleep: Sleep = asyncio.sleep,
        chance: Chance = random.random,
    ) -> None:
        self._settings, self._otel, self._clock, self._resource = settings, otel, clock, resource
        self._sleep = sleep
        self._exports, self._exporting = 0, asyncio.Lock()
        self.busy_seconds = 0.0  # putting points together and encoding them
        preference = otel.exporter_otlp_metrics_temporality_preference
        self._streams = Streams(preference, clock.now_ns(), settings.series_max)
        self._store = store
        self._limits = Limits.of(otel)
        self._alerts = Alerts(settings, resource)
        self._ways: dict[str, Way] = {signal: resolve(signal, otel) for signal in spool.OTLP} | self._alerts.ways
        self._accounts = Accounts(store, {signal: way_shown(way) for signal, way in self._ways.items()})
        self._deliveries = [
            Delivery(signal, transport(way, clock), self._accounts, clock, sleep, chance)
            for signal, way in self._ways.items()
            if isinstance(way, Destination | Receiver)
        ]
        self._alerts.tell(self._accounts.tallies, clock, chance)
        self._woken = asyncio.Event()

    def wants(self, signal: str) -> bool:
        """Whether anything of this signal (spool.SIGNALS) is exported; without a destination nothing is spooled."""
        return not isinstance(self._ways[signal], Nowhere)

    def rows_for_events(self, events: Sequence[Event]) -> list[SpoolRow]:
        """A row per event for the logs, one more per alert and receiver; the event's key makes them idempotent."""
        now_ns, rows = self._clock.now_ns(), []
        for event in events:
            if self.wants(spool.LOGS):
                payload, items = logs.encode([event], self._resource, now_ns, self._limits[spool.LOGS])
                key = f"{spool.ALERT_KEYS}{event.key}" if is_alert(event) else event.key
                rows.append(SpoolRow(key, spool.LOGS, items, now_ns, payload))
            rows += self._alerts.rows(event, now_ns)
        return rows

    def watch(self, firing: Callable[[], Sequence[Event]]) -> None:
        """firing: what fires now, for Alertmanager, which wants it told again and again."""
        self._alerts.watch(firing)

    def rows_for_traces(self, batch: Sequence[Trace], model: ModelKey, key: str) -> list[SpoolRow]:
        """The batch's spans, in as many rows as the limit on requests asks for. key: the batch's journal offset."""
        if not self.wants(spool.TRACES):
            return []
        payload, items = traces.encode(batch, model, self._resource, self._limits[spool.TRACES])
        if len(payload) > metrics.REQUEST_BYTES_MAX and len(batch) > 1:
            half = len(batch) // 2
            return [row for part in (batch[:half], batch[half:]) for row in self.rows_for_traces(part, model, key)]
        # One message may bring spans of several models: same offset, other bytes.
        its_key = f"{key}/traces/{xxhash.xxh3_64_hexdigest(payload)}"
        return [SpoolRow(its_key, spool.TRACES, items, self._clock.now_ns(), payload)] if items else []

    async def open(self) -> None:
        """Learns what an earlier life said of the metrics' series, and what it triggered. Before anything counts."""
        try:
            if self._streams.delta and self.wants(spool.METRICS):
                await self._store.run(self._streams.baseline.load)
            else:
                await self._store.run(forget)
        except RetryableError as error:
            log.warning("baseline_unreadable error=%s: deltas begin anew", error)
        try:
            await self._store.run(self._alerts.recall)
        except (RetryableError, CorruptError) as error:
            log.warning("cooldowns_unreadable error=%s: they begin anew", error)

    async def put_metrics(self, points: Iterable[Point]) -> None:
        """Spools one export of all points, all of one time. Yields to the loop every `SLICE_SECONDS`.

        A store that cannot be written costs this export (counted as dropped), no counts: the next one carries the
        totals again, or the differences to what was stored last.
        """
        if self.wants(spool.METRICS):
            # Shielded: what was begun ends, and the next export begins at what this one said.
            await asyncio.shield(asyncio.ensure_future(self._put_metrics(points)))

    async def _put_metrics(self, points: Iterable[Point]) -> None:
        async with self._exporting:
            now_ns = self._clock.now_ns()
            full = await self._encoded(points, now_ns)
            self._exports += 1
            kind = spool.DELTA_KEYS if self._streams.delta else "metrics/"
            rows = [
                SpoolRow(f"{kind}{now_ns}/{self._exports}/{number}", spool.METRICS, items, now_ns, payload)
                for number, (payload, items) in enumerate(full)
            ]
            await self._spool(rows)
        self.wake()

    async def _encoded(self, points: Iterable[Point], now_ns: int) -> list[tuple[bytes, int]]:
        """One export's requests, each with its number of points."""
        requests, full = metrics.Requests(self._resource, self._streams, now_ns, EXPORT_BYTES), []
        held = self._clock.monotonic()
        for point in points:
            full += requests.add(point)
            if (spent := self._clock.monotonic() - held) > SLICE_SECONDS:
                self.busy_seconds += spent
                await asyncio.sleep(0)
                held = self._clock.monotonic()
        full += requests.add_last()
        last = requests.finish()
        self.busy_seconds += self._clock.monotonic() - held
        return full if last is None else [*full, last]

    async def _spool(self, rows: list[SpoolRow]) -> None:
        """Stores one export, and with deltas what the next one is the difference to, in one transaction."""
        baseline = self._streams.baseline
        try:
            if self._streams.delta:
                await self._accounts.put(rows, baseline.write, baseline.keep)
            else:
                await self._accounts.put(rows)
        except RetryableError as error:
            tally = self._accounts.tallies[spool.METRICS]
            tally.lost(sum(row.items for row in rows), "store")
            tally.last_error = str(error)

    def wake(self) -> None:
        """Something was stored."""
        self._woken.set()

    async def run(self) -> None:
        """Delivers until cancelled; one signal's trouble never delays another."""
        for signal, way in self._ways.items():
            if signal in spool.OTLP or self.wants(signal):
                log.info("export_started signal=%s endpoint=%s", signal, way_shown(way))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_house())
            for run in (*(d.run for d in self._deliveries), *(r.run for r in self._alerts.resending)):
                group.create_task(run())

    async def stop(self, deadline_seconds: float) -> None:
        """Sends what can be sent within the deadline, then closes; the rest waits in the spool for the next start."""
        try:
            async with asyncio.timeout(deadline_seconds):
                flushed = (*(d.flush() for d in self._deliveries), *(r.flush() for r in self._alerts.resending))
                for error in await asyncio.gather(*flushed, return_exceptions=True):  # each for itself
                    if error is not None:
                        log.error("flush_failed error=%s", type(error).__name__)
                await self.count()
        except (TimeoutError, RetryableError) as error:
            if queued := sum(tally.queued.items for tally in self._accounts.tallies.values()):
                log.warning("flush_ended_early queued=%s reason=%s", queued, str(error) or "deadline")
        await self._accounts.finish()
        await asyncio.gather(*(delivery.close() for delivery in self._deliveries))

    async def count(self) -> None:
        """Brings the statistics up to the newest transaction. Raises RetryableError when the store cannot be read."""
        await self._accounts.count()

    def statistics(self) -> dict[str, Statistics]:
        """By signal; produced = delivered + rejected + sum(dropped) + queued."""
        return {signal: tally.statistics() for signal, tally in self._accounts.tallies.items()}

    def status(self) -> dict[str, Any]:
        """For the status page."""
        signals = {
            signal: {
                "endpoint": s.endpoint,
                "produced": s.produced,
                "delivered": s.delivered,
                "rejected": s.rejected,
                "dropped": sum(s.dropped.values()),
                "dropped_by_reason": dict(s.dropped),
                "queued": s.queued,
                "withheld": sum(s.withheld.values()),
                "last_error": s.last_error,
            }
            for signal, s in self.statistics().items()
            if signal in spool.OTLP or s.produced or self.wants(signal)
        }
        otlp = [self._ways[signal] for signal in spool.OTLP]
        shown = next((way.shown for way in otlp if isinstance(way, Destination)), way_shown(otlp[0]))
        return {"endpoint": self._otel.exporter_otlp_endpoint or shown, "signals": signals}

    def points(self) -> list[Point]:
        """The exporter's own health."""
        found = []
        for signal, s in self.statistics().items():
            if not self.wants(signal) and not s.produced:
                continue
            of = {"sidelight.signal": signal}
            dropped = {**of, "sidelight.outcome": "dropped"}
            found += [
                Point(telemetry.EXPORT_PRODUCED, s.produced, of),
                Point(telemetry.EXPORT_ITEMS, s.delivered, {**of, "sidelight.outcome": "delivered"}),
                Point(telemetry.EXPORT_ITEMS, s.rejected, {**of, "sidelight.outcome": "rejected"}),
                *(
                    Point(telemetry.EXPORT_ITEMS, count, {**dropped, "sidelight.reason": reason})
                    for reason, count in s.dropped.items()
                ),
                *(
                    Point(telemetry.EXPORT_WITHHELD, count, {**of, "sidelight.reason": reason})
                    for reason, count in s.withheld.items()
                ),
                Point(telemetry.SPOOL_ITEMS, s.queued, of),
                Point(telemetry.SPOOL_SIZE, s.queued_bytes, of),
                Point(telemetry.SPOOL_AGE, self._accounts.age_seconds(signal, self._clock.now_ns()), of),
            ]
        found += [
            Point(telemetry.SERIES_OVERFLOW, count, {"sidelight.metric.name": name})
            for name, count in self._streams.overflowing.items()
        ]
        found.append(Point(telemetry.STATION_TIME, self.busy_seconds, {"sidelight.station": "export"}))
        return [*found, Point(telemetry.SPOOL_LIMIT, self._settings.spool_bytes_max, {})]

    async def _keep_house(self) -> None:
        """Counts what was stored, holds the spool within its bounds, wakes the deliveries."""
        while True:
            self._woken.clear()
            try:
                await self._accounts.expire(self._clock.now_ns() - int(self._settings.spool_age_seconds * 1e9))
                await self._accounts.shrink(self._settings.spool_bytes_max)
            except RetryableError as error:
                log.warning("spool_unreadable error=%s", error)
                await self._sleep(1.0)
            for delivery in self._deliveries:
                delivery.wake()
            # Not wait_for: before Python 3.12 it may swallow a cancellation that comes with the wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOUSEKEEPING_SECONDS):
                    await self._woken.wait()


def transport(way: Destination | Receiver, clock: Clock) -> Transport:
    """The way's means."""
    if isinstance(way, Receiver):
        return ReceiverTransport(way, clock)
    if way.kind == "grpc":
        return GrpcTransport(way)
    return ConsoleTransport(way.signal) if way.kind == "console" else HttpTransport(way, clock)
