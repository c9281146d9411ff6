"""Two real agents and a real Redis: labels join predictions that another agent took, and that died."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import AgentProcess
from tests.redis_server import RedisServer

ROWS = 300


def _predictions(sequence: int, begin: int, rows: int = ROWS, version: str = "1") -> wire.RecordRequest:
    request = wire.RecordRequest(client_id="sender", sequence=sequence)
    request.model.name, request.model.version = "loan", version
    columns = request.columns
    columns.rows, columns.id_prefix = rows, "p-"
    columns.id_numbers.extend(range(begin, begin + rows))
    columns.numbers.add(name="x", values=[float(i) for i in range(rows)])
    output = columns.outputs.add()
    output.labels.dictionary.extend(["no", "yes"])
    output.labels.codes.extend([i % 2 for i in range(rows)])
    return request


def _labels(sequence: int, numbers: range, truth: str = "yes") -> wire.RecordRequest:
    """Of a sender that does not know the version."""
    request = wire.RecordRequest(client_id="labels", sequence=sequence)
    request.model.name = "loan"
    for number in numbers:
        request.labels.labels.add(prediction_id=f"p-{number}", label=truth)
    return request


def _join(status: dict[str, Any]) -> dict[str, Any]:
    return next((dict(model["label_join"]) for model in status["models"] if model["label_join"]), {})


def _agent(folder: Path, server: RedisServer) -> AgentProcess:
    folder.mkdir()
    options = {"SIDELIGHT_LABEL_STORE": server.url, "SIDELIGHT_CHECKPOINT_SECONDS": "0.3"}
    return AgentProcess(folder, **options)


def _written(status: dict[str, Any]) -> bool:
    """Everything lies in Redis, and is known to."""
    found = _join(status)
    return bool(found) and found["store"]["unwritten_predictions"] == 0 and found["waiting_predictions"] == ROWS


def _settled(status: dict[str, Any]) -> bool:
    return bool(_join(status)["waiting_labels"] == 0)


def test_labels_reach_another_agent_than_their_predictions(tmp_path: Path) -> None:
    """Predictions to A, which is killed and loses its state; labels to B, twice, one before its prediction, also over
    B's kill: each prediction is joined once, and judged with its version."""
    with RedisServer() as server, _agent(tmp_path / "a", server) as a, _agent(tmp_path / "b", server) as b:
        assert a.record(_predictions(1, 0)).accepted == ROWS
        a.wait_for(_written)
        a.kill()
        shutil.rmtree(tmp_path / "a" / "state")
        assert b.record(_labels(1, range(200))).accepted == 200
        assert b.record(_labels(2, range(100, 201), "no")).accepted == 101
        found = _join(b.wait_for(lambda status: _join(status).get("joined", 0) >= 201 and _settled(status)))
        assert (found["joined"], found["changed"]) == (201, 100)
        b.kill()
        b.start()
        assert b.record(_labels(3, range(200, 310))).accepted == 110
        found = _join(b.wait_for(lambda status: _join(status).get("joined", 0) >= 300))
        assert (found["joined"], found["changed"], found["repeated"]) == (300, 101, 0)
        versions = {model["version"]: model["records"]["kept"] for model in b.status()["models"]}
        assert versions["1"] == 0  # watched for its labels alone
        a.start()  # with a new state, and a new name
        assert a.record(_predictions(1, 300, 10, "2")).accepted == 10
        found = _join(b.wait_for(lambda status: _join(status).get("early", 0) >= 10))
        assert (found["early"], found["joined"], found["waiting_labels"]) == (10, 300, 0)
        assert a.stop() == b.stop() == 0


def test_an_agent_that_is_told_to_stop_leaves_its_predictions_to_the_others(tmp_path: Path) -> None:
    """A pod's folder goes with it: what was not in Redis yet goes there before the end."""
    with RedisServer() as server, _agent(tmp_path / "a", server) as a, _agent(tmp_path / "b", server) as b:
        assert a.record(_predictions(1, 0)).accepted == ROWS
        assert a.stop() == 0
        assert b.record(_labels(1, range(ROWS))).accepted == ROWS
        found = _join(b.wait_for(lambda status: _join(status).get("joined", 0) >= ROWS))
        assert found["joined"] == ROWS
        assert b.stop() == 0


def test_an_agent_without_its_redis_goes_on_and_catches_up(tmp_path: Path) -> None:
    """Records are taken and counted while Redis is away; status and metrics say so; then labels are joined."""
    with RedisServer() as server, _agent(tmp_path / "a", server) as a:
        server.kill()
        assert a.record(_predictions(1, 0)).accepted == ROWS
        assert a.record(_labels(1, range(ROWS))).accepted == ROWS
        status = a.wait_for(lambda status: bool(_join(status)) and not _join(status)["store"]["up"])
        assert _join(status)["store"]["reason"] == "connection"
        assert _join(status)["waiting_labels"] == ROWS
        assert status["models"][0]["records"]["kept"] == ROWS
        exposed = a.get("/metrics")[1]
        assert "sidelight_label_store_up_ratio 0" in exposed
        assert 'sidelight_label_store_errors_total{error_type="connection"}' in exposed
        server.start()
        found = _join(a.wait_for(lambda status: _join(status).get("joined", 0) >= ROWS))
        assert (found["joined"], found["store"]["up"]) == (ROWS, True)
        assert a.stop() == 0


@pytest.mark.parametrize("value", ["http://:s3cret@cache", "redis://:s3cret@cache:99999999/0", "redis://"])
def test_a_store_that_is_none_ends_the_command_by_name(value: str) -> None:
    """Exit code 2, the option's name, what was expected, and never the secret."""
    ended = _command("run", SIDELIGHT_LABEL_STORE=value)
    assert ended.returncode == 2
    assert "SIDELIGHT_LABEL_STORE=(hidden)" in ended.stderr
    assert "redis://" in ended.stderr
    assert "s3cret" not in ended.stderr + ended.stdout


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    """`sidelight config` hides the whole URL."""
    ended = _command("config", SIDELIGHT_LABEL_STORE="redis://me:s3cret@cache:6379/0")
    assert ended.returncode == 0
    assert "SIDELIGHT_LABEL_STORE" in ended.stdout
    assert "s3cret" not in ended.stdout + ended.stderr


def test_without_the_package_the_command_says_what_to_install(tmp_path: Path) -> None:
    """A configuration error, not an import error."""
    (tmp_path / "redis.py").write_text("raise ImportError('not here')\n")
    ended = _command(
        "run", SIDELIGHT_LABEL_STORE="redis://:s3cret@127.0.0.1:1/0", SIDELIGHT_STATE_DIR=str(tmp_path / "state"),
        PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert ended.returncode == 2
    assert "SIDELIGHT_LABEL_STORE=redis://127.0.0.1:1/0: expected the package redis" in ended.stderr
    assert "s3cret" not in ended.stderr


def _command(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SIDELIGHT_", "OTEL_"))}
    root = str(Path(__file__).parent.parent.parent)
    path = os.pathsep.join(part for part in (options.pop("PYTHONPATH", ""), root) if part)
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *arguments], env=clean | options | {"PYTHONPATH": path}, cwd="/",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
