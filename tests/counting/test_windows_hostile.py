"""What one sender can ask of the windows within all limits, and what it may cost."""

from __future__ import annotations

import numpy as np

from agent.bins import Feature, Layout
from agent.counting.segments import VALUES_MAX, Budget
from agent.counting.windows import OPEN_WINDOWS_MAX, WINDOWS_AT_ONCE, Series
from agent.records import Batch, Columns, Kind, ModelKey, Numbers, Source, Texts
from agent.reference.profile import Reference

MINUTE_NS = 60 * 10**9
MODEL = ModelKey("m")


def series(segments: tuple[str, ...] = (), budget: Budget | None = None) -> Series:
    layout = Layout((Feature("x", Source.FEATURE, Kind.NUMBER, edges=(0.0, 0.5, 1.0)),), 60.0)
    nothing = np.zeros(1, dtype=np.int64)
    known = Reference("m", "", layout, np.ones((1, layout.cells), dtype=np.int32), nothing, nothing + 10)
    return Series(MODEL, MINUTE_NS, known, None, segments, budget=budget)


def batch(rows: int, time_ns: np.ndarray | None = None, users: np.ndarray | None = None) -> Batch:
    values = {"x": Numbers(np.linspace(0, 1, rows))}
    names = [] if users is None else [f"u{i}" for i in range(int(users.max()) + 1)]
    segments = {} if users is None else {"user": Texts(names, users.astype(np.int32))}
    return Batch(MODEL, rows, 1, Columns(values), Columns(), time_ns=time_ns, segments=segments)


def test_sparse_history_is_counted_a_few_windows_at_a_time() -> None:
    """Ten thousand rows over ten thousand windows: no step begins more than a few, and none is lost."""
    one, rows = series(), 10_000
    times = np.random.default_rng(1).permutation(np.arange(1, rows + 1)) * MINUTE_NS
    for part in one.parts(batch(rows, times), event_time=True):
        one.add(part, True)
        assert len(one.open) <= WINDOWS_AT_ONCE + 1
        for index in list(one.due(one.newest_ns)):
            one.close(index)
    assert one.counters["kept"] == rows
    assert one.counters["late"] == 0


def test_open_windows_are_bounded_even_where_lateness_is_long() -> None:
    """Beyond the bound the oldest close before their time."""
    one = series()
    for part in one.parts(batch(3_000, np.arange(1, 3_001) * MINUTE_NS), event_time=True):
        one.add(part, True)
        for index in list(one.due(0)):
            one.close(index)
    assert len(one.open) <= OPEN_WINDOWS_MAX


def test_a_segment_key_of_many_values_keeps_the_first_and_counts_the_rest() -> None:
    """Fifty values a key; rows of others are counted as refused by the segments, and stay in the whole."""
    one, users = series(("user",)), np.arange(10_000)
    one.add(batch(10_000, users=users), False)
    (window,) = one.open.values()
    assert len(window.segments) == VALUES_MAX
    assert one.counters["segments_refused"] == 10_000 - VALUES_MAX
    assert window.rows == 10_000


def test_segments_add_up_to_the_whole() -> None:
    """Every row lies in one value of the key: the values' counts add up to the window's."""
    one, users = series(("user",)), np.arange(1_000) % 7
    one.add(batch(1_000, users=users), False)
    (window,) = one.open.values()
    assert window.counts is not None
    assert np.array_equal(np.sum(list(window.segments.values()), axis=0), window.counts)


def test_cells_of_segments_come_back_when_windows_go() -> None:
    """The budget is what open and recent windows hold, no more and no less."""
    budget = Budget(10_000)
    one = series(("user",), budget)
    for minute in range(60):
        one.add(batch(10, np.full(10, (minute + 1) * MINUTE_NS), np.arange(10) % 3), True)
        for index in list(one.due(one.newest_ns)):
            one.close(index)
        held = sum(len(w.segments) for w in one.open.values()) + sum(len(c.segments) for c in one.recent)
        assert budget.cells == 10_000 - held * one.total.size
