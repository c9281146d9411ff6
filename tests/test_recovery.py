"""What a start finds is what was there: segments that were let go, versions that rest, traffic that was not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.checkpoint.meta import Meta, model_id
from agent.checkpoint.plan import Checkpoint, Plan
from agent.checkpoint.series import load_series
from agent.clock import TurnedClock
from agent.config import Otel, Settings
from agent.counting.windows import Series
from agent.export.spool import SpoolRow
from agent.pipeline.outbox import ROWS_MAX
from agent.records import Batch, Columns, ModelKey, Numbers, Source, Texts
from agent.reference.profile import Reference
from agent.state import Store
from agent.traces.traced import Trace
from agent.traces.tracing import Tracing
from agent.volume.traffic import Traffic
from tests.end_to_end import stream
from tests.ingest.door import HOUR_NS, reference
from tests.insides import Insides, NoOutlet
from tests.reference.references import small_reference

KEY = ModelKey("m", "1")


def _series(windows: int) -> Series:
    one = Series(KEY, HOUR_NS, reference(), None, ("region",))
    region = Texts(("north", "south"), np.array([0, 0, 1, 1], dtype=np.int32))
    for index in range(windows):
        columns = Columns({"a": Numbers(np.arange(4.0))})
        one.add(Batch(KEY, 4, index * HOUR_NS, columns, Columns(), segments={"region": region}), False)
        one.close(index)
    return one


def _written(known: Checkpoint, one: Series) -> list[str]:
    """Which closed windows a checkpoint writes."""
    one.revision += 1
    plan = Plan()
    known.collect(one, plan)
    return [key for key, _ in plan.puts if key.startswith("closed/")]


def test_closed_windows_whose_segments_went_are_written_again() -> None:
    """A mix that was forgotten, or one segment's feature, would come back with the next start, and alarm again."""
    one, known = _series(3), Checkpoint()
    assert len(_written(known, one)) == 3
    assert _written(known, one) == []
    one.forget(Source.FEATURE, "a", "region=north")
    assert len(_written(known, one)) == 3
    one.forget(Source.FEATURE, "a", "region=south")  # the whole has no `a` to lose any more
    assert len(_written(known, one)) == 3
    one.forget(Source.ROW, "region")
    assert len(_written(known, one)) == 3
    assert _written(known, one) == []


def test_traffic_is_written_into_a_store_that_was_begun_anew() -> None:
    """Though nothing changed since it was read."""
    known = Checkpoint()
    whole = {(replace(KEY, version=""), HOUR_NS): Traffic.from_bytes(Traffic.of(HOUR_NS).to_bytes())}
    for _ in range(2):
        plan = Plan()
        known.collect_traffic(whole, plan)
        assert [key for key, _ in plan.puts] == [f"traffic/{model_id(KEY, HOUR_NS)}"]
        known.failed()
    plan = Plan()
    known.collect_traffic(whole, plan)
    known.collect_traffic(whole, plan)
    assert len(plan.puts) == 1


def _restarted(one: Series, folder: Path, other: Reference) -> Series:
    """The series as the next start finds it, with the reference that is given then."""
    store, plan = Store(folder / "state.db"), Plan()
    store.open()
    Checkpoint().collect(one, plan)
    store.run_now(plan.write)
    (found,), corrupt = store.run_now(
        lambda db: load_series(
            db, lambda _: (other, ""), lambda key, given, _: Series(key, HOUR_NS, given, None)
        )
    )
    store.close()
    assert not corrupt
    return found


def test_a_window_goes_on_at_the_pace_it_had(tmp_path: Path) -> None:
    """How much a window will hold decides which rows are sampled: an agent that forgot when the window began would take
    an hour's rows for a minute's, and look at next to none of the rest."""
    one = Series(KEY, HOUR_NS, reference(), None)
    batch = Batch(KEY, 1_000, 0, Columns({"a": Numbers(np.zeros(1_000))}), Columns())
    for minute in range(30):
        one.add(replace(batch, arrived_ns=7 * HOUR_NS + minute * 60 * 10**9), False)
    again = _restarted(one, tmp_path, reference())
    later_ns = 7 * HOUR_NS + 31 * 60 * 10**9
    expected = [own._expected_rows(own.open[7], own.open[7].rows, later_ns) for own in (one, again)]
    assert expected[0] == expected[1] == 30_000 * 60 // 31


def test_what_is_closed_stays_closed_under_another_reference(tmp_path: Path) -> None:
    """Counts by other bins are worth nothing; a window is not judged twice all the same."""
    one = Series(KEY, HOUR_NS, reference(), None)
    times = np.array([3 * HOUR_NS, 5 * HOUR_NS], dtype=np.int64)
    batch = Batch(KEY, 2, 9 * HOUR_NS, Columns({"a": Numbers(np.zeros(2))}), Columns(), time_ns=times)
    one.add(batch, True)
    assert [one.close(index).index for index in one.due(5 * HOUR_NS)] == [3]
    again = _restarted(one, tmp_path, small_reference())
    assert again.reference is not None
    assert again.reference.hash != reference().hash
    again.add(batch, True)
    assert sorted(again.open) == [5]
    assert again.counters["late"] == 1


