"""Where each id's row lies: newest entries in memory, older in sorted runs on disk, eight of a size merged to one.

Entries are only ever added; a mark (this one is labelled) is an entry too, and wins over the row of its key. New ones
are in a tail file with each checkpoint until they are in a run.
"""

from __future__ import annotations

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
from agent.labels.runs import Entries, Run
from agent.records import Ints

MEMORY = 65_536  # entries held in memory before they become a run: 1 MiB
FANOUT = 8  # runs of a size that become one
BEHIND_MAX = 6  # full tables that wait for the background; then it is waited for
log = logging.getLogger("sidelight.labels")
Install = Callable[[], None]


@dataclass(slots=True)
class Table:
    """Entries in memory, as they came. number: of its tail file; stored: entries in that."""

    number: int
    parts: list[Entries] = field(default_factory=list)
    count: int = 0
    stored: int = 0
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
        """Appends what is new to the tail file, which is to be synced. Returns its descriptor, -1 where nothing is."""
        if self.stored == self.count:
            return -1
        keys, wheres = self.whole()
        fresh = np.column_stack((keys[self.stored :], wheres[self.stored :])).tobytes()
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
        self.stored = self.count
        return fd


class Index:
    """One writer; `find` may run in a thread while nothing is added. live, known: segments with rows, and those whose
    marks still count. take: a number for a new file."""

    def __init__(self, folder: Path, take: Callable[[], int]) -> None:
        self._folder, self._take = folder, take
        self.table = Table(take())
        self.full: list[Table] = []
        self.runs: list[Run] = []
        self.gone: list[Run | Path] = []  # files that the next checkpoint no longer names
        self.corrupt = 0
        self.idle = False  # looked for work and found none, and nothing has changed since
        self.entries_merged = 0

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

    def find(
        self, keys: Hashes, held: tuple[tuple[Entries, ...], tuple[Run, ...]] | None = None
    ) -> tuple[Ints, Hashes]:
        """For keys that rise, each once: places among them and wheres, of all entries that match; some may come twice.
        held: what was there at another time."""
        tables, sorted_runs = held or self.held()
        places, found = [], []
        for run in sorted_runs:
            try:
                at, wheres = run.find(keys)
            except CorruptError as error:
                self._set_aside(run, str(error))
                continue
            places.append(at)
            found.append(wheres)
        for table in tables:
            at, wheres = _sought(keys, table)
            places.append(at)
            found.append(wheres)
        return np.concatenate(places), np.concatenate(found)

    def work(self, live: Ints, known: Ints) -> Callable[[], Install] | None:
        """The next piece of background work, if any: it may run in a thread, and gives what is to be done afterwards
        where entries are added."""
        if self.idle:
            return None
        if self.full:
            table, number = self.full[0], self._take()
            return lambda: self._write(number, _sorted(table, live, known), (), table)
        dead = [run for run in self.runs if run.last < int(known.min(initial=1 << 30))]
        if dead:
            return lambda: lambda: self._replace(dead, None, None)
        for level in range(12):
            same = [run for run in self.runs if _level(run.entries) == level]
            if len(same) >= FANOUT:
                number = self._take()
                return lambda: self._write(number, self._counted(runs.merged(same, live, known)), same, None)
        self.idle = True
        return None

    def _counted(self, parts: Iterator[Entries]) -> Iterator[Entries]:
        for keys, wheres in parts:
            self.entries_merged += len(keys)
            yield keys, wheres

    def _write(self, number: int, parts: Iterator[Entries], old: Sequence[Run], table: Table | None) -> Install:
        path = run_path(self._folder, number)
        try:
            count = runs.write(path, parts)
        except CorruptError as error:
            said = str(error)
            bad = [run for run in old if said.startswith(f"{run.path.name}:")]  # it says which
            path.unlink(missing_ok=True)
            return lambda: self._set_aside(bad[0], said)
        made = Run.open(path, number) if count else None
        return lambda: self._replace(list(old), made, table)

    def _replace(self, old: list[Run], made: Run | None, table: Table | None) -> None:
        self.idle = False
        at = self.runs.index(old[0]) if old and old[0] in self.runs else len(self.runs)
        if made is not None:
            self.runs.insert(at, made)
        self.runs = [run for run in self.runs if run not in old]
        self.gone += old
        if table is not None:
            self.full.remove(table)
            self.gone.append(tail_path(self._folder, table.number))

    def _set_aside(self, run: Run, error: str) -> None:
        """A run that cannot be read costs its own entries."""
        self.corrupt += 1
        log.warning("labels_run_set_aside error=%s", error)
        if run in self.runs:
            self.runs.remove(run)
            run.path.rename(run.path.with_suffix(".corrupt"))

    # ── checkpoints ──

    def store(self) -> tuple[dict[str, Any], list[int]]:
        """What a checkpoint holds of it, and descriptors to sync and close before that is written."""
        tables = (*self.full, self.table)
        fds = [fd for table in tables if (fd := table.store(self._folder)) >= 0]
        held = [[table.number, table.stored, table.digest.intdigest()] for table in tables]
        return {"runs": [run.number for run in self.runs], "tails": held}, fds

    def load(self, held: dict[str, Any]) -> None:
        """Opens what a checkpoint names. What is corrupt is set aside and counted."""
        for number in held["runs"]:
            try:
                self.runs.append(Run.open(run_path(self._folder, number), number))
            except CorruptError as error:
                self.corrupt += 1
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
            log.warning("labels_tail_set_aside path=%s", path.name)
            if path.exists():
                path.rename(path.with_suffix(".corrupt"))
            return Table(self._take())
        pairs = np.frombuffer(raw, "<u8").reshape(-1, 2)
        table.add(pairs[:, 0].copy(), pairs[:, 1].copy())
        table.stored = count
        table.digest.update(raw)
        return table

    def close(self) -> None:
        for run in (*self.runs, *(one for one in self.gone if isinstance(one, Run))):
            run.close()


def _level(entries: int) -> int:
    level = 0
    while entries > MEMORY * 3:
        entries //= FANOUT
        level += 1
    return level


def _sorted(table: Table, live: Ints, known: Ints) -> Iterator[Entries]:
    keys, wheres = table.whole()
    order = np.argsort(keys)
    yield runs.kept(keys[order], wheres[order], live, known)


def _sought(keys: Hashes, entries: Entries) -> tuple[Ints, Hashes]:
    """In entries that are not sorted."""
    held, wheres = entries
    if not len(held) or not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    places = np.minimum(np.searchsorted(keys, held), len(keys) - 1)
    hit = np.flatnonzero(keys[places] == held)
    return places[hit], wheres[hit]


def run_path(folder: Path, number: int) -> Path:
    return folder / f"run-{number}"


def tail_path(folder: Path, number: int) -> Path:
    return folder / f"tail-{number}"
