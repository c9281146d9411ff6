"""What a reference keeps of its segments: exact counts, bounded, in the file and back, and the same as traffic's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.counting.segments import VALUES_MAX, WINDOWS_KEPT, Budget
from agent.counting.windows import Series
from agent.errors import CorruptError
from agent.records import Batch, Columns, ModelKey, Numbers, Texts
from agent.reference import by_segment, file
from agent.reference.build import build
from agent.reference.by_segment import RUN_WINDOWS, RUNS_MAX, BySegment, SegmentCounts, choose_runs, most_frequent, pack
from agent.reference.plan import Request
from agent.reference.profile import Reference
from agent.wire import reference_pb2 as pb
from tests.segments.segment_worlds import Regions

HOUR = 3600 * 10**9


def table(rows: int = 12_000, regions: int = 5) -> pa.Table:
    """Rows in order of time over 40 hours; region r0 is as frequent as all others together."""
    random = np.random.default_rng(3)
    region = np.where(random.random(rows) < 0.5, 0, random.integers(0, regions, rows))
    return pa.table({
        "time": pa.array(np.arange(rows) * (40 * HOUR // rows), pa.timestamp("ns")),
        "fare": random.normal(size=rows) + region,
        "region": pa.array([f"r{i}" for i in region]),
        "group": pa.array(["a", "b"] * (rows // 2)),
    })  # fmt: skip


def built(path: Path, data: pa.Table, **more: object) -> Reference:
    pq.write_table(data, path / "data.parquet")
    options: dict[str, object] = {"time": "time", "segments": ("region",)}
    request = Request((str(path / "data.parquet"),), "m", "1", **{**options, **more})  # type: ignore[arg-type]
    return build(request).reference


@given(st.integers(0, 2000))
def test_runs_lie_within_and_apart(blocks: int) -> None:
    """Of each length at most 24, rising, never overlapping, never beyond the blocks."""
    runs = choose_runs(blocks)
    for length in RUN_WINDOWS:
        firsts = [first for first, windows in runs if windows == length]
        assert len(firsts) <= RUNS_MAX
        assert all(b - a >= length for a, b in pairwise(firsts))
        assert not firsts or (firsts[0] >= 0 and firsts[-1] + length <= blocks)


def test_counts_are_those_of_the_same_rows_as_traffic(tmp_path: Path) -> None:
    """Built from a table, and counted by windows of the same rows: pooled and run by run the same, cell by cell."""
    data = table().drop_columns(["group"])
    reference = built(tmp_path, data)
    series = Series(ModelKey("m", "1"), HOUR, reference, None, ("region",))
    values = data.column("region").combine_chunks().dictionary_encode()
    texts = Texts(values.dictionary.to_pylist(), values.indices.to_numpy().astype(np.int32))
    times = data.column("time").to_numpy().astype(np.int64)
    fares = Columns({"fare": Numbers(data.column("fare").to_numpy().copy())})
    batch = Batch(ModelKey("m", "1"), len(times), 0, fares, Columns(), times, segments={"region": texts})
    series.add(batch, event_time=True)
    windows = [dict(series.close(index).segments) for index in range(40)]
    segments, cells = reference.by_segment, reference.layout.cells
    assert segments.keys == ("region",)
    assert [value.value for value in segments.values] == ["r0", *sorted((v.value for v in segments.values[1:]),
                                                          key=lambda v: -int((texts_of(data) == v).sum()))]  # fmt: skip
    for value in segments.values:
        counts = value.unpack(len(segments.runs), cells)
        own = np.array([window[value.name] for window in windows])
        np.testing.assert_array_equal(counts[0], own.sum(axis=0))
        for run, (first, length) in zip(counts[1:], segments.runs, strict=True):
            np.testing.assert_array_equal(run, own[first : first + length].sum(axis=0))
        assert value.rows.sum() == (texts_of(data) == value.value).sum()


def texts_of(data: pa.Table) -> np.ndarray:
    return np.array(data.column("region").to_pylist())


def test_protected_and_unnamed_columns_are_not_counted_by_segment(tmp_path: Path) -> None:
    """A protected attribute named as a segment too keeps its key, and no counts and no value's name."""
    reference = built(tmp_path, table(), segments=("region", "group"), protected=("group",))
    assert {value.key for value in reference.by_segment.values} == {"region"}
    assert b"segments" in file.encode(reference)


def test_fifty_values_are_kept_the_most_frequent_first(tmp_path: Path) -> None:
    """Of sixty values fifty; those with few rows have their rows a window, and no counts."""
    reference = built(tmp_path, table(regions=60))
    values = reference.by_segment.values
    assert len(values) == 50
    assert values[0].value == "r0"
    assert [bool(value.packed) for value in values] == [value.rows.sum() >= by_segment.ROWS_MIN for value in values]
    assert sum(bool(value.packed) for value in values) == 1


