"""Rates of faults within one segment: missing, wrong type, out of range, … against the segment's own reference.

As for the whole (docs/decisions/0020): the exact two-sample test and, where the reference has such faults, the rate's
own wander too; the larger p counts. Most rates are as usual, so all are screened together and few are tested exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import SPECIALS, Layout
from agent.quality.judge import BLOCKS_MIN, MEASURES
from agent.quality.measure import Measure, Of
from agent.quality.spread import rate_tail
from agent.records import Cells, Floats, Ints
from agent.segments.coarse import judged_features
from agent.tails import hypergeometric_tail

FLOOR = 0.02  # rise in share: four times the whole's
ROWS_MIN = 20
SCREEN = 3.0  # standard deviations; less has p > 0.001 whatever its skewness, and would not be said


@dataclass(frozen=True, slots=True)
class Fault:
    """One measure over the m features it applies to: where its cells lie. known: with other spellings."""

    measure: Measure
    features: Ints
    cells: Ints
    starts: Ints
    known: Ints
    known_starts: Ints

    @classmethod
    def of(cls, measure: Measure, layout: Layout) -> Fault:
        features: list[int] = []
        cells: list[int] = []
        starts: list[int] = []
        known: list[int] = []
        known_starts: list[int] = []
        for i in judged_features(layout):
            feature = layout.features[i]
            at_fault = measure.cells(feature)
            if at_fault:
                features.append(i)
                starts.append(len(cells))
                cells += [int(layout.starts[i]) + cell for cell in at_fault]
                known_starts.append(len(known))
                known += [int(layout.starts[i]) + cell for cell in (measure.known or measure.cells)(feature)]
        columns = (features, cells, starts, known, known_starts)
        return cls(measure, *(np.array(column, dtype=np.int64) for column in columns))

    def faulty(self, counts: Cells | Ints) -> Ints:
        """(…, m) of (…, cells)."""
        return _sums(counts, self.cells, self.starts)

    def ever(self, counts: Cells | Ints) -> Ints:
        return _sums(counts, self.known, self.known_starts)


def kinds(layout: Layout) -> list[Fault]:
    """Every measure that applies to some feature. Fractional numbers are not counted by segment."""
    found = (Fault.of(measure, layout) for measure in MEASURES if measure.check != "fractional")
    return [kind for kind in found if kind.features.size]


@dataclass(frozen=True, slots=True)
class Rates:
    """One kind in the reference of one or several segments, (segments, m) each.

    then: faults; credited: those it is credited with; rows; excess: (horizons, segments, m), variance of runs' rates
    over p(1-p) beyond chance; runs: likewise, how many say so.
    """

    then: Ints
    credited: Ints
    rows: Ints
    excess: Floats
    runs: Ints

    @classmethod
    def of(cls, kind: Fault, layout: Layout, pooled: Ints, runs: Sequence[Cells]) -> Rates:
        """One segment's. pooled: int64 (cells,); runs: by horizon, int32 (runs, cells)."""
        rows = bases(layout, pooled)[kind.measure.of][kind.features]
        then = kind.ever(pooled)
        credit = [kind.measure.credit(layout.features[i], pooled[layout.slice(int(i))]) for i in kind.features]
        credited = np.minimum(np.maximum(then, np.array(credit, dtype=np.int64)), rows)
        spreads = [_excess(kind.ever(run), bases(layout, run)[kind.measure.of][:, kind.features]) for run in runs]
        excess, known = np.array([s[0] for s in spreads]), np.array([s[1] for s in spreads])
        return cls(then[None], credited[None], rows[None], excess[:, None], known[:, None])

    @classmethod
    def joined(cls, parts: Sequence[Rates]) -> Rates:
        """Several segments', one after another."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts], axis=-2) for name in cls.__slots__))

    def borrowing(self, whole: Rates) -> Rates:
        """The wander is the larger of the segment's own and the whole's: a rate says little of itself in few rows."""
        runs = np.where(self.runs >= BLOCKS_MIN, self.runs, np.minimum(whole.runs, BLOCKS_MIN))
        return Rates(self.then, self.credited, self.rows, np.maximum(self.excess, whole.excess), runs)

    def stand_out(self, faulty: Ints, rows: Ints) -> list[tuple[int, int]]:
        """Segments and features whose rate is worth an exact test at some horizon; both (horizons, segments, m)."""
        n, n_reference = np.maximum(rows, 1), np.maximum(self.rows, 1)
        rise = faulty / n - self.credited / n_reference
        near = np.flatnonzero((rise >= FLOOR / 4).any(axis=0) & (self.rows > 0))
        if not near.size:
            return []
        rise, n, k = rise.reshape(len(n), -1)[:, near], n.reshape(len(n), -1)[:, near], len(n)
        faulty, n_reference = faulty.reshape(k, -1)[:, near], n_reference.reshape(-1)[near]
        inverse = 1.0 / n + 1.0 / n_reference
        pooled = (faulty + self.credited.reshape(-1)[near]) / (n + n_reference)
        phi = 1.0 + self.excess[:k].reshape(k, -1)[:, near] / inverse
        noise = np.sqrt(np.maximum(pooled * (1.0 - pooled), 0.0) * inverse * phi)
        out = (n >= ROWS_MIN) & (rise >= FLOOR / 4) & (rise > SCREEN * noise)
        width = self.rows.shape[1]
        return [divmod(int(at), width) for at in near[out.any(axis=0)]]

    def p_value(self, at: tuple[int, int], faulty: int, n: int, horizon: int) -> tuple[float, float]:
        """p and φ of faulty of n rows over the horizon; at: segment and feature of the kind.

        φ is NaN where the reference has too few runs to know the rate's wander: p is that of independent rows then.
        """
        n_reference, credited = int(self.rows[at]), int(self.credited[at])
        exact = hypergeometric_tail(faulty, n, credited, n_reference)
        if not self.then[at]:
            return exact, 1.0
        runs, excess = int(self.runs[horizon][at]), float(self.excess[horizon][at])
        if runs < BLOCKS_MIN:
            return exact, float("nan")
        phi = 1.0 + excess / (1.0 / n + 1.0 / n_reference)
        return max(exact, rate_tail(faulty, n, credited, n_reference, phi, runs)), phi


def bases(layout: Layout, counts: Cells | Ints) -> dict[Of, Ints]:
    """What shares are shares of: int64 (…, features) each. `fractional` is counted beside a value's bin: left out."""
    starts, ends = layout.starts[:-1], layout.starts[1:]
    cuts = np.stack((starts, ends - SPECIALS, ends - 1), axis=1).ravel()
    sums = np.add.reduceat(counts, cuts, axis=-1, dtype=np.int64)
    values = np.where(ends - SPECIALS > starts, sums[..., 0::3], 0)
    return {Of.VALUES: values, Of.ROWS: values + sums[..., 1::3]}


def _sums(counts: Cells | Ints, cells: Ints, starts: Ints) -> Ints:
    return np.asarray(np.add.reduceat(counts[..., cells], starts, axis=-1, dtype=np.int64))


def _excess(faulty: Ints, rows: Ints) -> tuple[Floats, Ints]:
    """(m,) excess and runs; faulty, rows: (runs, m). Each run against all others (Kleinman 1973, leaving one out)."""
    whole, everything = faulty.sum(axis=0), rows.sum(axis=0)
    rest = everything - rows
    usable = (rows >= ROWS_MIN) & (rest >= ROWS_MIN)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = whole / everything
        inverse = 1.0 / rows + 1.0 / rest
        square = np.square(faulty / rows - (whole - faulty) / rest) / (rate * (1.0 - rate) * inverse)
    known = usable & np.isfinite(square)
    above = np.where(known, square - 1.0, 0.0).sum(axis=0)
    weight = np.where(known, 1.0 / np.where(usable, inverse, 1.0), 0.0).sum(axis=0)
    return np.maximum(above, 0.0) / np.where(weight > 0, weight, 1.0), np.asarray(usable.sum(axis=0))
