"""Labels through a real agent, by arrival: joined within seconds though nothing else comes, also after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import AgentProcess


def _predictions(number: int, version: str) -> wire.RecordRequest:
    request = wire.RecordRequest(client_id="sender", sequence=number)
    request.model.name, request.model.version = "loan", version
    columns = request.columns
    columns.rows, columns.id_prefix, columns.request_id_prefix = 4, f"{version}-", "r-"
    columns.id_numbers.extend(range(4))
    columns.request_id_numbers.extend(range(4))
    columns.numbers.add(name="x", values=[1.0, 2.0, 3.0, 4.0])
    output = columns.outputs.add()
    output.labels.dictionary.extend(["no", "yes"])
    output.labels.codes.extend([0, 1, 0, 1])
    return request


def _labels(number: int, **ids: list[str]) -> wire.RecordRequest:
    """Of a sender that does not know the version."""
    request = wire.RecordRequest(client_id="sender", sequence=number)
    request.model.name = "loan"
    for kind, names in ids.items():
        for name in names:
            request.labels.labels.add(**{kind: name}, label="yes")
    return request


def _join(status: dict[str, Any]) -> dict[str, Any]:
    return dict(status["models"][0]["label_join"]) if status["models"] else {}


def test_labels_are_joined_soon_and_once(tmp_path: Path) -> None:
    """By the text of an id that came as prefix and number; by request for both versions; again after a restart."""
    with AgentProcess(tmp_path, SIDELIGHT_CHECKPOINT_SECONDS="0.3") as agent:
        for number, version in enumerate(("1", "2"), 1):
            assert agent.record(_predictions(number, version)).accepted == 4
        assert agent.record(_labels(3, prediction_id=["1-0", "1-0"], request_id=["r-2"])).accepted == 3
        found = _join(agent.wait_for(lambda status: _join(status).get("joined", 0) >= 2))
        assert (found["joined"], found["repeated"], found["waiting_predictions"]) == (2, 1, 5)
        agent.kill()
        agent.start()
        assert agent.record(_labels(4, prediction_id=["1-0", "2-1"])).accepted == 2
        found = _join(agent.wait_for(lambda status: _join(status).get("joined", 0) >= 3))
        assert (found["joined"], found["repeated"], found["waiting_predictions"]) == (3, 2, 4)
        versions = {model["version"] for model in agent.status()["models"]}
        assert versions == {"1", "2"}
        assert agent.stop() == 0
