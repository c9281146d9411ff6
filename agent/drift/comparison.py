"""The statistics of one set of counts against another: what the tails, the dispersion and the effect are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.drift.divergence import power_divergence
from agent.drift.pooling import Cells, Pooled
from agent.drift.scores import DEGREES, two_sample
from agent.records import Floats


@dataclass(frozen=True)
class Comparison:
    """Of current against reference counts, each (…, cells); … are windows or groups of the reference, or nothing.

    z: (…, 3, features) normal deviates, NaN where a feature lacks the degree; residual: (…, features), what the
    divergence has beyond the three scores, with `df` degrees of freedom; rare, rare_reference: (…, features) their mass.
    """

    z: Floats
    residual: Floats
    rare: Floats
    rare_reference: Floats
    current: Floats  # (…, pooled)
    reference: Floats


def compare(cells: Cells, pooled: Pooled, current: Floats, reference: Floats, n: Floats, n_reference: Floats) -> Comparison:
    """All features at once; n and n_reference are (…, features). About 0.5 ms for 200 features of 22 cells."""
    scores = pooled.scores
    z, found = [], []
    for degree in range(DEGREES):
        vector = scores.vectors[degree]
        mean = cells.sums(current * vector) / np.maximum(n, 1.0)
        other = cells.sums(reference * vector) / np.maximum(n_reference, 1.0)
        raw, normal = two_sample(mean, other, n, n_reference, scores.skewness[degree])
        z.append(np.where(np.isnan(scores.skewness[degree]), 0.0, raw))
        found.append(normal)
    pooled_current = np.add.reduceat(current, pooled.starts, axis=-1)
    pooled_reference = np.add.reduceat(reference, pooled.starts, axis=-1)
    divergence = power_divergence(pooled_current, pooled_reference, n, n_reference, pooled.first, pooled.owner)
    residual = np.maximum(divergence - z[0] ** 2 - z[1] ** 2 - z[2] ** 2, 0.0)
    return Comparison(
        z=np.stack(found, axis=-2),
        residual=residual,
        rare=cells.sums(current * pooled.rare),
        rare_reference=cells.sums(reference * pooled.rare),
        current=pooled_current,
        reference=pooled_reference,
    )
