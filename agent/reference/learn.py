"""A reference learned from traffic, where none is given: first the bins from a buffer, then exact counts by window.

Pure and without chance: the same batches and closes, in the same order, give the same reference, also across a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from agent.bins import EVERY_ROW, Layout, Taken
from agent.records import Batch, Cells, Ints, select
from agent.reference import learn_segments
from agent.reference.directions import with_projections
from agent.reference.joined import joined
from agent.reference.learn_segments import Named
from agent.reference.profile import Reference
from agent.reference.schema import Schema
from agent.reference.traffic import NO_SCHEMA, features_of, stripped, vector_entries, width

LEARN_ROWS = 10_000
LEARN_WINDOWS = 30  # statistics.md, point 5: a t with fewer blocks needs effects nobody waits for
BUFFER_ROWS_FACTOR = 4  # without a closed window, at most so many times the rows
BUFFER_VALUES = 500_000  # rows × columns held before the bins are fixed: 4 MB; edges need no more
BUFFER_ENTRIES = 1_000_000  # entries of vectors, likewise: 4 MB
SMALL_ROWS = 64  # of a batch; so many that are smaller become one: a lone row takes thirty times its values
OPEN_WINDOWS_MAX = 64
KEYS_MAX = 32  # segment keys, and protected ones
ORIGIN = "learned from traffic"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far learning is: `fraction` 0-1, and the words for a status line."""

    fraction: float
    words: str


@dataclass(slots=True)
class Window:
    """Counts of one window; `counts` is None while the bins are not fixed (its rows lie in the buffer)."""

    rows: int = 0
    counts: Ints | None = None
    closed: bool = False
    segments: dict[str, Cells] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """All of a learner's memory; what `learn_state` writes and reads."""

    head: Reference  # everything but counts; its layout is empty until the bins are fixed
    learn_rows: int
    learn_windows: int
    fixed: bool = False
    buffer: list[tuple[int, Batch]] = field(default_factory=list)
    windows: dict[int, Window] = field(default_factory=dict)
    tainted: set[int] = field(default_factory=set)
    paused: bool = False
    skipped_rows: int = 0
    segments: Named = field(default_factory=Named)
    schema: Schema = NO_SCHEMA  # not stored: what is said now goes before what was said then


