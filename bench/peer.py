"""whylogs beside us: in its own environment and process, because it needs older pandas and numpy than we have."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bench.environments import installed
from bench.scale import WORK

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "peer-requirements.txt"


class Peer:
    """One whylogs profile that takes records; as a context manager it ends with the block."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [python, HERE / "peer_child.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "WHYLOGS_NO_ANALYTICS": "True"},
            cwd=WORK,
        )
        self._answer()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def frame(self) -> float:
        """A pandas frame of 500 rows a call; CPU µs a record."""
        return self._ask("frame 10")

    def row(self) -> float:
        """A dict a call; CPU µs a record."""
        return self._ask("row 200")

    def _ask(self, command: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        return float(json.loads(self._process.stdout.readline()))


def install() -> Path | None:
    """The peer's Python; None where it cannot be had."""
    return installed(WORK / "peer", REQUIREMENTS)
