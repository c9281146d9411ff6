"""An agent's insides in this process: door, journal, pipeline and store over one folder, no socket and no exporter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.clock import TurnedClock
from agent.config import Settings
from agent.export.spool import SpoolRow
from agent.ingest.admission import Admission
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import Limits
from agent.ingest.queue import Queue
from agent.pipeline.outbox import Outlet
from agent.pipeline.pipeline import Pipeline
from agent.records import Event, ModelKey
from agent.state import Store
from agent.traces.traced import Trace
from agent.traces.tracing import Tracing
from agent.watching import Watching


class NoOutlet:
    """Exports nothing."""

    def rows_for_events(self, events: Sequence[Event]) -> Sequence[SpoolRow]:
        return []

    def rows_for_traces(self, batch: Sequence[Trace], model: ModelKey, key: str) -> Sequence[SpoolRow]:
        return []

    def wake(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Insides:
    """One start; another one over the same folder is the next start. What is not recovered yet has counted nothing."""

    settings: Settings
    clock: TurnedClock
    store: Store
    journal: Journal
    queue: Queue
    clients: Clients
    pipeline: Pipeline
    admission: Admission

    @classmethod
    def of(
        cls, folder: Path, settings: Settings, clock: TurnedClock, outlet: Outlet | None = None,
        tracing: Tracing | None = None,
    ) -> Insides:  # fmt: skip
        """Event or arrival time as the settings say."""
        store, journal = Store(folder / "state.db"), Journal(folder / "journal", 1 << 24)
        store.open()
        queue, clients, watching = Queue(1 << 24), Clients(8), Watching(settings)
        outlet = outlet or NoOutlet()
        pipeline = Pipeline(settings, clock, store, journal, queue, clients, outlet, watching, tracing=tracing)
        admission = Admission(
            Limits(), clock, journal, clients, queue, models_max=4, event_time=settings.time == "event",
            future_ns=10**18, window_ns=watching.window_ns, config_hash=settings.counting_hash,
        )  # fmt: skip
        return cls(settings, clock, store, journal, queue, clients, pipeline, admission)

    async def recover(self) -> Insides:
        """What a start does first."""
        await self.pipeline.recover(self.admission)
        return self

    def close(self) -> None:
        self.journal.close()
        self.store.close()
