"""A disparity as whoever is on call meets it: one alert, told once, ended once."""

from __future__ import annotations

import pytest

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.machine import advance
from agent.records import Event, Finding
from tests.fairness.fairness_worlds import HOUR_NS, MODEL, Life, World, about, settings

START = 1_767_225_600_000_000_000


def told(closes: list[list[Finding]]) -> list[tuple[int, Event]]:
    """The events, and the windows in which they came."""
    book, found = AlertBook(), []
    for window, findings in enumerate(closes):
        begin = START + window * HOUR_NS
        book, changes = advance(book, findings, WindowContext(MODEL, window, begin, begin + HOUR_NS, 1_000))
        found += [(window, change.event) for change in changes if change.event is not None]
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_episode_is_one_alert(seed: int) -> None:
    """Two days as ever, one of a gap of ten points more, two as ever: it fires once, and ends once, soon after."""
    life, world = Life(about()), World(seed=seed)
    closes = [*life.through(world, 48), *life.through(world, 24, {0: -0.1}), *life.through(world, 48)]
    events = told(closes)
    firing, *updated, resolved = events
    assert firing[1].name == "sidelight.alert.firing"
    assert [event.name for _, event in updated] == []
    assert resolved[1].name == "sidelight.alert.resolved"
    assert 48 <= firing[0] <= 58
    assert 72 <= resolved[0] <= 82
    attributes = firing[1].attributes
    assert attributes["sidelight.alert.name"] == "disparity"
    assert attributes["sidelight.alert.runbook"] == "docs/runbook.md#disparity"
    assert [feature["name"] for feature in attributes["sidelight.alert.features"]] == ["gender"]
    assert "groups fare differently" in firing[1].body
    assert "gender: " in firing[1].body


def test_a_standing_breach_of_a_limit_is_one_alert_that_stays() -> None:
    """Nothing is repeated while it lasts."""
    life = Life(about(settings("demographic_parity_difference>0.1")))
    events = told(life.through(World(seed=4, tpr=(0.6, 0.9), fpr=(0.2, 0.5)), 60))
    assert [event.name for _, event in events] == ["sidelight.alert.firing"]
    assert "over the limit of 0.1" in events[0][1].body
