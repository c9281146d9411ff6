"""Chooses what is written of one version's predictions and labels, and hands over parts that are to be files.

A follower: pure, no files. `writing.py` writes what `unwritten` gives, and says when it is done. What waits is in the
checkpoint: a kill loses nothing of it and a replay gives the same parts again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.capture.parts import LABELS, RECORDS, Part
from agent.capture.records import Discretion, label_lines, lines, sampled_by
from agent.capture.sampling import WHOLE, Sample, ranks
from agent.errors import CorruptError
from agent.following import About
from agent.ledger import DAY_SECONDS
from agent.records import Batch, Bools, Closed, Event, Finding, Floats, Ints, Pairs, Source, select
from agent.telemetry import CAPTURE_DROPPED, CAPTURE_ROWS, CAPTURE_WAITING, Point

WAITING_BYTES_MAX = 8 << 20  # of parts that could not be written; beyond, the oldest are dropped and counted
WINDOW_ROWS_MAX, WINDOW_BYTES_MAX = 20_000, 2 << 20  # of one window, however long
LABELS_PER_RECORD = 24  # rows of labels a window may hold for each of records: those of a day may come at once
BOOSTED_MAX = 20_000  # rows behind findings that wait for their label: 160 kB
THRESHOLDS_MAX = 1_000  # windows whose limit is remembered, for their labels
CELLS_EACH, CELLS_MAX = 3, 64  # cells of one finding whose rows are wanted, and of all
GROWN_MIN = 0.01  # of a cell's share, to be worth it
FORM = 1


@dataclass(slots=True)
class State:
    """What is stored.

    records, labels: samples of open windows; limit, label_limit: with which the next begin. thresholds: of each window
    the limit its labels are held against; boosted: the newest rows behind findings, which no limit tells, by their
    hash. cells: wanted ones, of a layout with hash `layout`. waiting: parts by their number. window_ns: the length of
    the windows, 0 not known.
    """

    parts: int = 0
    records: dict[int, Sample] = field(default_factory=dict)
    labels: dict[int, Sample] = field(default_factory=dict)
    limit: int = WHOLE
    label_limit: int = WHOLE
    thresholds: dict[int, int] = field(default_factory=dict)
    boosted: dict[int, None] = field(default_factory=dict)
    cells: list[int] = field(default_factory=list)
    layout: int = 0
    waiting: dict[int, Part] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {RECORDS: 0, LABELS: 0, "dropped": 0})
    window_ns: int = 0


class Capture:
    """A Follower. Does nothing where SIDELIGHT_CAPTURE is not set."""

    name = "capture"

    def __init__(self) -> None:
        self.state = State()
        self._about: About | None = None
        self._discretion = Discretion()
        self._findings: Sequence[Finding] = ()

    def prepare(self, about: About) -> None:
        self._about = None  # until what must not be written is known
        if not about.settings.capture:
            return
        reference = about.reference
        self._discretion = Discretion.of(about.settings, reference.protected if reference else ())
        self._about = about
        layout = reference.layout.hash if reference else 0
        if layout != self.state.layout:
            self.state.layout, self.state.cells = layout, []
        self._resize(about.window_ns)

    def _resize(self, window_ns: int) -> None:
        """Windows are of this length from now on: those of another one are over, and their limits are by time."""
        state, before = self.state, self.state.window_ns
        if before not in (0, window_ns):
            self._close_until(max((*state.records, *state.labels), default=0))
            held, state.thresholds = state.thresholds, {}
            for index, limit in held.items():
                own = index * before // window_ns
                state.thresholds[own] = max(limit, state.thresholds.get(own, 0))
        state.window_ns = window_ns

    def predicted(self, batch: Batch, index: int) -> None:
        """Two comparisons a record; what is chosen costs some 20 µs a row, and that is bounded a day."""
        hashes = sampled_by(batch.ids, batch.request_ids) if self._about is not None else None
        if hashes is None or not batch.rows:
            return
        state = self.state
        sample = state.records.get(index)
        if sample is None:
            sample = state.records[index] = Sample(state.limit)
        at = np.flatnonzero(sample.below(hashes))
        if not len(at):
            return
        boosted = self._wanted(batch, at)
        held = sample.held(hashes[at], boosted)
        at, boosted = at[held], boosted[held]
        if len(at):
            rows, size = self._allowed()
            ranked = ranks(hashes[at], boosted)
            if len(at) > rows:  # of a large batch only what can stay is made into lines
                kept = np.sort(np.argsort(ranked, kind="stable")[: 2 * rows])
                at, boosted, ranked = at[kept], boosted[kept], ranked[kept]
            sample.add(ranked, lines(batch, at, boosted.tolist(), self._discretion), rows, size)
            state.boosted |= dict.fromkeys(hashes[at[boosted]].tolist())

    def labelled(self, pairs: Pairs, index: int) -> None:
        """The truth of what may have been written: more than that, since only the files tell which rows were."""
        hashes = sampled_by(pairs.ids, pairs.request_ids) if self._about is not None else None
        if hashes is None or not pairs.rows:
            return
        state = self.state
        sample = state.labels.get(index)
        if sample is None:
            sample = state.labels[index] = Sample(state.label_limit)
        boosted = self._boosted(hashes)
        wanted = (hashes != 0) & (boosted | self._expected(hashes, pairs.time_ns))
        at = np.flatnonzero(wanted & sample.held(hashes, boosted))
        if len(at):
            rows, size = self._allowed(LABELS_PER_RECORD)
            sample.add(
                ranks(hashes[at], boosted[at]),
                label_lines(pairs, at, boosted[at].tolist(), self._discretion),
                rows,
                size,
            )

    def beside(self, findings: Sequence[Finding]) -> None:
        """What else was found of the window that ends now."""
        self._findings = findings

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        if self._about is None:
            return []
        self._close_until(index)
        if recent and recent[-1].index == index:
            self.state.cells = self._grown(recent[-1])
        self._findings = ()
        return []

    def _close_until(self, index: int) -> None:
        state = self.state
        for open_ in sorted(i for i in {*state.records, *state.labels} if i <= index):
            sample, truths = state.records.pop(open_, None), state.labels.pop(open_, None)
            if sample is not None:
                self._seal(RECORDS, sample, open_)
                state.limit = sample.next().limit
                state.thresholds[open_] = sample.limit
            if truths is not None:
                self._seal(LABELS, truths, open_)
                state.label_limit = truths.next().limit
        while len(state.thresholds) > THRESHOLDS_MAX:
            del state.thresholds[min(state.thresholds)]
        while len(state.boosted) > BOOSTED_MAX:
            del state.boosted[next(iter(state.boosted))]

    def _allowed(self, times: int = 1) -> tuple[int, int]:
        """Rows and bytes that one window may hold."""
        assert self._about is not None  # noqa: S101 - asked only where it is on
        settings, days = self._about.settings, self._about.window_ns / 1e9 / DAY_SECONDS
        rows, size = settings.capture_rows_per_day * days, settings.capture_bytes_per_day * days
        return max(1, min(int(times * rows), WINDOW_ROWS_MAX)), max(1, min(int(times * size), WINDOW_BYTES_MAX))

    def _wanted(self, batch: Batch, at: Ints) -> Bools:
        """Which of these rows a finding is behind: they stand in a cell that grew."""
        cells, about = self.state.cells, self._about
        if not cells or about is None or about.reference is None:
            return np.zeros(len(at), dtype=bool)
        placed = about.reference.layout.place(select(batch, at)).cells
        return np.asarray(np.isin(placed, cells).any(axis=0))

    def _grown(self, closed: Closed) -> list[int]:
        """The cells that grew most, of what alarms now in the whole's values."""
        about = self._about
        if about is None or about.reference is None or len(closed.counts) != about.reference.layout.cells:
            return []
        layout, pooled = about.reference.layout, about.reference.pooled
        found: list[tuple[float, int]] = []
        for finding in self._findings:
            if not finding.alarms or finding.segment or finding.source in (Source.LATENCY, Source.ROW):
                continue
            for place in layout.members(finding.source, finding.subject):
                if place < layout.sent:
                    cells = layout.slice(place)
                    more = _share(closed.counts[cells]) - _share(pooled[cells])
                    order = np.argsort(-more)[:CELLS_EACH]
                    found += [(-float(more[k]), cells.start + int(k)) for k in order if more[k] >= GROWN_MIN]
        return sorted({cell for _, cell in sorted(found)[:CELLS_MAX]})

    def _boosted(self, hashes: np.ndarray) -> Bools:
        """Which of these rows were written for a finding's sake."""
        held = self.state.boosted
        if not held:
            return np.zeros(len(hashes), dtype=bool)
        return np.fromiter((one in held for one in hashes.tolist()), bool, len(hashes))

    def _expected(self, hashes: np.ndarray, time_ns: Ints) -> Bools:
        """Whether these rows may have been written, by the windows around the time of their prediction."""
        assert self._about is not None  # noqa: S101 - asked only where it is on
        known = dict(self.state.thresholds)
        known |= {i: sample.limit for i, sample in self.state.records.items()}
        if not known:
            return np.zeros(len(hashes), dtype=bool)
        highest = max(known.values())
        windows, own = np.unique(time_ns // self._about.window_ns, return_inverse=True)
        limits = [max(known.get(w + k, 0) for k in (-1, 0, 1)) or highest for w in windows.tolist()]
        return np.asarray(hashes <= np.array([limit - 1 for limit in limits], dtype=np.uint64)[own])

    def _seal(self, kind: str, sample: Sample, index: int) -> None:
        assert self._about is not None  # noqa: S101 - asked only where it is on
        if not sample.rows:
            return
        state, ns, reference = self.state, self.state.window_ns, self._about.reference
        held = tuple(line for _, line in sorted(sample.rows))
        state.parts += 1
        state.waiting[state.parts] = Part(
            kind, self._about.key, state.parts, index * ns, (index + 1) * ns, sample.share,
            reference.hash_text if reference else "", held,
        )  # fmt: skip
        state.counts[kind] += len(held)
        size = sum(part.size for part in state.waiting.values())
        while size > WAITING_BYTES_MAX and len(state.waiting) > 1:
            size -= state.waiting[min(state.waiting)].size
            self.dropped(min(state.waiting))

    def unwritten(self) -> list[Part]:
        """The oldest first."""
        return [self.state.waiting[number] for number in sorted(self.state.waiting)]

    def written(self, number: int) -> None:
        """That part lies where it belongs. One that was dropped meanwhile does not matter."""
        self.state.waiting.pop(number, None)

    def dropped(self, number: int) -> None:
        """That part cannot be a file, wherever it is written."""
        gone = self.state.waiting.pop(number, None)
        self.state.counts["dropped"] += len(gone.lines) if gone else 0

    def points(self) -> Iterator[Point]:
        if self._about is None:
            return
        own = self._about.key.attributes()
        for kind in (RECORDS, LABELS):
            yield Point(CAPTURE_ROWS, self.state.counts[kind], {**own, "sidelight.capture.kind": kind})
        yield Point(CAPTURE_DROPPED, self.state.counts["dropped"], own)
        yield Point(CAPTURE_WAITING, sum(part.size for part in self.state.waiting.values()), own)

    def events(self) -> list[Event]:
        return []

    def show(self) -> dict[str, Any]:
        if self._about is None:
            return {}
        counts, waiting = self.state.counts, len(self.state.waiting)
        shown = (("records", counts[RECORDS]), ("labels", counts[LABELS]), ("files to be written", waiting))
        note = f"{counts['dropped']} rows were dropped: they could not be written" if counts["dropped"] else ""
        return {
            "title": "Feedback set",
            "lines": [{"name": name, "value": value, "unit": "number"} for name, value in shown],
            "note": note,
        }

    def dump(self) -> bytes:
        state = self.state
        head = {
            "form": FORM, "parts": state.parts, "limit": state.limit, "label_limit": state.label_limit,
            "thresholds": [[index, limit] for index, limit in state.thresholds.items()], "cells": state.cells,
            "layout": state.layout, "boosted": list(state.boosted), "counts": state.counts,
            "open": [
                [kind, index, sample.limit, [rank for rank, _ in sample.rows]]
                for kind, samples in ((RECORDS, state.records), (LABELS, state.labels))
                for index, sample in samples.items()
            ],
            "waiting": [len(part.lines) + 1 for part in self.unwritten()], "window_ns": state.window_ns,
        }  # fmt: skip
        held = [line for samples in (state.records, state.labels) for one in samples.values() for _, line in one.rows]
        return b"\n".join([json.dumps(head).encode(), *held, *(part.to_bytes() for part in self.unwritten())])

    def load(self, stored: bytes) -> None:
        self.state = State()
        try:
            self.state = _read(stored)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, OverflowError) as error:
            raise CorruptError(f"capture: {type(error).__name__}") from error


