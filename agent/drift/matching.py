"""What a live horizon is compared with: for every feature the blocks of its own season, mixed as the windows are.

The matched reference of windows with n_i rows in the phases p_i has the shares Σ (n_i / n) share_{p_i}, and is worth
1 / Σ_p (n_p / n)² / N_p rows: its variance is that of so many (Kish 1965, post-stratification). All tests downstream
see counts of that many rows, and need to know nothing of seasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.drift.leave_out import Groups, by_phase
from agent.drift.pooling import ROWS_MIN, Cells, Levels
from agent.drift.scores import Scores, score_sums
from agent.drift.seasons import Cycle, Season, choose, seasons_of
from agent.records import Bools, Closed, Floats, Ints
from agent.reference.profile import Reference

_PRIOR_ROWS = 500.0  # of variance 1: a phase with few rows cannot claim that its values hardly vary


@dataclass(frozen=True)
class Beside:
    """Counts of a horizon and what they are compared with.

    counts, reference: (cells,); n, n_reference: (features,), effective rows; variance: (3, features) of one value's
    scores within its phases, 1 where there is no season. unmatched: (features,) rows in phases the reference lacks.
    apart: (features,) variance of the windows' mean location scores around their common mean, less what noise gives.
    """

    counts: Floats
    reference: Floats
    n: Floats
    n_reference: Floats
    variance: Floats
    unmatched: Floats
    apart: Floats


@dataclass(frozen=True)
class Part:
    """The features that share one season, the whole reference being one of them.

    features, cells: where they are in the whole; owner: of each of these cells, within `features`. counts: float32
    (phases, cells); rows: (phases, features); variance: (phases, 3, features); middle: (phases, features), mean
    location score.
    """

    season: Season
    features: Ints
    cells: Ints
    owner: Ints
    counts: Floats
    rows: Floats
    variance: Floats
    middle: Floats

    @property
    def usable(self) -> Bools:
        return self.season.known[:, None] & (self.rows > 0)


class Matching:
    """The reference by season and phase. About 4 bytes x phases x cells, for features that have a season."""

    def __init__(self, cells: Cells, seasons: Sequence[Season], chosen: Ints, blocks: Floats, scores: Scores) -> None:
        """chosen: (features,), which of `seasons`; scores: those that the variance within phases is told of."""
        self.cells = cells
        self.location = scores.vectors[0].astype(np.float64)
        self.chosen = chosen
        self.seasons = tuple(seasons)
        self.blocks = _without_unknown(cells, seasons, chosen, blocks)
        self.parts = tuple(self._part(s, np.flatnonzero(chosen == i), scores) for i, s in enumerate(seasons))
        self.total = self.blocks.sum(axis=0)
        self.n_total = cells.sums(self.total)

    def _part(self, season: Season, features: Ints, scores: Scores) -> Part:
        at = np.flatnonzero(np.isin(self.cells.owner, features))
        counts = by_phase(season, self.blocks[:, at])
        owner = np.searchsorted(features, self.cells.owner[at])
        starts = np.searchsorted(owner, np.arange(features.size))
        rows = np.add.reduceat(counts, starts, axis=1) if features.size else np.zeros((len(counts), 0))
        variance = np.ones((len(counts), 3, features.size))
        middle = np.zeros_like(rows)
        if season.known.size > 1 and features.size:
            for k, vector in enumerate(scores.vectors[:, at]):
                n = np.maximum(rows, 1.0)
                mean = np.add.reduceat(counts * vector, starts, axis=1) / n
                middle = mean if k == 0 else middle
                square = np.add.reduceat(counts * np.square(vector), starts, axis=1) / n
                variance[:, k] = (rows * (square - mean**2) + _PRIOR_ROWS) / (rows + _PRIOR_ROWS)
        seasonal = season.known.size > 1
        counts = counts.astype(np.float32) if seasonal else counts
        return Part(season, features, at, owner, counts, rows, variance, middle)

    def forget_blocks(self) -> None:
        """Once φ is learned, the sums by phase are all that judging needs."""
        self.blocks = np.empty((0, self.blocks.shape[1]))  # a slice would hold on to them all

    def rows(self, horizon: int) -> Floats:
        """(features,): about how many rows of the reference `horizon` windows are compared with."""
        found = self.n_total.copy()
        for part in self.parts:
            if part.season.known.size > 1:
                found[part.features] *= min(horizon / part.season.known.size, 1.0)
        return found

    def cycle(self, feature: int) -> Cycle:
        return self.seasons[int(self.chosen[feature])].cycle

    def beside(self, recent: Sequence[Closed], horizons: Sequence[int], window_seconds: float) -> Iterator[Beside]:
        """The newest h windows for each horizon h that there are windows for."""
        so_far = _Sum(self)
        taken, window_ns = 0, round(window_seconds * 1e9)
        for horizon in horizons:
            if horizon > len(recent):
                return
            for window in recent[len(recent) - horizon : len(recent) - taken]:
                so_far.add(window.counts[self.cells.take].astype(np.float64), window.index * window_ns)
            taken = horizon
            yield so_far.beside()


def matching_of(reference: Reference, cells: Cells, levels: Levels, window_seconds: float) -> Matching:
    """Every feature by the season that predicts the reference's own blocks best, or by none."""
    seasons = seasons_of(reference, window_seconds)
    blocks = reference.blocks[:, cells.take].astype(np.float64)
    n = cells.sums(blocks)
    scores = levels.at(levels.level(n.sum(axis=0) / max(len(n), 1))).scores
    chosen = np.zeros(len(cells.features), dtype=np.int64)
    if len(seasons) > 1:
        sums = score_sums(cells, scores, blocks)
        chosen = choose([_errors(season, sums, n) for season in seasons])
    return Matching(cells, seasons, chosen, blocks, scores)


