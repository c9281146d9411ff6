"""Who is watched, and what they share."""

from __future__ import annotations

from pathlib import Path

from agent.config import Settings
from agent.records import ModelKey
from agent.watching import Watching
from tests.end_to_end import stream


async def test_versions_that_live_side_by_side_share_the_dial(tmp_path: Path) -> None:
    """False alarms are promised for a model, not for each of its versions."""
    path = tmp_path / "loan.sidelight"
    stream.reference(path)
    watching = Watching(Settings(reference=str(path)))
    first = await watching.begin(ModelKey("loan", "3"), 1)
    assert first.judge is not None
    alone = first.judge.ledger.alpha("drift", 0)
    second = await watching.begin(ModelKey("loan", "4"), 2)
    assert second.judge is not None
    assert second.series.reference_note == "borrowed from version 3"
    assert first.judge.ledger.alpha("drift", 0) == second.judge.ledger.alpha("drift", 0) == alone / 2


async def test_the_longest_silent_of_the_retired_are_forgotten_first(tmp_path: Path) -> None:
    """As many retired versions are remembered as may be watched; their places at the door are given back at once."""
    watching = Watching(Settings(models_max=2, retire_seconds=60))
    left: list[str] = []
    gone: list[str] = []
    watching.retires = lambda key: left.append(key.version)
    watching.forgets = lambda key: gone.append(key.version)
    for number in range(4):
        watch = await watching.begin(ModelKey("m", str(number)), 1)
        watch.series.last_seen_ns = number + 1
    watching.retire(3_600 * 10**9)
    watching.forget()
    assert left == ["0", "1", "2", "3"]
    assert gone == ["0", "1"]
    assert sorted(watch.key.version for watch in watching) == ["2", "3"]


async def test_versions_come_in_the_order_in_which_they_began() -> None:
    """However a restart found them: of two at the same moment the first by name."""
    watching = Watching(Settings())
    for version, began in (("2", 7), ("1", 7), ("0", 9)):
        await watching.begin(ModelKey("m", version), began)
    assert [watch.key.version for watch in watching] == ["1", "2", "0"]
    first = next(iter(watching))
    assert [watch.key.version for watch in watching.others(first)] == ["2", "0"]
