"""The Python client and the real agent, through restarts and kills: what the one counts, the other has, once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sidelight import Recorder

from tests.end_to_end.backends import until
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import kept, model_of


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path, SIDELIGHT_CHECKPOINT_SECONDS="0.3") as running:
        yield running


def recorder(agent: AgentProcess, **options: float) -> Recorder:
    return Recorder("loan", "3", endpoint=f"unix:{agent.socket}", flush_seconds=0.02, **options)  # type: ignore[arg-type]


def test_through_restarts_and_kills_every_accepted_record_is_kept_once(agent: AgentProcess) -> None:
    """Rows, arrays and labels under three kills and a restart: nothing accepted is lost, nothing counted twice."""
    client, ending = recorder(agent), threading.Event()
    chance = random.Random(5)
    block = np.arange(60.0).reshape(20, 3)

    def work() -> None:
        pause = threading.Event()
        while not ending.is_set():
            ids = [client.record({"x0": 1.0, "city": "rome"}, "yes", score=0.5, latency=0.01) for _ in range(5)]
            client.record(block, np.ones(20), feature_names=("x0", "x1", "x2"))
            client.label(ids[0], "no")
            pause.wait(0.02)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    for number in range(4):
        seen = client.stats().sent
        until(lambda seen=seen: client.stats().sent > seen + chance.randrange(100))  # type: ignore[misc]
        if number == 2:
            assert agent.stop() == 0
        else:
            agent.kill()
        agent.start()
    ending.set()
    worker.join(120)
    assert client.flush(120)
    client.close(5)
    stats = client.stats()
    assert stats.recorded == stats.accepted == stats.sent > 0
    assert (stats.dropped_full, stats.dropped_failed, stats.dropped_invalid, stats.refused) == (0, 0, 0, 0)
    model = model_of(agent.wait_for(lambda s: kept(s) + model_of(s)["labels"] >= stats.accepted))
    assert model["records"]["kept"] == 25 * model["labels"]
    assert model["records"]["kept"] + model["labels"] == stats.accepted
    assert agent.stop() == 0


def test_what_the_client_drops_is_told_to_the_agent_and_shown(agent: AgentProcess) -> None:
    """While the agent is away a small queue overflows: the agent's status, metrics and the client agree on the loss."""
    client = recorder(agent, queue_records=50)
    client.record({"x0": 0.0}, "yes")
    assert client.flush(120)
    agent.kill()
    for _ in range(500):
        client.record({"x0": 1.0}, "yes")
    lost = client.stats().dropped_full
    assert lost > 0
    agent.start()
    assert client.flush(120)
    client.record({"x0": 2.0}, "yes")  # a message that was stamped before the loss tells of it only with the next
    assert client.flush(120)
    stats = client.stats()
    status = agent.wait_for(lambda s: model_of(s)["client_dropped"] == stats.dropped_full and kept(s) == stats.accepted)
    (sender,) = status["clients"]
    assert (sender["language"], sender["dropped"]) == ("python", stats.dropped_full)
    assert kept(status) == stats.accepted == stats.recorded - stats.dropped_full
    agent.kill()
    agent.start()
    assert model_of(agent.status())["client_dropped"] == stats.dropped_full
    client.close(5)


def test_what_cannot_be_encoded_is_told_too(agent: AgentProcess) -> None:
    """A value that fails when it is read costs its own record, and the agent hears of it."""

    class Broken:
        def __str__(self) -> str:
            raise ValueError("broken")

    client = recorder(agent)
    client.record({"x0": Broken()}, "yes")
    client.record({"x0": 1.0}, "yes")
    assert client.flush(120)
    client.record({"x0": 1.0}, "yes")
    assert client.flush(120)
    stats = client.stats()
    assert (stats.dropped_invalid, stats.accepted) == (1, 2)
    agent.wait_for(lambda s: kept(s) == 2 and model_of(s)["client_dropped"] == 1)
    client.close(5)
