"""What the door lets in, and how it says no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.config import Settings
from agent.errors import RefusedError
from agent.records import Ints
from agent.wire import recorder_pb2 as wire

INDEX_MAX = 64  # positions named in one refusal
GROUPS_MAX = 64  # fields named in one answer, which a stamped sender's window keeps; further ones go by reason alone
FIELD_MAX = 200  # characters of a field's name in a refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """The door's limits; units as in the options of the same names."""

    message_bytes: int = 4 << 20
    rows: int = 10_000
    features: int = 2_000
    text_bytes: int = 4_096
    vector_size: int = 8_192
    row_messages: int = 1_000  # records of a message that carries them one by one, each read in Python
    cells: int = 2_000_000  # rows × names of a gathering whose rows differ: 16 MB of references, thrice that as columns

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            settings.message_bytes_max,
            settings.rows_max,
            settings.features_max,
            settings.text_bytes_max,
            settings.vector_size_max,
            settings.row_messages_max,
        )

    def text(self, value: bytes, where: str) -> str:
        """Decodes a name, id or text. Raises RefusedError naming the field and the limit."""
        if len(value) > self.text_bytes:
            raise RefusedError(
                wire.REASON_TEXT_TOO_LONG, where, f"{len(value)} bytes, limit {self.text_bytes}", self.text_bytes
            )
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise RefusedError(wire.REASON_INVALID_UTF8, where, f"not UTF-8, {len(value)} bytes") from None


@dataclass(slots=True)
class Refusals:
    """Collects refusals of single records: one verdict byte a record, and one group per reason and field."""

    verdict: bytearray
    groups: dict[tuple[int, str], wire.Refusal] = field(default_factory=dict)

    @classmethod
    def none(cls, rows: int) -> Refusals:
        return cls(bytearray(rows))

    def add(self, index: int, error: RefusedError) -> None:
        if self.verdict[index]:
            return  # one reason a record: the first
        self.verdict[index] = error.reason
        group = self._group(error)
        group.count += 1
        if len(group.index) < INDEX_MAX:
            group.index.append(index)

    def _group(self, error: RefusedError) -> wire.Refusal:
        key = (error.reason, error.field[:FIELD_MAX])
        if key not in self.groups and len(self.groups) >= GROUPS_MAX:
            key = (error.reason, "further fields")
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = wire.Refusal(
                reason=error.reason,  # type: ignore[arg-type]
                field=key[1],
                limit=error.limit,
                detail=error.detail[: 2 * FIELD_MAX],
            )
        return group

    def add_many(self, indices: Sequence[int] | Ints, error: RefusedError) -> None:
        """The same for many at once: those refused already cost nothing more."""
        chosen = np.asarray(indices, dtype=np.intp)
        for index in chosen[np.frombuffer(self.verdict, dtype=np.uint8)[chosen] == 0].tolist():
            self.add(index, error)

    def all(self, error: RefusedError) -> None:
        """Refuses every record: the message as a whole makes no sense."""
        if self.count:
            self.add_many(range(len(self.verdict)), error)
            return
        self.verdict[:] = bytes([error.reason]) * len(self.verdict)
        group = self._group(error)
        group.count = len(self.verdict)
        group.index.extend(range(min(group.count, INDEX_MAX)))

    @property
    def count(self) -> int:
        return len(self.verdict) - self.verdict.count(0)

    def packed(self) -> bytes:
        """The verdict for the journal; empty when all were kept."""
        return bytes(self.verdict) if self.count else b""


def reason_name(reason: int) -> str:
    """The reason as attributes and status show it: `text_too_long`."""
    return wire.Reason.Name(reason).removeprefix("REASON_").lower()
