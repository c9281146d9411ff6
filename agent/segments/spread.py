"""φ of a segment: how much more its windows vary than independent rows would.

Runs of 1, 4 and 16 windows of the segment's own reference are each held against the rest of it. Two dozen runs leave a
wide t distribution, so each estimate borrows from the other subjects and from the whole's φ, scaled to the segment's
rows: a movement that all segments share adds variance in proportion to rows (decision 0090).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.drift.dispersion import Phi, directions, grown
from agent.drift.divergence import power_divergence
from agent.drift.moderation import DF_MAX, Lending
from agent.drift.raw import rare_phi
from agent.drift.scores import two_sample
from agent.drift.tail_weight import kurtosis_of, t_degrees
from agent.records import Floats
from agent.segments.coarse import Coarse

RUN_ROWS_MIN = 20  # fewer rows of a subject in a run say nothing
RUNS_MIN = 3
RARE_RUNS_MIN = 8  # the mass outside a lone cell borrows from nobody
DF_MIN = 15.0  # after borrowing: as for the whole
GROWTH_MAX = 4.0  # how many times more rows than the runs had


@dataclass(frozen=True)
class Runs:
    """What the runs of one length say, raw: (4, subjects) for location, scale, skew and the rest.

    kurtosis: (3, subjects) of z, excess. rare: (subjects,) φ of the mass outside a lone cell; rows, runs: (subjects,).
    """

    phi: Floats
    df: Floats
    kurtosis: Floats
    rare: Floats
    rows: Floats
    runs: Floats

    @classmethod
    def of(cls, coarse: Coarse, runs: Floats, whole: Floats) -> Runs:
        """runs: (runs, pooled) counts, each a part of whole: (pooled,)."""
        n, rest = coarse.sums(runs), coarse.sums(whole) - coarse.sums(runs)
        enough = (n >= RUN_ROWS_MIN) & (rest >= RUN_ROWS_MIN)
        count = enough.sum(axis=0).astype(np.float64)
        raw, z = scores(coarse, means(coarse, runs, n), means(coarse, whole - runs, rest), n, rest)
        z = np.where(enough[:, None, :], z, 0.0)
        phi = np.square(z).sum(axis=0) / np.maximum(count, 1.0)
        ratio = n / np.maximum(rest, 1.0)
        mass, expected = runs[:, coarse.first], (whole - runs)[:, coarse.first] * ratio
        divergence = power_divergence(runs, whole - runs, n, rest, coarse.first, coarse.owner)
        left = np.where(enough, np.maximum(divergence - np.square(raw).sum(axis=1), 0.0), 0.0).sum(axis=0)
        left = left / np.maximum(coarse.df, 1) / np.maximum(count, 1.0)
        df = np.where(np.isnan(coarse.skewness), 0.0, np.maximum(count - 1.0, 0.0))
        df_left = np.where(coarse.df > 0, np.maximum(count - 1.0, 0.0), 0.0) * directions(left, coarse.df)
        return cls(
            phi=np.vstack((phi, left)),
            df=np.vstack((df, df_left)),
            kurtosis=np.where(df >= RARE_RUNS_MIN, kurtosis_of(z, phi, count), np.nan),
            rare=np.where(coarse.lone, rare_phi(mass, expected, ratio, enough), 1.0),
            rows=np.where(enough, n, 0.0).sum(axis=0) / np.maximum(count, 1.0),
            runs=count,
        )


@dataclass(frozen=True)
class Known:
    """What is known of one horizon's φ, at the runs' own rows; cut into the subjects judged together by `part`."""

    phi: Floats
    df: Floats
    tail: Floats
    rare: Floats
    rows: Floats
    runs: Floats

    def part(self, chosen: slice) -> Known:
        return Known(*(field[..., chosen] for field in (self.phi, self.df, self.tail, self.rare, self.rows, self.runs)))

    def at(self, n: Floats) -> Phi:
        """For n rows (subjects,): φ - 1 grows with rows beyond the runs' own, and never shrinks below them."""
        more = np.maximum(n / np.maximum(self.rows, 1.0), 1.0)
        phi, df = grown(self.phi, self.df, more)
        known = (self.runs >= RUNS_MIN) & (more <= GROWTH_MAX)
        rare = 1.0 + (self.rare - 1.0) * more
        return Phi(phi, t_degrees(df, self.tail), known & (df >= DF_MIN), rare, known & (self.runs >= RARE_RUNS_MIN))


