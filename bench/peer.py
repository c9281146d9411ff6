"""whylogs beside us: in its own environment and process, because it needs older pandas and numpy than we have."""

from __future__ import annotations

from pathlib import Path

from bench.environments import Foreign, installed
from bench.scale import WORK

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "peer-requirements.txt"


class Peer(Foreign):
    """One whylogs profile that takes records."""

    def __init__(self, python: Path) -> None:
        super().__init__(python, HERE / "peer_child.py", WORK, WHYLOGS_NO_ANALYTICS="True")
        self.answer()

    def frame(self) -> float:
        """A pandas frame of 500 rows a call; CPU µs a record."""
        return float(self.ask("frame 10"))

    def row(self) -> float:
        """A dict a call; CPU µs a record."""
        return float(self.ask("row 200"))


def install() -> Path | None:
    """The peer's Python; None where it cannot be had."""
    return installed(WORK / "peer", REQUIREMENTS)
