"""The labels of one window that is still open, as counts of losses: of all, and of each segment that is followed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.concept.detector import Moment
from agent.records import Cells, Floats, Ints, Pairs

SEGMENTS_MAX = 32  # values followed, those that came first, over all keys
NEVER = int(np.iinfo(np.int64).max)


@dataclass(slots=True)
class Followed:
    """The series by name: "" the whole, then "key=value" as they came, at most 32."""

    names: list[str] = field(default_factory=lambda: [""])
    _slots: dict[str, int] = field(default_factory=dict)

    def slot(self, name: str) -> int:
        """Which series; -1 beyond the limit."""
        if len(self._slots) < len(self.names):  # as after a start
            self._slots = {known: i for i, known in enumerate(self.names)}
        found = self._slots.get(name, -1)
        if found < 0 and len(self.names) <= SEGMENTS_MAX:
            found = self._slots[name] = len(self.names)
            self.names.append(name)
        return found


@dataclass(slots=True)
class Gathered:
    """weights: float64 (series, cells), their sums; squares: (series,), of all their squares. missing: pairs without
    prediction or truth. Series that came later than the array are added when they have labels."""

    weights: Floats
    squares: Floats
    first_ns: int = NEVER
    last_ns: int = 0
    missing: int = 0

    @classmethod
    def new(cls, cells: int) -> Gathered:
        return cls(np.zeros((1, cells)), np.zeros(1))

    def add(self, pairs: Pairs, placed: Cells, followed: Followed) -> None:
        """placed: int32 (rows,), -1 none. followed: grows with the segments that come."""
        kept = placed >= 0
        whole = bool(kept.all())
        if not whole:
            self.missing += int((~kept).sum())
            if not kept.any():
                return
        weights = pairs.weights if whole else pairs.weights[kept]
        own = (placed if whole else placed[kept]).astype(np.int64)
        times = pairs.time_ns if whole else pairs.time_ns[kept]
        self.first_ns, self.last_ns = min(self.first_ns, int(times.min())), max(self.last_ns, int(times.max()))
        self._count(np.zeros(len(own), dtype=np.int64), own, weights)
        for key, codes in pairs.segments.items():
            slots = _slots(key, codes if whole else codes[kept], pairs, followed)
            inside = slots >= 0
            if inside.any():
                self._widen(len(followed.names))
                self._count(slots[inside], own[inside], weights[inside])

    def counts(self) -> Floats:
        """(series, cells): as many labels as the weights are worth: (Σw)² / Σw² (Kish 1965)."""
        worth = self.weights.sum(axis=1) / np.maximum(self.squares, 1e-300)
        return np.asarray(self.weights * worth[:, np.newaxis])

    def moment(self, index: int) -> Moment:
        """When the oldest and the newest of the predictions were made."""
        return Moment(index, min(self.first_ns, self.last_ns), self.last_ns)

    def _count(self, slots: Ints, own: Ints, weights: Floats) -> None:
        series, cells = self.weights.shape
        self.weights += np.bincount(slots * cells + own, weights, series * cells).reshape(series, cells)
        self.squares += np.bincount(slots, np.square(weights), series)

    def _widen(self, series: int) -> None:
        more = series - len(self.weights)
        if more > 0:
            self.weights = np.vstack((self.weights, np.zeros((more, self.weights.shape[1]))))
            self.squares = np.concatenate((self.squares, np.zeros(more)))


def _slots(key: str, codes: Cells, pairs: Pairs, followed: Followed) -> Ints:
    """int64 (rows,): each row's series, -1 none."""
    slots = np.full(len(pairs.names) + 1, -1)  # the last: no value
    for code in np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(pairs.names))).tolist():
        slots[code] = followed.slot(f"{key}={pairs.names[code]}")
    return slots[codes]
