"""Estimates with their 95 % intervals. Weights make n the effective (Σw)² / Σw² (Kish 1965).

The intervals are of sampling: what another draw of as many rows would give. How much windows differ beyond that is the
affair of `drop.py`, which alone decides on alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.drift.moderation import digamma
from agent.performance.form import W2, W2X, W2XX, WX, W
from agent.records import Floats

Z = 1.959963984540054  # 95 %


@dataclass(frozen=True, slots=True)
class Figure:
    """value: NaN where it is not defined. low, high: its 95 % interval; n: effective rows behind it."""

    value: float
    low: float = math.nan
    high: float = math.nan
    n: float = 0.0


NONE = Figure(math.nan)


def effective(w: float, w2: float) -> float:
    """Kish's effective sample size; 0 of nothing."""
    return w * w / w2 if w2 > 0 else 0.0


def proportion(hits: float, w: float, w2: float) -> Figure:
    """hits / w, with Wilson's (1927) score interval.

    >>> found = proportion(8, 10, 10)
    >>> round(found.low, 4), round(found.high, 4)
    (0.4902, 0.9433)
    """
    if w <= 0:
        return NONE
    n, p = effective(w, w2), min(hits / w, 1.0)
    low, high = wilson(p, n)
    return Figure(p, low, high, n)


def wilson(p: float, n: float) -> tuple[float, float]:
    """Bounds of a share p of n."""
    middle, spread = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    low, high = (middle - spread) / (1 + Z * Z / n), (middle + spread) / (1 + Z * Z / n)
    return max(0.0, min(low, p)), min(1.0, max(high, p))  # rounding must not leave p outside


def f_score(right: float, beside: float, right2: float, beside2: float) -> Figure:
    """F1 of weights that are right and that are wrong either way, with the sums of their squares.

    F1 = 2J / (1 + J), J the share that is right of all that is said or true: a rising function of a proportion, so its
    interval is the proportion's, mapped.
    """
    share = proportion(right, right + beside, right2 + beside2)
    value, low, high = (2 * j / (1 + j) for j in (share.value, share.low, share.high))
    return Figure(value, low, high, share.n)


def mean(moments: Floats) -> Figure:
    """Of one row of means (6,): Σwx / Σw, and ± 1.96 √(Σw²(x - mean)²) / Σw (Cochran 1977, 2.11: a ratio's)."""
    w = float(moments[W])
    if w <= 0:
        return NONE
    value = float(moments[WX]) / w
    squares = float(moments[W2XX] - 2 * value * moments[W2X] + value * value * moments[W2])
    n = effective(w, float(moments[W2]))
    off = Z * math.sqrt(max(squares, 0.0)) / w * math.sqrt(n / (n - 1)) if n > 1 else math.inf
    return Figure(value, value - off, value + off, n)


def root(figure: Figure) -> Figure:
    """The square root of a mean that is not negative, its bounds likewise."""
    value, low, high = (math.sqrt(max(x, 0.0)) for x in (figure.value, figure.low, figure.high))
    return Figure(value, low, high, figure.n)


def average(parts: list[Figure], weights: list[float]) -> Figure:
    """A weighted mean of figures that are of different rows, taken as independent (the delta method)."""
    whole = sum(weights)
    if not parts or whole <= 0:
        return NONE
    value = sum(w * p.value for w, p in zip(weights, parts, strict=True)) / whole
    spread = (w * (p.high - p.low) / 2 for w, p in zip(weights, parts, strict=True))
    off = math.sqrt(sum(s * s for s in spread)) / whole
    return Figure(value, max(0.0, value - off), min(1.0, value + off), sum(p.n for p in parts))


def roc_auc(histogram: Floats, squares: Floats) -> Figure:
    """Area under the ROC curve of scores in bins, rising; histogram: (2, bins), negatives then positives.

    Scores of one bin are ties, each worth a half. Interval: DeLong, DeLong and Clarke-Pearson (1988), whose placements
    are the same for all scores of a bin; where every placement is the same (a perfect model) Wilson's at the smaller n.
    """
    negative, positive = histogram
    down, up = float(negative.sum()), float(positive.sum())
    if down <= 0 or up <= 0:
        return NONE
    below = (np.cumsum(negative) - 0.5 * negative) / down
    above = 1.0 - (np.cumsum(positive) - 0.5 * positive) / up
    value = float(positive @ below) / up
    n_up, n_down = effective(up, float(squares[1])), effective(down, float(squares[0]))
    variance = _spread(positive, below, value, n_up) + _spread(negative, above, value, n_down)
    n = min(n_up, n_down)
    low, high = (value - Z * math.sqrt(variance), value + Z * math.sqrt(variance))
    if variance <= 0.0:
        low, high = wilson(value, n)
    return Figure(value, max(0.0, low), min(1.0, high), n)


