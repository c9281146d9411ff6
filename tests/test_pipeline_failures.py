"""A frame that cannot be counted costs itself, and is counted as lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clock import TurnedClock
from agent.config import Settings
from agent.counting.windows import Series
from agent.labels.desks import Desks
from agent.records import Batch
from tests.end_to_end import stream
from tests.insides import Insides


async def test_a_frame_that_cannot_be_counted_is_dropped_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """received = kept + refused + late + dropped holds even where counting itself fails; the next frame is counted."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(time="event", reference=str(tmp_path / "loan.sidelight"))
    inside = await Insides.of(tmp_path, settings, TurnedClock(stream.START_NS)).recover()
    add = Series.add

    def fails_on_the_second(series: Series, batch: Batch, event_time: bool) -> None:
        if series.counters["kept"] == stream.ROWS and not series.counters["dropped"]:
            raise ArithmeticError("made to fail")
        add(series, batch, event_time)

    monkeypatch.setattr(Series, "add", fails_on_the_second)
    for number in range(3):
        assert inside.admission.handle(stream.message(number).SerializeToString()).accepted == stream.ROWS
    inside.pipeline.stop()
    await inside.pipeline.run()
    (watch,) = inside.pipeline.watches
    counters = watch.series.counters
    assert counters["received"] == 3 * stream.ROWS
    assert (counters["kept"], counters["dropped"]) == (2 * stream.ROWS, stream.ROWS)
    assert inside.pipeline.poisoned == 1
    assert "frame_failed" in caplog.text
    inside.close()


async def test_labels_that_cannot_be_finished_cost_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At an end: what was counted is stored, and the next start replays nothing."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(time="event", reference=str(tmp_path / "loan.sidelight"))
    inside = await Insides.of(tmp_path, settings, TurnedClock(stream.START_NS)).recover()

    async def broken(_: Desks) -> None:
        raise ArithmeticError("made to fail")

    monkeypatch.setattr(Desks, "finish", broken)
    assert inside.admission.handle(stream.message(0).SerializeToString()).accepted == stream.ROWS
    inside.pipeline.stop()
    await inside.pipeline.run()
    assert "labels_unfinished" in caplog.text
    inside.close()
    inside = Insides.of(tmp_path, settings, TurnedClock(stream.START_NS))
    assert await inside.pipeline.recover(inside.admission) == 0
    (watch,) = inside.pipeline.watches
    assert watch.series.counters["kept"] == stream.ROWS
    inside.close()


async def test_nobody_sees_more_kept_than_received(tmp_path: Path) -> None:
    """Messages that are counted together are accounted together: whoever looks between two of them finds it whole."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(reference=str(tmp_path / "loan.sidelight"))
    inside = await Insides.of(tmp_path, settings, TurnedClock(stream.START_NS)).recover()
    seen: list[tuple[int, int, int]] = []
    assert inside.admission.handle(stream.message(0).SerializeToString()).accepted == stream.ROWS
    await inside.pipeline._drain()
    (watch,) = inside.pipeline.watches
    counters = watch.series.counters

    def looks(batch: Batch, index: int) -> None:
        seen.append((batch.rows, counters["kept"], counters["received"]))

    watch.series.told = looks
    for number in range(1, 4):
        assert inside.admission.handle(stream.message(number).SerializeToString()).accepted == stream.ROWS
    await inside.pipeline._drain()
    assert seen == [(3 * stream.ROWS, 4 * stream.ROWS, 4 * stream.ROWS)]
    assert counters["received"] == counters["kept"] == 4 * stream.ROWS
    inside.close()
