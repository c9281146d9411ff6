"""Why deviates of windows have tails heavier than a normal's, and how heavy those are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.drift.moderation import DF_MAX
from agent.drift.raw import Deviates
from agent.records import Bools, Floats

_EXCESS_MIN = 0.2  # of φ - 1 over φ: below it a slope is of noise
_OF_A_SHIFT = np.array([[0.7], [0.0]])  # curves of scale and skew as a normal's shift has them: u² / √2
_THIRD_ORDER = 0.5  # what a cube of the location's mean may do to them, which no reference tells
_DOUBT = 0.5  # standard deviation of what is assumed of these, before any feature has spoken


@dataclass(frozen=True)
class Bend:
    """How the mean scale and skew scores follow the mean location score: slope and curve, (2, features) each.

    A window whose mean moves by u has its scale moved by u², which has the tail of χ²₁, and in a skewed feature by u as
    well. Judged by itself it would need a distribution so heavy that no widening were ever seen. slope_error,
    curve_error: variances of both.
    """

    slope: Floats
    curve: Floats
    slope_error: Floats
    curve_error: Floats

    @classmethod
    def of(cls, found: Deviates, there: Bools, numeric: Bools) -> Bend:
        """Least squares over the reference's groups; features lend each other what they have in common.

        there: (3, features), which directions a feature has.
        """
        enough = found.enough
        count = np.maximum(enough.sum(axis=0), 1.0)
        location = np.where(enough, found.z[:, 0], 0.0)
        phi = np.maximum(np.square(location).sum(axis=0) / count, 1e-12)
        x = _centred(location, enough, count)
        q = _centred(np.square(location) / np.sqrt(np.maximum(found.effective, 1.0)), enough, count)
        xx, qq, xq = (x * x).sum(axis=0) + 1e-9, (q * q).sum(axis=0) + 1e-9, (x * q).sum(axis=0)
        free = np.maximum(xx * qq - xq * xq, 1e-3 * xx * qq)
        # The location holds sampling noise, which follows nothing: what moves the others is the rest of it.
        moved = np.clip(1.0 - 1.0 / phi, _EXCESS_MIN, 1.0)
        y = np.array([_centred(found.z[:, k], enough, count) for k in (1, 2)])
        xy, qy = (x * y).sum(axis=1), (q * y).sum(axis=1)
        slope, curve = (qq * xy - xq * qy) / free, (xx * qy - xq * xy) / free
        left = np.square(y - slope[:, None] * x - curve[:, None] * q)
        left = np.where(enough, left, 0.0).sum(axis=1) / np.maximum(count - 3.0, 1.0)
        tells = there[0] & there[1:] & (count >= 8) & (1.0 - 1.0 / phi >= _EXCESS_MIN)
        slopes = _shared(slope / moved, left * qq / free / moved**2, tells, np.zeros((2, 1)), np.ones_like(numeric))
        expected = np.where(numeric, _OF_A_SHIFT, 0.0)
        curves = _shared(curve / moved**2, left * xx / free / moved**4, tells, expected, numeric)
        return cls(slopes[0], curves[0], slopes[1], curves[1])

    def straighten(self, z: Floats, phi: Floats, effective: Floats) -> tuple[Floats, Floats]:
        """z (..., 3, features) with scale and skew freed from the location, and the variance that this adds to them.

        phi: the location's, (features,); variance: (..., 2, features), what is not known of slope and curve.
        """
        location, moved = z[..., :1, :], np.clip(1.0 - 1.0 / phi, 0.0, 1.0)
        rows = np.maximum(effective, 1.0)[..., None, :]
        square = (np.square(location) - phi) * moved**2 / np.sqrt(rows)
        along = moved * location
        found = z.copy()
        found[..., 1:, :] -= self.slope * along + self.curve * square
        unknown = np.square(_THIRD_ORDER * along**3 / rows)
        return found, self.slope_error * np.square(along) + self.curve_error * np.square(square) + unknown

    def widened(self, apart: Floats, phi: Floats, effective: Floats) -> Floats:
        """(2, features): what windows whose means lie so far `apart` (a variance) add to z of scale and skew."""
        moved = np.clip(1.0 - 1.0 / phi, 0.0, 1.0)
        return self.curve * moved**2 * np.sqrt(np.maximum(effective, 1.0)) * apart


def beyond(z: Floats, phi: Floats) -> Floats:
    """(features,): how many times more the rest of a horizon may vary than φ says, since its location is so far out.

    What a shift does to the shape goes with its square at least, and φ knows the usual square only. z, phi: the
    location's; 1 where windows do not move by themselves.
    """
    moved = np.clip(1.0 - 1.0 / phi, 0.0, 1.0)
    return np.maximum(moved**2 * np.square(z) / phi, 1.0)


def _shared(own: Floats, error: Floats, tells: Bools, expected: Floats, alike: Bools) -> tuple[Floats, Floats]:
    """Estimates (2, features) and their error variances, drawn toward what features that are `alike` have in common.

    expected: what is assumed of the common value. Where a feature tells nothing it has the common value.
    """
    weight = np.where(tells & alike, 1.0 / np.maximum(error, 1e-12), 0.0)
    told = np.maximum((tells & alike).sum(axis=1, keepdims=True), 1)
    doubt = 1.0 / (weight.sum(axis=1, keepdims=True) / told + 1.0 / _DOUBT**2)
    # One feature's word and the assumption make the common value's scale; many features make it certain.
    total = weight.sum(axis=1, keepdims=True) + 1.0 / _DOUBT**2
    common = np.where(alike, ((weight * own).sum(axis=1, keepdims=True) + expected / _DOUBT**2) / total, expected)
    of_all = np.where(tells, 1.0 / np.maximum(error, 1e-12), 0.0)
    gap = (of_all * (np.square(own - common) - error)).sum(axis=1, keepdims=True)
    between = np.maximum(gap / np.maximum(of_all.sum(axis=1, keepdims=True), 1e-12), 0.0)
    between = between + doubt * np.sqrt(2.0 / told)
    trust = np.where(tells, between / (between + error), 0.0)
    return common + trust * (own - common), between * (1.0 - trust)


def _centred(values: Floats, enough: Bools, count: Floats) -> Floats:
    values = np.where(enough, values, 0.0)
    return np.where(enough, values - values.sum(axis=0) / count, 0.0)


def t_degrees(df: Floats, tail: Floats) -> Floats:
    """Degrees of freedom of the t for windows with the excess kurtosis `tail`, their φ known with `df`.

    By itself a kurtosis κ is that of a t with 4 + 6/κ; the two add up as variances do.

    >>> t_degrees(np.array([30.0, 30.0]), np.array([0.0, 1.0])).round(2).tolist()
    [30.0, 7.5]
    """
    return np.asarray(1.0 / (1.0 / np.clip(df, 1.0, DF_MAX) + tail / (4.0 * tail + 6.0)), dtype=np.float64)


def kurtosis_of(z: Floats, phi: Floats, count: Floats) -> Floats:
    """Excess kurtosis of `count` windows' z about 0, along the first axis; phi: their mean square."""
    return np.asarray((z**4).sum(axis=0) / np.maximum(count * phi**2, 1e-12) - 3.0, dtype=np.float64)


def excess_kurtosis(z: Floats, phi: Floats, count: Floats, independent: Floats) -> Floats:
    """(3, features): of a window's z, at least 0: each feature's own, drawn toward the common one as far as they agree.

    One standard error is taken off, since every tenth of it costs power. independent: (3, features), the part of the
    windows that is worth an independent one.
    """
    groups = np.maximum(count * independent, 1.0)
    kurtosis = kurtosis_of(z, phi, count)
    error = 24.0 / groups
    there = (phi > 0) & (count >= 8)
    m = np.maximum(there.sum(axis=1, keepdims=True), 1)
    weight = np.where(there, 1.0 / error, 0.0)
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    common = (weight * kurtosis).sum(axis=1, keepdims=True) / total
    between = (weight * (np.square(kurtosis - common) - error)).sum(axis=1, keepdims=True) / total
    between = np.maximum(between, 0.0) + np.sqrt(2.0 / m) * m / total
    trust = between / (between + error)
    found = common + trust * (kurtosis - common) - np.sqrt(trust * error + 1.0 / total)
    return np.where(there, np.maximum(found, 0.0), 0.0)
