"""The drift rule: two-sample tests at many horizons against the ledger's alpha, AND the effect's floor."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.drift.comparison import Comparison, compare, largest_cell
from agent.drift.dispersion import Dispersion, Spread, directions
from agent.drift.distances import Axis, distances
from agent.drift.effect import FLOOR, corrected_psi, psi_terms
from agent.drift.matching import Beside, matching_of
from agent.drift.pooling import ROWS_MIN, Cells, Levels, Pooled
from agent.drift.seasons import is_timed
from agent.drift.spending import Spending, granted
from agent.drift.tail_weight import beyond
from agent.drift.telling import Known, Telling
from agent.ledger import HORIZONS, Ledger
from agent.records import Bools, Closed, Finding, Floats, Ints, Kind
from agent.reference.profile import Reference
from agent.statistics.array_tails import Beta, beta_slices, cauchy_combination, f_as_beta, t_as_beta
from agent.steps import sliced

_FINDINGS_A_SLICE = 25
_HORIZONS_AT_ONCE = 2  # whose p-values are found together: it is the rounds that cost, and all share them
_CLEARLY = 1.7  # a shape is an estimate from a hundred groups: only a clearly smaller one counts
# What each statistic may spend of a test's alpha: most on the changes that are most common.
_OF_NUMBERS = (0.4, 0.3, 0.1, 0.15, 0.05, 0.0)  # location, scale, skew, residual, rare mass, largest cell
_OF_TEXTS = (0.15, 0.05, 0.05, 0.15, 0.1, 0.5)


@dataclass(frozen=True)
class Judged:
    """One horizon, every tested feature: (features,) each. p: NaN where not tested; spends: of its alpha, at most."""

    horizon: int
    beside: Beside
    p: Floats
    effect: Floats
    phi: Floats
    spends: Floats


@dataclass(frozen=True)
class _Tails:
    """The p-values that one horizon needs, not yet worked out: arguments of `beta_share`, end to end, and whose.

    scores: (3, features); rest, rare, moved: (features,).
    """

    betas: Beta
    scores: Bools
    rest: Bools
    rare: Bools
    moved: Bools

    def placed(self, values: Floats, bins: Ints) -> Floats:
        """(6, features): location, scale, skew, residual, rare mass, largest cell; NaN where there is no test."""
        ends = np.cumsum([np.count_nonzero(part) for part in (self.scores, self.rest, self.rare)])
        of_scores, of_rest, of_rare, of_cell = np.split(values, ends)
        p = np.full((6, bins.size), np.nan)
        p[:3][self.scores], p[3, self.rest], p[4, self.rare] = of_scores, of_rest, of_rare
        p[5, self.moved] = np.minimum(of_cell * bins[self.moved], 1.0)
        return p


@dataclass(frozen=True)
class _Look:
    """One horizon before its p-values are known."""

    horizon: int
    beside: Beside
    pooled: Pooled
    found: Comparison
    spread: Spread
    tails: _Tails


@dataclass(frozen=True)
class Outlook:
    """What so many rows over one horizon would be judged by: `agent/power` reckons from it what can be seen.

    rows, n_reference, alpha, phi: (features,); phi: over all directions, as the effect's floor takes it. weights: (6,
    features), of the p-values that are combined.
    """

    cells: Cells
    pooled: Pooled
    spread: Spread
    rows: Floats
    n_reference: Floats
    alpha: Floats
    phi: Floats
    weights: Floats


class Drift:
    """Judges windows against one reference. Holds no history: the caller brings the recent windows.

    Preparation takes some 100 ms for 200 features (run it in a thread); judging 200 features at 6 horizons about 25 ms.
    """

    def __init__(self, reference: Reference, ledger: Ledger, horizons: Sequence[int] = HORIZONS) -> None:
        layout = reference.layout
        self.horizons = tuple(sorted(horizons))
        self._layout = layout
        self._cells = Cells.of(layout, reference.share, reference.pooled)
        if not self._cells.features:
            return
        self._levels = Levels(self._cells)
        self._matching = matching_of(reference, self._cells, self._levels, ledger.window_seconds)
        self._window_seconds = ledger.window_seconds
        blocks_a_window = ledger.window_seconds / layout.window_seconds if is_timed(reference) else 1.0
        texts = np.array([layout.features[i].kind is Kind.TEXT for i in self._cells.features])
        self._dispersion = Dispersion(self._matching, self._levels, self.horizons, texts, blocks_a_window)
        self._matching.forget_blocks()
        self._reference = reference.pooled[self._cells.take].astype(np.float64)
        self._n_reference = self._cells.sums(self._reference)
        self._shown = self._cells.known()
        self._axis = Axis.of(layout, self._shown)
        self._alpha = np.array([ledger.alpha("drift", i) for i in self._cells.features])
        self._weights = np.where(texts, np.array(_OF_TEXTS)[:, None], np.array(_OF_NUMBERS)[:, None])
        self._spending = Spending(self._alpha, self._weights)
        self._texts = texts
        self._foretold = np.array(self._cells.credit)
        self._known = Known.of(layout, self._cells, self._matching)

    @property
    def cells(self) -> Cells:
        """Of the features that are tested, in the order in which they are."""
        return self._cells

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """One finding a feature, in slices of at most about 2 ms; a slice may be empty.

        recent: closed windows, newest last; the newest 24 matter. A horizon longer than what is there
        is left out. A finding tells its most significant horizon (of those that alarm, if any do); effect and changes
        are of that horizon. `current` and `expected`: for a number, mean rank among the reference's values (0.5 by
        construction); for a text, share of the category that moved most; for a flag, share of true.
        distances, of the newest window: psi, chi_square, jensen_shannon, ks and wasserstein (numbers), l_infinity
        (texts, flags), explained in `distances`. For resolving an alert, newest_p and newest_effect: p-value and
        corrected PSI of the longest tested horizon of at most half the windows of the shortest one that alarms (at
        least 1): it holds no window that a strong drift, now over, would still be seen in. NaN if none was tested.
        newest_part, of an alarm: how far those windows moved the way the told ones did (1 as far, 0 not at all).
        """
        if not self._cells.features or not recent:
            return
        newest = recent[-1].counts[self._cells.take].astype(np.float64)
        looks: list[_Look] = []
        beside = self._matching.beside(recent, self.horizons, self._window_seconds)
        for horizon, pooled_windows in zip(self.horizons, beside, strict=False):
            yield []
            pooled, found = self._compare(pooled_windows)
            yield []
            spread = self._dispersion.at(horizon, pooled_windows.n)
            tails = _tails(pooled, found, spread, pooled_windows, self._texts, self._foretold)
            looks.append(_Look(horizon, pooled_windows, pooled, found, spread, tails))
            yield []
        judged: list[Judged] = []
        for i in range(0, len(looks), _HORIZONS_AT_ONCE):
            some = looks[i : i + _HORIZONS_AT_ONCE]
            p_values = yield from _p_values(some)
            yield []
            for look, p in zip(some, p_values, strict=True):
                judged.append(self._weigh(look, p))
                yield []
        now, then = self._cells.in_bins(newest), self._cells.in_bins(self._reference)
        shown = distances(self._shown, self._axis, now, then)
        yield []
        alpha = self._granted([j.spends for j in judged])
        best = self._choose(judged, alpha)
        terms = self._terms(judged, best)
        yield []
        features = len(self._known.features)
        said = {name: values.tolist() for name, values in shown.items()}
        told = Telling(self._known, judged, alpha.tolist(), best, terms, said, [window.index for window in recent])
        yield []
        for start in range(0, features, _FINDINGS_A_SLICE):
            yield [told.finding(k) for k in range(start, min(start + _FINDINGS_A_SLICE, features))]

    def outlook(self, horizon: int, rows: Floats) -> Outlook | None:
        """rows: (features,) values pooled over the horizon, of each tested feature. None: no feature is tested."""
        if not self._cells.features:
            return None
        pooled, spread = self._levels.at(self._levels.level(rows)), self._dispersion.at(horizon, rows)
        phi = _mean_phi(pooled, spread)
        n_reference = self._matching.rows(horizon)
        alpha = self._granted([self._foreseen(other, rows / horizon * other) for other in self.horizons])
        return Outlook(self._cells, pooled, spread, rows, n_reference, alpha, phi, self._weights)

    def _foreseen(self, horizon: int, n: Floats) -> Floats:
        """(features,): what part of its alpha a horizon of n rows spends at most."""
        pooled, spread = self._levels.at(self._levels.level(n)), self._dispersion.at(horizon, n)
        n_reference = self._matching.rows(horizon)
        tested = (n >= ROWS_MIN) & (n_reference > 0) & (spread.tested.any(axis=0) | spread.rare_tested)
        return np.where(tested, self._spending.share(horizon, pooled, spread, n, n_reference), 0.0)

    def _granted(self, spends: Sequence[Floats]) -> Floats:
        """(features,): alpha of each tested horizon; those not tested, or not there yet, spend nothing."""
        none = [np.zeros_like(self._alpha)] * (len(self.horizons) - len(spends))
        return granted(self._alpha, [*spends, *none])

    def _compare(self, beside: Beside) -> tuple[Pooled, Comparison]:
        pooled = self._levels.at(self._levels.level(beside.n))
        return pooled, compare(
            self._cells, pooled, beside.counts, beside.reference, beside.n, beside.n_reference, beside.variance
        )

    def _weigh(self, look: _Look, p_values: Floats) -> Judged:
        pooled, found = look.pooled, look.found
        n, n_reference = look.beside.n, look.beside.n_reference
        p = cauchy_combination(p_values, weights=self._weights)
        phi = _mean_phi(pooled, look.spread)
        terms = psi_terms(found.current, found.reference, n, n_reference, pooled.bins, pooled.owner)
        psi = np.add.reduceat(terms, pooled.first)
        effect = corrected_psi(psi, n, n_reference, pooled.bins, phi)
        # Of what hardly varies only rare values are looked for: that none came is an answer, too.
        looked_for = look.spread.rare_tested & (self._cells.sums(pooled.rare.astype(np.float64)) > 0)
        p = np.where(np.isnan(p) & looked_for, 1.0, p)
        p = np.where((n >= ROWS_MIN) & (n_reference > 0), p, np.nan)
        share = self._spending.share(look.horizon, pooled, look.spread, n, n_reference)
        return Judged(look.horizon, look.beside, p, effect, phi, np.where(np.isnan(p), 0.0, share))

    def _choose(self, judged: Sequence[Judged], alpha: Floats) -> Ints:
        """(features,): the index into `judged` of the horizon to tell; -1 where none was tested."""
        if not judged:
            return np.full(len(self._known.features), -1)
        p = np.array([j.p for j in judged])
        alarms = (p < alpha) & (np.array([j.effect for j in judged]) >= FLOOR)
        order = np.where(np.isnan(p), np.inf, p) + np.where(alarms, 0.0, 2.0)
        best = np.argmin(order, axis=0)
        return np.where(np.isnan(p).all(axis=0), -1, best)

    def _terms(self, judged: Sequence[Judged], best: Ints) -> tuple[Floats, Floats, Floats, Ints]:
        """(cells,) shares now and then, and PSI terms, at each feature's chosen horizon; cells by rising term."""
        owner = self._cells.owner
        cells, features = np.arange(owner.size), np.arange(best.size)
        counts = np.array([j.beside.counts for j in judged])[best[owner], cells]
        reference = np.array([j.beside.reference for j in judged])[best[owner], cells]
        n_reference = np.array([j.beside.n_reference for j in judged])[best, features]
        n = np.maximum(self._cells.sums(counts), 1.0)
        sizes = np.diff([*self._cells.starts.tolist(), owner.size])
        terms = psi_terms(counts, reference, n, n_reference, sizes, owner)
        now, then = counts / n[owner], reference / np.maximum(n_reference, 1.0)[owner]
        return now, then, terms, np.lexsort((terms, owner))


