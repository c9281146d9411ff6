"""The smallest shift and widening of a number, the smallest growth of a category, that the drift rule finds.

Closed form, from the judge's own numbers: the ledger's alpha, φ and degrees of freedom for the feature and horizon, the
effect's floor. The parts are combined as the judge combines them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from agent.bins import Feature
from agent.drift.dispersion import directions
from agent.drift.drift import Drift, Outlook
from agent.drift.effect import FLOOR
from agent.drift.pooling import ROWS_MIN, Cells
from agent.drift.scores import normal_score
from agent.power.sight import LOWER_FIFTH, Seen, Sight
from agent.records import Bools, Floats, Ints, Kind, Source
from agent.reference.profile import Reference
from agent.statistics.array_tails import beta_share, cauchy_combination, f_as_beta, t_as_beta

# Changes tried: of numbers in σ or in parts of their spread, of a category in log odds. What 3 does not show counts as
# not seen.
TRIED = 0.02 * 1.08 ** np.arange(66)
CATEGORY_SHARE = 0.1  # of a text, the category of about this share is the one that grows


def drift_sights(drift: Drift, reference: Reference, rows: float) -> list[Sight]:
    """Of every tested feature, for windows of so many rows. Takes some 100 ms for 200 features."""
    cells = Cells.of(reference.layout, reference.share, reference.pooled)
    if not cells.features or not len(reference.rows):
        return []
    own = [reference.layout.features[i] for i in cells.features]
    valid = cells.sums(reference.pooled[cells.take].astype(np.float64)) / max(float(reference.rows.sum()), 1.0)
    moved = _Moved.of(cells, own)
    constant = cells.sums((reference.pooled[cells.take] > 0).astype(np.float64)) == 1.0
    found, wider, tested, enough = [], [], np.zeros(len(own), dtype=bool), np.zeros(len(own), dtype=bool)
    for horizon in drift.horizons:
        outlook = drift.outlook(horizon, rows * valid * horizon)
        if outlook is None:
            return []
        found.append(_smallest(outlook, moved))
        wider.append(_smallest(outlook, moved, widens=True))
        tested |= outlook.spread.tested.any(axis=0) & (outlook.alpha > 0)
        enough |= outlook.rows >= ROWS_MIN
    sights = []
    for kind, smallest in (("", found), ("sd", wider)):
        for k, feature in enumerate(own):
            number = feature.kind is Kind.NUMBER
            if kind and not number:
                continue
            unit = kind or ("σ" if number else "share")
            blind = _Blind(drift.horizons[-1], bool(tested[k]), bool(enough[k]), bool(constant[k]))
            before = 1.0 if unit == "sd" else float(moved.before[k])
            seen = _seen(unit, before, drift.horizons, [int(each[k]) for each in smallest])
            sights.append(_sight(feature, unit, before, seen, blind))
    return _of_groups(sights)


def _of_groups(sights: Sequence[Sight]) -> list[Sight]:
    """Of the parts of a vector or a whole row, the one that sees most stands for all."""
    found: dict[tuple[Source, str, bool], Sight] = {}
    for sight in sights:
        key = (sight.source, sight.subject, sight.unit == "sd")
        known, now = found.get(key), sight.within(math.inf)
        before = known.within(math.inf) if known else None
        if known is None or (now is not None and (before is None or now.smallest < before.smallest)):
            found[key] = sight
    return list(found.values())


@dataclass(frozen=True)
class _Moved:
    """How each feature's shares look after a change.

    bound: (cells,) upper bound of a cell on a normal scale, lower: that of the cell before; before: (features,) the
    share of the category that grows, NaN for numbers; category: (features,) its cell, -1 for numbers.
    """

    cells: Cells
    lower: Floats
    bound: Floats
    before: Floats
    category: Ints

    @classmethod
    def of(cls, cells: Cells, features: Sequence[Feature]) -> _Moved:
        upto = np.cumsum(cells.share)
        upto -= (upto - cells.share)[cells.starts][cells.owner]
        bound = np.array([normal_inverse(share) for share in upto.tolist()])
        lower = np.concatenate(([-np.inf], bound[:-1]))
        lower[cells.starts] = -np.inf
        ends = [*cells.starts[1:].tolist(), cells.take.size]
        category = np.full(len(features), -1)
        before = np.full(len(features), np.nan)
        for k, feature in enumerate(features):
            if feature.kind is Kind.NUMBER:
                bound[ends[k] - 1] = np.inf
                continue
            own = cells.share[cells.starts[k] : ends[k]]
            distance = np.abs(np.log(np.maximum(own, 1e-12) / CATEGORY_SHARE))
            category[k] = cells.starts[k] + int(np.argmin(np.where((own > 0) & (own < 1), distance, np.inf)))
            before[k] = cells.share[category[k]]
        return cls(cells, lower, bound, before, category)

    def shares(self, shift: Floats, widens: bool = False) -> Floats:
        """(cells,): numbers moved up by so many σ of a normal with the same ranks, or spread out by so much of their
        standard deviation; a category's odds times e^shift.

        shift: (features,).
        """
        of_cell = shift[self.cells.owner]
        if widens:
            found = normal(self.bound / (1.0 + of_cell)) - normal(self.lower / (1.0 + of_cell))
        else:
            found = normal(self.bound - of_cell) - normal(self.lower - of_cell)
        texts = self.category >= 0
        after = self.after(shift)
        rest = np.where(texts, (1.0 - after) / np.maximum(1.0 - self.before, 1e-12), 1.0)
        found = np.where(texts[self.cells.owner], self.cells.share * rest[self.cells.owner], found)
        found[self.category[texts]] = after[texts]
        return np.asarray(found, dtype=np.float64)

    def after(self, shift: Floats) -> Floats:
        """(features,): the category's share then."""
        odds = self.before / np.maximum(1.0 - self.before, 1e-12) * np.exp(shift)
        found: Floats = odds / (1.0 + odds)
        return found


