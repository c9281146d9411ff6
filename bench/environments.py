"""An environment for a peer's packages, which need other versions of the libraries than we have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
