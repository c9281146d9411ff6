"""One watched value: its bins, what its cells are called, and what a person demands of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from agent.records import Floats, Ints, Kind, Source

NULL_CELL, ABSENT_CELL, NAN_CELL, INF_CELL, NEGATIVE_INF_CELL, MISMATCH_CELL, FRACTIONAL_CELL = range(7)
SPECIALS = 7
OTHER_SEEN_MAX = 65_536  # categories remembered as "seen", as 8-byte hashes
RARE_CELLS_MAX = 8  # of "other", and as many of "never seen"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person demands of one value, whatever the reference held: broken once is an alarm. Defaults: nothing.

    required: in every row, never absent. never_null: no null and no NaN. whole: no fractions. low, high: the possible
    range, bounds included. max_missing: share of rows without a value; max_new: share of values that are none of the
    reference's categories (0-1, 1: any; allowed and closed categories are max_new = 0).
    """

    required: bool = False
    never_null: bool = False
    whole: bool = False
    low: float = -math.inf
    high: float = math.inf
    max_missing: float = 1.0
    max_new: float = 1.0


NO_RULES = Rules()


@dataclass(frozen=True)
class Feature:
    """One watched value and its bins.

    edges: strictly rising, float64 (k+1,); bin i is [edges[i], edges[i+1]), the last one closed above.
    categories: texts with a bin of their own; seen: xxh3-64 of every other category of the reference. rare_cells: those
    of "other", and as many of "never seen": a text is in the one that its hash says.
    group: what findings call it, where several features stand for one value (projections of a vector); else empty.
    """

    name: str
    source: Source
    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    seen: frozenset[int] = frozenset()
    public: bool = False
    critical: bool = False
    ignored: bool = False
    integral: bool = False
    size: int = 0
    group: str = ""
    rules: Rules = NO_RULES
    rare_cells: int = 1

    @cached_property
    def bins(self) -> int:
        """Cells that carry values (below, above, other and never seen included)."""
        if self.kind is Kind.NUMBER:
            return len(self.edges) + 1
        if self.kind is Kind.TEXT:
            return len(self.categories) + 2 * self.rare_cells
        if self.kind is Kind.VECTOR:
            return 1 if self.group else 0  # references made before vectors were counted have none
        return 2

    @property
    def computed(self) -> bool:
        """Whether it is a part of a vector or of the whole row, not a value that someone sends."""
        return bool(self.group) and self.kind is not Kind.VECTOR

    @property
    def cells(self) -> int:
        return self.bins + SPECIALS

    @cached_property
    def split(self) -> Floats:
        """The edges for a search from the right: the last bin holds everything up to and including its end."""
        edges = np.array(self.edges, dtype=np.float64)
        if edges.size:
            edges[-1] = math.nextafter(edges[-1], math.inf)
        return edges

    @cached_property
    def _index(self) -> dict[str, int]:
        return {category: i for i, category in enumerate(self.categories)}

    @cached_property
    def outside(self) -> tuple[int, ...]:
        """Cells of a number that hold nothing but values outside the possible range."""
        if self.kind is not Kind.NUMBER or not self.edges:
            return ()
        bounds = self.split.tolist()
        below = [cell for cell, bound in enumerate(bounds) if bound <= self.rules.low]
        return (*below, *(cell for cell, bound in enumerate(bounds, start=1) if bound > self.rules.high))

    @property
    def other(self) -> range:
        """A text's cells of known categories without a bin of their own."""
        return range(len(self.categories), len(self.categories) + self.rare_cells)

    @property
    def never(self) -> range:
        """A text's cells of what the reference never held, in the order of `other`."""
        return range(self.other.stop, self.bins)

    @cached_property
    def whole(self) -> Ints:
        """The first cell of each bin as people know it: "other" and "never seen" are one each, whatever their cells."""
        if self.kind is not Kind.TEXT:
            return np.arange(self.bins, dtype=np.int64)
        return np.array([*range(self.other.start + 1), self.never.start], dtype=np.int64)

    def wholes(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(…, bins as people know them) of counts or shares (…, cells or bins)."""
        if self.rare_cells == 1 or self.kind is not Kind.TEXT:
            return values[..., : self.bins]
        return np.asarray(np.add.reduceat(values[..., : self.bins], self.whole, axis=-1))

    def told(self, cell: int) -> int:
        """The number under which people are told of a cell; those of "other" have one, and those of "never seen"."""
        if self.kind is not Kind.TEXT or cell < self.other.start:
            return cell
        more = self.rare_cells - 1
        return cell - 2 * more if cell >= self.bins else self.other.start + (cell >= self.never.start)

    def label(self, cell: int) -> str:
        """What the cell holds, for people inside the pod."""
        if cell >= self.bins:
            return ("null", "absent", "NaN", "+inf", "-inf", "wrong type", "fractional")[cell - self.bins]
        if self.kind is Kind.NUMBER:
            if cell == 0:
                return f"< {self.edges[0]:.6g}"
            if cell == self.bins - 1:
                return f"> {self.edges[-1]:.6g}"
            return f"{self.edges[cell - 1]:.6g} to {self.edges[cell]:.6g}"
        if self.kind is Kind.TEXT:
            return (*self.categories, "other", "never seen")[self.told(cell)]
        if self.kind is Kind.VECTOR:
            return "present"
        return ("false", "true")[cell]


def text_cells(feature: Feature, dictionary: Sequence[str]) -> list[int]:
    """The cell (from 0) of each of the dictionary's texts."""
    index, seen, cells = feature._index, feature.seen, feature.rare_cells
    other = len(feature.categories)
    never, digest = other + cells, xxhash.xxh3_64_intdigest  # as `text_hash`, without the call
    found = []
    for text in dictionary:
        cell = index.get(text)
        if cell is None:
            if cells > 1:
                hashed = digest(text.encode())
                cell = hashed % cells + (other if hashed in seen else never)
            else:
                cell = other if seen and text_hash(text) in seen else never
        found.append(cell)
    return found


def text_hash(text: str) -> int:
    """xxh3-64 of the UTF-8 bytes."""
    return xxhash.xxh3_64_intdigest(text.encode())
