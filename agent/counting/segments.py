"""Which segment values are counted apart, and how much all of them may hold together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.bins import Placed
from agent.records import Batch, Counts, Ints, Texts
from agent.reference.profile import Reference

WINDOWS_KEPT = 16  # closed windows that keep their segments: as many as these are judged over
VALUES_MAX = 50  # values of one segment key that are counted apart


@dataclass(slots=True)
class Budget:
    """Cells that segments may hold, over all models and windows together."""

    cells: int

    def take(self, cells: int) -> bool:
        """False, and nothing taken, where that many are not left."""
        if cells > self.cells:
            return False
        self.cells -= cells
        return True

    def take_back(self, cells: int) -> None:
        """Takes what was held before a restart; there may be less than nothing left, until windows are let go."""
        self.cells -= cells

    def give(self, cells: int) -> None:
        self.cells += cells


def narrowed(counts: Counts) -> Counts:
    """The same in as few bytes as the largest count needs: a closed segment's windows are most of what is held."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


class CountedSegments:
    """Counts the values of one series' segment keys. What a window holds is the window's; the budget is everyone's."""

    def __init__(self, keys: tuple[str, ...], budget: Budget, reference: Reference | None) -> None:
        self.keys, self.budget = keys, budget
        self.adopt(reference)

    def adopt(self, reference: Reference | None) -> None:
        """Its values keep their places: a window counts them however many others come first."""
        self._cells = 0 if reference is None else reference.layout.cells
        self._known = {} if reference is None else reference.by_segment.names

    def add(self, held: dict[str, Ints], batch: Batch, placed: Placed) -> int:
        """Adds a batch to a window's segments, all values of a key in one pass. Returns rows that found no room."""
        return sum(self._add_key(held, key, batch, placed) for key in self.keys) if self._cells else 0

    def take_back(self, segments: int) -> None:
        """So many were held before a restart."""
        self.budget.take_back(segments * self._cells)

    def let_go(self, held: dict[str, Counts], key: str | None = None) -> None:
        """Empties a window's segments, all or those of one key."""
        gone = [name for name in held if key is None or name.partition("=")[0] == key]
        for name in gone:
            del held[name]
        self.budget.give(len(gone) * self._cells)

    def _add_key(self, held: dict[str, Ints], key: str, batch: Batch, placed: Placed) -> int:
        column = batch.segments.get(key)
        if column is None:
            return 0
        used = _used(column, slice(None))
        names = {code: f"{key}={column.dictionary[code]}" for code in used}
        if any(name not in held for name in names.values()):
            at = 0
            for size, _ in batch.messages or ((batch.rows, 0),):  # the first message's values come first
                came = dict.fromkeys(names[code] for code in _used(column, slice(at, at + size)))
                self._begin(held, key, [name for name in came if name not in held])
                at += size
        taken = [code for code in used if names[code] in held]
        slot = np.full(len(column.dictionary) + 1, -1, dtype=np.int32)
        slot[taken] = np.arange(len(taken), dtype=np.int32)
        slots = slot[column.codes if column.state is None else np.where(column.state == 0, column.codes, len(slot) - 1)]
        rows = slice(None) if (slots >= 0).all() else slots >= 0
        flat = slots[rows] * self._cells + placed.cells[:, rows]
        counts = np.bincount(flat.ravel(), minlength=len(taken) * self._cells).reshape(len(taken), self._cells)
        for code, own in zip(taken, counts, strict=True):
            held[names[code]] += own
        nowhere = np.count_nonzero(slots < 0)
        return int(nowhere if column.state is None else nowhere - np.count_nonzero(column.state))

    def _begin(self, held: dict[str, Ints], key: str, names: list[str]) -> None:
        """Begins those of a window's new values that there is room for."""
        if not names:
            return
        known = self._known.get(key, frozenset())
        room = VALUES_MAX - len(known) - sum(name.partition("=")[0] == key and name not in known for name in held)
        for name in names:
            stranger = name not in known
            if (stranger and room <= 0) or not self.budget.take(self._cells):
                continue
            room -= stranger
            held[name] = np.zeros(self._cells, dtype=np.int64)


def _used(column: Texts, rows: slice) -> list[int]:
    """The codes that these rows have, rising."""
    codes = column.codes[rows]
    found: list[int] = np.unique(codes if column.state is None else codes[column.state[rows] == 0]).tolist()
    return found
