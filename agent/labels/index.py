"""Where each id's row lies: newest entries in memory, older in sorted runs on disk, eight of a size merged to one.

Entries are only ever added; a mark (this one is labelled) is an entry too, and wins over the row of its key. New ones
are in a tail file with each checkpoint until they are in a run. Where a run turns out to be corrupt, all are made anew
from the rows and marks themselves: without it a mark may be missing, and a prediction be joined twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from agent.counting.fingerprints import Hashes
from agent.errors import CorruptError
from agent.labels import runs
from agent.labels.files import closed, paired
from agent.labels.runs import Entries, Run
from agent.labels.sieve import Sieve, order_of
from agent.records import Ints

MEMORY = 65_536  # entries held in memory before they become a run: 1 MiB
FANOUT = 8  # runs of a size that become one
BEHIND_MAX = 6  # full tables that wait for the background; then it is waited for
FULL_MAX = 16  # the same where the disk takes nothing; then entries are turned away
RENEWED_MAX = 2  # times that a broken index is made anew for one look-up
log = logging.getLogger("sidelight.labels")
Install = Callable[[], None]


@dataclass(slots=True)
class Table:
    """Entries in memory, as they came. number: of its tail file; stored: entries in that."""

    number: int
    parts: list[Entries] = field(default_factory=list)
    count: int = 0
    stored: int = 0
    synced: bool = True
    digest: Any = field(default_factory=xxhash.xxh3_64)

    def add(self, keys: Hashes, wheres: Hashes) -> None:
        self.parts.append((keys, wheres))
        self.count += len(keys)

    def whole(self) -> Entries:
        """All entries, in the order they came; put together once."""
        if len(self.parts) != 1:
            empty = np.zeros(0, np.uint64)
            keys = np.concatenate([empty, *(keys for keys, _ in self.parts)])
            self.parts = [(keys, np.concatenate([empty, *(wheres for _, wheres in self.parts)]))]
        return self.parts[0]

    def store(self, folder: Path) -> int:
        """Appends what is new to the tail file, which is to be synced. Returns its descriptor, -1 where nothing is new.
        Raises OSError."""
        if self.stored == self.count and self.synced:
            return -1
        keys, wheres = self.whole()
        fresh = paired(keys[self.stored :], wheres[self.stored :])
        fd = os.open(tail_path(folder, self.number), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, self.stored * 16)
            written = 0
            while written < len(fresh):
                written += os.pwrite(fd, memoryview(fresh)[written:], self.stored * 16 + written)
        except BaseException:
            os.close(fd)
            raise
        self.digest.update(fresh)
        self.stored, self.synced = self.count, True
        return fd


class Index:
    """One writer; `find` may run in a thread while nothing is added. live, known: segments with rows, and those whose
    marks still count. take: a number for a new file; whole: all entries there should be, in parts that fit in memory,
    from what they were made of."""

    def __init__(self, folder: Path, take: Callable[[], int], whole: Callable[[], Iterator[Entries]]) -> None:
        self._folder, self._take, self._whole = folder, take, whole
        self.table = Table(take())
        self.full: list[Table] = []
        self.runs: list[Run] = []
        self.gone: list[Run | Path] = []  # files that the next checkpoint no longer names
        self.corrupt = 0
        self.broken = False  # entries are missing: they are to be made anew before anything is looked up
        self.failing = False  # the disk took no run
        self._made = 0  # times that they were made anew
        self.idle = False  # looked for work and found none, and nothing has changed since

    @property
    def behind(self) -> bool:
        """Whether so much waits for the background that it is to be waited for."""
        return len(self.full) >= BEHIND_MAX and not (self.failing or self.broken)

    @property
    def turns_away(self) -> bool:
        """Whether the disk has taken nothing for so long that no more entries may wait for it in memory."""
        return len(self.full) >= FULL_MAX and self.failing

    @property
    def bytes(self) -> int:
        return sum(run.bytes for run in self.runs) + 16 * (self.table.count + sum(one.count for one in self.full))

    def add(self, keys: Hashes, wheres: Hashes) -> None:
        self.table.add(keys, wheres)
        if self.table.count >= MEMORY:
            self.table.whole()
            self.full.append(self.table)
            self.idle = False
            self.table = Table(self._take())

    def held(self) -> tuple[tuple[Entries, ...], tuple[Run, ...]]:
        """What there is to find now. The tables first: what becomes a run meanwhile is in both, and not in neither."""
        return tuple(table.whole() for table in (*self.full, self.table)), tuple(self.runs)

    def find(self, keys: Hashes) -> tuple[Ints, Hashes]:
        """For keys that rise, each once: places among them and wheres, of all entries that match; some may come twice.
        A broken index is made anew first; where the disk takes nothing, what is whole is looked up alone."""
        renewed = 0
        while True:
            if self.broken and renewed < RENEWED_MAX:
                self.renew()
                renewed += 1
            try:
                return self.find_in(keys, self.held())
            except CorruptError as error:
                if not self.set_aside(str(error)):
                    raise

    def find_in(self, keys: Hashes, held: tuple[tuple[Entries, ...], tuple[Run, ...]]) -> tuple[Ints, Hashes]:
        """The same in what was there at another time. Raises CorruptError."""
        tables, sorted_runs = held
        sieve = Sieve(keys)
        several = [run.find(sieve) for run in sorted_runs]
        several += [_sought(sieve, table) for table in tables]
        return np.concatenate([at for at, _ in several]), np.concatenate([wheres for _, wheres in several])

    def renew(self) -> None:
        """Makes every entry anew. May run in a thread, while nothing is added."""
        made: list[Run] = []
        try:
            for keys, wheres in self._whole():
                order = order_of(keys)
                number = self._take()
                if runs.write(run_path(self._folder, number), [(keys[order], wheres[order])]):
                    made.append(Run.open(run_path(self._folder, number), number))
        except OSError as error:
            log.error("labels_index_not_renewed error=%s", error)
            for run in made:
                run.drop()
            return
        self.gone += [*self.runs, *(tail_path(self._folder, one.number) for one in (*self.full, self.table))]
        self.runs, self.full, self.table = made, [], Table(self._take())
        self.broken, self.idle = False, False
        self._made += 1
        log.warning("labels_index_renewed entries=%d", sum(run.entries for run in made))

    def work(self, live: Ints, known: Ints) -> Callable[[], Install] | None:
        """The next piece of background work, if any: it may run in a thread, and gives what is to be done afterwards
        where entries are added."""
        if self.idle or self.broken:
            return None
        made = self._made
        if self.full:
            table, number = self.full[0], self._take()
            return lambda: self._write(number, _sorted(table, live, known), (), table, made)
        dead = [run for run in self.runs if run.last < int(known.min(initial=1 << 30))]
        if dead:
            return lambda: lambda: self._replace(dead, None, None, made)
        for level in range(12):
            same = [run for run in self.runs if _level(run.entries) == level]
            if len(same) >= FANOUT:
                number = self._take()
                return lambda: self._write(number, runs.merged(same, live, known), same, None, made)
        self.idle = True
        return None

    def _write(
        self, number: int, parts: Iterator[Entries], old: Sequence[Run], table: Table | None, made: int
    ) -> Install:
        """Raises OSError where the disk takes nothing; then all is as it was."""
        path = run_path(self._folder, number)
        try:
            run = Run.open(path, number) if runs.write(path, parts) else None
            self.failing = False
        except OSError:
            self.failing = True
            raise
        except CorruptError as error:
            said = str(error)

            def aside() -> None:
                self.set_aside(said)

            return aside
        return lambda: self._replace(list(old), run, table, made)

    def _replace(self, old: list[Run], run: Run | None, table: Table | None, made: int) -> None:
        self.idle = False
        if made != self._made:  # all was made anew meanwhile
            if run is not None:
                run.drop()
            return
        at = self.runs.index(old[0]) if old and old[0] in self.runs else len(self.runs)
        if run is not None:
            self.runs.insert(at, run)
        self.runs = [run for run in self.runs if run not in old]
        self.gone += old
        if table is not None:
            self.full.remove(table)
            self.gone.append(tail_path(self._folder, table.number))

    def set_aside(self, error: str) -> bool:
        """A run that cannot be read, which the error names first, is kept for who wants to look at it. False where it
        is gone already."""
        bad = [run for run in self.runs if error.startswith(f"{run.path.name}:")]
        if bad:
            log.warning("labels_run_set_aside error=%s", error)
            self.corrupt += 1
            self.broken = True
            self.runs = [run for run in self.runs if run not in bad]
            with contextlib.suppress(OSError):
                bad[0].path.rename(bad[0].path.with_suffix(".corrupt"))
        return bool(bad)

    # ── checkpoints ──

    def store(self) -> tuple[dict[str, Any], list[int]]:
        """What a checkpoint holds of it, and descriptors to sync and close before that is written. Raises OSError."""
        tables, fds = (*self.full, self.table), []
        try:
            for table in tables:
                fds += [fd for fd in (table.store(self._folder),) if fd >= 0]
        except OSError:
            closed(fds)
            raise
        held = [[table.number, table.stored, table.digest.intdigest()] for table in tables]
        return {"runs": [run.number for run in self.runs], "tails": held}, fds

    def unsynced(self) -> None:
        """What was told to the disk may not have got there."""
        for table in (*self.full, self.table):
            table.synced = not table.stored

    def load(self, held: dict[str, Any]) -> None:
        """Opens what a checkpoint names. What is corrupt is set aside and counted, and all is made anew."""
        for number in held["runs"]:
            try:
                self.runs.append(Run.open(run_path(self._folder, number), number))
            except (CorruptError, OSError) as error:
                self.corrupt += 1
                self.broken = True
                log.warning("labels_run_set_aside error=%s", error)
                path = run_path(self._folder, number)
                if path.exists():
                    path.rename(path.with_suffix(".corrupt"))
        tables = [self._load_tail(*tail) for tail in held["tails"]]
        self.full, self.table = tables[:-1], tables[-1]

    def _load_tail(self, number: int, count: int, digest: int) -> Table:
        table, path = Table(number), tail_path(self._folder, number)
        raw = path.read_bytes()[: count * 16] if count and path.exists() else b""
        if len(raw) != count * 16 or (count and xxhash.xxh3_64_intdigest(raw) != digest):
            self.corrupt += 1
            self.broken = True
            log.warning("labels_tail_set_aside path=%s", path.name)
            if path.exists():
                path.rename(path.with_suffix(".corrupt"))
            return Table(self._take())
        pairs = np.frombuffer(raw, "<u8").reshape(-1, 2)
        table.add(pairs[:, 0].copy(), pairs[:, 1].copy())
        table.stored = count
        table.digest.update(raw)
        return table


def _level(entries: int) -> int:
    level = 0
    while entries > MEMORY * 3:
        entries //= FANOUT
        level += 1
    return level


def _sorted(table: Table, live: Ints, known: Ints) -> Iterator[Entries]:
    keys, wheres = table.whole()
    order = order_of(keys)
    yield runs.kept(keys[order], wheres[order], live, known)


def _sought(sieve: Sieve, entries: Entries) -> tuple[Ints, Hashes]:
    """In entries that are not sorted."""
    held, wheres = entries
    at, hits = sieve.find(held)
    return at, wheres[hits]


def run_path(folder: Path, number: int) -> Path:
    return folder / f"run-{number}"


def tail_path(folder: Path, number: int) -> Path:
    return folder / f"tail-{number}"
