"""A part: what becomes one file. Its name and content are a function of the journal: writing it twice is harmless."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from agent.errors import CorruptError
from agent.records import ModelKey, Role

RECORDS, LABELS = "records", "labels"
NAME_MAX = 120  # characters of a folder, and of the agent's part of a file's name: file systems take 255


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of one window. kind: records or labels; number: running, of this version; share: the chance that a row of
    the window had; start_ns, end_ns: the window's."""

    kind: str
    model: ModelKey
    number: int
    start_ns: int
    end_ns: int
    share: float
    reference: str
    lines: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.lines))

    def path(self, agent: str) -> str:
        """Where it lies under the location: kind, model, version, day; agent: which one writes.

        >>> Part("labels", ModelKey("eta", "a/2"), 7, 0, 3_600_000_000_000, 1.0, "", ()).path("pod-1")
        'labels/eta/a%2F2/1970-01-01/pod-1-19700101T000000-00000007.parquet'
        """
        model = self.model
        version = model.version + (".shadow" if model.role is Role.SHADOW else "")
        beside = [part for part in (model.tenant, model.deployment) if part]
        folders = [self.kind, model.name, version or "-", *beside]
        start = datetime.fromtimestamp(self.start_ns // 1_000_000_000, UTC)
        # With the window's start: a state that was lost begins to number anew.
        file = f"{_folder(agent)}-{start:%Y%m%dT%H%M%S}-{self.number:08d}.parquet"
        return "/".join([*(_folder(name) for name in folders), f"{start:%Y-%m-%d}", file])

    def to_bytes(self) -> bytes:
        """A line that says what it is, then its lines."""
        key = self.model
        head = {
            "kind": self.kind, "number": self.number, "start": self.start_ns, "end": self.end_ns, "share": self.share,
            "model": [key.name, key.version, int(key.role), key.deployment, key.tenant], "reference": self.reference,
        }  # fmt: skip
        return b"\n".join((json.dumps(head).encode(), *self.lines))

    @classmethod
    def from_bytes(cls, stored: bytes) -> Part:
        """Raises CorruptError."""
        first, *lines = stored.split(b"\n")
        try:
            head = json.loads(first)
            name, version, role, deployment, tenant = head["model"]
            return cls(
                str(head["kind"]), ModelKey(name, version, Role(role), deployment, tenant), int(head["number"]),
                int(head["start"]), int(head["end"]), float(head["share"]), str(head["reference"]), tuple(lines),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise CorruptError(f"capture: {type(error).__name__} in a part") from error


def _folder(name: str) -> str:
    """A name that is no way to another folder, and no longer than any place takes: of a long one the beginning, and
    its hash.

    >>> _folder("../etc"), _folder(".."), len(_folder("ö" * 500))
    ('..%2Fetc', '%2E%2E', 117)
    """
    quoted = quote(name, safe="-_. +~") if name.strip(".") else quote(name, safe="").replace(".", "%2E")
    if len(quoted) <= NAME_MAX:
        return quoted
    return f"{quoted[: NAME_MAX - 20]}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
