"""Which of two is better, asked again and again: a confidence sequence for a mean, right at every look at once.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
sequences", eq. (4): mean ± sd·√(2(tρ²+1)/(t²ρ²)·ln(√(tρ²+1)/α)). Its variance is that of whole windows, since what is
hard in one hour is hard for all its requests: sums of stationary, weakly dependent windows follow a Brownian motion of
that variance as closely as the sequence needs (Berkes, Liu and Wu 2014). Coverage by simulation: docs/decisions/0133.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.records import Floats
from agent.statistics.autocorrelation import mean_variance

WINDOWS_MIN = 24  # by the default length a day: no version is judged by its night alone
LABELS_MIN = 100
TIGHTEST = 1_000.0  # independent labels at which the sequence is as narrow as it can be
GROUPS_MIN = 8  # of neighbouring windows, to have a variance of them
LAG_MAX = 0.9
UNSEEN, FADES = 4.0, 2.0  # of a first day of windows, in independent labels' variance; by this power of more days
FREEDOM_MANY, EXPONENT_MAX = 1e6, 600.0
PHANTOM = 2.0  # one more label, this times the largest seen: a long tail shows itself late
LABELS_FORESEEN = 1e9


@dataclass(frozen=True, slots=True)
class Spread:
    """variance: of a sum; freedom: the degrees that it is known by, infinity where windows differ by chance alone."""

    variance: float
    freedom: float = math.inf


def multiplier(labels: float, alpha: float, freedom: float = math.inf) -> float:
    """Half the sequence's width in standard errors after so many independent labels; two-sided. freedom: degrees of
    freedom of the variance; where they are few, the deviate of Student's t whose density is as low, as in Wang and
    Ramdas (2025), "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance".

    >>> round(multiplier(1_000, 0.05), 2), round(multiplier(100_000, 0.05), 2), round(multiplier(10, 0.05), 2)
    (3.04, 3.56, 9.08)
    >>> round(multiplier(1_000, 0.05, 10.0), 2)
    3.62
    """
    squared = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / TIGHTEST
    grown = max(labels, 1e-6) * squared
    normal = (grown + 1.0) / grown * 2.0 * math.log(math.sqrt(grown + 1.0) / alpha)
    if freedom > FREEDOM_MANY:
        return math.sqrt(normal)
    return math.sqrt(freedom * math.expm1(min(normal / (freedom + 1.0), EXPONENT_MAX)))


def spread(residuals: Floats, weights: Floats, independent: float) -> Spread:
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
    effect = _correlated(residuals, independent)
    return Spread(max(found, independent + effect.variance), effect.freedom)


def unseen(windows: float) -> float:
    """How many times independent labels' variance is added for what so few windows cannot show: an effect that favoured
    one version through most of them. After a day 4, after two 1, after a week .08.
    """
    return float(UNSEEN * (WINDOWS_MIN / max(windows, 1.0)) ** FADES)


def _correlated(residuals: Floats, independent: float) -> Spread:
    """What an AR(1) effect of windows adds to the variance; nothing where they are too few to say, or do not differ."""
    count = len(residuals)
    if count < GROUPS_MIN:
        return Spread(0.0)
    own = float(np.square(residuals).sum()) / (count - 1.0)
    beyond = own - independent / count
    if beyond <= 0.0:
        return Spread(0.0)
    lag = float(residuals[1:] @ residuals[:-1]) / (count - 1.0) / beyond
    # Marriott and Pope (1954): a correlogram around its own mean is too low by (1 + 4ρ) / n.
    rho = min(max((lag * count + 1.0) / (count - 4.0) + _doubt(beyond / own, count), 0.0), LAG_MAX)
    freedom = count * (1.0 - rho * rho) / (1.0 + rho * rho) / (beyond / own) ** 2
    # Around their own mean windows that resemble each other differ by less than they do.
    beyond /= 1.0 - float(mean_variance(np.array(rho), count))
    return Spread(count * beyond * (1.0 + rho) / (1.0 - rho), freedom)


def _doubt(share: float, count: int) -> float:
    """Two standard errors of a correlation of what is but `share` of the variance between so many windows. In full only
    where it is two standard errors above nothing: else every stream of independent labels would be in doubt."""
    sure = share / math.sqrt(2.0 / count)
    full = 2.0 / (math.sqrt(count) * share)
    return max(2.0 / math.sqrt(count), full * min(sure / 2.0, 1.0) ** 2)


@dataclass(frozen=True, slots=True)
class Now:
    """What is known after so many labels of so many windows. variance: of the mean; dispersion: how many labels are
    worth one independent one; freedom: of the variance."""

    labels: float
    windows: float
    variance: float
    dispersion: float
    freedom: float = math.inf


def labels_needed(distance: float, now: Now, alpha: float) -> float:
    """Labels in all at which the sequence would be as narrow as `distance`, the mean's from what it is held against,
    were the labels to come as they came. Infinity where it takes more than a thousand million."""
    if distance <= 0.0 or not now.variance < math.inf:
        return math.inf
    low, high = 1.0, LABELS_FORESEEN

    def wide(count: float) -> bool:
        times = count / now.labels
        wider = 1.0 + unseen(now.windows * times) / now.dispersion
        errors = multiplier(count / (now.dispersion * wider), alpha, now.freedom * times)
        return math.sqrt(now.variance / times * wider) * errors > distance

    if wide(high):
        return math.inf
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if wide(middle) else (low, middle)
    return high
