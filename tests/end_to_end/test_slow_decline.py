"""Story 11 through a real agent: conversion falls slowly, and training is asked for once a cause, not in a loop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end import ads_world
from tests.end_to_end.ads_world import DELAY, FIRST_NS, RARE, ROWS, USUAL, WINDOW_SECONDS, World
from tests.end_to_end.backends import serving, until
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import said, sending
from tests.export.backend import Backend

QUIET = 20
SLOW, FALL = 28, 0.66  # windows in which conversion falls, evenly, by so many logits in all
WELL = 12  # the window from which `banners` are as ever again
RARE_FALL = 0.74  # logits: 6.2 % become 3.2 %
STANDS_OUT = 4.0  # standard errors: one window in 30,000 without any fall
FIRST = FIRST_NS // (WINDOW_SECONDS * 10**9)


@dataclass(frozen=True)
class Scene:
    """told: by model (window, firing | …, alert, attributes). asked: what the retrain receiver got; withheld: what it
    did not. again: what it got after the agent came back without a cool-down."""

    told: dict[str, list[tuple[int, str, str, dict[str, Any]]]]
    asked: list[dict[str, Any]]
    again: list[dict[str, Any]]
    withheld: int


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """`ads`: a slow fall. `banners`: other visitors who buy less, all at once; then well again; then others again."""
    folder: Path = tmp_path_factory.mktemp("ads")
    slow = slowly(FALL)
    other = World(fall=1.2, shift=0.8)
    at_once = [USUAL] * 4 + [other] * (WELL - 4) + [USUAL] * 12
    with serving("http/protobuf") as (trainer, url):
        options = {
            "SIDELIGHT_TIME": "event", "SIDELIGHT_REFERENCE": str(ads_world.references(folder, "ads", "banners")),
            "SIDELIGHT_RETRAIN_URL": f"{url}/train",
        }  # fmt: skip
        with AgentProcess(folder, **options) as agent:
            play(agent, slow, "ads")
            status = play(agent, at_once, "banners")
            withheld = status["export"]["signals"]["retrain"]["withheld"]
            until(lambda: len(trainer.taken) >= 2)
            assert agent.stop() == 0
            asked, told = posted(trainer), {model: events(status, model) for model in ("ads", "banners")}
            agent.environment["SIDELIGHT_RETRAIN_COOLDOWN_SECONDS"] = "0"
            agent.start()
            play(agent, [World(shift=-1.0)] * 4, "banners", first=len(at_once))
            until(lambda: len(trainer.taken) > len(asked))
            assert agent.stop() == 0
        yield Scene(told, asked, posted(trainer)[len(asked) :], withheld)


def slowly(fall: float, usual: World = USUAL) -> list[World]:
    """As ever, then a little less in every window."""
    return [usual] * QUIET + [replace(usual, fall=fall * (k + 1) / SLOW) for k in range(SLOW)]


def play(agent: AgentProcess, worlds: Sequence[World], model: str, first: int = 0) -> dict[str, Any]:
    """Sends a window of each world, and what came of the one two windows before; the status when all is judged."""
    shown = [ads_world.ads(first + i, world) for i, world in enumerate(worlds)]
    with sending(agent) as send:
        for i, some in enumerate(shown):
            assert send(ads_world.shown(some, model)).accepted == ROWS
            if i >= DELAY:
                assert send(ads_world.known(shown[i - DELAY], some.index, model)).accepted == ROWS
    return agent.wait_counted()


def events(status: dict[str, Any], model: str) -> list[tuple[int, str, str, dict[str, Any]]]:
    return [(int(of["sidelight.window.index"]) - FIRST, what, name, of) for what, name, of in said(status, model, "1")]


def posted(trainer: Backend) -> list[dict[str, Any]]:
    return [json.loads(got.body) for got in trainer.taken]


def fallen(windows: range, worlds: Sequence[World]) -> tuple[list[float], float]:
    """How many standard errors below the scores' own count the conversions are: of each window, and of all together."""
    some = [ads_world.ads(i, worlds[i]) for i in windows]
    missing = np.array([one.score.sum() - one.bought.sum() for one in some])
    variance = np.array([(one.score * (1.0 - one.score)).sum() for one in some])
    return (missing / np.sqrt(variance)).tolist(), float(missing.sum() / np.sqrt(variance.sum()))


