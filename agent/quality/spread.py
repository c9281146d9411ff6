"""How much a fault's rate varies from block to block of the reference, beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.records import Floats, Ints
from agent.statistics.tails import beta_tail, gamma_tail, normal_deviate, student_tail

_WHOLE_MAX = 1e5  # beyond, a Beta is a normal
_SKEWNESS_MIN = 0.01
_FAR = 37.0  # deviates: no double is smaller than that tail


@dataclass(frozen=True, slots=True)
class Spread:
    """blocks: those with rows; excess: float64 (features,), variance of blocks' rates over p(1-p); chance alone: 0.

    raw: the same before it is held at 0; chance alone is on both sides of it. apart: raw, of the difference between a
    block and all others, which wander too.
    """

    blocks: Ints
    excess: Floats
    raw: Floats
    apart: Floats

    @classmethod
    def of(cls, faulty: Ints, rows: Ints, rows_min: int = 1) -> Spread:
        """faulty, rows: int64 (blocks, features); rows_min: of a block, and of all others, for it to count.

        Each block against all others gives z²; its mean exceeds 1 by excess · B/(B-1) / (1/nᵦ + 1/N₋ᵦ), block by block
        (moments of the beta-binomial; Kleinman 1973, leaving one out). Below 0: 0. One block says nothing: 0.
        """
        all_faulty, all_rows = faulty.sum(axis=0), rows.sum(axis=0)
        rest = all_rows - rows
        usable = (rows >= rows_min) & (rest >= rows_min)
        blocks = np.asarray(usable.sum(axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = all_faulty / all_rows
            inverse = 1.0 / rows + 1.0 / rest
            difference = faulty / rows - (all_faulty - faulty) / rest
            squares = difference**2 / (rate * (1.0 - rate) * inverse)
        known = usable & np.isfinite(squares)
        above = np.where(known, squares - 1.0, 0.0).sum(axis=0)
        weight = np.where(known, 1.0 / np.where(usable, inverse, 1.0), 0.0).sum(axis=0)
        apart = above / np.where(weight > 0, weight, 1.0)
        raw = apart * (1.0 - 1.0 / np.maximum(blocks, 1))
        return cls(blocks, np.maximum(raw, 0.0), raw, apart)


def rate_tail(faulty: int, n: int, faulty_reference: int, n_reference: int, phi: float, freedom: float) -> float:
    """One-sided p of two rates, their variance φ times that of independent rows, φ known with so much freedom.

    Rates that wander are skewed, small ones much. So z, with the pooled rate's variance, is made normal as a variable
    of its third moment is (Pearson's type III), or as a Beta of its variance is, whose tail ends at 1; the one farther
    out goes against Student t. Both rates 0 or 1: 1.
    """
    pooled = (faulty + faulty_reference) / (n + n_reference)
    chance = pooled * (1.0 - pooled) / n
    variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / n_reference) * phi
    if variance <= 0.0:
        return 1.0
    share = (faulty - 0.5) / n  # counts are whole: Yates (1934)
    z = (share - faulty_reference / n_reference) / variance**0.5
    # Of a window's rate, chance and wander together: a negative binomial's third moment, p/n² (1 + c)(1 + 2c).
    wander = max(variance - chance, 0.0) / chance
    third = chance / n * (1.0 + wander) * (1.0 + 2.0 * wander) * (1.0 - 2.0 * min(pooled, 0.5))
    bounded = _of_beta(share, faulty_reference / n_reference, variance) if wander > 1.0 and z > 2.0 else 0.0
    return student_tail(max(_normal(z, third / variance**1.5), min(bounded, z)), freedom)


def _of_beta(share: float, mean: float, variance: float) -> float:
    """A normal deviate as far out as the share is in the Beta of this mean and variance; 0 if there is none."""
    whole = mean * (1.0 - mean) / variance - 1.0
    if not 0.0 < whole < _WHOLE_MAX:
        return 0.0
    tail = beta_tail(share, mean * whole, (1.0 - mean) * whole)
    return normal_deviate(tail) if 0.0 < tail < 1.0 else _FAR


def _normal(z: float, skewness: float) -> float:
    """A normal deviate as far out as z is in a distribution of this skewness ≥ 0 (Pearson's type III, a gamma)."""
    if skewness < _SKEWNESS_MIN or z <= 0.0:
        return z
    shape = 4.0 / skewness**2
    return normal_deviate(gamma_tail(shape + z * shape**0.5, shape))
