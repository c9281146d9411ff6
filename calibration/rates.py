"""Episodes a day with their uncertainty: counts over references that differ from one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEVEL = 0.95
ERRORS = 2.0  # standard errors that a rate may lie above its limit


@dataclass(frozen=True, slots=True)
class Rate:
    """Episodes a day over several references.

    dispersion: variance of the references' counts over their Poisson variance, at least 1; worst: the highest rate of
    one reference; often: share of references with more than one episode a day.
    """

    references: int
    days: float
    episodes: int
    dispersion: float
    worst: float
    often: float

    @property
    def rate(self) -> float:
        return self.episodes / self.days

    @property
    def error(self) -> float:
        """Standard error; the count's Poisson error, widened by the dispersion."""
        return math.sqrt(self.episodes * self.dispersion) / self.days

    @property
    def interval(self) -> tuple[float, float]:
        """95 %: exact for a Poisson count (Garwood 1936), the count first divided by the dispersion."""
        low, high = poisson_interval(self.episodes / self.dispersion)
        return low * self.dispersion / self.days, high * self.dispersion / self.days

    def fails(self, limit: float) -> bool:
        """Above the limit by more than two standard errors."""
        return self.rate - ERRORS * self.error > limit


def rate_of(counts: Sequence[tuple[int, float]]) -> Rate:
    """counts: (episodes, days) of each reference; not empty, days above 0.

    >>> found = rate_of([(0, 4.0), (1, 4.0), (0, 4.0), (0, 4.0)])
    >>> found.rate, found.dispersion, round(found.interval[1], 2)
    (0.0625, 1.0, 0.35)
    """
    episodes, days = sum(k for k, _ in counts), sum(d for _, d in counts)
    expected = [episodes * d / days for _, d in counts]
    dispersion = 1.0
    if episodes and len(counts) > 1:  # Pearson's statistic over its degrees of freedom (McCullagh and Nelder 1989)
        pearson = sum((k - e) ** 2 / e for (k, _), e in zip(counts, expected, strict=True))
        dispersion = max(1.0, pearson / (len(counts) - 1))
    return Rate(
        len(counts), days, episodes, dispersion, max(k / d for k, d in counts),
        sum(k > d for k, d in counts) / len(counts),
    )  # fmt: skip


def poisson_interval(count: float) -> tuple[float, float]:
    """The means under which so few, or so many, are no surprise; count may be a fraction (quasi-Poisson).

    >>> [round(bound, 3) for bound in poisson_interval(0)], [round(bound, 3) for bound in poisson_interval(3)]
    ([0.0, 3.689], [0.619, 8.767])
    """
    tail = (1.0 - LEVEL) / 2.0
    low = 0.0 if count <= 0 else _root(lambda mean: gamma_lower(count, mean) - tail, count + 10.0)
    high = _root(lambda mean: gamma_lower(count + 1.0, mean) - (1.0 - tail), 2.0 * count + 20.0)
    return low, high


def gamma_lower(shape: float, x: float) -> float:
    """Regularised lower incomplete gamma function P(shape, x): P(Poisson(x) ≥ shape) for whole shapes.

    The series of Abramowitz and Stegun 6.5.29; enough terms for x up to some thousands.

    >>> round(gamma_lower(1.0, 1.0), 6)
    0.632121
    """
    if x <= 0.0:
        return 0.0
    term = math.exp(shape * math.log(x) - x - math.lgamma(shape + 1.0))
    total, k = 0.0, 0
    while term > 1e-17 * total or shape + k < x:
        total += term
        k += 1
        term *= x / (shape + k)
        if k > 100_000:
            break
    return min(total, 1.0)


def _root(rises: Callable[[float], float], high: float) -> float:
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rises(middle) < 0.0 else (low, middle)
    return (low + high) / 2.0


def median_interval(delays: Sequence[int]) -> tuple[float, float]:
    """Delays between which the median lies in 95 % of cases, by order statistics (Conover 1999, 3.2); of fewer than six
    delays all that there are. 0 stands for "not found", as in `median`.

    >>> median_interval([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    (2.0, 9.0)
    """
    ordered = sorted(math.inf if d == 0 else float(d) for d in delays)
    n, below, left_out = len(ordered), 0.0, 0
    while (below := below + math.comb(n, left_out) / 2.0**n) <= (1.0 - LEVEL) / 2.0:
        left_out += 1
    first = max(0, left_out - 1)
    return ordered[first], ordered[n - 1 - first]


def median(delays: Sequence[int]) -> float:
    """Of delays in windows, 0 standing for "not found"; inf where more than half were not."""
    ordered = sorted(math.inf if d == 0 else float(d) for d in delays)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2.0