def _errors(season: Season, sums: Floats, n: Floats) -> Floats:
    """(blocks, features): squared errors of a left-out block's mean scores, times its rows."""
    known = season.known[season.phase][:, None]
    groups = Groups.of(season, 1)
    rows = groups.rows(np.where(known, n, 0.0))
    mean, matched = groups.compare(np.where(known[:, None], sums, 0.0), rows)
    found = (np.square(mean - matched) * rows.total[:, None, :]).sum(axis=1)
    return np.where(rows.effective > 0, found, 0.0)


class _Sum:
    """Adds windows up, each beside its own phase."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching
        self._counts = np.zeros(matching.cells.take.size)
        self._unmatched = np.zeros(matching.chosen.size)
        self._first, self._second, self._windows = (np.zeros(matching.chosen.size) for _ in range(3))
        self._seasonal = [p for p in matching.parts if p.season.known.size > 1 and p.features.size]
        self._rows = [np.zeros(p.rows.shape) for p in self._seasonal]

    def add(self, counts: Floats, start_ns: int) -> None:
        self._counts += counts
        n = self._matching.cells.sums(counts)
        location = self._matching.cells.sums(counts * self._matching.location) / np.maximum(n, 1.0)
        for part, rows in zip(self._seasonal, self._rows, strict=True):
            phase = int(part.season.cycle.slot(np.array(start_ns)) % part.season.known.size)
            usable = part.usable[phase]
            own = n[part.features]
            location[part.features] -= part.middle[phase]
            rows[phase] += np.where(usable, own, 0.0)
            if not usable.all():
                self._unmatched[part.features] += np.where(usable, 0.0, own)
                n[part.features] = np.where(usable, own, 0.0)
                self._counts[part.cells] -= np.where(usable[part.owner], 0.0, counts[part.cells])
        self._windows += n > 0
        self._first += n * location
        self._second += n * np.square(location)

    def beside(self) -> Beside:
        matching = self._matching
        counts = self._counts.copy()
        n = matching.cells.sums(counts)
        reference, n_reference = matching.total.copy(), matching.n_total.copy()
        variance = np.ones((3, n.size))
        for part, rows in zip(self._seasonal, self._rows, strict=True):
            phases = np.flatnonzero(rows.any(axis=1))
            weight = rows[phases] / np.maximum(n[part.features], 1.0)
            known = np.maximum(part.rows[phases], 1.0)
            one_over = (np.square(weight) / known).sum(axis=0)
            effective = np.where(one_over > 0, 1.0 / np.where(one_over > 0, one_over, 1.0), 0.0)
            per_row = weight / known * effective
            mixed = np.zeros(part.cells.size)
            for phase, factor in zip(phases, per_row, strict=True):
                mixed += part.counts[phase] * factor[part.owner]
            reference[part.cells] = mixed
            n_reference[part.features] = np.where(effective >= ROWS_MIN, effective, 0.0)
            variance[:, part.features] = (weight[:, None, :] * part.variance[phases]).sum(axis=0)
        whole = np.maximum(n, 1.0)
        apart = self._second / whole - np.square(self._first / whole) - np.maximum(self._windows - 1.0, 0.0) / whole
        variance = np.where(variance > 0, variance, 1.0)
        return Beside(counts, reference, n, n_reference, variance, self._unmatched.copy(), np.maximum(apart, 0.0))


def _without_unknown(cells: Cells, seasons: Sequence[Season], chosen: Ints, blocks: Floats) -> Floats:
    """Blocks in phases that a feature's season does not know are nothing to it."""
    found = blocks
    for i, season in enumerate(seasons):
        unknown = ~season.known[season.phase]
        if unknown.any() and (chosen == i).any():
            found = found.copy() if found is blocks else found
            found[np.ix_(unknown, chosen[cells.owner] == i)] = 0.0
    return found