def test_a_slow_fall_is_found_though_no_window_stands_out(scene: Scene) -> None:
    """Concept drift, and nothing else: too many are expected to buy; over many windows, none of which says so alone."""
    ((window, what, name, of),) = scene.told["ads"]
    assert (what, name) == ("firing", "concept_drift")
    assert QUIET + DELAY < window < QUIET + SLOW
    single, together = fallen(range(QUIET, window - DELAY + 1), slowly(FALL))
    assert max(single) < STANDS_OUT < together
    (found,) = of["sidelight.alert.features"]
    assert found["horizon"] >= 8
    assert "mostly false positives" in found["said"]
    assert "inputs look as ever" in found["said"]


def test_a_rare_conversion_that_falls_slowly_is_found(tmp_path: Path) -> None:
    """6.2 % become 3.2 %: the model says that nobody buys, and is wrong less often than ever. What it told of did not
    come: that is concept drift, of every window too little to stand out, and severe enough to be a warning."""
    worlds = slowly(RARE_FALL, RARE) + [replace(RARE, fall=RARE_FALL)] * (DELAY + 22)
    folder = ads_world.references(tmp_path, "clicks", world=RARE)
    with AgentProcess(tmp_path, SIDELIGHT_TIME="event", SIDELIGHT_REFERENCE=str(folder)) as agent:
        told = events(play(agent, worlds, "clicks"), "clicks")
        assert agent.stop() == 0
    window, what, name, of = told[0]
    assert (what, name) == ("firing", "concept_drift")
    assert QUIET + DELAY < window < len(worlds)
    assert of["sidelight.alert.severity"] != "INFO"
    single, together = fallen(range(QUIET, window - DELAY + 1), worlds)
    assert max(single) < STANDS_OUT < together
    (found,) = of["sidelight.alert.features"]
    assert "bought was expected in" in found["said"]
    assert "scores are too high" in found["said"]
    assert "inputs look as ever" in found["said"]
    assert found["effect"] > 0.0


def test_training_is_asked_for_once_a_cause(scene: Scene) -> None:
    """Two models, two causes, two requests; of the second the drift asks, and the errors that follow from it do not."""
    assert [(each["model"], each["alert"]) for each in scene.asked] == [
        ("ads", "concept_drift"), ("banners", "data_drift"),
    ]  # fmt: skip
    began = {name: window for window, what, name, _ in scene.told["banners"] if what == "firing" and window < WELL}
    assert began.keys() >= {"data_drift", "concept_drift", "retrain_suggested"}
    assert began["data_drift"] < began["concept_drift"]
    assert scene.withheld >= 1  # the concept drift's


def test_what_is_over_is_not_told_again(scene: Scene) -> None:
    """Nothing begins once everything is well again, so only the errors of the cause itself were held back."""
    assert [name for window, what, name, _ in scene.told["banners"] if what == "firing" and window >= WELL] == []
    assert scene.withheld == 1


def test_a_new_cause_after_the_cool_down_asks_again(scene: Scene) -> None:
    """Everything of the first cause is over; other visitors come: one request more, of that drift."""
    resolved = {name for _, what, name, _ in scene.told["banners"] if what == "resolved"}
    assert resolved >= {"data_drift", "concept_drift"}
    assert [(each["model"], each["alert"]) for each in scene.again] == [("banners", "data_drift")]
    assert len({each["key"] for each in (*scene.asked, *scene.again)}) == 3
