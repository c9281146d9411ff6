"""One sorted run of index entries in a file: (key, where), never changed, found in by bisection, merged in streams.

    chunk: up to 16,384 keys, then as many wheres │ … │ footer: fences, checksums │ counts, xxh3 of the footer

A fence is each 512th key; these and a checksum for each chunk are all that is held in memory: 2 bytes an entry at
most. Files are read with pread, so that what is read is the kernel's to keep or to give back.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from agent.counting.fingerprints import Hashes
from agent.errors import CorruptError
from agent.records import Bools, Ints

CHUNK = 16_384  # entries read, checked and merged at once: 256 KiB
BLOCK = 512  # keys between two fences: a page
FEW = 12  # keys sought in one chunk up to which single pages are read instead of the whole chunk
TAIL = struct.Struct("<QQQQ")  # entries, first and last segment, xxh3
Entries = tuple[Hashes, Hashes]  # keys and wheres, of equal length

# Where: two bits of kind, 30 of segment, 32 of row; of a mark the truth's digest in place of the row.
ROW, MARK = 0, 1
KIND_SHIFT, SEGMENT_SHIFT = np.uint64(62), np.uint64(32)
SEGMENT_MASK, LOW_MASK = np.uint64((1 << 30) - 1), np.uint64((1 << 32) - 1)


def where(kind: int, segment: int | Ints, low: Ints | npt.NDArray[np.uint32]) -> Hashes:
    """Puts entries' places together."""
    head = np.asarray(segment, dtype=np.uint64) << SEGMENT_SHIFT
    return (np.uint64(kind) << KIND_SHIFT) | head | np.asarray(low, dtype=np.uint64)


def is_mark(wheres: Hashes) -> Bools:
    return np.asarray((wheres >> KIND_SHIFT) == MARK)


def segments_of(wheres: Hashes) -> Ints:
    return ((wheres >> SEGMENT_SHIFT) & SEGMENT_MASK).astype(np.int64)


def low_of(wheres: Hashes) -> Ints:
    return (wheres & LOW_MASK).astype(np.int64)


