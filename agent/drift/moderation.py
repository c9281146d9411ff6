"""Empirical Bayes for variances: what one feature's few windows cannot say of φ, all features together can.

Smyth (2004), "Linear models and empirical Bayes methods", sections 5 and 6, with outliers left alone as in Phipson et
al. (2016), and made honest about how little a few features say of each other's spread.
"""

from __future__ import annotations

import numpy as np

from agent.drift.tails import f_tail
from agent.records import Floats

DF_MAX = 400.0  # a t of more is a normal, and costs more
EVEN = 1e-3
FEATURES_MIN = 3  # fewer say nothing of each other
_OUTLIER = 0.05  # a feature that stands out more than this keeps its own estimate


def moderate(raw: Floats, df: Floats, prior: Floats, cap: Floats) -> tuple[Floats, Floats]:
    """Moderated φ (at least 1) and its degrees of freedom, from raw estimates ~ φ χ²_df / df around `prior`.

    All (statistics, features). The spread of log(raw / prior) within a statistic, beyond its sampling noise, says how
    far features differ, and so what a common value is worth in degrees of freedom: never more than `cap`, those of the
    prior itself. One standard error is added to the spread, so few features lend little. Statistics share the spread
    but not the common value. df = 0 takes the prior as it is, worth nothing.

    >>> rng = np.random.default_rng(1)
    >>> raw = rng.chisquare(12, (1, 100)) / 12
    >>> phi, df = moderate(raw, np.full((1, 100), 12.0), np.ones((1, 100)), np.full((1, 100), 400.0))
    >>> bool(np.median(df) > 40), bool(np.quantile(phi, 0.9) < 1.2 < np.quantile(raw, 0.9))
    (True, True)
    """
    prior = np.maximum(prior, 1e-9)
    # Windows dealt out evenly do not vary at all: φ is 1 then, and nothing to learn from for the others.
    there = (df >= 1.0) & (raw > EVEN)
    count = there.sum(axis=1, keepdims=True)
    own = np.where(df >= 1.0, df, 0.0)
    enough = there & (count >= FEATURES_MIN)
    if not enough.any():
        return np.maximum(np.where(own > 0, raw, prior), 1.0), own
    half = np.where(there, df, 2.0) / 2.0
    ratio = np.where(there, raw, 1.0) / prior
    logs = np.where(there, np.log(ratio) - digamma(half) + np.log(half), 0.0)
    middle = logs.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    spread = _spread((logs - middle)[enough], half[enough], int((count >= FEATURES_MIN).sum()))
    centre = np.exp(middle)
    lent = np.minimum(2.0 * _trigamma_inverse(spread), cap)
    surprise = f_tail(ratio / centre, np.maximum(df, 1.0), np.maximum(lent, 1.0))
    lent = np.where(enough, lent * np.minimum(surprise / _OUTLIER, 1.0), 0.0)
    whole = own + lent
    drawn = (lent * prior * centre + own * raw) / np.maximum(whole, 1e-9)
    found = np.where(there, drawn, np.where(own > 0, 1.0, prior))
    return np.maximum(found, 1.0), np.minimum(whole, DF_MAX)


def _spread(logs: Floats, half: Floats, centres: int) -> float:
    """Variance of log φ between features: that of the logs, less the noise of log χ², plus one standard error."""
    noise, fourth = float(trigamma(half).mean()), float(_polygamma3(half).mean())
    free = max(logs.size - centres, 1)
    error = np.sqrt((fourth + 2.0 * noise**2) / free)
    return max(float(np.square(logs).sum()) / free - noise, 0.0) + float(error)


def digamma(x: Floats) -> Floats:
    """ψ(x), x > 0.

    >>> float(digamma(np.array([1.0]))[0].round(8))
    -0.57721566
    """
    shift = sum(1.0 / (x + i) for i in range(8))
    z = x + 8.0
    s = 1.0 / (z * z)
    return np.asarray(np.log(z) - 0.5 / z - s * (1 / 12 - s * (1 / 120 - s / 252)) - shift, dtype=np.float64)


def trigamma(x: Floats) -> Floats:
    """ψ'(x), x > 0: the variance of log χ²_{2x}.

    >>> float(trigamma(np.array([1.0]))[0].round(8))
    1.64493407
    """
    shift = sum(1.0 / (x + i) ** 2 for i in range(8))
    z = x + 8.0
    s = 1.0 / (z * z)
    return np.asarray(1.0 / z + s / 2.0 + s / z * (1 / 6 - s * (1 / 30 - s / 42)) + shift, dtype=np.float64)


def _polygamma3(x: Floats) -> Floats:
    """ψ'''(x): the fourth cumulant of log χ²_{2x}."""
    shift = sum(6.0 / (x + i) ** 4 for i in range(8))
    z = x + 8.0
    return np.asarray(2.0 / z**3 + 3.0 / z**4 + 2.0 / z**5 - 1.0 / z**7 + shift, dtype=np.float64)


def _trigamma_inverse(y: float) -> float:
    """x with ψ'(x) = y, by bisection on a log scale; enough for degrees of freedom."""
    low, high = 1e-3, DF_MAX
    for _ in range(50):
        middle = float(np.sqrt(low * high))
        if float(trigamma(np.array([middle]))[0]) > y:
            low = middle
        else:
            high = middle
    return low
