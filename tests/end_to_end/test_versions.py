"""Story 10 through a real agent: a model in shadow must beat production's mean absolute error; what both were asked,
and the truth, is written for the next training. The agent is killed halfway.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agent.capture.reading import feedback
from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import sending

WINDOW_NS, FIRST_NS = 60 * 10**9, 1_700_000_040 * 10**9
ROWS, WINDOWS, DELAY = 60, 60, 3
CHAMPION, CHALLENGER = "1", "2"


def trips(index: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Distances, true minutes and what each version says; the shadow's errors are a quarter smaller."""
    rng = np.random.default_rng(index)
    distance = rng.gamma(4.0, 2.0, ROWS)
    true = 3.0 * distance + rng.normal(size=ROWS)
    common = rng.normal(size=ROWS)
    said = {
        v: true + size * (0.7 * common + 0.7 * rng.normal(size=ROWS))
        for v, size in ((CHAMPION, 4.0), (CHALLENGER, 3.0))
    }
    return distance, true, said


def predictions(index: int, version: str) -> wire.RecordRequest:
    distance, _, said = trips(index)
    request = wire.RecordRequest()
    request.model.name, request.model.version = "eta", version
    request.model.role = wire.ROLE_SHADOW if version == CHALLENGER else wire.ROLE_PRIMARY
    columns = request.columns
    columns.rows = ROWS
    columns.id_prefix, columns.request_id_prefix = f"v{version}-{index}-", f"trip-{index}-"
    columns.id_numbers.extend(range(ROWS))
    columns.request_id_numbers.extend(range(ROWS))
    columns.time_unix_nano.extend([FIRST_NS + index * WINDOW_NS + i * 10**6 for i in range(ROWS)])
    columns.numbers.add(name="distance", values=distance.tolist())
    columns.outputs.add().values.values.extend(said[version].tolist())
    columns.latency_seconds.extend([0.01 if version == CHAMPION else 0.03] * ROWS)
    columns.measures.add(name="cost", values=[0.001 if version == CHAMPION else 0.004] * ROWS)
    return request


