"""The service's own past, an entry for each hour (or window, where that is longer): what is remembered of its traffic.

Rates are kept as logarithms of records per covered second. An entry sums up the windows of its hour by their number,
mean and squared deviations, so that five weeks of windows of a minute are as small as five weeks of hours: 20 kB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from agent.errors import CorruptError

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
ENTRIES_MAX = 5 * 7 * 24  # five weeks of hours: each hour of the week five times
WEEK_NS = 7 * DAY_NS
STREAK_NS = WEEK_NS  # an alarm so old is the new usual: the past begins anew
COVERED_MIN = 0.5  # of a window; of one watched for less little is learned
ENTRY = np.dtype([("start", "<i8"), ("windows", "<i4"), ("mean", "<f4"), ("squares", "<f4"), ("chance", "<f4")])
HEAD = np.dtype([("slot", "<i8"), ("alarms_since", "<i8"), ("newest", "<i4"), ("odd", "<i4")])
COUNTED = np.dtype([("index", "<i8"), ("rows", "<i8"), ("seconds", "<f8")])
NEWEST_MAX = 8  # windows judged together at most
Entries = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Counted:
    """One window: rows that came in so many covered seconds."""

    index: int
    rows: int
    seconds: float


def log_rate(rows: int, seconds: float) -> float:
    """ln of records a second; half a record is added, so that none has a logarithm (Anscombe 1948)."""
    return math.log((rows + 0.5) / seconds)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Entries in order of time. A value: `learn` gives a new one.

    entries: ENTRY (entries,): start in ns; windows; mean and summed squared deviations of their log rates; chance: the
    summed variance that independent records alone would give (1 / (rows + 0.5) each). slot_ns: an entry's length.
    newest: the newest windows, learned or not. alarms_since_ns: since when every window alarmed, 0: none.
    odd: entries of windows that alarmed, like `entries`, set aside: what comes again a week later is a season.
    """

    slot_ns: int
    entries: Entries = field(default_factory=lambda: np.zeros(0, ENTRY))
    newest: tuple[Counted, ...] = ()
    alarms_since_ns: int = 0
    odd: Entries = field(default_factory=lambda: np.zeros(0, ENTRY))

    @classmethod
    def of(cls, window_ns: int) -> Past:
        return cls(max(HOUR_NS, window_ns))

    @property
    def last(self) -> int:
        """Index of the newest window seen; -1: none."""
        return self.newest[-1].index if self.newest else -1

    def complete(self, start_ns: int) -> Entries:
        """The entries before the hour that `start_ns` lies in: these will not change any more."""
        slot = start_ns // self.slot_ns * self.slot_ns
        return self.entries[: int(np.searchsorted(self.entries["start"], slot))]

    def with_newest(self, window: Counted) -> Past:
        return replace(self, newest=(*self.newest, window)[-NEWEST_MAX:])

    def learn(self, window: Counted, window_ns: int) -> Past:
        """With one more window that was usual; nothing is learned where it was watched for less than half."""
        if window.seconds < COVERED_MIN * window_ns / 1e9:
            return self
        return replace(self, entries=_added(self.entries, self._slot(window, window_ns), window), alarms_since_ns=0)

    def passed(self, window: Counted, window_ns: int) -> Past:
        """A window that alarmed teaches nothing by itself; the same hour a week after another does: the model rests at
        weekends, or works through a batch then. A week of nothing but alarms is the new usual: learning begins anew."""
        since_ns = self.alarms_since_ns or window.index * window_ns
        if (window.index + 1) * window_ns - since_ns >= STREAK_NS:
            return replace(Past(self.slot_ns), newest=self.newest[-1:])
        if window.seconds < COVERED_MIN * window_ns / 1e9:
            return replace(self, alarms_since_ns=since_ns)
        slot = self._slot(window, window_ns)
        odd = _added(self.odd, slot, window)
        if slot - WEEK_NS in self.odd["start"]:
            return replace(self, entries=_added(self.entries, slot, window), odd=odd, alarms_since_ns=0)
        return replace(self, odd=odd, alarms_since_ns=since_ns)

    def _slot(self, window: Counted, window_ns: int) -> int:
        """When the entry of this window begins."""
        return window.index * window_ns // self.slot_ns * self.slot_ns

    def to_bytes(self) -> bytes:
        newest = np.array([(w.index, w.rows, w.seconds) for w in self.newest], dtype=COUNTED)
        head = np.array([(self.slot_ns, self.alarms_since_ns, len(self.newest), len(self.odd))], dtype=HEAD)
        return head.tobytes() + newest.tobytes() + self.odd.tobytes() + self.entries.tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Past:
        """Raises CorruptError where these are not the bytes of a past."""
        if len(stored) < HEAD.itemsize:
            raise CorruptError(f"volume: {len(stored)} bytes are no past")
        head = np.frombuffer(stored[: HEAD.itemsize], dtype=HEAD)[0]
        count = int(head["newest"])
        body, odd = len(stored) - HEAD.itemsize - count * COUNTED.itemsize, int(head["odd"])
        whole, rest = divmod(body, ENTRY.itemsize)
        if not 0 <= count <= NEWEST_MAX or rest or not 0 <= odd <= whole or max(odd, whole - odd) > ENTRIES_MAX:
            raise CorruptError(f"volume: {len(stored)} bytes are no past")
        at = HEAD.itemsize + count * COUNTED.itemsize
        newest = np.frombuffer(stored[HEAD.itemsize : at], dtype=COUNTED)
        both = np.frombuffer(stored[at:], dtype=ENTRY).copy()
        aside, entries = both[:odd], both[odd:]
        if int(head["slot"]) < HOUR_NS or not _is_sound(aside) or not _is_sound(entries):
            raise CorruptError("volume: the past is not in order")
        windows = tuple(Counted(int(w["index"]), int(w["rows"]), float(w["seconds"])) for w in newest)
        return cls(int(head["slot"]), entries, windows, int(head["alarms_since"]), aside)


def _added(entries: Entries, start: int, window: Counted) -> Entries:
    """With one window more, in the entry that begins at `start`; the oldest of too many goes."""
    rate, chance = log_rate(window.rows, window.seconds), 1.0 / (window.rows + 0.5)
    if not entries.size or int(entries["start"][-1]) != start:
        fresh = np.array([(start, 1, rate, 0.0, chance)], dtype=ENTRY)
        return np.concatenate((entries, fresh))[-ENTRIES_MAX:]
    entries = entries.copy()
    newest = entries[-1:]
    count, mean = int(newest["windows"][0]) + 1, float(newest["mean"][0])
    after = mean + (rate - mean) / count
    newest["squares"] += (rate - mean) * (rate - after)  # Welford 1962
    newest["windows"], newest["mean"] = count, after
    newest["chance"] += chance
    return entries


def _is_sound(entries: Entries) -> bool:
    rising = bool((np.diff(entries["start"]) > 0).all() and (entries["windows"] > 0).all())
    return rising and all(bool(np.isfinite(entries[name]).all()) for name in ("mean", "squares", "chance"))
