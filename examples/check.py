"""Asks the agent of `run.sh`: `check.py ready` waits for it; `check.py counted MODEL=RECORDS/LABELS …` compares.

Exit status 0: as wanted; 1: not, and why on stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

WAIT_SECONDS = 15.0
BASE = f"http://{os.environ['SIDELIGHT_HTTP']}"


def get(path: str) -> bytes:
    """The body of a good answer. Raises OSError for any other."""
    with urllib.request.urlopen(BASE + path, timeout=2) as answer:
        body: bytes = answer.read()
    return body


def ready() -> str:
    """Waits until the agent takes records; what it last said if it never did."""
    last = ""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        try:
            get("/readyz")
        except OSError as error:
            last = str(error)
            time.sleep(0.05)
        else:
            return ""
    return f"{BASE} was not ready after {WAIT_SECONDS:.0f} s: {last}"


def counted(wanted: Sequence[str]) -> str:
    """Compares /status with MODEL=RECORDS/LABELS; the differences in words."""
    expected = dict(one.split("=") for one in wanted)
    until = time.monotonic() + WAIT_SECONDS
    while (found := _counts(json.loads(get("/status")))) != expected and time.monotonic() < until:
        time.sleep(0.1)  # acknowledged is written down, not yet counted
    if found != expected:
        return f"the agent counted {found}, sent were {expected}"
    print("the agent counted what was sent:", ", ".join(f"{model} {counts}" for model, counts in found.items()))
    return ""


def _counts(status: Any) -> dict[str, str]:
    """By model: records kept / labels. Records of a message that came twice must be in it once."""
    return {one["name"]: f"{one['records']['kept']}/{one['labels']}" for one in status["models"]}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    sys.exit((ready() if command == "ready" else counted(arguments)) or 0)