class Learner:
    """Learns one model version. Windows are numbered by start / window_seconds; `close` says that one is complete.

    The bins are fixed once `learn_rows` rows and a whole window were seen, or `learn_windows` windows, or when the
    buffer is full (4 MB). The reference is ready when `learn_windows` windows with rows in them have closed. Memory
    after the bins are fixed: 8 bytes a cell and window. Fixing a full buffer costs about 0.3 s, once.
    """

    def __init__(
        self, head: Reference, learn_rows: int = LEARN_ROWS, learn_windows: int = LEARN_WINDOWS,
        segments: tuple[str, ...] = (), schema: Schema = NO_SCHEMA,
    ) -> None:  # fmt: skip
        """`head` from `blank`: model, version and window length. segments: keys whose values are counted apart. schema:
        what a person says of the values, before any has come."""
        self.state = State(head, learn_rows, learn_windows, segments=Named(segments), schema=schema)
        self._ready: Reference | None = None

    @classmethod
    def resumed(cls, state: State) -> Learner:
        """The learner that had this state; see `learn_state`."""
        found = cls(state.head, state.learn_rows, state.learn_windows)
        found.state = state
        found._finish()
        return found

    @property
    def ready(self) -> Reference | None:
        """The reference, once enough windows have closed. It never changes afterwards."""
        return self._ready

    @property
    def skipped_rows(self) -> int:
        """Rows that were not learned from: seen while paused, or in too many windows at once."""
        return self.state.skipped_rows

    @property
    def progress(self) -> Progress:
        state = self.state
        if self._ready is not None:
            return Progress(1.0, f"learned from {len(self._ready.rows)} windows")
        closed = self._closed()
        words = f"learning: {closed} of {state.learn_windows} windows"
        if state.paused:
            words += ", paused while alerts fire"
        return Progress(min(1.0, closed / state.learn_windows), words)

    def add(self, batch: Batch, window: int, taken: Taken = EVERY_ROW) -> None:
        """A batch whose rows all belong to `window`. Cheap, but for the one batch that fixes the bins.

        taken: the rows that are counted along the directions of vectors and whole rows, once those are known.
        """
        state = self.state
        if self._ready is not None or not batch.rows:
            return
        if state.paused:
            self._taint({window})
        if window in state.tainted or not self._has_room(window):
            state.skipped_rows += batch.rows
            return
        own = state.windows.setdefault(window, Window())
        own.rows += batch.rows
        state.head = _with_keys(state.head, batch)
        if state.fixed:
            layout = state.head.layout
            placed = layout.place(batch, taken)
            counts = placed.count(layout.cells)
            own.counts = counts if own.counts is None else own.counts + counts
            learn_segments.count(own.segments, state.segments, batch, placed.cells, layout, state.learn_windows)
            return
        state.buffer.append((window, stripped(batch, state.segments.keys)))
        self._join_small()
        self._fix_if_enough()

    def close(self, window: int) -> None:
        """No more rows of this window will come (should some, they are still counted)."""
        state = self.state
        if window in state.tainted:
            state.tainted.discard(window)
            return
        if self._ready is None and window in state.windows:
            state.windows[window].closed = True
            self._fix_if_enough()
            self._finish()

    def pause(self, paused: bool) -> None:
        """While other alarms fire nothing is learned: open windows are dropped whole, like those that begin then."""
        state = self.state
        if paused and not state.paused:
            opened = {index for index, window in state.windows.items() if not window.closed}
            for index in opened:
                state.skipped_rows += state.windows.pop(index).rows
            self._taint(opened)
            state.buffer = [(index, batch) for index, batch in state.buffer if index not in opened]
        state.paused = paused

    def _taint(self, windows: set[int]) -> None:
        tainted = self.state.tainted | windows
        self.state.tainted = set(sorted(tainted)[-OPEN_WINDOWS_MAX:])

    def _has_room(self, window: int) -> bool:
        state = self.state
        if window in state.windows:
            return True
        opened = sum(not known.closed for known in state.windows.values())
        return opened < OPEN_WINDOWS_MAX

    def _closed(self) -> int:
        return sum(window.closed for window in self.state.windows.values())

    def _join_small(self) -> None:
        """The newest small batches of one window become one, once there are as many as it is worth. What is joined
        follows from the buffer alone: the same after a restart."""
        buffer = self.state.buffer
        window, small = buffer[-1][0], 0
        for index, batch in reversed(buffer):
            if index != window or batch.rows >= SMALL_ROWS:
                break
            small += 1
        if small >= SMALL_ROWS:
            buffer[-small:] = [(window, batch) for batch in joined([batch for _, batch in buffer[-small:]])]

    def _fix_if_enough(self) -> None:
        state = self.state
        if state.fixed or not state.buffer:
            return
        rows = sum(batch.rows for _, batch in state.buffer)
        entries = sum(batch.rows * vector_entries(batch) for _, batch in state.buffer)
        values = sum(batch.rows * (width(batch) + len(batch.segments)) for _, batch in state.buffer) - entries
        closed = self._closed()
        enough = rows >= state.learn_rows and closed >= 1
        full = rows >= BUFFER_ROWS_FACTOR * state.learn_rows or values >= BUFFER_VALUES or entries >= BUFFER_ENTRIES
        if enough or full or closed >= state.learn_windows:
            self._fix()

    def _fix(self) -> None:
        """Bins from the buffer, and the buffer counted into its windows.

        Directions come from every other row, and the rows between are counted along them: see `sample`.
        """
        state = self.state
        batches = [batch for _, batch in state.buffer]
        odd = np.cumsum([0, *(batch.rows for batch in batches)]) % 2
        layout = Layout(features_of(batches, state.schema), state.head.layout.window_seconds)
        to_fit = [select(b, np.arange(first, b.rows, 2)) for b, first in zip(batches, odd.tolist(), strict=False)]
        layout = with_projections(layout, to_fit)
        state.head = replace(state.head, layout=layout)
        state.fixed = True
        for (window, batch), first in zip(state.buffer, odd.tolist(), strict=False):
            own = state.windows[window]
            placed = layout.place(batch, slice(1 - first, None, 2))
            counts = placed.count(layout.cells)
            own.counts = counts if own.counts is None else own.counts + counts
            learn_segments.count(own.segments, state.segments, batch, placed.cells, layout, state.learn_windows)
        state.buffer = []

    def _finish(self) -> None:
        state = self.state
        if not state.fixed or self._closed() < state.learn_windows:
            return
        window_ns = round(state.head.layout.window_seconds * 1e9)
        done = sorted(index for index, window in state.windows.items() if window.closed)
        counts = [state.windows[index].counts for index in done]
        blocks = np.array([np.zeros(state.head.layout.cells) if c is None else c for c in counts], dtype=np.int32)
        self._ready = replace(
            state.head,
            blocks=blocks,
            starts_ns=np.array(done, dtype=np.int64) * window_ns,
            rows=np.array([state.windows[index].rows for index in done], dtype=np.int64),
            made_at_ns=max(0, (done[-1] + 1) * window_ns),
            by_segment=learn_segments.finish(
                [state.windows[index].segments for index in done], state.segments, state.head.protected,
                state.head.layout,
            ),
        )  # fmt: skip


def blank(model: str, version: str, window_seconds: float, made_by: str = "", task: int = 0,
          positive_label: str = "", trained_at_ns: int = 0) -> Reference:  # fmt: skip
    """What a learner starts from: everything that is known of a model before its first row."""
    return Reference(
        model=model, version=version, layout=Layout((), window_seconds), blocks=np.empty((0, 0), np.int32),
        starts_ns=np.empty(0, np.int64), rows=np.empty(0, np.int64), task=task, positive_label=positive_label,
        trained_at_ns=trained_at_ns, made_by=made_by, origin=ORIGIN,
    )  # fmt: skip


def _with_keys(head: Reference, batch: Batch) -> Reference:
    """Remembers by what keys the traffic is segmented."""
    if batch.segments.keys() <= set(head.segments) and batch.protected.keys() <= set(head.protected):
        return head
    segments, protected = sorted({*head.segments, *batch.segments}), sorted({*head.protected, *batch.protected})
    return replace(head, segments=tuple(segments[:KEYS_MAX]), protected=tuple(protected[:KEYS_MAX]))
