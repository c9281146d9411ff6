"""Which of many entries are among many sought keys: a table of flags lets most of the others fall before a search."""

from __future__ import annotations

import numpy as np

from agent.counting.fingerprints import Hashes
from agent.records import Ints

SIEVED_MIN = 16_384  # keys from which a table is made
FLAGS_BITS = 21  # 2 MiB: of 196,608 keys nine of ten entries that match none fall
_SHIFT = np.uint64(64 - FLAGS_BITS)


def order_of(values: Hashes) -> Ints:
    """The stable order of the values. Places are put into the bits that the values leave free, or into their lowest,
    and sorted with them: a sort of numbers takes a third of one of their places."""
    if not len(values):
        return np.zeros(0, np.int64)
    bits = np.uint64(len(values).bit_length())
    low, places = values.min(), np.arange(len(values), dtype=np.uint64)
    below = (np.uint64(1) << bits) - np.uint64(1)
    room = int(values.max() - low) < 1 << (64 - int(bits))
    packed = (values - low) << bits if room else values & ~below
    packed |= places
    packed.sort()
    packed &= below
    found: Ints = packed.view(np.int64)
    if room:
        return found
    rising = values[found]
    # Of values that differ in their lowest bits alone the places decided.
    return found if (rising[1:] >= rising[:-1]).all() else np.argsort(values, kind="stable")


class Sieve:
    """keys: rising, each once."""

    def __init__(self, keys: Hashes) -> None:
        self.keys = keys
        self._flags: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None
        if len(keys) >= SIEVED_MIN:
            self._flags = np.zeros(1 << FLAGS_BITS, dtype=bool)
            self._flags[_places(keys)] = True

    def find(self, held: Hashes) -> tuple[Ints, Ints]:
        """Places among the keys and in `held`, which need not rise, of all that match; those in `held` rise."""
        if not len(held) or not len(self.keys):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        if self._flags is None:
            at = np.searchsorted(self.keys, held)
            hits = np.flatnonzero(self.keys.take(at, mode="clip") == held)
            return at[hits], hits
        may = np.flatnonzero(self._flags.take(_places(held)))
        some = held[may]
        at = np.searchsorted(self.keys, some)
        hits = np.flatnonzero(self.keys.take(at, mode="clip") == some)
        return at[hits], may[hits]


def _places(keys: Hashes) -> Ints:
    return (keys >> _SHIFT).view(np.int64)
