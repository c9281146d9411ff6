"""Categories whose share goes its own ways from window to window: a campaign, a burst of errors, a flight's gate.

The φ of a text's scores is that of sums over its categories, and a single one may vary much more. So each cell has a φ
of its own, from the reference's windows, and borrows from the others as features do (docs/decisions/0010); it is used
where it is more than the text's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.drift.comparison import Comparison, cell_deviates
from agent.drift.matching import Matching
from agent.drift.moderation import DF_MAX, Borrowing
from agent.drift.pooling import Pooled
from agent.drift.raw import Deviates, Left
from agent.drift.tail_weight import t_degrees
from agent.records import Bools, Floats, Ints
from agent.statistics.autocorrelation import correlation, growth, hidden, independent_groups

GROUPS_MIN = 8  # of the reference: fewer say nothing of a single cell
GAMMA_KURTOSIS = 6.0  # times the squared coefficient of variation: of a share that varies as a gamma variable does


@dataclass(frozen=True)
class Wandering:
    """At one horizon, for so many rows. phi, df: (cells,), φ and the degrees of freedom of its t."""

    phi: Floats
    df: Floats

    def largest(self, found: Comparison, pooled: Pooled, n: Floats, n_reference: Floats, of: Bools, phi: Floats,
                df: Floats) -> Floats:  # fmt: skip
        """(chosen,): the largest |t| of a single pooled cell's share, by its own φ where that is known, as one of the
        feature's degrees of freedom. of: (features,), chosen; phi, df: (features,), of a cell that does not wander."""
        if not of.any():
            return np.empty(0)
        own = np.flatnonzero(of[pooled.owner])
        owner, bins = pooled.owner[own], pooled.bins[of]
        z = cell_deviates(found.current[own], found.reference[own], n[owner], n_reference[owner])
        cell_phi = np.maximum.reduceat(self.phi, pooled.starts)[own]
        cell_df = np.minimum(np.minimum.reduceat(self.df, pooled.starts)[own], df[owner])
        t = z / np.sqrt(np.maximum(cell_phi, phi[owner]))
        t = np.where(cell_phi > phi[owner], with_degrees(t, cell_df, df[owner]), t)
        return np.asarray(np.maximum.reduceat(t, np.cumsum(bins) - bins), dtype=np.float64)


class Wander:
    """Learned from the reference's single windows; longer groups are too few to say anything of a single cell, and
    follow from how alike neighbouring windows are."""

    def __init__(
        self, matching: Matching, first: Deviates, left: Left, texts: Bools, whole: Bools, sizes: Ints
    ) -> None:
        """first, left: of the smallest groups; texts: (features,); whole: (features,), those without a season; sizes:
        of groups, in blocks."""
        cells, pooled = matching.cells, first.pooled
        kept = texts[pooled.owner[left.alone]]
        alone, z = left.alone[kept], left.z[:, kept]
        owner = pooled.owner[alone]
        self._features = owner
        count = left.seen[owner]
        stride = max(len(first.n) / max(len(z), 1), 1.0)
        rho = correlation(z[:, None, :], count)[0] ** (1.0 / stride)
        raw = np.square(z).sum(axis=0) / np.maximum(count, 1.0)
        part = independent_groups(rho, 1.0, np.clip(1.0 - 1.0 / np.maximum(raw, 1.0), 0.0, 1.0))
        df = np.where(count >= GROUPS_MIN, np.maximum(count - 1.0, 0.0) * part, 0.0)
        # Sums of rare categories are alike, and unlike the categories that are counted by themselves.
        _, of_bin, cells_of_bin = np.unique(cells.whole, return_inverse=True, return_counts=True)
        rare = np.maximum.reduceat(cells_of_bin[of_bin], pooled.starts)[alone] > 1
        even = np.ones((2, alone.size)), np.full((2, alone.size), DF_MAX)
        dfs = np.where([~rare, rare], df, 0.0)
        phi, known = Borrowing().moderate(np.tile(raw, (2, 1)), dfs, *even) if alone.size else even
        self._df = np.where(rare, known[1], known[0])
        self._excess = (np.where(rare, phi[1], phi[0]) - 1.0) * _grown(rho, whole[owner], sizes, len(matching.blocks))
        self._share = np.add.reduceat(cells.share, pooled.starts)[alone]
        # Of every cell, the pooled one that it lies in; the last for those that are no text's.
        of_pooled = np.full(pooled.starts.size, alone.size)
        of_pooled[alone] = np.arange(alone.size)
        self._of = np.repeat(of_pooled, np.diff([*pooled.starts.tolist(), cells.owner.size]))

    def at(self, step: Ints, rows: Floats, more: Floats) -> Wandering | None:
        """(features,) each: which of the sizes, the rows of such a group, and how many times more are judged. None: no
        text is judged."""
        if not self._df.size:
            return None
        excess = self._excess[step[self._features], np.arange(self._df.size)]
        tail = GAMMA_KURTOSIS * excess / np.maximum(rows[self._features] * self._share, 1.0)
        phi, df = 1.0 + excess * more[self._features], t_degrees(self._df, tail)
        return Wandering(np.append(phi, 1.0)[self._of], np.append(df, DF_MAX)[self._of])


def _grown(rho: Floats, whole: Bools, sizes: Ints, blocks: int) -> Floats:
    """(sizes, cells): φ - 1 of live windows of these sizes, over that of the reference's single ones."""
    size = sizes.astype(np.float64)[:, None]
    found = np.where(whole, growth(rho, size, blocks) * hidden(rho, 1.0, blocks), growth(rho, size, 1e9))
    return np.asarray(found, dtype=np.float64)


def with_degrees(t: Floats, df: Floats, wanted: Floats) -> Floats:
    """t of `df` degrees of freedom as one of `wanted`, of nearly the same tail (Wallace 1959). All of one shape.

    >>> with_degrees(np.array([6.0]), np.array([10.0]), np.array([400.0])).round(2).tolist()
    [3.85]
    """
    normal = np.sqrt(df * np.log1p(np.square(t) / df)) * (8.0 * df + 1.0) / (8.0 * df + 3.0)
    back = normal * (8.0 * wanted + 3.0) / (8.0 * wanted + 1.0)
    return np.asarray(np.sqrt(wanted * np.expm1(np.minimum(np.square(back) / wanted, 50.0))), dtype=np.float64)
