"""Where the socket and the state lie."""

from __future__ import annotations

import os
from pathlib import Path

from agent.config.own import Settings


def socket_path(settings: Settings) -> Path:
    """Where the socket lies: the same rule as in the client."""
    if settings.endpoint:
        return Path(settings.endpoint.removeprefix("unix:"))
    run = Path("/run/sidelight")
    if run.is_dir() and os.access(run, os.W_OK):
        return run / "agent.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(runtime) / "sidelight" if runtime else Path(f"/tmp/sidelight-{os.getuid()}")) / "agent.sock"  # noqa: S108


def state_path(settings: Settings) -> Path:
    """The state folder; the caller makes it."""
    if settings.state_dir:
        return Path(settings.state_dir)
    system = Path("/var/lib/sidelight")
    if system.is_dir() and os.access(system, os.W_OK):
        return system
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "sidelight"