def _smallest(outlook: Outlook, moved: _Moved, widens: bool = False) -> Ints:
    """(features,): the first of TRIED that is found, by bisection; -1: none is."""
    low, high = np.full(len(moved.before), -1), np.full(len(moved.before), TRIED.size)
    while (high - low > 1).any():
        middle = np.clip((low + high) // 2, 0, TRIED.size - 1)
        passes = _passes(outlook, moved.shares(TRIED[middle], widens), moved) | (middle >= high)
        low, high = np.where(passes, low, middle), np.where(passes, np.minimum(middle, high), high)
    return np.where(high < TRIED.size, high, -1)


def _passes(outlook: Outlook, shares: Floats, moved: _Moved) -> Bools:
    """(features,): whether a change to these shares is found with the lower fifth of every statistic."""
    cells, pooled, spread = outlook.cells, outlook.pooled, outlook.spread
    n, n_reference = np.maximum(outlook.rows, 1.0), np.maximum(outlook.n_reference, 1.0)
    noise = 1.0 / n + 1.0 / n_reference
    vectors = pooled.scores.vectors
    mean = np.stack([cells.sums(shares * vector) for vector in vectors])
    square = np.stack([cells.sums(shares * np.square(vector)) for vector in vectors])
    spread_of_z = np.sqrt((np.maximum(square - mean**2, 0.0) / n + 1.0 / n_reference) / noise)
    z = np.abs(mean) / np.sqrt(noise)
    t = np.maximum(z / np.sqrt(spread.phi[:3]) - LOWER_FIFTH * spread_of_z, 0.0)
    there = spread.tested[:3] & ~np.isnan(pooled.scores.skewness)
    p = np.full((6, n.size), np.nan)  # as the judge has them: three scores, the rest, rare mass, the largest cell
    p[:3][there] = beta_share(*t_as_beta(t[there], spread.df[:3][there]))
    now = np.add.reduceat(shares, pooled.starts)
    then = np.add.reduceat(cells.share, pooled.starts)
    gap = np.square(now - then) / np.maximum(then, 1e-12)
    beyond = np.maximum(np.add.reduceat(gap, pooled.first) / noise - np.where(there, z * z, 0.0).sum(axis=0), 0.0)
    rest = spread.tested[3] & (pooled.df > 0)
    p[3, rest] = _residual(beyond[rest], pooled.df[rest].astype(np.float64), spread.phi[3, rest], spread.df[3, rest])
    texts = (moved.category >= 0) & spread.tested[0] & (pooled.bins > 2)
    p[4, spread.rare_tested & (moved.category >= 0)] = 0.5  # says nothing of such a change, and costs its weight
    p[5, texts] = _category(shares, moved, outlook, noise)[texts]
    significant = cauchy_combination(p, weights=outlook.weights) < outlook.alpha
    return significant & (outlook.rows >= ROWS_MIN) & (_effect(now, then, outlook, noise) >= FLOOR)


def _residual(beyond: Floats, df: Floats, phi: Floats, df_phi: Floats) -> Floats:
    """p of the divergence's rest: χ² with φ and a noncentrality, against F."""
    low = df * phi + beyond - LOWER_FIFTH * np.sqrt(2.0 * df * phi**2 + 4.0 * beyond * phi)
    return beta_share(*f_as_beta(np.maximum(low, 0.0) / df / phi, directions(phi, df), df_phi))


def _category(shares: Floats, moved: _Moved, outlook: Outlook, noise: Floats) -> Floats:
    """(features,): p of the category that grows, for all cells it could have been. NaN for numbers."""
    n, n_reference = np.maximum(outlook.rows, 1.0), np.maximum(outlook.n_reference, 1.0)
    after, before = shares[moved.category], moved.before
    middle = (after * n + before * n_reference) / (n + n_reference)
    variance = np.maximum(middle * (1.0 - middle), 1e-12)
    spread = np.sqrt((after * (1.0 - after) / n + before * (1.0 - before) / n_reference) / (variance * noise))
    skewness = (1.0 - 2.0 * middle) / np.sqrt(variance) * (1.0 / n**2 - 1.0 / n_reference**2) / noise**1.5
    root = np.sqrt(outlook.spread.phi.max(axis=0))
    if outlook.spread.wandering is not None:
        root = np.maximum(root, np.sqrt(outlook.spread.wandering.phi[moved.category]))
    z = (after - before) / np.sqrt(variance * noise) - LOWER_FIFTH * spread * root
    t = np.where(moved.category >= 0, np.maximum(normal_score(z, skewness) / root, 0.0), 0.0)
    found = beta_share(*t_as_beta(t, outlook.spread.df[0])) * outlook.pooled.bins
    return np.where(moved.category >= 0, np.minimum(found, 1.0), np.nan)


def _effect(now: Floats, then: Floats, outlook: Outlook, noise: Floats) -> Floats:
    """(features,): the lower fifth of the corrected PSI."""
    pooled = outlook.pooled
    safe = np.maximum(now, 1e-9), np.maximum(then, 1e-9)
    psi = np.add.reduceat((now - then) * np.log(safe[0] / safe[1]), pooled.first)
    own = outlook.phi * noise
    along = np.maximum(outlook.spread.phi[0], 1.0) * noise
    spread = np.sqrt(2.0 * np.maximum(pooled.bins - 1, 1) * own**2 + 4.0 * psi * along)
    return np.asarray(psi - LOWER_FIFTH * spread, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Blind:
    """What a feature lacks, where nothing of it is seen. longest: windows of the longest horizon; constant: all of the
    reference lies in one bin."""

    longest: int
    tested: bool
    enough: bool
    constant: bool

    @property
    def reason(self) -> str:
        if self.constant:
            return "always the same in the reference: another value is told as out of range or as a new category"
        if not self.enough:
            return f"too few rows: {ROWS_MIN} values are needed within {self.longest} windows"
        if not self.tested:
            return "the reference has too few windows, or too few rows a window"
        return "the reference varies too much, or is too short for so many features"


def _seen(unit: str, before: float, horizons: Sequence[int], found: Sequence[int]) -> tuple[Seen, ...]:
    """found: by horizon, an index of TRIED, -1 where nothing is seen."""
    odds = before / max(1.0 - before, 1e-12)
    seen = []
    for horizon, index in zip(horizons, found, strict=True):
        if index >= 0:
            size = float(TRIED[index])
            after = odds * math.exp(size)
            told = {"σ": size, "sd": 1.0 + size}
            seen.append(Seen(horizon, told[unit] if unit in told else after / (1.0 + after)))
    return tuple(seen)


def _sight(feature: Feature, unit: str, before: float, seen: tuple[Seen, ...], blind: _Blind) -> Sight:
    name, reason = feature.group or feature.name, "" if seen else blind.reason
    return Sight("drift", name, feature.source, unit, before, seen, reason, feature.critical)


def normal(x: Floats) -> Floats:
    """Φ(x) to 1e-7: Abramowitz and Stegun (1964), 26.2.17.

    >>> normal(np.array([-np.inf, 0.0, 1.96])).round(4).tolist()
    [0.0, 0.5, 0.975]
    """
    far = np.minimum(np.abs(x), 40.0)
    k = 1.0 / (1.0 + 0.2316419 * far)
    series = k * (0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))))
    tail = series * np.exp(-far * far / 2.0) / np.sqrt(2.0 * np.pi)
    return np.asarray(np.where(x > 0, 1.0 - tail, tail), dtype=np.float64)


def normal_inverse(share: float) -> float:
    if share <= 1e-12:
        return -np.inf
    return np.inf if share >= 1.0 - 1e-12 else NormalDist().inv_cdf(share)
