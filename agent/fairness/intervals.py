"""Rates and means by group, and how far two of them may be apart: figures with intervals, of arrays.

A rate's interval is Wilson's (1927); a mean's is the normal one. Limits of a difference and of a ratio are made from
the two intervals: Newcombe's (1998, method 10) square-and-add, which Zou and Donner (2008) show to hold for any two
estimates with limits, and Donner and Zou's (2012) for ratios, equation 7. Weights lower n to (Σw)² / Σw² (Kish 1965).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.fairness.outcomes import RATES
from agent.records import Bools, Floats


@dataclass(frozen=True, slots=True)
class Estimates:
    """Of groups and measures, (..., groups, measures) each. weight: Σw; n: what the rows are worth as unweighted ones;
    mean: NaN where there is no row; variance: of one row's x."""

    weight: Floats
    n: Floats
    mean: Floats
    variance: Floats

    def at(self, run: int) -> Estimates:
        """Those of one run of windows."""
        return Estimates(self.weight[run], self.n[run], self.mean[run], self.variance[run])

    @property
    def error(self) -> Floats:
        """Variance of the mean; of rates as if half a hit and half a miss had been seen besides, so never 0."""
        return self.variance / np.maximum(self.n, 1e-9)


def estimate(sums: Floats, rates: Bools = RATES) -> Estimates:
    """sums: (..., groups, measures, SUMS) as Outcomes has them; rates: which of these measures' x are 0 or 1."""
    weight, squares, total, of_squares = np.moveaxis(sums, -1, 0)
    there = weight > 0
    safe = np.where(there, weight, 1.0)
    known = np.where(there, total / safe, 0.0)
    mean = np.where(there, known, np.nan)
    n = np.where(there, weight * weight / np.where(squares > 0, squares, 1.0), 0.0)
    smooth = (known * n + 0.5) / (n + 1.0)
    spread = np.maximum(of_squares / safe - np.square(known), 0.0)
    spread *= np.where(n > 1.0, n / np.maximum(n - 1.0, 1e-9), 1.0)
    return Estimates(weight, n, mean, np.where(rates, smooth * (1.0 - smooth), spread))


def limits(found: Estimates, z: float | Floats) -> tuple[Floats, Floats]:
    """Lower and upper limit of each mean, z standard errors either way; NaN where there is no row.

    >>> from agent.fairness.outcomes import Measure
    >>> sums = np.zeros((1, len(Measure), 4))
    >>> sums[0, Measure.SELECTION_RATE] = 70, 70, 56, 56
    >>> [float(limit[0, 0].round(4)) for limit in limits(estimate(sums), 1.96)]
    [0.6918, 0.877]
    """
    n = np.where(found.n > 0, found.n, np.nan)
    shrink = 1.0 + z * z / n
    centre = (found.mean + z * z / (2.0 * n)) / shrink
    half = z * np.sqrt(np.maximum(found.mean * (1.0 - found.mean), 0.0) / n + z * z / (4.0 * n * n)) / shrink
    plain = z * np.sqrt(found.variance / n)
    # Rounding must not leave the mean outside.
    low = np.where(RATES, np.maximum(np.minimum(centre - half, found.mean), 0.0), found.mean - plain)
    high = np.where(RATES, np.minimum(np.maximum(centre + half, found.mean), 1.0), found.mean + plain)
    return low, high


def difference_limits(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Limits of one - other. Each: (3, ...): estimate, lower, upper.

    Newcombe's own example, 56 of 70 and 48 of 80 (1998, table II a):

    >>> from agent.fairness.outcomes import Measure
    >>> sums = np.zeros((2, len(Measure), 4))
    >>> sums[:, Measure.SELECTION_RATE] = (70, 70, 56, 56), (80, 80, 48, 48)
    >>> both = estimate(sums)
    >>> told = np.array((both.mean, *limits(both, 1.959964)))[:, :, 0]
    >>> [float(limit.round(4)) for limit in difference_limits(told[:, 0], told[:, 1])]
    [0.0524, 0.3339]
    """
    apart = one[0] - other[0]
    low = apart - np.hypot(one[0] - one[1], other[2] - other[0])
    high = apart + np.hypot(one[2] - one[0], other[0] - other[1])
    return low, high


def ratio_limits(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Limits of one / other, for what is never negative; infinite where the other may be nothing.

    Of 56 of 70 and 48 of 80, beside Katz's logarithmic limits, 1.077 and 1.651:

    >>> one, other = np.array((0.8, 0.6918, 0.877)), np.array((0.6, 0.4905, 0.7004))
    >>> [float(limit.round(3)) for limit in ratio_limits(one, other)]
    [1.078, 1.663]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        product = one[0] * other[0]
        below, above = other[1] * (2.0 * other[0] - other[1]), other[2] * (2.0 * other[0] - other[2])
        root_low = np.sqrt(np.maximum(np.square(product) - one[1] * above * (2.0 * one[0] - one[1]), 0.0))
        root_high = np.sqrt(np.maximum(np.square(product) - one[2] * below * (2.0 * one[0] - one[2]), 0.0))
        low = np.where(above <= 0, 0.0, (product - root_low) / above)
        high = np.where(below <= 0, np.inf, (product + root_high) / below)
    return np.maximum(low, 0.0), high
