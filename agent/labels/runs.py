"""One sorted run of index entries in a file: (key, where), never changed, found in by bisection, merged in streams.

    chunk: up to 16,384 keys, then as many wheres │ … │ footer: fences, checksums of blocks, of chunks │ counts, xxh3

A block is 512 entries of a chunk, a fence its first key: these and the checksums are all that is held in memory, 1/32
byte an entry. Files are read with pread, so that what is read is the kernel's to keep or to give back.
"""

from __future__ import annotations

import contextlib
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
from agent.labels.sieve import Sieve
from agent.records import Bools, Ints

CHUNK = 16_384  # entries read and merged at once: 256 KiB
BLOCK = 512  # entries checked together: two pages
FEW = 12  # keys sought in one chunk up to which single blocks are read instead of the whole chunk
TABLE_MAX = 1 << 20  # numbers of files, from the oldest to the newest of rows, that a table is made for
SAME_MAX = 1_024  # entries of one key that are kept: an id that is no id must not fill a run
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
    """A run that is open only while it is read: there may be many. first, last: of the segments its entries point
    to."""

    path: Path
    number: int
    entries: int
    first: int
    last: int
    fences: Hashes
    checks: Hashes
    chunk_checks: Hashes

    @property
    def bytes(self) -> int:
        return self.entries * 16 + _footer_size(self.entries) + TAIL.size

    @classmethod
    def open(cls, path: Path, number: int) -> Run:
        """Raises CorruptError where the footer is not whole."""
        with _opened(path) as fd:
            try:
                return cls(path, number, *_footer(path, fd))
            except (struct.error, OSError) as error:
                raise CorruptError(f"{path.name}: {error}") from None

    def drop(self) -> None:
        """Deletes it."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def reading(self) -> contextlib.AbstractContextManager[int]:
        """A descriptor. Raises CorruptError where the file is gone, OSError where it cannot be opened now."""
        return _opened(self.path)

    def chunk(self, number: int, fd: int, into: bytearray | None = None) -> Entries:
        """Raises CorruptError where a checksum does not fit."""
        count = min(CHUNK, self.entries - number * CHUNK)
        buffer = memoryview(bytearray(count * 16) if into is None else into)[: count * 16]
        self._read(fd, buffer, number * CHUNK * 16)
        if xxhash.xxh3_64_intdigest(buffer) != int(self.chunk_checks[number]):
            raise CorruptError(f"{self.path.name}: checksum of chunk {number}")
        found = np.frombuffer(buffer, "<u8")
        return found[:count], found[count:]

    def _block(self, fd: int, number: int, into: bytearray) -> Entries:
        """Raises CorruptError where its checksum does not fit."""
        chunk, at = divmod(number * BLOCK, CHUNK)
        held = min(CHUNK, self.entries - chunk * CHUNK)
        count = min(BLOCK, held - at)
        buffer, base = memoryview(into)[: count * 16], chunk * CHUNK * 16
        self._read(fd, buffer[: count * 8], base + at * 8)
        self._read(fd, buffer[count * 8 :], base + (held + at) * 8)
        if xxhash.xxh3_64_intdigest(buffer) != int(self.checks[number]):
            raise CorruptError(f"{self.path.name}: checksum of block {number}")
        found = np.frombuffer(buffer, "<u8")
        return found[:count], found[count:]

    def _read(self, fd: int, into: memoryview, at: int) -> None:
        try:
            got = os.preadv(fd, [into], at)
        except OSError as error:
            raise CorruptError(f"{self.path.name}: {error.strerror}") from None
        if got != len(into):
            raise CorruptError(f"{self.path.name}: it ends at {at + got}")

    def find(self, sieve: Sieve) -> tuple[Ints, Hashes]:
        """Places among the sieve's keys and wheres, of all entries that match. Of chunks with few of them only their
        blocks are read. Raises CorruptError, OSError."""
        keys = sieve.keys
        places: list[Ints] = []
        found: list[Hashes] = []
        starts = np.searchsorted(keys, self.fences[:: CHUNK // BLOCK]).tolist()
        buffer = bytearray(min(CHUNK, self.entries) * 16)
        with self.reading() as fd:
            for number, begin in enumerate(starts):
                # Equal keys may go on from the chunk before.
                low = begin if number else 0
                high, last = (starts[number + 1], False) if number + 1 < len(starts) else (len(keys), True)
                high += not last and high < len(keys) and bool(keys[high] == self._begins(number + 1))
                if low >= high:
                    continue
                if high - low <= FEW:
                    for i in range(low, high):
                        some = self._single(number, keys[i], fd, buffer)
                        places += [np.full(len(some), i)] * bool(len(some))
                        found += [some] * bool(len(some))
                    continue
                held, wheres = self.chunk(number, fd, buffer)
                if len(held) < high - low:  # a small run: its few keys are sought among the many
                    at, hits = sieve.find(held)
                    places.append(at)
                    found.append(wheres[hits])
                    continue
                at, wheres = _matched(keys[low:high], held, wheres)
                places.append(at + low)
                found.append(wheres)
        if not places:
            return np.zeros(0, np.int64), np.zeros(0, np.uint64)
        return np.concatenate(places), np.concatenate(found)

    def _begins(self, chunk: int) -> np.uint64:
        return np.uint64(self.fences[chunk * (CHUNK // BLOCK)])

    def _single(self, number: int, key: np.uint64, fd: int, buffer: bytearray) -> Hashes:
        """One key's wheres in one chunk."""
        first = number * (CHUNK // BLOCK)
        fences = self.fences[first : first + CHUNK // BLOCK]
        low = max(int(np.searchsorted(fences, key, "left")) - 1, 0)
        high = max(int(np.searchsorted(fences, key, "right")), 1)
        found = []
        for block in range(first + low, first + high):
            keys, wheres = self._block(fd, block, buffer)
            left, right = np.searchsorted(keys, key, "left"), np.searchsorted(keys, key, "right")
            found.append(wheres[int(left) : int(right)].copy())
        return np.concatenate(found)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CorruptError(f"{path.name}: it is gone") from None
    try:
        yield fd
    finally:
        os.close(fd)


def _footer_size(entries: int) -> int:
    return (2 * -(-entries // BLOCK) + -(-entries // CHUNK)) * 8


def _footer(path: Path, fd: int) -> tuple[int, int, int, Hashes, Hashes, Hashes]:
    """Entries, first and last segment, fences, checksums of blocks and of chunks."""
    size = os.fstat(fd).st_size
    entries, first, last, digest = TAIL.unpack(os.pread(fd, TAIL.size, max(0, size - TAIL.size)))
    if size != entries * 16 + _footer_size(entries) + TAIL.size:
        raise CorruptError(f"{path.name}: {size} bytes for {entries} entries")
    footer = os.pread(fd, _footer_size(entries), entries * 16)
    if _footed(footer, entries, first, last) != digest:
        raise CorruptError(f"{path.name}: checksum of the footer")
    numbers = np.frombuffer(footer, "<u8")
    blocks = -(-entries // BLOCK)
    return entries, first, last, numbers[:blocks], numbers[blocks : 2 * blocks], numbers[2 * blocks :]


def _matched(own: Hashes, held: Hashes, wheres: Hashes) -> tuple[Ints, Hashes]:
    """Places among `own` and the wheres of all that match in `held`; both rise, `own` without a key twice."""
    at = np.searchsorted(held, own)
    hits = np.flatnonzero(held.take(at, mode="clip") == own)
    at = at[hits]
    places, found = [hits], [wheres[at]]
    while True:  # once more for each time that a key comes again
        at = at + 1
        again = np.flatnonzero(held.take(at, mode="clip") == own[hits])
        again = again[at[again] < len(held)]
        if not len(again):
            return np.concatenate(places), np.concatenate(found)
        hits, at = hits[again], at[again]
        places.append(hits)
        found.append(wheres[at])


def spread(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Every (i, j) with left[i] <= j < right[i], as two arrays."""
    counts = right - left
    at = np.repeat(np.arange(len(left)), counts)
    return at, np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts) + left[at]


def write(path: Path, parts: Iterable[Entries]) -> int:
    """Writes sorted entries to a new run, synced. Returns how many; where there are none, no file is left, nor where
    the disk has no room: that raises OSError."""
    try:
        entries = _written(path, parts)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise
    if not entries:
        path.unlink()
    return entries


def _written(path: Path, parts: Iterable[Entries]) -> int:
    fences: list[Hashes] = []
    checks: list[int] = []
    chunk_checks: list[int] = []
    entries, first, last = 0, 1 << 30, 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for keys, wheres in _chunked(parts):
            body = np.concatenate((keys, wheres)).tobytes()
            _write_all(fd, body, entries * 16)
            fences.append(keys[::BLOCK].copy())
            chunk_checks.append(xxhash.xxh3_64_intdigest(body))
            checks += map(xxhash.xxh3_64_intdigest, _blocks(body))
            own = segments_of(wheres)
            first, last = min(first, int(own.min())), max(last, int(own.max()))
            entries += len(keys)
        if entries:
            footer = np.concatenate((*fences, np.array([*checks, *chunk_checks], np.uint64))).tobytes()
            digest = _footed(footer, entries, first, last)
            _write_all(fd, footer + TAIL.pack(entries, first, last, digest), entries * 16)
            os.fdatasync(fd)
    finally:
        os.close(fd)
    return entries


def _blocks(body: bytes) -> Iterator[bytes]:
    """The blocks of a chunk: keys, then their wheres."""
    middle, step = len(body) // 2, BLOCK * 8
    for at in range(0, middle, step):
        end = min(at + step, middle)
        yield body[at:end] + body[middle + at : middle + end]


def merged(runs: Sequence[Run], live: Ints, known: Ints) -> Iterator[Entries]:
    """The entries of all runs in order, a chunk of each in memory at once. Left out are those that point to segments
    that are gone: rows beside `live`, marks beside `known`; and rows that are marked."""
    with contextlib.ExitStack() as stack:
        streams = [_Stream(run, stack.enter_context(run.reading())) for run in runs]
        while open_ := [one for one in streams if one.more()]:
            bound = min(one.keys[-1] for one in open_)
            taken = [one.take(bound) for one in open_]
            keys, wheres = np.concatenate([k for k, _ in taken]), np.concatenate([w for _, w in taken])
            order = np.argsort(keys, kind="stable")
            yield kept(keys[order], wheres[order], live, known)


def kept(keys: Hashes, wheres: Hashes, live: Ints, known: Ints) -> Entries:
    """Of sorted entries those that still mean something."""
    marks, segments = is_mark(wheres), segments_of(wheres)
    stays = _among(segments, known)
    if not np.array_equal(live, known):
        stays = np.where(marks, stays, _among(segments, live))
    again = keys[1:] == keys[:-1]
    if not again.any():
        return (keys, wheres) if stays.all() else (keys[stays], wheres[stays])
    _unmarked(keys, again, marks, stays)
    keys, wheres = keys[stays], wheres[stays]
    if len(keys) > SAME_MAX and (keys[SAME_MAX:] == keys[:-SAME_MAX]).any():
        stays = np.ones(len(keys), dtype=bool)
        stays[SAME_MAX:] = keys[SAME_MAX:] != keys[:-SAME_MAX]
        keys, wheres = keys[stays], wheres[stays]
    return keys, wheres


def _unmarked(keys: Hashes, again: Bools, marks: Bools, stays: Bools) -> None:
    """Takes rows whose key is marked from those that stay; again: where the next entry has the same key, as it must
    for a row to be marked."""
    several = np.zeros(len(keys), dtype=bool)
    several[1:] = again
    several[:-1] |= again
    at = np.flatnonzero(several)
    own, first = marks[at], np.ones(len(at), dtype=bool)
    first[1:] = keys[at[1:]] != keys[at[:-1]]
    marked = np.logical_or.reduceat(own & stays[at], np.flatnonzero(first))
    stays[at] &= own | ~marked[np.cumsum(first) - 1]


def _among(segments: Ints, numbers: Ints) -> Bools:
    """Which segments are among these numbers, which rise: by a table, as they lie near each other."""
    if not len(numbers):
        return np.zeros(len(segments), dtype=bool)
    low, span = int(numbers[0]), int(numbers[-1] - numbers[0]) + 1
    if span > TABLE_MAX:
        return np.isin(segments, numbers)
    table = np.zeros(span + 2, dtype=bool)
    table[numbers - (low - 1)] = True  # the first and last are for those beyond either end
    return table.take(segments - (low - 1), mode="clip")


class _Stream:
    """A run read from beginning to end."""

    def __init__(self, run: Run, fd: int) -> None:
        self._run, self._fd, self._next = run, fd, 0
        self.keys, self._wheres = np.zeros(0, np.uint64), np.zeros(0, np.uint64)

    def more(self) -> bool:
        if not len(self.keys) and self._next * CHUNK < self._run.entries:
            self.keys, self._wheres = self._run.chunk(self._next, self._fd)
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
