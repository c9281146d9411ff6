"""What a segment shows of its median feature: the smallest shift, growth of a category and rise of missing values.

The judge of segments is asked itself: windows that hold exactly the shares of a change, without any noise, alarm from
some size on; that is found in half of all cases, and by 0.84 standard deviations more in four of five.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.power.rates import rate_of
from agent.power.shifts import TRIED, normal, normal_inverse
from agent.power.sight import LOWER_FIFTH, Seen, Sight
from agent.records import Floats, Ints, Source
from agent.reference.by_segment import RUN_WINDOWS
from agent.reference.profile import Reference
from agent.segments import Segments, drift, rates
from agent.segments.drift import Look, Shift
from agent.segments.prepare import Group
from agent.segments.rates import Rates
from agent.steps import finished

SEGMENTS_MAX = 100  # told of; beyond, evenly spaced groups of them stand for all


def segment_sights(segments: Segments, reference: Reference, rows: float) -> list[Sight]:
    """Up to three of each segment, of windows of so many rows in all. About 0.1 s for ten segments of 20 features."""
    scale = rows / max(float(reference.rows.sum()), 1.0)
    groups = segments.groups
    many = sum(len(group.names) for group in groups)
    found = []
    for group in groups[:: max(1, -(-many // SEGMENTS_MAX))]:
        found += _of_group(group, segments.alphas, scale)
        found += _missing(segments, group, scale)
    return found


def _of_group(group: Group, alphas: Sequence[float], scale: float) -> list[Sight]:
    shift = group.shift
    alpha = np.array(alphas)[shift.coarse.feature]
    moved = _Moved.of(shift)
    n = shift.coarse.sums(shift.reference) * scale
    by_horizon = [_smallest(shift, moved, k, n * horizon, alpha) for k, horizon in enumerate(RUN_WINDOWS)]
    features = shift.coarse.bins.size // len(group.names)
    found = []
    for s, name in enumerate(group.names):
        own = range(s * features, (s + 1) * features)
        for unit, kind in (("σ", False), ("share", True)):
            subjects = [i for i in own if bool(shift.coarse.text[i]) is kind and not shift.coarse.lone[i]]
            sights = [_sight(name, unit, i, moved, by_horizon) for i in subjects]
            if sights:
                found.append(_median(sights))
    return found


def _sight(name: str, unit: str, i: int, moved: _Moved, by_horizon: Sequence[Ints]) -> Sight:
    before, seen = float(moved.before[i]), []
    for horizon, found in zip(RUN_WINDOWS, by_horizon, strict=True):
        if found[i] >= 0:
            size = float(TRIED[found[i]])
            odds = before / max(1.0 - before, 1e-12) * math.exp(size)
            seen.append(Seen(horizon, size if unit == "σ" else odds / (1.0 + odds)))
    reason = "" if seen else "too few rows, or a reference of too few windows for so many segments"
    return Sight("drift", name, Source.FEATURE, unit, before, tuple(seen), reason, segment=name)


def _median(sights: Sequence[Sight]) -> Sight:
    """By what is seen at last; the blind see least."""

    def least(sight: Sight) -> float:
        seen = sight.within(math.inf)
        return math.inf if seen is None else seen.smallest - (0.0 if sight.unit == "σ" else sight.before)

    return sorted(sights, key=least)[len(sights) // 2]


@dataclass(frozen=True)
class _Moved:
    """Shares of every pooled cell after each of TRIED, (tried, pooled). before: (subjects,) of the category that grows,
    NaN for numbers. along: (tried, subjects), how far the statistic that tells has moved; chance: likewise, one row's
    variance of it, beside the reference's own."""

    shares: Floats
    before: Floats
    along: Floats
    chance: Floats

    @classmethod
    def of(cls, shift: Shift) -> _Moved:
        coarse = shift.coarse
        then = shift.reference / np.maximum(coarse.sums(shift.reference), 1.0)[coarse.owner]
        upto = np.cumsum(then)
        upto -= (upto - then)[coarse.first][coarse.owner]
        bound = np.array([normal_inverse(share) for share in upto.tolist()])
        bound[[*(coarse.first[1:] - 1).tolist(), -1]] = np.inf
        lower = np.concatenate(([-np.inf], bound[:-1]))
        lower[coarse.first] = -np.inf
        shares = normal(bound - TRIED[:, None]) - normal(lower - TRIED[:, None])
        grows = _smallest_cells(shift, then)
        before = np.where(coarse.text, then[grows], np.nan)
        odds = np.where(coarse.text, before / np.maximum(1.0 - before, 1e-12), 1.0) * np.exp(TRIED)[:, None]
        after = odds / (1.0 + odds)
        rest = (1.0 - after) / np.maximum(1.0 - np.where(coarse.text, before, 0.0), 1e-12)
        texts = coarse.text[coarse.owner]
        shares[:, texts] = (then * rest[:, coarse.owner])[:, texts]
        shares[:, grows[coarse.text]] = after[:, coarse.text]
        mean = coarse.sums(shares * coarse.vectors[0])
        along = np.where(coarse.text, after - before, np.abs(mean))
        chance = np.where(coarse.text, after * (1.0 - after), 1.0)
        return cls(shares, before, along, chance)


