"""Drift of one feature within one segment: three scores, what they leave, a text's largest cell, exact where alone.

The tests are those of the whole (docs/decisions/0010), on fewer cells. Most subjects are as usual: their statistics
are computed together, and a p-value only for those that stand out at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent.drift.comparison import cell_deviates
from agent.drift.dispersion import Phi, directions
from agent.drift.divergence import power_divergence
from agent.drift.effect import corrected_psi, psi_terms
from agent.drift.onset import moved_windows, part_left
from agent.records import Bools, Floats, Ints
from agent.reference.by_segment import RUN_WINDOWS
from agent.segments.coarse import ROWS_MIN, Coarse
from agent.segments.spread import Known, means, scores
from agent.statistics.array_tails import Slices, beta_slices, cauchy_combination, f_as_beta, t_as_beta

FLOOR = 0.05  # corrected PSI: a shift of 0.22 σ; a segment speaks of large effects only
# Standard deviations. A t beyond 3.29 has p = 0.001 at most, and so has no combination of smaller ones: what does not
# stand out would not be said.
STANDS_OUT = 3.25


@dataclass(frozen=True)
class Look:
    """One horizon of subjects that are judged together: the statistics, (subjects,) unless said otherwise.

    z: (3, subjects) over √φ; rest: the residual's F; cell: a text's largest z, over √φ; stands_out: worth a p-value.
    """

    pooled: Floats  # (pooled,)
    n: Floats
    spread: Phi
    z: Floats
    rest: Floats
    cell: Floats
    enough: Bools
    stands_out: Bools

    def judged(self, lone: Bools) -> Bools:
        """(subjects,): those that have a test at all."""
        return self.enough & np.where(lone, self.spread.rare_tested, self.spread.tested[0])


@dataclass(frozen=True)
class Shift:
    """Subjects against their reference. reference: (pooled,) counts; known: φ, by horizon."""

    coarse: Coarse
    reference: Floats
    known: Sequence[Known]

    @cached_property
    def _n_reference(self) -> Floats:
        return self.coarse.sums(self.reference)

    @cached_property
    def _means(self) -> Floats:
        """The reference's, which are the same at every look."""
        return means(self.coarse, self.reference, self._n_reference)

    def look(self, pooled: Floats, horizon: int) -> Look:
        """pooled: (pooled,) counts of the newest windows; horizon: its number among RUN_WINDOWS."""
        coarse, n, n_reference = self.coarse, self.coarse.sums(pooled), self._n_reference
        spread = self.known[horizon].at(n)
        raw, z = scores(coarse, means(coarse, pooled, n), self._means, n, n_reference)
        z = np.where(spread.tested[:3], z / np.sqrt(spread.phi[:3]), 0.0)
        divergence = power_divergence(pooled, self.reference, n, n_reference, coarse.first, coarse.owner)
        left = np.maximum(divergence - np.square(raw).sum(axis=0), 0.0)
        rest = np.where(spread.tested[3] & (coarse.df > 0), left / np.maximum(coarse.df, 1) / spread.phi[3], 0.0)
        cell = np.where(coarse.text & spread.tested[0], self._largest_cell(pooled, n, n_reference), 0.0)
        cell = cell / np.sqrt(spread.phi.max(axis=0))
        enough = (n >= ROWS_MIN) & (n_reference > 0)
        filled = np.maximum(directions(spread.phi[3], coarse.df), 1.0)
        wide = 2.0 / (9.0 * filled)  # Wilson and Hilferty's (1931) normal deviate of a χ² over its degrees
        out = (np.abs(z).max(axis=0) > STANDS_OUT) | (np.cbrt(rest) > 1.0 - wide + 2.9 * np.sqrt(wide))
        out |= (cell > STANDS_OUT) | self._lone_stands_out(pooled, n, n_reference, spread)
        return Look(pooled, n, spread, z, rest, cell, enough, enough & out)

    def p_values(self, looks: Sequence[Look], chosen: Ints) -> Slices:
        """(looks, chosen): NaN where a subject has no test at that horizon."""
        if not chosen.size or not looks:
            return np.full((len(looks), chosen.size), np.nan)
        parts = [self._betas(look, chosen) for look in looks]
        yield
        stacked = [np.concatenate([part[i] for part in parts], axis=1) for i in range(4)]
        tail = yield from beta_slices(*stacked)  # in one pass: the fraction's rounds are what costs
        tested = np.concatenate([part[4] for part in parts], axis=1)
        tail[4] = np.minimum(2.0 * np.minimum(tail[4], tail[5]), 1.0)
        bins = np.tile(self.coarse.bins[chosen], len(looks))
        tail[3] = np.minimum(tail[3] * bins, 1.0)
        p = np.where(tested, np.concatenate((tail[:5], tail[6:])), np.nan)
        return cauchy_combination(p).reshape(len(looks), chosen.size)

    def effect(self, look: Look, subject: int) -> tuple[float, float]:
        """Corrected PSI and φ over all directions together."""
        coarse = self.coarse
        own = slice(int(coarse.first[subject]), int(coarse.first[subject] + coarse.bins[subject]))
        bins, owner = coarse.bins[subject : subject + 1], np.zeros(int(coarse.bins[subject]), dtype=np.int64)
        n, n_reference = look.n[subject : subject + 1], np.array([self.reference[own].sum()])
        psi = psi_terms(look.pooled[own], self.reference[own], n, n_reference, bins, owner).sum()
        phi = self._mean_phi(look.spread, subject)
        return float(corrected_psi(np.array([psi]), n, n_reference, bins, np.array([phi]))[0]), phi

    def since(self, looks: Sequence[Look], subject: int, told: int, newest: int) -> tuple[int, float]:
        """How many windows back the first one lies that shows the change; how much of it the newest ones show."""
        own = slice(int(self.coarse.first[subject]), int(self.coarse.first[subject] + self.coarse.bins[subject]))
        then = self.reference[own] / max(float(self._n_reference[subject]), 1.0)
        rows = np.array([look.n[subject] for look in looks])
        excess = np.array([look.pooled[own] for look in looks]) - rows[:, None] * then
        back = moved_windows(RUN_WINDOWS[: len(looks)], told, excess, rows, then)
        return back, part_left(told, newest, excess, rows, then)

    def _betas(self, look: Look, chosen: Ints) -> tuple[Floats, Floats, Floats, Floats, Bools]:
        """Arguments of `beta_share`, (7, chosen) each, and which tests there are, (6, chosen).

        Rows: location, scale, skew, largest cell, the lone cell's rest above and below (one test), what is left.
        """
        coarse, spread = self.coarse, look.spread
        enough = look.enough[chosen]
        df, t = spread.df[:, chosen], look.z[:, chosen]
        location, scale, skew = (t_as_beta(t[k], df[k]) for k in range(3))
        cell = t_as_beta(look.cell[chosen], df[0])
        filled = np.maximum(directions(spread.phi[3, chosen], coarse.df[chosen]), 1.0)
        rest = f_as_beta(look.rest[chosen], filled, df[3])
        lone = coarse.lone[chosen] & spread.rare_tested[chosen]
        mass, before, share = (np.where(lone, part, 0.5) for part in self._lone(look, chosen))
        above = (np.maximum(mass, 1e-9), before + 1.0, share, 1.0 - share)
        below = (np.maximum(before, 1e-9), mass + 1.0, 1.0 - share, share)
        rows = (location, scale, skew, cell, above, below, rest)
        has = ~np.isnan(coarse.skewness[:, chosen])
        tested = np.array([
            *(spread.tested[:3, chosen] & has),
            spread.tested[0, chosen] & coarse.text[chosen] & (coarse.bins[chosen] > 2),
            lone,
            spread.tested[3, chosen] & (coarse.df[chosen] > 0),
        ])  # fmt: skip
        return (*(np.array([row[i] for row in rows]) for i in range(4)), tested & enough)  # type: ignore[return-value]

    def _lone(self, look: Look, chosen: Ints) -> tuple[Floats, Floats, Floats]:
        """Mass outside the main cell now and in the reference, over φ, and the share of the rows that are now's.

        Given both masses together the current one is binomial if nothing changed: exact, however few.
        """
        first = self.coarse.first[chosen]
        phi, n = look.spread.rare[chosen], look.n[chosen]
        n_reference = self._n_reference[chosen]
        return look.pooled[first] / phi, self.reference[first] / phi, n / np.maximum(n + n_reference, 1.0)

    def _lone_stands_out(self, pooled: Floats, n: Floats, n_reference: Floats, spread: Phi) -> Bools:
        first = self.coarse.first
        ratio = n / np.maximum(n_reference, 1.0)
        expected = self.reference[first] * ratio
        noise = np.sqrt((expected * (1.0 + ratio) + 1.0) * spread.rare)
        return self.coarse.lone & (np.abs(pooled[first] - expected) > 3.0 * noise)

    def _largest_cell(self, pooled: Floats, n: Floats, n_reference: Floats) -> Floats:
        """(subjects,): the largest |z| of a single cell's share: one category that moved."""
        coarse = self.coarse
        own = np.flatnonzero(coarse.text[coarse.owner])
        found = np.zeros(coarse.owner.size)
        if own.size:
            owner = coarse.owner[own]
            found[own] = cell_deviates(pooled[own], self.reference[own], n[owner], n_reference[owner])
        return np.asarray(np.maximum.reduceat(found, coarse.first), dtype=np.float64)

    def _mean_phi(self, spread: Phi, subject: int) -> float:
        if self.coarse.lone[subject]:
            return float(spread.rare[subject])
        has = ~np.isnan(self.coarse.skewness[:, subject])
        df = int(self.coarse.df[subject])
        total = float(spread.phi[:3, subject][has].sum()) + df * float(spread.phi[3, subject])
        return total / max(int(has.sum()) + df, 1)
