"""Frames that wait to be counted: what the door hands to the pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.ingest.rows import Gathering
from agent.records import Batch, Labels, ModelKey
from agent.wire import lifecycle_pb2
from agent.wire import recorder_pb2 as wire

GATHER_ROWS = 512  # rows counted together; more saves nothing, fewer cost numpy calls
ITEM_BYTES = 1 << 10  # what a waiting frame occupies beside its message
ROW_BYTES = 1 << 8  # and each of its rows, where they came one by one


@dataclass(slots=True)
class Accepted:
    """One frame on its way to the counting. offset 0: not journalled (all refused). rows: predictions kept."""

    offset: int
    arrived_ns: int
    model: ModelKey | None
    kind: str  # "rows", "columns", "labels", "events", "tick"
    rows: int = 0
    content: Batch | Gathering | None = None
    labels: Labels | None = None
    events: Sequence[lifecycle_pb2.Event] = ()
    refused: Sequence[wire.Refusal] = ()
    client_id: str = ""
    report: bytes = b""
    size: int = 0
    durable: bool = True
    watched_until_ns: int = 1 << 63  # of a tick: since then, until `arrived_ns`, nobody watched

    @property
    def held_bytes(self) -> int:
        """What it occupies while it waits."""
        return self.size + ITEM_BYTES + (self.rows * ROW_BYTES if self.kind == "rows" else 0)


@dataclass(slots=True)
class Queue:
    """Frames waiting to be counted, bounded in bytes. `wake` is called when enough has gathered to be worth
    counting."""

    bytes_max: int
    wake: Callable[[], None] = lambda: None
    items: deque[Accepted] = field(default_factory=deque)
    bytes: int = 0
    rows: int = 0

    @property
    def full(self) -> bool:
        return self.bytes >= self.bytes_max

    def put(self, item: Accepted) -> None:
        self.items.append(item)
        self.bytes += item.held_bytes
        self.rows += item.rows
        if self.rows >= GATHER_ROWS or item.kind == "tick":
            self.wake()

    def take(self) -> list[Accepted]:
        """Everything that waits. Gatherings among it are sealed."""
        taken = list(self.items)
        self.items.clear()
        self.rows = 0
        for item in taken:
            if isinstance(item.content, Gathering):
                item.content.sealed = True
        return taken

    def done(self, item: Accepted) -> None:
        self.bytes -= item.held_bytes