def _smallest_cells(shift: Shift, then: Floats) -> Ints:
    """(subjects,): the pooled cell that is the least of each, which is the one that grows."""
    first, bins = shift.coarse.first.tolist(), shift.coarse.bins.tolist()
    return np.array([f + int(np.argmin(then[f : f + b])) for f, b in zip(first, bins, strict=True)], dtype=np.int64)


def _smallest(shift: Shift, moved: _Moved, horizon: int, n: Floats, alpha: Floats) -> Ints:
    """(subjects,): index of the smallest of TRIED that is found in four of five, -1: none. n: rows pooled."""
    half = _of_half(shift, moved, horizon, n, alpha)
    look = shift.look(shift.reference / np.maximum(shift.coarse.sums(shift.reference), 1.0)[shift.coarse.owner]
                      * n[shift.coarse.owner], horizon)  # fmt: skip
    phi = np.where(shift.coarse.text, look.spread.phi.max(axis=0), look.spread.phi[0])
    own = moved.chance / np.maximum(n, 1.0) + moved.chance / np.maximum(shift.coarse.sums(shift.reference), 1.0)
    column = np.arange(half.size)
    need = moved.along[np.clip(half, 0, TRIED.size - 1), column] + LOWER_FIFTH * np.sqrt(phi * own)
    sure = (moved.along >= need) & _large(shift, moved, n, phi) & (np.arange(TRIED.size)[:, None] >= half)
    found = np.where(sure.any(axis=0) & (half >= 0), np.argmax(sure, axis=0), -1)
    return np.asarray(found)


def _of_half(shift: Shift, moved: _Moved, horizon: int, n: Floats, alpha: Floats) -> Ints:
    """(subjects,): likewise, of a window without noise, by the judge's own p; by bisection."""
    owner, everyone = shift.coarse.owner, np.arange(shift.coarse.bins.size)
    low, high = np.full(everyone.size, -1), np.full(everyone.size, TRIED.size)
    while (high - low > 1).any():
        middle = np.clip((low + high) // 2, 0, TRIED.size - 1)
        shares = moved.shares[middle[owner], np.arange(owner.size)]
        look: Look = shift.look(shares * n[owner], horizon)
        passes = (finished(shift.p_values([look], everyone))[0] < alpha) | (middle >= high)
        low, high = np.where(passes, low, middle), np.where(passes, np.minimum(middle, high), high)
    return np.where(high < TRIED.size, high, -1)


def _large(shift: Shift, moved: _Moved, n: Floats, phi: Floats) -> np.ndarray:
    """(tried, subjects): whether the corrected PSI's lower fifth reaches the floor."""
    coarse = shift.coarse
    n_reference = np.maximum(coarse.sums(shift.reference), 1.0)
    then = np.maximum(shift.reference / n_reference[coarse.owner], 1e-9)
    now = np.maximum(moved.shares, 1e-9)
    psi = coarse.sums((now - then) * np.log(now / then))
    noise = phi * (1.0 / np.maximum(n, 1.0) + 1.0 / n_reference)
    spread = np.sqrt(2.0 * np.maximum(coarse.bins - 1, 1) * noise**2 + 4.0 * psi * noise)
    return np.asarray(psi - LOWER_FIFTH * spread >= drift.FLOOR)


def _missing(segments: Segments, group: Group, scale: float) -> list[Sight]:
    """Of each segment, the feature with the median rate."""
    place = next((k for k, kind in enumerate(segments.kinds) if kind.measure.check == "missing"), None)
    if place is None:
        return []
    own, kind, found = group.rates[place], segments.kinds[place], []
    for s, name in enumerate(group.names):
        share = own.credited[s] / np.maximum(own.rows[s], 1)
        at = (s, int(np.argsort(share, kind="stable")[share.size // 2]))
        alpha, before = segments.alphas[int(kind.features[at[1]])], float(share[at[1]])
        seen = []
        for k, horizon in enumerate(RUN_WINDOWS):
            smallest = _rise(own, at, k, round(int(own.rows[at]) * scale * horizon), alpha)
            if smallest is not None:
                seen.append(Seen(horizon, smallest))
        reason = "" if seen else f"too few rows, {rates.ROWS_MIN} are needed, or a reference of too few windows"
        found.append(Sight("missing", name, Source.FEATURE, "share", before, tuple(seen), reason, segment=name))
    return found


def _rise(own: Rates, at: tuple[int, int], horizon: int, n: int, alpha: float) -> float | None:
    """The rate that is found in four of five among n rows; None: none is."""
    n_reference, credited = int(own.rows[at]), int(own.credited[at])
    if n < rates.ROWS_MIN or not n_reference:
        return None

    def alarms(count: int) -> bool:
        p, phi = own.p_value(at, count, n, horizon)
        return count / n - credited / n_reference >= rates.FLOOR and p < alpha and phi == phi

    if not alarms(n):
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if alarms(middle) else (middle, high)
    phi = own.p_value(at, high, n, horizon)[1]
    return rate_of(high, n, max(phi, 1.0))
