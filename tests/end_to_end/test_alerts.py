"""What a fault must be called, when, and what must stay quiet: real agent, real gRPC, history by event time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import WELL, Fault, at, drift, features, model_of, references, replay, said

QUIET = [(index, WELL) for index in range(40)]
MODELS = ("drifts", "breaks", "slows", "switches")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One agent for all stories: each is another model's."""
    folder: Path = tmp_path_factory.mktemp("alerts")
    options = {"SIDELIGHT_REFERENCE": str(references(folder, *MODELS)), "SIDELIGHT_TIME": "event"}
    with AgentProcess(folder, **options) as running:
        yield running
        assert running.stop() == 0


def test_drift_of_one_feature_is_one_alert_that_names_it(agent: AgentProcess) -> None:
    """40 quiet windows say nothing; x0 moves by two σ for six: one data drift, of x0 alone, soon, and soon over."""
    fault = [(index, drift(x0=2.0)) for index in range(40, 46)]
    status = replay(agent, [*QUIET, *fault, *((index, WELL) for index in range(46, 54))], "drifts")
    events = said(status, "drifts")
    assert [(what, name) for what, name, _ in events] == [("firing", "data_drift"), ("resolved", "data_drift")]
    (_, _, firing), (_, _, resolved) = events
    assert 40 <= at(firing) <= 41
    assert features(firing) == {"x0"}
    assert firing["sidelight.alert.next_step"]
    assert 46 <= at(resolved) <= 51
    assert model_of(status, "drifts")["state"] == "watching"
    assert not [alert for alert in status["alerts"] if alert["model"] == "drifts"]


def test_a_changed_type_is_a_broken_pipeline_within_one_window(agent: AgentProcess) -> None:
    """city comes as numbers: broken_pipeline in the first bad window, naming it; no drift beside it."""
    status = replay(agent, [*QUIET, *((index, Fault(broken=True)) for index in range(40, 44))], "breaks")
    ((what, name, firing),) = said(status, "breaks")
    assert (what, name, at(firing), features(firing)) == ("firing", "broken_pipeline", 40, {"city"})
    assert {f["check"] for f in firing["sidelight.alert.features"]} >= {"type_mismatch"}
    (found,) = (f for f in model_of(status, "breaks")["drift"] if f["feature"] == "city")
    assert found["verdict"] != "alarm"
    status = replay(agent, [(index, WELL) for index in range(44, 48)], "breaks")
    assert [(what, name) for what, name, _ in said(status, "breaks")] == [
        ("firing", "broken_pipeline"),
        ("resolved", "broken_pipeline"),
    ]


def test_eight_times_the_latency_is_said_in_its_first_window(agent: AgentProcess) -> None:
    """Against the service's own past; the data is as ever, so nothing else is said."""
    status = replay(agent, [*QUIET, *((index, Fault(slow=8.0)) for index in range(40, 43))], "slows")
    ((what, name, firing),) = said(status, "slows")
    assert (what, name, at(firing)) == ("firing", "latency", 40)
    assert firing["sidelight.alert.severity"] == "ERROR"
    newest = model_of(status, "slows")["latency"]
    assert newest["p50"] == pytest.approx(0.084, rel=0.1)


def test_a_new_version_borrows_the_reference_and_ends_the_old_ones_alerts(agent: AgentProcess) -> None:
    """A window of version 4 alone: version 3's alert is resolved as superseded, and the borrowed reference is said."""
    status = replay(agent, [*QUIET[:30], *((index, drift(x0=2.0)) for index in range(30, 34))], "switches")
    assert [(what, name) for what, name, _ in said(status, "switches")] == [("firing", "data_drift")]
    status = replay(agent, [(index, WELL) for index in range(34, 38)], "switches", version="4")
    *_, (what, name, resolved) = said(status, "switches")
    assert (what, name, resolved["sidelight.alert.reason"]) == ("resolved", "data_drift", "superseded by version 4")
    successor = model_of(status, "switches", "4")
    assert successor["reference"]["note"] == "borrowed from version 3"
    assert "borrowed" in successor["state_reason"]
    assert successor["state"] == "watching"
    assert not said(status, "switches", "4")
    assert not [alert for alert in status["alerts"] if alert["model"] == "switches"]
