"""Files that only grow. What the disk has no room for waits in memory, is read from there, and is written later."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.counting.fingerprints import Hashes

FILE_MARKS = 262_144  # marks of one file: 4 MiB


@dataclass(slots=True, eq=False)
class Grown:
    """One file, opened when it is first needed. written: bytes in it; synced: of them those told to the disk; waiting:
    what comes behind them."""

    path: Path
    written: int = 0
    synced: int = 0
    fd: int = -1
    waiting: list[bytes] = field(default_factory=list)
    pending: int = 0  # bytes that wait

    @property
    def size(self) -> int:
        return self.written + self.pending

    def add(self, data: bytes) -> None:
        self.waiting.append(data)
        self.pending += len(data)

    def open(self) -> None:
        """Raises OSError."""
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def cut(self, size: int) -> None:
        """Opens a file whose bytes behind `size` are nothing."""
        self.open()
        os.ftruncate(self.fd, size)
        self.written = self.synced = size

    def write(self) -> None:
        """Raises OSError; then what was to be written waits on."""
        if not self.waiting:
            return
        self.open()
        whole = self.waiting[0] if len(self.waiting) == 1 else b"".join(self.waiting)
        data, done = memoryview(whole), 0
        while done < len(data):
            done += os.pwrite(self.fd, data[done:], self.written + done)
        self.written, self.waiting, self.pending = self.written + done, [], 0

    def fresh(self) -> int:
        """A duplicate descriptor to sync, or -1 where nothing is new."""
        if self.synced == self.written:
            return -1
        self.open()
        found = os.dup(self.fd)
        self.synced = self.written
        return found

    def read(self, into: memoryview, at: int) -> int:
        """Fills it from byte `at` on. Returns how many bytes came; fewer where they are gone or cannot be read. Raises
        OSError where the file cannot be opened now."""
        size = 0
        if at < self.written:
            self.open()
            with contextlib.suppress(OSError):
                size = os.preadv(self.fd, [into[: self.written - at]], at)
        if size < len(into) and at + size >= self.written and self.waiting:
            behind = memoryview(b"".join(self.waiting))[at + size - self.written :][: len(into) - size]
            into[size : size + len(behind)] = behind
            size += len(behind)
        return size

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def drop(self) -> None:
        """Closes and deletes it."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


@dataclass(slots=True, eq=False)
class MarkFile:
    """newest_ns: arrival of the newest label in it."""

    number: int
    newest_ns: int
    file: Grown


class Marks:
    """What was labelled, once more beside the index and in the order it came: 16 bytes each, read only to make a
    broken index anew. A file is thrown away when all that it marks is. take: a number for a new file."""

    def __init__(self, folder: Path, take: Callable[[], int]) -> None:
        self._folder, self._take = folder, take
        self.files: list[MarkFile] = []  # oldest first
        self.gone: list[Grown] = []

    @property
    def bytes(self) -> int:
        return sum(one.file.size for one in self.files)

    @property
    def pending(self) -> int:
        return sum(one.file.pending for one in self.files[-2:])

    def add(self, keys: Hashes, wheres: Hashes, now_ns: int) -> None:
        """In memory until `store`."""
        if not self.files or self.files[-1].file.size >= FILE_MARKS * 16:
            number = self._take()
            self.files.append(MarkFile(number, now_ns, Grown(marks_path(self._folder, number))))
        one = self.files[-1]
        one.newest_ns = max(one.newest_ns, now_ns)
        one.file.add(paired(keys, wheres))

    def parts(self) -> Iterator[tuple[Hashes, Hashes]]:
        """Keys and wheres, a file's at once."""
        for one in self.files:
            raw = bytearray(one.file.size)
            count = one.file.read(memoryview(raw), 0) // 16
            self._rest(one)
            pairs = np.frombuffer(raw, "<u8").reshape(-1, 2)[:count]
            yield pairs[:, 0].copy(), pairs[:, 1].copy()

    def expire(self, before_ns: int) -> None:
        """Throws away files with nothing newer."""
        self.gone += [one.file for one in self.files if one.newest_ns < before_ns]
        self.files = [one for one in self.files if one.newest_ns >= before_ns]

    def store(self) -> tuple[list[list[int]], list[int]]:
        """What a checkpoint holds of them, and descriptors to sync before that is written. Raises OSError."""
        for one in self.files:
            one.file.write()
        fds: list[int] = []
        for one in self.files:
            gathered(fds, one.file)
            self._rest(one)
        return [[one.number, one.newest_ns, one.file.written] for one in self.files], fds

    def load(self, held: list[list[int]]) -> int:
        """Opens what a checkpoint names. Returns marks that are lost."""
        lost = 0
        for number, newest_ns, size in held:
            file = Grown(marks_path(self._folder, number))
            there = file.path.stat().st_size if file.path.exists() else 0
            lost += max(0, size - there) // 16
            file.cut(min(size, there - there % 16))
            file.close()
            self.files.append(MarkFile(number, newest_ns, file))
        return lost

    def _rest(self, one: MarkFile) -> None:
        """Only the newest stays open."""
        if one is not self.files[-1]:
            one.file.close()

    def unsynced(self) -> None:
        """What was told to the disk may not have got there."""
        for one in self.files:
            one.file.synced = min(one.file.synced, one.file.written - 1)

    def close(self) -> None:
        for file in (*(one.file for one in self.files), *self.gone):
            file.close()


def paired(keys: Hashes, wheres: Hashes) -> bytes:
    """Each key and its where, side by side."""
    found = np.empty((len(keys), 2), np.uint64)
    found[:, 0], found[:, 1] = keys, wheres
    return found.tobytes()


def gathered(fds: list[int], file: Grown) -> None:
    """Adds a duplicate of its descriptor where there is something to sync; where that fails none is left open."""
    try:
        fd = file.fresh()
    except OSError:
        closed(fds)
        raise
    if fd >= 0:
        fds.append(fd)


def closed(fds: list[int]) -> None:
    while fds:
        os.close(fds.pop())


def marks_path(folder: Path, number: int) -> Path:
    return folder / f"marks-{number}"
