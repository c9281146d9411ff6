"""The embedded store: one SQLite file (WAL mode), one thread that touches it, one transaction at a time.

`synchronous=NORMAL`: a killed process loses nothing committed, a dead host at most the last unsynced second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import xxhash

from agent.errors import ConfigurationError, CorruptError, RetryableError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
log = logging.getLogger("sidelight.state")

SCHEMA = """
CREATE TABLE IF NOT EXISTS blob (key TEXT PRIMARY KEY, checksum BLOB NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spool (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,          -- idempotence: the same key is never stored twice
  signal TEXT NOT NULL,              -- one of export/spool.py's
  items INTEGER NOT NULL,            -- points, spans, records in it
  created_ns INTEGER NOT NULL,
  size INTEGER NOT NULL,
  checksum BLOB NOT NULL,
  payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS spool_by_signal ON spool (signal, id);
"""


class Store:
    """Owns the connection. `run` executes one piece of work in the store's own thread, inside one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sidelight-store")
        self._db: sqlite3.Connection | None = None

    def open(self) -> bool:
        """Opens or makes the file; a corrupt one is set aside under another name. True if one was set aside."""
        return self._thread.submit(self._open).result()

    async def run(self, work: Work[T]) -> T:
        """Raises RetryableError when the file cannot be written now, CorruptError when it is broken; rolled back."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def run_now(self, work: Work[T]) -> T:
        """The same, waiting for it: for start, stop and tests."""
        return self._thread.submit(self._transaction, work).result()

    async def sync(self) -> None:
        """Forces the committed transactions to the disk itself: in WAL mode a commit alone may wait for minutes."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._sync)

    async def start_anew(self) -> None:
        """Sets the file aside and begins an empty one: it turned out to be corrupt."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._start_anew)

    def close(self) -> None:
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _open(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._connect()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if not _corrupt(error):  # a full disk, say: what lies there is whole, and worth keeping
                expected = f"a folder whose state can be opened ({error})"
                raise ConfigurationError("SIDELIGHT_STATE_DIR", self._path.parent, expected) from error
            self._set_aside(error)
            return True
        return False

    def _set_aside(self, error: Exception) -> None:
        for end in ("-wal", "-shm"):  # the log may hold what the file lacks: it goes along
            path = self._path.with_name(self._path.name + end)
            if path.exists():
                set_aside(path)
        log.warning("state_set_aside path=%s error=%s", set_aside(self._path), error)
        self._db = self._connect()

    def _start_anew(self) -> None:
        self._close()
        self._set_aside(CorruptError("found while it was in use"))

    def _sync(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            file = os.open(self._path.with_name(self._path.name + "-wal"), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(file)
            finally:
                os.close(file)

    def _connect(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600, exist_ok=True)
        os.chmod(self._path, 0o600)
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA cache_size=-2048")
            db.execute("PRAGMA journal_size_limit=4194304")
            if db.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("integrity_check failed")
            db.executescript(SCHEMA)
            if _columns(db) != _expected_columns():
                raise sqlite3.DatabaseError("the tables are not ours")
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            db.close()
            raise
        return db

    def _transaction(self, work: Work[T]) -> T:
        db = self._db
        if db is None:
            raise RetryableError("the store is closed")
        try:
            db.execute("BEGIN IMMEDIATE")
            found = work(db)
            db.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as error:  # sqlite3 decodes names in a broken schema, too
            if db.in_transaction:
                db.execute("ROLLBACK")
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise CorruptError(f"the store is corrupt: {error}") from error
            raise RetryableError(f"the store could not be written: {error}") from error
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return found

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _corrupt(error: Exception) -> bool:
    """Whether the file itself is at fault; not what keeps it from being read or written now."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    passing = (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
    )
    return code == sqlite3.SQLITE_IOERR_SHORT_READ or code & 0xFF not in passing


def _columns(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Name, type and key of every column: a flipped bit in the schema may leave it legal, but another."""
    return [tuple(row) for table in ("blob", "spool") for row in db.execute(f"PRAGMA table_info({table})")]


def _expected_columns() -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        return _columns(db)


def put(db: sqlite3.Connection, key: str, body: bytes) -> None:
    """Stores a blob with its checksum."""
    db.execute("INSERT OR REPLACE INTO blob VALUES (?, ?, ?)", (key, checksum(body), body))


def get(db: sqlite3.Connection, key: str) -> bytes | None:
    """The blob, or None. Raises CorruptError when its checksum does not fit."""
    row = db.execute("SELECT checksum, body FROM blob WHERE key = ?", (key,)).fetchone()
    return None if row is None else _checked(key, row[0], row[1])


def keys(db: sqlite3.Connection, prefix: str) -> list[str]:
    """All keys that begin with `prefix`, sorted."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return [row[0] for row in db.execute("SELECT key FROM blob WHERE key >= ? AND key < ? ORDER BY key", (prefix, end))]


def delete(db: sqlite3.Connection, key: str) -> None:
    db.execute("DELETE FROM blob WHERE key = ?", (key,))


def checksum(body: bytes) -> bytes:
    return xxhash.xxh3_64_digest(body)


def _checked(key: str, digest: object, body: object) -> bytes:
    if not isinstance(body, bytes) or digest != checksum(body):
        raise CorruptError(f"stored blob {key}: checksum does not fit")
    return body


def set_aside(path: Path) -> Path:
    """Moves a corrupt file out of the way; keeps the newest three."""
    for number in (2, 1, 0):
        older = path.with_name(f"{path.name}.corrupt-{number}")
        if older.exists():
            if number == 2:
                older.unlink()
            else:
                older.rename(path.with_name(f"{path.name}.corrupt-{number + 1}"))
    aside = path.with_name(f"{path.name}.corrupt-0")
    if path.exists():
        path.rename(aside)
    return aside
