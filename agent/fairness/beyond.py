"""Is a disparity beyond its user's limit? Only where chance and the windows' own wandering cannot explain it.

A difference is beyond δ if some pair of groups is: p₁ - p₂ > δ; a ratio below r if some pair has p₁ < r p₂. Either is a
contrast of two means, tested by Student's t with the exact binomial beside, over all ordered pairs (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.config.disparity_limits import DisparityLimit
from agent.fairness.disparity import BY_NAME, ROWS_MIN
from agent.fairness.gaps import t_tail, tail_of_count
from agent.fairness.groups import MISSING
from agent.fairness.intervals import Estimates, estimate
from agent.fairness.level import Level
from agent.fairness.outcomes import RATES
from agent.records import Floats


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


def beyond(limit: DisparityLimit, pooled: Floats, horizons: Floats, own: Level) -> list[Beyond]:
    """For each horizon. pooled: (horizons, groups, MEASURES, SUMS); own: how much the windows wander."""
    metric = BY_NAME[limit.metric]
    found, wander = estimate(pooled), own.wander(horizons)
    told = []
    for k, horizon in enumerate(horizons.tolist()):
        at = Estimates(*(getattr(found, name)[k] for name in found.__slots__))
        each = [_measured(limit, at, wander[k], own, int(m)) for m in metric.measures]
        pairs = sum(own_pairs for _, own_pairs in each)
        worst = min((one for one, own_pairs in each if own_pairs), key=lambda one: one.p, default=None)
        if worst is None or any(not own_pairs for _, own_pairs in each):
            told.append(Beyond(limit, int(horizon), float("nan"), float("nan")))
            continue
        values = [one.value for one, _ in each]
        value = min(values) if limit.ratio else max(values)
        told.append(
            Beyond(
                limit, int(horizon), value, min(worst.p * pairs, 1.0), worst.over, worst.under, worst.measure, worst.n,
                worst.phi,
            )
        )  # fmt: skip
    return told


def _measured(limit: DisparityLimit, found: Estimates, wander: Floats, own: Level, m: int) -> tuple[Beyond, int]:
    """One measure: its worst pair, p of that pair alone; and how many ordered pairs there are."""
    groups = np.flatnonzero(found.n[:, m] >= ROWS_MIN)
    groups = groups[groups != MISSING]
    if len(groups) < 2:
        return Beyond(limit, 0, float("nan"), float("nan")), 0
    mean, error, n = found.mean[groups, m], found.error[groups, m], found.n[groups, m]
    share = found.weight[groups, m] / found.weight[groups, m].sum()
    # Of the distance from all others, the group's own part; two groups wander apart by no more than both do.
    alone = np.sqrt(wander[groups, m]) * (1.0 - share)
    one, other = np.nonzero(~np.eye(len(groups), dtype=np.bool_))
    times, shift = (limit.limit, 0.0) if limit.ratio else (1.0, limit.limit)
    # Beyond where mean[one] * a - mean[other] * b > shift.
    a, b = (times, 1.0) if limit.ratio else (1.0, 1.0)
    over = a * mean[one] - b * mean[other] - shift
    sampling = a * a * error[one] + b * b * error[other]
    variance = sampling + np.square(alone[one] + alone[other])
    t = over / np.sqrt(np.maximum(variance, 1e-18))
    freedom = np.minimum(own.freedom[groups[one], m], own.freedom[groups[other], m])
    tail = t_tail(t, freedom)
    if RATES[m]:
        least, most = (b * mean[other] + shift) / a, (a * mean[one] - shift) / b
        up = np.ones(len(one), dtype=np.bool_)
        tail = np.maximum(tail, tail_of_count(mean[one], n[one], least, up))
        tail = np.maximum(tail, tail_of_count(mean[other], n[other], most, ~up))
    k = int(np.argmin(tail))
    high, low = float(mean.max()), float(mean.min())
    value = (low / high if high > 0 else float("nan")) if limit.ratio else high - low
    return Beyond(
        limit, 0, value, float(tail[k]), int(groups[one[k]]), int(groups[other[k]]), m,
        int(n[one[k]] + n[other[k]]), float(variance[k] / sampling[k]),
    ), len(one)  # fmt: skip
