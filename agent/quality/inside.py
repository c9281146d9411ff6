"""Did the values that are not at fault change too? It tells a broken feed from a world that moved."""

from __future__ import annotations

import numpy as np

from agent.records import Ints


def inside_change(now: Ints, then: Ints) -> float:
    """Total variation distance (0-1) between two histograms, less what independent rows would show by chance; ≥ 0.

    The chance part of bin i is the mean of |difference| of two shares: √(2/π · p(1-p)(1/n + 1/N)). Empty: 0.

    >>> inside_change(np.array([10, 10]), np.array([1000, 1000]))
    0.0
    >>> round(inside_change(np.array([1000, 0]), np.array([1000, 1000])), 2)
    0.49
    """
    n, n_reference = int(now.sum()), int(then.sum())
    if not n or not n_reference:
        return 0.0
    pooled = (now + then) / (n + n_reference)
    noise = np.sqrt(2.0 / np.pi * pooled * (1.0 - pooled) * (1.0 / n + 1.0 / n_reference))
    return max(0.0, 0.5 * float((np.abs(now / n - then / n_reference) - noise).sum()))
