"""A reference learned from traffic knows its segments too, from its first row; also across a restart."""

from __future__ import annotations

import numpy as np

from agent.records import Batch, Columns, ModelKey, Numbers, Texts
from agent.reference import learn_segments, learn_state
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.segments import segment_tests

KEY = ModelKey("m", "1")


def batch(window: int, rows: int = 200, **segments: list[str]) -> Batch:
    """Rows of one feature; region by turns north, south, south."""
    random = np.random.default_rng(window)
    codes = np.arange(rows, dtype=np.int32) % 3
    named = {key: Texts(values, codes) for key, values in segments.items()}
    named = named or {"region": Texts(["north", "south", "south"], codes)}
    return Batch(KEY, rows, 0, Columns({"fare": Numbers(random.normal(size=rows))}), Columns(), segments=named)


def learned(windows: int = 30, restart_at: int = -1, keys: tuple[str, ...] = ("region",), rows: int = 300) -> Reference:
    learner = Learner(blank("m", "1", 3600.0), learn_rows=rows, learn_windows=windows, segments=keys)
    for window in range(windows):
        learner.add(batch(window), window)
        learner.close(window)
        if window == restart_at:
            learner = learn_state.decode(learn_state.encode(learner))
    assert learner.ready is not None
    return learner.ready


def test_a_learned_reference_can_judge_its_segments() -> None:
    """Exact counts of each value, also of the windows before the bins were fixed; runs of one window and of four."""
    reference = learned()
    segments = reference.by_segment
    south, north = segments.values
    assert (south.name, north.name) == ("region=south", "region=north")
    assert {length for _, length in segments.runs} == {1, 4}
    assert set(south.rows.tolist()) == {133}
    counts = sum(own.unpack(len(segments.runs), reference.layout.cells)[0] for own in (south, north))
    np.testing.assert_array_equal(counts, reference.blocks.sum(axis=0))
    assert segment_tests(reference) > 0


def test_a_restart_changes_nothing() -> None:
    """Learned in one go, or with the state written and read in between: the same counts, byte by byte."""
    once = learned().by_segment
    for at in (0, 12):  # while rows are buffered, and after
        again = learned(restart_at=at).by_segment
        assert [v.packed for v in once.values] == [v.packed for v in again.values]
        assert [v.rows.tolist() for v in once.values] == [v.rows.tolist() for v in again.values]


def test_little_traffic_is_enough() -> None:
    """Fewer rows in all windows than bins are made from: everything lies in the buffer until the end."""
    assert {v.name: int(v.rows.sum()) for v in learned(rows=10_000).by_segment.values} == {
        "region=south": 30 * 133, "region=north": 30 * 67,
    }  # fmt: skip


def test_keys_nobody_asked_for_and_protected_ones_are_not_counted() -> None:
    """Only the keys that were set; not one that is a protected attribute in the traffic."""
    assert learned(keys=()).by_segment.values == ()
    learner = Learner(blank("m", "1", 3600.0), 300, 3, ("region",))
    for window in range(3):
        own = batch(window)
        learner.add(Batch(KEY, own.rows, 0, own.features, own.outputs, segments=own.segments,
                          protected=own.segments), window)  # fmt: skip
        learner.close(window)
    assert learner.ready is not None
    assert learner.ready.by_segment.values == ()


def test_what_a_learner_holds_of_segments_is_bounded() -> None:
    """A key with a new value in every row: fifty values at most, and no more cells than a checkpoint may carry."""
    learner = Learner(blank("m", "1", 3600.0), 300, 30, ("id",))
    for window in range(6):
        learner.add(batch(window, id=[f"{window}-{i}" for i in range(3)]), window)
        learner.close(window)
    for window in range(6, 40):
        own = batch(window)
        ids = Texts([f"{window}-{i}" for i in range(own.rows)], np.arange(own.rows, dtype=np.int32))
        learner.add(Batch(KEY, own.rows, 0, own.features, own.outputs, segments={"id": ids}), window)
    names = learner.state.segments.values
    assert len(names) == 50
    assert len(names) * 30 * learner.state.head.layout.cells <= learn_segments.CELLS_MAX
