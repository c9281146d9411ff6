"""Frames that wait to be counted: what the door hands to the pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.ingest.casts import Cast
from agent.ingest.rows import Gathering
from agent.ingest.together import TOGETHER_BYTES, TOGETHER_ROWS, Together, plain
from agent.records import Batch, Labels, ModelKey
from agent.wire import lifecycle_pb2
from agent.wire import recorder_pb2 as wire

GATHER_ROWS = 512  # records that came one by one, counted together; more saves nothing, fewer cost numpy calls
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
    content: Batch | Cast | Gathering | Together | None = None
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
    worth: float = 0.0  # of what has gathered, 1 and above: to be counted now

    @property
    def full(self) -> bool:
        return self.bytes >= self.bytes_max

    def put(self, item: Accepted) -> None:
        self.items.append(item)
        self.bytes += item.held_bytes
        if item.kind == "columns":
            self.worth += max(item.rows / TOGETHER_ROWS, item.size / TOGETHER_BYTES)
        else:
            self.worth += item.rows / GATHER_ROWS
        if self.worth >= 1.0 or item.kind == "tick":
            self.wake()

    def take(self) -> list[Accepted]:
        """Everything that waits. Gatherings among it are sealed."""
        taken = list(self.items)
        self.items.clear()
        self.worth = 0.0
        for item in taken:
            if isinstance(item.content, Gathering):
                item.content.sealed = True
        return taken

    def done(self, item: Accepted) -> None:
        self.bytes -= item.held_bytes


def put_together(items: Sequence[Accepted], window_ns: Callable[[ModelKey], int]) -> None:
    """Gives columns that may be counted as one batch the same content. Frames of other kinds stay between those that
    came before them and after. window_ns: of a version; 0: each of its messages is counted alone."""
    begun: dict[ModelKey, Together] = {}
    for item in items:
        if item.kind != "columns" or item.model is None:
            begun.clear()
            continue
        batch = item.content
        if not isinstance(batch, (Batch, Cast)):  # all of it refused: nothing is counted
            continue
        width = window_ns(item.model) if plain(batch) else 0
        if not width:
            begun.pop(item.model, None)
            continue
        open_ = begun.get(item.model)
        if open_ is None or not open_.takes(batch, width):
            open_ = begun[item.model] = Together(batch, width)
        item.content = open_
