"""How much a fault's rate varies from block to block of the reference, beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.records import Floats, Ints
from agent.tails import student_tail


@dataclass(frozen=True, slots=True)
class Spread:
    """blocks: those with rows; excess: float64 (features,), variance of blocks' rates over p(1-p); chance alone: 0."""

    blocks: Ints
    excess: Floats

    @classmethod
    def of(cls, faulty: Ints, rows: Ints) -> Spread:
        """faulty, rows: int64 (blocks, features).

        Each block against all others gives z²; its mean exceeds 1 by excess · B/(B-1) / (1/nᵦ + 1/N₋ᵦ), block by block
        (moments of the beta-binomial; Kleinman 1973, leaving one out). Below 0: 0. One block says nothing: 0.
        """
        all_faulty, all_rows = faulty.sum(axis=0), rows.sum(axis=0)
        rest = all_rows - rows
        usable = (rows > 0) & (rest > 0)
        blocks = np.asarray(usable.sum(axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = all_faulty / all_rows
            inverse = 1.0 / rows + 1.0 / rest
            difference = faulty / rows - (all_faulty - faulty) / rest
            squares = difference**2 / (rate * (1.0 - rate) * inverse)
            lift = (blocks / (blocks - 1.0)) / inverse
        known = usable & np.isfinite(squares) & np.isfinite(lift)
        above = np.where(known, squares - 1.0, 0.0).sum(axis=0)
        weight = np.where(known, lift, 0.0).sum(axis=0)
        return cls(blocks, np.maximum(above, 0.0) / np.where(weight > 0, weight, 1.0))

    def phi(self, feature: int, n: int, n_reference: int) -> float:
        """φ ≥ 1 of the difference between a window of n rows and the whole reference."""
        blocks = max(1, int(self.blocks[feature]))
        return 1.0 + float(self.excess[feature]) * (1.0 + 1.0 / blocks) / (1.0 / n + 1.0 / n_reference)


def rate_tail(faulty: int, n: int, faulty_reference: int, n_reference: int, phi: float, blocks: int) -> float:
    """One-sided p of two rates, their variance φ times that of independent rows, φ known from so many blocks.

    z/√φ, z with the pooled rate's variance, against Student t with `blocks` degrees of freedom. Both rates 0 or 1: 1.
    """
    pooled = (faulty + faulty_reference) / (n + n_reference)
    variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / n_reference) * phi
    if variance <= 0.0:
        return 1.0
    return student_tail((faulty / n - faulty_reference / n_reference) / variance**0.5, blocks)
