"""Rates of faults over the newest windows, pooled, each against the reference's: the exact test, and its wander."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.ledger import RATES
from agent.quality.measure import FLOOR, Of
from agent.quality.spread import rate_tail
from agent.quality.tables import Table
from agent.records import Bools, Cells, Closed, Floats, Ints, Verdict
from agent.statistics.tails import hypergeometric_tail, normal_deviate, student_tail

ROWS_MIN = 10  # "eight rows alarm on nothing" (statistics.md, point 6)
BLOCKS_MIN = 8  # fewer blocks: a rate that varies cannot be told from one that rose
WITHIN = "no more than chance and the reference's own wander bring"
PLAIN_PHI_MAX = 1.2  # under which a rate hardly wanders
PLAIN_P_MAX = 0.05
SCREEN = 2.0  # standard deviations of a pooled rate; less has p > 0.01, which no ledger allows


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest windows, newest last: counts (windows, cells), bases (windows, features) each."""

    windows: Sequence[Closed]
    counts: Cells
    bases: Mapping[Of, Ints]
    pooled: dict[int, Ints] = field(default_factory=dict)

    def sums(self, horizon: int) -> Ints:
        """int64 (cells,), over the newest so many windows; added up once."""
        if horizon not in self.pooled:
            self.pooled[horizon] = self.counts[-horizon:].sum(axis=0, dtype=np.int64)
        return self.pooled[horizon]

    def horizons(self) -> tuple[int, ...]:
        return tuple(h for h in RATES if h <= len(self.windows))


@dataclass(frozen=True, slots=True)
class Pools:
    """One table's rates over the newest windows, pooled: (horizons, m) each.

    windows: how many they are worth, where some hold few rows (Kish 1965); carried: by the reference, a rate that is
    above 0 there must be known over eight times as many windows; near: carried, and worth a test.
    """

    horizons: tuple[int, ...]
    faulty: Ints
    rows: Ints
    windows: Floats
    carried: Bools
    near: Bools
    every: tuple[Ints, Ints]  # faulty and rows, (windows, m)

    @classmethod
    def of(cls, table: Table, recent: Recent) -> Pools:
        rows = recent.bases[table.measure.of][:, table.features]
        faulty = np.minimum(table.places.faulty(recent.counts), rows)  # fractions are counted beside the values
        horizons = recent.horizons()
        pooled, n = (np.array([part[-h:].sum(axis=0) for h in horizons]) for part in (faulty, rows))
        squares = np.array([np.square(rows[-h:], dtype=np.float64).sum(axis=0) for h in horizons])
        windows = np.square(n, dtype=np.float64) / np.maximum(squares, 1.0)
        held = carried(table, horizons) & (n >= ROWS_MIN)
        near = _stands_out(table, pooled, n) & held & (n > rows[-1])
        return cls(horizons, pooled, n, windows, held, near, (faulty, rows))


def carried(table: Table, horizons: Sequence[int]) -> Bools:
    """(horizons, m): whether the reference is long enough for it. The newest window is always judged."""
    longer = np.array(horizons)[:, None]
    return np.asarray((table.wander.blocks >= BLOCKS_MIN * longer) | (table.then == 0) | (longer == 1))


def _stands_out(table: Table, faulty: Ints, n: Ints) -> Bools:
    """(horizons, m): not within `SCREEN` deviations of independent rows."""
    rows = np.maximum(table.rows, 1)
    rise = faulty / np.maximum(n, 1) - table.faulty / rows
    share = (faulty + table.faulty) / (np.maximum(n, 1) + rows)
    noise = np.sqrt(share * (1.0 - share) * (1.0 / np.maximum(n, 1) + 1.0 / rows))
    return np.asarray((rise > SCREEN * noise) & (rise > 0) & (table.rows > 0))


@dataclass(frozen=True, slots=True)
class Judged:
    """One horizon's rate against the reference's."""

    horizon: int
    faulty: int
    n: int
    verdict: Verdict
    p: float = float("nan")
    phi: float = 1.0
    reason: str = ""


def judged(table: Table, pools: Pools, k: int, i: int, alpha: float) -> Judged:
    """The i-th feature's rate over the k-th horizon."""
    horizon, faulty, n = pools.horizons[k], int(pools.faulty[k, i]), int(pools.rows[k, i])
    n_reference, credited = int(table.rows[i]), int(table.faulty[i])
    if n < ROWS_MIN:
        return Judged(horizon, faulty, n, Verdict.NOT_ENOUGH_ROWS, reason=f"{n} rows, {ROWS_MIN} are needed")
    if not n_reference:
        return Judged(horizon, faulty, n, Verdict.NO_REFERENCE, reason="the reference has no value of it")
    rise = faulty / n - credited / n_reference
    if rise <= 0:
        return Judged(horizon, faulty, n, Verdict.WITHIN_NOISE, reason="its share did not rise")
    p, phi, freedom, blocks = 0.0, 1.0, 1.0, int(table.wander.blocks[i])
    if table.then[i]:
        phi, freedom = table.wander.phi(i, float(pools.windows[k, i]), n, n_reference)
        p = rate_tail(faulty, n, credited, n_reference, phi, freedom)
    if p > (PLAIN_P_MAX if phi < PLAIN_PHI_MAX else alpha) and blocks >= BLOCKS_MIN:
        return Judged(horizon, faulty, n, Verdict.WITHIN_NOISE, p, phi, WITHIN)  # most end here: exact is not needed
    exact = hypergeometric_tail(faulty, n, credited, n_reference)
    if table.then[i] and phi < PLAIN_PHI_MAX and 0.0 < exact < 0.5:
        # Rows all but independent: the exact test knows the shape of the tail, and φ only widens it.
        p = min(p, student_tail(normal_deviate(exact) / phi**0.5, freedom))
    p = max(p, exact)
    if p <= alpha:
        return Judged(horizon, faulty, n, Verdict.ALARM if rise >= FLOOR else Verdict.BELOW_FLOOR, p, phi)
    if exact <= alpha and rise >= FLOOR:
        short = f"{blocks} reference blocks of {BLOCKS_MIN}"
        return Judged(horizon, faulty, n, Verdict.REFERENCE_TOO_SHORT, p, phi, short)
    return Judged(horizon, faulty, n, Verdict.WITHIN_NOISE, p, phi, WITHIN)
