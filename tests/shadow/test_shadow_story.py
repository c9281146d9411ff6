"""Story 10: a new model of arrival times runs in shadow for a month and must beat production's mean absolute error."""

from __future__ import annotations

import numpy as np
import pytest

from agent.config import Settings
from agent.records import Event
from agent.shadow.shadow import Shadow
from tests.shadow.beside import CHALLENGER, CHAMPION, HOUR_NS, START, batch, pairs, requests, shadow

HOURS, TRIPS, LATE = 30 * 24, 30, 36  # labels come a day and a half later


def month(made: Shadow, ratio: float, seed: int = 0) -> list[tuple[int, Event]]:
    """A month of trips; the challenger's errors are `ratio` times the champion's. Rush hours are hard for both."""
    rng, told, waiting = np.random.default_rng(seed), [], []
    for hour in range(HOURS):
        window, ids = START + hour, requests(hour * TRIPS, TRIPS)
        hard = 1.0 + 0.8 * (hour % 24 in (8, 9, 17, 18)) + 0.3 * abs(rng.normal())
        true = rng.gamma(4.0, 5.0, TRIPS)
        common = rng.normal(size=TRIPS)
        old = true + 4.0 * hard * (0.8 * common + 0.6 * rng.normal(size=TRIPS))
        new = true + 4.0 * hard * ratio * (0.8 * common + 0.6 * rng.normal(size=TRIPS))
        made.predicted(batch(CHAMPION, ids, old, window, rng.gamma(4.0, 0.005, TRIPS)), window)
        made.predicted(batch(CHALLENGER, ids, new, window, rng.gamma(4.0, 0.008, TRIPS)), window)
        waiting.append((ids, old, new, true))
        if hour >= LATE:
            ids, old, new, true = waiting.pop(0)
            made.labelled(pairs(CHAMPION, ids, old, true, window), window)
            made.labelled(pairs(CHALLENGER, ids, new, true, window), window)
        made.close(window, (), (window + 1) * HOUR_NS)
        told += [(hour, event) for event in made.events()]
    return told


def test_a_better_shadow_is_to_be_promoted() -> None:
    """Errors a tenth smaller: promote, once, well before the month is over, with a statement of confidence."""
    made = shadow()
    ((hour, event),) = month(made, 0.9)
    assert 24 + LATE <= hour < 15 * 24
    assert event.attributes["sidelight.decision"] == "promote"
    assert event.attributes["sidelight.shadow.lower"] > 0.0
    assert "promote: the challenger is better: mean absolute error" in event.body
    shown = made.show()
    assert shown["decisions"]["2"]["decision"] == "promote"
    better = next(line for line in shown["lines"] if line["name"].endswith("better by"))
    assert better["low"] < better["value"] < better["high"]


def test_a_worse_shadow_is_not() -> None:
    """Errors a tenth larger: keep the champion."""
    ((_, event),) = month(shadow(), 1.1)
    assert event.attributes["sidelight.decision"] == "keep"
    assert event.attributes["sidelight.shadow.upper"] < 0.0


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_said_of_an_equal_one(seed: int) -> None:
    """As good as the champion: not yet, all month."""
    made = shadow()
    assert not month(made, 1.0, seed)
    assert made.show()["note"].startswith("not yet: ")


def test_a_margin_lets_an_equal_one_be_turned_down() -> None:
    """Promote only if better by a tenth: an equal one is kept out, and a little better is not enough."""
    made = shadow(Settings(shadow_margin=0.1))
    ((_, event),) = month(made, 1.0)
    assert event.attributes["sidelight.decision"] == "keep"
    assert "not better by 10 % of the champion's loss" in event.body


def test_labels_likely_to_be_needed_are_right_where_nothing_changes() -> None:
    """Differences that go on as they began: what was foreseen a tenth of the way is what it takes, within a tenth."""
    made, foreseen = shadow(), []
    moved = np.where(np.arange(50) % 2, 1.06, -0.94)  # a mean of 0.06, a deviation of 1
    for hour in range(200):
        ids, window = requests(hour * 50, 50), START + hour
        made.labelled(pairs(CHAMPION, ids, 5.0 + moved, np.zeros(50), window), window)
        made.labelled(pairs(CHALLENGER, ids, np.full(50, 5.0), np.zeros(50), window), window)
        made.close(window, (), (window + 1) * HOUR_NS)
        for *_, held, _ in made.state.challenges():
            foreseen.append(held.opinion.labels + (held.opinion.needed or 0))
        if events := made.events():
            took = events[0].attributes["sidelight.shadow.labels"]
            break
    assert took > 2_000
    assert foreseen[24] == pytest.approx(took, rel=0.1)


def test_the_answers_are_compared_before_any_label() -> None:
    """Differences of values and of latency, of the newest window."""
    made = shadow()
    ids = requests(0, 1_000)
    old = np.linspace(10.0, 20.0, 1_000)
    made.predicted(batch(CHAMPION, ids, old, START, np.full(1_000, 0.02)), START)
    made.predicted(batch(CHALLENGER, ids, old + 2.0, START, np.full(1_000, 0.05)), START)
    made.close(START, (), (START + 1) * HOUR_NS)
    values = {
        (point.metric.name, point.attributes.get("sidelight.statistic", "")): point.value for point in made.points()
    }
    assert values["sidelight.shadow.difference", "mean"] == pytest.approx(2.0)
    assert values["sidelight.shadow.difference", "p50"] == pytest.approx(2.0, rel=0.1)
    assert values["sidelight.shadow.latency.difference", ""] == pytest.approx(0.03, rel=1e-5)
    assert values["sidelight.shadow.agreement", ""] == 0.0
