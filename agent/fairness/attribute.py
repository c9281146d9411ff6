"""What is held of one protected attribute: its groups, its windows, and what was usual."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.errors import CorruptError
from agent.fairness.groups import Groups
from agent.fairness.outcomes import BIN_SUMS, BINS, MEASURES, SUMS, Meaning, Outcomes, selected
from agent.fairness.past import LEARN_RUNS_MAX, LEARN_WINDOWS_MAX, Past, padded, stacked
from agent.ledger import HORIZONS
from agent.records import Batch, Floats, Ints, Pairs

WINDOWS_MAX = max(HORIZONS)
OPEN_MAX = 64  # windows that are not over; more come only where records are far out of order


@dataclass(slots=True)
class Attribute:
    """One attribute. open: by window; recent: closed windows with rows, newest last; rows: (groups, 2) predictions and
    labels since the series began; own: learned of the service itself; over: the horizon by which
    a gap's live alarm is said to go on, 0: none is; good: how many windows in a row it did not; left: the windows that
    the last close dropped from the recent ones.

    Memory: some 300 bytes a group, window and state of it: 24 recent windows, 2 x (48 windows and 24 runs) learned.
    """

    name: str
    groups: Groups = field(default_factory=Groups)
    open: dict[int, Outcomes] = field(default_factory=dict)
    recent: list[tuple[int, Outcomes]] = field(default_factory=list)
    rows: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    own: Past = field(default_factory=Past)
    reference: Past | None = None
    over: int = 0
    good: int = 0
    left: list[tuple[int, Outcomes]] = field(default_factory=list)

    @property
    def past(self) -> Past:
        return self.own if self.reference is None else self.reference

    def predicted(self, batch: Batch, index: int, chosen: Ints) -> None:
        column = batch.protected.get(self.name) or batch.segments.get(self.name)
        places = self.groups.of_column(column, batch.rows)
        self._window(index).predicted(places, chosen, batch.weights, self.groups.size)

    def labelled(self, pairs: Pairs, index: int, meaning: Meaning) -> None:
        found = pairs.groups.get(self.name, pairs.segments.get(self.name))
        places = np.zeros(pairs.rows, dtype=np.int64) if found is None else self.groups.of_places(found, pairs.names)
        self._window(index).labelled(places, pairs, meaning, self.groups.size)

    def end(self, index: int) -> Outcomes:
        """The window is over, and whatever is older: among the recent ones, unless nothing came."""
        self.left = [(k, o) for k, o in self.recent if k <= index - WINDOWS_MAX]
        closed = Outcomes.empty(self.groups.size)
        for old in [k for k in self.open if k <= index]:
            closed.add(self.open.pop(old))
        self.recent = [(k, o) for k, o in self.recent if k > index - WINDOWS_MAX]
        if closed.rows.any():
            self.recent.append((index, closed))
            self.rows = self.rows_now(closed)
        return closed

    def learn(self, index: int, closed: Outcomes, alarms: bool) -> None:
        """From the window that just ended, and from those that no horizon looks at any more."""
        if alarms or self.over:
            self.own.doubt()
        else:
            for k, outcomes in self.left:
                self.own.learn_later(k, outcomes.sums)
        if not alarms:
            for side in (0, 1):
                self.own.learn(side, index, closed.sums)

    def rows_now(self, more: Outcomes | None = None) -> Floats:
        """(groups, 2): rows since the series began, and `more`."""
        found = Outcomes.empty(self.groups.size)
        found.rows[: len(self.rows)] = self.rows
        if more is not None:
            found.add(more)
        return found.rows

    def rows_with_open(self) -> Floats:
        """(groups, 2): predictions and labels since the series began, those of windows not over among them."""
        whole = Outcomes.empty(self.groups.size)
        for outcomes in self.open.values():
            whole.add(outcomes)
        return self.rows_now(whole)

    def pooled(self, index: int) -> tuple[list[int], Floats]:
        """Horizons, and the newest windows of each together, (horizons, groups, MEASURES, SUMS). Left out are horizons
        that hold the same windows as the next shorter one."""
        windows = [(k, o.sums) for k, o in reversed(self.recent) if k > index - WINDOWS_MAX]
        whole = np.cumsum(stacked([sums for _, sums in windows], self.groups.size), axis=0)
        held = [sum(k > index - horizon for k, _ in windows) for horizon in HORIZONS]
        new = [i for i, count in enumerate(held) if count > max(held[:i], default=0)]
        return [HORIZONS[i] for i in new], whole[[held[i] - 1 for i in new]]

    def bins(self) -> Floats:
        """(groups, BINS, BIN_SUMS): calibration over all recent windows."""
        return np.asarray(padded([o.bins for _, o in self.recent], self.groups.size).sum(axis=0))

    def forget(self, index: int) -> None:
        """A gap is as it was again: longer horizons are not to remember it."""
        self.recent = [(k, o) for k, o in self.recent if k > index - 2]
        self.over = self.good = 0

    def restart(self) -> None:
        """Predictions mean something else now: nothing that was counted can be added to."""
        self.open, self.recent, self.own = {}, [], Past()
        self.over = self.good = 0

    def _window(self, index: int) -> Outcomes:
        found = self.open.get(index)
        if found is None:
            if len(self.open) >= OPEN_MAX:
                return self.open[max(self.open)]
            found = self.open[index] = Outcomes.empty(self.groups.size)
        return found

    def open_state(self) -> tuple[dict[str, Any], list[Floats]]:
        """The windows that are not over, and the names of the groups so far."""
        arrays = [part for outcomes in self.open.values() for part in _parts(outcomes)]
        return {"values": self.groups.values, "open": list(self.open)}, arrays

    def closed_state(self) -> tuple[dict[str, Any], list[Floats]]:
        """What changes only when a window ends. Head and arrays, as `packed.pack` takes them."""
        head = {
            "recent": [k for k, _ in self.recent], "learned": [len(side) for side in self.own.windows],
            "over": self.over, "good": self.good, "last": self.own.last, "runs": [len(side) for side in self.own.runs],
            "half": [windows for _, windows in self.own.half],
        }  # fmt: skip
        recent = [part for _, outcomes in self.recent for part in _parts(outcomes)]
        learned = [part for both in (self.own.windows, self.own.runs) for side in both for part in side]
        return head, [self.rows, *recent, *learned, *(sums for sums, _ in self.own.half)]

    @classmethod
    def of_closed(cls, name: str, head: Any, arrays: list[Floats]) -> Attribute:
        """Takes its arrays off the front of `arrays`. Raises CorruptError."""
        try:
            found = cls(name, over=int(head["over"]), good=int(head["good"]), rows=_array(arrays, (2,)))
            found.recent = [(int(k), _outcomes(arrays)) for k in head["recent"][:WINDOWS_MAX]]
            for side, count in zip(found.own.windows, head["learned"], strict=True):
                side += [_array(arrays, (MEASURES, SUMS)) for _ in range(min(int(count), LEARN_WINDOWS_MAX))]
            if "runs" in head:
                found._take_runs(head, arrays)
            else:  # of a state from before there were any
                found.own.last = [max((k for k, _ in found.recent), default=-1)] * 2
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise CorruptError(f"fairness: {name}: {type(error).__name__}") from error
        return found

    def _take_runs(self, head: Any, arrays: list[Floats]) -> None:
        own = self.own
        own.last = [int(head["last"][side]) for side in (0, 1)]
        for side, count in zip(own.runs, head["runs"], strict=True):
            side += [_array(arrays, (MEASURES, SUMS)) for _ in range(min(int(count), LEARN_RUNS_MAX))]
        own.half = [(_array(arrays, (MEASURES, SUMS)), int(head["half"][side])) for side in (0, 1)]

    def take_open(self, head: Any, arrays: list[Floats]) -> None:
        """Likewise of what `open_state` gave. Raises CorruptError."""
        try:
            self.groups = Groups([str(value) for value in head["values"]])
            self.open = {int(k): _outcomes(arrays) for k in head["open"][:OPEN_MAX]}
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise CorruptError(f"fairness: {self.name}: {type(error).__name__}") from error
        held = [o.sums for _, o in self.recent] + [o.sums for o in self.open.values()]
        learned = [*self.own.windows[0], *self.own.windows[1], *self.own.runs[0], *self.own.runs[1]]
        sizes = [len(sums) for sums in (*held, *learned, *(sums for sums, _ in self.own.half), self.rows)]
        if max(sizes) > self.groups.size:
            raise CorruptError(f"fairness: {self.name}: more groups than names")


def chosen_of(batch: Batch, meaning: Meaning) -> Ints:
    """Whether each prediction was favourable, as `selected` says it."""
    return selected(batch.outputs, batch.rows, meaning) if meaning.binary else np.zeros(batch.rows, dtype=np.int64)


def _parts(outcomes: Outcomes) -> tuple[Floats, Floats, Floats]:
    return outcomes.sums, outcomes.bins, outcomes.rows


def _outcomes(arrays: list[Floats]) -> Outcomes:
    sums, bins, rows = (_array(arrays, shape) for shape in ((MEASURES, SUMS), (BINS, BIN_SUMS), (2,)))
    if not len(sums) == len(bins) == len(rows):
        raise ValueError("groups")
    return Outcomes(sums, bins, rows)


def _array(arrays: list[Floats], shape: tuple[int, ...]) -> Floats:
    found = arrays.pop(0)
    if found.shape[1:] != shape or not np.isfinite(found).all():
        raise ValueError("shape")
    return found
