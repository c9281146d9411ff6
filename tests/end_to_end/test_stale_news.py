"""Story 6 through a real agent: news, and a model that is never trained again and misses what is new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import news_world as news
from tests.end_to_end.backends import serving, until
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.news_world import DAY_NS, FADING_FROM, TRAINED_NS
from tests.end_to_end.points import Points
from tests.end_to_end.traffic import features, model_of, said, sending

LIMIT = 90  # days: the default
DAYS = range(65, 101)  # since the training
OF_MODEL = {"model.name": "news", "model.version": "1"}


@dataclass(frozen=True)
class Scene:
    """told: (day, firing | …, alert, attributes); asked: what the retrain receiver got."""

    told: list[tuple[int, str, str, dict[str, Any]]]
    status: dict[str, Any]
    asked: list[dict[str, Any]]
    points: Points


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("news")
    with serving("http/protobuf") as (backend, url), serving("http/protobuf") as (trainer, trainer_url):
        options = {
            "SIDELIGHT_TIME": "event", "SIDELIGHT_REFERENCE": str(news.reference(folder)),
            "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "SIDELIGHT_RETRAIN_URL": f"{trainer_url}/train",
        }  # fmt: skip
        with AgentProcess(folder, **options) as agent:
            with sending(agent) as send:
                send(news.started())
                for day in DAYS:
                    assert send(news.day_of(day)).accepted == news.ROWS
            status = agent.wait_counted()
            until(lambda: trainer.taken)
            assert agent.stop() == 0
        first = TRAINED_NS // DAY_NS
        told = [
            (int(of["sidelight.window.index"]) - first, what, name, of) for what, name, of in said(status, "news", "1")
        ]
        yield Scene(told, status, [json.loads(got.body) for got in trainer.taken], Points(backend))


def test_training_is_suggested_the_day_the_model_is_too_old(scene: Scene) -> None:
    """Once, at the end of the first day that is over the limit, with its age and the topics it never saw as reasons."""
    ((day, what, of),) = [(day, what, of) for day, what, name, of in scene.told if name == "retrain_suggested"]
    assert (day, what) == (LIMIT, "firing")
    (reasons,) = (feature["said"] for feature in of["sidelight.alert.features"])
    assert f"trained {LIMIT + 1} days ago, the limit is {LIMIT}" in reasons
    assert "categories it never saw (topic)" in reasons


def test_new_topics_are_said_as_such_and_nothing_before_them(scene: Scene) -> None:
    """Nothing while all is as ever; then the topic alone, named for what it never held."""
    others = [(day, of) for day, what, name, of in scene.told if what == "firing" and name != "retrain_suggested"]
    assert [features(of) for _, of in others] == [{"topic"}]
    ((day, of),) = others
    assert FADING_FROM < day < LIMIT
    assert "categories the reference never held" in of["sidelight.alert.features"][0]["said"]


def test_age_and_reasons_are_shown_and_sent(scene: Scene) -> None:
    """Days in the status, seconds at the backend, and each reason that stands."""
    shown = model_of(scene.status, "news", "1")["followed"]["staleness"]
    assert (shown["age_days"], shown["limit_days"]) == (DAYS[-1], LIMIT)
    assert shown["reasons"].keys() >= {"staleness", "new_categories"}
    assert scene.points.number("sidelight.model.age", OF_MODEL) == DAYS[-1] * 86_400.0
    reasons = scene.points.by("sidelight.retrain.reason", "reason", OF_MODEL)
    assert reasons == dict.fromkeys(shown["reasons"], 1.0)


def test_training_is_asked_for_once(scene: Scene) -> None:
    """By the suggestion, with the reasons in it; not again while the model stays too old."""
    (asked,) = scene.asked
    assert (asked["alert"], asked["model"], asked["version"]) == ("retrain_suggested", "news", "1")
    assert f"the limit is {LIMIT}" in asked["said"]
