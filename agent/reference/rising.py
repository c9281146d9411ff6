"""Numbers that rise with time: clocks, counters, ids given out in turn. No window of them is like one before."""

from __future__ import annotations

import numpy as np

from agent.records import Kind
from agent.reference.profile import Reference

BLOCKS_MIN = 8  # nine rising by chance: once in 360,000
ROWS_MIN = 10  # of a block
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
