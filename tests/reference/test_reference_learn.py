"""Learning from traffic: exact counts, no chance in it, and the same after a restart at any moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import ABSENT_CELL, MISMATCH_CELL, NULL_CELL
from agent.errors import CorruptError
from agent.records import (
    ABSENT,
    NULL,
    PRESENT,
    Batch,
    Columns,
    Flags,
    Kind,
    ModelKey,
    Numbers,
    Source,
    Texts,
    Vectors,
    select,
)
from agent.reference import file, learn_state
from agent.reference.edges import QUANTILES
from agent.reference.learn import Learner, blank

MODEL = ModelKey("m", "1")


def _learner(rows: int = 100, windows: int = 4) -> Learner:
    return Learner(blank("m", "1", 60.0), rows, windows)


def _batch(rows: int, seed: int = 0, **features: Numbers) -> Batch:
    rng = np.random.default_rng(seed)
    state = rng.choice([PRESENT, NULL, ABSENT], rows, p=[0.8, 0.1, 0.1]).astype(np.uint8)
    return Batch(
        MODEL,
        rows,
        0,
        Columns(
            numbers={
                "x": Numbers(rng.normal(size=rows), state),
                "n": Numbers(rng.integers(0, 5, rows).astype(np.float64)),
                **features,
            },
            texts={"c": Texts(("a", "b", "ü"), rng.integers(0, 3, rows).astype(np.int32))},
            flags={"f": Flags(rng.random(rows) < 0.5)},
            vectors={"v": Vectors(rng.normal(size=(rows, 2)).astype(np.float32))},
        ),
        Columns(
            numbers={"score:no": Numbers(rng.random(rows)), "score:yes": Numbers(rng.random(rows))},
            texts={"prediction": Texts(("no", "yes"), rng.integers(0, 2, rows).astype(np.int32))},
        ),
        segments={"region": Texts(("r",), np.zeros(rows, np.int32))},
        protected={"sex": Texts(("s",), np.zeros(rows, np.int32))},
    )


def _learned(learner: Learner, windows: int = 4, rows: int = 60) -> list[tuple[int, Batch]]:
    """Two batches a window, each window closed; what was fed."""
    fed = []
    for window in range(windows):
        for part in range(2):
            batch = _batch(rows, seed=10 * window + part)
            learner.add(batch, window)
            fed.append((window, batch))
        learner.close(window)
    return fed


def test_the_counts_are_those_of_the_whole_traffic() -> None:
    """Buffered rows and later ones alike: every block equals a plain count of its window with the final bins."""
    learner = _learner()
    fed = _learned(learner)
    reference = learner.ready
    assert reference is not None
    assert reference.starts_ns.tolist() == [0, 60 * 10**9, 120 * 10**9, 180 * 10**9]
    assert reference.rows.tolist() == [120] * 4
    for window in range(4):
        expected = sum(reference.layout.place(b).count(reference.layout.cells) for w, b in fed if w == window)
        np.testing.assert_array_equal(reference.blocks[window], expected)
    assert reference.origin == "learned from traffic"
    assert (reference.segments, reference.protected) == (("region",), ("sex",))
    assert file.decode(file.encode(reference)).hash == reference.hash


def test_what_is_watched_and_how() -> None:
    """Outputs first; of two classes' scores the last; bins for each kind; edges are the buffer's exact quantiles."""
    learner = _learner()
    fed = _learned(learner)
    assert learner.ready is not None
    features = learner.ready.layout.features
    assert [(f.name, f.source, f.kind) for f in features] == [
        ("prediction", Source.PREDICTION, Kind.TEXT), ("score:yes", Source.SCORE, Kind.NUMBER),
        ("c", Source.FEATURE, Kind.TEXT), ("f", Source.FEATURE, Kind.FLAG), ("n", Source.FEATURE, Kind.NUMBER),
        ("v", Source.FEATURE, Kind.VECTOR), ("x", Source.FEATURE, Kind.NUMBER),
    ]  # fmt: skip
    buffered = [batch.features.numbers["x"] for window, batch in fed if window == 0]
    values = np.concatenate([x.values[x.state == PRESENT] for x in buffered])
    inner = np.quantile(values, QUANTILES, method="inverted_cdf")
    np.testing.assert_array_equal(features[6].edges, np.unique([values.min(), *inner, values.max()]))
    assert features[4].edges == (0.0, 1.0, 2.0, 3.0, 4.0, 4.5)
    assert (features[4].integral, features[6].integral) == (True, False)
    assert not any(feature.public for feature in features)


@pytest.mark.parametrize(
    ("scores", "watched"),
    [(["score"], ["score"]), (["score:a"], ["score:a"]), (["score:b", "score:a"], ["score:b"]),
     (["score:a", "score:b", "score:c"], []), (["score", "score:a", "score:b"], ["score"]),
     (["second.score:a.b", "score:x"], ["score:x", "second.score:a.b"]), (["other"], [])],
)  # fmt: skip
def test_one_score_an_output(scores: list[str], watched: list[str]) -> None:
    """The lone score, else the only class's or the last of two; none of three; each named output by itself."""
    learner = _learner(10, 1)
    outputs = Columns(numbers={name: Numbers(np.arange(20.0)) for name in scores})
    learner.add(replace(_batch(20), outputs=outputs), 0)
    learner.close(0)
    assert learner.ready is not None
    assert [f.name for f in learner.ready.layout.features if f.source is Source.SCORE] == watched


