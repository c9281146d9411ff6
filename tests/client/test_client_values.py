"""What goes in comes out, typed; and it is ours alone once recorded."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sidelight import Recorder
from sidelight.columns import RaggedError
from sidelight.gather import Record, gather_predictions
from sidelight.values import keep_mapping
from sidelight.wire import recorder_pb2

from tests.client.scripted_agent import ScriptedAgent, decode, ids_of, is_set

Make = Callable[..., Recorder]

CELLS = (
    st.floats(width=64)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=5)
    | st.decimals()
    | st.lists(st.floats(width=32), min_size=2, max_size=2)
    | st.sampled_from([np.float32(0.5), np.int64(3), np.True_, np.str_("s"), 10**400, np.array([1.0, 2.0])])
)


def expected(value: Any) -> Any:
    """The contract's cell for a value, said as plainly as possible."""
    if value is None or isinstance(value, str):
        return value if value is None else str(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (list, np.ndarray)):
        return tuple(float(one) for one in value)
    if isinstance(value, Decimal) and value.is_snan():
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    if type(one) is not type(other):
        return False
    return bool(one == other or (one != one and other != other))  # NaN is NaN


@given(st.lists(st.dictionaries(st.sampled_from("abcdé"), CELLS), min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_decode_of_encode_is_identity(rows: list[dict[str, Any]]) -> None:
    """Law: whatever dicts go in, the same typed cells come out; absent, null and NaN stay three things."""
    records: list[Record] = [(n, 0, keep_mapping(row), None, None, None, None, None, {}) for n, row in enumerate(rows)]
    (batch,) = gather_predictions(records, "p-")
    request = recorder_pb2.RecordRequest()
    batch.write(request)
    back = recorder_pb2.RecordRequest.FromString(request.SerializeToString())
    found = list(decode(back.columns))
    assert [identity for identity, _ in found] == [f"p-{n}" for n in range(len(rows))]
    for row, (_, cells) in zip(rows, found, strict=True):
        assert cells.keys() == row.keys()
        assert all(same(cells[key], expected(value)) for key, value in row.items()), (row, cells)


def test_other_values_go_as_text(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Times as str(), an enum as its value, pandas.NA as null, a request model by its fields."""

    class Colour(Enum):
        RED = "red"

    moment = datetime(2024, 1, 2, tzinfo=UTC)
    recorder.record(SimpleNamespace(when=moment, colour=Colour.RED, none=pd.NA, set={1}, numbers=array("d", [1, 2])))
    assert recorder.flush(10)
    ((_, cells),) = agent.rows()
    assert cells == {"when": str(moment), "colour": "red", "none": None, "set": "{1}", "numbers": (1.0, 2.0)}


def test_a_reused_buffer_or_dict_does_not_change_a_record(agent: ScriptedAgent, make: Make) -> None:
    """Rows, dicts, arrays inside dicts, predictions and segments may all be reused at once by the caller."""
    recorder = make(flush_seconds=3600.0)
    row, inner, features, segments = np.zeros(2), np.zeros(2), {"a": 0.0}, {"s": "0"}
    for one in range(3):
        row[:] = inner[:] = features["a"] = one
        segments["s"] = str(one)
        recorder.record(row, row, segments=segments)
        recorder.record({"v": inner, **features}, inner, segments=segments)
        recorder.record(features)
    row[:] = inner[:] = features["a"] = 9
    segments["s"] = "9"
    assert recorder.flush(10)
    cells = [one for _, one in agent.rows()]
    assert [one for one in cells if "f0" in one] == [{"f0": n, "f1": n} for n in range(3)]
    assert [one["v"] for one in cells if "v" in one] == [(n, n) for n in range(3)]
    assert [one["a"] for one in cells if one.keys() == {"a"}] == [0, 1, 2]
    words = {word for columns in agent.columns() for text in columns.segments for word in text.dictionary}
    assert words == {"", "0", "1", "2"}


def test_the_same_words_are_the_same_dictionary_whoever_comes_first(agent: ScriptedAgent, make: Make) -> None:
    """The agent knows a message that is built as an earlier one. Of many words each batch has its own."""
    recorder = make(flush_seconds=3600.0)
    for words in (["b", "ü", "a"], ["ü", "a", "b", "b"], [str(i) for i in range(99, -1, -1)]):
        for word in words:
            recorder.record({"t": word})
        assert recorder.flush(10)
    dictionaries = [list(columns.texts[0].dictionary) for columns in agent.columns()]
    assert dictionaries == [["a", "b", "ü"], ["a", "b", "ü"], [str(i) for i in range(99, -1, -1)]]
    assert [one["t"] for _, one in agent.rows()][:7] == ["b", "ü", "a", "ü", "a", "b", "b"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.array([1.0, 2.0]), (1.0, 2.0)),
        (array("d", [1.0, 2.0]), (1.0, 2.0)),
        ([1.0, 2.0], (1.0, 2.0)),
        (bytearray([97, 98]), "ab"),
    ],
    ids=["numpy", "array", "list", "bytearray"],
)
def test_a_value_that_can_change_is_copied(agent: ScriptedAgent, make: Make, value: Any, kept: Any) -> None:
    """Among values that cannot change one that can is found, whether or not the collector tracks it."""
    recorder = make(flush_seconds=3600.0)
    recorder.record({"a": 1.0, "b": "text", "c": value, "d": True})
    value[0] = 99
    assert recorder.flush(10)
    ((_, cells),) = agent.rows()
    assert cells == {"a": 1.0, "b": "text", "c": kept, "d": True}


def test_a_bad_record_costs_itself(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Text that is not Unicode, no features at all, an argument that does not exist: counted, neighbours unharmed."""
    recorder.record({"t": "good"})
    recorder.record({"t": "\udc80"})
    recorder.record(object())
    recorder.record({"t": "x"}, nonsense=1)
    recorder.record({"t": "x"}, measures={"tokens": "many"})
    recorder.record({"v": [0.0] * 100_000})
    recorder.record([1.0, 2.0], feature_names=["one"])
    recorder.record({"t": "good too"})
    assert recorder.flush(10)
    assert [cells["t"] for _, cells in agent.rows()] == ["good", "good too"]
    assert recorder.stats().dropped_invalid == 6
    assert recorder.stats().recorded == 8


def test_vectors_of_two_sizes_go_as_two_messages(agent: ScriptedAgent, recorder: Recorder) -> None:
    """One column has one size."""
    for size in (2, 3, 2):
        recorder.record({"v": [1.0] * size})
    assert recorder.flush(10)
    assert sorted(len(cells["v"]) for _, cells in agent.rows()) == [2, 2, 3]
    assert issubclass(RaggedError, Exception)


def test_all_that_a_record_may_say(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Every argument has its column."""
    recorder.record(
        {"x": 1},
        "cat",
        score=0.9,
        scores={"cat": 0.9, "dog": 0.1},
        vector=[1.0, 2.0],
        items=["a", ("b", 0.5), {"id": "c", "position": 7}],
        outputs={"second": 3.5, "third": {"prediction": "x", "score": 0.1}},
        prediction_id="mine",
        request_id="r1",
        time=datetime(2024, 1, 1, tzinfo=UTC),
        latency=0.25,
        status="timeout",
        error_type="Late",
        segments={"region": "eu"},
        protected={"sex": "f"},
        measures={"tokens": 12, "cached": True, "cost": None},
        stages={"pre": 0.1, "infer": 0.2, "post": (0.5, 0.1)},
        weight=2.0,
        traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
        tracestate="a=b",
        batch_id="b1",
        batch_size=4,
    )
    assert recorder.flush(10)
    (columns,) = agent.columns()
    first, second, third = columns.outputs
    assert ids_of(columns) == ["mine"]
    assert list(columns.request_ids) == ["r1"]
    assert list(columns.time_unix_nano) == [1704067200 * 10**9]
    assert list(first.labels.dictionary) == ["cat"]
    assert [list(one.values) for one in first.scores] == [[0.9], [0.9], [0.1]]
    assert list(first.vectors.values) == [1.0, 2.0]
    assert (list(first.items.ids), list(first.items.positions)) == (["a", "b", "c"], [1, 2, 7])
    assert (second.name, list(second.values.values)) == ("second", [3.5])
    assert (third.name, list(third.labels.dictionary)) == ("third", ["x"])
    assert list(columns.latency_seconds) == [0.25]
    assert (list(columns.status), list(columns.error_types.dictionary)) == ([2], ["Late"])
    assert [(one.name, list(one.dictionary)) for one in columns.segments] == [("region", ["eu"])]
    assert [(one.name, list(one.dictionary)) for one in columns.protected] == [("sex", ["f"])]
    assert {one.name: (one.values[0], one.nulls) for one in columns.measures} == {
        "tokens": (12, b""), "cached": (1, b""), "cost": (0, b"\1"),
    }  # fmt: skip
    assert {one.name: one.offset_seconds[0] for one in columns.stages} == {
        "pre": 0.0, "infer": pytest.approx(0.1), "post": 0.5,
    }  # fmt: skip
    assert list(columns.weights) == [2.0]
    assert (columns.trace_ids, columns.span_ids, columns.trace_flags) == (b"\xab" * 16, b"\xcd" * 8, b"\1")
    assert list(columns.trace_states.dictionary) == ["a=b"]
    assert (list(columns.batch_ids.dictionary), list(columns.batch_sizes)) == (["b1"], [4])


def frames() -> list[Any]:
    values = {"n": [1.5, 2.5, math.nan], "i": [1, 2, 3], "t": ["a", "b", "a"], "f": [True, False, True]}
    return [pd.DataFrame(values), pl.DataFrame(values)]


@pytest.mark.parametrize("frame", frames(), ids=["pandas", "polars"])
def test_a_frame_is_many_records(agent: ScriptedAgent, recorder: Recorder, frame: Any) -> None:
    """Each column in its type; predictions, ids and segments a value a row; one latency is the whole batch's."""
    ids = recorder.record(frame, np.array([1, 2, 3]), score=[0.1, 0.2, 0.3], latency=0.5, segments={"s": list("xyx")})
    assert recorder.flush(10)
    found = list(agent.rows())
    assert [identity for identity, _ in found] == list(ids)
    assert ids[1:] == list(ids)[1:]
    assert found[1][1] == {"n": 2.5, "i": 2.0, "t": "b", "f": False}
    assert math.isnan(found[2][1]["n"])
    (columns,) = agent.columns()
    assert list(columns.outputs[0].values.values) == [1, 2, 3]
    assert list(columns.outputs[0].scores[0].values) == [0.1, 0.2, 0.3]
    assert list(columns.segments[0].dictionary) == ["x", "y"]
    assert set(columns.batch_sizes) == {3}


def test_missing_cells_of_frames_are_nulls(agent: ScriptedAgent, recorder: Recorder) -> None:
    """A missing text or integer is null; a float's NaN is NaN."""
    recorder.record(pd.DataFrame({"t": ["a", None], "i": pd.array([1, None], dtype="Int64"), "n": [1.0, math.nan]}))
    recorder.record(pl.DataFrame({"t": ["a", None], "i": [1, None]}))
    assert recorder.flush(10)
    cells = [one for _, one in agent.rows()]
    assert (cells[1]["t"], cells[1]["i"]) == (None, None)
    assert math.isnan(cells[1]["n"])
    assert cells[3] == {"t": None, "i": None}


def test_a_large_array_is_cut_into_messages_and_copied(agent: ScriptedAgent, make: Make) -> None:
    """1,200 rows go as messages of at most batch_rows; the array may be changed meanwhile."""
    recorder = make(feature_names=["a", "b"])
    data = np.arange(2400.0).reshape(1200, 2)
    ids = recorder.record(data, data[:, 0], prediction_id=[f"id{one}" for one in range(1200)])
    data[:] = -1
    assert recorder.flush(20)
    found = list(agent.rows())
    assert max(one.rows for one in agent.columns()) == 500
    assert [identity for identity, _ in found] == ids
    assert found[-1][1] == {"a": 2398.0, "b": 2399.0}


def test_a_block_of_the_wrong_length_is_invalid(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Two predictions for three rows: none is sent, three are counted."""
    recorder.record(np.zeros((3, 2)), [1, 2])
    assert recorder.flush(10)
    assert recorder.stats().dropped_invalid == recorder.stats().recorded == 3


def test_labels_one_by_one_and_in_bulk(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Numbers and class names, by prediction or request, a list at a time too."""
    recorder.label("p1", 1)
    recorder.label(request_id="r1", truth="yes", item="i", weight=2.0)
    recorder.label("p2", True, output="other", time=5.0)
    recorder.label(["p3", "p4"], np.array([0.5, 1.5]))
    recorder.label("p5")
    assert recorder.flush(10)
    found = {}
    for request in agent.requests:
        labels = request.label_columns
        for row in range(labels.rows):
            identity = (labels.ids or labels.request_ids)[row] or labels.request_ids[row]
            number = labels.values.values and not is_set(labels.values.absents, row)
            word = labels.labels.dictionary and labels.labels.dictionary[labels.labels.codes[row]]
            found[identity] = labels.values.values[row] if number else word
    assert found == {"p1": 1.0, "r1": "yes", "p2": 1.0, "p3": 0.5, "p4": 1.5}
    (other,) = [one.label_columns for one in agent.requests if one.label_columns.output]
    assert list(other.time_unix_nano) == [5 * 10**9]
    assert recorder.stats().dropped_invalid == 1
