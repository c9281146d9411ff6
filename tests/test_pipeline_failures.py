"""A frame that cannot be counted costs itself, and is counted as lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.clock import TurnedClock
from agent.config import Settings
from agent.export.spool import SpoolRow
from agent.ingest.admission import Admission, Queue
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import Limits
from agent.pipeline import Pipeline
from agent.records import Batch, Event, ModelKey, Trace
from agent.state import Store
from agent.watching import Watching
from agent.windows import Series
from tests.end_to_end import stream


class NoOutlet:
    """Exports nothing."""

    def rows_for_events(self, events: Sequence[Event]) -> Sequence[SpoolRow]:
        return []

    def rows_for_traces(self, batch: Sequence[Trace], model: ModelKey, key: str) -> Sequence[SpoolRow]:
        return []

    def wake(self) -> None:
        pass


async def test_a_frame_that_cannot_be_counted_is_dropped_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """received = kept + refused + late + dropped holds even where counting itself fails; the next frame is counted."""
    stream.reference(tmp_path / "loan.sidelight")
    settings, clock = Settings(time="event", reference=str(tmp_path / "loan.sidelight")), TurnedClock(stream.START_NS)
    store, journal = Store(tmp_path / "state.db"), Journal(tmp_path / "journal", 1 << 24)
    store.open()
    queue, clients, watching = Queue(1 << 24), Clients(8), Watching(settings)
    pipeline = Pipeline(settings, clock, store, journal, queue, clients, NoOutlet(), watching)
    admission = Admission(
        Limits(), clock, journal, clients, queue, models_max=4, event_time=True, future_ns=10**18,
        window_ns=watching.window_ns, config_hash=settings.counting_hash,
    )  # fmt: skip
    await pipeline.recover(admission)
    add = Series.add

    def fails_on_the_second(series: Series, batch: Batch, event_time: bool) -> None:
        if series.counters["kept"] == stream.ROWS and not series.counters["dropped"]:
            raise ArithmeticError("made to fail")
        add(series, batch, event_time)

    monkeypatch.setattr(Series, "add", fails_on_the_second)
    for number in range(3):
        assert admission.handle(stream.message(number).SerializeToString()).accepted == stream.ROWS
    pipeline.stop()
    await pipeline.run()
    (watch,) = watching
    counters = watch.series.counters
    assert counters["received"] == 3 * stream.ROWS
    assert (counters["kept"], counters["dropped"]) == (2 * stream.ROWS, stream.ROWS)
    assert pipeline.poisoned == 1
    assert "frame_failed" in caplog.text
    journal.close()
    store.close()
