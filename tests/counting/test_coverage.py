"""What the agent did not see is known, kept over restarts, and never taken for silence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.checkpoint.series import _sample, dump
from agent.checkpoint.windows import dump_closed, load_closed, load_window
from agent.counting.coverage import GAPS_MAX, Alive, Coverage
from agent.counting.windows import UNKNOWN_MAX, Series
from agent.records import Batch, Columns, ModelKey, Numbers
from agent.wire import state_pb2 as state
from tests.ingest.door import HOUR_NS, reference

KEY = ModelKey("m", "1")
START = 1_700_000_000_000_000_000 // HOUR_NS * HOUR_NS
SECOND_NS = 1_000_000_000

spans = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(sorted)


@settings(max_examples=200, deadline=None)
@given(st.lists(spans, max_size=30), spans)
def test_covered_seconds_are_those_in_no_gap(gaps: list[list[int]], window: list[int]) -> None:
    """Against counting every second alone, however gaps overlap; and the same in any order."""
    coverage = Coverage.of((a * SECOND_NS, b * SECOND_NS) for a, b in gaps)
    blind = {second for a, b in gaps for second in range(a, b)}
    expected = len(set(range(*window)) - blind)
    assert coverage.seconds(window[0] * SECOND_NS, window[1] * SECOND_NS) == expected
    assert coverage.gaps == Coverage.of((a * SECOND_NS, b * SECOND_NS) for a, b in reversed(gaps)).gaps
    seconds = np.arange(1000, dtype=np.int64) * SECOND_NS
    assert int(coverage.inside(seconds).sum()) == len(blind)


def test_gaps_are_bounded() -> None:
    """However often the agent dies; what is merged is taken for blind, never for watched."""
    coverage = Coverage()
    for number in range(500):
        coverage.lost(number * 100, number * 100 + 50)
    assert len(coverage.gaps) == GAPS_MAX
    assert coverage.seconds(0, 50_000) * 1e9 <= 500 * 50


def test_a_sign_of_life_survives_and_damage_is_no_sign(tmp_path: Path) -> None:
    """A file that is not there, or holds something else, says nothing."""
    alive = Alive(tmp_path / "alive")
    assert alive.last_ns() == 0
    alive.sign(5)
    alive.sign(START)
    assert Alive(tmp_path / "alive").last_ns() == START
    (tmp_path / "alive").write_text("soon")
    assert alive.last_ns() == 0
    Alive(tmp_path / "nowhere" / "alive").sign(START)


def _series(started_ns: int = START) -> Series:
    return Series(KEY, HOUR_NS, reference(), None, started_ns=started_ns)


def _batch(rows: int, at_ns: int, times_ns: int = 0, columns: Mapping[str, Numbers] | None = None) -> Batch:
    times = np.full(rows, times_ns, dtype=np.int64) if times_ns else None
    return Batch(KEY, rows, at_ns, Columns({"a": Numbers(np.zeros(rows)), **(columns or {})}), Columns(), time_ns=times)


def test_a_window_knows_how_long_it_was_watched_and_what_came_late() -> None:
    """A series that began within it, an agent that was down: neither is covered; what is sent afterwards is backlog."""
    minute = 60 * SECOND_NS
    series = _series(START + 6 * minute)
    series.add(_batch(5, START + 10 * minute), event_time=False)
    series.lost(START + 20 * minute, START + 30 * minute)
    series.add(_batch(3, START + 31 * minute, START + 25 * minute), event_time=False)
    series.add(_batch(2, START + 32 * minute, START + 32 * minute), event_time=False)
    (index,) = series.due(START + HOUR_NS)
    closed = series.close(index)
    assert (closed.covered_seconds, closed.backlog, closed.rows) == (44 * 60.0, 3, 10)


def test_by_event_time_a_window_is_covered_whole() -> None:
    """History does not know when the agent was down."""
    series = _series(START + 60 * SECOND_NS)
    series.add(_batch(1, START, START + 1), event_time=True)
    assert series.close(START // HOUR_NS, event_time=True).covered_seconds == 3600.0


def test_features_the_reference_lacks_are_named_and_bounded() -> None:
    """Rows that have one are counted; beyond 64 names a window they are counted without theirs."""
    series = _series()
    some = Numbers(np.zeros(4), np.array([0, 1, 2, 2], dtype=np.uint8))
    series.add(_batch(4, START, columns={"fresh": some, "b": some}), event_time=False)
    assert series.close(START // HOUR_NS).unknown == {"fresh": 2}
    many = {f"x{i}": Numbers(np.zeros(2)) for i in range(UNKNOWN_MAX + 3)}
    series.add(_batch(2, START + HOUR_NS, columns=many), event_time=False)
    assert len(series.close(START // HOUR_NS + 1).unknown) == UNKNOWN_MAX
    assert series.counters["unknown_not_named"] == 6


def test_all_of_it_survives_a_checkpoint() -> None:
    """Open and closed windows, and the gaps."""
    series = _series()
    series.lost(START + SECOND_NS, START + 9 * SECOND_NS)
    series.add(_batch(2, START + SECOND_NS, START + SECOND_NS, {"fresh": Numbers(np.zeros(2))}), event_time=False)
    packed = state.Series.FromString(dump(series))
    again = load_window(packed.open[0], series.total.size)
    assert (again.unknown, again.backlog) == ({"fresh": 2}, 2)
    assert [(gap.from_unix_nano, gap.to_unix_nano) for gap in packed.gaps] == series.coverage.gaps
    again_samples = [(s.kind, _sample(s)) for s in packed.samples]
    assert again_samples == [("rows", series.samples["rows"].now)]
    closed = series.close(START // HOUR_NS)
    assert closed.repeats == {"ids": (0, 0), "rows": (2, 1)}
    read = load_closed(state.Window.FromString(dump_closed(closed)), series.total.size)
    assert read.repeats == closed.repeats
    assert (read.covered_seconds, read.backlog, read.unknown) == (3592.0, 2, {"fresh": 2})
