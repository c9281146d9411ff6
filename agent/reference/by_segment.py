"""Exact counts of each segment value (`region=north`): pooled, and by runs of windows that show how much it varies.

A run is so many consecutive windows. Keeping every window of every segment would cost segments times the reference;
two dozen runs of each length that is judged cost a few per cent of it and say what φ needs to know.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent.errors import CorruptError
from agent.records import Cells, Ints, Texts

VALUES_MAX = 50  # of a key: the most frequent
RUN_WINDOWS = (1, 4, 16)  # the horizons over which segments are judged (ledger.RATES)
RUNS_MAX = 24  # of each length: a t with 23 degrees of freedom, before it borrows
RUNS_MIN = 8  # where cells are short
CELLS_MAX = 24 << 20  # of all values and runs together: 96 MiB while building, some 10 MiB in the file
ROWS_MIN = 400  # of a value: with fewer only its part of the traffic is remembered
GOLDEN = 0.6180339887498949

Run = tuple[int, int]  # its first block, and how many


@dataclass(frozen=True, slots=True)
class SegmentCounts:
    """One segment value's part of the sample.

    rows: int64 (blocks,), its rows in each block of the whole. packed: zlib of int32 (1 + runs, cells), little endian:
    all of its rows, then each run's; empty where the value had too few rows, or there was no room.
    """

    key: str
    value: str
    rows: Ints
    packed: bytes = b""

    @property
    def name(self) -> str:
        """As windows call it: "region=north"."""
        return f"{self.key}={self.value}"

    def unpack(self, runs: int, cells: int) -> Cells:
        """int32 (1 + runs, cells). Raises CorruptError for bytes of another size, without reading on."""
        expected = (1 + runs) * cells * 4
        try:
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(self.packed, expected + 1)
        except zlib.error as error:
            raise CorruptError(f"reference: section segments: {error}") from error
        if len(data) != expected:
            raise CorruptError(f"reference: section segments: counts are not {expected} bytes")
        return np.frombuffer(data, dtype="<i4").astype(np.int32).reshape(1 + runs, cells)


@dataclass(frozen=True)
class BySegment:
    """Every segment value that was counted apart, most frequent first within its key; and the runs, the same for all.

    keys: those that were looked for, also where no row had one.
    """

    keys: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    values: tuple[SegmentCounts, ...] = ()

    @cached_property
    def names(self) -> Mapping[str, frozenset[str]]:
        """By key, its values' names as windows call them."""
        return {key: frozenset(v.name for v in self.values if v.key == key) for key in self.keys}


def choose_runs(blocks: int, most: int = RUNS_MAX) -> tuple[Run, ...]:
    """Up to `most` runs of each length, spread over all blocks. A length that fits less than three times has none.

    They are not quite evenly apart: a stride of a whole day would see one hour of it only.

    >>> choose_runs(3), len(choose_runs(500)), len(choose_runs(30))
    (((0, 1), (1, 1), (2, 1)), 72, 31)
    """
    found: list[Run] = []
    for length in RUN_WINDOWS:
        there = blocks // length
        taken = min(there, most)
        if taken < 3:
            continue
        begin = blocks - there * length  # the oldest are left over
        step = there / taken
        places = {int(i * step + (i * GOLDEN % 1.0) * (step - 1.0)) for i in range(taken)}
        found += [(begin + place * length, length) for place in sorted(places)]
    return tuple(found)


def most_frequent(counts: Mapping[str | int, int]) -> tuple[str, ...]:
    """The values of a key that are counted apart. Texts that came as hashes are ids, not segments: left out."""
    named = sorted((-count, text) for text, count in counts.items() if isinstance(text, str))
    return tuple(text for _, text in named[:VALUES_MAX])


class SegmentCounter:
    """Counts rows by segment value, block and run. Memory: 4 bytes for each cell of each value and run."""

    def __init__(self, values: Mapping[str, Mapping[str, int]], cells: int, blocks: int) -> None:
        """values: the rows of each value of each key, most frequent first."""
        self._keys = tuple(values)
        self._names = [(key, value) for key, own in values.items() for value in own]
        sizes = [count for own in values.values() for count in own.values()]
        order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        wanted = [i for i in order if sizes[i] >= ROWS_MIN]
        self.runs = _affordable(blocks, len(wanted) * cells)
        room = CELLS_MAX // max(1, cells * (1 + len(self.runs)))
        self._kept = {i: k for k, i in enumerate(wanted[:room])}
        self._counts = np.zeros((len(self._kept), 1 + len(self.runs), cells), dtype=np.int32)
        self._rows = np.zeros((len(self._names), blocks), dtype=np.int64)
        self._run_of = [_membership(self.runs, length, blocks) for length in RUN_WINDOWS]
        self._slots = {(key, value): i for i, (key, value) in enumerate(self._names)}

    def add(self, cells: Cells, position: Ints, segments: Mapping[str, Texts]) -> None:
        """cells: (features, rows) as placed; position: (rows,) the block of each row."""
        for key, column in segments.items():
            slots = self._slots_of(key, column)
            known = np.flatnonzero(slots >= 0)
            if not known.size:
                continue
            np.add.at(self._rows, (slots[known], position[known]), 1)
            kept = np.array([self._kept.get(i, -1) for i in range(len(self._names))], dtype=np.int64)[slots[known]]
            rows, kept = known[kept >= 0], kept[kept >= 0]
            self._count(cells, rows, kept, np.zeros(rows.size, dtype=np.int64))
            for run_of in self._run_of:
                run = run_of[position[rows]]
                inside = run >= 0
                self._count(cells, rows[inside], kept[inside], run[inside] + 1)

    def finish(self) -> BySegment:
        """What the reference keeps."""
        values = []
        for i, (key, value) in enumerate(self._names):
            packed = b""
            if i in self._kept:
                packed = pack(self._counts[self._kept[i]])
            values.append(SegmentCounts(key, value, self._rows[i], packed))
        return BySegment(self._keys, self.runs, tuple(values))

    def _slots_of(self, key: str, column: Texts) -> Ints:
        table = np.array([self._slots.get((key, text), -1) for text in column.dictionary] or [-1], dtype=np.int64)
        found = table[column.codes]
        return found if column.state is None else np.where(column.state == 0, found, -1)

    def _count(self, cells: Cells, rows: Ints, kept: Ints, run: Ints) -> None:
        if rows.size:
            width = self._counts.shape[2]
            flat = (kept * self._counts.shape[1] + run) * width + cells[:, rows]
            np.add.at(self._counts.reshape(-1), flat.ravel(), 1)


def pack(counts: Cells) -> bytes:
    """int32 (1 + runs, cells) to bytes; the same counts give the same bytes."""
    return zlib.compress(np.ascontiguousarray(counts, dtype="<i4").tobytes(), 6)


def _affordable(blocks: int, cells: int) -> tuple[Run, ...]:
    """As many runs as there are cells for, if every value is to have them; never fewer than RUNS_MIN of a length."""
    most = CELLS_MAX // max(cells, 1) // len(RUN_WINDOWS)
    return choose_runs(blocks, min(max(most, RUNS_MIN), RUNS_MAX))


def _membership(runs: Sequence[Run], length: int, blocks: int) -> Ints:
    """int64 (blocks,): which run of this length each block is in, or -1."""
    found = np.full(blocks, -1, dtype=np.int64)
    for i, (first, windows) in enumerate(runs):
        if windows == length:
            found[first : first + windows] = i
    return found
