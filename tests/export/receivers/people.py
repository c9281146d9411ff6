"""Alerts as events, and receivers on real sockets that note what they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from agent.config import Secret, Settings
from agent.export.receivers.receiver import Speaker
from agent.records import Event
from tests.export.backend import HttpBackend
from tests.export.scene import NOW_NS

SPEAKER = Speaker("fares-agent", "shop", "prod", "i-1")
STEP = "Look at the highest ranked feature first."


def alert(
    state: str = "firing", name: str = "data_drift", model: str = "fares", severity: str = "WARN", key: str = "7-0",
    more: Mapping[str, Any] = MappingProxyType({}), **attributes: Any,
) -> Event:  # fmt: skip
    said: dict[str, Any] = {
        "sidelight.model.name": model, "sidelight.model.version": "3", "sidelight.model.versions": ["2", "3"],
        "sidelight.alert.name": name, "sidelight.alert.start": "2023-11-14T21:13:20Z",
        "sidelight.alert.start_unix_nano": NOW_NS - 3_600_000_000_000,
        "sidelight.alert.features": [{"name": "age", "said": "moved up"}, {"name": "fare", "segment": "region=north"}],
        "sidelight.alert.next_step": STEP, "sidelight.alert.runbook": "docs/runbook.md#data-drift",
        "sidelight.reference.hash": "abc", "sidelight.window.index": 5,
    }  # fmt: skip
    if name == "data_drift" and state != "resolved":
        said["sidelight.alert.retrain"] = True
    body = f"{model} version 3: {name}. {STEP}"
    its_key = f"{key}-{state}-{name}-{model}"
    return Event(f"sidelight.alert.{state}", its_key, NOW_NS, severity, body, {**said, **more, **attributes})


def options(**values: Any) -> Settings:
    """Settings as the environment would give them; texts become secrets where the option is one."""
    secret = {name for name, field in Settings.fields.items() if field.kind is Secret}
    given: dict[str, Any] = {n: Secret(value) if n in secret else value for n, value in values.items()}
    return Settings(**given)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[HttpBackend, str]]:
    """A receiver, and its address."""
    backend = HttpBackend()
    url = await backend.start()
    try:
        yield backend, url
    finally:
        await backend.stop()