@dataclass(slots=True, eq=False)
class Run:
    """An open run. first, last: of the segments its entries point to."""

    path: Path
    number: int
    fd: int
    entries: int
    first: int
    last: int
    fences: Hashes
    checks: Hashes

    @property
    def bytes(self) -> int:
        return self.entries * 16 + self.fences.nbytes + self.checks.nbytes + TAIL.size

    @classmethod
    def open(cls, path: Path, number: int) -> Run:
        """Raises CorruptError where the footer is not whole."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CorruptError(f"{path.name}: {error.strerror}") from None
        try:
            size = os.fstat(fd).st_size
            entries, first, last, digest = TAIL.unpack(os.pread(fd, TAIL.size, max(0, size - TAIL.size)))
            fences, chunks = -(-entries // BLOCK), -(-entries // CHUNK)
            if size != entries * 16 + (fences + chunks) * 8 + TAIL.size:
                raise CorruptError(f"{path.name}: {size} bytes for {entries} entries")
            footer = os.pread(fd, (fences + chunks) * 8, entries * 16)
            if _footed(footer, entries, first, last) != digest:
                raise CorruptError(f"{path.name}: checksum of the footer")
        except (CorruptError, struct.error) as error:
            os.close(fd)
            raise CorruptError(str(error)) from None
        numbers = np.frombuffer(footer, "<u8")
        return cls(path, number, fd, entries, first, last, numbers[:fences], numbers[fences:])

    def close(self) -> None:
        os.close(self.fd)

    def chunk(self, number: int, into: bytearray | None = None) -> Entries:
        """Raises CorruptError where its checksum does not fit."""
        count = min(CHUNK, self.entries - number * CHUNK)
        buffer = memoryview(bytearray(count * 16) if into is None else into)[: count * 16]
        got = os.preadv(self.fd, [buffer], number * CHUNK * 16)
        if got != count * 16 or xxhash.xxh3_64_intdigest(buffer) != int(self.checks[number]):
            raise CorruptError(f"{self.path.name}: checksum of chunk {number}")
        found = np.frombuffer(buffer, "<u8")
        return found[:count], found[count:]

    def find(self, keys: Hashes) -> tuple[Ints, Hashes]:
        """For keys that rise: places among them and wheres, of all entries that match. Pages of chunks with few of them
        are read singly, unchecked: what they point to is checked itself."""
        places: list[Ints] = []
        found: list[Hashes] = []
        starts = np.searchsorted(keys, self.fences[:: CHUNK // BLOCK]).tolist()
        buffer = bytearray(min(CHUNK, self.entries) * 16)
        for number, begin in enumerate(starts):
            # Equal keys may go on from the chunk before.
            low = begin if number else 0
            high = starts[number + 1] if number + 1 < len(starts) else len(keys)
            high += 1 if high < len(keys) and number + 1 < len(starts) and keys[high] == self._begins(number + 1) else 0
            if low >= high:
                continue
            own = keys[low:high]
            if high - low <= FEW:
                for i in range(high - low):
                    some = self._single(number, own[i])
                    places += [np.full(len(some), low + i)] * bool(len(some))
                    found += [some] * bool(len(some))
                continue
            held, wheres = self.chunk(number, buffer)
            at = np.searchsorted(held, own)
            hits = np.arange(len(own))
            while True:  # once more for each time that a key comes again
                inside = at < len(held)
                equal = held[at[inside]] == own[hits[inside]]
                hits, at = hits[inside][equal], at[inside][equal]
                if not len(hits):
                    break
                places.append(hits + low)
                found.append(wheres[at])
                at = at + 1
        if not places:
            return np.zeros(0, np.int64), np.zeros(0, np.uint64)
        return np.concatenate(places), np.concatenate(found)

    def _begins(self, chunk: int) -> np.uint64:
        return np.uint64(self.fences[chunk * (CHUNK // BLOCK)])

    def _single(self, number: int, key: np.uint64) -> Hashes:
        """One key's wheres in one chunk."""
        first = number * (CHUNK // BLOCK)
        fences = self.fences[first : first + CHUNK // BLOCK]
        low = max(int(np.searchsorted(fences, key, "left")) - 1, 0) * BLOCK
        count = min(CHUNK, self.entries - number * CHUNK)
        high = min(max(int(np.searchsorted(fences, key, "right")), 1) * BLOCK, count)
        base = number * CHUNK * 16
        held = np.frombuffer(os.pread(self.fd, (high - low) * 8, base + low * 8), "<u8")
        left, right = int(np.searchsorted(held, key, "left")), int(np.searchsorted(held, key, "right"))
        if left == right:
            return np.zeros(0, np.uint64)
        return np.frombuffer(os.pread(self.fd, (right - left) * 8, base + (count + low + left) * 8), "<u8")


def spread(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Every (i, j) with left[i] <= j < right[i], as two arrays."""
    counts = right - left
    at = np.repeat(np.arange(len(left)), counts)
    return at, np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts) + left[at]


def write(path: Path, parts: Iterable[Entries]) -> int:
    """Writes sorted entries to a new run, synced. Returns how many; where there are none, no file is left."""
    fences: list[Hashes] = []
    checks: list[int] = []
    entries, first, last = 0, 1 << 30, 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for keys, wheres in _chunked(parts):
            body = np.concatenate((keys, wheres)).tobytes()
            _write_all(fd, body, entries * 16)
            fences.append(keys[::BLOCK].copy())
            checks.append(xxhash.xxh3_64_intdigest(body))
            own = segments_of(wheres)
            first, last = min(first, int(own.min())), max(last, int(own.max()))
            entries += len(keys)
        if entries:
            footer = np.concatenate((*fences, np.array(checks, np.uint64))).tobytes()
            digest = _footed(footer, entries, first, last)
            _write_all(fd, footer + TAIL.pack(entries, first, last, digest), entries * 16)
            os.fdatasync(fd)
    finally:
        os.close(fd)
    if not entries:
        path.unlink()
    return entries


def merged(runs: Sequence[Run], live: Ints, known: Ints) -> Iterator[Entries]:
    """The entries of all runs in order, a chunk of each in memory at once. Left out are those that point to segments
    that are gone: rows beside `live`, marks beside `known`; and rows that are marked."""
    streams = [_Stream(run) for run in runs]
    while True:
        open_ = [one for one in streams if one.more()]
        if not open_:
            return
        bound = min(one.keys[-1] for one in open_)
        taken = [one.take(bound) for one in open_]
        keys, wheres = np.concatenate([k for k, _ in taken]), np.concatenate([w for _, w in taken])
        order = np.argsort(keys, kind="stable")
        yield kept(keys[order], wheres[order], live, known)


def kept(keys: Hashes, wheres: Hashes, live: Ints, known: Ints) -> Entries:
    """Of sorted entries those that still mean something."""
    marks, segments = is_mark(wheres), segments_of(wheres)
    stays = np.where(marks, np.isin(segments, known), np.isin(segments, live))
    if marks.any():
        begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        marked = np.logical_or.reduceat(marks & stays, begins)
        group = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(keys))))
        stays &= marks | ~marked[group]
    return keys[stays], wheres[stays]


class _Stream:
    """A run read from beginning to end."""

    def __init__(self, run: Run) -> None:
        self._run, self._next = run, 0
        self.keys, self._wheres = np.zeros(0, np.uint64), np.zeros(0, np.uint64)

    def more(self) -> bool:
        if not len(self.keys) and self._next * CHUNK < self._run.entries:
            self.keys, self._wheres = self._run.chunk(self._next)
            self._next += 1
        return len(self.keys) > 0

    def take(self, bound: np.uint64) -> Entries:
        """Everything up to `bound`."""
        count = int(np.searchsorted(self.keys, bound, "right"))
        found = self.keys[:count], self._wheres[:count]
        self.keys, self._wheres = self.keys[count:], self._wheres[count:]
        return found


def _chunked(parts: Iterable[Entries]) -> Iterator[Entries]:
    """The same entries in whole chunks, but for the last."""
    held: list[Entries] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part[0])
        if count < CHUNK:
            continue
        keys, wheres = np.concatenate([k for k, _ in held]), np.concatenate([w for _, w in held])
        whole = count - count % CHUNK
        for at in range(0, whole, CHUNK):
            yield keys[at : at + CHUNK], wheres[at : at + CHUNK]
        held, count = [(keys[whole:].copy(), wheres[whole:].copy())], count - whole
    if count:
        yield np.concatenate([k for k, _ in held]), np.concatenate([w for _, w in held])


def _footed(footer: bytes, entries: int, first: int, last: int) -> int:
    digest = xxhash.xxh3_64(footer)
    digest.update(struct.pack("<QQQ", entries, first, last))
    return digest.intdigest()


def _write_all(fd: int, data: bytes, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], at + done)