def learn(segments: Sequence[Sequence[Runs]], whole: Sequence[Runs]) -> list[Known]:
    """One a horizon. segments: by horizon, then by segment, all with the whole's features in its order."""
    found: list[Known] = []
    lending, lending_whole = Lending(), Lending()
    for own, base in zip(segments, whole, strict=True):
        common = lending_whole.moderate(base.phi, base.df, np.ones_like(base.phi), np.full_like(base.phi, DF_MAX))
        times = len(own)
        scaled = [_scaled(common[0] - 1.0, part.rows, base.rows) for part in own]
        prior = 1.0 + np.concatenate(scaled, axis=1)
        if found:  # longer runs vary no less, unless their own say so
            prior = np.maximum(prior, found[-1].phi)
        together = Runs(
            *(
                np.concatenate([getattr(part, name) for part in own], axis=-1)
                for name in ("phi", "df", "kurtosis", "rare", "rows", "runs")
            )
        )
        phi, df = lending.moderate(together.phi, together.df, prior, np.tile(common[1], times))
        tail = np.maximum(_tail(together.kurtosis, together.df[:3]), np.tile(_tail(base.kurtosis, base.df[:3]), times))
        scaled_rare = [_scaled(base.rare - 1.0, part.rows, base.rows) for part in own]
        rare = np.maximum(together.rare, 1.0 + np.concatenate(scaled_rare))
        found.append(Known(phi, df, np.vstack((tail, tail.max(axis=0))), rare, together.rows, together.runs))
    return found


def means(coarse: Coarse, pooled: Floats, n: Floats) -> Floats:
    """(…, 3, subjects): mean location, scale and skew scores of (…, pooled) counts."""
    found: Floats = np.stack([coarse.sums(pooled * v) for v in coarse.vectors], axis=-2)
    return found / np.maximum(n, 1.0)[..., None, :]


def scores(coarse: Coarse, mean: Floats, other: Floats, n: Floats, n_reference: Floats) -> tuple[Floats, Floats]:
    """(…, 3, subjects): z of location, scale and skew, raw and as normal deviates; 0 for a score that is not there.

    mean, other: as `means` has them, now and in the reference.
    """
    has = ~np.isnan(coarse.skewness)
    skewness = np.where(has, coarse.skewness, 0.0)
    raw, z = two_sample(mean, other, n[..., None, :], n_reference[..., None, :], skewness)
    return np.where(has, raw, 0.0), np.where(has, z, 0.0)


def _scaled(excess: Floats, rows: Floats, rows_whole: Floats) -> Floats:
    found: Floats = excess * np.minimum(rows / np.maximum(rows_whole, 1.0), 1.0)
    return found


def _tail(kurtosis: Floats, df: Floats) -> Floats:
    """(3, subjects): excess kurtosis beyond what so few runs show by chance: the subject's own, or the common one.

    Not the whole's `excess_kurtosis`: two dozen runs don't say how far subjects differ, so nothing is drawn together.
    """
    there = ~np.isnan(kurtosis)
    error = np.sqrt(24.0 / np.maximum(df + 1.0, 1.0))
    m = np.maximum(there.sum(axis=1, keepdims=True), 1)
    common = np.where(there, kurtosis, 0.0).sum(axis=1, keepdims=True) / m
    common -= np.where(there, error, 0.0).sum(axis=1, keepdims=True) / m / np.sqrt(m)
    own = np.where(there, kurtosis - 3.0 * error, 0.0)
    return np.asarray(np.maximum(np.maximum(own, common), 0.0), dtype=np.float64)
