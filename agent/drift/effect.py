"""How large a drift is: PSI less what noise alone would give.

A population PSI of d² is a shift of the mean by d standard deviations.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from agent.records import Floats, Ints

FLOOR = 0.01  # a mean shift of 0.1 σ; below it nothing alarms, however certain


class Severity(StrEnum):
    """Limits 0.02, 0.1 and 0.25 of the corrected PSI: the last two are the credit industry's, for PSI."""

    SLIGHT = "slight"
    SMALL = "small"
    CLEAR = "clear"
    LARGE = "large"


def severity(effect: float) -> Severity:
    """The word for a corrected PSI. NaN is slight.

    >>> [str(severity(e)) for e in (0.012, 0.02, 0.1, 0.3)]
    ['slight', 'small', 'clear', 'large']
    """
    if effect >= 0.25:
        return Severity.LARGE
    if effect >= 0.1:
        return Severity.CLEAR
    return Severity.SMALL if effect >= 0.02 else Severity.SLIGHT


def psi_terms(current: Floats, reference: Floats, n: Floats, n_reference: Floats, bins: Ints, owner: Ints) -> Floats:
    """Each cell's part of the PSI, (p - q) ln(p / q), with half a count added so that an empty cell is finite."""
    p = (current + 0.5) / (n + 0.5 * bins)[..., owner]
    q = (reference + 0.5) / (n_reference + 0.5 * bins)[..., owner]
    found: Floats = (p - q) * np.log(p / q)
    return found


def corrected_psi(psi: Floats, n: Floats, n_reference: Floats, bins: Ints, phi: Floats) -> Floats:
    """PSI - φ (B - 1) (1/n + 1/N): its expectation without drift is near 0. May be negative; NaN where a side is empty.

    Without φ the floor is inert on real data: at φ = 47 a stationary PSI is near 1.

    >>> one = np.array([1000.0])
    >>> corrected_psi(np.array([0.05]), one, one * 50, np.array([20]), np.array([1.0])).round(4).tolist()
    [0.0306]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = phi * (bins - 1) * (1.0 / n + 1.0 / n_reference)
        found: Floats = np.where(np.isfinite(noise), psi - noise, np.nan)
    return found
