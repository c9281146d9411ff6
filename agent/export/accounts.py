"""The books of every signal: produced = delivered + rejected + dropped + queued, at every moment.

All transactions of the exporter on the spool go through here, one at a time, each beginning with a census of rows it
has not seen: whoever stored a row, in whatever transaction, it is counted as produced once, before it can leave.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from agent.export import spool
from agent.export.spool import Amount, Dropped, Stored
from agent.state import Store, Work

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Statistics:
    """One signal, in items (points, spans, records) since the agent's start. What lay in the spool counts as produced.

    rejected: what the backend refused, in part or whole; dropped: what the agent let go, by reason. withheld: what was
    not to leave, by reason: it is not produced.
    """

    endpoint: str
    produced: int = 0
    delivered: int = 0
    rejected: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    queued: int = 0
    queued_bytes: int = 0
    last_error: str = ""
    withheld: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """The open page of one signal."""

    endpoint: str
    produced: int = 0
    delivered: int = 0
    rejected: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    queued: Amount = field(default_factory=Amount)
    last_error: str = ""
    withheld: dict[str, int] = field(default_factory=dict)

    def found(self, amount: Amount) -> None:
        """New rows lie in the spool."""
        self.produced += amount.items
        self.queued += amount

    def settled(self, amount: Amount, rejected: int) -> None:
        """Rows left the spool with the backend's answer."""
        refused = min(max(rejected, 0), amount.items)
        self.rejected += refused
        self.delivered += amount.items - refused
        self.queued -= amount

    def let_go(self, amount: Amount, reason: str) -> None:
        """Rows left the spool without having been delivered."""
        self.dropped[reason] = self.dropped.get(reason, 0) + amount.items
        self.queued -= amount

    def lost(self, items: int, reason: str) -> None:
        """Items never reached the spool."""
        self.produced += items
        self.dropped[reason] = self.dropped.get(reason, 0) + items

    def withhold(self, reason: str) -> None:
        """One item was kept back on purpose."""
        self.withheld[reason] = self.withheld.get(reason, 0) + 1

    def statistics(self) -> Statistics:
        return Statistics(
            self.endpoint,
            self.produced,
            self.delivered,
            self.rejected,
            MappingProxyType(dict(self.dropped)),
            self.queued.items,
            self.queued.size,
            self.last_error,
            MappingProxyType(dict(self.withheld)),
        )


class Accounts:
    """Owns the tallies and every transaction of the exporter. Each method raises RetryableError as Store.run does."""

    def __init__(self, store: Store, endpoints: Mapping[str, str]) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._seen = 0
        self._oldest_ns: dict[str, int] = {}
        self.tallies = {signal: Tally(endpoint) for signal, endpoint in endpoints.items()}

    async def count(self) -> None:
        """Counts rows that came since the last transaction."""
        await self._run(lambda _: None, lambda _: None)

    async def put(
        self, rows: list[spool.SpoolRow], also: Work[None] = lambda _: None, through: Callable[[], None] = lambda: None
    ) -> None:
        """Stores rows in a transaction of their own; the next one counts them.

        also: what else belongs to it; through: told when both are in the store.
        """

        def work(db: sqlite3.Connection) -> None:
            spool.add(db, rows)
            also(db)

        await self._run(work, lambda _: through())

    async def next(self, signal: str, packed: bool, alone: int) -> Stored | None:
        """The signal's next request, as `spool.oldest` puts it together; corrupt rows before it are dropped."""
        found = await self._run(lambda db: spool.oldest(db, signal, packed, alone), lambda found: self._drop(found[1]))
        return found[0]

    async def settle(self, signal: str, request: Stored, rejected: int) -> None:
        """Deletes rows that have their answer. What a trim took of them meanwhile stays counted as dropped."""
        tally = self.tallies[signal]
        await self._run(lambda db: spool.done(db, request.ids), lambda amount: tally.settled(amount, rejected))

    async def expire(self, older_than_ns: int) -> None:
        """Looks at the oldest rows, lets go what is too old, and remembers how old the rest is."""

        def work(db: sqlite3.Connection) -> tuple[list[Dropped], dict[str, int]]:
            return spool.expire(db, older_than_ns), spool.oldest_ns(db)

        def book(found: tuple[list[Dropped], dict[str, int]]) -> None:
            self._drop(found[0])
            self._oldest_ns = found[1]

        await self._run(work, book)

    def age_seconds(self, signal: str, now_ns: int) -> float:
        """How long the signal's oldest row has waited, as of the newest `expire`; 0 where none waits."""
        oldest_ns = self._oldest_ns.get(signal) if self.tallies[signal].queued.items else None
        return max(0.0, (now_ns - oldest_ns) / 1e9) if oldest_ns else 0.0

    async def shrink(self, bytes_max: int) -> None:
        """Costs nothing while the books say that the spool is small enough."""
        if sum(tally.queued.size for tally in self.tallies.values()) > bytes_max:
            await self._run(lambda db: spool.shrink(db, bytes_max), self._drop)

    async def finish(self) -> None:
        """Returns when every transaction begun before is in the books."""
        async with self._lock:
            pass

    def _drop(self, dropped: Iterable[Dropped]) -> None:
        for each in dropped:
            self.tallies[each.signal].let_go(each.amount, each.reason)

    async def _run(self, work: Work[T], book: Callable[[T], None]) -> T:
        # Shielded: a transaction that was begun ends in the store's thread, so it must end in the books too.
        return await asyncio.shield(asyncio.ensure_future(self._booked(work, book)))

    async def _booked(self, work: Work[T], book: Callable[[T], None]) -> T:
        async with self._lock:
            seen = self._seen
            (new, self._seen), found = await self._store.run(lambda db: (spool.census(db, seen), work(db)))
            for signal in new.keys() & self.tallies.keys():
                self.tallies[signal].found(new[signal])
            book(found)
        return found
