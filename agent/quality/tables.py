"""Which cells each measure counts, over all features at once, and what the reference has in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import SPECIALS, Feature, Layout
from agent.quality.measure import Measure, Of
from agent.quality.wander import Wander
from agent.records import Cells, Floats, Ints, Source
from agent.reference.profile import Reference

Counts = Cells | Ints


@dataclass(frozen=True, slots=True)
class Places:
    """Where one measure's cells lie, over the features it applies to (m of them).

    features: int64 (m,); cells: int64, the faulty cells of all of them in a row; starts: where each one's begin. known,
    known_starts: likewise, with the other spellings in which the reference may hold the same fault.
    """

    measure: Measure
    features: Ints
    cells: Ints
    starts: Ints
    known: Ints
    known_starts: Ints

    @classmethod
    def of(cls, measure: Measure, layout: Layout, features: Iterable[int]) -> Places:
        """features: those that are judged; the measure applies to some of them."""
        own = [i for i in features if measure.cells(layout.features[i])]
        cells, known = _flat(layout, own, measure.cells), _flat(layout, own, measure.known or measure.cells)
        return cls(measure, np.array(own, dtype=np.int64), *cells, *known)

    def faulty(self, counts: Counts) -> Ints:
        """int64 (…, m) of (…, cells)."""
        return _count(counts, self.cells, self.starts)

    def ever(self, counts: Counts) -> Ints:
        """Likewise, in any spelling."""
        return _count(counts, self.known, self.known_starts)

    def credited(self, layout: Layout, pooled: Ints, then: Ints, rows: Ints) -> Ints:
        """(m,): faults the reference is credited with. pooled: (cells,), its counts; then: its faults; rows: of."""
        credit = [self.measure.credit(layout.features[i], pooled[layout.slice(i)]) for i in self.features.tolist()]
        return np.minimum(np.maximum(then, np.array(credit, dtype=np.int64)), rows)


@dataclass(frozen=True, slots=True)
class Table:
    """One measure over the features it applies to (m of them).

    own: faults the reference counted in these very cells; then: with those in other spellings; faulty: with what it is
    credited; rows: out of so many.
    """

    places: Places
    wander: Wander
    own: Ints
    then: Ints
    faulty: Ints
    rows: Ints

    @classmethod
    def of(
        cls, measure: Measure, reference: Reference, bases: dict[Of, Ints], horizons: Sequence[int],
        alphas: Sequence[float],
    ) -> Table:  # fmt: skip
        """bases: of the reference's blocks, (blocks, features) each; alphas: of every feature, 0: it is not judged."""
        layout = reference.layout
        judged = [i for i, f in enumerate(layout.features) if _has_values(f) and alphas[i] > 0]
        places = Places.of(measure, layout, judged)
        rows = bases[measure.of][:, places.features]
        faulty = np.minimum(places.ever(reference.blocks), rows)
        then, everything = faulty.sum(axis=0), rows.sum(axis=0)
        credited = places.credited(layout, reference.pooled, then, everything)
        own = places.faulty(reference.pooled)
        return cls(places, Wander.of(faulty, rows, horizons), own, then, credited, everything)

    @property
    def measure(self) -> Measure:
        return self.places.measure

    @property
    def features(self) -> Ints:
        """int64 (m,)."""
        return self.places.features

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
