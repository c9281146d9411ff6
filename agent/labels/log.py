"""The rows themselves, in files that are only appended to, in the order they came; each is thrown away whole when its
youngest row is too old.

An index finds a row again by (segment, row). Rows of one file have one layout.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes
from agent.labels.files import Grown, gathered
from agent.labels.rows import Layout, Rows, begins, sound, taken, widened
from agent.labels.runs import low_of, segments_of
from agent.records import Ints

SEGMENT_ROWS = 262_144
PAGE_ROWS = 4_096  # rows read together where several of them are wanted
PAGES = 4  # of them neighbours, at most, that one call reads
FEW = 12  # rows of a page up to which they are read singly
BUFFER_ROWS = 4_096  # rows in memory before they are written
PENDING_MAX = 8 << 20  # bytes that wait for a disk to have room; then rows are turned away
log = logging.getLogger("sidelight.labels")


@dataclass(slots=True, eq=False)
class Segment:
    """One file. labelled: rows whose truth came; first_ns, newest_ns: arrival of its rows. limit: of the sample when
    it was last sifted."""

    number: int
    layout: Layout
    first_ns: int
    newest_ns: int
    file: Grown
    rows: int = 0
    labelled: int = 0
    limit: int = 1 << 64

    @property
    def bytes(self) -> int:
        return self.rows * self.layout.dtype.itemsize


class Log:
    """One writer. take: a number for a new file; span_ns: of arrival that one file may hold."""

    def __init__(self, folder: Path, take: Callable[[], int], span_ns: int) -> None:
        self._folder, self._take, self._span_ns = folder, take, span_ns
        self.segments: dict[int, Segment] = {}  # oldest first, by the rows' arrival
        self.sifted: dict[int, int] = {}  # segments that were rewritten, whose marks still count: newest_ns
        self.open: Segment | None = None
        self.gone: list[Grown] = []
        self.bytes = 0  # of all rows
        self.corrupt = 0  # rows
        self._failing = False  # the disk takes nothing

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.segments.values())

    @property
    def waiting(self) -> int:
        """Rows whose truth has not come."""
        return sum(one.rows - one.labelled for one in self.segments.values())

    @property
    def full(self) -> bool:
        """Whether the disk has taken nothing for so long that no more rows may wait for it in memory."""
        return self._failing and sum(one.file.pending for one in self.segments.values()) > PENDING_MAX

    def live(self) -> Ints:
        return np.array(sorted(self.segments), dtype=np.int64)

    def known(self) -> Ints:
        return np.array(sorted({*self.segments, *self.sifted}), dtype=np.int64)

    def append(self, rows: Rows, layout: Layout, now_ns: int, limit: int) -> tuple[Ints, Ints]:
        """Returns each row's segment and place in it."""
        count, done = len(rows), 0
        segments, places = np.zeros(count, np.int64), np.zeros(count, np.int64)
        size = layout.dtype.itemsize
        while done < count:
            one = self._room(layout, now_ns, limit)
            part = rows[done : done + SEGMENT_ROWS - one.rows]
            end = done + len(part)
            segments[done:end], places[done:end] = one.number, np.arange(one.rows, one.rows + len(part))
            one.file.add(part.tobytes())
            one.rows += len(part)
            self.bytes += len(part) * size
            one.newest_ns = max(one.newest_ns, now_ns)
            if one.file.pending >= BUFFER_ROWS * size:
                self._write(one)
            done = end
        return segments, places

    def _room(self, layout: Layout, now_ns: int, limit: int) -> Segment:
        one = self.open
        full = one is None or one.rows >= SEGMENT_ROWS or one.layout != layout
        if one is None or full or now_ns - one.first_ns > self._span_ns:
            if one is not None:
                self._write(one)
            number = self._take()
            file = Grown(segment_path(self._folder, number))
            one = self.open = self.segments[number] = Segment(number, layout, now_ns, now_ns, file, limit=limit)
        return one

    def _rest(self, one: Segment) -> None:
        """Only the newest stays open: of many models there are many files."""
        if one is not self.open:
            one.file.close()

    def _write(self, one: Segment) -> None:
        """Where the disk takes nothing, the rows wait in memory; the next checkpoint says so."""
        try:
            one.file.write()
        except OSError as error:
            if not self._failing:
                log.error("labels_unwritten error=%s", error)
            self._failing = True
        else:
            self._failing = False

    def read(self, wheres: Hashes, layout: Layout) -> tuple[Rows, Ints | None]:
        """Rows in `layout` for places that rise, and which of the places they are of (None: of all): what is gone or
        corrupt is left out. May run in a thread."""
        found = np.zeros(len(wheres), layout.dtype)
        good = np.zeros(len(wheres), dtype=bool)
        segments, places = segments_of(wheres), low_of(wheres)
        for begin, beyond in _groups(segments):
            one = self.segments.get(int(segments[begin]))
            if one is None:
                continue
            end = begin + int(np.searchsorted(places[begin:beyond], one.rows))
            same = one.layout.dtype == layout.dtype
            rows = found[begin:end] if same else np.zeros(end - begin, one.layout.dtype)
            _fill(rows, one, places[begin:end])
            self._rest(one)
            whole = good[begin:end] = sound(rows)
            self.corrupt += len(whole) - int(np.count_nonzero(whole))
            if not same:
                found[begin:end] = widened(rows, layout)
        if good.all():
            return found, None
        at = np.flatnonzero(good)
        return taken(found, at), at

    def whole(self, number: int) -> tuple[Rows, Ints]:
        """All sound rows of a segment, and their places in it."""
        one = self.segments[number]
        rows = np.zeros(one.rows, one.layout.dtype)
        one.file.read(_bytes_of(rows), 0)
        self._rest(one)
        at = np.flatnonzero(sound(rows)) if len(rows) else np.zeros(0, np.int64)
        self.corrupt += len(rows) - len(at)
        return (rows if len(at) == len(rows) else taken(rows, at)), at

    def labelled(self, segments: Ints) -> None:
        """Counts rows whose truth came."""
        if not len(segments):
            return
        lowest = int(segments.min())
        counts = np.bincount(segments - lowest)
        for at in np.flatnonzero(counts).tolist():
            if at + lowest in self.segments:
                self.segments[at + lowest].labelled += int(counts[at])

    def expire(self, before_ns: int) -> int:
        """Throws away files with nothing newer. Returns how many of their rows never got a truth."""
        never = 0
        for one in [one for one in self.segments.values() if one.newest_ns < before_ns]:
            never += one.rows - one.labelled
            self._drop(one)
        self.sifted = {number: ns for number, ns in self.sifted.items() if ns >= before_ns}
        return never

    def _drop(self, one: Segment) -> None:
        del self.segments[one.number]
        self.bytes -= one.bytes
        self.gone.append(one.file)
        if self.open is one:
            self.open = None

    def replace(self, old: Segment, rows: Rows, labelled: int, limit: int) -> Segment | None:
        """Puts these rows in the place of a segment's, in a file of their own. Returns it, None where none are left.
        Raises OSError where the disk takes nothing; then all is as it was."""
        made = None
        if len(rows):
            number = self._take()
            file = Grown(segment_path(self._folder, number))
            made = Segment(number, old.layout, old.first_ns, old.newest_ns, file, len(rows), labelled, limit)
            file.add(rows.tobytes())
            try:
                file.write()
            except OSError:
                file.close()
                with contextlib.suppress(OSError):
                    file.path.unlink(missing_ok=True)
                raise
        self.sifted[old.number] = old.newest_ns
        order = list(self.segments.values())
        at = order.index(old)
        self._drop(old)
        order[at : at + 1] = [made] if made is not None else []
        self.bytes += 0 if made is None else made.bytes
        self.segments = {one.number: one for one in order}
        return made

    # ── checkpoints ──

    def store(self) -> tuple[dict[str, Any], list[int]]:
        """What a checkpoint holds of it, and descriptors to sync and close before that is written. Raises OSError."""
        for one in self.segments.values():
            one.file.write()
        self._failing = False
        held = [
            [one.number, list(one.layout.columns), one.first_ns, one.newest_ns, one.rows, one.labelled, one.limit]
            for one in self.segments.values()
        ]
        opened = -1 if self.open is None else self.open.number
        fds: list[int] = []
        for one in self.segments.values():
            gathered(fds, one.file)
            self._rest(one)
        return {"segments": held, "sifted": list(self.sifted.items()), "open": opened}, fds

    def unsynced(self) -> None:
        """What was told to the disk may not have got there."""
        for one in self.segments.values():
            one.file.synced = min(one.file.synced, one.file.written - 1)

    def load(self, held: dict[str, Any]) -> int:
        """Opens what a checkpoint names; what is behind its end was never acknowledged. Returns rows that are lost."""
        lost = 0
        for number, columns, first_ns, newest_ns, rows, labelled, limit in held["segments"]:
            file = Grown(segment_path(self._folder, number))
            one = Segment(number, Layout(tuple(columns)), first_ns, newest_ns, file, rows, labelled, limit)
            if not file.path.exists() or file.path.stat().st_size < one.bytes:
                lost += rows
                if file.path.exists():
                    file.path.rename(file.path.with_suffix(".corrupt"))
                continue
            file.cut(one.bytes)
            file.close()
            self.segments[number] = one
            self.bytes += one.bytes
        self.sifted = {int(number): int(ns) for number, ns in held["sifted"]}
        self.open = self.segments.get(held["open"])
        return lost

    def close(self) -> None:
        for file in (*(one.file for one in self.segments.values()), *self.gone):
            file.close()


