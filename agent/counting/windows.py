"""Batches to counts: per model version (a series), per window, per cell.

A series is the one mutable thing here and has one owner, the pipeline. Windows close in order; a closed window is a few
arrays that never change again, but for cells that a resolved alert asks to forget.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from agent.bins import Taken
from agent.counting import durations
from agent.counting.coverage import Coverage
from agent.counting.fingerprints import Fingerprinter, Samples, select_ids
from agent.counting.number_sketches import ROWS_MAX, NumberSketches
from agent.counting.sampling import evenly
from agent.counting.segments import WINDOWS_KEPT, Budget, CountedSegments, narrowed
from agent.counting.texts import SKETCHES_MAX, WatchedText, WindowTexts, watched
from agent.records import ABSENT, Batch, Cells, Closed, Floats, Ints, ModelKey, Numbers, Source, Task, TextsSeen, select
from agent.reference.learn import Learner
from agent.reference.profile import Reference
from agent.traces.examples import WINDOWS_MAX, Examples, below

WINDOWS_AT_ONCE = 16  # windows that one step of counting may begin
OPEN_WINDOWS_MAX = 1_024  # by event time; more, and the oldest are closed before their time
HORIZON = 24  # closed windows kept
UNKNOWN_MAX = 64  # features a window names that the reference does not have; more are counted, not named
PROJECTED_ROWS = 10_000  # rows of a window that vectors and whole rows are projected for: 0.1 σ is seen in one window


@dataclass(slots=True)
class Window:
    """One open window. counts: int64 (cells,) or None while there is no layout; latency: int64 (128,).

    first_ns: when its first record arrived. unknown, backlog: as in `Closed`. texts: None where too many windows are
    open.
    """

    index: int
    counts: Ints | None
    latency: Ints = field(default_factory=lambda: np.zeros(durations.BUCKETS, dtype=np.int64))
    rows: int = 0
    errors: int = 0
    latency_sum: float = 0.0
    first_ns: int = 0
    segments: dict[str, Ints] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    backlog: int = 0
    texts: WindowTexts | None = None
    examples: Examples | None = None  # once a prediction in a trace came


@dataclass(slots=True)
class RefusalNote:
    """The newest refusal of one reason and field, for `sidelight status`."""

    count: int
    detail: str
    last_ns: int


class Series:
    """Everything counted for one model version."""

    def __init__(
        self,
        key: ModelKey,
        window_ns: int,
        reference: Reference | None,
        learner: Learner | None,
        segments: tuple[str, ...] = (),
        started_ns: int = 0,
        budget: Budget | None = None,
    ) -> None:
        self.key, self.window_ns = key, window_ns
        self.reference, self.learner = reference, learner
        self.reference_note = ""  # "borrowed from version 3"
        self.segments = CountedSegments(segments, budget or Budget(1 << 30), reference)
        self.started_ns = started_ns
        self.coverage = Coverage()
        self.samples = {"ids": Samples(), "rows": Samples()}
        self._fingerprinter = Fingerprinter()
        self.bins_since_ns = started_ns  # since when `total` counts: a new reference begins it anew
        self.open: dict[int, Window] = {}
        self.recent: deque[Closed] = deque(maxlen=HORIZON)
        self.counters: Counter[str] = Counter()
        self.refusals: dict[tuple[str, str], RefusalNote] = {}
        self.newest_ns = 0  # event time's watermark
        self.closed_below = 0  # windows below this index are closed: what still comes for them is late
        self.last_seen_ns = 0
        self.latency = np.zeros(durations.BUCKETS, dtype=np.int64)  # since the series began
        self.latency_sum = 0.0
        self.numbers = NumberSketches(reference)
        self.last_rows = 0
        self.last_traced = 0  # of them in a trace
        self.trained_at_ns = reference.trained_at_ns if reference else 0
        self.positive_label = reference.positive_label if reference else ""
        self.total = np.zeros(reference.layout.cells if reference else 0, dtype=np.int64)
        self._names, self._texts = _names(reference), _texts(reference)
        self.task, self.threshold = Task(reference.task) if reference else Task.UNKNOWN, math.nan
        self.told: Callable[[Batch, int], None] = lambda batch, index: None  # of every part counted, and its window
        self.revision = 0  # rises with every change: what a checkpoint has to write

    # ── counting ──

    def parts(self, batch: Batch, event_time: bool) -> Iterator[Batch]:
        """The batch, cut by time where it spans many windows: some can be closed before the next are begun."""
        if not batch.rows:
            return
        if not event_time or batch.time_ns is None:
            yield batch
            return
        indices = batch.time_ns // self.window_ns
        windows = np.unique(indices) if int(indices.max() - indices.min()) >= WINDOWS_AT_ONCE else indices[:1]
        if len(windows) <= WINDOWS_AT_ONCE:
            yield batch
            return
        for first in range(0, len(windows), WINDOWS_AT_ONCE):
            some = windows[first : first + WINDOWS_AT_ONCE]
            yield select(batch, np.flatnonzero((indices >= some[0]) & (indices <= some[-1])))

    def add(self, batch: Batch, event_time: bool) -> None:
        """Counts one batch; rows of windows already closed are late."""
        self.revision += 1
        self.last_seen_ns = batch.arrived_ns
        batch = self._named_score(batch)
        if not event_time or batch.time_ns is None:
            stamp = batch.arrived_ns
            self._add_to(stamp // self.window_ns, batch, None, event_time)
            self.newest_ns = max(self.newest_ns, batch.messages[-1][1] if batch.messages else stamp)
            return
        indices = batch.time_ns // self.window_ns
        first = int(indices[0]) if batch.rows else 0
        self.newest_ns = max(self.newest_ns, int(batch.time_ns.max(initial=0)))
        if batch.rows and (indices == first).all():
            self._add_to(first, batch, None, event_time)
            return
        for index in np.unique(indices):
            self._add_to(int(index), batch, np.flatnonzero(indices == index), event_time)

    def _add_to(self, index: int, batch: Batch, rows: Ints | None, event_time: bool) -> None:
        part = batch if rows is None else select(batch, rows)
        if not part.rows:
            return
        if index < self.closed_below:
            self.counters["late"] += part.rows
            return
        self.counters["kept"] += part.rows
        window = self.open.get(index)
        if window is None:
            window = self.open[index] = Window(
                index, None if self.reference is None else np.zeros(self.reference.layout.cells, dtype=np.int64)
            )
            window.texts = self._begin_texts()
        window.first_ns = window.first_ns or batch.arrived_ns
        window.rows += part.rows
        if part.errors is not None:
            errors = int(np.count_nonzero(part.errors))
            window.errors += errors
            self.counters["errors"] += errors
        if part.latency is not None:
            self._add_latency(window, part.latency)
        self._fingerprint(index, part)
        self.told(part, index)
        if self.coverage.gaps and part.time_ns is not None and not event_time:
            window.backlog += int(np.count_nonzero(self.coverage.inside(part.time_ns)))
        taken, placed = self._sampled(part, window, event_time, PROJECTED_ROWS), None
        if self.reference is not None and window.counts is not None:
            placed = self.reference.layout.place(part, taken)
            counts = placed.count(self.reference.layout.cells)
            window.counts += counts
            self.total += counts
            self._add_unknown(window, part)
            if window.texts is None:
                self.counters["texts_not_sketched"] += part.rows
            else:
                window.texts.add(self._texts, part, placed.cells, counts)
            if self.segments.keys:
                self.counters["segments_refused"] += self.segments.add(window.segments, part, placed)
            self.numbers.feed(part, self._sampled(part, window, event_time, ROWS_MAX))
        if part.traces:
            self._keep_examples(window, part, None if placed is None else placed.cells)
        if self.learner is not None:
            self.learner.add(part, index, taken)

    def _keep_examples(self, window: Window, batch: Batch, placed: Cells | None) -> None:
        if window.examples is None and sum(own.examples is not None for own in self.open.values()) < WINDOWS_MAX:
            window.examples = Examples(0 if self.reference is None else self.reference.layout.cells)
        if window.examples is not None:
            window.examples.add(batch, placed, below(self.last_traced))

    def _add_latency(self, window: Window, seconds: Floats) -> None:
        counts, total = durations.histogram(seconds)
        window.latency += counts
        self.latency += counts
        window.latency_sum += total
        self.latency_sum += total

    def _fingerprint(self, index: int, batch: Batch) -> None:
        """Samples what the rows are and are called, so that those that come again are seen."""
        if batch.features.names():  # a row without a value, whose hash is 0, is no copy of another such
            self.samples["rows"].add(index, select_ids(self._fingerprinter.rows(batch)))
        if batch.ids is not None:
            self.samples["ids"].add(index, select_ids(batch.ids))

    def _add_unknown(self, window: Window, batch: Batch) -> None:
        """Counts features that the reference has no bins for: somebody sends more than the model was trained on."""
        features = batch.features
        for columns in (features.numbers, features.texts, features.flags, features.vectors):
            for name in sorted(columns.keys() - self._names):  # the same ones are named after a restart
                state = columns[name].state
                rows = batch.rows if state is None else int(np.count_nonzero(state != ABSENT))
                if name not in window.unknown and len(window.unknown) >= UNKNOWN_MAX:
                    self.counters["unknown_not_named"] += rows
                elif rows:
                    window.unknown[name] += rows

    def _begin_texts(self) -> WindowTexts | None:
        """None where the open windows hold all that one series may: a window's texts are counted whole or not."""
        held = sum(window.texts is not None for window in self.open.values())
        return WindowTexts() if (held + 1) * len(self._texts) <= SKETCHES_MAX else None

    def _sampled(self, batch: Batch, window: Window, event_time: bool, rows: int) -> Taken:
        """Every row, or one in k where the window is going to have more than so many; the same ones at a replay,
        whichever messages are counted together."""
        before = window.rows - batch.rows
        steps, held = [], before
        for own, arrived_ns in batch.messages or ((batch.rows, batch.arrived_ns),):
            held += own
            expected = self.last_rows if event_time else self._expected_rows(window, held, arrived_ns)
            steps.append(max(1, expected // rows))
        if min(steps) == max(steps):
            return evenly(before, batch.rows, steps[0])
        found, at = [], 0
        for (own, _), step in zip(batch.messages, steps, strict=True):
            found.append(at + np.arange(own)[evenly(before + at, own, step)])
            at += own
        return np.concatenate(found)

    def _expected_rows(self, window: Window, rows: int, now_ns: int) -> int:
        """How many rows this window will hold, with so many now: as the last one did, or as fast as it goes on,
        whichever is more."""
        seconds = (now_ns - window.first_ns) / 1e9
        if seconds < 1.0:
            return max(self.last_rows, rows)  # at least what it holds: a second of heavy traffic is a lot
        return max(self.last_rows, int(rows / seconds * self.window_ns / 1e9))

    def _named_score(self, batch: Batch) -> Batch:
        """Scores by class become the one score the reference knows, where it says which class is positive."""
        if self.reference is None or not self.positive_label or "score" in batch.outputs.numbers:
            return batch
        own = batch.outputs.numbers.get(f"score:{self.positive_label}")
        if own is not None:
            numbers = dict(batch.outputs.numbers)
            numbers["score"] = own
            return _with_outputs(batch, numbers)
        return batch

    # ── closing ──

    def due(self, upto_ns: int) -> Iterator[int]:
        """Indices of open windows that end at or before `upto_ns`, oldest first."""
        limit = upto_ns // self.window_ns
        if len(self.open) > OPEN_WINDOWS_MAX:
            limit = max(limit, sorted(self.open)[-OPEN_WINDOWS_MAX])
        yield from sorted(index for index in self.open if index < limit)
        self.closed_below = max(self.closed_below, limit)

    def close(self, index: int, event_time: bool = False) -> Closed:
        """Closes one window and appends it to the recent ones. By event time a window is covered whole."""
        self.revision += 1
        window = self.open.pop(index)
        self.closed_below = max(self.closed_below, index + 1)
        self.counters["windows"] += 1
        cells = 0 if self.reference is None else self.reference.layout.cells
        closed = Closed(
            index,
            (np.zeros(cells, np.int64) if window.counts is None else window.counts).astype(np.int32),
            window.latency.astype(np.int32),
            window.rows,
            window.errors,
            {name: narrowed(counts) for name, counts in window.segments.items()},
            self.window_ns / 1e9 if event_time else self.covered_seconds(index),
            window.backlog,
            dict(sorted(window.unknown.items())),
            {kind: samples.repeats(index) for kind, samples in self.samples.items()},
            {} if window.texts is None else window.texts.seen(),
        )
        self.recent.append(closed)
        if len(self.recent) > WINDOWS_KEPT:
            self.segments.let_go(self.recent[-WINDOWS_KEPT - 1].segments)
        self.last_rows = window.rows
        self.last_traced = 0 if window.examples is None else window.examples.seen
        self.numbers.close()
        if self.learner is not None:
            self.learner.close(index)
        return closed

    def covered_seconds(self, index: int) -> float:
        """How long of a window's arrival time this series was watched."""
        return self.coverage.seconds(max(index * self.window_ns, self.started_ns), (index + 1) * self.window_ns)

    def lost(self, start_ns: int, end_ns: int) -> None:
        """Nobody watched between these moments of arrival time."""
        self.revision += 1
        self.coverage.lost(start_ns, end_ns)
        self.coverage.forget(end_ns - (HORIZON + 1) * self.window_ns)

    def adopt(self, reference: Reference, note: str) -> None:
        """Starts judging by `reference`: the horizons begin anew."""
        self.revision += 1
        self.reference, self.learner, self.reference_note = reference, None, note
        self._names, self._texts = _names(reference), _texts(reference)
        self.trained_at_ns = reference.trained_at_ns or self.trained_at_ns
        self.positive_label = reference.positive_label or self.positive_label
        self.task = Task(reference.task) or self.task
        self.total = np.zeros(reference.layout.cells, dtype=np.int64)
        self.bins_since_ns = self.last_seen_ns
        self.clear_recent()
        self.numbers.adopt(reference)
        self.segments.adopt(reference)
        held, self.open = self.open, {}
        for index, window in held.items():
            window.unknown.clear()
            window.examples = None
            window.texts = self._begin_texts()
            window.counts = np.zeros(reference.layout.cells, dtype=np.int64)
            self.open[index] = window

    def clear_recent(self) -> None:
        """Forgets the closed windows; counters stay."""
        self.revision += 1
        for closed in self.recent:
            self.segments.let_go(closed.segments)
        self.recent.clear()

    def retire(self) -> None:
        """Gives back what a silent version holds; its counters stay, and it may speak again."""
        self.clear_recent()
        self.numbers.clear()
        self.samples = {kind: Samples() for kind in self.samples}

    def forget(self, source: Source, name: str, segment: str = "") -> None:
        """Empties one feature's cells in the recent windows: an alert on it was resolved, its past must not fire it
        again. With a segment: there and in the whole, else everywhere. A segment key's name: its values' windows.
        """
        if self.reference is None:
            return
        layout = self.reference.layout
        if source is Source.ROW and name in self.segments.keys:
            self._forget_key(name)
        for closed in self.recent:
            seen = closed.texts.get((source, name))
            if seen is not None:
                closed.texts = {**closed.texts, (source, name): TextsSeen(seen.distinct)}
        places = layout.members(source, name)
        if source is Source.FEATURE and not segment:  # rows are made of it
            places = (*places, *(i for i, f in enumerate(layout.features) if f.source is Source.ROW))
        for at in places:
            self.revision += 1
            for closed in self.recent:
                closed.counts[layout.slice(at)] = 0  # of which the segment was a part
                for own, counts in closed.segments.items():
                    if segment in ("", own):
                        counts[layout.slice(at)] = 0

    def _forget_key(self, key: str) -> None:
        self.revision += 1
        for closed in self.recent:
            self.segments.let_go(closed.segments, key)

    def note_refusal(self, reason: str, field_name: str, count: int, detail: str, when_ns: int) -> None:
        note = self.refusals.get((reason, field_name))
        if note is None:
            if len(self.refusals) >= 64:
                self.refusals.pop(next(iter(self.refusals)))
            note = self.refusals[(reason, field_name)] = RefusalNote(0, detail, when_ns)
        note.count += count
        note.detail, note.last_ns = detail, when_ns


def _names(reference: Reference | None) -> frozenset[str]:
    """Features that the reference knows, whatever it has for them."""
    features = () if reference is None else reference.layout.features
    return frozenset(name for f in features if f.source is Source.FEATURE for name in (f.name, f.group))


def _texts(reference: Reference | None) -> tuple[WatchedText, ...]:
    return () if reference is None else watched(reference.layout)


def _with_outputs(batch: Batch, numbers: Mapping[str, Numbers]) -> Batch:
    return replace(batch, outputs=replace(batch.outputs, numbers=numbers))
