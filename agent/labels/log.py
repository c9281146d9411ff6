"""The rows themselves, in files that are only appended to, in the order they came; each is thrown away whole when its
youngest row is too old.

An index finds a row again by (segment, row). Rows of one file have one layout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agent.counting.fingerprints import Hashes
from agent.labels.rows import Layout, Rows, sound, widened
from agent.labels.runs import low_of, segments_of
from agent.records import Ints

SEGMENT_ROWS = 262_144
PAGE_ROWS = 4_096  # rows read together where several of them are wanted
FEW = 12  # rows of a page up to which they are read singly
BUFFER_ROWS = 4_096  # rows in memory before they are written


@dataclass(slots=True)
class Segment:
    """One file. labelled: rows whose truth came; first_ns, newest_ns: arrival of its rows. written: rows in the file;
    synced: of them those told to the disk. limit: of the sample when it was last sifted."""

    number: int
    layout: Layout
    first_ns: int
    newest_ns: int
    rows: int = 0
    labelled: int = 0
    written: int = 0
    synced: int = 0
    limit: int = 1 << 64
    fd: int = -1
    buffer: list[Rows] = field(default_factory=list)

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
        self.gone: list[Segment] = []
        self.corrupt = 0  # rows

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.segments.values())

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.segments.values())

    @property
    def waiting(self) -> int:
        """Rows whose truth has not come."""
        return sum(one.rows - one.labelled for one in self.segments.values())

    def live(self) -> Ints:
        return np.array(sorted(self.segments), dtype=np.int64)

    def known(self) -> Ints:
        return np.array(sorted({*self.segments, *self.sifted}), dtype=np.int64)

    def append(self, rows: Rows, layout: Layout, now_ns: int, limit: int) -> tuple[Ints, Ints]:
        """Returns each row's segment and place in it."""
        count, done = len(rows), 0
        segments, places = np.zeros(count, np.int64), np.zeros(count, np.int64)
        while done < count:
            one = self._room(layout, now_ns, limit)
            part = rows[done : done + SEGMENT_ROWS - one.rows]
            end = done + len(part)
            segments[done:end], places[done:end] = one.number, np.arange(one.rows, one.rows + len(part))
            one.buffer.append(part)
            one.rows += len(part)
            one.newest_ns = max(one.newest_ns, now_ns)
            if one.rows - one.written >= BUFFER_ROWS:
                self._write(one)
            done = end
        return segments, places

    def _room(self, layout: Layout, now_ns: int, limit: int) -> Segment:
        one = self.open
        full = one is None or one.rows >= SEGMENT_ROWS or one.layout != layout
        if one is None or full or now_ns - one.first_ns > self._span_ns:
            if one is not None:
                self._write(one)
            one = self.open = self._begin(Segment(self._take(), layout, now_ns, now_ns, limit=limit))
            self.segments[one.number] = one
        return one

    def _begin(self, one: Segment) -> Segment:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        one.fd = os.open(segment_path(self._folder, one.number), flags, 0o600)
        return one

    def _write(self, one: Segment) -> None:
        if not one.buffer:
            return
        data, size = memoryview(b"".join(part.tobytes() for part in one.buffer)), one.layout.dtype.itemsize
        done = 0
        while done < len(data):
            done += os.pwrite(one.fd, data[done:], one.written * size + done)
        one.written, one.buffer = one.rows, []

    def flush(self) -> None:
        """Everything is in the files, though not on the disk."""
        for one in self.segments.values():
            self._write(one)

    def read(self, wheres: Hashes, layout: Layout) -> tuple[Rows, Ints]:
        """Rows in `layout` for places that rise, and which of the places they are of: what is gone or corrupt is left
        out. After `flush`; may run in a thread."""
        found, at = [np.zeros(0, layout.dtype)], [np.zeros(0, np.int64)]
        segments, places = segments_of(wheres), low_of(wheres)
        for number in np.unique(segments).tolist():
            one = self.segments.get(number)
            chosen = np.flatnonzero(segments == number)
            if one is None:
                continue
            chosen = chosen[places[chosen] < one.written]
            rows = _picked(one, places[chosen])
            good = sound(rows)
            self.corrupt += int(np.count_nonzero(~good))
            found.append(widened(rows[good], layout))
            at.append(chosen[good])
        return np.concatenate(found), np.concatenate(at)

    def whole(self, number: int) -> Rows:
        """All sound rows of a segment, with their places in it known by `places`."""
        one = self.segments[number]
        raw = os.pread(one.fd, one.written * one.layout.dtype.itemsize, 0)
        return np.frombuffer(raw, one.layout.dtype)[: one.written]

    def labelled(self, segments: Ints) -> None:
        """Counts rows whose truth came."""
        numbers, counts = np.unique(segments, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            if number in self.segments:
                self.segments[number].labelled += count

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
        self.gone.append(one)
        if self.open is one:
            self.open = None

    def replace(self, old: Segment, rows: Rows, labelled: int, limit: int) -> Segment | None:
        """Puts these rows in the place of a segment's, in a file of their own. Returns it, None where none are left."""
        made = None
        self.sifted[old.number] = old.newest_ns
        if len(rows):
            made = Segment(self._take(), old.layout, old.first_ns, old.newest_ns, len(rows), labelled, limit=limit)
            made.buffer = [rows]
            self._write(self._begin(made))
        order = list(self.segments.values())
        at = order.index(old)
        self._drop(old)
        order[at : at + 1] = [made] if made is not None else []
        self.segments = {one.number: one for one in order}
        return made

    # ── checkpoints ──

    def store(self) -> tuple[dict[str, Any], list[int]]:
        """What a checkpoint holds of it, and descriptors to sync before that is written: they stay open."""
        self.flush()
        held = [
            [one.number, list(one.layout.columns), one.first_ns, one.newest_ns, one.rows, one.labelled, one.limit]
            for one in self.segments.values()
        ]
        opened = -1 if self.open is None else self.open.number
        fresh = [one for one in self.segments.values() if one.synced < one.rows]
        for one in fresh:
            one.synced = one.rows
        return {"segments": held, "sifted": list(self.sifted.items()), "open": opened}, [one.fd for one in fresh]

    def load(self, held: dict[str, Any]) -> int:
        """Opens what a checkpoint names; what is behind its end was never acknowledged. Returns rows that are lost."""
        lost = 0
        for number, columns, first_ns, newest_ns, rows, labelled, limit in held["segments"]:
            one = Segment(number, Layout(tuple(columns)), first_ns, newest_ns, rows, labelled, rows, rows, limit)
            path, size = segment_path(self._folder, number), one.bytes
            if not path.exists() or path.stat().st_size < size:
                lost += rows
                if path.exists():
                    path.rename(path.with_suffix(".corrupt"))
                continue
            self._begin(one)
            os.ftruncate(one.fd, size)
            self.segments[number] = one
        self.sifted = {int(number): int(ns) for number, ns in held["sifted"]}
        self.open = self.segments.get(held["open"])
        return lost

    def close(self) -> None:
        for one in (*self.segments.values(), *self.gone):
            os.close(one.fd)


def _picked(one: Segment, places: Ints) -> Rows:
    """Rows at rising places; singly, or by pages where several are wanted."""
    kind = one.layout.dtype
    found = np.zeros(len(places), kind)
    raw = found.view("u1").reshape(len(places), kind.itemsize) if len(places) else found
    pages, begins, counts = np.unique(places // PAGE_ROWS, return_index=True, return_counts=True)
    for page, begin, count in zip(pages.tolist(), begins.tolist(), counts.tolist(), strict=True):
        own = places[begin : begin + count]
        if count <= FEW:
            for i, place in enumerate(own.tolist(), begin):
                got = os.pread(one.fd, kind.itemsize, place * kind.itemsize)
                raw[i, : len(got)] = np.frombuffer(got, "u1")
            continue
        base, size = page * PAGE_ROWS, min(PAGE_ROWS, one.written - page * PAGE_ROWS)
        got = os.pread(one.fd, size * kind.itemsize, base * kind.itemsize)
        if len(got) == size * kind.itemsize:
            found[begin : begin + count] = np.frombuffer(got, kind)[own - base]
    return found


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"rows-{number}"
