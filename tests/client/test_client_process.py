"""Forks, exits, endpoints and the switch that turns it off."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sidelight import Recorder
from sidelight.endpoint import Endpoint, discover

from tests.client.scripted_agent import ScriptedAgent

Make = Callable[..., Recorder]
# An exit waits two seconds at most, and the first message imports gRPC: a second or more on a busy machine.
CONNECTED = "import sidelight; r = sidelight.Recorder('m'); r.record({'x': 0}); assert r.flush(60)"


def run(code: str, endpoint: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SIDELIGHT_ENDPOINT": endpoint, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_was_recorded_at_the_last_moment_is_sent_at_exit(agent: ScriptedAgent) -> None:
    """A process that just ends loses nothing."""
    done = run(f"{CONNECTED}; print(r.record({{'x': 1}}))", agent.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert [identity for identity, _ in agent.rows()][1:] == [done.stdout.strip()]


def test_a_crash_of_the_user_is_sent_too(agent: ScriptedAgent) -> None:
    """An exception that ends the process does not lose the records before it."""
    done = run(f"{CONNECTED}; r.record({{'x': 1}}); 1 / 0", agent.endpoint)
    assert done.returncode == 1
    assert len(list(agent.rows())) == 2


def test_an_absent_agent_does_not_hold_up_the_exit(socket: str) -> None:
    """The process ends, with its own exit code, and says nothing that is an error of ours."""
    code = "import sidelight; r = sidelight.Recorder('m'); [r.record({'x': 1}) for _ in range(5000)]; exit(7)"
    done = run(code, f"unix:{socket}")
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


def test_importing_starts_nothing() -> None:
    """No thread, no numpy, no pandas, no agent."""
    code = (
        "import sys, threading, sidelight; r = sidelight.Recorder('m');"
        "print(threading.active_count(), [n for n in ('numpy', 'pandas', 'polars', 'agent') if n in sys.modules])"
    )
    assert run(code, "unix:/nowhere/agent.sock").stdout == "1 []\n"


def fork(work: Callable[[], Any]) -> int:
    """Runs work in a forked child; its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads: that is the test
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("used", [False, True], ids=["idle", "in use"])
def test_a_fork_records_under_its_own_name(agent: ScriptedAgent, make: Make, used: bool) -> None:
    """Made before the fork, in use or not: each process has its own client id, ids and sequence, nothing goes twice."""
    recorder = make(flush_seconds=3600.0)
    if used:
        recorder.record({"x": 0.0})
        assert recorder.flush(10)
        recorder.record({"x": 1.0})  # waits, and is the parent's to send

    def work() -> bool:
        recorder.record({"x": 2.0})
        return recorder.flush(20) and recorder.stats().accepted == 1

    assert fork(work) == 0
    recorder.record({"x": 3.0})
    assert recorder.flush(20)
    assert sorted(cells["x"] for _, cells in agent.rows()) == ([0.0, 1.0, 2.0, 3.0] if used else [2.0, 3.0])
    assert len({identity for identity, _ in agent.rows()}) == len(list(agent.rows()))
    assert len({one.client_id for one in agent.requests}) == 2
    assert len([one for one in agent.requests if one.sequence == 1]) == 2


def test_a_forked_worker_flushes_at_its_own_exit(agent: ScriptedAgent) -> None:
    """A worker of a server that records before and after the fork ends as any process does."""
    code = (
        "import os, sys, sidelight; r = sidelight.Recorder('m'); r.record({'x': 0}); r.flush(10)\n"
        "pid = os.fork(); r.record({'x': 1})\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 0)"
    )
    assert run(code, agent.endpoint).returncode == 0
    assert sorted(cells["x"] for _, cells in agent.rows()) == [0.0, 1.0, 1.0]


def test_disabled_it_does_nothing(make: Make, agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIDELIGHT_DISABLED: ids still come back, nothing is kept, counted or sent."""
    monkeypatch.setenv("SIDELIGHT_DISABLED", "true")
    recorder = make()
    assert recorder.record({"x": 1.0})
    recorder.label("id", 1)
    recorder.loaded()
    with recorder.prediction({"x": 1.0}) as prediction:
        prediction.prediction = 1
    assert recorder.flush(0)
    assert recorder.stats().recorded == 0
    assert not agent.raw


def test_the_endpoint_is_found_as_the_agent_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, else /run/sidelight where it is writable, else the runtime folder, else /tmp."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert discover({"SIDELIGHT_ENDPOINT": "localhost:1"}) == "localhost:1"
    assert discover({"XDG_RUNTIME_DIR": "/x"}) == "unix:/x/sidelight/agent.sock"
    assert discover({}) == f"unix:/tmp/sidelight-{os.getuid()}/agent.sock"
    monkeypatch.setattr(os, "access", lambda path, mode: path == "/run/sidelight")
    assert discover({"XDG_RUNTIME_DIR": "/x"}) == "unix:/run/sidelight/agent.sock"


@pytest.mark.parametrize(
    ("given", "target"),
    [("unix:/a/b", "unix:/a/b"), ("unix:///a/b", "unix:/a/b"), ("host:80", "host:80"), ("[::1]:80", "[::1]:80")],
)
def test_endpoints_are_read(given: str, target: str) -> None:
    """Both spellings of a socket, and TCP."""
    assert Endpoint.parse(given, {}).target == target


@pytest.mark.parametrize("options", [{"endpoint": "nonsense"}, {"endpoint": "unix:"}, {"role": "x"}, {"batch_rows": 0}])
def test_a_constructor_argument_that_cannot_be_meant_raises(options: dict[str, Any]) -> None:
    """At construction, and only there."""
    with pytest.raises(ValueError, match=r"endpoint|role|batch_rows"):
        Recorder("m", **options)


def test_a_folder_that_another_user_made_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """/tmp is everybody's: a socket there is used only where the folder is ours."""
    folder = Path(f"/tmp/sidelight-test-{os.getpid()}")
    folder.mkdir()
    try:
        endpoint = Endpoint(f"unix:{folder}/agent.sock")
        assert endpoint.trusted()
        monkeypatch.setattr("sidelight.endpoint._user", lambda: os.getuid() + 1)
        assert endpoint.trusted() == (os.getuid() == 0)
    finally:
        folder.rmdir()
