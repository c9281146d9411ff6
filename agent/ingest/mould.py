"""How a message of columns is built, byte for byte but for its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.ingest.words import joinable
from agent.records import Batch, Texts

SPAN_BYTES = 256  # what a stretch between two values occupies, and what is told of them, beside its own bytes
Coded = tuple[tuple[str, tuple[str, ...]], ...]  # names of columns of texts, with their dictionaries


class Column(NamedTuple):
    """Where one column's values stand, in bytes from the columns' beginning, and its bitmaps where it has them."""

    values: slice
    nulls: slice | None = None
    absents: slice | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """What moulds whose messages may be counted together have in common: names in their order, and dictionaries but
    for those of features that are small enough to be put together, None here.

    scores: which of the outputs are scores. arrays: those that are there, as in `Mould`.
    """

    numbers: tuple[str, ...]
    measures: tuple[str, ...]
    outputs: tuple[str, ...]
    scores: tuple[bool, ...]
    flags: tuple[str, ...]
    texts: tuple[tuple[str, tuple[str, ...] | None], ...]
    labels: Coded
    segments: Coded
    protected: Coded
    arrays: frozenset[str]

    @property
    def columns(self) -> int:
        """How many have a name."""
        plain = (self.numbers, self.measures, self.outputs, self.flags)
        return sum(map(len, plain)) + sum(map(len, (self.texts, self.labels, self.segments, self.protected)))


@dataclass(frozen=True, slots=True, eq=False)
class Mould:
    """size: bytes of the columns. fixed: what stands where between their values.

    By kind of value, in the family's order: numbers (its numbers, measures, outputs), texts (its texts, labels,
    segments, protected), flags. entries: uint32 (texts, 1), how many each dictionary has. By name: arrays (ids,
    request_ids, times, latency, status, weights), prefixes (of ids, request_ids). bitmaps: whether a column has one.
    dictionaries: of the features.
    """

    size: int
    rows: int
    fixed: tuple[tuple[int, bytes], ...]
    family: Family
    numbers: tuple[Column, ...]
    texts: tuple[Column, ...]
    flags: tuple[Column, ...]
    entries: npt.NDArray[np.uint32]
    arrays: dict[str, slice]
    prefixes: dict[str, slice]
    bitmaps: bool
    dictionaries: tuple[tuple[str, ...], ...]

    def has(self, batch: Batch) -> bool:
        """Whether a batch that was read otherwise may be counted with its messages: the same names in the same order,
        dictionaries that can be put together, and nothing that no mould has."""
        family, features, outputs = self.family, batch.features, batch.outputs
        plain = {"numbers": features.numbers, "measures": batch.measures, "outputs": outputs.numbers,
                 "flags": features.flags}  # fmt: skip
        coded = {"labels": outputs.texts, "segments": batch.segments, "protected": batch.protected}
        arrays = {"ids": batch.ids, "request_ids": batch.request_ids, "times": batch.time_ns,
                  "latency": batch.latency, "status": batch.errors, "weights": batch.weights}  # fmt: skip
        return (
            not features.vectors
            and all(getattr(family, name) == tuple(own) for name, own in plain.items())
            and all(_same(getattr(family, name), own) for name, own in coded.items())
            and [name for name, _ in family.texts] == list(features.texts)
            and all(map(joinable, self.dictionaries, [own.dictionary for own in features.texts.values()]))
            and {name for name, array in arrays.items() if array is not None} == family.arrays
        )

    @property
    def held_bytes(self) -> int:
        """What it occupies, about."""
        return sum([SPAN_BYTES + len(want) for _, want in self.fixed])

    def fits(self, raw: bytes, begin: int) -> bool:
        """Whether so many bytes that begin there are of this mould, and no record among them is to be refused."""
        for at, want in self.fixed:
            if not raw.startswith(want, begin + at):
                return False
        columns = memoryview(raw)[begin:]
        if not all(bytes(columns[place]).isascii() for place in self.prefixes.values()):
            return False
        if not self.texts:
            return True
        codes = np.frombuffer(b"".join([columns[column.values] for column in self.texts]), "<u4")
        return not np.count_nonzero(codes.reshape(-1, self.rows) >= self.entries)


def _same(mine: Coded, its: Mapping[str, Texts]) -> bool:
    return len(mine) == len(its) and all(
        name == own and dictionary is column.dictionary
        for (name, dictionary), (own, column) in zip(mine, its.items(), strict=True)
    )