def _spread(weights: Floats, placement: Floats, centre: float, n: float) -> float:
    """Variance of the mean placement."""
    if n <= 1:
        return 0.25
    return float(weights @ np.square(placement - centre)) / float(weights.sum()) / (n - 1)


def average_precision(histogram: Floats, squares: Floats, alike: np.ndarray) -> Figure:
    """Σ (R_k - R_{k-1}) P_k over scores in bins. alike: (bins,), whether all scores of a bin are one.

    Equal scores are one step, as scikit-learn takes them. Of scores that only share a bin the order is not known: it is
    the mean over all orders, each row as heavy as the effective one.
    Interval: on the logit scale with variance 1 / (n AP (1 - AP)), n the positives (Boyd, Eng and Page 2013).
    """
    row = float(squares.sum() / histogram.sum()) if histogram.any() else 1.0
    negative, positive = histogram[0][::-1] / row, histogram[1][::-1] / row
    both = positive + negative
    up = float(positive.sum())
    if up <= 0:
        return NONE
    there = np.flatnonzero(positive > 0)
    step, width = positive[there], both[there]
    hits, said = np.cumsum(positive)[there], np.cumsum(both)[there]
    first = np.minimum(step, 1.0)
    grows = np.where(width > 1.0, (step - first) / np.maximum(width - 1.0, 1e-9), 0.0)
    # The j-th row of a bin, if it is positive, has (hits before + 1 + grows (j - 1)) / (said before + j).
    before = hits - step + first - grows * (said - width + 1.0)
    mixed = grows + before * (digamma(said + 1.0) - digamma(said - width + 1.0)) / width
    precision = np.where(alike[::-1][there], hits / said, mixed)
    value = min(1.0, float(step @ precision) / up)
    n = effective(up * row, float(squares[1]))
    if not 0.0 < value < 1.0 or n <= 0:
        return Figure(value, *wilson(value, max(n, 1.0)), n)
    logit, off = math.log(value / (1 - value)), min(Z / math.sqrt(n * value * (1 - value)), 300.0)
    return Figure(value, 1 / (1 + math.exp(off - logit)), 1 / (1 + math.exp(-off - logit)), n)


def calibration_error(bins: Floats) -> Figure:
    """Expected calibration error, Σ (n_b / n) |mean score - share of positives| (Naeini et al. 2015). bins: (…, 4).

    It is above 0 even for a calibrated model, by what chance adds in each bin; so its interval, of normal errors in
    each bin, is of what is seen, not of the model's true error.
    """
    bins = bins[bins[:, 0] > 0]
    if not len(bins):
        return NONE
    w, score, true, w2 = bins.T
    n = w * w / w2
    share = true / w
    variance = np.square(w) * share * (1.0 - share) / n
    whole = float(w.sum())
    value, off = float(np.abs(score - true).sum()) / whole, Z * math.sqrt(float(variance.sum())) / whole
    return Figure(value, max(0.0, value - off), value + off, effective(whole, float(w2.sum())))


def explained(squared: Floats, truth: Floats) -> Figure:
    """R² = 1 - Σw e² / Σw (y - ȳ)², and its interval by the delta method: the spread of e² - (1 - R²)(y - ȳ)²."""
    w, w2 = float(squared[W]), float(squared[W2])
    if w <= 0:
        return NONE
    shift = float(truth[0]) / w
    total = float(truth[1]) - w * shift * shift
    if total <= 1e-12 * abs(float(truth[1])) or total <= 0:
        return NONE
    left = float(squared[WX]) / total
    t1, t2, t3, t4, e1, e2 = (float(x) for x in truth[2:])
    fourth = t4 - 4 * shift * t3 + 6 * shift**2 * t2 - 4 * shift**3 * t1 + shift**4 * w2
    cross = e2 - 2 * shift * e1 + shift**2 * float(squared[W2X])
    spread = float(squared[W2XX]) - 2 * left * cross + left * left * fourth
    off = Z * math.sqrt(max(spread, 0.0)) / total
    return Figure(1.0 - left, 1.0 - left - off, min(1.0, 1.0 - left + off), effective(w, w2))
