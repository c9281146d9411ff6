"""While a window is judged, records go on being taken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from agent.clock import TurnedClock
from agent.config import Settings
from agent.evaluate import Judge
from agent.records import Closed, Finding
from agent.steps import TURNS
from tests.end_to_end import stream
from tests.insides import Insides

STEPS = 5


async def test_between_two_steps_of_judging_a_call_gets_as_far_as_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes around several times after every step, for a call is several turns of it."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(time="event", reference=str(tmp_path / "loan.sidelight"))
    inside = await Insides.of(tmp_path, settings, TurnedClock(stream.START_NS)).recover()
    turns = 0
    seen: list[int] = []

    async def around() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def in_steps(judge: Judge, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        for _ in range(STEPS):
            seen.append(turns)
            yield []

    monkeypatch.setattr(Judge, "judge", in_steps)
    for number in range(2 * stream.MESSAGES):
        inside.admission.handle(stream.message(number).SerializeToString())
    beside = asyncio.create_task(around())
    inside.pipeline.stop()
    await inside.pipeline.run()
    beside.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beside
    assert len(seen) == STEPS, "one window is over"
    assert min(after - before for before, after in pairwise(seen)) >= TURNS
    inside.close()
