"""Replicas of one service at one real Redis, moved by hand: nothing waits for a clock."""

from __future__ import annotations

from typing import ClassVar

from agent.config.label_store import label_store
from agent.labels.desk import Bounds
from agent.labels.redis.desk import RedisDesk
from agent.labels.redis.link import Link
from agent.records import Batch, Labels, ModelKey, Pairs
from tests.labels.label_worlds import BOUNDS, NAME


class Turned:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Replica:
    """One agent's desk, with the journal's offsets. name: who it is, for as long as its journal lives.

    made: all there are; `conftest.py` closes them after each test, for a connection left to the garbage collector is a
    warning in whichever test it comes by.
    """

    made: ClassVar[list[Replica]] = []

    def __init__(self, url: str, name: str = "a", bounds: Bounds = BOUNDS, model: str = NAME) -> None:
        self.clock = Turned()
        self.link = Link(label_store(url), self.clock)
        self.name, self._bounds, self._model = name, bounds, model
        self.desk = self._new()
        self.offset = 0
        self.made.append(self)

    def _new(self) -> RedisDesk:
        return RedisDesk(ModelKey(self._model), self.link, self._bounds, self.name, self.clock)

    def predicted(self, batch: Batch) -> None:
        assert self.desk.predicted(batch) == []

    def labelled(self, labels: Labels, offset: int = 0) -> list[Pairs]:
        """offset: given when a frame is replayed."""
        self.offset = offset or self.offset + 1
        return self.desk.labelled(labels, self.offset)

    def round(self) -> None:
        """Everything that waits goes to Redis and is looked up, as far as Redis answers."""
        self.clock.now += 20.0  # longer than any pause after a failure
        for _ in range(40):
            job = self.desk.job()
            if job is None:
                return
            job()()
            self.clock.now += 0.2

    def settle(self) -> list[Pairs]:
        self.round()
        return self.desk.settle()

    def checkpoint(self) -> bytes:
        blob, files = self.desk.dump()
        assert files == []
        self.desk.written()
        return blob

    def killed(self, blob: bytes | None = None) -> None:
        """SIGKILL and a start from this checkpoint."""
        self.desk = self._new()
        self.desk.load(blob)

    def close(self) -> None:
        self.link.close()

    @property
    def settled(self) -> int:
        """Labels that are of one kind or another, were dropped, or wait."""
        kinds = self.desk.kept.kinds
        final = sum(kinds[kind] for kind in ("joined", "early", "repeated", "changed", "unknown", "unsampled"))
        return final + self.desk.dropped["labels"] + self.desk.waits() + len(self.desk.pending)