def truth(index: int, when: int) -> wire.RecordRequest:
    """One label a trip, by the request: it reaches both versions."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = "eta", CHAMPION
    columns = request.label_columns
    columns.rows = ROWS
    columns.request_id_prefix = f"trip-{index}-"
    columns.request_id_numbers.extend(range(ROWS))
    columns.values.values.extend(trips(index)[1].tolist())
    columns.time_unix_nano.extend([FIRST_NS + when * WINDOW_NS] * ROWS)
    return request


def by(version: str, request: wire.RecordRequest) -> wire.RecordRequest:
    """As a version whose answers are used."""
    request.model.version, request.model.role = version, wire.ROLE_PRIMARY
    return request


def play(agent: AgentProcess, first: int, last: int) -> None:
    with sending(agent) as send:
        for index in range(first, last):
            for version in (CHAMPION, CHALLENGER):
                assert send(predictions(index, version)).accepted == ROWS
            if index >= DELAY:
                assert send(truth(index - DELAY, index)).accepted == ROWS


def all_written(status: dict[str, Any]) -> bool:
    """A slow disk may have more to do than an end waits for."""
    captured = [line for model in status["models"] for line in model["followed"]["capture"]["lines"]]
    return bool(captured) and not any(line["value"] for line in captured if line["name"] == "files to be written")


def test_a_better_shadow_is_promoted_and_its_trips_are_kept(tmp_path: Path) -> None:
    """Promote, once, over a kill; the page says by how much, and what it costs; every row is written once."""
    folder = tmp_path / "set"
    options = {"SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": "60", "SIDELIGHT_CAPTURE": str(folder)}
    with AgentProcess(tmp_path, **options) as agent:
        play(agent, 0, 25)
        agent.kill()
        agent.start()
        play(agent, 25, WINDOWS)

        def decided(status: dict[str, object]) -> bool:
            return any(event["name"] == "sidelight.shadow.decision" for event in status["events"])  # type: ignore[attr-defined]

        status = agent.wait_for(decided)
        told = [event for event in status["events"] if event["name"] == "sidelight.shadow.decision"]
        assert [event["attributes"]["sidelight.decision"] for event in told] == ["promote"]
        (shown,) = {str(model["followed"]["shadow"]) for model in status["models"]}
        assert "'decision': 'promote'" in shown
        lines = {line["name"]: line["value"] for line in status["models"][0]["followed"]["shadow"]["lines"]}
        assert abs(lines["version 2 (shadow): cost more a request"] - 0.003) < 1e-6
        assert abs(lines["version 2 (shadow): latency more"] - 0.02) < 1e-6
        agent.wait_for(all_written)
        assert agent.stop() == 0
    table = feedback(str(folder))
    ids = list(zip(table["row_id"].to_pylist(), table["version"].to_pylist(), strict=True))
    assert len(ids) == len(set(ids))
    assert set(table["role"].to_pylist()) == {"primary", "shadow"}
    true = {round(value, 9) for index in range(WINDOWS) for value in trips(index)[1].tolist()}
    assert {round(value, 9) for value in table["actual"].to_pylist()} <= true


def test_a_version_whose_labels_alone_still_come_says_so(tmp_path: Path) -> None:
    """Another took over, and labels come late: it is neither watched nor switched off; after a restart too. Before
    its labels come it is as any version that ended."""
    options = {"SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": "60"}
    with AgentProcess(tmp_path, **options) as agent:
        with sending(agent) as send:
            for index in range(8):
                version = "1" if index < 4 else "2"
                assert send(by(version, predictions(index, version))).accepted == ROWS
            agent.wait_for(lambda status: state(status, "2")[0] == "learning")
            agent.wait_counted()
            assert state(agent.status(), "1")[0] == "learning"
            for index in range(4):
                assert send(truth(index, 7)).accepted == ROWS
            assert send(by("2", predictions(8, "2"))).accepted == ROWS
        told = ("labels_only", "no predictions since 2023-11-14 22:17 UTC; labels still come, and are judged")
        agent.wait_for(lambda status: state(status, "1") == told)
        assert state(agent.status(), "2")[0] == "learning"
        agent.kill()
        agent.start()
        agent.wait_for(lambda status: state(status, "1") == told)


def test_of_six_versions_the_newest_are_compared_and_the_status_says_which_are_not(tmp_path: Path) -> None:
    """Five shadows came one after another and all go on answering, over a kill."""
    options = {"SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": "60"}

    def shown(status: dict[str, Any]) -> dict[str, Any]:
        return dict(status["models"][0]["followed"].get("shadow", {})) if status["models"] else {}

    with AgentProcess(tmp_path, **options) as agent:
        for first, last in ((0, 5), (5, 9)):
            with sending(agent) as send:
                for index in range(first, last):
                    assert send(predictions(index, CHAMPION)).accepted == ROWS
                    for number in range(2, 3 + min(index, 4)):
                        request = predictions(index, CHALLENGER)
                        request.model.version = str(number)
                        request.columns.id_prefix = f"v{number}-{index}-"
                        assert send(request).accepted == ROWS
            agent.wait_counted()
            agent.kill()
            agent.start()
        status = agent.wait_for(lambda status: len(status["models"]) == 6 and shown(status))
    assert shown(status)["not_compared"] == ["version 2 (shadow)", "version 3 (shadow)"]
    assert "not compared: version 2 (shadow), version 3 (shadow)" in shown(status)["note"]
    assert sorted(shown(status)["decisions"]) == ["4", "5", "6"]
    same = "version 5 (shadow): same requests in the newest window"
    assert [line["value"] for line in shown(status)["lines"] if line["name"] == same] == [ROWS]


def state(status: dict[str, Any], version: str) -> tuple[str, str]:
    found = [one for one in status["models"] if one["version"] == version]
    return (found[0]["state"], found[0]["state_reason"]) if found else ("", "")
