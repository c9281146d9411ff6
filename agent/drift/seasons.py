"""Seasons: which blocks of the reference a live window is to be compared with.

A feature that follows the hour of the day makes every window differ from the reference as a whole; what is left of it
beside the same hours of other days is what a test should see. Which season, if any, is the feature's own affair: the
one whose matched blocks predict a left-out block clearly best (cross-validation, Stone 1974).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.records import Bools, Floats, Ints
from agent.reference.profile import Reference

DAY_SECONDS = 86_400
REPEATS_MIN = 4  # days or weeks that a phase was seen in, for it to be compared with at all
COVERED_MIN = 0.95  # of the reference's blocks, in phases with so many repeats
GAIN_MIN = 0.1  # of the prediction's squared error: less is not worth the rows that matching costs
ERRORS_MIN = 2.0  # standard errors of the gain
_EPOCH_NS = 10**15  # blocks without times are numbered from 0, far below any date
_SLOTS = tuple(60 * minutes for minutes in (60, 120, 180, 240, 360, 480, 720))  # whole parts of a day


@dataclass(frozen=True, slots=True)
class Cycle:
    """A day or a week, cut into slots. name: "hour of the day", as it follows "compared with the same"."""

    name: str
    slot_seconds: int
    phases: int

    def slot(self, starts_ns: Ints) -> Ints:
        """The running number of the slot that a time lies in; never repeats."""
        return np.asarray(starts_ns // (self.slot_seconds * 10**9), dtype=np.int64)


WHOLE = Cycle("", DAY_SECONDS, 1)


@dataclass(frozen=True)
class Season:
    """A cycle laid over the reference's blocks: (blocks,) each. known: (phases,), those with enough repeats."""

    cycle: Cycle
    slot: Ints
    phase: Ints
    known: Bools

    @classmethod
    def none(cls, blocks: int) -> Season:
        zeros = np.zeros(blocks, dtype=np.int64)
        return cls(WHOLE, zeros, zeros, np.ones(1, dtype=bool))

    @classmethod
    def of(cls, cycle: Cycle, starts_ns: Ints) -> Season:
        slot = cycle.slot(starts_ns)
        seen = np.bincount(np.unique(slot) % cycle.phases, minlength=cycle.phases)
        return cls(cycle, slot, slot % cycle.phases, seen >= REPEATS_MIN)

    @property
    def usable(self) -> bool:
        return bool(self.known[self.phase].mean() >= COVERED_MIN) if self.phase.size else False


def is_timed(reference: Reference) -> bool:
    """Whether its blocks have times, or are rows in a file's order."""
    return len(reference.starts_ns) > 0 and int(reference.starts_ns[0]) >= _EPOCH_NS


def seasons_of(reference: Reference, window_seconds: float) -> tuple[Season, ...]:
    """No season first, then those that the reference is long enough for; blocks without times have none."""
    starts = reference.starts_ns
    found = [Season.none(len(reference.blocks))]
    if is_timed(reference):
        cycles = _cycles(window_seconds, reference.layout.window_seconds)
        found += [season for cycle in cycles if (season := Season.of(cycle, starts)).usable]
    return tuple(found)


def _cycles(window_seconds: float, block_seconds: float) -> list[Cycle]:
    """Those whose slots hold whole windows and whole blocks, so that neither straddles two phases."""

    def holds(slot: int) -> bool:
        return all(seconds > 0 and (slot / seconds).is_integer() for seconds in (window_seconds, block_seconds))

    found = []
    slot = next((slot for slot in _SLOTS if holds(slot)), 0)
    if slot:
        unit = "hour" if slot == _SLOTS[0] else "time"
        found.append(Cycle(f"{unit} of the day", slot, DAY_SECONDS // slot))
    if holds(DAY_SECONDS):
        found.append(Cycle("day of the week", DAY_SECONDS, 7))
    if slot:
        found.append(Cycle(f"{unit} of the week", slot, 7 * DAY_SECONDS // slot))
    return found


def choose(errors: Sequence[Floats]) -> Ints:
    """(features,): the season each feature is compared by, an index into `errors`; 0 is none.

    errors: a season each, (blocks, features), squared errors of predicting a block that was left out, over what
    independent rows would give. A season has to beat the best before it by GAIN_MIN and by ERRORS_MIN standard errors:
    matching by noise would cost rows and gain nothing.
    """
    best = errors[0]
    chosen = np.zeros(best.shape[1], dtype=np.int64)
    for number, candidate in enumerate(errors[1:], 1):
        gain = best - candidate
        mean, blocks = gain.mean(axis=0), max(len(gain), 2)
        error = gain.std(axis=0) / np.sqrt(blocks - 1)
        better = (mean > GAIN_MIN * best.mean(axis=0)) & (mean > ERRORS_MIN * error)
        chosen = np.where(better, number, chosen)
        best = np.where(better, candidate, best)
    return chosen
