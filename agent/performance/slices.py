"""Parts of the traffic that are looked at by themselves: values of segment keys, each with a number of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from agent.records import Ints, Pairs

VALUES_MAX = 50  # of a key
SLICES_MAX = 100  # in all


@dataclass(slots=True)
class Slices:
    """names: "region=north", in the order they came. A number is never another's; what finds no room is in the whole
    alone. keys: those that are looked at, None: all."""

    names: list[str] = field(default_factory=list)
    keys: Collection[str] | None = None
    _places: dict[str, int] = field(default_factory=dict)
    _values: dict[str, int] = field(default_factory=dict)

    def of(self, pairs: Pairs) -> list[Ints]:
        """For each key int64 (rows,): the slice of each row, -1 none."""
        found = []
        for key, places in sorted(pairs.segments.items()):
            if self.keys is not None and key not in self.keys:
                continue
            used = np.unique(places[places >= 0]).tolist()
            table = np.full(len(pairs.names) + 1, -1, dtype=np.int64)
            for place in used:
                table[place] = self._slice(key, f"{key}={pairs.names[place]}")
            found.append(table[places])
        return found

    def know(self, name: str) -> int:
        """The number of a slice, -1 where there is no room for it, or its key is not looked at."""
        key = name.partition("=")[0]
        return self._slice(key, name) if self.keys is None or key in self.keys else -1

    def of_keys(self, keys: Collection[str]) -> tuple[Slices, Ints]:
        """Only those of these keys, with numbers of their own, and what numbers these have here."""
        found = Slices(keys=keys)
        kept = [k for k, name in enumerate(self.names) if found.know(name) >= 0]
        return found, np.array(kept, dtype=np.int64)

    def _slice(self, key: str, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            if len(self.names) >= SLICES_MAX or self._values.get(key, 0) >= VALUES_MAX:
                return -1
            place = self._places[name] = len(self.names)
            self.names.append(name)
            self._values[key] = self._values.get(key, 0) + 1
        return place
