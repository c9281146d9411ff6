"""The peers in an environment and a process of their own, made where there is none yet."""

from __future__ import annotations

import json
from pathlib import Path

from bench.environments import Foreign, installed
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


class Peers(Foreign):
    """All peers' rules in one process. versions: of their packages."""

    def __init__(self, python: Path) -> None:
        super().__init__(python, HERE / "peer_child.py", folder(), **QUIET)
        self.versions = {name: str(version) for name, version in self.answer().items()}

    def judge(self, arrays: Path, scores: Path) -> dict[str, float]:
        """CPU seconds of each rule; the scores are in a file, see `peer_child`."""
        spent = self.ask(json.dumps({"in": str(arrays), "out": str(scores)}))
        return {rule: float(seconds) for rule, seconds in spent.items()}
