"""Which feature no longer goes with the others: told from how much each watched direction of whole rows changed.

Counts along a few directions cannot name a broken pair by themselves. But what each direction would do, if one feature
had nothing more to do with the others, follows from the reference alone: its variance w'Rw loses 2 w_b'R w_rest. The
features whose loss would look like what is seen are named, and nothing is, where none fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from agent.bins.projections import RowProjection
from agent.records import Floats
from agent.reference.edges import QUANTILES

MISFIT_MAX = 0.25  # of what is seen; features that were swapped fit any single one's loss by 0.35 or worse
ALIKE = 0.03  # a pair fits alike from both sides
NAMED_MAX = 2  # more that fit alike are none
_PARTS = np.linspace(0.1, 1.0, 10)  # of the relation, that may be gone
_VARIANCES = np.geomspace(0.02, 50.0, 128)  # beyond, bins show no more


class Relations:
    """What the loss of each feature's relation to all others would do. Prepared in about 20 ms for 200 inputs."""

    def __init__(self, projection: RowProjection) -> None:
        self.names = tuple(dict.fromkeys(projection.names))
        whiten = projection.whiten.astype(np.float64)
        correlation = np.linalg.pinv(whiten @ whiten.T)
        watched = whiten[:, list(projection.shown)]
        along = correlation @ watched
        lost = np.empty((len(self.names), watched.shape[1]))
        for k, name in enumerate(self.names):
            own = np.array([n == name for n in projection.names])
            among = (watched[own] * (correlation[np.ix_(own, own)] @ watched[own])).sum(axis=0)
            lost[k] = -2.0 * ((watched[own] * along[own]).sum(axis=0) - among)
        # (parts, names, directions): roots of the PSI that each would show.
        self._expected = _root_psi(1.0 + _PARTS[:, None, None] * lost)

    def lost(self, effects: Sequence[float]) -> tuple[str, ...]:
        """The features whose loss explains the corrected PSI of every watched direction; mostly one or two, or none."""
        seen = np.sqrt(np.maximum(np.nan_to_num(np.array(effects)), 0.0))
        size = float(np.linalg.norm(seen))
        if not size > 0.0:
            return ()
        misfit = (np.linalg.norm(self._expected - seen, axis=2) / size).min(axis=0)
        best = float(misfit.min())
        found = np.flatnonzero(misfit <= best + ALIKE)
        return tuple(self.names[k] for k in found) if best <= MISFIT_MAX and found.size <= NAMED_MAX else ()


def _root_psi(variance: Floats) -> Floats:
    """√PSI, in a number's bins, of a normal with this variance against one with variance 1."""
    normal = NormalDist()
    edges = [normal.inv_cdf(q) for q in QUANTILES]
    upto = np.array([[0.0, *(normal.cdf(edge / v**0.5) for edge in edges), 1.0] for v in _VARIANCES.tolist()])
    shares = np.maximum(np.diff(upto, axis=1), 1e-12)
    before = np.diff([0.0, *QUANTILES, 1.0])
    psi = ((shares - before) * np.log(shares / before)).sum(axis=1)
    found: Floats = np.interp(np.log(np.maximum(variance, _VARIANCES[0])), np.log(_VARIANCES), np.sqrt(psi))
    return found
