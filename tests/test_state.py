"""Ten thousand corrupted state files: set aside, or read as they were; never a surprise, never a crash."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.alerting.book import AlertBook
from agent.checkpoint.meta import Meta, series_id
from agent.checkpoint.series import dump, load_series
from agent.checkpoint.windows import dump_closed
from agent.counting.windows import Series
from agent.errors import CorruptError, RetryableError, SidelightError
from agent.export import spool
from agent.ingest.clients import Clients
from agent.records import Batch, Columns, ModelKey, Numbers
from agent.reference import file as reference_file
from agent.reference import learn_state
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.state import SCHEMA, Store, delete, get, keys, put, set_aside
from tests.ingest.door import HOUR_NS, reference

KEY = ModelKey("m", "1")


def _series() -> Series:
    one = Series(KEY, HOUR_NS, reference(), None)
    batch = Batch(KEY, 5, 0, Columns({"a": Numbers(np.linspace(0, 5, 5))}), Columns(), latency=np.full(5, 0.1))
    one.add(batch, False)
    one.close(0)
    one.add(Batch(KEY, 5, HOUR_NS, batch.features, batch.outputs), False)
    one.note_refusal("text_too_long", "features[t]", 3, "5000 bytes", 7)
    return one


def _learner() -> Learner:
    learner = Learner(blank("m", "1", 3600.0), 1000, 30)
    learner.add(Batch(KEY, 5, 0, Columns({"a": Numbers(np.linspace(0, 5, 5))}), Columns()), 0)
    return learner


def _client() -> bytes:
    clients = Clients(3)
    for sequence in range(20):
        clients.remember("c", sequence + 1, b"answer", 5, "m")
    return Clients.dump(next(iter(clients)))


def _make(key: ModelKey, found: Reference | None, note: str) -> Series:
    return Series(key, HOUR_NS, found, None)


def _fill(db: sqlite3.Connection) -> None:
    one, name = _series(), series_id(KEY)
    put(db, f"series/{name}", dump(one))
    for closed in one.recent:
        put(db, f"closed/{name}/{closed.index:020d}", dump_closed(closed))
    blobs = {"alerts": AlertBook().to_json().encode(), "client/c": _client(), "meta": Meta(7, {"x": "AAAA"}).pack()}
    for key, body in blobs.items():
        put(db, key, body)
    spool.add(db, [spool.SpoolRow(f"k{i}", "logs", 1, i, b"payload" * 20) for i in range(5)])


def _recover(db: sqlite3.Connection) -> int:
    """What a start reads; the number of series it found."""
    blob = get(db, "meta")
    if blob is not None:
        Meta.unpack(blob)
    series, _ = load_series(db, lambda _: (reference(), "given"), _make)
    for key in keys(db, "client/"):
        Clients(3).load(get(db, key) or b"")
    AlertBook.from_json((get(db, "alerts") or AlertBook().to_json().encode()).decode())
    spool.queued(db)
    spool.oldest(db, "logs")
    return len(series)


def _set_all_aside(db: sqlite3.Connection) -> None:
    db.execute("UPDATE OR REPLACE blob SET key = 'corrupt/' || key WHERE key NOT LIKE 'corrupt/%'")


def _damage(r: random.Random, data: bytes) -> bytes:
    body = bytearray(data)
    for _ in range(r.choice([1, 1, 1, 4, 40])):
        at, kind = r.randrange(len(body)) if body else 0, r.randrange(5)
        if not body:
            break
        if kind == 0:
            body[at] ^= 1 << r.randrange(8)
        elif kind == 1:
            body[at : at + r.randint(1, 64)] = r.randbytes(r.randint(1, 64))
        elif kind == 2:
            width = r.choice([1, 16, 512, 4096])
            body[at : at + width] = bytes(len(body[at : at + width]))
        elif kind == 3:
            body[at] = r.randrange(256)
        elif r.random() < 0.2:
            del body[at:]
    return bytes(body)


@pytest.mark.parametrize("seed", range(4))
def test_a_corrupt_store_is_set_aside_and_the_agent_starts(seed: int, tmp_path: Path) -> None:
    """475 times each: the file opens (set aside if need be), loads or says it is corrupt, and can be written again."""
    good = tmp_path / "good.db"
    store = Store(good)
    assert store.open() is False
    store.run_now(_fill)
    assert store.run_now(_recover) == 1
    store.close()
    data, r = good.read_bytes(), random.Random(seed)
    aside = whole = 0
    for _ in range(475):
        folder = Path(tempfile.mkdtemp(dir=_quick(tmp_path)))
        path = folder / "state.db"
        path.write_bytes(_damage(r, data))
        store = Store(path)
        try:
            aside += store.open()
            try:
                whole += store.run_now(_recover)
            except (CorruptError, RetryableError):
                store.run_now(_set_all_aside)
                assert store.run_now(_recover) == 0
            store.run_now(_fill)
            assert store.run_now(_recover) == 1
        finally:
            store.close()
            shutil.rmtree(folder)
    assert aside > 50
    assert whole > 20


def _quick(otherwise: Path) -> Path:
    """Memory instead of a disk that is shared: two thousand databases are made here."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else otherwise


