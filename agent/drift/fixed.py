"""A fixed threshold on a distance, as its user set it, and what a threshold does not say: how often noise passes it.

That rate depends on the rows of the window (n) and of the reference (N), on the bins, and on how much the reference's
own windows vary. It is sampled twice, and the larger is told: multinomial windows and references drawn from the
reference's shares (a parametric bootstrap; Efron and Tibshirani 1993, 6.5), and the reference's windows against the
rest of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.config import Threshold
from agent.drift.distances import Axis, distances
from agent.drift.drift import Drift
from agent.drift.pooling import ROWS_MIN, Cells
from agent.figures import percent
from agent.ledger import DAY_SECONDS, Ledger
from agent.records import Closed, Finding, Floats, Verdict
from agent.reference.profile import Reference
from agent.statistics.tails import gamma_tail

TRIALS, TRIALS_MIN = 400, 60
COUNTED_MIN = 10  # passes of that many trials are counted; fewer, and a fitted tail says more than the count
OWN_WINDOWS_MAX = 96  # of the reference, evenly spaced
STEP = math.log(1.1)  # a rate is worked out for rows within 5 % of the window's
RATES_MAX = 20_000
GROUPS_MIN = 3
_CELLS_AT_ONCE = 3_000  # about a millisecond's work
_CELLS_MAX = 2_000_000  # over all trials of one feature
_DIFFERENCES = frozenset({"ks", "wasserstein", "l_infinity"})


@dataclass(frozen=True, slots=True)
class Rate:
    """Share of driftless windows that pass a rule, 0-1. sampled: of resampled ones; own: of the reference's (NaN: it
    has none of about that size)."""

    sampled: float
    own: float = float("nan")

    @property
    def share(self) -> float:
        return max(self.sampled, self.own if self.own == self.own else 0.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a fixed rule costs at the newest window's rows: false alarms a day over all features."""

    rule: str
    rows: int
    features: int
    false_alarms_per_day: float


