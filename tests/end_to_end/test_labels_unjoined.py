"""Labels that come where nothing joins them."""

from __future__ import annotations

from pathlib import Path

from agent.web.terminal import render_status
from tests.end_to_end.figure_worlds import ROWS, answers_asked, answers_known
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import model_of


def test_labels_that_nothing_joins_are_told_of(tmp_path: Path) -> None:
    """An operator turned the join off, and senders did not hear of it: the status says so, with the option's name."""
    with AgentProcess(tmp_path, SIDELIGHT_TIME="event", SIDELIGHT_LABEL_SECONDS="0") as agent:
        agent.record(answers_asked(0, "3"))
        assert model_of(agent.wait_counted())["label_join"] == {}
        known = answers_known(0, 0, "3", by_request=False)
        known.model.version = "3"
        agent.record(known)
        status = agent.wait_for(lambda status: model_of(status)["labels"])
    note = f"{ROWS} labels came and none is joined: SIDELIGHT_LABEL_SECONDS is 0"
    assert note in model_of(status)["label_join"]["note"]
    assert note in render_status(status, 200)
