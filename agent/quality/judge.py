"""Every measure of every feature, at one window's close."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agent.bins import SPECIALS, Layout
from agent.quality.measure import Look, Measure, Of, percent
from agent.quality.missing import MISSING
from agent.quality.new_category import NEW_CATEGORY
from agent.quality.not_finite import NOT_FINITE
from agent.quality.out_of_range import OUT_OF_RANGE
from agent.quality.spread import Spread, rate_tail
from agent.quality.type_mismatch import TYPE_MISMATCH
from agent.records import BinChange, Cells, Closed, Finding, Ints, Source, Verdict
from agent.reference.profile import Reference
from agent.tails import hypergeometric_tail

MEASURES: tuple[Measure, ...] = (TYPE_MISMATCH, MISSING, OUT_OF_RANGE, NEW_CATEGORY, NOT_FINITE)

ROWS_MIN = 10  # "eight rows alarm on nothing" (statistics.md, point 6)
# Rise in share below which nobody is woken: one row in two hundred cannot move a model's average by what anyone sees.
FLOOR = 0.005
BLOCKS_MIN = 8  # fewer blocks: a rate that varies cannot be told from one that rose
WITHIN = "no more than chance and the reference's own wander bring"
SLICE = 4  # findings a slice: each costs 50-250 µs, the more the closer to an alarm


class Ledger(Protocol):
    """Who says how significant a test must be."""

    def alpha(self, check: str, feature_index: int) -> float:
        """The significance that one test of `feature_index` may use at one window's close."""
        ...


@dataclass(frozen=True, slots=True)
class _Table:
    """One measure over the features it applies to (m of them).

    features: int64 (m,); cells: int64, the faulty cells of all of them in a row; starts: where each one's begin.
    own: faults the reference counted in these very cells; then: with those in other spellings; faulty: with what it is
    credited; rows: out of so many.
    """

    measure: Measure
    features: Ints
    cells: Ints
    starts: Ints
    spread: Spread
    own: Ints
    then: Ints
    faulty: Ints
    rows: Ints

    def count(self, counts: Cells | Ints) -> Ints:
        """int64 (m,) of a window; (blocks, m) of blocks."""
        return _count(counts, self.cells, self.starts)


class Quality:
    """Judges windows against one reference. Holds no history: each window stands for itself."""

    def __init__(self, reference: Reference, ledger: Ledger) -> None:
        self._layout, self._ledger = reference.layout, ledger
        self._then = reference.pooled
        bases = _bases(reference.layout, reference.blocks)
        tables = (_table(measure, reference, bases) for measure in MEASURES)
        self._tables = [table for table in tables if table.features.size]

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """Findings on the newest window, in slices of about a millisecond; recent: newest last.

        One finding for each check and feature with a fault now or in the reference; none for the rest.
        """
        if not recent:
            return
        newest_window = recent[-1].index
        now = np.asarray(recent[-1].counts, dtype=np.int64)
        bases = _bases(self._layout, now)
        for table in self._tables:
            faulty, rows = table.count(now), bases[table.measure.of][table.features]
            worth = np.flatnonzero(((faulty > 0) | (table.own > 0)) & (rows > 0))
            for start in range(0, len(worth), SLICE):
                chosen = worth[start : start + SLICE]
                yield [self._find(table, int(i), now, int(faulty[i]), int(rows[i]), newest_window) for i in chosen]

    def _find(self, table: _Table, i: int, now: Ints, faulty: int, n: int, window: int) -> Finding:
        index = int(table.features[i])
        feature, cells = self._layout.features[index], self._layout.slice(index)
        n_reference, credited = int(table.rows[i]), int(table.faulty[i])
        expected = credited / n_reference if n_reference else float("nan")
        look = Look(feature, now[cells], self._then[cells], faulty, n, expected)
        alpha = self._ledger.alpha(table.measure.check, index)
        verdict, p, phi, reason = _verdict(table, i, look, alpha)
        return Finding(
            check=table.measure.check, subject=feature.name, source=feature.source, verdict=verdict,
            p_value=p, alpha=alpha, effect=look.share - expected, n=n, n_reference=n_reference, phi=phi,
            first_window=window, current=look.share, expected=expected,
            distances=table.measure.detail(look) if verdict is Verdict.ALARM else {},
            changes=_changes(table, look), reason=reason,
        )  # fmt: skip