class Nulls:
    """Rates of one rule against one reference, worked out as they are needed and kept."""

    def __init__(self, reference: Reference, rule: Sequence[Threshold], cells: Cells) -> None:
        """cells: of the features that are judged."""
        self.rule = tuple(rule)
        self._cells = cells.known() if cells.features else cells
        self._axis = Axis.of(reference.layout, self._cells) if self._cells.features else None
        blocks = reference.blocks[:, cells.take]
        self._blocks = cells.in_bins(blocks) if cells.features else blocks
        self._total = self._blocks.sum(axis=0, dtype=np.int64)
        self._rows = np.asarray(self._cells.sums(self._blocks.astype(np.float64)) if self._cells.features else ())
        self._ends = [*self._cells.starts[1:].tolist(), self._cells.take.size]
        self._seed = reference.hash
        self._rates: dict[tuple[int, int], Rate] = {}

    @property
    def known(self) -> list[int]:
        """Places of the features that the reference has values of."""
        return np.flatnonzero(self._rows.sum(axis=0) > 0).tolist() if self._cells.features else []

    def prepare(self, feature: int, rows: int) -> Iterator[None]:
        """Works out what `rate` will say, in slices of about a millisecond. feature: its place among those tested."""
        level = _level(rows)
        if (feature, level) in self._rates:
            return
        if len(self._rates) >= RATES_MAX:
            self._rates.clear()
        n = round(math.exp(level * STEP))
        sampled, own = [], []
        for found in self._sampled(feature, level, n):
            sampled.append(found)
            yield
        for found in self._own(feature, n):
            own.append(found)
            yield
        self._rates[feature, level] = Rate(
            self._share(_joined(sampled), fitted=True), self._share(_joined(own), fitted=False) if own else math.nan
        )

    def rate(self, feature: int, rows: int) -> Rate:
        """KeyError unless it was prepared."""
        return self._rates[feature, _level(rows)]

    def _sampled(self, feature: int, level: int, n: int) -> Iterator[dict[str, Floats]]:
        total = self._total[self._cells.starts[feature] : self._ends[feature]]
        random = np.random.default_rng([self._seed, feature, level])
        shares, size, rows = total / total.sum(), total.size, int(total.sum())
        trials = int(np.clip(_CELLS_MAX // size, TRIALS_MIN, TRIALS))
        at_once = max(1, _CELLS_AT_ONCE // size)
        for start in range(0, trials, at_once):
            times = min(at_once, trials - start)
            current = random.multinomial(n, shares, size=times)
            yield self._distances(feature, current, random.multinomial(rows, shares, size=times))

    def _own(self, feature: int, n: int) -> Iterator[dict[str, Floats]]:
        """Of the reference's windows, so many put together that they have about n rows, each against the rest."""
        own = slice(int(self._cells.starts[feature]), self._ends[feature])
        rows, total = self._rows[:, feature], self._total[own]
        size = max(1, round(n / max(float(np.median(rows)), 1.0)))
        groups = len(rows) // size
        if groups < GROUPS_MIN:
            return
        left = len(rows) - groups * size  # the oldest are left over
        chosen = np.unique(np.linspace(0, groups - 1, min(groups, OWN_WINDOWS_MAX)).astype(np.int64))
        at_once = max(1, _CELLS_AT_ONCE // total.size)
        for start in range(0, chosen.size, at_once):
            begins = (left + chosen[start : start + at_once] * size).tolist()
            counts = np.array([self._blocks[i : i + size, own].sum(axis=0, dtype=np.int64) for i in begins])
            counts = counts[counts.sum(axis=1) >= min(n / 2.0, ROWS_MIN)]
            if len(counts):
                yield self._distances(feature, counts, total - counts)

    def _distances(self, feature: int, current: np.ndarray, reference: np.ndarray) -> dict[str, Floats]:
        """Each named distance as (trials,); both (trials, cells of the feature)."""
        assert self._axis is not None  # noqa: S101 - there is a feature, hence an axis
        times, size = current.shape
        own = slice(int(self._cells.starts[feature]), self._ends[feature])
        cells = replace(
            self._cells,
            features=(self._cells.features[feature],) * times,
            take=np.tile(self._cells.take[own], times),
            starts=np.arange(times, dtype=np.int64) * size,
            owner=np.repeat(np.arange(times), size),
            share=np.tile(self._cells.share[own], times),
            numeric=np.full(times, self._cells.numeric[feature]),
        )
        axis = Axis(np.tile(self._axis.width[own], times), np.full(times, self._axis.deviation[feature]))
        names = [each.distance for each in self.rule]
        flat = current.ravel().astype(np.float64), reference.ravel().astype(np.float64)
        return distances(cells, axis, *flat, names)

    def _share(self, values: dict[str, Floats], fitted: bool) -> float:
        """Of the trials that pass any threshold; where they are too few to count, the sum of the fitted tails."""
        passed = np.zeros(len(next(iter(values.values()))), dtype=bool)
        for each in self.rule:
            passed |= values[each.distance] > each.limit
        counted = int(passed.sum())
        if counted >= COUNTED_MIN or not fitted:
            return counted / passed.size
        return min(sum(_fitted_tail(each, values[each.distance]) for each in self.rule), COUNTED_MIN / passed.size)


class FixedDrift:
    """The drift measure with the user's thresholds for verdicts: newest window only, at least 50 values of a feature.

    Against the whole reference, as distances are in the books that thresholds come from: no season is matched, and so
    a price that holds over all hours is the right one. cost: of the newest window judged; None before.
    """

    def __init__(self, reference: Reference, ledger: Ledger, rule: Sequence[Threshold]) -> None:
        self._drift = Drift(replace(reference, starts_ns=np.arange(len(reference.starts_ns))), ledger, (1,))
        self._nulls = Nulls(reference, rule, self._drift.cells)
        self._windows_per_day = DAY_SECONDS / ledger.window_seconds
        features = reference.layout.features
        self._place = {(features[i].source, features[i].name): k for k, i in enumerate(self._drift.cells.features)}
        self.cost: Cost | None = None

    def price(self, rows: int) -> Cost:
        """What the rule would cost at windows of so many rows, before any came. About a millisecond a feature."""
        places = self._nulls.known if rows >= ROWS_MIN else []
        for place in places:
            for _ in self._nulls.prepare(place, rows):
                pass
        daily = sum(self._nulls.rate(place, rows).share for place in places) * self._windows_per_day
        return Cost(_words(self._nulls.rule), rows, len(places), daily)

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """As `Drift.judge`, verdict and reason by the rule; no newest_p and newest_effect: the verdict itself resolves.

        Whatever the thresholds, fewer than 50 values of a feature are not judged. The first window of a new size costs
        about a millisecond a feature, in slices.
        """
        rows, false_alarms, judged = 0, 0.0, 0
        for part in self._drift.judge(recent):
            told: list[Finding] = []
            for finding in part:
                place = self._place.get((finding.source, finding.subject))
                if place is None or finding.n < ROWS_MIN or not finding.n_reference:
                    told.append(finding)
                    continue
                for _ in self._nulls.prepare(place, finding.n):
                    yield []
                rate = self._nulls.rate(place, finding.n)
                told.append(self._ruled(finding, rate))
                rows, judged = max(rows, finding.n), judged + 1
                false_alarms += rate.share * self._windows_per_day
            yield told
        if judged:
            self.cost = Cost(_words(self._nulls.rule), rows, judged, false_alarms)

    def _ruled(self, finding: Finding, rate: Rate) -> Finding:
        said = {name: value for name, value in finding.distances.items() if not name.startswith("newest_")}
        passed = [each for each in self._nulls.rule if said.get(each.distance, -math.inf) > each.limit]
        told = ", ".join(f"{each.distance} {said[each.distance]:.3g} over {each.limit:g}" for each in passed)
        often = _often(rate.share * self._windows_per_day)
        beside = f"{finding.n} rows beside {finding.n_reference:,}"
        cost = f"without drift passed by {percent(rate.share)} of windows of {beside}, {often}"
        rule = f"fixed threshold ({told or 'not passed: ' + _words(self._nulls.rule)}), {cost}"
        verdict = Verdict.ALARM if passed else Verdict.UNDER_THRESHOLD
        return replace(finding, verdict=verdict, alpha=float("nan"), distances=said, reason=rule)


def _joined(parts: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _level(rows: int) -> int:
    return round(math.log(max(rows, 1)) / STEP)


def _words(rule: Sequence[Threshold]) -> str:
    return ",".join(str(each) for each in rule)


def _often(daily: float) -> str:
    """
    >>> _often(0.866), _often(2e-7)
    ('0.87 times a day', 'less than once in 1,000 days')
    """
    return f"{daily:.2g} times a day" if daily >= 1e-3 else "less than once in 1,000 days"


def _fitted_tail(threshold: Threshold, values: Floats) -> float:
    """P(distance > limit), beyond what the trials reach.

    Sums of squares: a scaled chi-square with the trials' mean and variance (Satterthwaite 1946). Largest and total
    differences: their squares' excess over the ninth decile is exponential, as Kolmogorov's limit is (Pickands 1975).
    """
    if not np.isfinite(values).all():
        return 0.0  # no such distance for this kind of feature
    root = threshold.distance not in ("psi", "chi_square")
    found, limit = (np.square(values), threshold.limit**2) if root else (values, threshold.limit)
    if threshold.distance in _DIFFERENCES:
        decile = float(np.quantile(found, 0.9))
        excess = float(found[found > decile].mean()) - decile if found.max() > decile else 0.0
        return 0.1 * math.exp(-max(limit - decile, 0.0) / excess) if excess > 0 else 0.0
    mean, variance = float(found.mean()), float(found.var(ddof=1))
    if mean <= 0.0 or variance <= 0.0:
        return 0.0
    return gamma_tail(limit * mean / variance, mean * mean / variance)
