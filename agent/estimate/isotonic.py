"""Isotonic regression on bins: the rising step function nearest to what was seen."""

from __future__ import annotations

import numpy as np

from agent.records import Floats


def isotonic(hits: Floats, rows: Floats) -> Floats:
    """float64 (bins,): rising rates in 0-1, from hits and rows of each bin. Bins without rows lie between neighbours.

    Pool adjacent violators (Ayer et al. 1955): exact, one pass. No rows at all: 0.5 everywhere.

    >>> isotonic(np.array([1.0, 3.0, 0.0, 2.0, 4.0]), np.array([10.0, 10.0, 0.0, 10.0, 5.0])).tolist()
    [0.1, 0.25, 0.25, 0.25, 0.8]
    """
    some = np.flatnonzero(rows > 0)
    if not some.size:
        return np.full(len(rows), 0.5)
    sums: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for hit, weight in zip(hits[some].tolist(), rows[some].tolist(), strict=True):
        sums.append(hit)
        weights.append(weight)
        sizes.append(1)
        while len(sums) > 1 and sums[-2] * weights[-1] >= sums[-1] * weights[-2]:
            last_sum, last_weight, last_size = sums.pop(), weights.pop(), sizes.pop()
            sums[-1] += last_sum
            weights[-1] += last_weight
            sizes[-1] += last_size
    levels = np.repeat(np.array(sums) / np.array(weights), sizes)
    return np.asarray(np.interp(np.arange(len(rows)), some, levels), dtype=np.float64)
