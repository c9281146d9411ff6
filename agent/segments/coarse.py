"""Few cells a feature, pooled by the segment's own shares: segments have few rows, and speak of large effects only.

A subject is one feature in one segment. All subjects that are judged together lie one after another in flat arrays, so
ten segments cost what their cells cost. One way to pool is enough: every cell holds an eighth of the segment's
reference, and from ROWS_MIN rows on a test of it keeps its tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.bins import Layout
from agent.drift.pooling import Cells, begins_of
from agent.drift.scores import orthonormal
from agent.records import Bools, Floats, Ints, Kind, Source

SHARE_MIN = 1 / 8  # of a pooled cell in the segment's reference
ROWS_MIN = 40  # five expected in each such cell


@dataclass(frozen=True)
class Coarse:
    """The pooled cells of many subjects.

    take: (cells,) where each value cell lies in the segments' arrays, laid end to end; starts: (pooled,) first of each
    pooled cell; first: (subjects,) first pooled cell; owner: (pooled,). bins, df: (subjects,) pooled cells, and the
    degrees of freedom the scores leave. vectors: (3, pooled), scores with mean 0 and variance 1 under the segment's
    reference; skewness: (3, subjects), NaN marks a score the subject does not have. lone: (subjects,) nearly all values
    in one cell: two pooled cells, all others and that one, and no scores. feature: (subjects,) index in the layout.
    """

    take: Ints
    starts: Ints
    first: Ints
    owner: Ints
    bins: Ints
    df: Ints
    vectors: Floats
    skewness: Floats
    lone: Bools
    text: Bools
    feature: Ints

    @classmethod
    def of(cls, layout: Layout, judged: Sequence[int], share: Floats, counts: Ints) -> Coarse:
        """One segment's subjects, the features `judged`. share, counts: (layout.cells,), of the segment's reference."""
        cells = Cells.of(layout, share, counts, judged, coarse=True)
        begin = begins_of(cells, SHARE_MIN)
        alone = cells.sums(begin.astype(np.float64)) == 1
        cells = _main_last(cells, begin, alone)
        scores = orthonormal(cells, begin, alone)
        starts = np.flatnonzero(begin)
        bins = np.bincount(cells.owner[starts], minlength=len(cells.features))
        has = (~np.isnan(scores.skewness)).sum(axis=0)
        return cls(
            take=cells.take,
            starts=starts,
            first=np.cumsum(bins) - bins,
            owner=cells.owner[starts],
            bins=bins,
            df=np.where(alone, 0, np.maximum(bins - 1 - has, 0)),
            vectors=scores.vectors[:, starts].astype(np.float64),
            skewness=scores.skewness,
            lone=alone,
            text=np.array([layout.features[i].kind is Kind.TEXT for i in cells.features], dtype=bool),
            feature=np.array(cells.features, dtype=np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Coarse], cells: int) -> Coarse:
        """Several segments' subjects, one segment after another; `cells`: of one segment's array."""
        taken = np.cumsum([0, *(part.take.size for part in parts)])
        pooled = np.cumsum([0, *(part.starts.size for part in parts)])
        subjects = np.cumsum([0, *(part.bins.size for part in parts)])
        return cls(
            take=np.concatenate([part.take + s * cells for s, part in enumerate(parts)]),
            starts=np.concatenate([part.starts + taken[s] for s, part in enumerate(parts)]),
            first=np.concatenate([part.first + pooled[s] for s, part in enumerate(parts)]),
            owner=np.concatenate([part.owner + subjects[s] for s, part in enumerate(parts)]),
            bins=np.concatenate([part.bins for part in parts]),
            df=np.concatenate([part.df for part in parts]),
            vectors=np.concatenate([part.vectors for part in parts], axis=1),
            skewness=np.concatenate([part.skewness for part in parts], axis=1),
            lone=np.concatenate([part.lone for part in parts]),
            text=np.concatenate([part.text for part in parts]),
            feature=np.concatenate([part.feature for part in parts]),
        )

    def pool(self, counts: Floats) -> Floats:
        """(…, pooled) of (…, cells of all segments)."""
        found: Floats = np.add.reduceat(counts[..., self.take], self.starts, axis=-1)
        return found

    def sums(self, pooled: Floats) -> Floats:
        """(…, subjects): over each subject's pooled cells."""
        found: Floats = np.add.reduceat(pooled, self.first, axis=-1)
        return found


def judged_features(layout: Layout) -> list[int]:
    """What is judged by segment: values that are sent, with bins. What is computed of them is not counted there."""
    return [
        i
        for i, f in enumerate(layout.features)
        if f.bins and not (f.ignored or f.computed or f.kind is Kind.VECTOR or f.source is Source.LATENCY)
    ]


def _main_last(cells: Cells, begin: Bools, alone: Bools) -> Cells:
    """Where all was pooled into one cell, the heaviest bin lies last and stands apart; `begin` is set so, in place."""
    take, share = cells.take.copy(), cells.share.copy()
    for subject in np.flatnonzero(alone):
        own = np.flatnonzero(cells.owner == subject)
        _, of_bin = np.unique(cells.whole[own], return_inverse=True)
        of_bins = np.bincount(of_bin, weights=share[own])[of_bin]
        main = of_bin == of_bin[np.argmax(of_bins)]
        order = np.append(own[~main], own[main])
        take[own], share[own] = take[order], share[order]
        begin[own[-int(main.sum())]] = True
    return replace(cells, take=take, share=share)
