"""Tails of distributions, right far out: hypergeometric, binomial, gamma, beta, Student t. No scipy at run time.

Logarithms of gamma functions lose nine digits where counts reach a million; point probabilities therefore go the way
of C. Loader, "Fast and accurate computation of binomial probabilities" (2000): Stirling's error and a deviance.
"""

from __future__ import annotations

import math

import numpy as np

_TERMS = 256  # of a tail, added at a time
_LOG_2PI = math.log(2.0 * math.pi)
# ln n! less Stirling's formula, n = 0 … 15; beyond, the series is right to 1e-16. Entry 0 is never used.
_STIRLING = (0.0, *(math.lgamma(n + 1.0) - (n + 0.5) * math.log(n) + n - 0.5 * _LOG_2PI for n in range(1, 16)))


def hypergeometric_tail(faulty: int, rows: int, faulty_reference: int, rows_reference: int) -> float:
    """P(X ≥ faulty) if the faulty rows of both samples were dealt out blindly: the exact one-sided two-sample test.

    X: how many of the faulty + faulty_reference bad rows fall among `rows` of rows + rows_reference. Relative error
    about 1e-12. With faulty = 0 it is 1. Fisher 1935. Cost: 10-60 µs.

    >>> round(hypergeometric_tail(20, 20, 0, 100) * 1e23, 3)
    3.394
    >>> hypergeometric_tail(0, 20, 3, 100)
    1.0
    """
    if faulty <= 0:
        return 1.0
    bad, everything = faulty + faulty_reference, rows + rows_reference
    good = everything - bad
    lowest, highest = max(0, rows - good), min(rows, bad)
    if faulty <= lowest:
        return 1.0
    share = rows / everything
    log_mass = (
        _log_binomial(faulty, bad, share)
        + _log_binomial(rows - faulty, good, share)
        - _log_binomial(rows, everything, share)
    )

    def rising(j: np.ndarray) -> np.ndarray:
        return np.asarray((bad - j) * (rows - j) / ((j + 1.0) * (good - rows + j + 1.0)))

    def falling(j: np.ndarray) -> np.ndarray:
        return np.asarray(j * (good - rows + j) / ((bad - j + 1.0) * (rows - j + 1.0)))

    if faulty > rows * (bad / everything):
        return min(1.0, math.exp(log_mass) * _sum(rising, faulty, highest))
    # Below the mean: the other tail is the short one. falling(j) = P(j - 1) / P(j).
    lower = math.exp(log_mass) * (_sum(falling, faulty, lowest, step=-1) - 1.0)
    return max(0.0, 1.0 - lower)


def binomial_tail(hits: int, rows: int, rate: float) -> float:
    """P(X ≥ hits) of `rows` tries at `rate` (0 < rate < 1). Relative error about 1e-12 above the mean.

    >>> round(binomial_tail(3, 3, 0.5), 15)
    0.125
    """
    if hits <= 0:
        return 1.0
    odds = rate / (1.0 - rate)
    mass = math.exp(_log_binomial(hits, rows, rate))
    if hits > rows * rate:
        return min(1.0, mass * _sum(lambda j: (rows - j) / (j + 1.0) * odds, hits, rows))
    lower = mass * (_sum(lambda j: j / ((rows - j + 1.0) * odds), hits, 0, step=-1) - 1.0)
    return max(0.0, 1.0 - lower)


def gamma_tail(x: float, shape: float) -> float:
    """P(X ≥ x), X a gamma variable with `shape` > 0 and scale 1; a chi-square of k degrees is 2 X with shape k/2.

    Relative error about 1e-12. Series below the mean, Legendre's continued fraction above (DLMF 8.7.1, 8.9.2).

    >>> round(gamma_tail(3.841458820694124 / 2, 0.5), 12)
    0.05
    """
    if x <= 0.0:
        return 1.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x >= shape + 1.0:
        return front * _gamma_fraction(x, shape)
    term = total = 1.0 / shape
    for i in range(1, 10_000):
        term *= x / (shape + i)
        total += term
        if term < total * 1e-17:
            break
    return max(0.0, 1.0 - front * total)


def student_tail(t: float, freedom: float) -> float:
    """P(T ≥ t), Student's t with `freedom` > 0 degrees of freedom. Relative error about 1e-12, also at 1e-100.

    Half the regularised incomplete beta function at freedom / (freedom + t²), by Lentz's continued fraction
    (Numerical Recipes 6.4; DLMF 8.17.22).

    >>> round(student_tail(12.706204736, 1), 9)
    0.025
    >>> student_tail(0.0, 8)
    0.5
    """
    square = t * t
    near, far = square / (freedom + square), freedom / (freedom + square)
    if near == 0.0:
        return 0.5
    if far == 0.0:
        return 0.0 if t > 0 else 1.0
    half = 0.5 * _beta_share(far, near, 0.5 * freedom, 0.5)
    return half if t > 0 else 1.0 - half


