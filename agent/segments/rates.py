"""Rates of faults within one segment: missing, wrong type, out of range, … against the segment's own reference.

As for the whole (docs/decisions/0020): the exact two-sample test and, where the reference has such faults, the rate's
own wander too; the larger p counts. Most rates are as usual, so all are screened together and few are tested exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import Layout
from agent.quality.judge import BLOCKS_MIN, MEASURES
from agent.quality.spread import Spread, rate_tail
from agent.quality.tables import Places, bases_of
from agent.records import Cells, Floats, Ints
from agent.segments.coarse import judged_features
from agent.statistics.tails import hypergeometric_tail

FLOOR = 0.02  # rise in share: four times the whole's
ROWS_MIN = 20
SCREEN = 3.0  # standard deviations; less has p > 0.001 whatever its skewness, and would not be said


def kinds(layout: Layout) -> list[Places]:
    """Every measure that applies to some feature. Fractional numbers are not counted by segment."""
    features = judged_features(layout)
    found = (Places.of(measure, layout, features) for measure in MEASURES if measure.check != "fractional")
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
    def of(cls, kind: Places, layout: Layout, pooled: Ints, runs: Sequence[Cells]) -> Rates:
        """One segment's. pooled: int64 (cells,); runs: by horizon, int32 (runs, cells)."""
        rows = bases_of(layout, pooled)[kind.measure.of][kind.features]
        then = kind.ever(pooled)
        credited = kind.credited(layout, pooled, then, rows)
        bases = [bases_of(layout, run)[kind.measure.of][:, kind.features] for run in runs]
        spreads = [Spread.of(kind.ever(run), n, ROWS_MIN) for run, n in zip(runs, bases, strict=True)]
        # The rest of the segment wanders as its runs do, and is what the newest windows are held against: `apart`.
        excess, known = np.maximum([s.apart for s in spreads], 0.0), np.array([s.blocks for s in spreads])
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
