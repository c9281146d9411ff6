"""Predictions that time themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sidelight import Recorder
from sidelight.wire import lifecycle_pb2

from tests.client.scripted_agent import ScriptedAgent, ids_of

Make = Callable[..., Recorder]


@pytest.fixture
def recorder(make: Make) -> Recorder:
    """One that sends only when asked, so that a test's records come in one message."""
    return make(flush_seconds=3600.0)


async def flushed(recorder: Recorder) -> bool:
    return await asyncio.to_thread(recorder.flush, 10)


def test_a_prediction_is_timed_and_recorded(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Its id is known inside; features are those of the start; stages have their place."""
    features = {"x": 1.0}
    with recorder.prediction(features, request_id="r") as prediction:
        features["x"] = 9.0
        with prediction.stage("infer"):
            prediction.prediction = "yes"
    assert recorder.flush(10)
    (columns,) = agent.columns()
    assert ids_of(columns) == [prediction.id]
    assert list(columns.numbers[0].values) == [1.0]
    assert list(columns.outputs[0].labels.dictionary) == ["yes"]
    assert list(columns.request_ids) == ["r"]
    assert 0 < columns.stages[0].duration_seconds[0] <= columns.latency_seconds[0]


def test_an_exception_is_recorded_and_goes_on(agent: ScriptedAgent, recorder: Recorder) -> None:
    """The caller gets the very exception; the record says error and its class, or timeout."""
    mine = KeyError("mine")
    with pytest.raises(KeyError) as caught, recorder.prediction({"x": 1.0}):
        raise mine
    assert caught.value is mine
    with pytest.raises(TimeoutError), recorder.prediction({"x": 1.0}):
        raise TimeoutError
    assert recorder.flush(10)
    (columns,) = agent.columns()
    assert list(columns.status) == [1, 2]
    assert list(columns.error_types.dictionary) == ["KeyError", "TimeoutError"]


def test_a_watched_function_is_recorded(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Plain functions and methods, by position or by name; the answer is untouched."""

    @recorder.watch
    def predict(features: dict[str, float], factor: float = 2.0) -> float:
        """Doubles."""
        return features["x"] * factor

    class Server:
        @recorder.watch(segments={"s": "eu"}, result=lambda answer: {"prediction": answer[0], "score": answer[1]})
        def predict(self, features: Any) -> tuple[str, float]:
            return "yes", 0.75

    assert predict({"x": 2.0}) == 4.0
    assert predict(features={"x": 3.0}, factor=1.0) == 3.0
    assert predict.__doc__ == "Doubles."
    assert Server().predict({"x": 5.0}) == ("yes", 0.75)
    assert recorder.flush(10)
    (columns,) = agent.columns()
    assert list(columns.numbers[0].values) == [2.0, 3.0, 5.0]
    (output,) = columns.outputs
    assert list(output.values.values)[:2] == [4.0, 3.0]
    assert list(output.scores[0].values)[2] == 0.75
    assert len(columns.latency_seconds) == 3


def test_a_watched_batch_is_many_records(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Given a 2-D array, a call is one batch: a record a row, its size said beside its latency."""
    recorder.watch(lambda rows: rows.sum(axis=1))(np.ones((4, 3)))
    assert recorder.flush(10)
    (columns,) = agent.columns()
    assert columns.rows == 4
    assert list(columns.outputs[0].values.values) == [3.0] * 4
    assert set(columns.batch_sizes) == {4}


def test_what_watching_gets_wrong_never_reaches_the_caller(agent: ScriptedAgent, recorder: Recorder) -> None:
    """A faulty `features` or `result` costs the record only."""
    assert recorder.watch(lambda x: x, features=lambda x: 1 / 0)(3) == 3

    def fault(answer: Any) -> dict[str, Any]:
        raise ZeroDivisionError

    assert recorder.watch(lambda x: x, result=fault)({"x": 3}) == {"x": 3}
    assert recorder.flush(10)
    assert recorder.stats().dropped_invalid == 2
    assert not agent.raw


async def test_async_functions_and_servers(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Concurrent coroutines each have their own record; nothing needs to be awaited; cancelling is recorded."""

    @recorder.watch
    async def predict(features: dict[str, float]) -> float:
        await asyncio.sleep(0)
        if features["x"] < 0:
            raise ValueError("negative")
        return features["x"]

    answers = await asyncio.gather(*(predict({"x": float(one)}) for one in range(-1, 20)), return_exceptions=True)
    assert isinstance(answers[0], ValueError)
    assert answers[1:] == [float(one) for one in range(20)]
    async with recorder.prediction({"x": 50.0}) as prediction:
        prediction.prediction = 1.0
    task = asyncio.ensure_future(predict({"x": 99.0}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await flushed(recorder)
    assert len(list(agent.rows())) == 23
    words = {word for columns in agent.columns() for word in columns.error_types.dictionary}
    assert words - {""} == {"ValueError", "CancelledError"}


def test_lifecycle_events_go_with_their_time(agent: ScriptedAgent, recorder: Recorder) -> None:
    """Loaded, a run's progress, unloaded; an unknown task or state is counted, not raised."""
    recorder.loaded(task="binary", positive_label="yes", threshold=0.0, trained_at=1.0, framework="sklearn 1.5")
    recorder.run("job", "progressed", done=5, expected=10)
    recorder.unloaded("deploy")
    recorder.loaded(task="nonsense")
    assert recorder.flush(10)
    events = [event for one in agent.requests for event in one.lifecycle.events]
    assert [event.WhichOneof("event") for event in events] == ["loaded", "run", "unloaded"]
    assert events[0].loaded.HasField("threshold")
    assert events[0].loaded.trained_at_unix_nano == 10**9
    assert events[1].run.state == lifecycle_pb2.BatchRun.STATE_PROGRESSED
    assert all(event.time_unix_nano for event in events)
    assert recorder.stats().dropped_invalid == 1
