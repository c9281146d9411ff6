"""Is a disparity beyond its user's limit? Only where chance and the windows' own wandering cannot explain it.

A difference is beyond δ if some pair of groups is: p₁ - p₂ > δ; a ratio below r if some pair has p₁ < r p₂. Either is a
contrast of two means, tested by Student's t with the exact binomial beside, over all ordered pairs (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from agent.config.disparity_limits import DisparityLimit
from agent.fairness.disparity import BY_NAME, ROWS_MIN
from agent.fairness.gaps import EXACT_UNDER
from agent.fairness.groups import MISSING
from agent.fairness.intervals import Estimates, estimate
from agent.fairness.level import Level
from agent.fairness.outcomes import RATES
from agent.fairness.tails import of_two_counts, student
from agent.records import Bools, Floats


@dataclass(frozen=True, slots=True)
class Beyond:
    """One limit over one horizon. value: the disparity; p: over all pairs and measures, NaN where nothing could be
    tested; over, under: places of the pair that counts; measure: which of the metric's; n: rows of both."""

    limit: DisparityLimit
    horizon: int
    value: float
    p: float
    over: int = 0
    under: int = 0
    measure: int = 0
    n: int = 0
    phi: float = 1.0

    @property
    def passed(self) -> bool:
        return self.value < self.limit.limit if self.limit.ratio else self.value > self.limit.limit


def beyond(limit: DisparityLimit, pooled: Floats, horizons: Floats, own: Level) -> Iterator[list[Beyond]]:
    """For each horizon; after steps that give nothing. pooled: (horizons, groups, MEASURES, SUMS); own: how much the
    windows wander."""
    measures = [int(m) for m in BY_NAME[limit.metric].measures]
    found, wander = estimate(pooled), own.wander(horizons)
    taken = found.n >= ROWS_MIN
    taken[:, MISSING] = False
    count = taken.sum(axis=1)[:, measures]
    taken = taken[:, :, measures] & (count >= 2).all(axis=1)[:, None, None]
    pairs = (count * (count - 1)).sum(axis=1)
    tail, phi = yield from _tails(limit, found, (horizons, np.sqrt(wander[:, :, measures])), own, taken, measures)
    value = _values(limit, np.where(taken, found.mean[:, :, measures], np.nan))
    told = []
    for h, horizon in enumerate(horizons.astype(np.int64).tolist()):
        if not taken[h].any():
            told.append(Beyond(limit, horizon, float("nan"), float("nan")))
            continue
        one, other, m = (int(k) for k in np.unravel_index(int(np.nanargmin(tail[h])), tail[h].shape))
        n = found.n[h, one, measures[m]] + found.n[h, other, measures[m]]
        p = min(float(tail[h, one, other, m]) * int(pairs[h]), 1.0)
        at = float(phi[h, one, other, m])
        told.append(Beyond(limit, horizon, float(value[h]), p, one, other, measures[m], int(n), at))
    yield told


def _tails(
    limit: DisparityLimit, found: Estimates, runs: tuple[Floats, Floats], own: Level, taken: Bools, measures: list[int]
) -> Generator[list[Beyond], None, tuple[Floats, Floats]]:
    """(horizons, groups, groups, measures): one-sided p that the first of a pair is too far above the other, and φ; NaN
    where there is no such pair. runs: horizons, and the standard deviation of what each group wanders from all
    others."""
    horizons, alone = runs
    weight = np.where(taken, found.weight[:, :, measures], 0.0)
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    # Of the distance from all others, the group's own part; two groups wander apart by no more than both do.
    alone = alone * (1.0 - share)
    where = taken[:, :, None] & taken[:, None] & ~np.eye(taken.shape[1], dtype=np.bool_)[:, :, None]

    h, i, j, m = np.nonzero(where)
    places = [np.ravel_multi_index((h, group, m), taken.shape) for group in (i, j)]

    def both(values: Floats) -> tuple[Floats, Floats]:
        one, other = (values.ravel().take(place) for place in places)
        return one, other

    # Beyond where a mean[one] - mean[other] > shift.
    a, shift = (limit.limit, 0.0) if limit.ratio else (1.0, limit.limit)
    (mean, mean_other), (n, n_other) = both(found.mean[:, :, measures]), both(found.n[:, :, measures])
    error, error_other = both(found.error[:, :, measures])
    sampling = a * a * error + error_other
    if RATES[measures].all():
        sampling = np.maximum(sampling, _restricted((mean, n), (mean_other, n_other), a, shift))
    wander = np.square(sum(both(alone)))
    variance = np.maximum(sampling + wander, 1e-18)
    freedom = np.minimum(*both(own.freedom(horizons, np.ones(1))[:, :, measures]))
    single = np.minimum(*both(own.freedom(np.ones(len(horizons)), np.ones(1))[:, :, measures]))
    share = wander / variance
    freedom = np.minimum(1.0 / (np.square(share) / freedom + np.square(1.0 - share) / single), single)
    yield []
    tail = student((a * mean - mean_other - shift) / np.sqrt(variance), freedom)
    yield []
    if RATES[measures].all():
        near = tail < EXACT_UNDER
        tail[near] = np.maximum(
            tail[near],
            of_two_counts(
                (mean[near], n[near], (mean_other[near] + shift) / a),
                (mean_other[near], n_other[near], a * mean[near] - shift),
                np.ones(int(near.sum()), dtype=np.bool_),
            ),
        )
    p, phi = np.full(where.shape, np.nan), np.full(where.shape, np.nan)
    p[where], phi[where] = tail, variance / sampling
    return p, phi


def _restricted(one: tuple[Floats, Floats], other: tuple[Floats, Floats], a: float, shift: float) -> Floats:
    """Variance of a mean[one] - mean[other] if that truly is `shift` (as gaps.restricted_variance)."""
    (mean, n), (mean_other, n_other) = one, other
    edge = 0.5 / (n + n_other)
    under = np.clip((n * (a * mean - shift) + n_other * mean_other) * 2.0 * edge, edge, 1.0 - edge)
    over = np.clip((under + shift) / a, edge, 1.0 - edge)
    return np.asarray(a * a * over * (1.0 - over) / n + under * (1.0 - under) / n_other)


def _values(limit: DisparityLimit, mean: Floats) -> Floats:
    """(horizons,): the disparity, of several measures the worst."""
    known = ~np.isnan(mean)
    high = np.where(known, mean, -np.inf).max(axis=1)
    low = np.where(known, mean, np.inf).min(axis=1)
    if not limit.ratio:
        return np.asarray((high - low).max(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(high > 0, low / high, np.inf).min(axis=1))