def _p_values(looks: Sequence[_Look]) -> Generator[list[Finding], None, list[Floats]]:
    """Each look's (6, features), as `_Tails.placed` has them; in slices."""
    betas = (np.concatenate(column) for column in zip(*(look.tails.betas for look in looks), strict=True))
    values = yield from sliced(beta_slices(*betas))
    ends = np.cumsum([look.tails.betas[0].size for look in looks])
    parts = np.split(values, ends[:-1])
    return [look.tails.placed(own, look.pooled.bins) for look, own in zip(looks, parts, strict=True)]


def _tails(pooled: Pooled, found: Comparison, spread: Spread, beside: Beside, texts: Bools, foretold: Floats) -> _Tails:
    """What is to be tested of each feature."""
    n, n_reference = beside.n, beside.n_reference
    scores = spread.tested[:3] & ~np.isnan(pooled.scores.skewness)
    effective = 1.0 / (1.0 / np.maximum(n, 1.0) + 1.0 / np.maximum(n_reference, 1.0))
    z, doubt = spread.bend.straighten(found.z, spread.phi[0], effective)
    # Windows that moved apart are wider together than each of them.
    z[1:] -= spread.bend.widened(np.maximum(beside.apart - spread.effect, 0.0), spread.phi[0], effective)
    t = z / np.sqrt(spread.phi[:3] + np.vstack((np.zeros_like(n), doubt)))
    rest = spread.tested[3] & (pooled.df > 0)
    df = pooled.df[rest].astype(np.float64)
    phi = (1.0 + (spread.phi[3] - 1.0) * beyond(found.z[0], spread.phi[0]))[rest]
    fills = directions(phi, df)
    fills = np.where(_CLEARLY * spread.shape[rest] < fills, spread.shape[rest], fills)
    rare = spread.rare_tested & (found.rare > 0)
    mass, before = found.rare[rare] / spread.rare[rare], found.rare_reference[rare] / spread.rare[rare]
    credit = foretold[rare] / spread.rare[rare]
    share = n[rare] / np.maximum(n[rare] + n_reference[rare], 1.0)
    # A text's one category may be what moved. Unless it wanders by itself the largest φ of the feature's is taken.
    moved, largest_phi = texts & spread.tested[0] & (pooled.bins > 2), spread.phi.max(axis=0)
    if spread.wandering is None:
        cell = largest_cell(found, pooled, n, n_reference, moved) / np.sqrt(largest_phi[moved])
    else:
        cell = spread.wandering.largest(found, pooled, n, n_reference, moved, largest_phi, spread.df[0])
    parts = (
        t_as_beta(t[scores], spread.df[:3][scores]),
        # All of the excess may lie in one direction; then the residual has the tail of one.
        f_as_beta(found.residual[rest] / df / phi, fills, spread.df[3, rest]),
        # Given both masses together, the current one is binomial if nothing changed: exact for rare categories.
        (mass, before + 1.0 + credit, share, 1.0 - share),
        t_as_beta(cell, spread.df[0, moved]),
    )
    a, b, x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Tails((a, b, x, y), scores, rest, rare, moved)


def _mean_phi(pooled: Pooled, spread: Spread) -> Floats:
    """(features,): φ over all directions together, what PSI is expected to grow by."""
    has = ~np.isnan(pooled.scores.skewness)
    total = np.where(has, spread.phi[:3], 0.0).sum(axis=0) + pooled.df * spread.phi[3]
    directions = has.sum(axis=0) + pooled.df
    return np.where(directions > 0, total / np.maximum(directions, 1), spread.rare)
