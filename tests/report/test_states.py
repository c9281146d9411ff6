"""The state a version's watch is said to be in."""

from __future__ import annotations

import numpy as np
import pytest

from agent.counting.windows import Series
from agent.records import Batch, Columns, ModelKey, Numbers, Pairs
from agent.report.states import state_of
from agent.watching import Watch

HOUR_NS = 3_600_000_000_000
FIRST = 472_000  # hours since 1970
WEEK = 7 * 86_400.0


def watched(predicted: int | None, labelled: bool = False) -> Watch:
    """A version without a reference; predicted: the window of its only predictions, None for none here; labelled:
    whether labels met them in that very window."""
    watch = Watch(Series(ModelKey("loan", "3"), HOUR_NS, None, None))
    watch.series.reference_note = "none given"
    if predicted is not None:
        rows = Columns(numbers={"income": Numbers(np.ones(5))})
        watch.series.add(Batch(watch.key, 5, predicted * HOUR_NS, rows, Columns()), False)
        if labelled:
            truth(watch, predicted, over=False)
        watch.series.close(predicted, False)
        list(watch.followers.close(predicted, list(watch.series.recent), (predicted + 1) * HOUR_NS))
    return watch


def truth(watch: Watch, window: int, over: bool) -> None:
    """Labels that met their predictions in this window. over: whether it is judged already."""
    times, none, nothing = np.full(3, window * HOUR_NS), np.full(3, -1, np.int32), np.full(3, 1.0)
    ids = np.arange(3, dtype=np.uint64)
    pairs = Pairs(
        watch.key, 3, ids, ids, times, times, nothing, nothing, none, none, (), np.zeros((3, 0)), (), np.ones(3),
    )  # fmt: skip
    watch.followers.labelled(pairs, window)
    if over:
        list(watch.followers.close(window, list(watch.series.recent), (window + 1) * HOUR_NS))


def told(watch: Watch, hours: float) -> str:
    """So many hours after the first window began."""
    return state_of(watch, True, int((FIRST + hours) * HOUR_NS), WEEK)[0]


@pytest.mark.parametrize("over", [False, True])
def test_labels_after_the_predictions_ended_are_a_state_of_their_own(over: bool) -> None:
    """Not at the first quiet window; after the labels' end only as long as any message is remembered."""
    watch = watched(FIRST)
    truth(watch, FIRST + 1, over)
    assert told(watch, 2.5) == "no_reference"
    assert told(watch, 3.5) == "labels_only"
    assert told(watch, 7 * 24) == "labels_only"
    assert told(watch, 7 * 24 + 3) == "no_reference"


def test_without_labels_a_version_that_ended_is_as_it_was() -> None:
    """Labels that came while it still predicted are none that still come."""
    assert told(watched(FIRST), 9.0) == "no_reference"
    assert told(watched(FIRST, labelled=True), 9.0) == "no_reference"


def test_a_retired_version_whose_labels_come_is_not_switched_off() -> None:
    """Its labels go by another version's name, so nothing it sent itself keeps it."""
    watch = watched(FIRST)
    watch.retired = True
    truth(watch, FIRST + 200, over=False)
    state, why = state_of(watch, True, (FIRST + 201) * HOUR_NS, WEEK)
    assert state == "labels_only"
    assert why == "no predictions since 2023-11-05 16:00 UTC; labels still come, and are judged"
    assert told(watch, 200 + 7 * 24 + 3) == "no_data"


def test_by_event_time_another_version_says_that_it_ended() -> None:
    """There is no now: a replay that paused looks the same."""
    watch = watched(FIRST)
    truth(watch, FIRST + 1, over=False)
    assert state_of(watch, True, 0, WEEK)[0] == "no_reference"
    watch.rests = True
    assert state_of(watch, True, 0, WEEK)[0] == "labels_only"


def test_predictions_of_other_replicas_are_none_that_ended_here() -> None:
    """They share the labels' store: this agent never saw the predictions."""
    watch = watched(None)
    truth(watch, FIRST, over=False)
    assert "other replicas" in state_of(watch, True, FIRST * HOUR_NS, WEEK)[1]


def test_a_disk_that_takes_nothing_is_said_first() -> None:
    """Whatever else there is to say."""
    watch = watched(FIRST)
    truth(watch, FIRST + 1, over=False)
    assert state_of(watch, False, (FIRST + 5) * HOUR_NS, WEEK)[0] == "not_durable"
