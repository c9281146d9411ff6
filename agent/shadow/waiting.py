"""Requests that one version answered and others may answer yet: the newest, in constant memory.

Of each version so many stand in a ring, and an index finds them by their id: until the ring has come round none is
lost. Where the others answer so late that most were written over before, only requests with low hashes are held, for
all versions alike (consistent sampling, Broder 1997): fewer, and longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes
from agent.records import Ints

WHOLE = 1 << 64
LIMIT_MIN = 1 << 52  # 1 in 4,096 requests
EARLY, LATE = 0.375, 0.75  # of the ring: answers before are safe with twice as many requests; those after barely are
LATE_SHARE = 0.02  # of the answers: with more late ones, hold fewer requests for longer
AMID_SHARE = 0.01  # of the answers: with fewer that are not early, hold more
CELLS = 1 << 16  # of an index: the emptier, the fewer steps. Places below as many fit into 16 bits
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing: low hashes still find different cells
Rows = npt.NDArray[np.void]
Cells = npt.NDArray[np.unsignedinteger[Any]]
Found = tuple[Ints, Rows]


@dataclass(slots=True)
class Held:
    """What waits of one version: the newest `slots` requests, a power of two.

    keys: uint64 (1 + slots,), 0 where none waits; keys[0] is nobody's. seconds: int64 (slots,), when it came. rows:
    structured (slots,), what is kept of it. cells: the index, open addressing with double hashing (Knuth 1973, 6.4):
    places from 1 on, 0 is empty; a place that was written over holds another key, and is passed by. filled: cells in
    use. written: requests so far; the next stands at written % slots.
    """

    keys: Hashes
    seconds: Ints
    rows: Rows
    cells: Cells
    filled: int = 0
    written: int = 0

    @classmethod
    def of(cls, kept: npt.DTypeLike, slots: int) -> Held:
        """kept: a structured dtype of what is kept of each request. slots: at most a quarter of the index's cells."""
        return cls(
            np.zeros(1 + slots, np.uint64), np.zeros(slots, np.int64), np.zeros(slots, np.dtype(kept)),
            np.zeros(CELLS, np.uint16),
        )  # fmt: skip

    @property
    def slots(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.keys.nbytes + self.seconds.nbytes + self.rows.nbytes + self.cells.nbytes

    def find(self, keys: Hashes) -> Ints:
        """int64 (keys,): where in the ring each stands, -1 nowhere. keys: not 0."""
        return self._probe(keys)[1].astype(np.int64) - 1

    def ages(self, places: Ints) -> Ints:
        """How many requests came after these."""
        return (self.written - 1 - places) % self.slots

    def add(self, keys: Hashes, rows: Rows, second: int) -> None:
        """keys: all different, not 0. Of more than there are places those with the lowest hashes are kept: a fair
        sample of what came at once."""
        if len(keys) > self.slots:
            lowest = np.sort(np.argpartition(keys, self.slots)[: self.slots])
            keys, rows = keys[lowest], rows[lowest]
        places = (self.written + np.arange(len(keys))) % self.slots
        if self.filled + len(keys) > 2 * self.slots:  # half of them are written over
            self.index()
        cells, before = self._probe(keys)
        self.keys[before] = 0  # the newer of two stands
        self.keys[places + 1], self.seconds[places], self.rows[places] = keys, second, rows
        self._point(keys, cells, places + 1)
        self.filled += int((before == 0).sum())
        self.written += len(keys)

    def index(self) -> None:
        """Makes the index of what stands in the ring."""
        self.cells[:] = 0
        places = np.flatnonzero(self.keys)
        keys = self.keys[places]
        self._point(keys, self._begin(keys), places)
        self.filled = len(places)

    def _begin(self, keys: Hashes) -> Ints:
        """The cell in which each is sought first."""
        return ((keys * _SPREAD) >> np.uint64(65 - CELLS.bit_length())).astype(np.int64)

    def _next(self, cells: Ints, keys: Hashes) -> Ints:
        """Steps are odd: they come by all cells."""
        return (cells + (keys.astype(np.int64) | 1)) & (CELLS - 1)

    def _probe(self, keys: Hashes) -> tuple[Ints, Cells]:
        """(the cell in which each ends: its own or an empty one, the place that stands there)."""
        cells = self._begin(keys)
        places = self.cells[cells]
        left = np.flatnonzero((places != 0) & (self.keys[places] != keys))
        while len(left):
            cells[left] = self._next(cells[left], keys[left])
            some = self.cells[cells[left]]
            places[left] = some
            left = left[(some != 0) & (self.keys[some] != keys[left])]
        return cells, places

    def _point(self, keys: Hashes, cells: Ints, places: Ints) -> None:
        """Writes each place into its cell; where several want one, the others go on to an empty one."""
        self.cells[cells] = places
        left = np.flatnonzero(self.cells[cells] != places)
        while len(left):
            cells[left] = self._next(cells[left], keys[left])
            free = left[self.cells[cells[left]] == 0]
            self.cells[cells[free]] = places[free]
            left = left[self.cells[cells[left]] != places[left]]


@dataclass(slots=True)
class Sampling:
    """Which requests are held: those whose hash is below `limit`. met, early, late: answers since it was last set;
    written: requests."""

    limit: int = WHOLE
    met: int = 0
    early: int = 0
    late: int = 0
    written: int = 0

    def choose(self, keys: Hashes) -> Ints:
        """Which of these are of the sample; 0 is no request."""
        if self.limit >= WHOLE:
            return np.flatnonzero(keys)
        return np.flatnonzero((keys < np.uint64(self.limit)) & (keys != 0))

    def count(self, ages: Ints, slots: int) -> None:
        """Answers that found their request, so many requests after it."""
        self.met += len(ages)
        self.early += int((ages < EARLY * slots).sum())
        self.late += int((ages >= LATE * slots).sum())

    def part(self, keys: Hashes) -> int:
        """How many of these are of the sample; those without an id are."""
        return len(keys) if self.limit >= WHOLE else int((keys < np.uint64(self.limit)).sum())

    def fewer(self) -> None:
        self.limit = max(self.limit >> 1, LIMIT_MIN)
        self.begin_anew()

    def more(self) -> None:
        self.limit = min(self.limit << 1, WHOLE)
        self.begin_anew()

    def begin_anew(self) -> None:
        self.met = self.early = self.late = self.written = 0


@dataclass(slots=True)
class Waiting:
    """All versions' rings of one kind. slots: places of each; seconds: for how long a request may wait. newest: what
    came last of each version, whole: what comes together is met together, however much it is."""

    kept: npt.DTypeLike
    slots: int
    seconds: int
    sampling: Sampling = field(default_factory=Sampling)
    held: dict[int, Held] = field(default_factory=dict)
    newest: dict[int, tuple[Hashes, Rows, int]] = field(default_factory=dict)

    def find(self, version: int, keys: Hashes, second: int, take: bool = False) -> Found:
        """(rows of `keys`, all different, that `version` answered too, what was kept of them, of dtype `kept`). take:
        they wait for nobody else."""
        hits, found = self._find_newest(version, keys, second, take)
        held = self.held.get(version)
        if held is None or len(hits) == len(keys):
            return hits, found
        places = held.find(keys)
        places[hits] = -1
        older = np.flatnonzero(places >= 0)
        places = places[older]
        fresh = held.seconds[places] >= second - self.seconds
        places, older = places[fresh], older[fresh]
        if not len(older):
            return hits, found
        self.sampling.count(held.ages(places), self.slots)
        if take:
            held.keys[places + 1] = 0
        return np.concatenate((hits, older)), np.concatenate((found, held.rows[places]))

    def _find_newest(self, version: int, keys: Hashes, second: int, take: bool) -> Found:
        own, rows, when = self.newest.get(version, (None, None, 0))
        if own is None or rows is None or when < second - self.seconds:
            return np.zeros(0, np.int64), np.zeros(0, np.dtype(self.kept))
        if np.array_equal(own, keys):  # the usual: one label reached both
            hits = theirs = np.arange(len(keys))
        else:
            _, hits, theirs = np.intersect1d(keys, own, assume_unique=True, return_indices=True)
        self.sampling.met += len(hits)
        self.sampling.early += len(hits)
        if take and len(theirs):
            left = np.ones(len(own), dtype=bool)
            left[theirs] = False
            self.newest[version] = own[left], rows[left], when
        return hits, rows[theirs]

    def put(self, version: int, rows: Rows, keys: Hashes, second: int) -> None:
        """Waits for the others' answers. rows: of dtype `kept`; keys: all different."""
        self._enter(version)
        self.newest[version] = keys, rows, second

    def enter(self) -> None:
        """What came last goes into the rings, too: before all is stored."""
        for version in sorted(self.newest):
            self._enter(version)

    def _enter(self, version: int) -> None:
        keys, rows, second = self.newest.pop(version, (None, None, 0))
        if keys is None or rows is None or not len(keys):
            return
        held = self.held.get(version)
        if held is None:
            held = self.held[version] = Held.of(self.kept, self.slots)
        held.add(keys, rows, second)

    def settle(self, written_max: int = 1 << 62) -> None:
        """Holds fewer requests, and so for longer, or more, by what was met; fewer, too, where more than `written_max`
        came. Told at each window's end."""
        sampling = self.sampling
        if sampling.written < self.slots:
            return
        if sampling.written > written_max or not sampling.met or sampling.late > LATE_SHARE * sampling.met:
            sampling.fewer()
        elif sampling.met - sampling.early <= AMID_SHARE * sampling.met and 2 * sampling.written <= written_max:
            sampling.more()
        else:
            sampling.begin_anew()

    def forget(self, version: int) -> None:
        self.newest.pop(version, None)
        self.held.pop(version, None)


def distinct(keys: Hashes) -> Ints:
    """The rows whose key no other row has: where one stands twice, nobody can say which answer belongs to which."""
    order = np.argsort(keys)
    some = keys[order]
    same = some[1:] == some[:-1]
    if not same.any():
        return np.arange(len(keys))
    alone = np.ones(len(some), dtype=bool)
    alone[1:] &= ~same
    alone[:-1] &= ~same
    return np.sort(order[alone])
