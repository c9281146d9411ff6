"""The spool: order, idempotence, checksums and the order in which things are let go."""

from __future__ import annotations

import gzip
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.export import spool
from agent.export.spool import Amount, SpoolRow
from agent.state import SCHEMA, get


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
    both, dropped = spool.oldest(db, "logs")
    assert both is not None
    assert (both.payload, both.items, dropped) == (_row("logs", 1).payload + _row("logs", 3).payload, 6, [])
    packed, _ = spool.oldest(db, "logs", packed=True)
    assert packed is not None
    assert gzip.decompress(packed.payload) == both.payload
    assert spool.done(db, both.ids).items == 6
    assert spool.done(db, both.ids) == Amount()
    assert list(spool.queued(db)) == ["traces"]


def test_a_key_is_stored_once(db: sqlite3.Connection) -> None:
    """The second row with the same key is ignored."""
    assert spool.add(db, [_row("logs", 1), _row("logs", 1)]) == 1
    assert spool.add(db, [_row("logs", 1)]) == 0
    assert spool.queued(db)["logs"].items == 1


def _drain(db: sqlite3.Connection, signal: str, packed: bool = False, alone: int = 0) -> list[spool.Stored]:
    found = []
    while (request := spool.oldest(db, signal, packed, alone)[0]) is not None:
        found.append(request)
        spool.done(db, request.ids)
    return found


@given(
    st.sampled_from(spool.SIGNALS),
    st.booleans(),
    st.integers(0, 90),
    st.lists(st.sampled_from([1, 3_000, 400_000, 1_500_000]), min_size=1, max_size=80),
)
@settings(max_examples=30, deadline=None)
def test_merging_keeps_every_byte_in_order(signal: str, packed: bool, alone: int, sizes: list[int]) -> None:
    """Requests are the rows in order, in one gzip member; only logs and traces merge, within rows and bytes."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(SCHEMA)
    rows = [_row(signal, n, items=n, size=size) for n, size in enumerate(sizes, 1)]
    spool.add(db, rows)
    requests = _drain(db, signal, packed, alone)
    db.close()
    payloads = []
    for request in requests:
        unpacker = zlib.decompressobj(31)
        payloads.append(unpacker.decompress(request.payload) if packed else request.payload)
        assert not unpacker.unused_data
    assert b"".join(payloads) == b"".join(row.payload for row in rows)
    assert [number for request in requests for number in request.ids] == list(range(1, len(sizes) + 1))
    assert all(request.items == sum(request.ids) for request in requests)
    for request, payload in zip(requests, payloads, strict=True):
        if len(request.ids) > 1:
            assert signal in ("logs", "traces")
            assert request.ids[0] > alone
            assert len(request.ids) <= 64
            assert len(payload) <= 1 << 20


def test_small_rows_really_merge(db: sqlite3.Connection) -> None:
    """A hundred small rows of logs are two requests, of metrics a hundred; after `alone` they merge again."""
    spool.add(db, [_row(signal, n) for n in range(100) for signal in ("logs", "metrics")])
    ids = [row[0] for row in db.execute("SELECT id FROM spool WHERE signal = 'logs' ORDER BY id")]
    single, _ = spool.oldest(db, "logs", alone=ids[2])
    assert single is not None
    assert single.ids == (ids[0],)
    assert [len(request.ids) for request in _drain(db, "logs", alone=ids[2])] == [1, 1, 1, 64, 33]
    assert len(_drain(db, "metrics")) == 100


def test_a_flipped_bit_is_found_and_counted(db: sqlite3.Connection) -> None:
    """The corrupt row is dropped with its items; its neighbours are delivered."""
    spool.add(db, [_row("logs", 1, items=4), _row("logs", 2)])
    payload = bytearray(db.execute("SELECT payload FROM spool WHERE key = 'logs/1'").fetchone()[0])
    payload[-3] ^= 1
    db.execute("UPDATE spool SET payload = ? WHERE key = 'logs/1'", (bytes(payload),))
    request, (dropped,) = spool.oldest(db, "logs")
    assert request is not None
    assert request.payload == _row("logs", 2).payload
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
    """As the limit falls: metrics, traces, events, then alerts for receivers; within a signal the oldest first."""
    spool.add(db, [_row(signal, number) for number in range(1, 11) for signal in spool.SIGNALS])
    one = spool.queued(db)["logs"].size / 10
    gone = []
    for rows in (67, 56, 46, 37):
        spool.trim(db, int(rows * one / spool.SHRINK_TO), 0)
        gone.append([10 - spool.queued(db).get(signal, Amount()).items for signal in spool.SIGNALS])
        assert sum(amount.size for amount in spool.queued(db).values()) <= rows * one
    metrics, traces, logs, *receivers = zip(*gone, strict=True)
    assert metrics[0] > 0
    assert (traces[0], logs[1]) == (0, 0)
    assert {receiver[2] for receiver in receivers} == {0}
    assert (metrics[-1], traces[-1], logs[-1]) == (10, 10, 10)
    keys = [row[0] for row in db.execute("SELECT key FROM spool WHERE signal = 'webhook' ORDER BY id")]
    assert 0 < len(keys) < 10
    assert keys == [f"webhook/{number}" for number in range(11 - len(keys), 11)]


def test_of_events_alerts_are_the_last_to_go(db: sqlite3.Connection) -> None:
    """An old alert outlives newer events of other kinds; it goes when nothing else of the signal is left."""
    for number in range(1, 11):
        row = _row("logs", number)
        spool.add(db, [replace(row, key=f"{spool.ALERT_KEYS}{row.key}") if number <= 4 else row])
    whole = spool.queued(db)["logs"].size
    dropped = spool.shrink(db, whole - 1)
    assert {d.signal for d in dropped} == {"logs"}
    left = [row[0] for row in db.execute("SELECT key FROM spool ORDER BY id")]
    assert left == [*(f"alert/logs/{n}" for n in range(1, 5)), *(f"logs/{n}" for n in range(15 - len(left), 11))]
    assert len(left) < 10
    spool.shrink(db, int(whole * 0.3))
    left = [row[0] for row in db.execute("SELECT key FROM spool ORDER BY id")]
    assert left == [f"alert/logs/{n}" for n in range(5 - len(left), 5)]
    assert 0 < len(left) < 4


def test_a_note_is_stored_with_its_row(db: sqlite3.Connection) -> None:
    """Both or neither: what is true once the row is stored lies beside it, in the caller's transaction."""
    row = replace(_row("retrain", 1), note=("retrain", b"then"))
    db.execute("BEGIN")
    spool.add(db, [row])
    db.execute("ROLLBACK")
    assert (get(db, "retrain"), spool.queued(db)) == (None, {})
    spool.add(db, [row])
    assert (get(db, "retrain"), spool.queued(db)["retrain"].items) == (b"then", 1)


@given(
    st.lists(st.tuples(st.sampled_from(spool.SIGNALS), st.integers(1, 50), st.integers(1, 2_000)), max_size=40),
    st.integers(1, 5_000),
    st.integers(0, 50),
)
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
