"""How unlikely two sets of counts are as two samples of one distribution: Cressie and Read's power divergence.

λ = 2/3 keeps the best far tail: Pearson's statistic is 2 to 19 times too heavy there with skewed categories.
"""

from __future__ import annotations

import numpy as np

from agent.records import Floats, Ints


def power_divergence(
    current: Floats, reference: Floats, n: Floats, n_reference: Floats, first: Ints, owner: Ints
) -> Floats:
    """The two-sample statistic on 2 x B tables, many at once (Cressie and Read 1984, eq. 1.1, λ = 2/3).

    current, reference: (…, pooled) counts; n, n_reference: (…, tables) their sums; first: where each table begins;
    owner: (pooled,) the table of each cell. Under one distribution χ² with B - 1 degrees of freedom, from an expected
    count of about 5 a cell. A table with an empty side gives 0.

    >>> c, r = np.array([10.0, 20.0, 30.0]), np.array([30.0, 20.0, 10.0])
    >>> n = np.array([60.0])
    >>> power_divergence(c, r, n, n, np.array([0]), np.zeros(3, dtype=int)).round(4).tolist()
    [20.1986]
    """
    whole = n + n_reference
    both = current + reference
    safe = np.where(both > 0, both, 1.0)
    up = (whole / np.maximum(n, 1.0))[..., owner]
    up_reference = (whole / np.maximum(n_reference, 1.0))[..., owner]
    weighted = current * np.square(np.cbrt(current / safe * up))
    weighted += reference * np.square(np.cbrt(reference / safe * up_reference))
    found = 1.8 * (np.add.reduceat(weighted, first, axis=-1) - whole)
    return np.asarray(np.where((n > 0) & (n_reference > 0), np.maximum(found, 0.0), 0.0), dtype=np.float64)
