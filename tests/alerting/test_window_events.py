"""One event for each closed window, with its event time and what was found, and no values."""

from __future__ import annotations

import numpy as np

from agent.alerting.book import WindowContext
from agent.alerting.rules import state_finding
from agent.alerting.window_events import NAME, window_closed
from agent.records import Closed, Finding, ModelKey, Source, Verdict

CONTEXT = WindowContext(ModelKey("loan", "3"), 7, 700, 800, 12, reference_hash="abc", offset=5)


def test_a_closed_window_is_told_with_its_own_time() -> None:
    """The window's end is the event's time; alarms are counted, the most drifted value named."""
    drifts = [
        Finding("drift", name, Source.FEATURE, verdict, effect=effect)
        for name, verdict, effect in (("x", Verdict.WITHIN_NOISE, 0.01), ("y", Verdict.ALARM, 0.3))
    ]
    inside = Finding("drift", "y", Source.FEATURE, Verdict.ALARM, effect=9.0, segment="region=north")
    closed = Closed(7, np.zeros(3, np.int32), rows=12, errors=2, covered_seconds=50.0)
    event = window_closed(CONTEXT, closed, [*drifts, inside, state_finding("no_data", False, "", 7)], "5/id/7/closed")
    assert (event.name, event.key, event.time_ns, event.severity) == (NAME, "5/id/7/closed", 800, "INFO")
    told = {key.removeprefix("sidelight."): value for key, value in event.attributes.items()}
    assert told == {
        "model.name": "loan", "model.version": "3", "event.key": "5/id/7/closed", "window.index": 7,
        "window.start_unix_nano": 700, "window.end_unix_nano": 800, "window.rows": 12, "window.errors": 2,
        "window.backlog": 0, "window.covered_seconds": 50.0, "window.checks": 4, "window.alarms": 2,
        "reference.hash": "abc", "feature.name": "y", "drift.effect": 0.3,
    }  # fmt: skip


def test_without_a_reference_there_is_nothing_to_tell_of_drift() -> None:
    """Rows are still told."""
    event = window_closed(CONTEXT, Closed(7, np.zeros(0, np.int32), rows=1), [], "k")
    assert "sidelight.drift.effect" not in event.attributes
    assert event.attributes["sidelight.window.rows"] == 1
