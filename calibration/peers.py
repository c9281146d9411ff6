"""The peers in an environment and a process of their own, made where there is none yet."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from bench.environments import installed
from calibration.cache import folder

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "peer-requirements.txt"
QUIET = {"WHYLOGS_NO_ANALYTICS": "True", "NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1",
         "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # fmt: skip


def environment() -> Path:
    """Where the peers are installed, or would be."""
    return folder() / "peers"


def install() -> Path | None:
    """The peers' Python; None where they cannot be had."""
    return installed(environment(), REQUIREMENTS)


class Peers:
    """All peers' rules in one process; as a context manager it ends with the block."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [python, HERE / "peer_child.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **QUIET},
            cwd=folder(),
        )
        self.versions = {name: str(version) for name, version in self._answer().items()}

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def judge(self, arrays: Path, scores: Path) -> dict[str, float]:
        """CPU seconds of each rule; the scores are in a file, see `peer_child`."""
        assert self._process.stdin is not None
        print(json.dumps({"in": str(arrays), "out": str(scores)}), file=self._process.stdin, flush=True)
        return {rule: float(seconds) for rule, seconds in self._answer().items()}

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError("the peers' process ended; run calibration/peer_child.py by hand to see why")
        return dict(json.loads(line))
