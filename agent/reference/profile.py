"""The reference profile: a layout of bins, and exact counts of a sample, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import xxhash

from agent.bins import Layout
from agent.records import Floats, Ints, Source
from agent.reference.by_segment import BySegment


@dataclass(frozen=True)
class Reference:
    """A sample of known-good traffic, kept as blocks (one per window), never as one pooled profile.

    blocks: int32 (blocks, layout.cells), in order of time; starts_ns: int64 (blocks,); rows: int64 (blocks,).
    quantiles: sealed `sketches.Quantiles` by (source, name). task: as in reference.proto (0 unknown).
    """

    model: str
    version: str
    layout: Layout
    blocks: npt.NDArray[np.int32]
    starts_ns: Ints
    rows: Ints
    task: int = 0
    positive_label: str = ""
    trained_at_ns: int = 0
    segments: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()  # the labels the training data had
    quantiles: Mapping[tuple[Source, str], bytes] = field(default_factory=dict)
    made_by: str = ""
    made_at_ns: int = 0
    origin: str = ""  # a file's name, or "learned from traffic"
    unknown: tuple[tuple[str, bytes], ...] = ()  # sections for others to read, or a newer version's: kept as they were
    by_segment: BySegment = field(default_factory=BySegment)

    def section(self, key: str) -> bytes | None:
        """A section that others than the reference itself make and read (`labelled.py`); None: the file has none."""
        return next((body for name, body in self.unknown if name == key), None)

    @cached_property
    def hash(self) -> int:
        """xxh3-64 of the layout's hash and the pooled counts: replicas that agree on it may be added up."""
        state = xxhash.xxh3_64(self.layout.hash.to_bytes(8, "little"))
        state.update(np.ascontiguousarray(self.pooled).tobytes())
        return state.intdigest()

    @property
    def hash_text(self) -> str:
        """Sixteen hex digits, as it stands in attributes and messages."""
        return f"{self.hash:016x}"

    @cached_property
    def pooled(self) -> Ints:
        """int64 (cells,): the counts of all blocks together."""
        return np.asarray(self.blocks.sum(axis=0, dtype=np.int64))

    @cached_property
    def share(self) -> Floats:
        """float64 (cells,): each cell's share of its feature's values (specials: of all its rows). Empty: 0."""
        found = np.zeros(self.layout.cells)
        for i, feature in enumerate(self.layout.features):
            cells = self.pooled[self.layout.slice(i)].astype(np.float64)
            valid, everything = cells[: feature.bins].sum(), cells[:-1].sum()
            start = int(self.layout.starts[i])
            if valid:
                found[start : start + feature.bins] = cells[: feature.bins] / valid
            if everything:
                found[start + feature.bins : start + feature.cells] = cells[feature.bins :] / everything
        return found