def _groups(values: Ints) -> Iterator[tuple[int, int]]:
    """Where each of the equal ones that follow each other begin and end."""
    edges = [*np.flatnonzero(begins(values)).tolist(), len(values)]
    return itertools.pairwise(edges)


def _bytes_of(rows: npt.NDArray[Any]) -> memoryview:
    """The array's own memory, to be read into."""
    return memoryview(rows.view("u1").reshape(-1)) if len(rows) else memoryview(bytearray())  # type: ignore[arg-type]


def _fill(rows: Rows, one: Segment, places: Ints) -> None:
    """Reads the rows at rising places; singly, or by pages where several are wanted. What cannot be read stays zero."""
    size = one.layout.dtype.itemsize
    raw = rows.view("u1").reshape(len(rows), size) if len(rows) else rows
    whole, page = _bytes_of(rows), np.zeros((PAGES * PAGE_ROWS, size), "u1")
    buffer, flat = _bytes_of(page), page.reshape(-1)
    for begin, end, several in _stretches(places):
        if not several:
            for i, place in enumerate(places[begin:end].tolist(), begin):
                one.file.read(whole[i * size : (i + 1) * size], place * size)
            continue
        low, high = int(places[begin]), int(places[end - 1]) + 1
        count = (high - low) * size
        came = one.file.read(buffer[:count], low * size)
        flat[came:count] = 0
        page.take(places[begin:end] - low, axis=0, out=raw[begin:end], mode="clip")


def _stretches(places: Ints) -> Iterator[tuple[int, int, bool]]:
    """Where the places of a page begin and end, and whether several are wanted; such neighbours come together."""
    first = edge = pages = 0
    last = -1
    for begin, end in _groups(pages_of := places // PAGE_ROWS):
        page = int(pages_of[begin])
        several = end - begin > FEW
        if pages and not (several and page == last + 1 and pages < PAGES):
            yield first, edge, True
            pages = 0
        if not several:
            yield begin, end, False
            continue
        first = first if pages else begin
        edge, last, pages = end, page, pages + 1
    if pages:
        yield first, edge, True


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"rows-{number}"