def _verdict(table: _Table, i: int, look: Look, alpha: float) -> tuple[Verdict, float, float, str]:
    """The verdict, p, φ and the reason."""
    nan = float("nan")
    n_reference, credited = int(table.rows[i]), int(table.faulty[i])
    if look.n < ROWS_MIN:
        return Verdict.NOT_ENOUGH_ROWS, nan, 1.0, f"{look.n} rows, {ROWS_MIN} are needed"
    if not n_reference:
        return Verdict.NO_REFERENCE, nan, 1.0, "the reference has no value of it"
    rise = look.share - look.expected
    if rise <= 0:
        return Verdict.WITHIN_NOISE, nan, 1.0, "its share did not rise"
    p, phi, blocks = 0.0, 1.0, int(table.spread.blocks[i])
    if table.then[i]:
        phi = table.spread.phi(i, look.n, n_reference)
        p = rate_tail(look.faulty, look.n, credited, n_reference, phi, max(blocks, 1))
    if p > alpha and blocks >= BLOCKS_MIN:
        return Verdict.WITHIN_NOISE, p, phi, WITHIN  # most end here: the exact test could only raise p
    exact = hypergeometric_tail(look.faulty, look.n, credited, n_reference)
    p = max(p, exact)
    if exact > alpha:
        return Verdict.WITHIN_NOISE, p, phi, WITHIN
    said = table.measure.describe(look)
    if p <= alpha:
        if rise >= FLOOR:
            return Verdict.ALARM, p, phi, said
        return Verdict.BELOW_FLOOR, p, phi, f"{said}; a rise under {percent(FLOOR)} is not worth an alarm"
    if rise >= FLOOR:
        return Verdict.REFERENCE_TOO_SHORT, p, phi, f"{said}; {blocks} reference blocks of {BLOCKS_MIN}"
    return Verdict.WITHIN_NOISE, p, phi, WITHIN


def _changes(table: _Table, look: Look) -> tuple[BinChange, ...]:
    n_reference = _base(look.then, look.feature.bins, table.measure.of)
    return tuple(
        BinChange(
            label=look.feature.label(cell), bin=cell,
            reference=int(look.then[cell]) / n_reference if n_reference else 0.0,
            current=int(look.now[cell]) / look.n,
        )
        for cell in table.measure.cells(look.feature)
        if look.now[cell] or look.then[cell]
    )  # fmt: skip


def _base(cells: Ints, bins: int, of: Of) -> int:
    return int(cells[:bins].sum() if of is Of.VALUES else cells[:-1].sum())


def _table(measure: Measure, reference: Reference, bases: Mapping[Of, Ints]) -> _Table:
    layout = reference.layout
    features: list[int] = []
    cells: list[int] = []
    starts: list[int] = []
    known: list[int] = []
    known_starts: list[int] = []
    for i, feature in enumerate(layout.features):
        at_fault = () if feature.ignored or feature.source is Source.LATENCY else measure.cells(feature)
        if at_fault:
            features.append(i)
            starts.append(len(cells))
            cells += [int(layout.starts[i]) + cell for cell in at_fault]
            known_starts.append(len(known))
            known += [int(layout.starts[i]) + cell for cell in (measure.known or measure.cells)(feature)]
    chosen, flat, begins = (np.array(part, dtype=np.int64) for part in (features, cells, starts))
    seen, seen_begins = np.array(known, dtype=np.int64), np.array(known_starts, dtype=np.int64)
    faulty, rows = _count(reference.blocks, seen, seen_begins), bases[measure.of][:, chosen]
    then, everything = faulty.sum(axis=0), rows.sum(axis=0)
    credit = [measure.credit(layout.features[i], reference.pooled[layout.slice(i)]) for i in features]
    credited = np.minimum(np.maximum(then, np.array(credit, dtype=np.int64)), everything)
    own = _count(reference.pooled, flat, begins)
    return _Table(measure, chosen, flat, begins, Spread.of(faulty, rows), own, then, credited, everything)


def _count(counts: Cells | Ints, cells: Ints, starts: Ints) -> Ints:
    if not cells.size:
        return np.zeros((*counts.shape[:-1], 0), dtype=np.int64)
    return np.asarray(np.add.reduceat(counts[..., cells], starts, axis=-1, dtype=np.int64))


def _bases(layout: Layout, counts: Cells | Ints) -> dict[Of, Ints]:
    """What shares are shares of: int64 (…, features) each. `fractional` is counted beside a value's bin: left out."""
    starts, ends = layout.starts[:-1], layout.starts[1:]
    cuts = np.stack((starts, ends - SPECIALS, ends - 1), axis=1).ravel()
    sums = np.add.reduceat(counts, cuts, axis=-1, dtype=np.int64)
    # A feature without bins (a vector): reduceat gives the next cell instead of nothing.
    values = np.where(ends - SPECIALS > starts, sums[..., 0::3], 0)
    return {Of.VALUES: values, Of.ROWS: values + sums[..., 1::3]}
