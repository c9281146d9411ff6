"""Which of two is better, asked again and again: a confidence sequence for a mean, right at every look at once.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
sequences", eq. (4): mean ± sd·√(2(tρ²+1)/(t²ρ²)·ln(√(tρ²+1)/α)). Its variance is that of whole windows, since what is
hard in one hour is hard for all its requests. Coverage by simulation: docs/decisions/0133.
"""

from __future__ import annotations

import math

import numpy as np

from agent.records import Floats

WINDOWS_MIN = 24  # by the default length a day: no version is judged by its night alone
LABELS_MIN = 100
TIGHTEST = 1_000.0  # independent labels at which the sequence is as narrow as it can be
GROUPS_MIN = 8  # of neighbouring windows, to have a variance of them
LAG_MAX = 0.9
PHANTOM = 2.0  # one more label, this times the largest seen: a long tail shows itself late
LABELS_FORESEEN = 1e9


def multiplier(labels: float, alpha: float) -> float:
    """Half the sequence's width in standard errors after so many independent labels; two-sided.

    >>> round(multiplier(1_000, 0.05), 2), round(multiplier(100_000, 0.05), 2), round(multiplier(10, 0.05), 2)
    (3.04, 3.56, 9.08)
    """
    squared = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / TIGHTEST
    grown = max(labels, 1e-6) * squared
    return math.sqrt((grown + 1.0) / grown * 2.0 * math.log(math.sqrt(grown + 1.0) / alpha))


def spread(residuals: Floats, weights: Floats, independent: float) -> float:
    """Variance of the sum of all residuals, where windows and their neighbours may resemble each other.

    residuals: float64 (windows,), each window's sum of what its labels are beyond the mean; weights: (windows,), how
    many labels, positive; independent: the variance if every label were by itself, above 0. The largest of that, of the
    sums of 1, 2, 4, … neighbouring windows, and of an AR(1) effect of windows whose correlation is taken two standard
    errors higher than it looks.
    """
    total, found = float(weights.sum()), independent
    sums, sizes = residuals, weights
    while len(sums) >= GROUPS_MIN:
        count, covered = len(sums), float(sizes.sum())
        found = max(found, float(np.square(sums).sum()) * count / (count - 1.0) * total / covered)
        even = len(sums) // 2 * 2
        sums, sizes = sums[:even:2] + sums[1:even:2], sizes[:even:2] + sizes[1:even:2]
    return max(found, _correlated(residuals, independent))


def _correlated(residuals: Floats, independent: float) -> float:
    """The variance with an AR(1) effect of windows; 0 where they are too few to say."""
    count = len(residuals)
    if count < GROUPS_MIN:
        return 0.0
    own = float(np.square(residuals).sum()) / (count - 1.0)
    beyond = own - independent / count
    if beyond <= 0.0:
        return 0.0
    lag = float(residuals[1:] @ residuals[:-1]) / (count - 1.0) / beyond
    # Marriott and Pope (1954): a correlogram around its own mean is too low by (1 + 4ρ) / n.
    rho = min(max((lag * count + 1.0) / (count - 4.0) + 2.0 / math.sqrt(count), 0.0), LAG_MAX)
    return independent + count * beyond * (1.0 + rho) / (1.0 - rho)


def labels_needed(distance: float, variance: float, labels: float, dispersion: float, alpha: float) -> float:
    """Labels in all at which the sequence would be as narrow as `distance`, the mean's from what it is held against.

    variance: of the mean now, after `labels` labels; dispersion: how many labels are worth one independent one.
    Infinity where it takes more than a thousand million.
    """
    if distance <= 0.0 or not variance < math.inf:
        return math.inf
    low, high = 1.0, LABELS_FORESEEN

    def wide(count: float) -> bool:
        return math.sqrt(variance * labels / count) * multiplier(count / dispersion, alpha) > distance

    if wide(high):
        return math.inf
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if wide(middle) else (low, middle)
    return high
