"""A peer's packages, which need other versions of the libraries than we have: their environment, a process in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

INSTALL_SECONDS = 1_200


def installed(folder: Path, requirements: Path) -> Path | None:
    """The Python of an environment in `folder` that holds exactly these, made where there is none yet.

    None where they cannot be had (offline, say), which is said on stderr. Takes minutes the first time.
    """
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists() and done.read_text() == requirements.read_text():
        return python
    print(f"installing {requirements}, some minutes", file=sys.stderr)
    commands = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(requirements)],
    )
    try:
        for command in commands:
            subprocess.run(command, check=True, timeout=INSTALL_SECONDS, stdout=subprocess.DEVNULL)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"{requirements} could not be installed, the peers' columns stay empty: {error}", file=sys.stderr)
        return None
    done.write_text(requirements.read_text())
    return python


class Foreign:
    """A script that runs there: a line in, a line of JSON out. As a context manager it ends with the block."""

    def __init__(self, python: Path, script: Path, folder: Path, **variables: str) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **variables}, cwd=folder,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def ask(self, line: str) -> Any:
        """Raises OSError where the process has ended."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> Any:
        """What it says next, unasked."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError(f"the peers' process ended; run {self._script} by hand to see why")
        return json.loads(line)
