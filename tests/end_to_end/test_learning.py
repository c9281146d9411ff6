"""No reference is given: it is learned, said, exported, and survives a kill in the middle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import WELL, Fault, drift, features, model_of, replay, said

WINDOWS = 30
OPTIONS = {
    "SIDELIGHT_TIME": "event",
    "SIDELIGHT_WINDOW_SECONDS": "60",
    "SIDELIGHT_LEARN_ROWS": "1000",
    "SIDELIGHT_CHECKPOINT_SECONDS": "0.2",
}


def learned(agent: AgentProcess, first: int = 0) -> dict[str, Any]:
    """Sends the windows a reference is learned from, and one that closes the last of them; the model's status."""
    return model_of(replay(agent, [(index, WELL) for index in range(first, WINDOWS + 1)]))


def test_a_reference_is_learned_exported_and_used(tmp_path: Path) -> None:
    """Learning is shown as learning, never as healthy; then a reference; another agent judges by it at once."""
    (tmp_path / "learns").mkdir()
    (tmp_path / "knows").mkdir()
    written = tmp_path / "learned.sidelight"
    with AgentProcess(tmp_path / "learns", **OPTIONS) as agent:
        model = model_of(replay(agent, [(index, WELL) for index in range(10)]))
        assert (model["state"], model["reference"], model["drift"]) == ("learning", None, [])
        assert model["state_reason"].startswith(f"learning: 9 of {WINDOWS} windows")
        model = learned(agent, 10)
        assert model["reference"]["note"] == "learned from traffic"
        assert model["state"] != "learning"
        found = model["reference"]["hash"]
        agent.wait_for(lambda _: export(agent, written).returncode == 0)
        assert agent.stop() == 0
    with AgentProcess(tmp_path / "knows", **OPTIONS, SIDELIGHT_REFERENCE=str(written)) as agent:
        status = replay(agent, [(0, WELL), (1, WELL)])
        model = model_of(status)
        assert (model["state"], model["reference"]["hash"]) == ("watching", found)
        assert not said(status)
        status = replay(agent, [(2, drift(x0=1.0)), (3, drift(x0=1.0)), (4, Fault(broken=True)), (5, WELL)])
        assert {name: features(a) for what, name, a in said(status) if what == "firing"} == {
            "data_drift": {"x0"},
            "broken_pipeline": {"city"},
        }


def test_a_kill_in_the_middle_of_learning_changes_nothing(tmp_path: Path) -> None:
    """Killed before and after the bins are fixed: the reference has the hash of an agent's that was never killed."""
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    with AgentProcess(tmp_path / "killed", **OPTIONS) as agent:
        for first, end in ((0, 3), (3, 17)):
            replay(agent, [(index, WELL) for index in range(first, end)])
            agent.kill()
            agent.start()
        assert model_of(agent.status())["state"] == "learning"
        survived = learned(agent, 17)["reference"]
        assert agent.stop() == 0
    with AgentProcess(tmp_path / "whole", **OPTIONS) as agent:
        assert learned(agent)["reference"] == survived
        assert agent.stop() == 0


def export(agent: AgentProcess, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", "reference", "export", "loan", "--version", "3", "-o", str(to)],
        env=agent.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