def test_odd_features_are_handled() -> None:
    """Constant, never present, all NaN, and of mixed type: the majority decides, the rest are mismatches."""
    rows = 200
    mostly = np.where(np.arange(rows) < 150, PRESENT, ABSENT).astype(np.uint8)
    other = np.where(mostly == PRESENT, ABSENT, PRESENT).astype(np.uint8)
    batch = Batch(
        MODEL, rows, 0,
        Columns(
            numbers={
                "same": Numbers(np.full(rows, 0.1)), "gone": Numbers(np.zeros(rows), np.full(rows, NULL, np.uint8)),
                "nan": Numbers(np.full(rows, np.nan)), "age": Numbers(np.arange(float(rows)), mostly),
            },
            texts={"age": Texts(("old",), np.zeros(rows, np.int32), other)},
        ),
        Columns(),
    )  # fmt: skip
    learner = _learner(100, 1)
    learner.add(batch, 0)
    learner.close(0)
    reference = learner.ready
    assert reference is not None
    age, gone, nan, same = reference.layout.features
    counts = [reference.pooled[reference.layout.slice(i)] for i in range(4)]
    assert (age.name, age.kind) == ("age", Kind.NUMBER)
    assert counts[0][: age.bins].sum() == 150
    assert counts[0][age.bins + MISMATCH_CELL] == 50
    assert counts[1][gone.bins + NULL_CELL] == rows
    assert counts[2][: nan.bins].sum() == 0
    assert counts[3][1 : same.bins - 1].tolist() == [rows]
    assert not same.integral


def test_slow_traffic_is_learned_too() -> None:
    """Five rows a window never make 10,000: after enough windows the bins come from what there is."""
    learner = Learner(blank("m", "1", 60.0), learn_windows=3)
    for window in (3, 9, 10):
        learner.add(_batch(5, window), window)
        assert learner.ready is None
        learner.close(window)
        learner.close(window + 1)  # an empty window is no block
    assert learner.ready is not None
    assert learner.ready.rows.tolist() == [5, 5, 5]


def test_the_buffer_is_bounded() -> None:
    """Without a closed window the bins are fixed at four times the rows; with many columns, at 500,000 values."""
    learner = _learner(rows=100)
    learner.add(_batch(399), 0)
    assert not learner.state.fixed
    learner.add(_batch(1), 0)
    assert learner.state.fixed
    assert learner.state.buffer == []
    wide = Learner(blank("m", "1", 60.0))
    wide.add(_batch(500, **{f"x{i}": Numbers(np.arange(500.0)) for i in range(999)}), 0)
    assert wide.state.fixed


def test_windows_open_at_once_are_bounded_and_what_is_lost_counted() -> None:
    """A sender that scatters rows over a thousand windows fills 64 of them; the rest is counted as skipped."""
    learner = _learner(rows=10)
    for window in range(1000):
        learner.add(_batch(1), window)
    assert len(learner.state.windows) == 64
    assert learner.skipped_rows == 936


def test_nothing_is_learned_while_alarms_fire() -> None:
    """Windows an alarm touched are dropped whole, open and new ones; learning goes on in the first clean window."""
    learner = _learner(rows=50)
    for window in (0, 1):
        learner.add(_batch(60), window)
    learner.close(0)
    learner.pause(True)
    learner.add(_batch(60), 2)
    assert "paused" in learner.progress.words
    learner.close(1)
    learner.pause(False)
    learner.add(_batch(60), 2)
    learner.close(2)
    for window in (3, 4, 5):
        learner.add(_batch(60), window)
        learner.close(window)
    assert learner.ready is not None
    assert (learner.ready.starts_ns // (60 * 10**9)).tolist() == [0, 3, 4, 5]
    assert learner.skipped_rows == 180


def test_progress_is_told_in_words() -> None:
    """A fraction and a line for the status page; what is ready stays as it is."""
    learner = _learner()
    assert (learner.progress.fraction, learner.progress.words) == (0.0, "learning: 0 of 4 windows")
    _learned(learner, windows=3)
    assert (learner.progress.fraction, learner.progress.words) == (0.75, "learning: 3 of 4 windows")
    learner.add(_batch(9), 3)
    learner.close(3)
    ready = learner.ready
    assert learner.progress.words == "learned from 4 windows"
    learner.add(_batch(9), 9)
    learner.close(9)
    assert learner.ready is ready


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "close", "pause", "go"]), st.integers(0, 5), st.integers(1, 30)),
    min_size=1,
    max_size=30,
)


