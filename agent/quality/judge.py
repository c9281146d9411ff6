"""Every measure of every feature, at one window's close: by what the schema demands, and against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from agent.ledger import RATES
from agent.quality.absent import ABSENT
from agent.quality.constant import Constant
from agent.quality.demands import Breach, Demands
from agent.quality.fractional import FRACTIONAL
from agent.quality.measure import FLOOR, Look, Measure, Of, percent
from agent.quality.missing import MISSING
from agent.quality.new_category import NEW_CATEGORY
from agent.quality.not_finite import NOT_FINITE
from agent.quality.out_of_range import OUT_OF_RANGE
from agent.quality.rates import BLOCKS_MIN, ROWS_MIN, Judged, Pools, Recent, judged
from agent.quality.spending import granted
from agent.quality.tables import Table, bases_of
from agent.quality.type_mismatch import TYPE_MISMATCH
from agent.quality.unknown import came_instead, new_features
from agent.records import BinChange, Closed, Finding, Floats, Verdict
from agent.reference.profile import Reference
from agent.reference.rising import growing, rising

__all__ = ["BLOCKS_MIN", "FLOOR", "MEASURES", "ROWS_MIN", "Quality"]
MEASURES: tuple[Measure, ...] = (
    TYPE_MISMATCH, MISSING, ABSENT, OUT_OF_RANGE, NEW_CATEGORY, NOT_FINITE, FRACTIONAL,
)  # fmt: skip

RISING = "it rose with every window of the reference: a clock or a counter? Such a feature is better ignored"
GROWING = "its list grew within the reference too: the model does not know what came since"
SLICE = 2  # findings a slice: each costs 50-600 µs, the more the closer to an alarm


class Ledger(Protocol):
    """Who says how significant a test must be."""

    def alpha(self, check: str, feature_index: int) -> float:
        """The significance that one test of `feature_index` may use, of one window and horizon. 0: no test."""
        ...


class Quality:
    """Judges windows against one reference. Holds no history: the caller brings the recent windows."""

    def __init__(self, reference: Reference, ledger: Ledger) -> None:
        self._layout = reference.layout
        self._then = reference.pooled
        self._demands = Demands(reference.layout)
        bases = bases_of(reference.layout, reference.blocks)
        features = range(len(reference.layout.features))
        alphas = {measure: [ledger.alpha(measure.check, i) for i in features] for measure in MEASURES}
        tables = (Table.of(measure, reference, bases, RATES, alphas[measure]) for measure in MEASURES)
        self._tables = [table for table in tables if table.features.size]
        self._alpha = {t.measure.check: np.array(alphas[t.measure])[t.features] for t in self._tables}
        self._bases = {of: base.sum(axis=0) for of, base in bases.items()}
        self._beside = {OUT_OF_RANGE: (rising(reference), RISING), NEW_CATEGORY: (growing(reference), GROWING)}
        self._constant = Constant(reference, bases, lambda i: ledger.alpha("constant", i))

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """Findings on the newest windows, in slices of about a millisecond; recent: newest last, 16 of them matter.

        One finding for each check and feature with a fault now or in the reference; none for the rest. It tells its
        most significant horizon (of those that alarm, if any do). For resolving an alert, newest_p and newest_effect:
        p and rise of the longest horizon of at most half the windows of the shortest one that alarms (at least 1);
        newest_share: of the newest window, where the finding tells a longer horizon.
        """
        if not recent:
            return
        windows = recent[-RATES[-1] :]
        counts = np.array([closed.counts for closed in windows])
        seen = Recent(windows, counts, bases_of(self._layout, counts))
        newest = {of: base[-1] for of, base in seen.bases.items()}
        broken = self._demands.broken(counts[-1], newest)
        yield []
        yield new_features(recent[-1])
        for table in self._tables:
            yield from self._of_table(table, seen, broken)
        yield from self._constant.judge(counts[-1], newest[Of.VALUES], recent[-1].index)

    def _of_table(
        self, table: Table, recent: Recent, broken: Mapping[tuple[str, int], Breach]
    ) -> Iterator[list[Finding]]:
        pools = Pools.of(table, recent)
        alphas = self._alphas(table, pools).tolist()
        yield []
        against = [(table.measure.check, i) in broken for i in table.features.tolist()] if broken else False
        faulty = (pools.faulty[0] > 0) | (table.own > 0) | pools.near.any(axis=0) | against
        worth = np.flatnonzero(faulty & (pools.rows[0] > 0))
        for start in range(0, len(worth), SLICE):
            chosen = worth[start : start + SLICE].tolist()
            yield [self._find(table, pools, recent, i, alphas[i], broken) for i in chosen]

    def _rows_then(self, table: Table, feature: int) -> int:
        """Of the whole reference: what shares of this measure are shares of."""
        return int(self._bases[table.measure.of][feature])

    def _alphas(self, table: Table, pools: Pools) -> Floats:
        """(m,): of one test of each feature, with what other tests of this check cannot spend."""
        own = self._alpha[table.measure.check]
        later = len(RATES) - len(pools.horizons)  # not there yet: not tested
        n = np.pad(pools.rows, ((0, later), (0, 0))).astype(np.float64)
        return granted(table, own, n, np.pad(pools.carried, ((0, later), (0, 0))).astype(np.bool_))

    def _find(
        self, table: Table, pools: Pools, recent: Recent, i: int, alpha: float,
        broken: Mapping[tuple[str, int], Breach],
    ) -> Finding:  # fmt: skip
        index = int(table.features[i])
        feature, cells = self._layout.features[index], self._layout.slice(index)
        tests = [judged(table, pools, k, i, alpha) for k in range(len(pools.horizons)) if not k or pools.near[k, i]]
        told = min(tests, key=lambda t: (t.verdict is not Verdict.ALARM, t.p != t.p, t.p))
        n_reference = int(table.rows[i])
        expected = int(table.faulty[i]) / n_reference if n_reference else float("nan")
        now = recent.sums(told.horizon)[cells]
        look = Look(feature, now, self._then[cells], told.faulty, told.n, expected)
        found = Finding(
            check=table.measure.check, subject=feature.name, source=feature.source, verdict=told.verdict,
            p_value=told.p, alpha=alpha, effect=look.share - expected, horizon=told.horizon, n=told.n,
            n_reference=n_reference, phi=told.phi, first_window=_first(recent, pools, look, told, i),
            current=look.share, expected=expected, changes=_changes(table.measure, look, self._rows_then(table, index)),
            reason=_said(table.measure, look, told),
            distances=_distances(table.measure, look, tests, pools, i) if told.verdict is Verdict.ALARM else {},
        )  # fmt: skip
        usual, said = self._beside.get(table.measure, (frozenset(), ""))
        if found.alarms and index in usual:
            found = replace(found, reason=f"{found.reason}; {said}")
        if table.measure is ABSENT and found.alarms:
            gone = float(pools.faulty[0, i]) - expected * float(pools.rows[0, i])
            if names := came_instead(recent.windows[-1], feature.name, gone):
                found = replace(found, reason=f"{found.reason}; new in its place: {names}")
        breach = broken.get((table.measure.check, index))
        return found if breach is None else _by_rule(found, breach, recent.windows[-1].index)


def _said(measure: Measure, look: Look, told: Judged) -> str:
    """A fault's description, and why it is no alarm where it is none."""
    if told.verdict not in (Verdict.ALARM, Verdict.BELOW_FLOOR, Verdict.REFERENCE_TOO_SHORT):
        return told.reason
    said = measure.describe(look)
    if told.horizon > 1:
        said = f"{said}, {told.horizon} windows together"
    if told.verdict is Verdict.BELOW_FLOOR:
        return f"{said}; a rise under {percent(FLOOR)} is not worth an alarm"
    return f"{said}; {told.reason}" if told.reason else said


