"""Real backends as small processes on free loopback ports: built by `make backends`, configured, started, stopped."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from deploy.backends import build

START_SECONDS = 120.0  # before a start counts as failed; they need about one, but test machines are shared
STOP_SECONDS = 60.0
TAIL = 4_000  # characters of a log that a failure shows


class Server:
    """One backend over its restarts: the same folder and ports. Use as a context manager."""

    newest: ClassVar[deque[Server]] = deque(maxlen=3)

    def __init__(self, name: str, folder: Path, arguments: list[str], ready_url: str) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        self._arguments, self._ready_url = arguments, ready_url
        self._process: subprocess.Popen[bytes] | None = None
        Server.newest.append(self)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Server:
        """Returns when it answers."""
        binary = build.binary(self.name)
        assert binary is not None, f"{self.name} is not built"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([str(binary), *self._arguments], stdout=log, stderr=log)
        until(self._ready, START_SECONDS)
        return self

    def stop(self) -> None:
        """SIGTERM, and its end. Idempotent."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-TAIL:] if self.log.exists() else ""

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended with {self._process.returncode}:\n{self.tail()}"
        try:
            with urllib.request.urlopen(self._ready_url, timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            return error.code == 404  # it answers, though nobody serves this page
        except OSError:
            return False


def until(fulfilled: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Polls until it is true; what it was then."""
    end = time.monotonic() + seconds
    while not (found := fulfilled()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)
    return found


def get(url: str, **parameters: str) -> Any:
    """What a query API answers, as JSON. Raises HTTPError."""
    with urllib.request.urlopen(f"{url}?{urlencode(parameters)}" if parameters else url, timeout=30) as answer:
        return json.loads(answer.read())


def post(url: str, body: Any) -> None:
    """Posts JSON. Raises HTTPError."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30):
        pass
