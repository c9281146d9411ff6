"""What tests of a fault's rate cannot spend of their alpha, those of features that have such faults may.

The ledger divides a check's alpha over all its features and horizons. Where the reference has no such fault at all, an
alarm needs all faults there are among the newest rows, and by the floor at least one row in 200: with 1,000 rows beside
50,000 that is 3e-9, a hundredth of what the ledger allows. A horizon that the reference does not carry spends nothing.
Rows, the reference and alpha decide it, never what is judged (docs/decisions/0092).
"""

from __future__ import annotations

import numpy as np

from agent.quality.measure import FLOOR
from agent.quality.tables import Table
from agent.records import Bools, Floats

ALPHA_MAX = 0.01


def granted(table: Table, alpha: Floats, n: Floats, tested: Bools) -> Floats:
    """(m,): the significance that one test of each feature may use, never less than the ledger's `alpha`, (m,).

    n, tested: (horizons, m), rows, and whether such a test is made; all horizons that the ledger counts.
    """
    own, has = np.broadcast_to(alpha, n.shape), table.then > 0
    spent = np.where(tested, np.where(has, own, _never_seen(table, own, n)), 0.0)
    asked = float(spent[:, has].sum())
    if asked <= 0.0:
        return alpha
    grown = (float(own.sum()) - float(spent[:, ~has].sum())) / asked
    return np.where(has, np.maximum(np.minimum(alpha * grown, ALPHA_MAX), alpha), alpha)


def _never_seen(table: Table, alpha: Floats, n: Floats) -> Floats:
    """(horizons, m): how often chance brings an alarm where the reference has no such fault and is credited with none.

    That all of k faults fall among n of n + N exchangeable rows: at most (n / (n + N))^k.
    """
    share = n / np.maximum(n + table.rows, 1.0)
    at = np.log(np.clip(share, 1e-300, 1.0 - 1e-12))
    needed = np.ceil(np.maximum(FLOOR * n, np.log(np.maximum(alpha, 1e-300)) / at))
    return np.where(table.faulty > 0, alpha, np.minimum(np.exp(needed * at), alpha))