BLOBS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], Any]]] = {
    "meta": (lambda: Meta(192, {"abc": "AAAA"}).pack(), Meta.unpack),
    "client": (_client, lambda blob: Clients(3).load(blob)),
    "alerts": (lambda: AlertBook().to_json().encode(), lambda blob: AlertBook.from_json(blob.decode(errors="replace"))),
    "reference": (lambda: reference_file.encode(reference()), reference_file.decode),
    "learner": (lambda: learn_state.encode(_learner()), learn_state.decode),
}


@pytest.mark.parametrize("name", sorted(BLOBS))
def test_a_corrupt_blob_is_said_to_be_one(name: str) -> None:
    """1,200 times each, past the checksum of the store: our own errors, or a value."""
    make, read = BLOBS[name]
    good, r = make(), random.Random(name)
    read(good)
    refused = 0
    for _ in range(1200):
        try:
            read(_damage(r, good))
        except SidelightError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("kind", ["series", "closed", "reference"])
def test_a_corrupt_series_is_left_out(kind: str) -> None:
    """700 times each, with a checksum that fits: the series is restored or set aside and counted; the store goes on."""
    r = random.Random(kind)
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(SCHEMA)
    _fill(db)
    if kind == "reference":
        name = series_id(KEY)
        put(db, f"reference/{name}", reference_file.encode(reference()))
    rows = db.execute("SELECT key, body FROM blob").fetchall()
    (target, good) = next((key, body) for key, body in rows if key.startswith(f"{kind}/"))
    left_out = 0
    for _ in range(700):
        db.execute("DELETE FROM blob")
        for key, body in rows:
            put(db, key, _damage(r, good) if key == target else body)
        given = None if kind == "reference" else reference()
        found, corrupt = load_series(db, lambda _, given=given: (given, "given"), _make)  # type: ignore[misc]
        assert len(found) + corrupt == 1
        left_out += corrupt
        for one in found:
            dump(one)
    db.close()
    assert left_out > 50 or kind == "closed"  # a closed window may be left out alone


WRONG = (
    ("1e3", "{}"),
    ("-1", "{}"),
    ('"7"', "{}"),
    ("7", "[1]"),
    ("7", '{"a": 5}'),
)
TEXTS = [f'{{"format": 1, "offset": {o}, "baselines": {b}}}' for o, b in WRONG]


@pytest.mark.parametrize("text", [*TEXTS, "[]", "7", "[" * 100_000], ids=range(8))
def test_a_meta_of_wrong_types_is_corrupt(text: str) -> None:
    """The offset decides what is replayed: a whole number, or nothing."""
    with pytest.raises(CorruptError):
        Meta.unpack(text.encode())


def test_a_blob_is_checked_before_it_is_given(tmp_path: Path) -> None:
    """get is put, or CorruptError; keys come sorted; a failed piece of work leaves nothing behind."""
    store = Store(tmp_path / "s.db")
    store.open()

    def work(db: sqlite3.Connection) -> None:
        put(db, "b/2", b"two")
        put(db, "b/1", b"")
        put(db, "c/1", b"x")
        delete(db, "c/1")
        db.execute("UPDATE blob SET body = x'00' WHERE key = 'b/2'")

    store.run_now(work)
    assert store.run_now(lambda db: (keys(db, "b/"), get(db, "b/1"), get(db, "none"))) == (["b/1", "b/2"], b"", None)
    with pytest.raises(CorruptError):
        store.run_now(lambda db: get(db, "b/2"))

    def failing(db: sqlite3.Connection) -> None:
        put(db, "d", b"x")
        raise CorruptError("x")

    with pytest.raises(CorruptError):
        store.run_now(failing)
    assert store.run_now(lambda db: get(db, "d")) is None
    store.close()
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600


def test_the_newest_three_are_kept(tmp_path: Path) -> None:
    """Setting aside does not fill the disk."""
    for number in range(5):
        (tmp_path / "s.db").write_text(f"{number}")
        set_aside(tmp_path / "s.db")
    found = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert found == {"s.db.corrupt-0": "4", "s.db.corrupt-1": "3", "s.db.corrupt-2": "2"}
