"""The values of one protected attribute as small numbers, which may leave the pod where the values may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.records import PRESENT, Cells, Ints, Texts

MISSING, OTHER, FIRST = 0, 1, 2  # places: no value; beyond the bound; the first value of its own
GROUPS_MAX = 20  # values with a place of their own
_NAMES = {MISSING: "unknown", OTHER: "other"}


@dataclass
class Groups:
    """Value -> place, in the order in which values first came; the reference's come before all others.

    At most GROUPS_MAX have a place of their own, so that no sender can make the state grow.

    >>> groups = Groups(["f", "m"])
    >>> groups.of("m"), groups.of("x"), groups.number(3)
    (3, 4, '2')
    """

    values: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = self.values[:GROUPS_MAX]
        self._known = {value: FIRST + i for i, value in enumerate(self.values)}

    @property
    def size(self) -> int:
        """Places in use, MISSING and OTHER among them."""
        return FIRST + len(self.values)

    def of(self, value: str) -> int:
        """The place of a value, a new one where there is room."""
        place = self._known.get(value)
        if place is None:
            if len(self.values) >= GROUPS_MAX:
                return OTHER
            place = self._known[value] = self.size
            self.values.append(value)
        return place

    def of_column(self, column: Texts | None, rows: int) -> Ints:
        """int64 (rows,): the place of each row; only values that a row has get one."""
        if column is None or not len(column.dictionary):
            return np.full(rows, MISSING, dtype=np.int64)
        there = None if column.state is None else column.state == PRESENT
        known = [self._known.get(value, -1) for value in column.dictionary]
        table = np.array(known, dtype=np.int64)
        if min(known) < 0:
            codes = column.codes if there is None else column.codes[there]
            used = np.flatnonzero(np.bincount(codes, minlength=1))
            table[used] = [self.of(column.dictionary[code]) for code in used.tolist()]
        found = table[column.codes]
        return found if there is None else np.where(there, found, MISSING)

    def of_places(self, places: Cells, names: Sequence[str]) -> Ints:
        """int64 (rows,): likewise of joined pairs, whose values are places in `names`, -1 none."""
        used = np.unique(places)
        used = used[used >= 0]
        table = np.full(int(used[-1]) + 2 if used.size else 1, MISSING, dtype=np.int64)
        table[used] = [self.of(names[place]) for place in used.tolist()]
        return table[places]  # -1 is the last, which no place has

    @staticmethod
    def number(place: int) -> str:
        """What a place is called outside: 1, 2, …, other, unknown."""
        return _NAMES.get(place) or str(place - FIRST + 1)

    def name(self, place: int, exported: bool) -> str:
        """What a group is called where the values may be read, or may not."""
        if not exported:
            return self.number(place)
        if place >= FIRST:
            return self.values[place - FIRST]
        word = _NAMES[place]
        return f"({word})" if word in self.values else word  # a value may be called so itself

    def legend(self) -> Mapping[str, str]:
        """Number -> value, for inside the pod."""
        return {self.number(FIRST + i): value for i, value in enumerate(self.values)}
