"""Labels beside what they found: which label met which row, without a sort where none is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes
from agent.labels import runs
from agent.labels.kept import KINDS
from agent.labels.rows import Rows, begins
from agent.labels.sieve import order_of
from agent.records import Bools, Floats, Ints

Kinds = npt.NDArray[np.int8]  # places in KINDS, from one; 0: not yet known
PLACE = {kind: place for place, kind in enumerate(KINDS, 1)}


@dataclass(slots=True)
class Found:
    """label, at: places among the labels and in the rows, of equal length; wheres, shares: of each row, where it lies
    and the share of the sample it was kept with (None: all of it)."""

    label: Ints
    at: Ints
    rows: Rows
    wheres: Hashes
    shares: Floats | None

    def pick(self, chosen: Ints | Bools) -> Found:
        return Found(self.label[chosen], self.at[chosen], self.rows, self.wheres, self.shares)

    def ids(self) -> Hashes:
        found: Hashes = self.rows["id"][self.at]
        return found

    def by_row(self) -> Found:
        """Rows in the order they came; of one row's labels the first first."""
        wheres = self.wheres[self.at]
        if (wheres[1:] > wheres[:-1]).all():
            return self
        return self.pick(np.lexsort((self.label, wheres)))

    def by_label(self, labels: int) -> Found:
        """In the order of the labels, of which there are so many."""
        if np.bincount(self.label, minlength=1).max() > 1:
            return self.pick(np.argsort(self.label, kind="stable"))
        slots = np.full(labels, -1, np.int64)
        slots[self.label] = np.arange(len(self.label))
        return self.pick(slots[slots >= 0])


class Sought:
    """Which labels are of which key. keys: of the labels; rising and each once afterwards."""

    def __init__(self, keys: Hashes) -> None:
        order = order_of(keys)  # labels of one key in the order they came
        rising = keys[order]
        first = begins(rising)
        self._ends: Ints | None = None
        if not first.all():
            self._ends = np.append(np.flatnonzero(first)[1:], len(keys))
        self._order = order
        self._begins = np.flatnonzero(first)
        self.keys: Hashes = rising[first]

    def labels(self, at: Ints) -> tuple[Ints, Ints]:
        """Every (label, place in `at`) of keys that were hit; in the order of the hits."""
        if self._ends is None:
            return self._order[at], np.arange(len(at))
        hit, place = runs.spread(self._begins[at], self._ends[at])
        return self._order[place], hit


def said_again(kinds: Kinds, truths: Rows, label: Ints, digests: Ints) -> None:
    """These labels' predictions are labelled with other labels' truths: is it the same? The first of a label counts."""
    label, digests = label[::-1], digests[::-1]
    kinds[label] = np.where(truths["digest"][label] == digests, PLACE["repeated"], PLACE["changed"])


def heads(kinds: Kinds, truths: Rows, label: Ints, first: Bools) -> None:
    """Labels that are not the first of their group (they follow it) say the same again, or something else."""
    if first.all():
        return
    head = label[first][np.cumsum(first) - 1]
    said_again(kinds, truths, label[~first], truths["digest"][head[~first]].astype(np.int64))
