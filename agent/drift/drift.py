"""The drift rule: two-sample tests at many horizons against the ledger's alpha, AND the effect's floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import Feature
from agent.drift.comparison import Comparison, compare, largest_cell
from agent.drift.dispersion import Dispersion, Spread, directions
from agent.drift.distances import NAMES, Axis, distances
from agent.drift.effect import FLOOR, corrected_psi, psi_terms
from agent.drift.pooling import ROWS_MIN, Cells, Levels, Pooled
from agent.drift.tails import beta_share, cauchy_combination, f_as_beta, t_as_beta
from agent.ledger import HORIZONS, Ledger
from agent.records import BinChange, Bools, Closed, Finding, Floats, Ints, Kind, Source, Verdict
from agent.reference.profile import Reference

CHANGES = 5
_FINDINGS_A_SLICE = 25


@dataclass(frozen=True)
class Judged:
    """One horizon, every tested feature: (features,) each. p: NaN where not tested."""

    horizon: int
    counts: Floats  # (cells,)
    n: Floats
    p: Floats
    effect: Floats
    phi: Floats


@dataclass(frozen=True)
class Outlook:
    """What so many rows over one horizon would be judged by: `agent/power.py` reckons from it what can be seen.

    rows, n_reference, alpha, phi: (features,); phi: over all directions, as the effect's floor takes it.
    """

    cells: Cells
    pooled: Pooled
    spread: Spread
    rows: Floats
    n_reference: Floats
    alpha: Floats
    phi: Floats


class Drift:
    """Judges windows against one reference. Holds no history: the caller brings the recent windows.

    Preparation takes some 100 ms for 200 features (run it in a thread); judging 200 features at 6 horizons about 25 ms.
    """

    def __init__(self, reference: Reference, ledger: Ledger, horizons: Sequence[int] = HORIZONS) -> None:
        layout = reference.layout
        self.horizons = tuple(sorted(horizons))
        self._layout = layout
        self._cells = Cells.of(layout, reference.share)
        self._skipped = [f for f in layout.features if _is_silent(f)]
        if not self._cells.features:
            return
        blocks = reference.blocks[:, self._cells.take].astype(np.float64)
        self._levels = Levels(self._cells)
        self._dispersion = Dispersion(self._cells, self._levels, blocks, self.horizons)
        self._reference = blocks.sum(axis=0)
        self._n_reference = self._cells.sums(self._reference)
        self._axis = Axis.of(layout, self._cells)
        self._alpha = np.array([ledger.alpha("drift", i) for i in self._cells.features])
        self._rank = _ranks(self._cells)
        self._texts = np.array([layout.features[i].kind is Kind.TEXT for i in self._cells.features])
        self._own = [layout.features[i] for i in self._cells.features]
        first = layout.starts[:-1][list(self._cells.features)]
        self._bin = (self._cells.take - first[self._cells.owner]).tolist()
        self._labels = [
            self._own[k].label(cell) for k, cell in zip(self._cells.owner.tolist(), self._bin, strict=True)
        ]

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
        """
        if self._skipped:
            none = Verdict.NO_DATA
            yield [Finding("drift", f.name, f.source, none, reason="vectors have no bins") for f in self._skipped]
        if not self._cells.features or not recent:
            return
        newest = recent[-1].counts[self._cells.take].astype(np.float64)
        judged: list[Judged] = []
        for horizon, counts in self._pooled(recent):
            compared = self._compare(counts)
            yield []
            judged.append(self._weigh(horizon, counts, *compared))
            yield []
        shown = distances(self._cells, self._axis, newest, self._reference)
        yield []
        best = self._choose(judged)
        terms = self._terms(judged, best)
        yield []
        features = len(self._own)
        told = _Told(self, judged, best, terms, {k: v.tolist() for k, v in shown.items()}, recent[-1].index)
        for start in range(0, features, _FINDINGS_A_SLICE):
            yield [told.finding(k) for k in range(start, min(start + _FINDINGS_A_SLICE, features))]

    def outlook(self, horizon: int, rows: Floats) -> Outlook | None:
        """rows: (features,) values pooled over the horizon, of each tested feature. None: no feature is tested."""
        if not self._cells.features:
            return None
        pooled, spread = self._levels.at(self._levels.level(rows)), self._dispersion.at(horizon, rows)
        phi = _mean_phi(pooled, spread)
        return Outlook(self._cells, pooled, spread, rows, self._n_reference, self._alpha, phi)

    def _pooled(self, recent: Sequence[Closed]) -> Iterator[tuple[int, Floats]]:
        """Counts of the newest h windows, for each horizon that there are windows for."""
        total, summed = np.zeros(self._cells.take.size), 0
        for horizon in self.horizons:
            if horizon > len(recent):
                return
            for window in recent[len(recent) - horizon : len(recent) - summed]:
                total = total + window.counts[self._cells.take]
            summed = horizon
            yield horizon, total

    def _compare(self, counts: Floats) -> tuple[Pooled, Comparison, Floats]:
        n = self._cells.sums(counts)
        pooled = self._levels.at(self._levels.level(n))
        return pooled, compare(self._cells, pooled, counts, self._reference, n, self._n_reference), n

    def _weigh(self, horizon: int, counts: Floats, pooled: Pooled, found: Comparison, n: Floats) -> Judged:
        n_reference, spread = self._n_reference, self._dispersion.at(horizon, n)
        p = cauchy_combination(_p_values(pooled, found, spread, n, n_reference, self._texts))
        phi = _mean_phi(pooled, spread)
        terms = psi_terms(found.current, found.reference, n, n_reference, pooled.bins, pooled.owner)
        psi = np.add.reduceat(terms, pooled.first)
        effect = corrected_psi(psi, n, n_reference, pooled.bins, phi)
        return Judged(horizon, counts, n, np.where((n >= ROWS_MIN) & (n_reference > 0), p, np.nan), effect, phi)

    def _choose(self, judged: Sequence[Judged]) -> Ints:
        """(features,): the index into `judged` of the horizon to tell; -1 where none was tested."""
        if not judged:
            return np.full(len(self._own), -1)
        p = np.array([j.p for j in judged])
        alarms = (p < self._alpha) & (np.array([j.effect for j in judged]) >= FLOOR)
        order = np.where(np.isnan(p), np.inf, p) + np.where(alarms, 0.0, 2.0)
        best = np.argmin(order, axis=0)
        return np.where(np.isnan(p).all(axis=0), -1, best)

    def _terms(self, judged: Sequence[Judged], best: Ints) -> tuple[Floats, Floats, Floats, Ints]:
        """(cells,) shares now and then, and PSI terms, at each feature's chosen horizon; cells by rising term."""
        owner = self._cells.owner
        counts = np.array([j.counts for j in judged])[best[owner], np.arange(owner.size)]
        n = np.maximum(self._cells.sums(counts), 1.0)
        sizes = np.diff([*self._cells.starts.tolist(), owner.size])
        terms = psi_terms(counts, self._reference, n, self._n_reference, sizes, owner)
        now, then = counts / n[owner], self._reference / np.maximum(self._n_reference, 1.0)[owner]
        return now, then, terms, np.lexsort((terms, owner))


