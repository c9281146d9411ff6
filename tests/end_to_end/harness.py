"""A real agent process on a real socket, for tests that kill it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc

from agent.wire import recorder_pb2 as wire
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 90.0  # before a start counts as failed; the budget is 1 s, but test machines are shared
WAIT_SECONDS = 120.0  # before what is waited for counts as never coming


class AgentProcess:
    """One agent over its restarts: the same folder, socket and port. Use as a context manager."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.folder, self.port = folder, free_port()
        self.socket = folder / "agent.sock"
        self.log = folder / "agent.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SIDELIGHT_", "OTEL_"))}
        self.environment = clean | {
            "SIDELIGHT_ENDPOINT": f"unix:{self.socket}",
            "SIDELIGHT_STATE_DIR": str(folder / "state"),
            "SIDELIGHT_HTTP": f"127.0.0.1:{self.port}",
            "SIDELIGHT_COLLECTORS": "none",
            "PYTHONPATH": str(ROOT),
            **options,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> AgentProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def start(self, wait: bool = True) -> AgentProcess:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "run"], env=self.environment, stdout=log, stderr=log
            )
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()  # `with` never began: nobody else would end it
                raise
        return self

    def wait_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the agent ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"the agent was not ready within {START_SECONDS} s:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        """SIGKILL: nothing of it runs again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=WAIT_SECONDS)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/status")[1])
        return found

    def wait_for(self, fulfilled: Any, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Polls the status until `fulfilled(status)`; the status then."""
        until = time.monotonic() + seconds
        while True:
            status = self.status()
            if fulfilled(status):
                return status
            if time.monotonic() > until:
                raise AssertionError(
                    f"not within {seconds} s; status: {json.dumps(status)[:4000]}\n{self.log.read_text()[-3000:]}"
                )
            time.sleep(0.02)

    def wait_counted(self, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """The status once everything that was acknowledged is counted and judged. Not by offsets: ticks have theirs."""
        return self.wait_for(lambda status: not status["agent"]["queue_bytes"], seconds)

    def record(self, request: wire.RecordRequest | bytes, timeout: float = WAIT_SECONDS) -> wire.RecordResponse:
        """One unary call on a channel of its own, so that a killed agent leaves nothing behind."""
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            call = channel.unary_unary(
                "/sidelight.v1.Recorder/Record",
                request_serializer=bytes,
                response_deserializer=wire.RecordResponse.FromString,
            )
            answer: wire.RecordResponse = call(raw, timeout=timeout, wait_for_ready=True)
            return answer
