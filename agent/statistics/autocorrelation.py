"""Neighbouring windows resemble each other: what that hides from the reference's own spread, and how it is put back.

A window's effect is taken to be an AR(1) series over the reference's blocks. Its correlation is learned from all
features and directions together, since fifty blocks of one feature say little of it.
"""

from __future__ import annotations

import numpy as np

from agent.records import Floats

LAG_MAX = 0.97
_NOTICEABLE = 2.0  # standard errors that a feature's spread stands above independent rows', before it may speak


def correlation(z: Floats, count: Floats) -> Floats:
    """(3, features): ρ of the window effect from one block to the next, in [0, LAG_MAX].

    z: (blocks, 3, features), deviates around the reference, 0 where there is none; count: (features,) those there are.
    Moments: the lag-1 autocovariance over the variance beyond sampling noise. Estimates are drawn toward the common one
    as far as they agree.
    """
    blocks = np.maximum(count, 2.0)
    spread = np.maximum(np.square(z).sum(axis=0) / blocks, 1e-12)
    excess, covariance = spread - 1.0, (z[1:] * z[:-1]).sum(axis=0) / np.maximum(blocks - 1.0, 1.0)
    speaks = (excess > _NOTICEABLE * np.sqrt(2.0 / blocks) * spread) & (count >= 8)
    if not speaks.any():
        return np.zeros(z.shape[1:])
    excess = np.where(speaks, excess, 1.0)
    own = np.where(speaks, _unbiased(covariance / excess, blocks), 0.0)
    error = np.where(speaks, np.square(spread / excess), 1.0) * np.maximum(1.0 - own**2, 0.05) / blocks
    weight = np.where(speaks, 1.0 / error, 0.0)
    pooled = np.where(speaks, covariance / spread, 0.0).sum() / np.where(speaks, excess / spread, 0.0).sum()
    common = float(_unbiased(np.array(pooled), np.array(np.median(blocks))))
    between = float((weight * (np.square(own - common) - error)).sum() / weight.sum())
    between = max(between, 0.0) + float(np.sqrt(2.0 / speaks.sum()) / np.mean(weight[speaks]))
    trust = np.where(speaks, between / (between + error), 0.0)
    return np.asarray(np.clip(common + trust * (own - common), 0.0, LAG_MAX), dtype=np.float64)


def _unbiased(ratio: Floats, blocks: Floats) -> Floats:
    """Marriott and Pope's (1954) bias of a correlogram around its own mean, ρ - (1 + 4ρ) / blocks, taken off.

    >>> _unbiased(np.array([0.808, -0.02]), np.array([50.0, 50.0])).round(3).tolist()
    [0.9, 0.0]
    """
    return np.asarray(np.clip((ratio * blocks + 1.0) / np.maximum(blocks - 4.0, 1.0), 0.0, LAG_MAX), dtype=np.float64)


def mean_variance(rho: Floats, size: Floats | float) -> Floats:
    """Variance of the mean of `size` neighbours of an AR(1) series with variance 1.

    >>> mean_variance(np.array([0.0, 0.5]), 2.0).tolist()
    [0.5, 0.75]
    """
    size = np.maximum(size, 1.0)
    lost = 2.0 * rho * (1.0 - rho**size) / np.square(1.0 - rho) / size
    return np.asarray(((1.0 + rho) / (1.0 - rho) - lost) / size, dtype=np.float64)


def growth(rho: Floats, size: Floats | float, blocks: float) -> Floats:
    """φ - 1 of windows `size` blocks long, far away from a reference of `blocks`, over that of independent blocks."""
    return (mean_variance(rho, size) + mean_variance(rho, blocks)) / (1.0 / size + 1.0 / max(blocks, 1.0))


def hidden(rho: Floats, size: float, blocks: float) -> Floats:
    """How many times larger φ - 1 is for live windows than for groups beside the rest around them; at least 1.

    A group shares slow movements with its neighbours, and all groups with the reference's mean; live windows do not.
    """
    near = mean_variance(rho, size) - mean_variance(rho, blocks)
    far = mean_variance(rho, size) + mean_variance(rho, blocks)
    found = far / np.maximum(near, 1e-9) * (blocks - size) / (blocks + size)
    return np.asarray(np.clip(found, 1.0, 50.0), dtype=np.float64)


def independent_groups(rho: Floats, size: float, excess: Floats) -> Floats:
    """What part of so many groups is worth that of independent ones, for their mean square; excess: (φ - 1) / φ."""
    faded = rho**size
    neighbour = np.square((1.0 - faded) / (1.0 - rho) / size) * rho / mean_variance(rho, size)
    squared = np.square(excess * neighbour)
    return np.asarray(1.0 / (1.0 + 2.0 * squared / (1.0 - faded**2)), dtype=np.float64)