def beta_tail(share: float, a: float, b: float) -> float:
    """P(X ≥ share), X of a Beta with shapes a, b > 0 (a + b up to about 1e5). Relative error about 1e-9 far out.

    >>> round(beta_tail(0.9, 1.0, 3.0), 12)
    0.001
    """
    if share <= 0.0:
        return 1.0
    return _beta_share(1.0 - share, share, b, a) if share < 1.0 else 0.0


def normal_deviate(p: float) -> float:
    """The z with P(Z ≥ z) = p, 0 < p < 1; 37 where p is smaller than any double's tail. Newton on the logarithm.

    >>> round(normal_deviate(0.025), 6), round(normal_deviate(1e-20), 6), round(normal_deviate(0.5), 6)
    (1.959964, 9.26234, 0.0)
    """
    if p > 0.5:
        return -normal_deviate(1.0 - p)
    if p < 1e-299:
        return 37.0
    z, wanted = math.sqrt(-2.0 * math.log(2.0 * p)) if p < 0.5 else 0.0, math.log(p)
    for _ in range(6):
        tail = 0.5 * math.erfc(z / math.sqrt(2.0))
        density = math.exp(-0.5 * z * z - 0.5 * _LOG_2PI)
        before, z = z, z + (math.log(tail) - wanted) * tail / density
        if z == before:
            break
    return z


def _beta_share(low: float, high: float, a: float, b: float) -> float:
    """The regularised incomplete beta function at `low`, high = 1 - low to the last digit."""
    gammas = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(gammas + a * math.log(low) + b * math.log(high))
    if low < (a + 1.0) / (a + b + 2.0):
        return front * _beta_fraction(low, a, b) / a
    return 1.0 - front * _beta_fraction(high, b, a) / b


def _sum(ratio, start: int, end: int, step: int = 1) -> float:  # type: ignore[no-untyped-def]
    """1 + r(start) + r(start) r(start + step) + …, up to `end` or until nothing is added."""
    total, term = 1.0, 1.0
    at = start
    while at != end:
        count = min(_TERMS, abs(end - at))
        terms = term * np.cumprod(ratio(at + step * np.arange(count, dtype=np.float64)))
        total += float(terms.sum())
        term = float(terms[-1])
        at += step * count
        if term < 1e-18 * total:
            break
    return total


def _log_binomial(x: int, n: int, p: float) -> float:
    """ln P(x hits of n at rate p), Loader 2000."""
    if n == 0:
        return 0.0
    if x == 0:
        return n * math.log1p(-p)
    if x == n:
        return n * math.log(p)
    error = _stirling_error(n) - _stirling_error(x) - _stirling_error(n - x)
    deviance = _deviance(x, n * p) + _deviance(n - x, n * (1.0 - p))
    return error - deviance - 0.5 * (_LOG_2PI + math.log(x) + math.log1p(-x / n))


def _stirling_error(n: int) -> float:
    if n < 16:
        return _STIRLING[n]
    square = 1.0 / (float(n) * n)
    series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    return series / n


def _deviance(x: float, mean: float) -> float:
    """x ln(x / mean) + mean - x, without cancellation where x is close to the mean."""
    if abs(x - mean) >= 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    v = (x - mean) / (x + mean)
    total, term = (x - mean) * v, 2.0 * x * v
    for j in range(1, 60):
        term *= v * v
        before = total
        total += term / (2 * j + 1)
        if total == before:
            break
    return total


def _gamma_fraction(x: float, shape: float) -> float:
    tiny = 1e-300
    b = x + 1.0 - shape
    c, d = 1.0 / tiny, 1.0 / (b if abs(b) > tiny else tiny)
    found = d
    for i in range(1, 1000):
        step, b = -i * (i - shape), b + 2.0
        d = step * d + b
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = b + step / c
        c = c if abs(c) > tiny else tiny
        found *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return found


def _beta_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    found = d
    both = a + b
    for m in range(1, 500):  # each round two steps, written out: half of a close's exact tests are spent here
        at = a + 2 * m
        numerator = m * (b - m) * x / ((at - 1.0) * at)
        d = 1.0 + numerator * d
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = 1.0 + numerator / c
        c = c if abs(c) > tiny else tiny
        found *= c * d
        numerator = -(a + m) * (both + m) * x / (at * (at + 1.0))
        d = 1.0 + numerator * d
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = 1.0 + numerator / c
        c = c if abs(c) > tiny else tiny
        step = c * d
        found *= step
        if abs(step - 1.0) < 1e-15:
            break
    return found
