"""Which cells each measure counts, over all features at once, and what the reference has in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import SPECIALS, Feature, Layout
from agent.quality.measure import Measure, Of
from agent.quality.wander import Wander
from agent.records import Cells, Floats, Ints, Source
from agent.reference.profile import Reference

Counts = Cells | Ints


@dataclass(frozen=True, slots=True)
class Table:
    """One measure over the features it applies to (m of them).

    features: int64 (m,); cells: int64, the faulty cells of all of them in a row; starts: where each one's begin.
    own: faults the reference counted in these very cells; then: with those in other spellings; faulty: with what it is
    credited; rows: out of so many.
    """

    measure: Measure
    features: Ints
    cells: Ints
    starts: Ints
    wander: Wander
    own: Ints
    then: Ints
    faulty: Ints
    rows: Ints

    @classmethod
    def of(
        cls, measure: Measure, reference: Reference, bases: dict[Of, Ints], horizons: Sequence[int],
        judged: Callable[[int], bool],
    ) -> Table:  # fmt: skip
        """bases: of the reference's blocks, (blocks, features) each; judged: whether a feature is."""
        layout = reference.layout
        features = [i for i, f in enumerate(layout.features) if _has_values(f) and measure.cells(f) and judged(i)]
        cells, starts = _flat(layout, features, measure.cells)
        seen, seen_starts = _flat(layout, features, measure.known or measure.cells)
        chosen = np.array(features, dtype=np.int64)
        rows = bases[measure.of][:, chosen]
        faulty = np.minimum(_count(reference.blocks, seen, seen_starts), rows)
        then, everything = faulty.sum(axis=0), rows.sum(axis=0)
        credit = [measure.credit(layout.features[i], reference.pooled[layout.slice(i)]) for i in features]
        credited = np.minimum(np.maximum(then, np.array(credit, dtype=np.int64)), everything)
        own = _count(reference.pooled, cells, starts)
        return cls(measure, chosen, cells, starts, Wander.of(faulty, rows, horizons), own, then, credited, everything)

    def count(self, counts: Counts) -> Ints:
        """int64 (m,) of a window; (windows, m) of windows."""
        return _count(counts, self.cells, self.starts)

    @property
    def expected(self) -> Floats:
        """(m,) share of faults; NaN where the reference has no rows."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.faulty / self.rows)


def bases_of(layout: Layout, counts: Counts) -> dict[Of, Ints]:
    """What shares are shares of: int64 (…, features) each. `fractional` is counted beside a value's bin: left out."""
    starts, ends = layout.starts[:-1], layout.starts[1:]
    cuts = np.stack((starts, ends - SPECIALS, ends - 1), axis=1).ravel()
    sums = np.add.reduceat(counts, cuts, axis=-1, dtype=np.int64)
    # A feature without bins (a vector): reduceat gives the next cell instead of nothing.
    values = np.where(ends - SPECIALS > starts, sums[..., 0::3], 0)
    return {Of.VALUES: values, Of.ROWS: values + sums[..., 1::3]}


def _has_values(feature: Feature) -> bool:
    return not (feature.ignored or feature.computed or feature.source is Source.LATENCY)


def _flat(layout: Layout, features: Sequence[int], cells: Callable[[Feature], tuple[int, ...]]) -> tuple[Ints, Ints]:
    """The cells of all features in a row, and where each one's begin."""
    own = [cells(layout.features[i]) for i in features]
    begins = np.cumsum([0, *(len(some) for some in own)])[:-1]
    flat = [int(layout.starts[i]) + cell for i, some in zip(features, own, strict=True) for cell in some]
    return np.array(flat, dtype=np.int64), np.asarray(begins, dtype=np.int64)


def _count(counts: Counts, cells: Ints, starts: Ints) -> Ints:
    if not cells.size:
        return np.zeros((*counts.shape[:-1], 0), dtype=np.int64)
    return np.asarray(np.add.reduceat(counts[..., cells], starts, axis=-1, dtype=np.int64))
