"""From judged numbers to findings, in words that say what was compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agent.bins import Feature, Layout
from agent.drift.distances import NAMES
from agent.drift.effect import FLOOR
from agent.drift.matching import Matching
from agent.drift.onset import moved_windows, part_left
from agent.drift.pooling import ROWS_MIN, Cells
from agent.drift.rare_changes import rare_changes
from agent.records import BinChange, Finding, Floats, Ints, Kind, Verdict

if TYPE_CHECKING:
    from agent.drift.drift import Judged

CHANGES = 5


@dataclass(frozen=True)
class Known:
    """What is the same at every close. bin, labels: of each cell; rank: (cells,) mid-rank among the reference's values;
    season: "hour of the day" or "", of each feature."""

    cells: Cells
    features: tuple[Feature, ...]
    n_reference: list[int]
    rank: Floats
    bin: list[int]
    labels: list[str]
    season: list[str]

    @classmethod
    def of(cls, layout: Layout, cells: Cells, matching: Matching) -> Known:
        features = tuple(layout.features[i] for i in cells.features)
        first = layout.starts[:-1][list(cells.features)]
        bins = (cells.take - first[cells.owner]).tolist()
        before = np.cumsum(cells.share) - cells.share
        rank: Floats = before - before[cells.starts][cells.owner] + cells.share / 2.0
        return cls(
            cells, features, matching.n_total.astype(np.int64).tolist(), rank, bins,
            labels=[features[k].label(cell) for k, cell in zip(cells.owner.tolist(), bins, strict=True)],
            season=[matching.cycle(k).name for k in range(len(features))],
        )  # fmt: skip


@dataclass
class Telling:
    """One window's close. alpha: of each feature's horizons; best: (features,) index into `judged` of the one to tell,
    -1 where none was tested.

    terms: (cells,) shares now and then, and PSI terms, at that horizon; and the cells by rising term. windows: indices
    of those looked at, newest last; hours without a row are no windows.
    """

    known: Known
    judged: Sequence[Judged]
    alpha: Sequence[float]
    best: Ints
    terms: tuple[Floats, Floats, Floats, Ints]
    distances: dict[str, list[float]]
    windows: Sequence[int]

    def __post_init__(self) -> None:
        cells = self.known.cells
        features = len(self.known.features)
        p = np.array([j.p for j in self.judged]).reshape(-1, features)
        effect = np.array([j.effect for j in self.judged]).reshape(-1, features)
        self._p, self._effect = p.T.tolist(), effect.T.tolist()
        self._ran = [tuple(ran) for ran in (~np.isnan(p)).T.tolist()]
        self._newest_at, newest_p, newest_effect = self._newest(p, effect)
        self._newest_p, self._newest_effect = newest_p.tolist(), newest_effect.tolist()
        self._n = np.array([j.beside.n for j in self.judged]).T.astype(np.int64).tolist()
        self._beside = np.array([j.beside.n_reference for j in self.judged]).T.round().astype(np.int64).tolist()
        self._unmatched = np.array([j.beside.unmatched for j in self.judged]).T.astype(np.int64).tolist()
        self._starts = cells.starts.tolist()
        self._apart = np.setdiff1d(np.arange(cells.take.size), np.array(cells.joined, dtype=np.int64))
        self._ends = [*self._starts[1:], cells.take.size]
        now, then, _, order = self.terms
        self._now, self._then = now.tolist(), then.tolist()
        # In a small window beside a large reference, cells that are empty in both have the largest terms.
        held = order[(now[order] > 0) | (then[order] > 0)]
        self._held = held.tolist()
        self._held_ends = np.searchsorted(cells.owner[held], np.arange(features), side="right").tolist()
        self._mean_rank = cells.sums(now * self.known.rank).tolist()
        self._rank_then = cells.sums(then * self.known.rank).tolist()
        self._reasons: dict[tuple[object, ...], str] = {}

    def finding(self, k: int) -> Finding:
        feature, best = self.known.features[k], int(self.best[k])
        said = {name: self.distances[name][k] for name in NAMES if self.distances[name][k] == self.distances[name][k]}
        alpha = self.alpha[k]
        if best < 0:
            verdict, reason = self._untested(k)
            return Finding(
                "drift", feature.name, feature.source, verdict, alpha=alpha, n=self._n[k][-1] if self.judged else 0,
                n_reference=self.known.n_reference[k], first_window=self.windows[-1], distances=said, reason=reason,
            )  # fmt: skip
        chosen = self.judged[best]
        p, effect = self._p[k][best], self._effect[k][best]
        said["newest_p"], said["newest_effect"] = self._newest_p[k], self._newest_effect[k]
        changes = self._changes(k)
        current, expected = self._position(k, feature, changes)
        verdict = _verdict(p, alpha, effect)
        back = chosen.horizon
        if verdict is Verdict.ALARM:
            back, said["newest_part"] = self._since(k, best)
        return Finding(
            "drift", feature.name, feature.source, verdict, p_value=p, alpha=alpha, effect=effect,
            horizon=chosen.horizon, n=self._n[k][best], n_reference=self._beside[k][best], phi=float(chosen.phi[k]),
            first_window=self.windows[-min(back, len(self.windows))], current=current, expected=expected,
            distances=said, changes=changes, reason=self._reason(k),
        )  # fmt: skip

    def _since(self, k: int, best: int) -> tuple[int, float]:
        """How many windows back the first one lies that shows the change; and how much of it the newest ones show.

        By what may stand apart: rare categories that the reference happened to hold, and others in their place, differ
        in every window.
        """
        apart = self._apart[(self._apart >= self._starts[k]) & (self._apart < self._ends[k])] - self._starts[k]
        own = slice(self._starts[k], self._ends[k])
        looked = [j.beside for j in self.judged]
        rows = np.array([b.n[k] for b in looked])
        counts = np.add.reduceat(np.array([b.counts[own] for b in looked]), apart, axis=1)
        shares = np.array([b.reference[own] / max(float(b.n_reference[k]), 1.0) for b in looked])
        then = np.add.reduceat(shares, apart, axis=1)
        excess = counts - rows[:, None] * then
        back = moved_windows([j.horizon for j in self.judged], best, excess, rows, then[best])
        return back, part_left(best, int(self._newest_at[k]), excess, rows, then[best])

    def _newest(self, p: Floats, effect: Floats) -> tuple[Ints, Floats, Floats]:
        """(features,): the longest tested horizon of at most half the shortest that alarms, else told; its p;
        its effect. p, effect: (horizons, features)."""
        nothing = np.full(self.best.size, np.nan)
        if not self.judged:
            return np.zeros(self.best.size, dtype=np.int64), nothing, nothing
        horizons = np.array([j.horizon for j in self.judged])[:, None]
        alarms = (p < np.array(self.alpha)) & (effect >= FLOOR)
        shortest = np.where(alarms, horizons, np.iinfo(np.int64).max).min(axis=0)
        limit = np.maximum(np.where(alarms.any(axis=0), shortest, horizons[self.best, 0]) // 2, 1)
        tested = ~np.isnan(p) & (horizons <= limit)
        last = len(p) - 1 - np.argmax(tested[::-1], axis=0)
        features, there = np.arange(self.best.size), tested.any(axis=0)
        newest = np.where(there, last, 0)
        return newest, np.where(there, p[last, features], nothing), np.where(there, effect[last, features], nothing)

    def _changes(self, k: int) -> tuple[BinChange, ...]:
        """The bins that count most, most first."""
        if self.known.features[k].rare_cells > 1:
            return self._with_rare(k)
        labels, bins = self.known.labels, self.known.bin
        now, then = self._now, self._then
        start, end = self._held_ends[k - 1] if k else 0, self._held_ends[k]
        largest = self._held[max(start, end - CHANGES) : end]
        plain = self.known.features[k].kind is Kind.FLAG  # true and false, as the bins' numbers say
        return tuple([BinChange(labels[i], bins[i], then[i], now[i], plain) for i in reversed(largest)])

    def _with_rare(self, k: int) -> tuple[BinChange, ...]:
        own, chosen = slice(self._starts[k], self._ends[k]), self.judged[int(self.best[k])]
        now, then, _, _ = self.terms
        both = (max(float(n[k]), 1.0) for n in (chosen.beside.n, chosen.beside.n_reference))
        rows = 1.0 / sum(1.0 / n for n in both) / max(float(chosen.phi[k]), 1.0)
        return rare_changes(self.known.features[k], self.known.bin[own], now[own], then[own], rows, CHANGES)

    def _position(self, k: int, feature: Feature, changes: Sequence[BinChange]) -> tuple[float, float]:
        if feature.kind is Kind.NUMBER:
            return self._mean_rank[k], self._rank_then[k] if self.known.season[k] else 0.5
        if feature.kind is Kind.FLAG:
            start = self._starts[k]
            return self._now[start + 1], self._then[start + 1]
        return (changes[0].current, changes[0].reference) if changes else (float("nan"), float("nan"))

    def _untested(self, k: int) -> tuple[Verdict, str]:
        if not self.known.n_reference[k]:
            return Verdict.NO_REFERENCE, "the reference has no values of it"
        most, unmatched = max(self._n[k], default=0), max(self._unmatched[k], default=0)
        if most < ROWS_MIN <= unmatched:
            season = self.known.season[k]
            return Verdict.REFERENCE_TOO_SHORT, f"the reference has too few windows of this {season}"
        if not most:
            return Verdict.NO_DATA, "no values in the recent windows"
        if most < ROWS_MIN:
            return Verdict.NOT_ENOUGH_ROWS, f"{most} values; {ROWS_MIN} are needed"
        reason = "no horizon can run: the reference has too few windows, or too few rows a window"
        return Verdict.REFERENCE_TOO_SHORT, reason

    def _reason(self, k: int) -> str:
        """What it is compared with, which horizons ran and which could not; features share a few such texts."""
        season, unmatched = self.known.season[k], self._unmatched[k][-1] > 0
        ran = self._ran[k]
        key = (season, unmatched, ran)
        if key not in self._reasons:
            said = [f"compared with the same {season}"] if season else []
            if unmatched:
                said.append(f"windows of a {season} that the reference hardly has are left out")
            if not all(ran):
                tested = ", ".join(str(j.horizon) for j, ok in zip(self.judged, ran, strict=True) if ok)
                missing = ", ".join(str(j.horizon) for j, ok in zip(self.judged, ran, strict=True) if not ok)
                said.append(f"tested over {tested} windows; not over {missing}: reference too short, or too few rows")
            self._reasons[key] = "; ".join(said)
        return self._reasons[key]


def _verdict(p: float, alpha: float, effect: float) -> Verdict:
    if not p < alpha:
        return Verdict.WITHIN_NOISE
    return Verdict.ALARM if effect >= FLOOR else Verdict.BELOW_FLOOR
