"""What grows with time: clocks, counters and ids given out in turn, of which no window is like one before; and lists of
categories to which new ones are added all the time."""

from __future__ import annotations

import numpy as np

from agent.records import Kind
from agent.reference.profile import Reference

BLOCKS_MIN = 8  # nine rising by chance: once in 360,000
ROWS_MIN = 10  # of a block
LATE_MIN, LATE_ROWS_MIN = 3, 10  # categories of so many rows each; one all in the second half by chance: 1 in 1,000
SPAN_MIN = 0.5  # of all bins, from the first block's mean to the last one's


def rising(reference: Reference) -> frozenset[int]:
    """Features of the layout whose mean rank never fell from one block of the reference to the next. 10 µs a feature.

    Without times blocks are in the order of the rows, and a file may be sorted by what it likes: none.
    """
    found: set[int] = set()
    if not reference.starts_ns.size or int(reference.starts_ns[0]) <= 0:
        return frozenset()
    for i, feature in enumerate(reference.layout.features):
        if feature.kind is not Kind.NUMBER or feature.computed or feature.ignored:
            continue
        start = int(reference.layout.starts[i])
        counts = reference.blocks[:, start : start + feature.bins].astype(np.float64)
        counts = counts[counts.sum(axis=1) >= ROWS_MIN]
        if len(counts) < BLOCKS_MIN:
            continue
        mean = counts @ np.arange(feature.bins) / counts.sum(axis=1)
        if (np.diff(mean) >= 0.0).all() and mean[-1] - mean[0] >= SPAN_MIN * feature.bins:
            found.add(i)
    return frozenset(found)


def growing(reference: Reference) -> frozenset[int]:
    """Texts of the layout of which several frequent categories came in the second half of the reference alone."""
    found: set[int] = set()
    half = len(reference.blocks) // 2
    if half < BLOCKS_MIN or int(reference.starts_ns[0]) <= 0:
        return frozenset()
    first, second = (part.sum(axis=0, dtype=np.int64) for part in (reference.blocks[:half], reference.blocks[half:]))
    late = (first == 0) & (second >= LATE_ROWS_MIN)
    for i, feature in enumerate(reference.layout.features):
        start = int(reference.layout.starts[i])
        own = late[start : start + len(feature.categories)] if feature.kind is Kind.TEXT else late[:0]
        if np.count_nonzero(own) >= LATE_MIN and not feature.computed:
            found.add(i)
    return frozenset(found)