def test_a_checkpoint_from_before_has_no_retired() -> None:
    """It reads all the same."""
    assert Meta.unpack(b'{"format": 1, "offset": 7, "baselines": {}}') == Meta(7)
    meta = Meta(7, {}, frozenset({"abc"}))
    assert Meta.unpack(meta.pack()) == meta


async def test_a_checkpoint_that_is_gone_is_said_though_nothing_came_after_it(tmp_path: Path) -> None:
    """SQLite drops a broken log by itself: all that tells is that the journal does not begin where the state ends."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(reference=str(tmp_path / "loan.sidelight"))
    clock = TurnedClock(stream.START_NS)
    inside = await Insides.of(tmp_path, settings, clock).recover()
    for number in range(3):
        inside.admission.handle(stream.message(number).SerializeToString())
    await inside.pipeline._drain()
    await inside.pipeline.save()
    inside.close()
    inside = await Insides.of(tmp_path, settings, clock).recover()
    assert (inside.pipeline.applied, inside.pipeline.saving.corrupt) == (3, 0)
    inside.close()
    (tmp_path / "state.db").unlink()  # closed, it has no log beside it
    inside = await Insides.of(tmp_path, settings, clock).recover()
    assert inside.pipeline.saving.corrupt == 1
    inside.admission.handle(stream.message(3).SerializeToString())
    await inside.pipeline._drain()
    assert inside.pipeline.applied == 4
    await inside.pipeline.save()
    inside.close()
    inside = await Insides.of(tmp_path, settings, clock).recover()
    assert (inside.pipeline.applied, inside.pipeline.saving.corrupt) == (4, 0)
    inside.close()


class Spans(NoOutlet):
    """Each message's spans are a row; those an alert points at are left out."""

    def rows_for_traces(self, batch: Sequence[Trace], model: ModelKey, key: str) -> Sequence[SpoolRow]:
        return [] if "/" in key else [SpoolRow(key, "traces", len(batch), 1, b"spans")]


async def test_a_long_replay_says_all_that_it_finds(tmp_path: Path) -> None:
    """More than may wait for a checkpoint: nothing of it was in one when the agent was killed. Killed again on the
    way, it says nothing twice."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(reference=str(tmp_path / "loan.sidelight"), trace_limit_per_minute=10**9, time="event")
    clock, traced = TurnedClock(stream.START_NS), 0

    def start() -> Insides:
        return Insides.of(tmp_path, settings, clock, Spans(), Tracing(settings, Otel()))

    inside = await start().recover()
    for number in range(ROWS_MAX * 5 // 4):
        request = stream.message(number, traced=True)
        traced += number % 7 != 6  # labels
        inside.admission.handle(request.SerializeToString())
    inside.close()  # nothing was counted
    assert traced > ROWS_MAX
    for _ in range(2):
        inside = await start().recover()
        stored = inside.store.run_now(lambda db: db.execute("SELECT COUNT(*) FROM spool").fetchone()[0])
        (watch,) = inside.pipeline.watches
        assert stored + len(inside.pipeline.outbox.rows) == traced
        assert not any(name.startswith("spans_dropped") for name in +watch.series.counters)
        inside.close()
    assert 0 < stored < traced


async def test_a_retired_version_is_still_retired_after_a_start(tmp_path: Path) -> None:
    """It takes no place at the door and no judge, and what it slept through is not counted as watched."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(reference=str(tmp_path / "loan.sidelight"), retire_seconds=3600)
    clock = TurnedClock(stream.START_NS)
    inside = await Insides.of(tmp_path, settings, clock).recover()
    pipeline, admission = inside.pipeline, inside.admission
    admission.handle(stream.message(0).SerializeToString())
    await pipeline._drain()
    clock.turn(10 * 3600.0)
    admission.tick(clock.now_ns())
    await pipeline._drain()
    (watch,) = pipeline.watches
    assert watch.retired
    await pipeline.save()
    inside.close()
    inside = await Insides.of(tmp_path, settings, clock).recover()
    pipeline, admission = inside.pipeline, inside.admission
    (watch,) = pipeline.watches
    assert watch.retired
    assert watch.judge is None
    assert not admission.models
    admission.handle(stream.message(1).SerializeToString())
    await pipeline._drain()
    assert not watch.retired
    assert watch.judge is not None
    assert watch.series.coverage.gaps == [(stream.START_NS, clock.now_ns())]
    inside.close()
