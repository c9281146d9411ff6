"""What rate the past leads one to expect at some time, and how far it may be off.

Four shapes of a week compete: one level, the hour of the day, hour and day of the week apart, the hour of the week.
The one that best foretells days it was not fitted to wins; a more detailed one must beat a simpler one by a twentieth.
So it goes for the level: the whole past's, or that of the last day. The error of exactly these forecasts is what is
believed of the next.

A reference whose rows have times lends a fifth shape, from the first day on: how a week goes, never how much comes, for
training data are mostly a sample. It counts only where it foretells the traffic better than one level does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.records import Floats, Ints
from agent.reference.profile import Reference
from agent.volume.past import DAY_NS, ENTRIES_MAX, HOUR_NS, Entries

ENTRIES_MIN = 8  # as latency
DAYS_MIN = 3  # fewer say nothing of how days differ
BETTER = 0.95  # of the simpler one's mean square
FORETOLD_MIN = 0.9  # of the entries, for a shape to be heard
# What is believed of an hour of the day that was never seen, of a day of the week that was not: standard deviations of
# log rates. Traffic of people goes up and down by a factor of two to ten within a day, and by half on weekends.
HOUR_UNSEEN, DAY_UNSEEN = 0.7, 0.35
PRIOR_SPREAD, PRIOR_WEIGHT = 0.1, 4.0  # of the forecast's error: a tenth, as sure as four entries would make it
FREEDOM_UNSEEN = 8.0  # what is believed is worth eight observations (as latency's)
GROUPS = (1, 2, 4, 8)  # windows judged together
LENT = 4
SHAPES = (
    "one level", "the hour of the day", "hour and day of the week", "the hour of the week",
    "the hours of the reference's week",
)  # fmt: skip
CONFIRMED = 0.5  # of one level's mean square, while the traffic's own days are too few to be left out
LENT_UNSEEN = 0.25  # of the variance of what was never seen, where the reference has seen it: half the deviation


@dataclass(frozen=True, slots=True)
class Forecast:
    """expected: log rate of a time; spread: variance of ln(rate) beyond chance, by GROUPS; freedom: of t, likewise.

    shape: in words. days: of past.
    """

    shape: str
    days: int
    spread: tuple[float, ...]
    freedom: tuple[float, ...]
    _level: float
    _shape: Shape

    def expected(self, start_ns: int) -> float:
        """ln of records a second."""
        return self._level + float(self._shape.at(np.array([start_ns]))[0])

    def unseen(self, start_ns: int) -> float:
        """Variance to be added for a time of a kind that was never seen."""
        return self._shape.unseen(start_ns)

    def freedom_at(self, number: int, starts_ns: Sequence[int]) -> float:
        """Degrees of freedom of the group of that number at these times."""
        believed = any(self._shape.unseen(start) for start in starts_ns)
        return min(self.freedom[number], FREEDOM_UNSEEN) if believed else self.freedom[number]


def forecast(entries: Entries, slot_ns: int, lent: Shape | None = None) -> Forecast | None:
    """None while fewer than eight windows are known. slot_ns: the entries' length. lent: from `lend`. Cost: about a
    millisecond."""
    if int(entries["windows"].sum()) < ENTRIES_MIN:
        return None
    calendar = _Calendar.of(entries, slot_ns)
    y = entries["mean"].astype(np.float64)
    best, errors, level = _best(calendar, y, lent)
    within, chance = _within(entries)
    seen = errors[np.isfinite(errors)]
    squares = np.square(seen)
    # Chance is added back for the rate that is expected now.
    excess = squares - (entries["chance"] / np.square(entries["windows"], dtype=np.float64))[np.isfinite(errors)]
    weight = PRIOR_WEIGHT + seen.size
    believed = PRIOR_WEIGHT * PRIOR_SPREAD**2
    between = (believed + max(0.0, float(excess.sum()))) / weight
    over = max(within - chance, 0.0)
    long = bool((entries["windows"] > 1).any())
    growth = (1.0,) * len(GROUPS) if long else tuple(_pooled(seen, group) for group in GROUPS)
    spread = tuple(between * grown + over / group for grown, group in zip(growth, GROUPS, strict=True))
    freedoms = tuple(PRIOR_WEIGHT + _freedom(seen, 1 if long else group) for group in GROUPS)
    fitted = Shape(calendar, y, best, lent)
    return Forecast(SHAPES[best], len(np.unique(calendar.day)), spread, freedoms, level, fitted)


def lend(reference: Reference) -> Shape | None:
    """How a week goes by the rows of a reference's blocks. None: they have no times, or fewer than three days, or
    foretell each other no better by the hour than by one level. Cost: a few milliseconds, once."""
    starts_ns, rows, window_ns = reference.starts_ns, reference.rows, int(reference.layout.window_seconds * 1e9)
    if window_ns <= 0 or not starts_ns.size or int(starts_ns[0]) <= 0:  # rows in order only are counted from 1970
        return None
    slot_ns = max(HOUR_NS, window_ns)
    slots, of = np.unique(starts_ns // slot_ns * slot_ns, return_inverse=True)
    y = np.bincount(of, np.log((rows + 0.5) / (window_ns / 1e9))) / np.bincount(of)
    calendar = _Calendar.at(slots[-ENTRIES_MAX:], slot_ns)
    if len(np.unique(calendar.day)) < DAYS_MIN:
        return None
    best, _, _ = _best(calendar, y[-ENTRIES_MAX:], None)
    return Shape(calendar, y[-ENTRIES_MAX:], best) if best else None


@dataclass(frozen=True, slots=True)
class _Calendar:
    """When entries lie. All int64 (entries,): day since the epoch, hour (or slot) of the day, day of the week."""

    slot_ns: int
    start: Ints
    day: Ints
    hour: Ints
    weekday: Ints

    @classmethod
    def of(cls, entries: Entries, slot_ns: int) -> _Calendar:
        return cls.at(entries["start"].astype(np.int64), slot_ns)

    @classmethod
    def at(cls, start: Ints, slot_ns: int) -> _Calendar:
        day = start // DAY_NS
        return cls(slot_ns, start, day, start % DAY_NS // min(slot_ns, DAY_NS), day % 7)


class Shape:
    """One of SHAPES fitted to the past. Groups without an entry fall back on the simpler shape."""

    def __init__(self, calendar: _Calendar, y: Floats, shape: int, lent: Shape | None = None) -> None:
        self._calendar, self._shape = calendar, shape
        self._lent = lent if shape == LENT else None
        self._middle = float((y if self._lent is None else y - self._lent.relative(calendar.start)).mean())
        self._hours = _means(calendar.hour, y - self._middle, 24)
        self._days = _means(calendar.weekday, y - self._middle - self._hours[calendar.hour], 7)
        self._week = _means(calendar.weekday * 24 + calendar.hour, y - self._middle, 7 * 24)
        self._hours_seen = frozenset(np.unique(calendar.hour).tolist())
        self._days_seen = np.unique(calendar.day).tolist()
        self._week_seen = np.bincount(calendar.weekday * 24 + calendar.hour, minlength=7 * 24) > 0

    def at(self, start_ns: Ints) -> Floats:
        when = _Calendar.at(start_ns, self._calendar.slot_ns)
        if self._lent is not None:
            return self._middle + self._lent.relative(start_ns)
        if self._shape == 0:
            return np.full(start_ns.shape, self._middle)
        found = self._middle + self._hours[when.hour]
        if self._shape == 1:
            return np.asarray(found)
        apart = found + self._days[when.weekday]
        if self._shape == 2:
            return np.asarray(apart)
        cell = when.weekday * 24 + when.hour
        return np.where(self._week_seen[cell], self._middle + self._week[cell], apart)

    def relative(self, start_ns: Ints) -> Floats:
        """How far the log rate of a time lies above the mean one."""
        return self.at(start_ns) - self._middle

    def covers(self, start_ns: int) -> bool:
        """Whether this hour of the day and this day of the week were seen, on whatever days."""
        hour = start_ns % DAY_NS // min(self._calendar.slot_ns, DAY_NS)
        return hour in self._hours_seen and start_ns // DAY_NS % 7 in {day % 7 for day in self._days_seen}

    def unseen(self, start_ns: int) -> float:
        """Variance to be added for a time of a kind that was never seen."""
        own = self._unseen(start_ns)
        return own * LENT_UNSEEN if own and self._lent is not None and self._lent.covers(start_ns) else own

    def _unseen(self, start_ns: int) -> float:
        day = start_ns // DAY_NS
        if start_ns % DAY_NS // min(self._calendar.slot_ns, DAY_NS) not in self._hours_seen:
            return HOUR_UNSEEN**2
        # Days end at another hour than UTC's: the day that is going on does not count as seen.
        if len(self._days_seen) >= DAYS_MIN and any(day - seen in (7, 14, 21, 28, 35) for seen in self._days_seen):
            return 0.0
        return DAY_UNSEEN**2


def _best(calendar: _Calendar, y: Floats, lent: Shape | None) -> tuple[int, Floats, float]:
    """The shape that foretells best, its errors on days it was not fitted to (NaN: none to fit), and the level now."""
    days = len(np.unique(calendar.day))
    first = 1 if days > 1 else 0  # one day says nothing of its hours: what is believed of them covers that
    over = None if lent is None else y - lent.relative(calendar.start)
    if days < DAYS_MIN:
        if over is not None and over.var() < CONFIRMED * y.var():
            return LENT, (over - over.mean()) * (len(y) / (len(y) - 1.0)), 0.0
        fitted = Shape(calendar, y, first)
        return first, y - fitted.at(calendar.start), 0.0
    best, square, chosen, steady = -1, np.inf, np.zeros(0), 0.0
    left = [(shape, _left_out(calendar, y, shape)) for shape in range(LENT)]
    if over is not None:
        left.insert(1, (LENT, _left_out(calendar, over, 0)))  # nothing of it is fitted but its level
    for shape, errors in left:
        if np.isfinite(errors).mean() < FORETOLD_MIN:
            continue
        last = _last_day(calendar.start, errors)
        for found, weight in ((errors, 0.0), (errors - last, 1.0)):
            mean = float(np.nanmean(np.square(found)))
            if best < 0 or mean < BETTER * square:
                best, square, chosen, steady = shape, mean, found, weight
    residual = y - Shape(calendar, y, best, lent).at(calendar.start)
    recent = residual[calendar.start >= calendar.start[-1] - DAY_NS + calendar.slot_ns]
    return best, chosen, steady * float(recent.mean())


def _left_out(calendar: _Calendar, y: Floats, shape: int) -> Floats:
    """What each entry was beyond what the *other* days foretold. NaN: they foretell nothing."""
    if shape == 0:
        return y - _others(calendar.day * 0, calendar.day, y)
    if shape == 3:
        return y - _others(calendar.weekday * 24 + calendar.hour, calendar.day, y)
    found = y - _others(calendar.hour, calendar.day, y)
    return found - _others(calendar.weekday, calendar.day, np.nan_to_num(found)) if shape == 2 else found


def _others(group: Ints, day: Ints, y: Floats) -> Floats:
    """Mean of the entry's group over other days than its own."""
    _, days = np.unique(day, return_inverse=True)
    cell = group * (int(days.max()) + 1) + days
    total, count = np.bincount(group, y), np.bincount(group)
    own, counted = np.bincount(cell, y), np.bincount(cell)
    left = count[group] - counted[cell]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(left > 0, (total[group] - own[cell]) / left, np.nan)


