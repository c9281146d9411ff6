"""Why deviates of windows have tails heavier than a normal's, and how heavy those are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.records import Bools, Floats

_BLOCKS_MIN = 20
_SURE = 2.5  # error variances taken off a slope: what is not clearly there costs more than it mends
_EXCESS_MIN = 0.2  # of φ - 1 over φ: below it a slope is of noise


@dataclass(frozen=True)
class Bend:
    """How the mean scale and skew scores follow the mean location score: slope and curve, (2, features) each.

    A window whose mean moves by u has its scale moved by u², which has the tail of χ²₁, and in a skewed feature by u as
    well. Judged by itself it would need a distribution so heavy that no widening were ever seen.
    """

    slope: Floats
    curve: Floats

    @classmethod
    def of(cls, z: Floats, enough: Bools, there: Bools, effective: Floats) -> Bend:
        """Least squares over the reference's groups, drawn to 0 by its error (James and Stein 1961).

        z: (groups, 3, features); enough, effective: (groups, features), whether, and how many rows are behind z; there:
        (3, features), which directions a feature has.
        """
        count = np.maximum(enough.sum(axis=0), 1.0)
        location = np.where(enough, z[:, 0], 0.0)
        phi = np.maximum(np.square(location).sum(axis=0) / count, 1e-12)
        x = _centred(location, enough, count)
        q = _centred(np.square(location) / np.sqrt(np.maximum(effective, 1.0)), enough, count)
        xx, qq, xq = (x * x).sum(axis=0) + 1e-9, (q * q).sum(axis=0) + 1e-9, (x * q).sum(axis=0)
        free = np.maximum(xx * qq - xq * xq, 1e-3 * xx * qq)
        # The location holds sampling noise, which follows nothing: what moves the others is the rest of it.
        moved = np.clip(1.0 - 1.0 / phi, _EXCESS_MIN, 1.0)
        slopes: list[Floats] = []
        curves: list[Floats] = []
        for k in (1, 2):
            y = _centred(z[:, k], enough, count)
            xy, qy = (x * y).sum(axis=0), (q * y).sum(axis=0)
            slope, curve = (qq * xy - xq * qy) / free, (xx * qy - xq * xy) / free
            square = np.square(np.where(enough, y - slope * x - curve * q, 0.0)).sum(axis=0)
            left = square / np.maximum(count - 3.0, 1.0)
            usable = there[0] & there[k] & (count >= _BLOCKS_MIN) & (1.0 - 1.0 / phi >= _EXCESS_MIN)
            for found, own, power, into in ((slope, qq, 1, slopes), (curve, xx, 2, curves)):
                sure = 1.0 - _SURE * left * own / free / np.maximum(found * found, 1e-12)
                into.append(np.where(usable, found * np.clip(sure, 0.0, 1.0) / moved**power, 0.0))
        return cls(np.array(slopes), np.array(curves))

    def straighten(self, z: Floats, phi: Floats, effective: Floats) -> Floats:
        """z (..., 3, features) with scale and skew freed from the location; phi: the location's, (features,)."""
        location, moved = z[..., :1, :], np.clip(1.0 - 1.0 / phi, 0.0, 1.0)
        rows = np.sqrt(np.maximum(effective, 1.0))[..., None, :]
        found = z.copy()
        found[..., 1:, :] -= self.slope * moved * location
        found[..., 1:, :] -= self.curve * moved**2 / rows * (np.square(location) - phi)
        return found


def _centred(values: Floats, enough: Bools, count: Floats) -> Floats:
    values = np.where(enough, values, 0.0)
    return np.where(enough, values - values.sum(axis=0) / count, 0.0)


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
