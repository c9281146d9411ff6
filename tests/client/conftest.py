"""An agent, and recorders that are closed when their test is over."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sidelight import Recorder

from tests.client.scripted_agent import ScriptedAgent


@pytest.fixture
def socket() -> Iterator[str]:
    """A path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="sl") as folder:
        yield str(Path(folder) / "agent.sock")


@pytest.fixture
def agent(socket: str) -> Iterator[ScriptedAgent]:
    scripted = ScriptedAgent(socket).start()
    yield scripted
    scripted.stop()


@pytest.fixture
def make(socket: str) -> Iterator[Callable[..., Recorder]]:
    """Makes recorders that speak to the socket."""
    made: list[Recorder] = []

    def maker(**options: Any) -> Recorder:
        recorder = Recorder("m", "1", **{"endpoint": f"unix:{socket}", "flush_seconds": 0.02, **options})
        made.append(recorder)
        return recorder

    yield maker
    for recorder in made:
        recorder.close(1.0)


@pytest.fixture
def recorder(make: Callable[..., Recorder]) -> Recorder:
    """Sends when it is told to: what a test records between two flushes is one message, however slow the machine."""
    return make(flush_seconds=3600.0)


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """Waits until something holds, as long as a slow machine may take."""

    def wait(holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, "it never came to hold"
            time.sleep(0.005)

    return wait
