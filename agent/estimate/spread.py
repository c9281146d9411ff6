"""How far estimates wander from window to window while nothing is wrong, from the reference's own windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.records import Floats
from agent.statistics.autocorrelation import correlation, mean_variance
from agent.statistics.tails import student_tail

BLOCKS_MIN = 8  # fewer windows say nothing of how windows differ
GROUPS_MIN = 3  # of as many windows as a horizon has
# What is believed of windows before eight of them are known, as sure as eight would make it: their estimates wander by
# half of the drop that is worth an alarm. It buys the t test its tail (Raftery's and Smyth's (2004) moderated t).
PRIOR_BLOCKS = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Estimates of the reference's own windows, in order of time, of the metrics that alarm.

    values: float64 (blocks, metrics); rows: float64 (blocks,), 0 where a block has none; variance: (metrics,), of what
    one row adds.
    """

    metrics: tuple[str, ...]
    values: Floats
    rows: Floats
    variance: Floats

    @property
    def usual(self) -> Floats:
        """(metrics,): of all windows together."""
        return np.asarray(self.rows @ self.values / max(float(self.rows.sum()), 1.0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Judged:
    """One comparison. p: one-sided; phi: the difference's variance over that of independent rows."""

    p: float
    phi: float
    freedom: float


class Spread:
    """Of one metric. Made once; takes under a millisecond for a thousand blocks."""

    def __init__(self, past: Past, metric: int, prior: float, blocks_a_window: float) -> None:
        """prior: standard deviation of windows that is believed beforehand, in the metric's unit."""
        there = past.rows > 0
        self._rows = past.rows[there]
        self._x = past.values[there, metric] - past.usual[metric]
        self._one = float(past.variance[metric])
        self._scale = blocks_a_window
        self.blocks = int(there.sum())
        if self.blocks < BLOCKS_MIN:
            return
        self._usual_rows = 1.0 / float(np.mean(1.0 / self._rows))
        chance = self._one / self._usual_rows
        self._freedom = PRIOR_BLOCKS + self.blocks - 1
        raw = (PRIOR_BLOCKS * (prior**2 + chance) + float(np.square(self._x).sum())) / self._freedom
        self._effect = _beyond(raw, chance, self._freedom)
        z = self._x / np.sqrt(np.maximum(self._one / self._rows, 1e-300))
        self._rho = correlation(z[:, None, None], np.array([float(self.blocks)]))[0]
        self._far = self._effect * float(mean_variance(self._rho, float(self.blocks))[0])  # of the reference's own mean
        self._known: dict[int, tuple[float, float]] = {}  # by steps, what `_group` found

    def knows(self, horizon: int) -> bool:
        """Whether the reference is long enough for so many windows."""
        return self.blocks >= max(BLOCKS_MIN, GROUPS_MIN * self._steps(horizon))

    def judge(self, worse: float, rows: float, horizon: int, unsure: float) -> Judged:
        """worse: how much worse than usual the estimate of `rows` (effective) rows of `horizon` windows is; unsure:
        variance that the estimate has besides. Asks `knows` first."""
        steps = self._steps(horizon)
        if steps not in self._known:
            self._known[steps] = self._group(steps)
        effect, freedom = self._known[steps]
        independent = self._one * (1.0 / rows + 1.0 / float(self._rows.sum()))
        variance = effect + self._far + independent + unsure
        if not variance > 0:
            return Judged(1.0, 1.0, freedom)
        return Judged(student_tail(worse / math.sqrt(variance), freedom), variance / max(independent, 1e-300), freedom)

    def _group(self, steps: int) -> tuple[float, float]:
        """Variance of means of so many windows beside what chance in their rows gives, and its degrees of freedom.

        By the windows' own spread and how neighbours resemble each other, or by groups as long: the larger counts.
        """
        by_one = self._effect * float(mean_variance(self._rho, float(steps))[0])
        groups = self.blocks // steps
        if steps == 1 or groups < GROUPS_MIN:
            return by_one, self._freedom
        newest = slice(self.blocks - groups * steps, None)
        rows = self._rows[newest].reshape(groups, steps)
        means = (self._x[newest].reshape(groups, steps) * rows).sum(axis=1) / rows.sum(axis=1)
        freedom = PRIOR_BLOCKS + groups - 1
        chance = self._one * float(np.mean(1.0 / rows.sum(axis=1)))
        own = _beyond((PRIOR_BLOCKS * (by_one + chance) + float(np.square(means).sum())) / freedom, chance, freedom)
        return (own, freedom) if own > by_one else (by_one, self._freedom)

    def _steps(self, horizon: int) -> int:
        return max(math.ceil(horizon * self._scale - 1e-9), 1)


def _beyond(raw: float, chance: float, freedom: float) -> float:
    """The part of a mean square that chance in single rows does not explain, and one standard error of it more: where
    live windows have more rows than the reference's, nothing else covers what is not known of that part."""
    return max(raw - chance, 0.0) + raw * math.sqrt(2.0 / freedom)
