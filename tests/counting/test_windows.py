"""Series: which window a row belongs to, in which order windows close, and the histogram of latencies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.counting.windows import HORIZON, UNKNOWN_MAX, Series, Window
from agent.records import ABSENT, Batch, Columns, ModelKey, Numbers, Source, Texts
from tests.ingest.door import HOUR_NS, LAYOUT, reference

KEY = ModelKey("m", "1")
START = 1_700_000_000_000_000_000 // HOUR_NS * HOUR_NS


def _series() -> Series:
    return Series(KEY, HOUR_NS, reference(), None)


def _batch(*hours: float, arrived: float = 0.0, latency: list[float] | None = None, times: bool = True) -> Batch:
    values = Columns({"a": Numbers(np.full(len(hours), 0.5))})
    stamps = np.array([START + int(h * HOUR_NS) for h in hours], dtype=np.int64)
    return Batch(
        KEY, len(hours), START + int(arrived * HOUR_NS), values, Columns(), time_ns=stamps if times else None,
        latency=None if latency is None else np.array(latency),
    )  # fmt: skip


def test_by_arrival_all_rows_of_a_batch_lie_in_one_window() -> None:
    """Their own times are not asked."""
    series = _series()
    series.add(_batch(-5.0, 0.0, 9.0, arrived=2.5), event_time=False)
    assert [(w.index - START // HOUR_NS, w.rows) for w in series.open.values()] == [(2, 3)]


def test_by_event_time_each_row_lies_in_its_own_window() -> None:
    """And the watermark is the newest of them."""
    series = _series()
    series.add(_batch(0.1, 2.2, 0.9, 1.0, arrived=7.0), event_time=True)
    assert {w.index - START // HOUR_NS: w.rows for w in series.open.values()} == {0: 2, 1: 1, 2: 1}
    assert series.newest_ns == START + int(2.2 * HOUR_NS)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(0, 30), min_size=1, max_size=6), min_size=1, max_size=12))
def test_windows_close_in_order_and_what_comes_after_is_late(batches: list[list[float]]) -> None:
    """Law: rows = kept + late; closed windows rise; the recent ones hold each kept row once, none twice."""
    series, closed = _series(), []
    for hours in batches:
        series.add(_batch(*hours), event_time=True)
        due = list(series.due(series.newest_ns))
        assert due == sorted(due)
        closed += [series.close(index) for index in due]
        assert all(index >= series.closed_below for index in series.open)
    assert series.counters["kept"] + series.counters["late"] == sum(map(len, batches))
    assert [c.index for c in closed] == sorted({c.index for c in closed})
    rows = sum(c.rows for c in closed) + sum(w.rows for w in series.open.values())
    assert rows == series.counters["kept"]
    assert int(series.total[LAYOUT.slice(0)][:-1].sum()) == rows
    assert list(series.recent) == closed[-HORIZON:]


def test_adopting_a_reference_begins_anew() -> None:
    """Horizons and totals are those of the new layout; rows already in the open window are not counted by it."""
    series = Series(KEY, HOUR_NS, None, None)
    series.add(_batch(0.1), event_time=True)
    series.close(START // HOUR_NS)
    series.add(_batch(1.1), event_time=True)
    series.adopt(reference(), "learned from traffic")
    assert not series.recent
    series.add(_batch(1.2, 1.3), event_time=True)
    assert int(series.total[LAYOUT.slice(0)].sum()) - series.total[LAYOUT.slice(0)][-1] == 2
    assert series.close(START // HOUR_NS + 1).counts.size == LAYOUT.cells


def test_forgetting_empties_one_feature_alone() -> None:
    """A resolved alert's past must not fire it again; other features keep theirs; unknown names change nothing."""
    series = _series()
    series.add(_batch(0.1, 0.2), event_time=True)
    series.close(START // HOUR_NS)
    before = series.recent[0].counts.copy()
    series.forget(Source.FEATURE, "none such")
    assert series.recent[0].counts.tolist() == before.tolist()
    series.forget(Source.FEATURE, "a")
    assert not series.recent[0].counts[LAYOUT.slice(0)].any()
    assert series.recent[0].counts[LAYOUT.slice(1)].tolist() == before[LAYOUT.slice(1)].tolist()


def test_a_segment_nobody_has_is_no_fault() -> None:
    """All rows null there, with an empty dictionary: nothing is counted apart, nothing raises."""
    series = Series(KEY, HOUR_NS, reference(), None, ("region",))
    batch = _batch(0.1, 0.2)
    for words in ([], ["eu"]):
        column = Texts(words, np.zeros(2, dtype=np.int32), np.ones(2, dtype=np.uint8))
        series.add(Batch(KEY, 2, batch.arrived_ns, batch.features, batch.outputs, segments={"region": column}), False)
    (window,) = series.open.values()
    assert window.segments == {}
    assert series.counters["segments_refused"] == 0


def test_latencies_that_are_none_leave_the_histogram_alone() -> None:
    """NaN, negative, infinite or of thirty years: not counted, and the sum stays a number."""
    series = _series()
    series.add(_batch(*[0.1] * 6, latency=[math.nan, -1.0, math.inf, 1e300, 0.25, 0.0]), event_time=True)
    assert int(series.latency.sum()) == 2
    assert series.latency_sum == 0.25


def test_features_nobody_knows_are_named_in_order() -> None:
    """Of too many the same ones are named by every process: sets of texts have an order of their own in each."""
    series = _series()
    names = [f"new{i:03d}" for i in range(200)]
    features = Columns({name: Numbers(np.zeros(1)) for name in reversed(names)})
    series.add(Batch(KEY, 1, START, features, Columns()), event_time=False)
    (window,) = series.open.values()
    assert sorted(window.unknown) == names[:UNKNOWN_MAX]
    assert series.counters["unknown_not_named"] == 200 - UNKNOWN_MAX


def test_rows_without_a_value_repeat_nothing() -> None:
    """Gathered rows may bring the names of earlier rows along; with or without them there is nothing to compare."""
    nothing = np.full(3, ABSENT, dtype=np.uint8)
    found = []
    for features in (Columns(), Columns({"a": Numbers(np.zeros(3), nothing)})):
        series = _series()
        series.add(_batch(0.0), event_time=False)
        series.add(Batch(KEY, 3, START, features, Columns()), event_time=False)
        found.append(series.close(START // HOUR_NS).repeats["rows"])
    assert found == [(1, 0), (1, 0)]


def test_messages_counted_together_have_the_rows_sampled_that_each_alone_has() -> None:
    """How many rows a window will hold is judged anew with each message: the rows looked at closely are the same."""
    sizes, seconds = (700, 1, 2_000, 40, 900), (0.0, 0.4, 1.1, 1.2, 3.0)
    series = _series()
    messages = [
        replace(_batch(*[0.0] * size), arrived_ns=START + int(s * 1e9)) for size, s in zip(sizes, seconds, strict=True)
    ]
    window = Window(0, None, first_ns=START)
    alone = []
    for message in messages:
        window.rows += message.rows
        alone.append(window.rows - message.rows + np.arange(message.rows)[series._sampled(message, window, False, 500)])
    together = replace(
        _batch(*[0.0] * sum(sizes)), messages=tuple((message.rows, message.arrived_ns) for message in messages)
    )
    assert np.array_equal(np.concatenate(alone), np.arange(sum(sizes))[series._sampled(together, window, False, 500)])
    assert len(alone[0]) == 700
    assert len(alone[2]) < 2_000
