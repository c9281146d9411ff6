"""What waits to be sent. Bounded, the oldest dropped first and counted; appending never waits for the sender."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Any, Protocol


class Lane:
    """Single records. recorded = taken + dropped + what waits, exactly, whenever no append is half-way."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.items: deque[Any] = deque()
        self.taken = 0
        self.dropped = 0
        self._lock = Lock()

    def trim(self) -> None:
        """Drops the oldest down to the limit. The caller appends first and looks at the length: no lock until full."""
        with self._lock:
            while len(self.items) > self.limit:
                try:
                    self.items.popleft()
                except IndexError:  # the sender was faster
                    return
                self.dropped += 1

    def put(self, item: Any) -> None:
        self.items.append(item)
        if len(self.items) > self.limit:
            self.trim()

    def take(self, most: int) -> list[Any]:
        """Up to `most` items, oldest first. One taker only."""
        taken = []
        try:
            for _ in range(most):
                taken.append(self.items.popleft())  # noqa: PERF401  # what was taken before the end must not be lost
        except IndexError:
            pass
        self.taken += len(taken)
        return taken

    def __len__(self) -> int:
        return len(self.items)


class Block(Protocol):
    """Many records in arrays."""

    @property
    def rows(self) -> int: ...

    def slice(self, start: int, stop: int) -> Any:
        """The rows from `start` to before `stop`, as a batch to encode."""


class BlockLane:
    """Arrays and frames, bounded in rows. A block larger than the whole lane keeps its newest rows."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.items: deque[Block] = deque()
        self.waiting = 0
        self.taken = 0
        self.dropped = 0
        self.broken = 0
        self._start = 0  # rows of the first block that are gone already
        self._lock = Lock()

    def put(self, block: Block) -> None:
        with self._lock:
            self.items.append(block)
            self.waiting += block.rows
            excess = self.waiting - self.limit
            self.dropped += max(0, excess)
            while self.waiting > self.limit:
                self._advance(self.waiting - self.limit)

    def put_broken(self, rows: int) -> None:
        """Counts a block that could not be kept."""
        with self._lock:
            self.taken += rows
            self.broken += rows

    def take(self, most: int) -> tuple[Block, int, int] | None:
        """The next rows of the oldest block, at most `most`: (block, start, stop); None when nothing waits."""
        with self._lock:
            if not self.items:
                return None
            block, start = self.items[0], self._start
            rows = self._advance(most)
            self.taken += rows
        return block, start, start + rows

    def _advance(self, most: int) -> int:
        block = self.items[0]
        rows = min(most, block.rows - self._start)
        self._start += rows
        self.waiting -= rows
        if self._start == block.rows:
            self.items.popleft()
            self._start = 0
        return rows

    def __len__(self) -> int:
        return self.waiting