@dataclass
class _Told:
    """Turns judged numbers into findings, one feature at a time."""

    drift: Drift
    judged: Sequence[Judged]
    best: Ints
    terms: tuple[Floats, Floats, Floats, Ints]
    distances: dict[str, list[float]]
    newest_window: int

    def __post_init__(self) -> None:
        self._p = np.array([j.p for j in self.judged]).T.tolist()
        self._effect = np.array([j.effect for j in self.judged]).T.tolist()
        self._n = np.array([j.n for j in self.judged]).T.astype(np.int64).tolist()
        self._ends = [*self.drift._cells.starts[1:].tolist(), self.drift._cells.take.size]
        now, then, _, order = self.terms
        self._now, self._then, self._order = now.tolist(), then.tolist(), order.tolist()
        self._mean_rank = self.drift._cells.sums(now * self.drift._rank).tolist()
        self._reasons: dict[tuple[bool, ...], str] = {}

    def finding(self, k: int) -> Finding:
        feature, best = self.drift._own[k], int(self.best[k])
        n_reference = int(self.drift._n_reference[k])
        said = {name: self.distances[name][k] for name in NAMES if self.distances[name][k] == self.distances[name][k]}
        alpha = float(self.drift._alpha[k])
        if best < 0:
            verdict, reason = self._untested(k, n_reference)
            n = self._n[k][-1] if self.judged else 0
            return Finding(
                "drift", feature.name, feature.source, verdict, alpha=alpha, n=n, n_reference=n_reference,
                first_window=self.newest_window, distances=said, reason=reason,
            )  # fmt: skip
        chosen = self.judged[best]
        p, effect = self._p[k][best], self._effect[k][best]
        said["newest_p"], said["newest_effect"] = self._newest(k, alpha, chosen.horizon)
        changes = self._changes(k)
        current, expected = self._position(k, feature, changes)
        return Finding(
            "drift", feature.name, feature.source, _verdict(p, alpha, effect), p_value=p, alpha=alpha, effect=effect,
            horizon=chosen.horizon, n=self._n[k][best], n_reference=n_reference, phi=float(chosen.phi[k]),
            first_window=max(self.newest_window - chosen.horizon + 1, 0), current=current, expected=expected,
            distances=said, changes=changes, reason=self._reason(k),
        )  # fmt: skip

    def _newest(self, k: int, alpha: float, chosen: int) -> tuple[float, float]:
        p, effect = self._p[k], self._effect[k]
        alarming = [j.horizon for i, j in enumerate(self.judged) if p[i] < alpha and effect[i] >= FLOOR]
        limit = max(1, min(alarming, default=chosen) // 2)
        found = (float("nan"), float("nan"))
        for i, judged in enumerate(self.judged):
            if judged.horizon <= limit and p[i] == p[i]:
                found = p[i], effect[i]
        return found

    def _changes(self, k: int) -> tuple[BinChange, ...]:
        """The bins that count most, most first."""
        start, end = int(self.drift._cells.starts[k]), self._ends[k]
        top = self._order[max(start, end - CHANGES) : end]
        labels, bins = self.drift._labels, self.drift._bin
        now, then = self._now, self._then
        return tuple([BinChange(labels[i], bins[i], then[i], now[i]) for i in reversed(top) if now[i] or then[i]])

    def _position(self, k: int, feature: Feature, changes: Sequence[BinChange]) -> tuple[float, float]:
        if feature.kind is Kind.NUMBER:
            return self._mean_rank[k], 0.5
        if feature.kind is Kind.FLAG:
            start = int(self.drift._cells.starts[k])
            return self._now[start + 1], self._then[start + 1]
        return changes[0].current, changes[0].reference

    def _untested(self, k: int, n_reference: int) -> tuple[Verdict, str]:
        if not n_reference:
            return Verdict.NO_REFERENCE, "the reference has no values of it"
        most = max(self._n[k], default=0)
        if not most:
            return Verdict.NO_DATA, "no values in the recent windows"
        if most < ROWS_MIN:
            return Verdict.NOT_ENOUGH_ROWS, f"{most} values; {ROWS_MIN} are needed"
        reason = "no horizon can run: the reference has too few windows, or too few rows a window"
        return Verdict.REFERENCE_TOO_SHORT, reason

    def _reason(self, k: int) -> str:
        """Which horizons ran and which could not; most features share a few such texts."""
        ran = tuple(p == p for p in self._p[k])
        if all(ran):
            return ""
        if ran not in self._reasons:
            tested = ", ".join(str(j.horizon) for j, ok in zip(self.judged, ran, strict=True) if ok)
            missing = ", ".join(str(j.horizon) for j, ok in zip(self.judged, ran, strict=True) if not ok)
            why = "reference too short, or too few rows"
            self._reasons[ran] = f"tested over {tested} windows; not over {missing}: {why}"
        return self._reasons[ran]


def _is_silent(feature: Feature) -> bool:
    return feature.bins == 0 and not feature.ignored and feature.source is not Source.LATENCY


def _verdict(p: float, alpha: float, effect: float) -> Verdict:
    if not p < alpha:
        return Verdict.WITHIN_NOISE
    return Verdict.ALARM if effect >= FLOOR else Verdict.BELOW_FLOOR


def _p_values(
    pooled: Pooled, found: Comparison, spread: Spread, n: Floats, n_reference: Floats, texts: Bools
) -> Floats:
    """(6, features): location, scale, skew, residual, rare mass, largest cell; NaN where a feature lacks the test."""
    scores = spread.tested[:3] & ~np.isnan(pooled.scores.skewness)
    t = found.z / np.sqrt(spread.phi[:3])
    rest = spread.tested[3] & (pooled.df > 0)
    df, phi = pooled.df[rest].astype(np.float64), spread.phi[3, rest]
    rare = spread.rare_tested & (found.rare > 0)
    mass, before = found.rare[rare] / spread.rare[rare], found.rare_reference[rare] / spread.rare[rare]
    share = n[rare] / np.maximum(n[rare] + n_reference[rare], 1.0)
    # A text's one category may be what moved. Its φ is not known by itself: the largest of the feature's is taken.
    moved = texts & spread.tested[0] & (pooled.bins > 2)
    cell = largest_cell(found, pooled, n, n_reference) / np.sqrt(spread.phi.max(axis=0))
    parts = (
        t_as_beta(t[scores], spread.df[:3][scores]),
        # All of the excess may lie in one direction; then the residual has the tail of one.
        f_as_beta(found.residual[rest] / df / phi, directions(phi, df), spread.df[3, rest]),
        # Given both masses together, the current one is binomial if nothing changed: exact for rare categories.
        (mass, before + 1.0, share, 1.0 - share),
        t_as_beta(cell[moved], spread.df[0, moved]),
    )
    values = beta_share(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    ends = np.cumsum([part[0].size for part in parts])
    of_scores, of_rest, of_rare, of_cell = np.split(values, ends[:-1])
    p = np.full((6, n.size), np.nan)
    p[:3][scores], p[3, rest], p[4, rare] = of_scores, of_rest, of_rare
    p[5, moved] = np.minimum(of_cell * pooled.bins[moved], 1.0)
    return p


def _mean_phi(pooled: Pooled, spread: Spread) -> Floats:
    """(features,): φ over all directions together, what PSI is expected to grow by."""
    has = ~np.isnan(pooled.scores.skewness)
    total = np.where(has, spread.phi[:3], 0.0).sum(axis=0) + pooled.df * spread.phi[3]
    directions = has.sum(axis=0) + pooled.df
    return np.where(directions > 0, total / np.maximum(directions, 1), spread.rare)


def _ranks(cells: Cells) -> Floats:
    """(cells,): mid-rank among the reference's values, 0-1."""
    before = np.cumsum(cells.share) - cells.share
    found: Floats = before - before[cells.starts][cells.owner] + cells.share / 2.0
    return found
