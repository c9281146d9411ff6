"""Empirical Bayes for variances: what one feature's few windows cannot say of φ, all features together can.

Smyth (2004), "Linear models and empirical Bayes methods", sections 5 and 6, with outliers left alone as in Phipson et
al. (2016), and made honest about how little a few features say of each other's spread.
"""

from __future__ import annotations

import numpy as np

from agent.records import Bools, Floats
from agent.statistics.array_tails import f_tail

DF_MAX = 400.0  # a t of more is a normal, and costs more
EVEN = 1e-3
FEATURES_MIN = 3  # fewer say nothing of each other
_OUTLIER = 0.02  # a feature that stands out more than this keeps its own estimate


class Borrowing:
    """Moderates one size of group after another, from the shortest.

    How far features differ from the common value is learned anew at the first size; at each later one it is how far
    features differ in what they do from one size to the next, of which all sizes so far say something together: a
    handful of long groups alone would say nothing.
    """

    def __init__(self) -> None:
        self._sizes = 0
        self._evidence, self._weight = 0.0, 0.0

    def moderate(self, raw: Floats, df: Floats, prior: Floats, cap: Floats) -> tuple[Floats, Floats]:
        """Moderated φ (at least 1) and its degrees of freedom, from raw estimates ~ φ χ²_df / df around `prior`.

        All (statistics, features); cap: the prior's own degrees of freedom, DF_MAX at the first size. The spread of
        log(raw / prior) within a statistic, beyond its sampling noise, says how far features differ, and so what a
        common value is worth in degrees of freedom. One standard error is added to the spread, so few features lend
        little. Statistics share the spread but not the common value. df = 0 takes the prior as it is, worth nothing.

        >>> rng = np.random.default_rng(1)
        >>> raw = rng.chisquare(12, (1, 100)) / 12
        >>> start = np.ones((1, 100)), np.full((1, 100), 400.0)
        >>> phi, df = Borrowing().moderate(raw, np.full((1, 100), 12.0), *start)
        >>> bool(np.median(df) > 40), bool(np.quantile(phi, 0.9) < 1.2 < np.quantile(raw, 0.9))
        (True, True)
        """
        prior = np.maximum(prior, 1e-9)
        # Windows dealt out evenly do not vary at all: φ is 1 then, and nothing to learn from for the others.
        there = (df >= 1.0) & (raw > EVEN)
        count = there.sum(axis=1, keepdims=True)
        own = np.where(df >= 1.0, df, 0.0)
        enough = there & (count >= FEATURES_MIN)
        first = self._sizes == 0
        self._sizes += 1
        if not enough.any():
            return np.maximum(np.where(own > 0, raw, prior), 1.0), own
        half = np.where(there, df, 2.0) / 2.0
        ratio = np.where(there, raw, 1.0) / prior
        logs = np.where(there, np.log(ratio) - digamma(half) + np.log(half), 0.0)
        known = np.zeros_like(half) if first else trigamma(np.maximum(cap, 1.0) / 2.0)
        middle = _centre(logs, there, trigamma(half))
        spread = self._spread((logs - middle)[enough], half[enough], known[enough], int((count >= FEATURES_MIN).sum()))
        if first and self._evidence > np.sqrt(self._weight):
            # Features differ, by more than chance: that says nothing of how alike they go on.
            self._evidence, self._weight = 0.0, 0.0
        centre = np.exp(middle)
        lent = np.minimum(2.0 * _trigamma_inverse(spread + known), cap)
        surprise = f_tail(ratio / centre, np.maximum(df, 1.0), np.maximum(lent, 1.0))
        lent = np.where(enough, lent * np.minimum(surprise / _OUTLIER, 1.0), 0.0)
        whole = own + lent
        drawn = (lent * prior * centre + own * raw) / np.maximum(whole, 1e-9)
        found = np.where(there, drawn, np.where(own > 0, 1.0, prior))
        return np.maximum(found, 1.0), np.minimum(whole, DF_MAX)

    def _spread(self, logs: Floats, half: Floats, known: Floats, centres: int) -> float:
        """Variance of log φ between features: that of the logs, less what noise gives, plus one standard error."""
        noise = trigamma(half)
        weight = 1.0 / (_polygamma3(half) + 2.0 * np.square(noise + known))
        free = max(logs.size - centres, 1) / logs.size
        self._evidence += float((weight * (np.square(logs) / free - noise - known)).sum())
        self._weight += float(weight.sum())
        return max(self._evidence / self._weight, 0.0) + float(np.sqrt(1.0 / (self._weight * free)))


class Lending:
    """φ of the four directions moderated, one size after another: the three scores share how far features differ, what
    they leave stands alone.
    """

    def __init__(self) -> None:
        self._lenders = (slice(0, 3), Borrowing()), (slice(3, 4), Borrowing())

    def moderate(self, raw: Floats, df: Floats, prior: Floats, cap: Floats) -> tuple[Floats, Floats]:
        """All (4, features), as `Borrowing.moderate` has them."""
        both = [lender.moderate(raw[k], df[k], prior[k], cap[k]) for k, lender in self._lenders]
        phi, known = (np.concatenate(part) for part in zip(*both, strict=True))
        return phi, known


def _centre(logs: Floats, there: Bools, noise: Floats) -> Floats:
    """(statistics, 1): the mean log, drawn to 0 by its own error: what all share is no feature's to correct."""
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = logs.sum(axis=1, keepdims=True) / count
    error = np.where(there, noise, 0.0).sum(axis=1, keepdims=True) / count**2
    return np.asarray(mean * np.maximum(1.0 - error / np.maximum(mean**2, 1e-12), 0.0), dtype=np.float64)


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


def _trigamma_inverse(y: Floats) -> Floats:
    """x with ψ'(x) = y, by bisection on a log scale; enough for degrees of freedom."""
    low, high = np.full(np.shape(y), 1e-3), np.full(np.shape(y), DF_MAX)
    for _ in range(30):
        middle = np.sqrt(low * high)
        above = trigamma(middle) > y
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low
