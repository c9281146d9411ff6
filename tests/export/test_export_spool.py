"""The spool: order, idempotence, checksums and the order in which things are let go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export import spool
from agent.export.spool import Amount, SpoolRow
from agent.state import SCHEMA


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def _row(signal: str, number: int, created_ns: int = 0, items: int = 1, size: int = 100) -> SpoolRow:
    payload = (f"{signal}/{number}/".encode() * size)[:size]
    return SpoolRow(f"{signal}/{number}", signal, items, created_ns or number, payload)


def test_rows_come_back_oldest_first_and_whole(db: sqlite3.Connection) -> None:
    """By signal, in the order they were stored, bare or as gzip; deleting gives the amounts freed."""
    assert spool.add(db, [_row("logs", 1), _row("traces", 2), _row("logs", 3, items=5)]) == 3
    rows, dropped = spool.oldest(db, "logs", 10)
    assert ([row.payload for row in rows], dropped) == ([_row("logs", 1).payload, _row("logs", 3).payload], [])
    packed, _ = spool.oldest(db, "logs", 1, packed=True)
    assert spool.unpack(packed[0].payload) == rows[0].payload
    assert spool.done(db, [row.id for row in rows]).items == 6
    assert spool.done(db, [row.id for row in rows]) == Amount()
    assert list(spool.queued(db)) == ["traces"]


def test_a_key_is_stored_once(db: sqlite3.Connection) -> None:
    """The second row with the same key is ignored."""
    assert spool.add(db, [_row("logs", 1), _row("logs", 1)]) == 1
    assert spool.add(db, [_row("logs", 1)]) == 0
    assert spool.queued(db)["logs"].items == 1


def test_a_flipped_bit_is_found_and_counted(db: sqlite3.Connection) -> None:
    """The corrupt row is dropped with its items; its neighbours are delivered."""
    spool.add(db, [_row("logs", 1, items=4), _row("logs", 2)])
    payload = bytearray(db.execute("SELECT payload FROM spool WHERE key = 'logs/1'").fetchone()[0])
    payload[-3] ^= 1
    db.execute("UPDATE spool SET payload = ? WHERE key = 'logs/1'", (bytes(payload),))
    rows, (dropped,) = spool.oldest(db, "logs", 2)
    assert [row.payload for row in rows] == [_row("logs", 2).payload]
    assert (dropped.signal, dropped.reason, dropped.amount.items) == ("logs", "corrupt", 4)
    assert spool.queued(db)["logs"].items == 1


def test_the_census_counts_each_row_once(db: sqlite3.Connection) -> None:
    """Asked with the id it gave last, it counts only what came since."""
    spool.add(db, [_row("logs", 1, items=2)])
    found, seen = spool.census(db)
    assert found["logs"].items == 2
    spool.add(db, [_row("logs", 2, items=3), _row("traces", 3)])
    found, again = spool.census(db, seen)
    assert {signal: amount.items for signal, amount in found.items()} == {"logs": 3, "traces": 1}
    assert spool.census(db, again) == ({}, again)


def test_what_is_too_old_goes(db: sqlite3.Connection) -> None:
    """Every signal, by time of making."""
    spool.add(db, [_row(signal, number) for number in range(1, 5) for signal in spool.SIGNALS])
    dropped = spool.expire(db, 3)
    assert [(d.signal, d.reason, d.amount.items) for d in dropped] == [(s, "too_old", 2) for s in spool.SIGNALS]
    assert {amount.items for amount in spool.queued(db).values()} == {2}


def test_metrics_are_thinned_before_anything_else_goes(db: sqlite3.Connection) -> None:
    """Whole exports go, every second one from the oldest; the newest stays; other signals are untouched."""
    for tick in range(1, 11):
        spool.add(db, [_row("metrics", 100 * tick + part, created_ns=tick) for part in range(2)])
    spool.add(db, [_row("traces", 1), _row("logs", 1)])
    total = sum(amount.size for amount in spool.queued(db).values())
    dropped = spool.shrink(db, int(total * 0.8))
    assert [(d.signal, d.reason) for d in dropped] == [("metrics", "spool_full")]
    left = [row[0] for row in db.execute("SELECT created_ns FROM spool WHERE signal = 'metrics' ORDER BY id")]
    assert left == [2, 2, 4, 4, 6, 6, 8, 8, 9, 9, 10, 10]


def test_alerts_are_the_last_to_go(db: sqlite3.Connection) -> None:
    """As the limit falls: metrics, traces, events, alerts for the webhook; within a signal the oldest first."""
    spool.add(db, [_row(signal, number) for number in range(1, 11) for signal in spool.SIGNALS])
    one = spool.queued(db)["logs"].size // 10
    gone = []
    for rows in (38, 25, 18, 9, 3):
        spool.trim(db, rows * one, 0)
        gone.append([10 - spool.queued(db).get(signal, Amount()).items for signal in spool.SIGNALS])
        assert sum(amount.size for amount in spool.queued(db).values()) <= rows * one
    metrics, traces, logs, webhook = zip(*gone, strict=True)
    assert metrics[0] > 0
    assert (traces[0], logs[1], webhook[2]) == (0, 0, 0)
    assert (metrics[-1], traces[-1], logs[-1]) == (10, 10, 10)
    keys = [row[0] for row in db.execute("SELECT key FROM spool ORDER BY id")]
    assert keys == [f"webhook/{number}" for number in range(11 - len(keys), 11)]


@given(st.lists(st.tuples(st.sampled_from(spool.SIGNALS), st.integers(1, 50), st.integers(1, 2_000)), max_size=40),
       st.integers(1, 5_000), st.integers(0, 50))
def test_trimming_loses_nothing_uncounted(rows: list[tuple[str, int, int]], bytes_max: int, age: int) -> None:
    """before = after + dropped, in items and bytes, by signal; and what is left is within the bound."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(SCHEMA)
    spool.add(db, [_row(signal, n, time, n + 1, size) for n, (signal, time, size) in enumerate(rows)])
    before = spool.queued(db)
    dropped = spool.trim(db, bytes_max, age)
    after = spool.queued(db)
    for signal, amount in before.items():
        lost = sum((d.amount for d in dropped if d.signal == signal), Amount())
        assert amount == after.get(signal, Amount()) + lost
    assert sum(amount.size for amount in after.values()) <= bytes_max
    db.close()


def test_a_trim_empties_a_store_on_disk_without_growing_it(tmp_path: Path) -> None:
    """Pages of rows let go are used again: the file stays bounded while rows come and go."""
    db = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    db.executescript(SCHEMA)
    pages = []
    for lap in range(6):
        db.execute("BEGIN")
        spool.add(db, [_row("logs", 1_000 * lap + n, size=50) for n in range(200)])
        spool.trim(db, 2_000, 0)
        db.execute("COMMIT")
        pages.append(db.execute("PRAGMA page_count").fetchone()[0])
    assert pages[-1] <= pages[1]
    db.close()