def _last_day(start: Ints, errors: Floats) -> Floats:
    """Mean error of the day before each entry; 0 where fewer than three were known then."""
    there = np.isfinite(errors)
    total = np.concatenate(([0.0], np.cumsum(np.where(there, errors, 0.0))))
    count = np.concatenate(([0], np.cumsum(there)))
    first = np.searchsorted(start, start - DAY_NS)
    here = np.arange(len(start))
    known = count[here] - count[first]
    return np.where(known >= 3, (total[here] - total[first]) / np.maximum(known, 1), 0.0)


def _within(entries: Entries) -> tuple[float, float]:
    """Variance of windows within their hour, and what chance alone would give."""
    free = int((entries["windows"] - 1).sum())
    if free <= 0:
        return 0.0, 0.0
    chance = float(entries["chance"].sum(dtype=np.float64) / entries["windows"].sum())
    return float(entries["squares"].sum(dtype=np.float64)) / free, chance


def _freedom(errors: Floats, group: int) -> float:
    """Degrees of freedom of a variance of means of so many errors in a row, which hang together and may have heavy
    tails (0010). Of their kurtosis counts what is beyond its own standard error, √(24/n)."""
    independent = errors.size / group
    if independent < 3:
        return 0.0
    sums = _sums(errors, group)
    square = float(np.square(sums).sum())
    if square <= 0.0:
        return independent
    r = max(0.0, float((sums[group:] * sums[:-group]).sum()) / square)
    kurtosis = sums.size * float((sums**4).sum()) / square**2 - 3.0 - math.sqrt(24.0 / independent)
    free = independent * (1.0 - r * r) / (1.0 + r * r)
    return min(free, 4.0 + 6.0 / kurtosis) if kurtosis > 0 else free


def _sums(errors: Floats, group: int) -> Floats:
    """Means of so many in a row, overlapping."""
    return np.convolve(errors, np.full(group, 1.0 / group), mode="valid")


def _pooled(errors: Floats, group: int) -> float:
    """Variance of the mean of so many errors in a row, over that of one: 1/group where they are independent."""
    if group == 1 or errors.size < 4 * group:
        return 1.0
    together, alone = (float(np.square(_sums(errors, number)).mean()) for number in (group, 1))
    return min(1.0, max(1.0 / group, together / (alone or 1.0)))


def _means(group: Ints, y: Floats, size: int) -> Floats:
    """Mean of each group; 0 where there is none."""
    count = np.bincount(group, minlength=size)
    return np.bincount(group, y, minlength=size) / np.maximum(count, 1)
