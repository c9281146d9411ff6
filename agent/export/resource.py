"""Who is speaking: the Resource that every request carries, encoded once."""

from __future__ import annotations

import os
import uuid
from importlib.metadata import entry_points
from pathlib import Path

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk import resources as sdk

from agent.config import Otel
from agent.errors import ConfigurationError
from agent.export.attributes import key_values, text
from agent.version import VERSION

SERVICE_NAME = "sidelight-agent"
DETECTORS = "opentelemetry_resource_detector"
"""The entry points under which packages offer detectors."""


def build(otel: Otel, folder: Path) -> Resource:
    """OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME over what detectors found, all over the agent's own.

    The SDK's detector reads the two from the environment, where `otel` has checked them. A detector that fails or takes
    longer than 5 s adds nothing and is logged. Raises ConfigurationError for a detector that is not installed.
    """
    own = {"service.name": SERVICE_NAME, "service.version": VERSION, "service.instance.id": instance_id(folder)}
    # Not Resource.create: it calls itself telemetry.sdk.name=opentelemetry, draws an id at every start, skips unknown
    # detectors and lets the attributes it is given win over the environment's.
    found = sdk.get_aggregated_resources(
        [*detectors(otel.experimental_resource_detectors), sdk.OTELResourceDetector()], sdk.Resource(own)
    )
    return Resource(attributes=key_values({text(key): value for key, value in found.attributes.items()})[0])


def detectors(names: tuple[str, ...]) -> list[sdk.ResourceDetector]:
    """The detectors of these names, in their order; `*`: every other one installed. `otel` always runs, last."""
    if not names:
        return []  # looking through the installed packages takes 20 ms
    known = {each.name: each for each in entry_points(group=DETECTORS) if each.name != "otel"}
    others = sorted(set(known) - set(names))
    chosen = [name for given in names for name in (others if given == "*" else [given]) if name != "otel"]
    try:
        return [known[name].load()() for name in dict.fromkeys(chosen)]
    except (KeyError, ImportError, AttributeError) as error:
        expected = f"installed detectors ({', '.join(sorted(known))}), or *: {error}"
        raise ConfigurationError("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", ",".join(names), expected) from None


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
