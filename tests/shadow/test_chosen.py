"""Which versions are compared, where a model has more than four."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from agent.config import Settings
from agent.records import ModelKey, Role, Task
from agent.shadow.shadow import Shadow
from tests.shadow.beside import CHAMPION, HOUR_NS, START, batch, prepare, requests, shadow

SHADOWS = [ModelKey("eta", str(number), Role.SHADOW) for number in range(2, 9)]
ROWS = 20


def seen(made: Shadow, keys: list[ModelKey], rows: int = ROWS, *, hour: int, tell: bool = True) -> None:
    """A window in which these answer the same requests. tell: they are all that is in use."""
    window = START + hour
    for key in keys:
        if tell:
            prepare(made, key, Settings(), Task.REGRESSION, tuple(other for other in keys if other != key))
        made.predicted(batch(key, requests(hour * rows, rows), np.zeros(rows), window), window)
    made.close(window, [], (window + 1) * HOUR_NS)


def compared(made: Shadow) -> list[str]:
    return sorted(version.key.version for version in made.state.versions)


def test_the_newest_are_compared_and_go_on_being_compared() -> None:
    """The champion always; what a newer one pushed out comes with every batch and pushes out nobody."""
    made = shadow(keys=(CHAMPION,))
    for hour in range(12):
        seen(made, [CHAMPION, *SHADOWS[: 1 + hour // 2]], hour=hour)
    assert compared(made) == ["1", "5", "6", "7"]
    assert sorted(one.key.version for one in made.state.left_out) == ["2", "3", "4"]
    for hour in range(12, 20):
        seen(made, [CHAMPION, *SHADOWS[:6]], hour=hour)
    assert compared(made) == ["1", "5", "6", "7"]
    pairs = [held.before.pairs + held.newest.pairs for _, _, held, _ in made.state.challenges()]
    assert pairs == [14 * ROWS, 12 * ROWS, 10 * ROWS]


def test_who_is_not_compared_is_told_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """In the status of all of them, by name; not with every batch."""
    with caplog.at_level(logging.WARNING):
        made = shadow(keys=(CHAMPION,))
        for hour in range(6):
            seen(made, [CHAMPION, *SHADOWS[:4]], hour=hour)
    assert made.show()["not_compared"] == ["version 2 (shadow)"]
    assert "not compared: version 2 (shadow); the one whose answers are used and the newest 3" in made.show()["note"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == "version_not_compared model='eta' version='2' compared=['1', '3', '4', '5'] most=4"


def test_a_shadow_that_answers_at_night_keeps_its_place() -> None:
    """Older ones, that answer all day, get the place of one that was silent for more than a day."""
    made = shadow(keys=(CHAMPION,))
    seen(made, [CHAMPION, *SHADOWS[:4]], hour=0)
    for hour in range(1, 27):
        seen(made, [CHAMPION, *SHADOWS[:3]], hour=hour, tell=False)
    assert compared(made) == ["1", "3", "4", "5"]
    for hour in range(27, 30):
        seen(made, [CHAMPION, *SHADOWS[:3]], hour=hour, tell=False)
    assert compared(made) == ["1", "2", "3", "4"]
    seen(made, [CHAMPION, *SHADOWS[:4]], hour=30, tell=False)
    assert compared(made) == ["1", "3", "4", "5"]


def test_a_version_that_is_rolled_back_to_is_the_champion_again() -> None:
    """Though newer ones had pushed it out: its answers are those that are used."""
    made, old = shadow(keys=()), replace(CHAMPION, version="0")
    keys = [old, CHAMPION, *SHADOWS[:4]]
    for hour in range(3):
        seen(made, [old], 100, hour=hour)
    for hour in range(3, 30):
        seen(made, keys[1:], 100, hour=hour, tell=False)
    assert compared(made) == ["1", "3", "4", "5"]
    for hour in range(30, 40):
        seen(made, [old, *SHADOWS[:4]], 100, hour=hour, tell=False)
    assert made.state.champions[""].key == old
    assert {"0", "5"} < set(compared(made))


def test_a_tenant_with_one_version_takes_no_place_from_those_that_have_two() -> None:
    """There is nothing to compare it with; once it has a second, both are compared."""
    pairs = [replace(key, tenant=name) for name in ("north", "south") for key in (CHAMPION, SHADOWS[0])]
    alone = [replace(CHAMPION, tenant=f"t{number}") for number in range(6)]
    made = shadow(keys=())
    for hour in range(4):
        seen(made, [*alone, *pairs], hour=hour)
    told = [(champion.key, challenger.key) for champion, challenger, *_ in made.state.challenges()]
    assert told == [(pairs[0], pairs[1]), (pairs[2], pairs[3])]
    second = replace(SHADOWS[3], tenant="t3")
    for hour in range(4, 8):
        seen(made, [*alone, second, *pairs[:2]], hour=hour)
    told = [(champion.key, challenger.key) for champion, challenger, *_ in made.state.challenges()]
    assert set(told) == {(alone[3], second), (pairs[0], pairs[1])}
    assert made.show()["not_compared"] == []


def test_who_is_left_out_is_remembered_over_a_restart() -> None:
    """It is as old as it was, and pushes out nobody."""
    before, after = shadow(keys=()), shadow(keys=())
    for hour in range(3):
        seen(before, [CHAMPION, *SHADOWS[:5]], hour=hour)
    after.load(before.dump())
    for made in (before, after):
        for hour in range(3, 6):
            seen(made, [CHAMPION, *SHADOWS[:5]], hour=hour)
    assert compared(after) == ["1", "4", "5", "6"]
    assert after.show() == before.show()
    assert after.dump() == before.dump()


def test_a_version_that_retired_is_left_out_no_more() -> None:
    """Should it come back one day, it is new."""
    made = shadow(keys=())
    seen(made, [CHAMPION, *SHADOWS[:5]], hour=0)
    assert len(made.show()["not_compared"]) == 2
    seen(made, [CHAMPION, *SHADOWS[1:5]], hour=1)
    assert made.show()["not_compared"] == ["version 3 (shadow)"]
    seen(made, [CHAMPION, *SHADOWS[:5]], hour=2)
    assert compared(made) == ["1", "2", "5", "6"]
