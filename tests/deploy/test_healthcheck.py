"""The image's health check, run as the image runs it, against a small server on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "healthcheck.py"


@contextmanager
def _answering(status: int) -> Iterator[str]:
    """A server that answers /healthz with this status and any other path with 404; gives its host:port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _run(address: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SCRIPT)]
    environment = os.environ | {"SIDELIGHT_HTTP": address}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_living_agent_is_healthy() -> None:
    """/healthz answers 200: exit 0, nothing said."""
    with _answering(200) as address:
        done = _run(address)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_agent_that_says_it_is_ill_is_unhealthy() -> None:
    """Any other answer: exit 1, and the answer is named."""
    with _answering(503) as address:
        done = _run(address)
    assert done.returncode == 1
    assert "503" in done.stderr


def test_no_agent_is_unhealthy() -> None:
    """Nobody listens: exit 1, and the address is named."""
    with _answering(200) as address:
        pass
    done = _run(address)
    assert done.returncode == 1
    assert address in done.stderr


def test_a_check_that_cannot_ask_is_not_healthy() -> None:
    """With the agent's HTTP switched off there is nothing to ask: never shown as healthy, and the way out is named."""
    done = _run("none")
    assert done.returncode == 1
    assert "--no-healthcheck" in done.stderr
