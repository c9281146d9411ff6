"""The processes that are measured: a real agent, an empty gRPC handler, and senders beside them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from bench.scale import ROOT
from bench.traffic import Traffic, write_reference

START_SECONDS = 60.0
KEPT_SECONDS = 20.0
SETTLE_SECONDS = 0.3  # until what was answered is also counted: three polls of the pipeline

WINDOW = 5.0  # short, so that closing windows, drift and quality are in the figure
HOUR = 3600.0
COLUMNS = Traffic()


class BenchError(Exception):
    """What was to be measured did not happen."""


class Process:
    """A child on which CPU and memory are read; as a context manager it ends with the block."""

    def __init__(self, module: str, arguments: list[str], folder: Path, **variables: str) -> None:
        # Bytecode is kept, as where it is installed: compiling the agent anew takes half a second of each start.
        own = ("SIDELIGHT_", "OTEL_", "PYTHONDONTWRITEBYTECODE")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        self.log = folder / f"{module.rpartition('.')[2]}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean | {"PYTHONPATH": str(ROOT)} | variables,
                cwd=ROOT,
            )
        self._watched = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate(timeout=60)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of all its threads since it began; the kernel counts it in steps of 10 ms."""
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def resident_mib(self) -> float:
        return float(self._watched.memory_info().rss) / 2**20

    def check_alive(self) -> None:
        if self._process.poll() is not None:
            raise BenchError(f"{self.log.stem} ended with {self._process.returncode}:\n{self.log.read_text()[-3000:]}")

    def ask(self, command: str) -> Any:
        """Sends a line, waits for the line that answers it, as JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if command:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait(10)
            self.check_alive()
        return json.loads(answer)


class Agent(Process):
    """`sidelight run` on a socket of its own. Options as in `sidelight config`, small, without our prefix."""

    def __init__(self, folder: Path, **options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.endpoint = f"unix:{folder / 'a.sock'}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        variables = {
            "endpoint": self.endpoint,
            "state_dir": str(folder / "state"),
            "http": f"127.0.0.1:{self._port}",
            "journal_bytes_max": str(2 << 30),
            **options,
        }
        self.began = time.monotonic()
        named = {k.upper() if k.startswith("otel_") else f"SIDELIGHT_{k.upper()}": v for k, v in variables.items()}
        super().__init__("agent.cli", ["run"], folder, **named)

    def wait_ready(self) -> float:
        """Seconds of wall time from its start until it takes records."""
        while time.monotonic() - self.began < START_SECONDS:
            self.check_alive()
            try:
                if self._get("/readyz")[0] == 200:
                    return time.monotonic() - self.began
            except OSError:
                pass
            time.sleep(0.005)
        raise BenchError(f"the agent was not ready within {START_SECONDS} s")

    def kept(self) -> int:
        """Records counted so far, of all models. Raises BenchError where something was refused or failed; what a full
        queue turned away was sent again."""
        if "frame_failed" in self.log.read_text():
            raise BenchError(f"records could not be counted:\n{self.log.read_text()[-3000:]}")
        kept = 0
        for model in json.loads(self._get("/status")[1])["models"]:
            records = model["records"]
            if records["kept"] + records["dropped"] != records["received"]:
                raise BenchError(f"not everything was kept: {records}")
            kept += records["kept"]
        return kept

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def empty_handler(folder: Path) -> tuple[Process, str]:
    """A grpc.aio server whose handler does nothing, and its endpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = f"unix:{folder / 'e.sock'}"
    process = Process("bench.empty", [endpoint], folder)
    process.ask("")
    return process, endpoint


class Sender(Process):
    """Sends one kind of message, again and again, from a process of its own."""

    def __init__(self, endpoint: str, traffic: Traffic, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.traffic = traffic
        super().__init__("bench.sender", [endpoint, traffic.to_json()], folder)
        self.ask("")

    def send(
        self, messages: int, *, stream: bool = False, seconds: float = 0.0, pause_seconds: float = 0.0
    ) -> list[tuple[float, float]]:
        """Sends at least so many messages and for so many seconds.

        Returns (Unix time, latency) of each, in seconds; none of a stream.
        """
        command = {"messages": messages, "stream": stream, "seconds": seconds, "pause_seconds": pause_seconds}
        answer = self.ask(json.dumps(command))
        expected = answer["messages"] * self.traffic.rows
        if answer["accepted"] not in (expected, 0) or not (answer["accepted"] or answer["empty"]):
            raise BenchError(f"{answer['accepted']} of {expected} records were accepted")
        return [(t, s) for t, s in answer["latencies"]]


def cpu_microseconds(process: Process, sender: Sender, messages: int, *, stream: bool = False) -> float:
    """CPU of `process` for each record that `sender` sends it, nothing taken off."""
    before = process.cpu_seconds()
    sender.send(messages, stream=stream)
    time.sleep(SETTLE_SECONDS)
    return (process.cpu_seconds() - before) / (messages * sender.traffic.rows) * 1e6


def pair(
    stack: ExitStack, folder: Path, traffic: Traffic, window_seconds: float, **options: str
) -> tuple[Agent, Sender]:
    """An agent that watches this traffic by a given reference, and a sender of it."""
    references = write_reference(traffic, folder, window_seconds)
    agent = stack.enter_context(Agent(folder, reference=str(references), **options))
    agent.wait_ready()
    return agent, stack.enter_context(Sender(agent.endpoint, traffic, folder))


def all_kept(*agents: Agent) -> None:
    """What was answered is journalled; on a busy machine its counting may still be under way."""
    until = time.monotonic() + KEPT_SECONDS
    for agent in agents:
        while not agent.kept():
            if time.monotonic() > until:
                raise BenchError("nothing was kept")
            time.sleep(0.1)
