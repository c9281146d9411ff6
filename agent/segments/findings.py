"""What was unusual in a segment, put into findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from agent.bins import Feature, Layout
from agent.quality.measure import Look as RateLook
from agent.quality.measure import percent
from agent.quality.tables import Places, bases_of
from agent.records import BinChange, Finding, Floats, Ints, Kind, Verdict
from agent.reference.by_segment import RUN_WINDOWS
from agent.segments import drift, rates
from agent.segments.drift import Look
from agent.segments.prepare import Group
from agent.segments.rates import Rates

SAID = 1e-3  # a finding is made of what is less likely: with ten thousand tests a window, ten by chance
CHANGES = 5
_RATES_A_SLICE = 4  # each up to 0.3 ms: an exact test for each horizon


class Told:
    """Findings of one group at one close. counts: int64 (horizons, segments, cells); alpha: by feature."""

    def __init__(self, layout: Layout, group: Group, counts: Ints, window: int, alpha: Sequence[float]) -> None:
        self._layout, self._group, self._counts, self._window, self._alpha = layout, group, counts, window, alpha
        self.bases = bases_of(layout, counts)

    def drift(self, looks: Sequence[Look], subject: int, p: Floats) -> Finding:
        """subject: its number in the group; p: by horizon, NaN where it was not tested."""
        shift, features = self._group.shift, self._group.shift.coarse.bins.size // len(self._group.names)
        segment, index = subject // features, int(shift.coarse.feature[subject])
        feature, alpha = self._layout.features[index], self._alpha[index]
        measured = [shift.effect(look, subject) if p[k] == p[k] else (np.nan, np.nan) for k, look in enumerate(looks)]
        effect = np.array([m[0] for m in measured])
        best, newest = _best(p, p < alpha, effect >= drift.FLOOR)
        cells = self._layout.slice(index)
        now, then = self._counts[best, segment, cells], self._group.counts[segment, cells]
        changes = _changes(feature, now, then)
        current, expected = _position(feature, now, then, changes)
        verdict = _verdict(float(p[best]), alpha, float(effect[best]), drift.FLOOR)
        back, left = RUN_WINDOWS[best], {}
        if verdict is Verdict.ALARM:
            back, left["newest_part"] = shift.since(looks, subject, best, newest)
        return Finding(
            "drift", feature.name, feature.source, verdict,
            p_value=float(p[best]), alpha=alpha, effect=float(effect[best]), horizon=RUN_WINDOWS[best],
            n=int(looks[best].n[subject]), n_reference=int(then[: feature.bins].sum()), phi=float(measured[best][1]),
            first_window=max(self._window - back + 1, 0), current=current, expected=expected,
            distances={
                "newest_p": float(p[newest]), "newest_effect": float(effect[newest]), **left,
                **_distance(feature, now, then),
            },
            changes=changes, segment=self._group.names[segment],
        )  # fmt: skip

    def faults(self, own: Rates, kind: Places) -> Iterator[list[Finding]]:
        """The unusual rates of one kind, all segments."""
        faulty, rows = kind.faulty(self._counts), self.bases[kind.measure.of][..., kind.features]
        found = own.stand_out(faulty, rows)
        if not found:
            return
        yield []
        for i in range(0, len(found), _RATES_A_SLICE):
            some = found[i : i + _RATES_A_SLICE]
            findings = [self._rate(own, kind, at, faulty[:, at[0], at[1]], rows[:, at[0], at[1]]) for at in some]
            yield [finding for finding in findings if finding is not None]

    def _rate(self, own: Rates, kind: Places, at: tuple[int, int], faulty: Ints, rows: Ints) -> Finding | None:
        """faulty, rows: by horizon."""
        measured = [
            own.p_value(at, int(f), int(n), k) if n >= rates.ROWS_MIN else (np.nan, 1.0)
            for k, (f, n) in enumerate(zip(faulty, rows, strict=True))
        ]
        p = np.array([m[0] for m in measured])
        if not (p < SAID).any():
            return None
        segment, index = at[0], int(kind.features[at[1]])
        feature, alpha, n_reference = self._layout.features[index], self._alpha[index], int(own.rows[at])
        expected = int(own.credited[at]) / n_reference
        rise = faulty / np.maximum(rows, 1) - expected
        best, newest = _best(p, p < alpha, rise >= rates.FLOOR)
        alarming = (p < alpha) & (rise >= rates.FLOOR)
        if alarming.any():  # a fault is told where it stands out most, not where it is most certain
            best = int(np.argmax(np.where(alarming, rise, -1.0)))
        phi, n, cells = float(measured[best][1]), int(rows[best]), self._layout.slice(index)
        now, then = self._counts[best, segment, cells], self._group.counts[segment, cells]
        look = RateLook(feature, now, then, int(faulty[best]), n, expected)
        verdict, said = _verdict(float(p[best]), alpha, float(rise[best]), rates.FLOOR), kind.measure.describe(look)
        if phi != phi:  # how the rate wanders is not known
            said = f"{said}; the reference has too few windows of it"
            verdict = Verdict.REFERENCE_TOO_SHORT if verdict is Verdict.ALARM else verdict
        if verdict is Verdict.BELOW_FLOOR:
            said = f"{said}; in a segment a rise under {percent(rates.FLOOR)} is not worth an alarm"
        return Finding(
            kind.measure.check, feature.name, feature.source, verdict, p_value=float(p[best]), alpha=alpha,
            effect=float(rise[best]), horizon=RUN_WINDOWS[best], n=n, n_reference=n_reference, phi=phi,
            first_window=max(self._window - RUN_WINDOWS[best] + 1, 0), current=look.share, expected=expected,
            distances={
                **kind.measure.detail(look), "newest_p": float(p[newest]), "newest_effect": float(rise[newest]),
                "newest_share": int(faulty[0]) / max(int(rows[0]), 1),
            },
            reason=said, segment=self._group.names[segment],
        )  # fmt: skip


def _best(p: Floats, significant: np.ndarray, large: np.ndarray) -> tuple[int, int]:
    """The horizon to tell: the most significant of those that alarm, if any do; and the newest one to end it by.

    The latter is the longest tested horizon of at most half the windows of the shortest that alarms (at least the
    shortest tested): it holds no window that something over would still be seen in.
    """
    known = np.where(np.isnan(p), np.inf, p)
    alarms = significant & large
    best = int(np.argmin(np.where(alarms, known, known + 2.0)))
    shortest = RUN_WINDOWS[int(np.flatnonzero(alarms)[0])] if alarms.any() else RUN_WINDOWS[best]
    tested = [k for k in range(len(p)) if p[k] == p[k]]
    newest = max((k for k in tested if RUN_WINDOWS[k] <= max(1, shortest // 2)), default=tested[0])
    return best, newest


def _verdict(p: float, alpha: float, effect: float, floor: float) -> Verdict:
    if not p < alpha:
        return Verdict.WITHIN_NOISE
    return Verdict.ALARM if effect >= floor else Verdict.BELOW_FLOOR


def _changes(feature: Feature, now: Ints, then: Ints) -> tuple[BinChange, ...]:
    """The bins whose share moved most, most first."""
    now, then, first = feature.wholes(now), feature.wholes(then), feature.whole.tolist()
    share, before = now / max(int(now.sum()), 1), then / max(int(then.sum()), 1)
    order = np.argsort(-np.abs(share - before), kind="stable")[:CHANGES].tolist()
    return tuple(
        BinChange(feature.label(first[i]), i, float(before[i]), float(share[i])) for i in order if now[i] or then[i]
    )


def _distance(feature: Feature, now: Ints, then: Ints) -> dict[str, float]:
    """ks of a number, l_infinity of a text or flag: as the whole's distances."""
    now, then = feature.wholes(now), feature.wholes(then)
    gap = now / max(int(now.sum()), 1) - then / max(int(then.sum()), 1)
    if feature.kind is Kind.NUMBER:
        return {"ks": float(np.abs(np.cumsum(gap)).max())}
    return {"l_infinity": float(np.abs(gap).max())}


def _position(feature: Feature, now: Ints, then: Ints, changes: Sequence[BinChange]) -> tuple[float, float]:
    """Current and expected: a number's mean rank in the segment's reference, else the share that moved most."""
    if feature.kind is not Kind.NUMBER:
        return (changes[0].current, changes[0].reference) if changes else (float("nan"), float("nan"))
    before = then[: feature.bins] / max(int(then[: feature.bins].sum()), 1)
    rank = np.cumsum(before) - before / 2.0
    return float((now[: feature.bins] * rank).sum() / max(int(now[: feature.bins].sum()), 1)), 0.5
