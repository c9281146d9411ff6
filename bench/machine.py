"""Where and on what the figures were taken."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bench.scale import ROOT


def machine() -> str:
    """Cores, memory, CPU, Python, libraries."""
    from google.protobuf import __version__ as protobuf
    from grpc import __version__ as grpc
    from numpy import __version__ as numpy

    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores ({_cpu()}), {pages:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, numpy {numpy}, protobuf {protobuf}, grpcio {grpc}"
    )


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def commit() -> str:
    """The commit, and whether the tree differs from it."""
    found = _git("rev-parse", "--short", "HEAD") or "unknown"
    return (
        f"{found} with changes"
        if _git("status", "--porcelain", "--untracked-files=no", "agent", "clients", "bench")
        else found
    )


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
