"""`make rules`: the rules and their unit tests through promtool, the one on the PATH or the one of `make backends`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.backends import build

HERE = Path(__file__).parent


def promtool() -> str | None:
    """The tool's path; None where there is none."""
    built = build.binary("promtool")
    return str(built) if built else shutil.which("promtool")


def main() -> int:
    tool = promtool()
    if tool is None:
        print("no promtool on the PATH and none built by `make backends`: the rules were not checked", file=sys.stderr)
        return int(bool(os.environ.get("CI")))
    checks = (["check", "rules", "sidelight.rules.yml"], ["test", "rules", "sidelight.test.yml"])
    return max(subprocess.run([tool, *each], cwd=HERE, check=False).returncode for each in checks)


if __name__ == "__main__":
    sys.exit(main())