def _step(learner: Learner, what: str, window: int, rows: int) -> None:
    if what == "add":
        learner.add(_batch(rows, seed=rows), window)
    elif what == "close":
        learner.close(window)
    else:
        learner.pause(what == "pause")


@settings(max_examples=80, deadline=None)
@given(STEPS, st.lists(st.integers(0, 29), max_size=3))
def test_a_restart_at_any_moment_changes_nothing(steps: list[tuple[str, int, int]], restarts: list[int]) -> None:
    """Two learners with the same input, one written and read back in between: the same bytes, the same reference."""
    straight, restarted = _learner(40, 3), _learner(40, 3)
    for number, step in enumerate(steps):
        _step(straight, *step)
        _step(restarted, *step)
        if number in restarts:
            restarted = learn_state.decode(learn_state.encode(restarted))
    assert learn_state.encode(straight) == learn_state.encode(restarted)
    assert straight.progress == restarted.progress
    if straight.ready is not None:
        assert restarted.ready is not None
        assert file.encode(straight.ready) == file.encode(restarted.ready)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(60)), st.integers(1, 59))
def test_bins_do_not_depend_on_the_order_or_the_batches(order: list[int], cut: int) -> None:
    """The same rows, in another order and cut elsewhere, give the same hash."""
    whole = _batch(60)
    one, two = _learner(60, 1), _learner(60, 1)
    one.add(whole, 0)
    for part in (order[:cut], order[cut:]):
        two.add(select(whole, np.array(part)), 0)
    one.close(0)
    two.close(0)
    assert one.ready is not None
    assert two.ready is not None
    assert one.ready.hash == two.ready.hash


def test_damaged_state_is_refused() -> None:
    """1,000 damaged checkpoints of a learner, buffering or counting, raise CorruptError."""
    rng = np.random.default_rng(0)
    for learner in (_learner(10_000), _learner()):
        _learned(learner, windows=2)
        blob = learn_state.encode(learner)
        for _ in range(500):
            damaged = bytearray(blob)
            damaged[rng.integers(0, len(blob))] ^= 1 << int(rng.integers(0, 8))
            with pytest.raises(CorruptError):
                learn_state.decode(bytes(damaged))
        with pytest.raises(CorruptError):
            learn_state.decode(blob[:-1])


def test_a_feature_missing_from_some_batches_is_absent_there() -> None:
    """A feature that only half of the batches carry has the other half counted as absent."""
    learner = _learner(100, 1)
    learner.add(_batch(60, extra=Numbers(np.arange(60.0))), 0)
    learner.add(_batch(60), 0)
    learner.close(0)
    assert learner.ready is not None
    i = learner.ready.layout.index[Source.FEATURE, "extra"]
    feature = learner.ready.layout.features[i]
    assert learner.ready.pooled[learner.ready.layout.slice(i)][feature.bins + ABSENT_CELL] == 60


def test_rows_that_come_one_by_one_are_held_together() -> None:
    """Little traffic comes a row at a time: the buffer does not become a heap of tiny columns, which a checkpoint would
    walk for seconds; the reference is that of the same rows in one batch."""
    whole = _batch(700)
    one, single = _learner(700, 1), _learner(700, 1)
    one.add(whole, 0)
    for row in range(699):
        single.add(select(whole, np.array([row])), 0)
    assert len(single.state.buffer) < 80
    assert sum(batch.rows for _, batch in single.state.buffer) == 699
    single.add(select(whole, np.array([699])), 0)
    for learner in (one, single):
        learner.close(0)
    assert one.ready is not None
    assert single.ready is not None
    assert one.ready.hash == single.ready.hash
    assert (one.ready.blocks == single.ready.blocks).all()


def test_columns_without_a_row_leave_no_trace() -> None:
    """Gathered rows bring the names of earlier rows along, and an agent that was started anew does not know them."""
    nothing = np.full(60, ABSENT, dtype=np.uint8)
    beside = {
        f"gone{i}": Numbers(np.zeros(60), nothing) for i in range(9_000)
    }  # over the buffer's bound, were they held
    one, other = _learner(1_000, 2), _learner(1_000, 2)
    for window in (0, 1):
        one.add(_batch(60, window), window)
        other.add(_batch(60, window, **beside), window)
        assert learn_state.encode(one) == learn_state.encode(other)
        one.close(window)
        other.close(window)
    assert one.ready is not None
    assert other.ready is not None
    assert file.encode(one.ready) == file.encode(other.ready)
