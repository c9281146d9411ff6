"""The options as the environment has them."""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.otel import Otel
from agent.config.own import Settings

CLIENT_VARIABLES = {
    "SIDELIGHT_DISABLED",
    "SIDELIGHT_TOKEN",
    "SIDELIGHT_CA_FILE",
    "SIDELIGHT_CLIENT_CERT_FILE",
    "SIDELIGHT_CLIENT_KEY_FILE",
}


def load() -> tuple[Settings, Otel]:
    """Reads both groups from the environment. Raises ConfigurationError for the first wrong value."""
    return Settings(), Otel()


def unknown(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """SIDELIGHT_ variables that no option has, each with the option it resembles ("" if none).

    Said, not refused: Kubernetes puts variables of this prefix into pods beside a Service of this name.
    """
    known = {f"SIDELIGHT_{name}".upper() for name in Settings.fields} | CLIENT_VARIABLES
    strange = [v for v in environment if v.startswith("SIDELIGHT_") and v not in known]
    if not strange:
        return []
    import difflib  # at no other start

    prefix = len("SIDELIGHT_")  # shared by all: it would make everything resemble everything
    ends = [name[prefix:] for name in known]
    close = {v: difflib.get_close_matches(v[prefix:], ends, n=1) for v in strange}
    return [(v, f"SIDELIGHT_{close[v][0]}" if close[v] else "") for v in strange]
