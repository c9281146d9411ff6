"""The demo's two other processes, the agent and the model server: started, waited for, and always stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 10.0
SOCKET_BYTES_MAX = 107  # the kernel's limit


class DemoError(Exception):
    """The demo cannot go on; the message is for the person who started it."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running process and where its stderr goes."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def check(self) -> None:
        """Raises DemoError with the end of its log if it has died."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise DemoError(f"the {self.name} stopped with code {self.process.returncode}; {self.log} ends:\n{tail}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that does not listen."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def running(
    name: str, command: list[str], log: Path, environment: Mapping[str, str], announces: bool = False
) -> Iterator[Child]:
    """The process, stopped at the end whatever happens. announces: its stdout is ours to read, else it goes to the log.

    It gets a process group of its own: Ctrl-C reaches the demo alone, which stops the others in its order.
    """
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE if announces else errors, stderr=errors, text=True,
            env={**os.environ, **environment}, process_group=0,
        )  # fmt: skip
    child = Child(name, process, log)
    try:
        yield child
    finally:
        child.stop()


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent and where it answers."""

    child: Child
    url: str
    endpoint: str


@contextmanager
def agent(folder: Path, options: Mapping[str, str]) -> Iterator[Agent]:
    """`sidelight run` on a unix socket in the demo's folder, ready."""
    with socket_path(folder) as path:
        port, endpoint = free_port(), f"unix:{path}"
        environment = {"SIDELIGHT_ENDPOINT": endpoint, "SIDELIGHT_HTTP": f"127.0.0.1:{port}", **options}
        with running("agent", [*sidelight_command(), "run"], folder / "agent.log", environment) as child:
            url = f"http://127.0.0.1:{port}"
            _wait_ready(child, f"{url}/readyz")
            yield Agent(child, url, endpoint)


@contextmanager
def model_server(folder: Path, endpoint: str) -> Iterator[tuple[Child, int]]:
    """The model server and its port, ready."""
    # One batch at a time gains nothing from more threads, and its latency is steadier without them.
    environment = {"SIDELIGHT_ENDPOINT": endpoint, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "examples.flights.server", "--folder", str(folder)]
    with running("model server", command, folder / "server.log", environment, announces=True) as child:
        assert child.process.stdout is not None
        line = child.process.stdout.readline()
        if not line:
            child.process.wait(STOP_SECONDS)
            child.check()
        yield child, int(json.loads(line)["port"])


def sidelight_command() -> list[str]:
    """The agent's command, of this very environment."""
    return [sys.executable, "-m", "agent.cli"]


@contextmanager
def socket_path(folder: Path) -> Iterator[Path]:
    """Where the socket lies: the folder, or a temporary one where that path is too long for a unix socket."""
    path = folder.resolve() / "agent.sock"
    if len(os.fsencode(path)) <= SOCKET_BYTES_MAX:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="sidelight-") as short:
        yield Path(short) / "agent.sock"


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(child: Child, url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        child.check()
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.05)
    raise DemoError(f"the {child.name} was not ready after {START_SECONDS:.0f} s; see {child.log}")
