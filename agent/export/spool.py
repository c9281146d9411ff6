"""What waits for the backend: encoded requests in the store's table `spool`, in order, bounded in bytes and age.

Functions on a connection, so that the caller's transaction decides what belongs together. Payloads lie there gzipped.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.state import checksum, put

METRICS, TRACES, LOGS = OTLP = ("metrics", "traces", "logs")
WEBHOOK, SLACK, PAGERDUTY, RETRAIN = RECEIVERS = ("webhook", "slack", "pagerduty", "retrain")
SIGNALS = OTLP + RECEIVERS
TOO_MUCH, TOO_OLD, CORRUPT = "spool_full", "too_old", "corrupt"
MERGED = frozenset({TRACES, LOGS})
"""Signals whose encoded requests make one by concatenation, as protobuf's repeated fields allow. Not metrics: backends
lose one of two equal resources in a request. Not the receivers of alerts: they get one object a request."""
MERGE_ROWS, MERGE_BYTES = 64, 1 << 20
DELTA_KEYS = "delta/"
"""Begins the keys of metrics that say what came since the export before: without one of them, its counts are lost."""
ALERT_KEYS = "alert/"
"""Begins the keys of log records that are alerts."""
SHRINK_TO = 0.9
"""A full spool is emptied to this share of its limit, so that it is not trimmed again for every row."""


@dataclass(frozen=True, slots=True)
class SpoolRow:
    """One encoded request. key: the same key is never stored twice; items: points, spans or records in it.

    note: a blob (key, body) that is true once this row is stored: both in one transaction.
    """

    key: str
    signal: str
    items: int
    created_ns: int
    payload: bytes
    note: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """One request to be delivered: a row, or several put together. payload as `oldest` was asked for it."""

    ids: tuple[int, ...]
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
    stored = db.total_changes - before
    for row in rows:
        if row.note is not None:
            put(db, *row.note)
    return stored


def oldest(
    db: sqlite3.Connection, signal: str, packed: bool = False, alone: int = 0
) -> tuple[Stored | None, list[Dropped]]:
    """The signal's next request, None when nothing waits; corrupt rows on the way are deleted and reported.

    Consecutive rows of `MERGED` signals make one request within `MERGE_ROWS` and `MERGE_BYTES`, but rows up to the id
    `alone` make one each. packed: payload as gzip. Reading, merging and packing 1 MiB takes about 10 ms.
    """
    rows: list[tuple[int, int, bytes]] = []
    size, corrupt = 0, []
    query = "SELECT id, items, checksum, payload FROM spool WHERE signal = ? ORDER BY id"
    for number, items, digest, payload in db.execute(query, (signal,)):
        if not isinstance(payload, bytes) or digest != checksum(payload):
            corrupt.append(number)
            continue
        size += int.from_bytes(payload[-4:], "little")  # gzip ends with the size of what is in it
        if rows and size > MERGE_BYTES:
            break
        rows.append((number, items, payload))
        if signal not in MERGED or number <= alone or len(rows) == MERGE_ROWS:
            break
    dropped: list[Dropped] = []
    _drop(db, signal, CORRUPT, corrupt, dropped)
    if not rows:
        return None, dropped
    ids, counts, payloads = zip(*rows, strict=True)
    return Stored(ids, sum(counts), _together(payloads, packed)), dropped


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


def oldest_ns(db: sqlite3.Connection) -> dict[str, int]:
    """When the first row that waits was made, by signal."""
    query = "SELECT created_ns FROM spool WHERE signal = ? ORDER BY id LIMIT 1"
    found = {signal: db.execute(query, (signal,)).fetchone() for signal in SIGNALS}
    return {signal: row[0] for signal, row in found.items() if row is not None}


def shrink(db: sqlite3.Connection, bytes_max: int) -> list[Dropped]:
    """Lets go until `SHRINK_TO` of `bytes_max` is left, if more than `bytes_max` is there.

    First metrics lose every second export, the older the more often: where counters are cumulative a gap costs only
    resolution (deltas are not thinned). Then traces go, the rest of the metrics, events, the alerts among them, and
    alerts for receivers last; each oldest first.
    """
    total = sum(amount.size for amount in queued(db).values())
    if total <= bytes_max:
        return []
    excess = total - int(bytes_max * SHRINK_TO)
    dropped: list[Dropped] = []
    excess -= _drop(db, METRICS, TOO_MUCH, _thinned(db, excess), dropped)
    for signal in (TRACES, METRICS, LOGS, *RECEIVERS):
        if excess > 0:
            spared = ALERT_KEYS if signal == LOGS else ""
            excess -= _drop(db, signal, TOO_MUCH, _first(db, signal, excess, spared), dropped)
        if excess > 0 and signal == LOGS:
            excess -= _drop(db, signal, TOO_MUCH, _first(db, signal, excess), dropped)
    return dropped


def pack(payload: bytes) -> bytes:
    """gzip, so that HTTP can send it as it lies there."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(payload) + packer.flush()


def unpack(payload: bytes) -> bytes:
    return zlib.decompress(payload, 31)


def _together(payloads: Sequence[bytes], packed: bool) -> bytes:
    if not packed:
        return b"".join(map(unpack, payloads))
    # Packed anew: a gzip of several members is legal, but some backends read only the first.
    return payloads[0] if len(payloads) == 1 else pack(b"".join(map(unpack, payloads)))


def _thinned(db: sqlite3.Connection, excess: int) -> list[int]:
    """Ids of whole exports (rows of one time) to give up: every second one in each pass, never the newest."""
    exports: dict[int, list[tuple[int, int]]] = {}
    query = "SELECT id, created_ns, size FROM spool WHERE signal = ? AND substr(key, 1, ?) != ? ORDER BY id"
    for number, created_ns, size in db.execute(query, (METRICS, len(DELTA_KEYS), DELTA_KEYS)):
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


def _first(db: sqlite3.Connection, signal: str, excess: int, spared: str = "") -> list[int]:
    """Ids of the oldest rows that hold so many bytes, but for those whose keys begin so."""
    found = []
    for number, size, key in db.execute("SELECT id, size, key FROM spool WHERE signal = ? ORDER BY id", (signal,)):
        if excess <= 0:
            break
        if spared and key.startswith(spared):
            continue
        found.append(number)
        excess -= size
    return found


def _drop(db: sqlite3.Connection, signal: str, reason: str, ids: list[int], dropped: list[Dropped]) -> int:
    """Deletes and reports; returns the bytes freed."""
    amount = done(db, ids)
    if amount.size:
        dropped.append(Dropped(signal, reason, amount))
    return amount.size
