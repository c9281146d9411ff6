"""The most frequent texts of a stream, in bounded memory: a Misra-Gries summary (Agarwal et al., PODS 2012)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

LONG_TEXT = 256  # characters; longer ones are nobody's category and are kept as their hash


class FrequentTexts:
    """Counts of texts; exact while there are at most `2 × capacity` different ones.

    Beyond that a count is too low by at most total / capacity, so a text with a larger share is always here. Feed it
    aggregated counts (a dictionary and its codes), never row by row: the library's own sketch takes 90 ns a value.
    Keys are the texts themselves, or hashes where `add` was given hashes. Memory: about 150 B a text.
    """

    __slots__ = ("capacity", "counts", "error", "total")

    def __init__(self, capacity: int = 65_536) -> None:
        self.capacity = capacity
        self.counts: dict[str | int, int] = {}
        self.total = 0
        self.error = 0  # how much a count may be too low

    @property
    def exact(self) -> bool:
        """Nothing was ever forgotten."""
        return self.error == 0

    def add(self, counts: Mapping[str | int, int]) -> None:
        """Adds positive counts."""
        own = self.counts
        for key, count in counts.items():
            own[key] = own.get(key, 0) + count
            self.total += count
        if len(own) > 2 * self.capacity:
            self._shrink()

    def merge(self, other: FrequentTexts) -> None:
        """Adds everything `other` has seen; the error bounds add up."""
        self.add(other.counts)
        self.total += other.total - sum(other.counts.values())
        self.error += other.error

    def top(self, number: int) -> list[tuple[str | int, int]]:
        """The `number` most frequent, most frequent first, ties in the order of the text (hashes last)."""
        return list(islice(sorted(self.counts.items(), key=_order), number))

    def _shrink(self) -> None:
        # Every count falls by the (capacity + 1)-th largest; at most `capacity` of them stay above zero.
        cut = sorted(self.counts.values(), reverse=True)[self.capacity]
        self.counts = {key: count - cut for key, count in self.counts.items() if count > cut}
        self.error += cut


def _order(item: tuple[str | int, int]) -> tuple[int, bool, str, int]:
    key, count = item
    return (-count, isinstance(key, int), "" if isinstance(key, int) else key, key if isinstance(key, int) else 0)
