"""What grows with time: clocks, counters and ids given out in turn, of which no window is like one before; and lists of
categories to which new ones are added all the time."""

from __future__ import annotations

import numpy as np

from agent.records import Kind
from agent.reference.profile import Reference

BLOCKS_MIN = 8  # nine rising by chance: once in 360,000
ROWS_MIN = 10  # of a block
LATE = 1e-6  # how likely chance alone begins so late
APART_MIN = 0.05  # of the blocks, between the first that came late and the last: what only weekends have begins at once
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
    """Texts of the layout to which categories were added at several times, each too late for chance: were blocks alike,
    one of c rows would be in none of the first share s of them with (1 - s)^c."""
    found: set[int] = set()
    blocks = len(reference.blocks)
    if blocks < BLOCKS_MIN or int(reference.starts_ns[0]) <= 0:
        return frozenset()
    for i, feature in enumerate(reference.layout.features):
        if feature.kind is not Kind.TEXT or feature.computed or not feature.categories:
            continue
        start = int(reference.layout.starts[i])
        counts = reference.blocks[:, start : start + len(feature.categories)]
        first = np.argmax(counts > 0, axis=0)
        late = first[counts.sum(axis=0) * np.log1p(-first / blocks) < np.log(LATE)]
        if late.size and int(late.max()) - int(late.min()) >= APART_MIN * blocks:
            found.add(i)
    return frozenset(found)
