"""How good a model is before any label says so, through a real agent: what it can know, what it does not pretend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end import truth_world as loans
from tests.end_to_end.backends import serving
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.points import Points
from tests.end_to_end.traffic import model_of, said, sending
from tests.end_to_end.truth_world import FIRST_NS, ROWS, USUAL, WINDOW_SECONDS, Loans, World
from tests.export.backend import Backend

QUIET, CHANGED = 20, 8  # windows as the model was trained, and after
FIRST = FIRST_NS // (WINDOW_SECONDS * 10**9)
OF_MODEL = {"model.name": "loan", "model.version": "3"}
SAID_OF_TRUTH = re.compile(r"of (\d+) predictions whose label came, accuracy is (\S+) where (\S+) was estimated")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loans.reference(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def backend() -> Iterator[tuple[Backend, str]]:
    with serving("http/protobuf") as found:
        yield found


@pytest.fixture
def agent(tmp_path: Path, reference: Path, backend: tuple[Backend, str]) -> Iterator[AgentProcess]:
    options = {
        "SIDELIGHT_TIME": "event", "SIDELIGHT_SEGMENTS": "region", "SIDELIGHT_REFERENCE": str(reference),
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend[1], "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }  # fmt: skip
    with AgentProcess(tmp_path, **options) as running:
        yield running


def play(agent: AgentProcess, windows: Sequence[Loans], known: Sequence[Loans] = ()) -> dict[str, Any]:
    """Sends these windows, and into the last of them the truth of those that are known by then."""
    with sending(agent) as send:
        for some in windows[:-1]:
            assert send(loans.predictions(some)).accepted == ROWS
        for told in known:
            assert send(loans.labels(told, windows[-1].index - 1)).accepted == ROWS
        assert send(loans.predictions(windows[-1])).accepted == ROWS
    return agent.wait_counted()


def history(world: World) -> list[Loans]:
    """Windows as ever, then those of another world."""
    return [loans.loans(i, USUAL if i < QUIET else world) for i in range(QUIET + CHANGED)]


def accuracy(some: Sequence[Loans]) -> float:
    """What labels say, whether or not they came."""
    return float(np.mean([(one.score >= 0.5) == one.truth for one in some]))


def estimated(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = model_of(status)["followed"]["estimate"]
    return found


def line(shown: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in shown["lines"] if each["name"] == "accuracy")
    return found


def beside(status: dict[str, Any]) -> float:
    """Accuracy as labels show it, of the predictions whose label came, where the estimate stands."""
    (found,) = (each for each in estimated(status)["lines"] if each["name"] == "accuracy, as labels show it")
    assert found["note"].startswith(f"of {CHANGED * ROWS} predictions whose label came")
    return float(found["value"])


def fired(status: dict[str, Any]) -> dict[str, int]:
    """Alerts, and how many windows after the change each was first said."""
    found: dict[str, int] = {}
    for what, name, attributes in said(status):
        if what == "firing":
            found.setdefault(name, at_window(attributes) - QUIET)
    return found


def at_window(attributes: dict[str, Any]) -> int:
    """`traffic.at`, of this world's first window."""
    return int(attributes["sidelight.window.index"]) - FIRST


def test_harder_cases_are_a_fall_before_any_label_comes(agent: AgentProcess, backend: tuple[Backend, str]) -> None:
    """Poorer customers: the fall is estimated within three windows, and as large as it is; labels then agree."""
    rows = history(World(shift=-1.0))
    status = play(agent, rows)
    when = fired(status)
    assert 0 <= when.pop("estimated_performance_drop") <= 3
    assert when.keys() <= {"data_drift", "prediction_drift", "retrain_suggested"}
    found = line(estimated(status))
    assert found["low"] < accuracy(rows[-2:-1]) < found["high"]
    assert found["value"] == pytest.approx(accuracy(rows[QUIET:]), abs=0.02)
    assert found["expected"] - found["value"] > 0.015
    more = [loans.loans(QUIET + CHANGED + i, World(shift=-1.0)) for i in range(2)]
    status = play(agent, more, rows[QUIET:])
    assert "whose label came" not in estimated(status)["note"]
    assert estimated(status)["believed"] == "doubtful"  # inputs drift, and nothing but that speaks against it
    realised = next(each for each in model_of(status)["followed"]["performance"]["lines"] if each["name"] == "accuracy")
    assert realised["value"] == pytest.approx(accuracy(rows[QUIET:]))
    assert realised["low"] < line(estimated(status))["value"] < realised["high"]
    assert beside(status) == pytest.approx(accuracy(rows[QUIET:]))
    assert agent.stop() == 0
    points = Points(backend[0])
    newest = points.by("sidelight.performance.estimated", "statistic", OF_MODEL | {"performance.metric": "accuracy"})
    assert newest.pop("realised") == pytest.approx(beside(status))
    assert newest.pop("estimated_of_realised") == pytest.approx(beside(status), abs=0.02)
    assert newest == {name: pytest.approx(line(estimated(status))[key]) for name, key in (
        ("value", "value"), ("lower", "low"), ("upper", "high"))}  # fmt: skip
    assert points.number("sidelight.performance.estimated.believed", OF_MODEL) == 0.5


def test_what_no_score_shows_is_not_pretended(agent: AgentProcess, backend: tuple[Backend, str]) -> None:
    """The same inputs mean something else: nothing is said before labels come; then that the estimate is wrong."""
    rows = history(World(meaning=1.2))
    status = play(agent, rows)
    assert fired(status) == {}
    before = line(estimated(status))
    assert before["value"] == pytest.approx(before["expected"], abs=0.03)
    assert before["value"] - accuracy(rows[QUIET:]) > 0.05  # which it cannot know
    more = [loans.loans(QUIET + CHANGED + i, World(meaning=1.2)) for i in range(2)]
    status = play(agent, more, rows[QUIET:])
    shown = estimated(status)
    assert (shown["believed"], shown["note"].partition(":")[0]) == ("no", "not to be believed")
    told = SAID_OF_TRUTH.search(shown["note"])
    assert told is not None
    assert int(told[1]) == CHANGED * ROWS
    assert float(told[2]) == pytest.approx(accuracy(rows[QUIET:]), abs=0.0006)
    assert float(told[3]) == pytest.approx(before["expected"], abs=0.02)
    assert beside(status) == pytest.approx(accuracy(rows[QUIET:]))
    assert agent.stop() == 0
    assert Points(backend[0]).number("sidelight.performance.estimated.believed", OF_MODEL) == 0.0
