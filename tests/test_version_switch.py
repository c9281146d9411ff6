"""One version takes over from another and gives back: traffic moved, and nobody is woken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.checkpoint.meta import Meta
from agent.clock import TurnedClock
from agent.config import Settings
from agent.records import ModelKey
from agent.watching import Watch
from agent.wire import recorder_pb2 as wire
from tests.insides import Insides

HOUR = 3600.0
START_NS = 1_700_000_000 // 3600 * 3600 * 10**9


class Playing:
    """A pipeline by arrival time, hour by hour, that learns without end: only traffic is judged."""

    def __init__(self, folder: Path, now_ns: int = START_NS) -> None:
        self.folder, self.clock = folder, TurnedClock(now_ns)
        self._inside = Insides.of(folder, Settings(learn_windows=1_000), self.clock)
        self.pipeline, self.admission = self._inside.pipeline, self._inside.admission
        self._random = np.random.default_rng(1)

    async def again(self) -> Playing:
        """The same after a restart that took no time."""
        self.end()
        after = Playing(self.folder, self.clock.now_ns())
        after._random = self._random
        await after.begin()
        return after

    async def begin(self) -> None:
        await self._inside.recover()

    async def hour(self, *quarters: str) -> None:
        """Each quarter of an hour's version, or "" for none; about 80 rows each."""
        for version in quarters:
            self.clock.turn(HOUR / 8)
            if version:
                self._send(version, int(self._random.poisson(80)))
            await self.pipeline._drain()
            self.clock.turn(HOUR / 8)
        self.admission.tick(self.clock.now_ns())
        await self.pipeline._drain()

    def _send(self, version: str, rows: int) -> None:
        request = wire.RecordRequest()
        request.model.name, request.model.version = "m", version
        request.columns.rows = rows
        request.columns.numbers.add(name="x", values=self._random.normal(size=rows).tolist())
        assert self.admission.handle(request.SerializeToString()).accepted == rows

    def label(self, version: str) -> None:
        """What a prediction of that version turned out to be."""
        request = wire.RecordRequest()
        request.model.name, request.model.version = "m", version
        request.labels.labels.add(prediction_id="p", value=1.0)
        assert self.admission.handle(request.SerializeToString()).accepted == 1

    @property
    def said(self) -> list[str]:
        return [str(event["body"]) for event in self.pipeline.outbox.events]

    def watch(self, version: str) -> Watch:
        found = self.pipeline.watches.get(ModelKey("m", version))
        assert found is not None
        return found

    def end(self) -> None:
        self._inside.close()


async def test_a_rollback_wakes_nobody_and_an_outage_does(tmp_path: Path) -> None:
    """Over and back in mid-hour, stragglers and late labels included; both versions know their whole traffic."""
    play = Playing(tmp_path)
    await play.begin()
    for _ in range(40):
        await play.hour("1", "1", "1", "1")
    await play.hour("1", "1", "2", "2")
    for _ in range(40):
        play.label("1")
        await play.hour("2", "2", "2", "2")
    assert play.watch("1").rests
    await play.hour("2", "2", "1", "1")
    await play.hour("2", "1", "1", "1")
    for _ in range(6):
        await play.hour("1", "1", "1", "1")
    assert play.watch("2").rests
    assert play.said == []
    for _ in range(3):
        await play.hour("", "", "", "")
    assert [body.partition(" since")[0] for body in play.said] == ["m version 1: no data"]
    play.end()


async def test_a_promoted_canary_is_not_blind(tmp_path: Path) -> None:
    """The model's past lives on: a loss is told in the new version's second hour, by that version alone."""
    play = Playing(tmp_path)
    await play.begin()
    for _ in range(8 * 24):  # a week and a day: no kind of day is new any more
        await play.hour("1", "1", "1", "1")
    for _ in range(3):
        await play.hour("1", "1", "1", "2")
    await play.hour("2", "2", "2", "2")
    assert play.said == []
    await play.hour("2", "", "", "")
    await play.hour("2", "", "", "")
    assert [body.partition(" since")[0] for body in play.said] == ["m version 2: unusual traffic"]
    play.end()


async def test_a_canary_that_dies_is_no_alarm_while_others_have_its_traffic(tmp_path: Path) -> None:
    """Nothing tells it from a planned rollback; the model has what is usual."""
    play = Playing(tmp_path)
    await play.begin()
    for _ in range(30):
        await play.hour("1", "1", "1", "2")
    for _ in range(5):
        await play.hour("1", "1", "1", "1")
    assert play.watch("2").rests
    assert play.said == []
    play.end()


async def test_half_of_two_equal_versions_lost_is_told_once(tmp_path: Path) -> None:
    """Whichever of them fails: one alert, of the model's teller."""
    play = Playing(tmp_path)
    await play.begin()
    for _ in range(8 * 24):
        await play.hour("1", "2", "1", "2")
    for _ in range(2):
        await play.hour("1", "", "1", "")
    assert [body.partition(" since")[0] for body in play.said] == ["m version 1: unusual traffic"]
    play.end()


async def test_a_restart_in_the_midst_of_a_rollout_changes_nothing(tmp_path: Path) -> None:
    """The model's past, who tells of it and who rests are in the checkpoint."""
    quarters = [["1"] * 4] * 40 + [["1", "1", "2", "2"]] + [["2"] * 4] * 3 + [[""] * 4] * 3
    whole, cut = Playing(tmp_path / "whole"), Playing(tmp_path / "cut")
    await whole.begin()
    await cut.begin()
    for number, quarter in enumerate(quarters):
        await whole.hour(*quarter)
        await cut.hour(*quarter)
        if number in (39, 40, 42, 44):
            await cut.pipeline.save()
            cut = await cut.again()
    one, other = whole.watch("2"), cut.watch("2")
    assert one.traffic.teller == "2"
    assert one.traffic.to_bytes() == other.traffic.to_bytes()
    assert one.repeats.to_bytes() == other.repeats.to_bytes()
    assert whole.watch("1").rests
    assert cut.watch("1").rests
    assert cut.said == whole.said != []
    whole.end()
    cut.end()


async def test_who_rests_survives_a_checkpoint() -> None:
    """Else the next start would judge the rest as silence."""
    meta = Meta(7, resting=frozenset({"abc"}))
    assert Meta.unpack(meta.pack()) == meta
