"""The statistics of one set of counts against another: what the tails, the dispersion and the effect are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.drift.divergence import power_divergence
from agent.drift.pooling import Cells, Pooled
from agent.drift.scores import score_sums, two_sample
from agent.records import Bools, Floats

CELL_MIN = 4.0  # pooling asks for 5 by the reference; the counts of both samples may say a little less


@dataclass(frozen=True)
class Comparison:
    """Of current against reference counts, each (…, cells); … are windows or groups of the reference, or nothing.

    z: (…, 3, features) normal deviates, NaN where a feature lacks the degree; residual: (…, features), what
    the divergence has beyond the three scores; rare, rare_reference: (…, features), the mass of the rare cells.
    """

    z: Floats
    residual: Floats
    rare: Floats
    rare_reference: Floats
    current: Floats  # (…, pooled)
    reference: Floats


def largest_cell(found: Comparison, pooled: Pooled, n: Floats, n_reference: Floats, of: Bools) -> Floats:
    """(chosen,): the largest |z| of a single pooled cell's share, as a normal deviate: one category that moved. of:
    (features,), those that are chosen."""
    if not of.any():
        return np.empty(0)
    own = np.flatnonzero(of[pooled.owner])
    owner, bins = pooled.owner[own], pooled.bins[of]
    z = cell_deviates(found.current[own], found.reference[own], n[owner], n_reference[owner])
    return np.asarray(np.maximum.reduceat(z, np.cumsum(bins) - bins), dtype=np.float64)


def cell_deviates(current: Floats, reference: Floats, n: Floats, n_reference: Floats) -> Floats:
    """|z| of each cell's share, as a normal deviate; all of one shape.

    0 for cells that expect under CELL_MIN rows: a count so small is no normal deviate, and the exact test has it.
    """
    n, n_reference = np.maximum(n, 1.0), np.maximum(n_reference, 1.0)
    share = np.clip((current + reference) / (n + n_reference), 1e-12, 1.0 - 1e-12)
    spread = np.sqrt(share * (1.0 - share))
    skewness = (1.0 - 2.0 * share) / spread
    _, z = two_sample(current / n / spread, reference / n_reference / spread, n, n_reference, skewness)
    return np.where(share * np.minimum(n, n_reference) >= CELL_MIN, np.abs(z), 0.0)


def compare(
    cells: Cells,
    pooled: Pooled,
    current: Floats,
    reference: Floats,
    n: Floats,
    n_reference: Floats,
    variance: Floats | float = 1.0,
) -> Comparison:
    """All features at once; n and n_reference are (…, features); variance: (…, 3, features), of one value's scores.

    About 0.5 ms for 200 features of 22 cells.
    """
    skewness = pooled.scores.skewness
    width = np.sqrt(variance)
    mean = score_sums(cells, pooled.scores, current) / np.maximum(n, 1.0)[..., None, :] / width
    other = score_sums(cells, pooled.scores, reference) / np.maximum(n_reference, 1.0)[..., None, :] / width
    raw, normal = two_sample(mean, other, n[..., None, :], n_reference[..., None, :], skewness)
    explained = np.where(np.isnan(skewness), 0.0, np.square(raw)).sum(axis=-2)
    pooled_current = np.add.reduceat(current, pooled.starts, axis=-1)
    pooled_reference = np.add.reduceat(reference, pooled.starts, axis=-1)
    divergence = power_divergence(pooled_current, pooled_reference, n, n_reference, pooled.first, pooled.owner)
    residual = np.maximum(divergence - explained, 0.0)
    return Comparison(
        z=normal,
        residual=residual,
        rare=cells.sums(current * pooled.rare),
        rare_reference=cells.sums(reference * pooled.rare),
        current=pooled_current,
        reference=pooled_reference,
    )
