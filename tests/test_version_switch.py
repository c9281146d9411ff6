"""One version takes over from another and gives back: traffic moved, and nobody is woken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.checkpoint import Meta
from agent.clock import TurnedClock
from agent.config import Settings
from agent.records import ModelKey
from agent.volume.traffic import ALONE, Beside
from agent.watching import NEVER, RESTS, Watch
from agent.wire import recorder_pb2 as wire
from tests.insides import Insides

HOUR = 3600.0
START_NS = 1_700_000_000 // 3600 * 3600 * 10**9


class Playing:
    """A pipeline by arrival time, hour by hour, that learns without end: only traffic is judged."""

    def __init__(self, folder: Path) -> None:
        self.clock = TurnedClock(START_NS)
        self._inside = Insides.of(folder, Settings(learn_windows=1_000), self.clock)
        self.pipeline, self.admission = self._inside.pipeline, self._inside.admission
        self._random = np.random.default_rng(1)

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
        return [str(event["body"]) for event in self.pipeline.events]

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
    assert play.watch("1").back_in == RESTS
    await play.hour("2", "2", "1", "1")
    await play.hour("2", "1", "1", "1")
    for _ in range(6):
        await play.hour("1", "1", "1", "1")
    assert play.watch("2").back_in == RESTS
    assert play.said == []
    for _ in range(3):
        await play.hour("", "", "", "")
    assert [body.partition(" since")[0] for body in play.said] == ["m version 1: no data"]
    play.end()


async def test_who_rests_and_who_came_back_survives_a_checkpoint(tmp_path: Path) -> None:
    """Else the next start would judge the rest as silence."""
    play = Playing(tmp_path)
    await play.begin()
    for quarters in (["1"] * 4, ["2"] * 4, ["2"] * 4):
        await play.hour(*quarters)
    meta = Meta.unpack(play.pipeline._meta(7).pack())
    assert list(meta.back_in.values()) == [RESTS]
    await play.hour("2", "2", "1", "1")
    (index,) = Meta.unpack(play.pipeline._meta(8).pack()).back_in.values()
    assert index == START_NS // (3600 * 10**9) + 3
    assert play.watch("1").series.covered_seconds(index) == 0.0
    assert play.watch("2").back_in == NEVER
    play.end()


@pytest.mark.parametrize(
    ("beside", "rows", "expected", "explained"),
    [
        (ALONE, 150.0, 300.0, False),
        (Beside(rows=150.0), 150.0, 300.0, True),  # a new version takes half
        (Beside(rows=0.0, usual=270.0), 300.0, 30.0, True),  # a canary was promoted
        (Beside(rows=150.0, rested=(300.0,)), 150.0, 300.0, True),  # a version is back that once had it all
        (Beside(rows=150.0, usual=150.0), 15.0, 150.0, False),  # one of two halves fails
        (Beside(rows=0.0, rested=(300.0,)), 900.0, 300.0, False),
    ],
)
def test_the_model_as_a_whole_has_what_is_usual(beside: Beside, rows: float, expected: float, explained: bool) -> None:
    """A version's past may be of the whole model or of its part."""
    assert beside.explains(rows, expected) is explained
