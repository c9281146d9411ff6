"""Judges the losses of one version window by window: the whole, and every slice of the traffic.

It is held against the reference's labelled blocks; without such, against the first labelled windows of the service
itself, which then stand. What has alarmed and is well again begins anew: older windows count for it no more.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.ledger import HORIZONS
from agent.performance.drop import BLOCKS_MIN, ROWS_MIN, Baseline, Judged, exact, judge
from agent.performance.form import ROWS, Form
from agent.performance.section import Section
from agent.performance.window import Past, stacked, widened
from agent.records import Floats, Verdict

LEARN_BLOCKS_MAX = 32
LEARN_ROWS_MIN = 20  # a window of fewer labels says too little
PARTS_SHARE = 0.5  # of alpha, for all slices together
# Below these a drop is sure to be found by somebody's complaint, or by nobody: a twentieth more mistakes, and one in a
# hundred answers, are within what retraining itself moves.
RISE_MIN, RATE_MIN = 0.05, 0.01
GOOD_P, GOOD_WINDOWS = 0.01, 2  # the newest windows are well again, so many closes in a row: as alerts end
SLICE_T_MIN = 2.0  # of slices a t of less is nothing to tell: p above 0.02
WORSE = 1.25  # times the whole's rise, for a slice to be named with it
SLICES_STEP = 25  # judged at once
WATCHED_MAX = 20  # slices of which something is said in one close


@dataclass(frozen=True, slots=True)
class Said:
    """What is found of one loss of one slice (0: the whole). windows: pooled; p, alpha; newest_p, newest_rise: of the
    newest half of these; mean, before: the loss now and then; n, n_before: effective rows."""

    slice: int
    loss: int
    verdict: Verdict
    windows: int = 1
    p: float = math.nan
    alpha: float = math.nan
    mean: float = math.nan
    before: float = math.nan
    n: float = 0.0
    n_before: float = 0.0
    phi: float = 1.0
    newest_p: float = math.nan
    newest_rise: float = math.nan
    why: str = ""

    @property
    def rise(self) -> float:
        """Of the loss, relative; against at least one in a hundred, where it was next to nothing."""
        return (self.mean - self.before) / max(self.before, 0.01) if not math.isnan(self.mean) else math.nan


@dataclass
class Judging:
    """learned: (windows, …) losses of the service's own first windows. begins: (slice, loss) -> the first window that
    counts for it. well: of those that alarmed, how many good closes in a row."""

    form: Form
    section: Section | None = None
    learned: list[Floats] = field(default_factory=list)
    begins: dict[tuple[int, int], int] = field(default_factory=dict)
    well: dict[tuple[int, int], int] = field(default_factory=dict)
    _whole: Baseline | None = None
    _parts: Baseline | None = None
    _places: tuple[int, ...] = ()
    _slices: int = -1
    _next: int = 0  # the window after the newest

    def adopt(self, section: Section | None, places: Sequence[int]) -> None:
        """The reference's own performance, from now on; None: there is none. places: the slice of each segment of it,
        -1 where it has none."""
        if section is not self.section:
            self.section, self._places, self._slices, self._whole = section, tuple(places), -1, None
            for _ in self._preparing(max(places, default=-1) + 1):
                pass

    def load(self, head: Mapping[str, Any], learned: Floats, slices: int) -> None:
        """Takes up what was learned and remembered, of so many slices. Raises ValueError and the like."""
        sizes, losses = [int(n) for n in head["learned"]], len(self.form.tested)
        if learned.shape != (sum(sizes), losses, 6) or not np.isfinite(learned).all():
            raise ValueError("losses that nobody counted")
        if len(sizes) > LEARN_BLOCKS_MAX or any(not 1 <= size <= 1 + slices for size in sizes):
            raise ValueError("windows of other slices")
        ends = np.cumsum(sizes)[:-1]
        self.learned = list(np.split(learned, ends)) if sizes else []
        self.begins = {(int(s), int(k)): int(begin) for s, k, begin in head["begins"]}
        self.well = {(int(s), int(k)): int(closes) for s, k, closes in head["well"]}
        if any(not (0 <= s <= slices and 0 <= k < losses) for s, k in (*self.begins, *self.well)):
            raise ValueError("losses of other slices")

    def begin(self, index: int) -> None:
        """Of the whole, only windows from this one on count."""
        self.begins |= {(0, k): index for k in range(len(self.form.tested))}

    def keep(self, slices: Sequence[int]) -> None:
        """Only these slices are known from now on, in this order."""
        rows = [0, *(s + 1 for s in slices)]
        self.learned = [widened(window, 1 + max(slices, default=0) + 1)[rows] for window in self.learned]
        new = {old: k for k, old in enumerate(rows)}
        self.begins = {(new[s], k): begin for (s, k), begin in self.begins.items() if s in new}
        self.well = {(new[s], k): closes for (s, k), closes in self.well.items() if s in new}
        self.section, self._places, self._slices, self._whole = None, (), -1, None

    def close(self, ring: Sequence[Past], slices: int, alpha: float) -> list[Said]:
        """ring: labelled windows, newest first, the one that just ended among them. alpha: of one window and horizon.

        A window that alarms is not learned from.
        """
        return [said for found in self.closing(ring, slices, alpha) for said in found]

    def closing(self, ring: Sequence[Past], slices: int, alpha: float) -> Iterator[list[Said]]:
        """The same in steps of a millisecond or two."""
        for _ in self._preparing(slices):
            yield []
        self._next = ring[0].index + 1
        found = []
        for part in self._judge(ring, slices, alpha):
            found += part
            yield part
        alarmed = any(said.verdict is Verdict.ALARM for said in found)
        if self.section is None and len(self.learned) < LEARN_BLOCKS_MAX and not alarmed:
            newest = ring[0].losses
            if newest[0, :, ROWS].max(initial=0.0) >= LEARN_ROWS_MIN:
                self.learned.append(newest)
                self._slices = -1

    def worst(
        self, ring: Sequence[Past], windows: int, loss: int
    ) -> Generator[list[Any], None, list[tuple[int, float, float]]]:
        """The slices whose loss rose beyond doubt (p ≤ 0.01) and clearly more than the whole's: (slice from 0, loss
        before, now), worst first. In steps that yield nothing."""
        if self._parts is None or self._whole is None:
            return []
        recent, h = stacked(self.form, ring, self._slices), HORIZONS.index(windows)
        least = WORSE * judge(recent[:, :1], self._whole).rise[h, 0, loss]
        found: list[tuple[float, int, float, float]] = []
        for some in _steps(self._slices):
            yield []
            judged = judge(recent[:, 1:][:, some], self._parts.part(some), SLICE_T_MIN)  # p ≤ 0.01 takes a larger t
            rise, p, mean = (array[h, :, loss] for array in (judged.rise, judged.p, judged.mean))
            sure = np.flatnonzero(judged.tested[h, :, loss] & (p <= GOOD_P) & (rise >= least)).tolist()
            before = self._parts.mean[some, loss]
            found += [(-float(rise[s]), some.start + s, float(before[s]), float(mean[s])) for s in sure]
        return [(s, then, now) for _, s, then, now in sorted(found)]

    def _preparing(self, slices: int) -> Iterator[None]:
        """Makes the baselines, in steps, if they are not those of so many slices."""
        if self._slices == slices:
            return
        rate = np.array([self.form.means[k] == "error" for k in self.form.tested])
        if self.section is not None:
            whole = self.section.blocks
            parts = np.zeros((slices, *self.section.part_blocks.shape[1:]))
            for place, blocks in zip(self._places, self.section.part_blocks, strict=True):
                if 0 <= place < slices:
                    parts[place] = blocks
        else:
            each = (len(self.form.tested), 6)
            learned = [widened(window, 1 + slices) for window in self.learned]
            held = np.stack(learned, axis=1) if learned else np.zeros((1 + slices, 0, *each))
            whole, parts = held[:1], held[1:]
        yield
        if self._whole is None or self.section is None:
            self._whole = yield from Baseline.making(whole, rate, HORIZONS)
            yield
        self._parts = (yield from Baseline.making(parts, rate, HORIZONS)) if slices else None
        self._slices = slices

    def _judge(self, ring: Sequence[Past], slices: int, alpha: float) -> Iterator[list[Said]]:
        recent = stacked(self.form, ring, slices)
        for (s, k), begin in self.begins.items():
            recent[[window.index < begin for window in ring], s, k] = 0.0
        yield []
        assert self._whole is not None  # noqa: S101 - made by _prepare
        losses = max(int((self._whole.n > 0).sum()), 1)
        share = 1.0 - (PARTS_SHARE if slices else 0.0)
        yield list(self._of(recent[:, :1], self._whole, alpha * share / losses, 0, 1))
        if self._parts is None:
            return
        live = max(int((self._parts.ready & (recent[:, 1:, :, ROWS].sum(axis=0) > 0)).sum()), 1)
        room = WATCHED_MAX
        for some in _steps(slices):
            own = recent[:, 1:][:, some]
            found = list(self._of(own, self._parts.part(some), alpha * PARTS_SHARE / live, 1 + some.start, room))
            room -= len(found)
            yield found

    def _of(self, recent: Floats, baseline: Baseline, alpha: float, first: int, room: int) -> Iterator[Said]:
        """first: the slice that the first of these is; room: of how many slices something may be said."""
        judged = judge(recent, baseline, SLICE_T_MIN if first else -math.inf)
        rises = judged.rise >= np.maximum(RISE_MIN * baseline.mean, np.where(baseline.rate, RATE_MIN, 0.0))
        # One that is worth an alarm, before one that is more certain of less.
        order = np.where(judged.tested, judged.p + np.where(rises & (judged.p <= alpha), 0.0, 2.0), 9.0)
        best = np.argmin(order, axis=0)
        told = 0
        for s, k in np.argwhere(recent[0, :, :, ROWS] > 0).tolist():
            at = (int(best[s, k]), s, k)
            place = (first + s, k)
            suspect = float(judged.p[at]) <= alpha and bool(judged.tested[at])
            if first and not suspect and place not in self.well:
                continue  # of a slice nothing is said while it is as ever
            if first and told >= room and place not in self.well:
                continue
            told += 1
            yield self._said(place, at, judged, baseline, (alpha, bool(rises[at])))

    def _said(
        self, place: tuple[int, int], at: tuple[int, int, int], judged: Judged, baseline: Baseline,
        asked: tuple[float, bool],
    ) -> Said:  # fmt: skip
        alpha, worth = asked
        h, s, k = at
        windows = baseline.sizes[h]
        half = max(i for i, size in enumerate(baseline.sizes) if size <= max(windows // 2, 1))
        newest = (half, s, k)
        p = exact(judged, baseline, at) if float(judged.p[at]) <= alpha else float(judged.p[at])
        verdict, why = _verdict(judged, baseline, at, self.section is not None)
        if not verdict:
            verdict = Verdict.WITHIN_NOISE if p > alpha else Verdict.ALARM if worth else Verdict.BELOW_FLOOR
        tested, before = bool(judged.tested[at]), float(baseline.mean[s, k])
        newest_tested = bool(judged.tested[newest])
        said = Said(
            *place, verdict, windows, p if tested else math.nan, alpha, float(judged.mean[at]),
            before if baseline.n[s, k] > 0 else math.nan, float(judged.n[at]), float(baseline.n[s, k]),
            float(judged.phi[at]), float(judged.p[newest]) if newest_tested else math.nan,
            float(judged.rise[newest]) / max(before, 0.01) if newest_tested else math.nan, why,
        )  # fmt: skip
        self._remember(place, said)
        return said

    def _remember(self, place: tuple[int, int], said: Said) -> None:
        """What alarms is looked at until it is well; then its older windows are forgotten, as its alert is over."""
        good = said.newest_p > GOOD_P or said.newest_rise < RISE_MIN
        if place not in self.well:
            if said.verdict is Verdict.ALARM:
                self.well[place] = 0
            return
        self.well[place] = self.well[place] + 1 if good else 0
        if self.well[place] >= GOOD_WINDOWS:
            del self.well[place]
            self.begins[place] = self._next


def _steps(slices: int) -> Iterator[slice]:
    """So many slices, SLICES_STEP at a time."""
    for first in range(0, slices, SLICES_STEP):
        yield slice(first, min(first + SLICES_STEP, slices))


def _verdict(judged: Judged, baseline: Baseline, at: tuple[int, int, int], built: bool) -> tuple[Verdict | None, str]:
    """Why nothing was tested; None where it was. built: the baseline is a reference's, else it is being learned."""
    _, s, k = at
    blocks = int(baseline.blocks[s, k])
    if blocks < BLOCKS_MIN:
        few = Verdict.REFERENCE_TOO_SHORT if blocks else Verdict.NO_REFERENCE
        return few if built else Verdict.LEARNING, f"{blocks} labelled windows of {BLOCKS_MIN} known"
    if judged.n[at] < ROWS_MIN:
        return Verdict.NOT_ENOUGH_ROWS, f"{judged.n[at]:.3g} labels, {ROWS_MIN} are needed"
    if not judged.tested[at]:
        rows = float(baseline.rows[0, s, k])
        return Verdict.REFERENCE_TOO_SHORT, f"its windows had {rows:.3g} labels, these have {judged.n[at]:.3g}"
    return None, ""
