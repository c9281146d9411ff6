"""What a checkpoint holds beside the series, and how its blobs are named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import xxhash

from agent.errors import CorruptError
from agent.records import ModelKey

FORMAT = 1


@dataclass(slots=True)
class Meta:
    """Everything that is not per series. offset: frames up to this one are counted in the blobs.

    baselines: series id -> latency baseline, base64. retired: ids of versions that were silent for long.
    resting: ids of those that others took over from. spans: how many this minute had.
    """

    offset: int = 0
    baselines: dict[str, str] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    resting: frozenset[str] = frozenset()
    spans: dict[str, int] = field(default_factory=dict)

    def pack(self) -> bytes:
        told = {
            "format": FORMAT, "offset": self.offset, "baselines": self.baselines, "retired": sorted(self.retired),
            "resting": sorted(self.resting), "spans": self.spans,
        }  # fmt: skip
        return json.dumps(told).encode()

    @classmethod
    def unpack(cls, blob: bytes) -> Meta:
        try:
            found = json.loads(blob)
            if found["format"] != FORMAT:
                raise CorruptError(f"checkpoint format {found['format']}, expected {FORMAT}")
            offset, baselines = found["offset"], found["baselines"]
            sound = type(offset) is int and offset >= 0 and isinstance(baselines, dict)
            retired, resting = found.get("retired", []), found.get("resting", [])  # those before had none
            for names in (retired, resting):
                sound = sound and isinstance(names, list) and all(isinstance(name, str) for name in names)
            spans = found.get("spans", {})
            sound = sound and isinstance(spans, dict) and all(type(count) is int for count in spans.values())
            if not sound or not all(isinstance(value, str) for value in baselines.values()):
                raise CorruptError("checkpoint meta: wrong types")
            return cls(offset, baselines, frozenset(retired), frozenset(resting), spans)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptError(f"checkpoint meta: {type(error).__name__}") from error


def series_id(key: ModelKey) -> str:
    """Sixteen hex digits, stable over restarts."""
    identity = repr((key.name, key.version, int(key.role), key.deployment, key.tenant))
    return xxhash.xxh3_64_hexdigest(identity.encode())


def model_id(key: ModelKey, window_ns: int) -> str:
    """Of a model whatever its version, by the length of its windows."""
    return f"{series_id(replace(key, version=''))}-{window_ns}"


def shared_id(model: str) -> str:
    """Of all versions of a model of that name."""
    return f"all-{xxhash.xxh3_64_hexdigest(model.encode())}"


def closed_key(name: str, index: int) -> str:
    """Where a closed window lies; sorted by index."""
    return f"closed/{name}/{index:020d}"
