"""Where the agent is, and the channel to it. The agent finds its own socket by the same rule."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

_OPTIONS = (
    # The sender has its own backoff; gRPC's default would keep a returned agent waiting for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A resend must be ours, with the same sequence, and a proxy meant for the web must not see records.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
)


def discover(environ: Mapping[str, str] = os.environ) -> str:
    """The endpoint to use when none is given: `SIDELIGHT_ENDPOINT`, else the first socket folder that applies."""
    if given := environ.get("SIDELIGHT_ENDPOINT"):
        return given
    if os.access("/run/sidelight", os.W_OK):
        return "unix:/run/sidelight/agent.sock"
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return f"unix:{runtime}/sidelight/agent.sock"
    return f"unix:/tmp/sidelight-{_user()}/agent.sock"  # `trusted` checks whose folder it is


def disabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `SIDELIGHT_DISABLED` turns every recorder of this process into a no-op."""
    return environ.get("SIDELIGHT_DISABLED", "").strip().lower() in {"1", "true", "yes", "on"}


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


@dataclass(frozen=True)
class Endpoint:
    """An address and what it takes to be let in. Files are read when a channel is opened, not before."""

    target: str
    token: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @classmethod
    def parse(cls, given: str | None, environ: Mapping[str, str] = os.environ) -> Endpoint:
        """Reads `host:port`, `unix:/path` or `unix:///path`; None discovers. Raises ValueError otherwise."""
        target = (given or discover(environ)).strip()
        if target.startswith("unix:"):
            path = target[len("unix:") :]
            target = "unix:" + ("/" + path.lstrip("/") if path.startswith("//") else path)
            if not path.strip("/"):
                raise ValueError(f"endpoint: {target!r} names no path; expected unix:/path")
        elif not target.startswith("unix-abstract:"):
            target = target[len("tcp://") :] if target.startswith("tcp://") else target
            host, _, port = target.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"endpoint: {target!r} is neither host:port nor unix:/path")
        return cls(
            target,
            environ.get("SIDELIGHT_TOKEN", ""),
            environ.get("SIDELIGHT_CA_FILE", ""),
            environ.get("SIDELIGHT_CLIENT_CERT_FILE", ""),
            environ.get("SIDELIGHT_CLIENT_KEY_FILE", ""),
        )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def trusted(self) -> bool:
        """False when the socket lies in a folder of /tmp that another user made: records must not go to them."""
        if not self.target.startswith("unix:/tmp/sidelight-"):
            return True
        try:
            folder = os.lstat(Path(self.target[len("unix:") :]).parent)
        except OSError:
            return True
        return stat.S_ISDIR(folder.st_mode) and folder.st_uid in (0, _user())

    def open(self) -> grpc.Channel:
        """A new channel; connects on its first call. Raises OSError when a certificate cannot be read."""
        if not self.ca_file or self.target.startswith("unix"):
            return grpc.insecure_channel(self.target, options=_OPTIONS)
        credentials = grpc.ssl_channel_credentials(
            Path(self.ca_file).read_bytes(),
            Path(self.key_file).read_bytes() if self.key_file else None,
            Path(self.cert_file).read_bytes() if self.cert_file else None,
        )
        return grpc.secure_channel(self.target, credentials, options=_OPTIONS)
