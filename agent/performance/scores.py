"""Scores to bins: fine near 0 and 1, where skewed models live; beyond these, bins of constant ratio.

A probability p falls by p itself and by its logit between ±16 (one in ten million), so that both
a model whose scores crowd around a half and one whose scores are all under a thousandth spread over many bins. A score
outside 0 to 1 (a margin, a log-odds) falls by its octave. The order of scores is kept: a higher score has no lower bin.
"""

from __future__ import annotations

import numpy as np

from agent.records import Floats, Ints

SMALLEST = 1e-7  # the probability, and its distance from 1, beyond which all are one bin
OCTAVES = 32  # outside 0 to 1, on each side
ABOVE_FIRST, BELOW_FIRST = 0, -10  # log2 of the size at which each side begins
LOGIT_SHARE = 0.7  # of the bins of 0 to 1, spread evenly over logits; the rest over p
_REACH = 2.0 * np.log((1.0 - SMALLEST) / SMALLEST)


def score_bins(scores: Floats, bins: int) -> Ints:
    """int64, 0 … bins - 1, rising with the score. bins: a multiple of 16; seven eighths are of 0 to 1. No NaN.

    >>> score_bins(np.array([-5.0, 0.0, 1e-4, 0.5, 0.999, 1.0, 7.0]), 64).tolist()
    [2, 4, 12, 32, 48, 59, 60]
    """
    side = bins // 16
    inner = bins - 2 * side
    p = np.clip(scores, SMALLEST, 1.0 - SMALLEST)
    logit: Floats = np.log(p / (1.0 - p)) / _REACH + 0.5
    share = LOGIT_SHARE * logit + (1.0 - LOGIT_SHARE) * np.clip(scores, 0.0, 1.0)
    found = side + np.minimum((share * inner).astype(np.int64), inner - 1)
    above, below = scores > 1.0, scores < 0.0
    if above.any():
        found[above] = bins - side + _octave(scores[above], ABOVE_FIRST, side)
    if below.any():
        found[below] = side - 1 - _octave(-scores[below], BELOW_FIRST, side)
    return found


def _octave(sizes: Floats, first: int, bins: int) -> Ints:
    octaves = np.log2(np.clip(sizes, 2.0**first, 2.0 ** (first + OCTAVES))) - first
    return np.asarray(np.minimum(octaves * (bins / OCTAVES), bins - 1), dtype=np.int64)