def _read(stored: bytes) -> State:
    first, *rest = stored.split(b"\n")
    head, at = json.loads(first), 0
    if head["form"] != FORM:
        raise CorruptError(f"capture: form {head['form']}, not {FORM}")
    state = State(int(head["parts"]), limit=int(head["limit"]), label_limit=int(head["label_limit"]))
    state.thresholds = {int(index): int(limit) for index, limit in head["thresholds"]}
    state.window_ns = max(0, int(head.get("window_ns", 0)))
    state.cells, state.layout = [int(cell) for cell in head["cells"]], int(head["layout"])
    state.boosted = dict.fromkeys(int(one) for one in head["boosted"])
    state.counts = {name: int(head["counts"][name]) for name in state.counts}
    for kind, index, limit, own in head["open"]:
        held = rest[at : at + len(own)]
        at += len(own)
        sample = Sample(int(limit), list(zip(map(int, own), held, strict=True)), sum(map(len, held)))
        (state.records if kind == RECORDS else state.labels)[int(index)] = sample
    for count in head["waiting"]:
        part = Part.from_bytes(b"\n".join(rest[at : at + count]))
        at += count
        if len(part.lines) + 1 != count:
            raise CorruptError("capture: a part was cut off")
        state.waiting[part.number] = part
    _check(state)
    return state


def _check(state: State) -> None:
    """Raises ValueError for limits and hashes that the next row could not be held against."""
    samples = [*state.records.values(), *state.labels.values()]
    limits = [state.limit, state.label_limit, *(sample.limit for sample in samples)]
    if any(not 0 < limit <= WHOLE for limit in limits) or any(not 0 <= at <= WHOLE for at in state.thresholds.values()):
        raise ValueError("a limit outside the hashes")
    if any(not 0 <= one < WHOLE for one in state.boosted) or any(cell < 0 for cell in state.cells):
        raise ValueError("no hash or cell")


def _share(counts: Any) -> Floats:
    """Of all rows; the last cell counts values that stand in another one, too."""
    whole = float(counts[:-1].sum())
    found = np.asarray(counts, dtype=np.float64) / max(whole, 1.0)
    found[-1] = 0.0
    return found
