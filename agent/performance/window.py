"""The outcomes of labels that came in one window, and what many windows hold together."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.errors import CorruptError
from agent.packed import pack, packing, unpack
from agent.performance.form import Form
from agent.performance.outcomes import Outcomes, count
from agent.performance.seen import ClassPlaces, see
from agent.performance.slices import Slices
from agent.performance.stored import dense, outcomes_arrays, outcomes_of, sparse
from agent.records import Batch, Floats, Ints, Pairs

NEVER = 1 << 62


@dataclass(slots=True)
class Open:
    """A window whose labels still come. parts: float64 (slices, coarse size). first_ns, last_ns: of the predictions."""

    whole: Outcomes
    parts: Floats
    first_ns: int = NEVER
    last_ns: int = 0
    _packed: bytes = field(default=b"", repr=False)

    @classmethod
    def empty(cls, form: Form) -> Open:
        return cls(Outcomes.empty(form), np.zeros((0, form.coarse.size)))

    def add(self, pairs: Pairs, places: ClassPlaces, slices: Slices) -> None:
        """Counts pairs, in all and by slice."""
        form = self.whole.form
        seen = see(form, pairs, places)
        self.whole.add(seen)
        groups = slices.of(pairs)
        self.parts = widened(self.parts, len(slices.names))
        if groups and len(self.parts):
            self.parts += count(form.coarse, seen, groups, len(self.parts))
        self.first_ns = min(self.first_ns, int(pairs.time_ns.min(initial=NEVER)))
        self.last_ns = max(self.last_ns, int(pairs.time_ns.max(initial=0)))
        self._packed = b""

    def shown(self, batch: Batch) -> None:
        """Counts what a ranking showed."""
        self.whole.shown(batch)
        self._packed = b""

    def keep(self, slices: Ints, size: int) -> None:
        """Only these of `size` slices, in this order."""
        self.parts = widened(self.parts, size)[slices]
        self._packed = b""

    @property
    def packed(self) -> bytes:
        """All of it as bytes; made once after a change, and as they are: pressing them takes twenty times as long."""
        if not self._packed:
            self._packed = pack(_head(self.first_ns, self.last_ns, len(self.parts)), _arrays(self), level=0)
        return self._packed

    def copy(self) -> Open:
        whole = Outcomes(self.whole.form, self.whole.sums.copy(), self.whole.reach.copy())
        return Open(whole, self.parts.copy(), self.first_ns, self.last_ns)

    def join(self, other: Open) -> None:
        """With what another holds."""
        self.whole = self.whole + other.whole
        self.parts = widened(self.parts, len(other.parts))
        self.parts[: len(other.parts)] += other.parts
        self.first_ns, self.last_ns = min(self.first_ns, other.first_ns), max(self.last_ns, other.last_ns)
        self._packed = b""


@dataclass(slots=True)
class Past:
    """A window that is over, as small as what it holds. losses: (1 + slices, tested, 6); arrays: all its counts."""

    index: int
    first_ns: int
    last_ns: int
    losses: Floats
    slices: int
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    _packed: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, index: int, window: Open) -> Past:
        form = window.whole.form
        whole, parts = form.losses(window.whole.sums)[None], form.coarse.losses(window.parts)
        losses = np.concatenate((whole, parts))
        return cls(index, window.first_ns, window.last_ns, losses, len(window.parts), _arrays(window))

    def add_to(self, window: Open) -> None:
        """Adds everything it holds."""
        held, whole = self.arrays, window.whole
        np.add.at(whole.sums, held["sums_at"], held["sums"])  # a third of what `+=` takes; no place comes twice
        used, (low, high) = held["used"], held["reach"]
        whole.reach[0, used] = np.minimum(whole.reach[0, used], low)
        whole.reach[1, used] = np.maximum(whole.reach[1, used], high)
        window.parts = widened(window.parts, self.slices)
        np.add.at(window.parts.reshape(-1), held["parts_at"], held["parts"])
        window.first_ns, window.last_ns = min(window.first_ns, self.first_ns), max(window.last_ns, self.last_ns)

    @property
    def packed(self) -> bytes:
        """All of it as bytes; made once."""
        for _ in self.packing():
            pass
        return self._packed

    def packing(self) -> Generator[None, None, None]:
        """Makes them, in steps."""
        if not self._packed:
            head = _head(self.first_ns, self.last_ns, self.slices)
            self._packed = yield from packing(head, self.arrays)

    def kept(self, form: Form, slices: Ints, size: int) -> Past:
        """With only these of `size` slices."""
        window = Open.empty(form)
        self.add_to(window)
        window.keep(slices, size)
        return Past.of(self.index, window)


def _arrays(window: Open) -> Mapping[str, np.ndarray]:
    return {**outcomes_arrays(window.whole), **sparse("parts", window.parts)}


def _head(first_ns: int, last_ns: int, slices: int) -> Mapping[str, int]:
    return {"first": first_ns, "last": last_ns, "slices": slices}


def opened_of(form: Form, packed: bytes, slices_max: int) -> Open:
    """The window that was packed. Raises CorruptError."""
    head, arrays = unpack(packed, "performance: window")
    try:
        first, last, slices = (int(head[key]) for key in ("first", "last", "slices"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptError(f"performance: window: {type(error).__name__}") from error
    if not 0 <= slices <= slices_max:
        raise CorruptError(f"performance: window of {slices} slices, of {slices_max} known")
    return Open(outcomes_of(form, arrays), dense("parts", arrays, (slices, form.coarse.size)), first, last)


def stacked(form: Form, windows: Iterable[Past], slices: int) -> Floats:
    """float64 (windows, 1 + slices, tested, 6): their losses, with zeros for slices they did not know."""
    return np.stack([widened(window.losses, 1 + slices) for window in windows])


def widened(held: Floats, slices: int) -> Floats:
    """With zeros for the slices that are new."""
    if len(held) >= slices:
        return held
    found = np.zeros((slices, *held.shape[1:]))
    found[: len(held)] = held
    return found