def _distances(measure: Measure, look: Look, tests: Sequence[Judged], pools: Pools, i: int) -> Mapping[str, float]:
    alarming = min(test.horizon for test in tests if test.verdict is Verdict.ALARM)
    half = max(alarming // 2, 1)
    longest = max(k for k, horizon in enumerate(pools.horizons) if horizon <= half)
    newest = next((test for test in tests if test.horizon == pools.horizons[longest]), None)
    shares = pools.faulty[:, i] / np.maximum(pools.rows[:, i], 1)
    # A pool that was not near is within two deviations of what the reference shows.
    p = newest.p if newest is not None and newest.p == newest.p else 1.0
    found = {"newest_p": p, "newest_effect": float(shares[longest]) - look.expected}
    if look.n != int(pools.rows[0, i]):
        found["newest_share"] = float(shares[0])
    return {**measure.detail(look), **found}


def _first(recent: Recent, pools: Pools, look: Look, told: Judged, i: int) -> int:
    """The first of the pooled windows that shows at least half of the rise."""
    if told.verdict is not Verdict.ALARM or told.horizon == 1:
        return recent.windows[-1].index
    faulty, rows = (part[-told.horizon :, i] for part in pools.every)
    risen = (rows > 0) & (faulty / np.maximum(rows, 1) >= (look.share + look.expected) / 2.0)
    return recent.windows[len(recent.windows) - told.horizon + int(np.argmax(risen))].index


def _by_rule(found: Finding, breach: Breach, window: int) -> Finding:
    """The schema's rule goes first; what the reference says of the same fault stands behind it."""
    reason = f"{breach.reason}; {found.reason}" if found.alarms else breach.reason
    kept = {name: value for name, value in found.distances.items() if not name.startswith("newest_")}
    return replace(
        found, verdict=Verdict.ALARM, effect=breach.effect, horizon=1, n=breach.n, first_window=window,
        current=breach.faulty / breach.n, reason=reason, distances={**kept, "limit": breach.demand.limit},
    )  # fmt: skip


def _changes(measure: Measure, look: Look, n_reference: int) -> tuple[BinChange, ...]:
    by_bin: dict[int, list[int]] = {}
    for cell in measure.cells(look.feature):
        by_bin.setdefault(look.feature.told(cell), []).append(cell)
    found = [(told, own, int(look.now[own].sum()), int(look.then[own].sum())) for told, own in by_bin.items()]
    return tuple(
        BinChange(look.feature.label(own[0]), told, then / n_reference if n_reference else 0.0, now / look.n)
        for told, own, now, then in found
        if now or then
    )
