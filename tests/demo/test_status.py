"""Reading the agent's status: what the view and the summary go by."""

from __future__ import annotations

import http.server
import json
import math
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from examples.flights.status import FIRING, RESOLVED, UPDATED, Watch, news, read


def event(key: str, name: str = FIRING, features: tuple[str, ...] = ("distance",), **more: Any) -> dict[str, Any]:
    """An alert event as the agent gives it: of 12 August, told when that day's window closed."""
    return {
        "name": name, "key": key, "time": more.get("time", "2013-08-13T00:00:00+00:00"), "severity": "ERROR",
        "body": "said",
        "attributes": {
            "sidelight.alert.name": more.get("alert", "data_drift"),
            "sidelight.alert.severity": "ERROR",
            "sidelight.alert.start": more.get("start", "2013-08-12T00:00:00Z"),
            "sidelight.alert.features": [
                {"name": one, "source": "feature", "check": "drift", "effect": 1.5, "horizon": 1} for one in features
            ],
        },
    }  # fmt: skip


def finding(feature: str, p: float | None, verdict: str = "within the noise") -> dict[str, Any]:
    return {"feature": feature, "effect": None if p is None else 0.2, "p": p, "alpha": 1e-4, "verdict": verdict}


def document(*events: dict[str, Any], models: bool = True) -> dict[str, Any]:
    model = {
        "state": "watching", "labels": 7, "windows_closed": 3, "latency": {"p50": 0.01, "p95": 0.02, "p99": 0.03},
        "records": {"received": 12, "kept": 9, "refused": 1, "duplicate": 0, "late": 2, "dropped": 0},
        "drift": [finding("distance", 1e-9, "alarm"), finding("hour", 0.01), finding("visib", None, "no data")],
    }  # fmt: skip
    return {"models": [model] if models else [], "events": list(events), "hint": ""}


def test_a_status_is_read_as_values() -> None:
    """Counts, latency, drift and alarms; what was refused, late or dropped is lost."""
    status = read(document(event("a")))
    assert (status.kept, status.lost, status.labels, status.windows_closed) == (9, 3, 7, 3)
    assert (status.p50, status.p99) == (0.01, 0.03)
    assert status.alarms[0].told == pd.Timestamp("2013-08-13")
    assert status.alarms[0].day == pd.Timestamp("2013-08-12")
    assert status.alarms[0].names == ("distance",)


def test_nearness_runs_from_nothing_to_an_alarm() -> None:
    """Logarithmic: half the digits are half the way; what was not tested is nowhere."""
    distance, hour, visib = read(document()).drift
    assert distance.alarms
    assert (distance.nearness, visib.nearness) == (1.0, 0.0)
    assert hour.nearness == pytest.approx(0.5)
    assert math.isnan(visib.effect)


def test_an_agent_without_a_model_is_read_too() -> None:
    """Before the first record there is no model."""
    assert read(document(models=False)).kept == 0


def test_other_events_are_no_alarms() -> None:
    """A window's summary is an event too."""
    window = {**event("w"), "name": "sidelight.window.closed"}
    assert read(document(window)).alarms == ()


def test_an_alert_that_names_something_new_is_news_for_that_alone() -> None:
    """An update repeats what is known; its end is no alarm; a later episode begins anew."""
    said = read(document(
        event("1"),
        event("2", UPDATED, ("distance", "hour"), time="2013-08-14T00:00:00+00:00"),
        event("3", UPDATED, ("hour", "distance"), time="2013-08-15T00:00:00+00:00"),
        event("4", RESOLVED, ("hour",)),
        event("5", start="2013-09-01T00:00:00Z"),
    )).alarms  # fmt: skip
    told = [(alarm.key, alarm.names) for alarm in news(said)]
    assert told == [("1", ("distance",)), ("2", ("hour",)), ("5", ("distance",))]


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers with the next document."""

    documents: Iterator[dict[str, Any]]

    def do_GET(self) -> None:
        payload = json.dumps(next(self.documents)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


def test_an_alarm_is_kept_after_the_agent_forgot_it() -> None:
    """The agent shows its newest events only; the watch keeps every one it saw, once."""
    handler = type("Handler", (Scripted,), {"documents": iter([document(event("a")), document(event("b", alert="x"))])})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            watch = Watch(f"http://127.0.0.1:{server.server_address[1]}")
            watch.look()
            watch.look()
        finally:
            server.shutdown()
            thread.join()
    assert [alarm.key for alarm in watch.alarms] == ["a", "b"]
