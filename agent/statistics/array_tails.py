"""Tail probabilities of whole arrays, in numpy alone: scipy would cost 17 MB and half a second at start.

All take arrays of one shape (or that broadcast) and work in log space, so that relative error stays near 1e-10 down to
the smallest double. Continued fractions and series: Didonato and Morris (1992), Press et al. (2007), 6.2-6.4.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import numpy.typing as npt

from agent.records import Bools, Floats
from agent.steps import finished

SMALLEST = 1e-300  # p-values are never said to be smaller
_ROUNDS_MAX = 2000
_CLOSE = 1e-12
_SLICE_ROUNDS = 4  # after which most of them are known
Beta = tuple[Floats, Floats, Floats, Floats]  # a, b, x and 1 - x
Slices = Generator[None, None, Floats]
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)


def log_gamma(x: npt.ArrayLike) -> Floats:
    """ln Γ(x) for x > 0: Stirling's series after shifting x up to 8 or more.

    >>> log_gamma([0.5, 1.0, 5.0]).round(10).tolist()
    [0.5723649429, 0.0, 3.1780538303]
    """
    x = np.asarray(x, dtype=np.float64)
    small = x < 8.0
    z = np.where(small, x + 8.0, x)
    squared = 1.0 / (z * z)
    series = np.zeros_like(z)
    for term in reversed(_STIRLING):
        series = series * squared + term
    found: Floats = (z - 0.5) * np.log(z) - z + 0.5 * np.log(2 * np.pi) + series / z
    low = x[small]
    if low.size:
        found[small] -= np.log(np.prod(low + np.arange(8.0)[:, None], axis=0))
    return found


def t_as_beta(t: npt.ArrayLike, df: npt.ArrayLike) -> Beta:
    """The arguments of `beta_share` that give P(|T_df| ≥ |t|): so that several kinds of tail can go through it at once.

    >>> float(beta_share(*t_as_beta(2.228, 10)).round(4))
    0.05
    """
    squared = np.square(np.asarray(t, dtype=np.float64))
    df = np.asarray(df, dtype=np.float64)
    whole = df + squared
    return df / 2.0, np.full_like(whole, 0.5), df / whole, squared / whole


def f_tail(f: npt.ArrayLike, df1: npt.ArrayLike, df2: npt.ArrayLike) -> Floats:
    """P(F_{df1, df2} ≥ f); the degrees of freedom need not be whole.

    >>> float(f_tail(4.9646, 1, 10).round(4))
    0.05
    """
    return beta_share(*f_as_beta(f, df1, df2))


def f_as_beta(f: npt.ArrayLike, df1: npt.ArrayLike, df2: npt.ArrayLike) -> Beta:
    """The arguments of `beta_share` that give `f_tail`."""
    df1, df2 = np.asarray(df1, dtype=np.float64), np.asarray(df2, dtype=np.float64)
    scaled = df1 * np.maximum(np.asarray(f, dtype=np.float64), 0.0)
    whole = df2 + scaled
    return df2 / 2.0, df1 / 2.0, df2 / whole, scaled / whole


def cauchy_combination(p: Floats, axis: int = 0, weights: Floats | float = 1.0) -> Floats:
    """One p-value of several, dependent or not (Liu and Xie 2020, ACAT): the mean of Cauchy scores. NaN: no such test.

    Good in the far tail, where it is the smallest p over its part of the weights. All NaN gives NaN.

    >>> cauchy_combination(np.array([1e-9, 0.5, np.nan, 0.3])).round(12).tolist()
    3e-09
    """
    there = ~np.isnan(p)
    # A p-value of 1 would have a score of minus infinity and silence all others.
    clipped = np.clip(np.where(there, p, 0.5), SMALLEST, 0.99)
    score = np.where(clipped < 1e-8, 1.0 / (np.pi * clipped), np.tan(np.pi * (0.5 - clipped)))
    weight = np.where(there, weights, 0.0)
    tests = weight.sum(axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weight * score).sum(axis=axis) / tests
        found = np.where(mean > 1e8, 1.0 / (np.pi * mean), 0.5 - np.arctan(mean) / np.pi)
    return np.asarray(np.where(tests > 0, np.clip(found, SMALLEST, 1.0), np.nan), dtype=np.float64)


def beta_share(a: npt.ArrayLike, b: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    """Regularised incomplete beta I_x(a, b); y = 1 - x comes along because it may be too small to be told from x.

    >>> float(beta_share(2.0, 3.0, 0.25, 0.75).round(8))
    0.26171875
    """
    return finished(beta_slices(a, b, x, y))


def beta_slices(a: npt.ArrayLike, b: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike) -> Slices:
    """`beta_share` as work in three slices, each about as long: 2,000 of them take more than a millisecond."""
    a, b, x, y = (np.array(v, dtype=np.float64) for v in np.broadcast_arrays(a, b, x, y))
    shape = x.shape
    a, b, x, y = a.ravel(), b.ravel(), x.ravel(), y.ravel()
    swapped = x * (a + b + 2.0) > a + 1.0
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    x, y = np.where(swapped, y, x), np.where(swapped, x, y)
    with np.errstate(divide="ignore"):
        gammas = log_gamma(np.stack((a + b, a, b)))
        log_front = a * np.log(x) + b * np.log(y) + gammas[0] - gammas[1] - gammas[2]
    yield
    found = np.zeros(x.shape)
    some = np.flatnonzero((x > 0) & (log_front > -745.0))
    fraction = yield from _beta_fraction(a[some], b[some], x[some], y[some])
    found[some] = np.exp(log_front[some]) / fraction
    return np.asarray(np.clip(np.where(swapped, 1.0 - found, found), 0.0, 1.0).reshape(shape), dtype=np.float64)


def _beta_fraction(a: Floats, b: Floats, x: Floats, y: Floats) -> Slices:
    """Didonato and Morris's continued fraction, by the modified Lentz rule. Fast for x below (a+1)/(a+b+2)."""
    found = np.empty(a.shape)
    if not a.size:
        return found
    where = np.arange(a.size)
    both, slope, lean = a + b, a * y - b * x + 1.0, 1.0 + y
    value = np.maximum(a * slope / (a + 1.0), 1e-300)
    c, d = value.copy(), np.zeros(a.shape)
    for m in range(1, _ROUNDS_MAX):
        # Below (a+1)/(a+b+2) no denominator comes near zero, which Lentz's rule would otherwise have to mend.
        below = a + (2 * m - 1)
        share = x / below
        bend = (b - m) * m * share
        numerator = (a + (m - 1)) * (both + (m - 1)) * share * bend
        denominator = (a + m) * (slope + m * lean) / (below + 2.0) + m + bend
        d = 1.0 / (denominator + numerator * d)
        c = denominator + numerator / c
        step = c * d
        value = value * step
        if m % 4 == 0:
            going: Bools = np.abs(step - 1.0) > _CLOSE
            if not going.all():
                found[where[~going]] = value[~going]
                if not going.any():
                    return found
                where = where[going]
                a, b, x, both, slope, lean, value, c, d = (v[going] for v in (a, b, x, both, slope, lean, value, c, d))
        if m == _SLICE_ROUNDS:
            yield
    found[where] = value
    return found
