"""A schema of the user's own where the agent learns from traffic: its demands hold, over restarts and edits."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.test_options import command
from tests.end_to_end.traffic import WELL, drift, model_of, replay, said

RANGE = "[features.x0]\nrange = [-50, 50]\n"
EDITED = (
    RANGE + "\n[features.x1]\nmax_missing = 0.5\nrange = [-0.1, 0.1]\n[features.x9]\ntype = 'number'\nrequired = true\n"
)


def test_demands_hold_for_what_was_learned(tmp_path: Path) -> None:
    """A value no window ever had is an alarm by the rule, and the rule survives a restart in the midst of learning; an
    edit is taken at the next start as far as the bins allow, and status says what was not."""
    schema = tmp_path / "own.toml"
    schema.write_text(RANGE)
    options = {
        "SIDELIGHT_TIME": "event", "SIDELIGHT_WINDOW_SECONDS": "60", "SIDELIGHT_SCHEMA": str(schema),
        "SIDELIGHT_LEARN_ROWS": "500", "SIDELIGHT_LEARN_WINDOWS": "8",
    }  # fmt: skip
    with AgentProcess(tmp_path, **options) as agent:
        replay(agent, [(i, WELL) for i in range(2)])
        agent.kill()
        agent.start()
        replay(agent, [(i, WELL) for i in range(2, 11)])
        status = replay(agent, [(11, drift(x0=100.0)), (12, WELL)])
        assert "rule" in str([told for told in said(status) if told[0] == "firing"])
        schema.write_text(EDITED)
        assert agent.stop() == 0
        agent.start()
        note = str(agent.wait_for(lambda status: bool(model_of(status)))["models"])
        assert "own.toml:6: x1: range ends within a bin" in note


def test_a_wrong_schema_ends_the_start_with_its_line(tmp_path: Path) -> None:
    """Exit 2; file, line, field and what was expected, as where a reference is built."""
    schema = tmp_path / "own.toml"
    schema.write_text("[features.age]\nnever_null = 3\n")
    done = command("run", SIDELIGHT_SCHEMA=str(schema), SIDELIGHT_STATE_DIR=str(tmp_path / "state"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "SIDELIGHT_SCHEMA" in line
    assert f"{schema}:2: features.age.never_null: expected true or false, found 3" in line
