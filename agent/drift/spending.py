"""What a horizon cannot spend of its alpha, the others of its feature may.

The ledger divides a feature's alpha over all horizons alike. One that is not tested (the reference is too short, the
windows are not there yet) spends nothing. Nor does one whose effect's floor lies beyond what chance brings: over eight
windows of 1,000 rows noise never looks like a PSI of 0.01. And long horizons alarm in runs, of which people see one.
All of it follows from rows, the reference and alpha alone, never from what is judged (docs/decisions/0092).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from agent.drift.effect import FLOOR
from agent.records import Floats
from agent.statistics.array_tails import beta_share, f_as_beta

if TYPE_CHECKING:
    from agent.drift.dispersion import Spread
    from agent.drift.pooling import Pooled

ALPHA_MAX = 0.01
# Runs of alarms for one alarm, of horizons that overlap with themselves: simulated, 5e7 windows at an alpha of 3e-5.
_HORIZONS, _RUNS = np.log([1.0, 2.0, 4.0, 8.0, 16.0, 24.0]), np.array([1.0, 1.0, 0.9, 0.7, 0.5, 0.4])
_HARDLY = 1e-3  # of a test's alpha: less need not be known


class Spending:
    """alpha: (features,) the ledger's, of one horizon; weights: (6, features), of the statistics combined."""

    def __init__(self, alpha: Floats, weights: Floats) -> None:
        self.alpha = alpha
        self._weights = weights / weights.sum(axis=0)
        own = np.clip(alpha * self._weights, 1e-300, 1.0)
        normal = {float(value): -NormalDist().inv_cdf(value / 2.0) for value in np.unique(own[:3]).tolist()}
        self._normal = np.array([[normal[value] for value in row] for row in own[:3].tolist()])

    def share(self, horizon: int, pooled: Pooled, spread: Spread, n: Floats, n_reference: Floats) -> Floats:
        """(features,) in [0, 1]: what part of its alpha a tested horizon can spend at most, as runs of alarms.

        A score that is beyond its limit u has z² = φ(u² + 2E), E exponential of mean 1 at most, and the noise of PSI is
        the sum of all z² and the residual, whose tail is an F's of the same mean and variance (Satterthwaite 1946).
        """
        run = float(np.interp(np.log(horizon), _HORIZONS, _RUNS))
        has = ~np.isnan(pooled.scores.skewness)
        rows = 1.0 / (1.0 / np.maximum(n, 1.0) + 1.0 / np.maximum(n_reference, 1.0))
        phi, df = np.where(has, spread.phi[:3], 0.0), pooled.df * spread.phi[3]
        whole, square = phi.sum(axis=0) + df, np.square(phi).sum(axis=0) + df * spread.phi[3]
        needed = whole + FLOOR * rows
        limit = _wallace(self._normal, spread.df[:3]) * phi
        others = np.vstack((whole - phi + 2.0 * phi, whole)), np.vstack((square - phi**2 + 2.0 * phi**2, square))
        beyond = _tail(np.vstack((needed - limit, needed)), *others, np.maximum(spread.df[0], 1.0))
        any_of_it = beyond[3] / np.maximum(self.alpha * self._weights, 1e-300)
        parts = np.minimum(any_of_it, 1.0)
        parts[:3] = np.minimum(parts[:3], beyond[:3])
        found: Floats = run * np.maximum((self._weights * parts).sum(axis=0), _HARDLY)
        return found


def granted(alpha: Floats, shares: Sequence[Floats]) -> Floats:
    """(features,): of each tested horizon. shares: of every horizon the ledger counts, 0 where it is not tested.

    >>> granted(np.array([1e-6]), [np.array([1.0]), np.array([0.5]), np.array([0.0])]).tolist()
    [2e-06]
    """
    spent = np.maximum(np.sum(shares, axis=0), 1.0)
    found: Floats = np.maximum(np.minimum(alpha * len(shares) / spent, ALPHA_MAX), alpha)
    return found


def _wallace(normal: Floats, df: Floats) -> Floats:
    """t² of the same two-sided p as a normal deviate's (Wallace 1959). Of p = 1e-6 and 30 degrees t is 6.119:

    >>> float(np.sqrt(_wallace(np.array([4.8916]), np.array([30.0])))[0].round(2))
    6.12
    """
    mended = np.square(normal * (8.0 * df + 3.0) / (8.0 * df + 1.0)) / df
    return np.asarray(df * np.expm1(np.minimum(mended, 50.0)), dtype=np.float64)


def _tail(needed: Floats, mean: Floats, square: Floats, df: Floats) -> Floats:
    """P(sum ≥ needed) of a sum of squares with this mean and half variance, φ known with df; 1 where there is none."""
    found = np.ones(mean.shape)
    some = (needed > mean) & (mean > 0)
    fills = np.square(mean[some]) / np.maximum(square[some], 1e-12)
    known = np.broadcast_to(df, mean.shape)[some]
    found[some] = beta_share(*f_as_beta(needed[some] / mean[some], fills, known))
    return found
