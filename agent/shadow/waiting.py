"""Requests that one version answered and others may answer yet: a table of the newest, in constant memory.

A request has one place, by its hash, and the newest stands there: which request pushes out which is chance, so what is
found is a fair sample. Where the others answer so late that most are pushed out before, only requests with low hashes
are held, for all versions alike (consistent sampling, Broder 1997): fewer, and longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes
from agent.records import Ints

WHOLE = 1 << 64
LIMIT_MIN = 1 << 52  # 1 in 4,096 requests
EARLY_PART = 4  # answers that came within a quarter of the table's requests are safe from being pushed out
LATE_SHARE = 0.2  # of the answers: with more of them, hold fewer requests for longer
EARLY_SHARE = 0.01  # with fewer late ones, hold more
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing: low hashes still find different places
Rows = npt.NDArray[np.void]
Found = tuple[Ints, Rows]


@dataclass(slots=True)
class Held:
    """What waits of one version. rows: structured (slots,), a power of two, with `key` (0: empty), `number` (running)
    and `second` beside what is kept of a request: 24 bytes and that."""

    rows: Rows
    written: int = 0

    @classmethod
    def of(cls, kept: npt.DTypeLike, slots: int) -> Held:
        """kept: a structured dtype of what is kept of each request."""
        names = [("key", "<u8"), ("number", "<i8"), ("second", "<i8"), *np.dtype(kept).descr]
        return cls(np.zeros(slots, dtype=np.dtype(names)))

    def places(self, keys: Hashes) -> Ints:
        return ((keys * _SPREAD) >> np.uint64(65 - len(self.rows).bit_length())).astype(np.int64)


@dataclass(slots=True)
class Sampling:
    """Which requests are held: those whose hash is below `limit`. early, late: answers since it was last set;
    written: requests."""

    limit: int = WHOLE
    early: int = 0
    late: int = 0
    written: int = 0

    def choose(self, keys: Hashes) -> Ints:
        """Which of these are of the sample; 0 is no request."""
        if self.limit >= WHOLE:
            return np.flatnonzero(keys)
        return np.flatnonzero((keys < np.uint64(self.limit)) & (keys != 0))

    def met(self, ages: Ints, slots: int) -> None:
        """Answers that found their request, so many requests after it."""
        early = int((ages < slots // EARLY_PART).sum())
        self.early += early
        self.late += len(ages) - early

    def part(self, keys: Hashes) -> int:
        """How many of these are of the sample; those without an id are."""
        return len(keys) if self.limit >= WHOLE else int((keys < np.uint64(self.limit)).sum())

    def fewer(self) -> None:
        self.limit = max(self.limit >> 1, LIMIT_MIN)
        self.early = self.late = self.written = 0

    def more(self) -> None:
        self.limit = min(self.limit << 1, WHOLE)
        self.early = self.late = self.written = 0


@dataclass(slots=True)
class Waiting:
    """All versions' tables of one kind. slots: places of each; seconds: for how long a request may wait. newest: what
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
        places = held.places(keys)
        others = held.rows["key"].take(places) == keys
        others[hits] = False
        older = np.flatnonzero(others)
        rows = held.rows[places[older]]
        fresh = rows["second"] >= second - self.seconds
        rows, older = rows[fresh], older[fresh]
        if not len(older):
            return hits, found
        self.sampling.met(held.written - rows["number"], self.slots)
        if take:
            held.rows["key"][places[older]] = 0
        return np.concatenate((hits, older)), np.concatenate((found, _kept(rows, np.dtype(self.kept))))

    def _find_newest(self, version: int, keys: Hashes, second: int, take: bool) -> Found:
        own, rows, when = self.newest.get(version, (None, None, 0))
        if own is None or rows is None or when < second - self.seconds:
            return np.zeros(0, np.int64), np.zeros(0, np.dtype(self.kept))
        if np.array_equal(own, keys):  # the usual: one label reached both
            hits = theirs = np.arange(len(keys))
        else:
            _, hits, theirs = np.intersect1d(keys, own, assume_unique=True, return_indices=True)
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
        """What came last goes into the tables, too: before all is stored."""
        for version in sorted(self.newest):
            self._enter(version)

    def _enter(self, version: int) -> None:
        keys, rows, second = self.newest.pop(version, (None, None, 0))
        if keys is None or rows is None or not len(keys):
            return
        held = self.held.get(version)
        if held is None:
            held = self.held[version] = Held.of(self.kept, self.slots)
        entry = np.empty(len(rows), dtype=held.rows.dtype)
        entry["key"], entry["second"] = keys, second
        entry["number"] = np.arange(held.written, held.written + len(rows))
        for name in np.dtype(self.kept).names or ():
            entry[name] = rows[name]
        held.rows[held.places(keys)] = entry
        held.written += len(rows)

    def settle(self, written_max: int = 1 << 62) -> None:
        """Holds fewer requests, and so for longer, or more, by what was met; fewer, too, where more than `written_max`
        came. Told at each window's end."""
        sampling = self.sampling
        if sampling.written < self.slots:
            return
        met = sampling.early + sampling.late
        if sampling.written > written_max or not met or sampling.late > LATE_SHARE * met:
            sampling.fewer()
        elif sampling.late <= EARLY_SHARE * met and 2 * sampling.written <= written_max:
            sampling.more()
        else:
            sampling.early = sampling.late = sampling.written = 0

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


def _kept(rows: Rows, dtype: np.dtype[np.void]) -> Rows:
    """Without what a table keeps beside."""
    found = np.empty(len(rows), dtype=dtype)
    for name in dtype.names or ():
        found[name] = rows[name]
    return found
