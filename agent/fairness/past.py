"""What gaps were when all was well: the reference's windows, or without them the service's own first ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.errors import CorruptError
from agent.fairness.groups import FIRST, GROUPS_MAX, Groups
from agent.fairness.level import Level, leveling, merged
from agent.fairness.outcomes import LABELLED, MEASURES, PREDICTED, SUMS
from agent.fairness.wandering import RUN
from agent.packed import unpack
from agent.records import Floats, Task

SECTION = "fairness"  # of the reference file
LEARN_WINDOWS_MAX = 48  # one by one: two days of hours
LEARN_ROWS_MIN = 50.0  # of a window that is to be learned from
LEARN_RUNS_MAX = 24  # of eight windows each, after those: eight days of hours, against wandering that lasts for days
REFERENCE_WINDOWS_MAX = 256  # of which the wandering is learned; older ones count in the rates alone
SIDES = (PREDICTED, LABELLED)  # learned each by itself: truths come late
_NOTHING = (np.zeros((0, MEASURES, SUMS)), 0)


@dataclass(slots=True)
class Past:
    """Windows of one attribute: float64 (groups, MEASURES, SUMS) each, oldest first.

    windows: by side (predictions, truths), with zeros in the other's measures. total: also of windows that are not
    kept, None: there are none. own: the service's first windows, so further ones are learned. last: the newest of them
    by side; runs: of RUN windows each that came after; half: sums and windows of the run that is not whole.
    """

    windows: tuple[list[Floats], list[Floats]] = field(default_factory=lambda: ([], []))
    total: Floats | None = None
    own: bool = True
    last: list[int] = field(default_factory=lambda: [-1, -1])
    runs: tuple[list[Floats], list[Floats]] = field(default_factory=lambda: ([], []))
    half: list[tuple[Floats, int]] = field(default_factory=lambda: [_NOTHING, _NOTHING])
    _levels: dict[int, Level] = field(default_factory=dict)  # by side
    _level: Level | None = None  # of both

    def level(self, places: int) -> Level:
        """Of the groups known now, so many places; nothing is known of a side without windows."""
        for _ in self.preparing(places):
            pass
        if self._level is None:
            self._level = merged(self._levels[0], self._levels[1])
        return self._level

    def preparing(self, places: int) -> Iterator[None]:
        """Makes ready what `level` gives, a side in two steps."""
        for side, windows in enumerate(self.windows):
            known = self._levels.get(side)
            if known is None or len(known.total) < places:
                total = None if self.total is None else padded([self.total], places)[0]
                after = stacked(self.runs[side], places)
                self._levels[side] = yield from leveling(stacked(windows, places), total, SIDES[side], after)
                self._level = None
                yield

    @property
    def length(self) -> int:
        """Windows known, of the side that has more."""
        return max(len(side) for side in self.windows)

    def learn(self, side: int, index: int, sums: Floats) -> None:
        """One window more of the service's own; nothing where enough are known, or it is too small."""
        part = _only(sums, SIDES[side])
        if self.own and len(self.windows[side]) < LEARN_WINDOWS_MAX and part[..., 0].max(initial=0.0) >= LEARN_ROWS_MIN:
            self.windows[side].append(part)
            self.last[side] = index
            self._levels.pop(side, None)

    def learn_later(self, index: int, sums: Floats) -> None:
        """A window that the longest horizon has left, and nothing was suspected since: of a run."""
        for side in (0, 1) if self.own else ():
            full = len(self.windows[side]) >= LEARN_WINDOWS_MAX and len(self.runs[side]) < LEARN_RUNS_MAX
            part = _only(sums, SIDES[side])
            if not full or index <= self.last[side] or part[..., 0].max(initial=0.0) < LEARN_ROWS_MIN:
                continue
            before, windows = self.half[side]
            self.half[side] = padded([before, part], 0).sum(axis=0), windows + 1
            if windows + 1 == RUN:
                self.runs[side].append(self.half[side][0])
                self.half[side] = _NOTHING
                self._levels.pop(side, None)

    def doubt(self) -> None:
        """Something is suspected: the run that is not whole is not learned."""
        self.half = [_NOTHING, _NOTHING]

    def said(self, side: int) -> str:
        """What it is, in words."""
        if not self.own:
            return "the reference"
        return f"the service's own first {len(self.windows[side]) + RUN * len(self.runs[side])} windows"


def stacked(windows: Sequence[Floats], places: int) -> Floats:
    """(windows, places, MEASURES, SUMS), also of none."""
    return padded(windows, places) if windows else np.zeros((0, places, MEASURES, SUMS))


def padded(windows: Sequence[Floats], places: int) -> Floats:
    """(windows, places, …) of arrays that may know fewer groups."""
    found = np.zeros((len(windows), max(places, *(len(w) for w in windows)), *windows[0].shape[1:]))
    for k, window in enumerate(windows):
        found[k, : len(window)] = window
    return found


def _only(sums: Floats, side: slice) -> Floats:
    found = np.zeros_like(sums)
    found[:, side] = sums[:, side]
    return found


def of_reference(body: bytes, attribute: str, task: Task, positive: str, groups: Groups) -> Past | None:
    """The reference's windows of one attribute, in the places that its values have here; None: it has none of it, or
    of a model of another kind. Raises CorruptError."""
    head, numbered = unpack(body, f"reference: section {SECTION}")
    arrays = list(numbered.values())
    try:
        known: Any = head["attributes"].get(attribute)
        if known is None or (int(head["task"]), head["positive"]) != (int(task), positive):
            return None
        values, total, windows = [str(v) for v in known["values"]], arrays[known["at"]], arrays[known["at"] + 1]
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise CorruptError(f"fairness: section of the reference: {type(error).__name__}") from error
    shape = (FIRST + len(values), MEASURES, SUMS)
    fits = len(values) <= GROUPS_MAX and total.shape == shape and windows.shape[1:] == shape
    if not fits or not all(np.isfinite(part).all() for part in (total, windows)):
        raise CorruptError("fairness: section of the reference: groups and counts do not fit")
    places = np.array([0, 1, *(groups.of(value) for value in values)])
    moved, sums = np.zeros((len(windows), groups.size, *shape[1:])), np.zeros((groups.size, *shape[1:]))
    np.add.at(sums, places, total)
    for k, window in enumerate(windows):
        np.add.at(moved[k], places, window)
    found = Past(total=sums, own=False)
    for side, own in zip(found.windows, SIDES, strict=True):
        side += [_only(window, own) for window in moved]
    return found
