"""How heavy the tails of a window's deviates are, beyond those of a normal."""

from __future__ import annotations

import numpy as np

from agent.records import Bools, Floats

_BLOCKS_MIN = 20
_SURE = 2.5  # squared standard errors taken off: what is not clearly there costs more than it mends


def curve(z: Floats, enough: Bools, there: Bools, effective: Floats) -> Floats:
    """(features,): how the mean scale score follows the square of the mean location score, from the reference's groups.

    A window whose mean moves by u has its scale score moved by u², which has the tail of χ²₁: judged by itself it would
    need a distribution so heavy that no widening were ever seen. Least squares, then drawn to 0 by its own error (James
    and Stein 1961). z: (groups, 3, features); effective: (groups, features), rows behind z.
    """
    count = np.maximum(enough.sum(axis=0), 1.0)
    x = np.where(enough, np.square(z[:, 0]) / np.sqrt(np.maximum(effective, 1.0)), 0.0)
    x = np.where(enough, x - x.sum(axis=0) / count, 0.0)
    y = np.where(enough, z[:, 1], 0.0)
    y = np.where(enough, y - y.sum(axis=0) / count, 0.0)
    square = np.maximum((x * x).sum(axis=0), 1e-12)
    slope = (x * y).sum(axis=0) / square
    left = np.where(enough, np.square(y - slope * x), 0.0).sum(axis=0) / np.maximum(count - 2.0, 1.0)
    sure = 1.0 - _SURE * left / np.maximum(slope * slope * square, 1e-12)
    usable = there & (enough.sum(axis=0) >= _BLOCKS_MIN)
    return np.asarray(np.where(usable, slope * np.clip(sure, 0.0, 1.0), 0.0), dtype=np.float64)


def straightened(z: Floats, slope: Floats, phi: Floats, effective: Floats) -> Floats:
    """z (..., 3, features) with the scale freed from the location's square; phi: the location's."""
    bent = slope / np.sqrt(np.maximum(effective, 1.0)) * (np.square(z[..., 0, :]) - phi)
    found = z.copy()
    found[..., 1, :] -= bent
    return found


def excess_kurtosis(z: Floats, phi: Floats, count: Floats, independent: Floats) -> Floats:
    """(3, features): of a window's z, at least 0: its own where that is certain, else the features' common one.

    independent: (3, features), the part of the windows that is worth an independent one.
    """
    groups = np.maximum(count * independent, 1.0)
    kurtosis = (z**4).sum(axis=0) / np.maximum(count * phi**2, 1e-12) - 3.0
    error = np.sqrt(24.0 / groups)
    there = (phi > 0) & (count >= 8)
    m = np.maximum(there.sum(axis=1, keepdims=True), 1)
    common = np.where(there, kurtosis, 0.0).sum(axis=1, keepdims=True) / m
    common -= np.where(there, error, 0.0).sum(axis=1, keepdims=True) / m / np.sqrt(m)
    return np.where(there, np.maximum(np.maximum(kurtosis - 2.0 * error, common), 0.0), 0.0)
