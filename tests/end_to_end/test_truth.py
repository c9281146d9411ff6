"""Late labels through a real agent: what it says of a model whose world, feed or groups changed.

Stories 1, 4, 8 and 15: the reference is built from labelled rows, predictions stream in, and their truth comes three
windows later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import truth_world as loans
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import model_of, said, sending
from tests.end_to_end.truth_world import USUAL, World

DELAY = 3  # windows until the truth is known
QUIET = 30  # windows of usual traffic first
OPTIONS = {"SIDELIGHT_TIME": "event", "SIDELIGHT_SEGMENTS": "region", "SIDELIGHT_FAIRNESS": "group"}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loans.reference(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def agent(tmp_path: Path, reference: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path, SIDELIGHT_REFERENCE=str(reference), **OPTIONS) as running:
        yield running


def play(agent: AgentProcess, worlds: Sequence[World], first: int = 0) -> dict[str, Any]:
    """Sends a window of each world, and the truth of the one three windows before; the status when all is judged."""
    told = {first + i: loans.loans(first + i, world) for i, world in enumerate(worlds)}
    with sending(agent) as send:
        for index, some in told.items():
            assert send(loans.predictions(some)).accepted == loans.ROWS
            known = told.get(index - DELAY)
            if known is not None:
                assert send(loans.labels(known, index)).accepted == loans.ROWS
    return agent.wait_counted(240.0)


def alerts(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Alerts that fired, by name, as they were first said."""
    fired: dict[str, dict[str, Any]] = {}
    for what, name, attributes in said(dict(status)):
        if what == "firing":
            fired.setdefault(name, attributes)
    return fired


def test_labels_join_and_nothing_is_said_of_a_usual_world(agent: AgentProcess) -> None:
    """Sixty windows as trained: every label meets its prediction, accuracy is shown with its interval, no alert."""
    status = play(agent, [USUAL] * 60)
    model = model_of(status)
    assert alerts(status) == {}
    accuracy = _line(model, "performance", "accuracy")
    assert accuracy["low"] < 0.776 < accuracy["high"]
    assert model["labels"] == loans.ROWS * (60 - DELAY)


def test_a_downturn_changes_what_the_inputs_mean(agent: AgentProcess) -> None:
    """Story 4: inputs and scores as ever, more default than they say: concept drift, false negatives, no data drift."""
    fired = alerts(play(agent, [USUAL] * QUIET + [World(meaning=1.2)] * 15))
    assert "concept_drift" in fired
    assert not fired.keys() & {"data_drift", "prediction_drift", "broken_pipeline"}
    assert "false negatives" in str(fired["concept_drift"])


def test_new_customers_move_inputs_and_scores_first(agent: AgentProcess) -> None:
    """Story 1: before any label comes, drift of the inputs and of the scores is said."""
    status = play(agent, [USUAL] * QUIET + [World(shift=-1.0)] * 3)
    assert {"data_drift", "prediction_drift"} <= alerts(status).keys()


def test_one_region_is_worse_by_name(agent: AgentProcess) -> None:
    """Story 8: the south's feed broke; the alert names the segment."""
    fired = alerts(play(agent, [USUAL] * QUIET + [World(feed=0.7)] * 15))
    parts = fired["segment_change"]["sidelight.alert.features"]
    assert {part["segment"] for part in parts} == {"region=south"}
    assert "error rate in region=south rose" in parts[0]["said"]


def test_two_groups_drift_apart_while_the_mean_holds(agent: AgentProcess) -> None:
    """Story 15: one group is asked for more, the other for less."""
    fired = alerts(play(agent, [USUAL] * QUIET + [World(gap=1.2)] * 10))
    assert "demographic parity" in str(fired["disparity"])
    assert not fired.keys() & {"prediction_drift", "concept_drift", "performance_drop"}


def _line(model: Mapping[str, Any], follower: str, name: str) -> dict[str, Any]:
    lines = model["followed"][follower]["lines"]
    found: dict[str, Any] = next(line for line in lines if line["name"] == name)
    return found
