"""What waits for the backend: encoded requests in the store's table `spool`, in order, bounded in bytes and age.

Functions on a connection, so that the caller's transaction decides what belongs together. Payloads lie there gzipped.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.state import checksum

METRICS, TRACES, LOGS, WEBHOOK = SIGNALS = ("metrics", "traces", "logs", "webhook")
TOO_MUCH, TOO_OLD, CORRUPT = "spool_full", "too_old", "corrupt"
SHRINK_TO = 0.9
"""A full spool is emptied to this share of its limit, so that it is not trimmed again for every row."""


@dataclass(frozen=True, slots=True)
class SpoolRow:
    """One encoded request. key: the same key is never stored twice; items: points, spans or records in it."""

    key: str
    signal: str
    items: int
    created_ns: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """One row to be delivered; payload as `oldest` was asked for it."""

    id: int
    items: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Amount:
    """Items and stored bytes."""

    items: int = 0
    size: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.items + other.items, self.size + other.size)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.items - other.items, self.size - other.size)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was let go, and why."""

    signal: str
    reason: str
    amount: Amount


def add(db: sqlite3.Connection, rows: Sequence[SpoolRow]) -> int:
    """Stores the rows whose keys are new; returns how many. 3.5 MiB of points take about 10 ms and 50 kB."""
    before = db.total_changes
    for row in rows:
        payload = pack(row.payload)
        db.execute(
            "INSERT OR IGNORE INTO spool (key, signal, items, created_ns, size, checksum, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.key, row.signal, row.items, row.created_ns, len(payload), checksum(payload), payload),
        )
    return db.total_changes - before


def oldest(
    db: sqlite3.Connection, signal: str, limit: int = 1, packed: bool = False
) -> tuple[list[Stored], list[Dropped]]:
    """Up to `limit` rows of this signal, oldest first; corrupt ones on the way are deleted and reported.

    packed: payloads as gzip, as they lie there.
    """
    query = "SELECT id, items, checksum, payload FROM spool WHERE signal = ? ORDER BY id LIMIT ?"
    found: list[Stored] = []
    dropped: list[Dropped] = []
    for number, items, digest, payload in db.execute(query, (signal, limit)).fetchall():
        if isinstance(payload, bytes) and digest == checksum(payload):
            found.append(Stored(number, items, payload if packed else unpack(payload)))
        else:
            _drop(db, signal, CORRUPT, [number], dropped)
    return found, dropped


def done(db: sqlite3.Connection, ids: Iterable[int]) -> Amount:
    """Deletes these rows; returns what was really still there (a trim may have come first)."""
    amount = Amount()
    for number in ids:
        for row in db.execute("DELETE FROM spool WHERE id = ? RETURNING items, size", (number,)).fetchall():
            amount += Amount(*row)
    return amount


def census(db: sqlite3.Connection, after: int = 0) -> tuple[dict[str, Amount], int]:
    """What rows with an id above `after` hold, by signal, and the highest id: so new rows are counted exactly once."""
    query = "SELECT signal, SUM(items), SUM(size), MAX(id) FROM spool WHERE id > ? GROUP BY signal"
    rows = db.execute(query, (after,)).fetchall()
    return {signal: Amount(items, size) for signal, items, size, _ in rows}, max([after, *(row[3] for row in rows)])


def queued(db: sqlite3.Connection) -> dict[str, Amount]:
    """What waits, by signal. Reads the whole table."""
    return census(db)[0]


def trim(db: sqlite3.Connection, bytes_max: int, older_than_ns: int) -> list[Dropped]:
    """Both bounds, age first."""
    return expire(db, older_than_ns) + shrink(db, bytes_max)


def expire(db: sqlite3.Connection, older_than_ns: int) -> list[Dropped]:
    """Lets go what was made before `older_than_ns`. Looks only at the oldest rows: ids follow time."""
    dropped: list[Dropped] = []
    for signal in SIGNALS:
        old = []
        query = "SELECT id, created_ns FROM spool WHERE signal = ? ORDER BY id"
        for number, created_ns in db.execute(query, (signal,)):
            if created_ns >= older_than_ns:
                break
            old.append(number)
        _drop(db, signal, TOO_OLD, old, dropped)
    return dropped


def shrink(db: sqlite3.Connection, bytes_max: int) -> list[Dropped]:
    """Lets go until `SHRINK_TO` of `bytes_max` is left, if more than `bytes_max` is there.

    First metrics lose every second export, the older the more often: counters are cumulative, so a gap costs only
    resolution. Then traces go, the rest of the metrics, events, and alerts for the webhook last; each oldest first.
    """
    total = sum(amount.size for amount in queued(db).values())
    if total <= bytes_max:
        return []
    excess = total - int(bytes_max * SHRINK_TO)
    dropped: list[Dropped] = []
    excess -= _drop(db, METRICS, TOO_MUCH, _thinned(db, excess), dropped)
    for signal in (TRACES, METRICS, LOGS, WEBHOOK):
        if excess > 0:
            excess -= _drop(db, signal, TOO_MUCH, _first(db, signal, excess), dropped)
    return dropped


def pack(payload: bytes) -> bytes:
    """gzip, so that HTTP can send it as it lies there."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(payload) + packer.flush()


def unpack(payload: bytes) -> bytes:
    return zlib.decompress(payload, 31)


def _thinned(db: sqlite3.Connection, excess: int) -> list[int]:
    """Ids of whole exports (rows of one time) to give up: every second one in each pass, never the newest."""
    exports: dict[int, list[tuple[int, int]]] = {}
    query = "SELECT id, created_ns, size FROM spool WHERE signal = ? ORDER BY id"
    for number, created_ns, size in db.execute(query, (METRICS,)):
        exports.setdefault(created_ns, []).append((number, size))
    given_up = []
    while excess > 0 and len(exports) > 1:
        for created_ns in list(exports)[:-1:2]:
            if excess <= 0:
                break
            rows = exports.pop(created_ns)
            given_up += [number for number, _ in rows]
            excess -= sum(size for _, size in rows)
    return given_up


def _first(db: sqlite3.Connection, signal: str, excess: int) -> list[int]:
    found = []
    for number, size in db.execute("SELECT id, size FROM spool WHERE signal = ? ORDER BY id", (signal,)):
        if excess <= 0:
            break
        found.append(number)
        excess -= size
    return found


def _drop(db: sqlite3.Connection, signal: str, reason: str, ids: list[int], dropped: list[Dropped]) -> int:
    """Deletes and reports; returns the bytes freed."""
    amount = done(db, ids)
    if amount.size:
        dropped.append(Dropped(signal, reason, amount))
    return amount.size