def test_texts_too_long_to_be_names_are_no_segments() -> None:
    """They are counted as hashes: a number is nobody's name."""
    assert most_frequent({"north": 5, 12345: 50, "south": 5, "east": 9}) == ("east", "north", "south")


def test_cells_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is room for few cells, runs become fewer, then the least frequent values go without counts."""
    whole = built(tmp_path, table())
    cells, runs = whole.layout.cells, len(whole.by_segment.runs)
    monkeypatch.setattr(by_segment, "CELLS_MAX", 4 * 20 * cells)
    found = built(tmp_path, table()).by_segment
    held = sum((1 + len(found.runs)) * cells for value in found.values if value.packed)
    assert len(found.runs) < runs
    assert 0 < held <= 4 * 20 * cells
    assert [bool(v.packed) for v in found.values] == sorted((bool(v.packed) for v in found.values), reverse=True)


def test_the_file_keeps_segments(tmp_path: Path) -> None:
    """decode(encode(x)) has the same keys, runs, rows and counts, and the same bytes."""
    before = Regions([100, 50], features=2, blocks=40).reference
    after = file.decode(file.encode(before))
    assert (after.by_segment.keys, after.by_segment.runs) == (before.by_segment.keys, before.by_segment.runs)
    for old, new in zip(before.by_segment.values, after.by_segment.values, strict=True):
        assert (old.key, old.value, old.packed) == (new.key, new.value, new.packed)
        np.testing.assert_array_equal(old.rows, new.rows)
    assert file.encode(after) == file.encode(before)
    assert after.hash == replace(before, by_segment=BySegment()).hash


def test_a_file_without_the_section_still_reads() -> None:
    """An older file: no segments, everything else."""
    world = Regions([100], features=1, blocks=10)
    message = pb.ReferenceFile.FromString(file.encode(world.without_section()))
    assert "segments" not in [section.key for section in message.sections]
    assert file.decode(message.SerializeToString()).by_segment == BySegment()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: replace(s, runs=((9, 4),)), "a run beyond the 10 blocks"),
        (lambda s: replace(s, values=(replace(s.values[0], rows=np.ones(3, np.int64)),)), "rows of 3 blocks"),
    ],
)
def test_a_section_that_does_not_fit_is_corrupt(change: object, words: str) -> None:
    """Named, with what was expected."""
    reference = Regions([100], features=1, blocks=10).reference
    broken = replace(reference, by_segment=change(reference.by_segment))  # type: ignore[operator]
    with pytest.raises(CorruptError, match=words):
        file.decode(file.encode(broken))


def test_counts_of_another_size_are_not_unpacked() -> None:
    """A few packed bytes that hold a hundred million zeros stop at what was expected."""
    bomb = SegmentCounts("region", "north", np.ones(1, np.int64), pack(np.zeros((100, 10_000), np.int32)))
    with pytest.raises(CorruptError, match="counts are not 80 bytes"):
        bomb.unpack(1, 10)


def test_the_references_values_keep_their_places_in_a_window() -> None:
    """Sixty strangers that come first leave room for the two values that can be judged; fifty are counted in all."""
    world = Regions([100, 100], features=1, texts=0, blocks=20)
    series = Series(ModelKey("m", "1"), HOUR, world.reference, None, ("region",), budget=Budget(1 << 20))
    names = [*(f"stranger{i}" for i in range(60)), "r0", "r1"]
    codes = Texts(names, np.arange(62, dtype=np.int32))
    columns = Columns({"number0": Numbers(np.zeros(62))})
    series.add(Batch(ModelKey("m", "1"), 62, 0, columns, Columns(), segments={"region": codes}), event_time=False)
    held = series.open[0].segments
    assert len(held) == VALUES_MAX
    assert {"region=r0", "region=r1"} <= held.keys()
    assert series.counters["segments_refused"] == 12


def test_windows_too_old_to_be_judged_give_their_segments_back() -> None:
    """As many closed windows keep them as the longest horizon has; the budget says so, cell by cell."""
    assert RUN_WINDOWS[-1] == WINDOWS_KEPT
    world = Regions([100, 100], features=1, texts=0, blocks=20)
    budget = Budget(1 << 20)
    series = Series(ModelKey("m", "1"), HOUR, world.reference, None, ("region",), budget=budget)
    codes, columns = Texts(["r0", "r1"], np.arange(2, dtype=np.int32)), Columns({"number0": Numbers(np.zeros(2))})
    for index in range(30):
        arrived = index * HOUR
        batch = Batch(ModelKey("m", "1"), 2, arrived, columns, Columns(), segments={"region": codes})
        series.add(batch, event_time=False)
        series.close(index)
    assert [len(closed.segments) for closed in series.recent] == [0] * 8 + [2] * 16
    assert (1 << 20) - budget.cells == 16 * 2 * world.reference.layout.cells
