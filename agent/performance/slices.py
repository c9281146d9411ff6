"""Parts of the traffic that are looked at by themselves: values of segment keys, each with a number of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.records import Ints, Pairs

VALUES_MAX = 50  # of a key
SLICES_MAX = 100  # in all


@dataclass(slots=True)
class Slices:
    """names: "region=north", in the order they came. A number is never another's; what finds no room is in the whole
    alone."""

    names: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    _values: dict[str, int] = field(default_factory=dict)

    def of(self, pairs: Pairs) -> list[Ints]:
        """For each key int64 (rows,): the slice of each row, -1 none."""
        found = []
        for key, places in sorted(pairs.segments.items()):
            used = np.unique(places[places >= 0]).tolist()
            table = np.full(len(pairs.names) + 1, -1, dtype=np.int64)
            for place in used:
                table[place] = self._slice(key, f"{key}={pairs.names[place]}")
            found.append(table[places])
        return found

    def know(self, name: str) -> int:
        """The number of a slice, -1 where there is no room for it."""
        return self._slice(name.partition("=")[0], name)

    def _slice(self, key: str, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            if len(self.names) >= SLICES_MAX or self._values.get(key, 0) >= VALUES_MAX:
                return -1
            place = self._places[name] = len(self.names)
            self.names.append(name)
            self._values[key] = self._values.get(key, 0) + 1
        return place
