"""An exporter over a real store, with a clock to turn and pauses that are written down instead of slept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.clock import TurnedClock
from agent.config import Otel, Settings
from agent.export import spool
from agent.export.accounts import Statistics
from agent.export.exporter import Exporter
from agent.records import Event
from agent.state import Store
from agent.traces.traced import Trace

NOW_NS = 1_700_000_000_000_000_000
RESOURCE = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="tested"))])


@dataclass
class Scene:
    exporter: Exporter
    store: Store
    clock: TurnedClock
    pauses: list[float] = field(default_factory=list)

    async def tell(self, *bodies: str) -> None:
        """One event each, stored in a transaction as the app does it."""
        await self.put(self.exporter.rows_for_events([event(body) for body in bodies]))

    async def put(self, rows: list[spool.SpoolRow]) -> None:
        await self.store.run(partial(spool.add, rows=rows))
        self.exporter.wake()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not reached():  # noqa: ASYNC110 - what is waited for has no event of its own
                await asyncio.sleep(0.002)

    async def until_settled(self, signal: str, produced: int) -> Statistics:
        """Waits until so many items were produced and none of them waits."""
        await self.until(lambda: self.of(signal).produced == produced and not self.of(signal).queued)
        return self.of(signal)

    def of(self, signal: str) -> Statistics:
        return self.exporter.statistics()[signal]

    async def assert_law(self) -> None:
        """produced = delivered + rejected + dropped + queued, with `queued` as the store has it."""
        await self.exporter.count()
        queued = await self.store.run(spool.queued)
        for signal, s in self.exporter.statistics().items():
            there = queued.get(signal, spool.Amount())
            assert (s.queued, s.queued_bytes) == (there.items, there.size)
            assert s.produced == s.delivered + s.rejected + sum(s.dropped.values()) + there.items


@asynccontextmanager
async def scene(
    folder: Path, otel: Otel, settings: Settings | None = None, run: bool = True, turned: float = 0
) -> AsyncIterator[Scene]:
    """A started exporter; ends as a killed one does: cancelled, not stopped. turned: seconds after `NOW_NS`."""
    store, clock, pauses = Store(folder / "state.db"), TurnedClock(NOW_NS + int(turned * 1e9)), list[float]()
    store.open()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.005)

    exporter = Exporter(settings or Settings(), otel, store, clock, RESOURCE, sleep=sleep, chance=lambda: 0.0)
    running = asyncio.ensure_future(exporter.run()) if run else None
    try:
        yield Scene(exporter, store, clock, pauses)
    finally:
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await exporter.stop(0)
        store.close()


def event(body: str, name: str = "sidelight.window.closed") -> Event:
    return Event(name, f"key/{name}/{body}", NOW_NS, "INFO", body, {"number": 1})


def trace(prediction_id: str = "p-1", **changes: object) -> Trace:
    values: dict[str, object] = {
        "row": 0,
        "trace_id": bytes(range(1, 17)),
        "parent_id": bytes(range(1, 9)),
        "flags": 1,
        "prediction_id": prediction_id,
        "start_ns": NOW_NS,
        "latency": 0.25,
        "error_type": "",
        "stages": (),
    }
    return Trace(**{**values, **changes})  # type: ignore[arg-type] # a test may change any field
