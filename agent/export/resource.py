"""Who is speaking: the Resource that every request carries, encoded once."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from urllib.parse import unquote

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.config import Otel
from agent.export.attributes import key_values, text
from agent.version import VERSION

SERVICE_NAME = "sidelight-agent"


def build(otel: Otel, folder: Path) -> Resource:
    """OTEL_RESOURCE_ATTRIBUTES over the agent's own; OTEL_SERVICE_NAME over both, as the specification orders them."""
    attributes = {
        "service.name": SERVICE_NAME,
        "service.version": VERSION,
        "service.instance.id": instance_id(folder),
        **given(otel.resource_attributes),
    }
    if otel.service_name:
        attributes["service.name"] = text(otel.service_name)
    return Resource(attributes=key_values(attributes)[0])


def given(pairs: str) -> dict[str, str]:
    """`key=value,key=value` with percent-encoded values; empty keys are left out.

    >>> given("team=fraud, k8s.pod.name=a%2Cb")
    {'team': 'fraud', 'k8s.pod.name': 'a,b'}
    """
    found = {}
    for pair in pairs.split(","):
        key, _, value = pair.partition("=")
        if key.strip():
            found[text(key.strip())] = text(unquote(value.strip()))
    return found


def instance_id(folder: Path) -> str:
    """A random id that stays with the state folder, so that counters of a restarted agent continue one series.

    A folder that cannot be written gives a new id at every start.
    """
    path = folder / "instance-id"
    try:
        return str(uuid.UUID(path.read_text(encoding="ascii").strip()))
    except (OSError, ValueError):
        pass
    made = str(uuid.uuid4())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(made)
        temporary.replace(path)
    except OSError:
        pass
    return made
