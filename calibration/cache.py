"""Results of finished runs, so that a run that was broken off goes on, and a second one is free.

They lie outside the repository, under a hash of the code that made them: when a statistic changes, all is run anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import cache
from pathlib import Path

from calibration.drive import Run

ROOT = Path(__file__).parent.parent
# All that decides a verdict. The wire, the disk, the page and the exporters do not; nor, where no truths come, what
# follows them: that is calibrated by cells of its own.
CODE = (
    "agent/*.py", "agent/bins/*.py", "agent/counting/*.py", "agent/statistics/*.py", "agent/drift/*.py",
    "agent/quality/*.py", "agent/volume/*.py", "agent/segments/*.py", "agent/sketches/*.py", "agent/reference/*.py",
    "agent/alerting/*.py",
    "calibration/worlds.py", "calibration/tables.py", "calibration/drive.py",
)  # fmt: skip
BESIDE = {
    "agent/allocator.py", "agent/app.py", "agent/cli.py", "agent/collecting.py", "agent/errors.py",
    "agent/documentation.py", "agent/state.py", "agent/telemetry.py", "agent/version.py",
    "agent/followers.py", "agent/following.py", "agent/figures.py", "agent/sections.py", "agent/packed.py",
    "agent/steps.py",
    "agent/alerting/wording.py", "agent/alerting/window_events.py",
    "agent/reference/command.py", "agent/reference/report.py",
}  # fmt: skip


def folder() -> Path:
    """Where results and the peers' environment are kept: SIDELIGHT_CALIBRATION_CACHE, or the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("SIDELIGHT_CALIBRATION_CACHE") or Path(home) / "sidelight-calibration")


@cache
def code_hash() -> str:
    """Sixteen hex digits over the statistics' source."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(ROOT.glob(pattern)):
            if str(path.relative_to(ROOT)) not in BESIDE:
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


class Results:
    """Runs of cells, one line of JSON each. A half-written last line is as if it were not there."""

    def __init__(self, where: Path, code: str) -> None:
        self._folder = where / "runs" / code
        self._folder.mkdir(parents=True, exist_ok=True)

    def of(self, key: str) -> list[Run]:
        """What is known of a cell, by seed."""
        path = self._path(key)
        if not path.exists():
            return []
        runs = {}
        for line in path.read_text().splitlines():
            try:
                found = Run(**json.loads(line))
            except (ValueError, TypeError):
                continue
            runs[found.seed] = found
        return [runs[seed] for seed in sorted(runs)]

    def add(self, key: str, run: Run) -> None:
        with self._path(key).open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")

    def figures(self, key: str) -> dict[str, object] | None:
        """Other results, kept whole under a key."""
        path = self._path(key)
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep(self, key: str, figures: dict[str, object]) -> None:
        self._path(key).write_text(json.dumps(figures))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
