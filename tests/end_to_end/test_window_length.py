"""Windows of another length after a restart: labels go on being judged, in the new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.wire import lifecycle_pb2 as lifecycle
from tests.end_to_end.figure_worlds import ROWS, answers, answers_asked, answers_known, loaded
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import model_of, sending


def _play(agent: AgentProcess, windows: range) -> dict[str, Any]:
    """Predictions of these minutes, and the truths of the minute before each; what the status shows of performance."""
    with sending(agent) as send:
        for index in windows:
            for request in (answers_asked(index, "3"), answers_known(index - 1, index, "3", by_request=False)):
                assert not send(request).refusals
    agent.wait_counted()
    shown: dict[str, Any] = model_of(agent.status())["followed"]["performance"]
    return shown


def _accuracy(windows: range) -> Any:
    some = [answers(index, "3") for index in windows]
    return pytest.approx(float(np.mean([one.said == one.true for one in some])))


@pytest.mark.parametrize("seconds", [120, 30])
def test_labels_are_judged_in_windows_of_another_length(tmp_path: Path, seconds: int) -> None:
    """Longer ones have lower indices than those that are over: nothing waits for these to come round again."""
    with AgentProcess(tmp_path, SIDELIGHT_TIME="event", SIDELIGHT_WINDOW_SECONDS="60") as agent:
        agent.record(loaded("loan", "3", lifecycle.TASK_BINARY, "yes"))
        shown = _play(agent, range(1, 7))
        assert shown["horizons"]["total"]["labels"] == 4 * ROWS  # those of the last minute came in an open window
        assert agent.stop() == 0
        agent.environment["SIDELIGHT_WINDOW_SECONDS"] = str(seconds)
        agent.start()
        assert f"followed_anew model='loan' version='3' window_seconds={seconds} before=60" in agent.log.read_text()
        shown = _play(agent, range(7, 15))
        counted = range(6, 13)  # their truths came in windows that are over
        assert shown["horizons"]["total"]["labels"] == len(counted) * ROWS
        assert shown["horizons"]["total"]["accuracy"] == _accuracy(counted)
