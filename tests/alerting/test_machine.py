"""Scripts of findings, window by window, and the exact events they must give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from agent.alerting.book import AlertBook, Change, WindowContext, points
from agent.alerting.machine import advance, explained, supersede
from agent.alerting.rules import BY_NAME, state_finding
from agent.alerting.wording import standing
from agent.records import AlertState, BinChange, Finding, ModelKey, Source, Verdict

HOUR = 3_600_000_000_000
KEY = ModelKey("fares", "3")
START = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def context(window: int, rows: int = 1000, model: ModelKey = KEY) -> WindowContext:
    begin = START + window * HOUR
    public = frozenset({(Source.FEATURE, "gift")})
    return WindowContext(model, window, begin, begin + HOUR, rows, 0.9, ("2", "3"), "abc", window * 10, public=public)


def drift(name: str, effect: float = 0.3, source: Source = Source.FEATURE, verdict: Verdict = Verdict.ALARM,
          newest_p: float = 1e-9, horizon: int = 1, changes: tuple[BinChange, ...] = ()) -> Finding:  # fmt: skip
    newest: Mapping[str, float] = {"newest_p": newest_p, "newest_effect": effect}
    return Finding("drift", name, source, verdict, newest_p, 1e-6, effect, horizon, 1000 * horizon, 50_000, 1.5,
                   distances=newest, changes=changes)  # fmt: skip


def fault(check: str, name: str, rise: float = 1.0, inside: float | None = None) -> Finding:
    distances = {} if inside is None else {"inside_change": inside}
    return Finding(check, name, Source.FEATURE, Verdict.ALARM, 1e-30, 1e-7, rise, 1, 1000, 50_000, distances=distances,
                   reason=f"{check} in {rise:.0%}")  # fmt: skip


def slow(verdict: Verdict = Verdict.ALARM, effect: float = 8.0) -> Finding:
    return Finding("latency", "latency", Source.LATENCY, verdict, 1e-9, 1e-7, effect, n=500, reason="p50 4 s")


@dataclass
class Story:
    """A book, turned window by window."""

    book: AlertBook = field(default_factory=AlertBook)
    window: int = 0
    changes: list[Change] = field(default_factory=list)

    def close(self, *findings: Finding, rows: int = 1000) -> list[str]:
        """Closes a window; the events as "firing data_drift"."""
        self.book, changes = advance(self.book, findings, context(self.window, rows))
        self.window += 1
        self.changes += changes
        return said(changes)


def said(changes: Sequence[Change]) -> list[str]:
    return [f"{c.event.name.removeprefix('sidelight.alert.')} {c.alert}" for c in changes if c.event is not None]


def test_drifted_inputs_are_one_alert_ranked_by_effect() -> None:
    """Story 3: firing at once, quiet while it lasts, over after two good windows; its histories are forgotten."""
    story = Story()
    assert story.close(drift("speed", 0.12), drift("fare", 0.4), drift("gift", 0.2)) == ["firing data_drift"]
    assert story.close(drift("speed"), drift("fare"), drift("gift")) == []
    assert story.close() == []
    assert story.close() == ["resolved data_drift"]
    first, last = (c.event for c in story.changes)
    assert first is not None
    assert last is not None
    assert [f["name"] for f in first.attributes["sidelight.alert.features"]] == ["fare", "gift", "speed"]
    assert (first.severity, last.severity) == ("ERROR", "INFO")
    assert set(story.changes[-1].forget) == {(Source.FEATURE, name) for name in ("fare", "gift", "speed")}
    assert story.book == AlertBook()


def test_newest_windows_that_look_usual_but_moved_as_far_end_nothing() -> None:
    """Two windows of few rows are usual by chance; the drift over sixteen goes on, and they show it."""
    story = Story()
    told = drift("fare", 0.03, newest_p=0.2, horizon=16)
    going_on = replace(told, distances={"newest_p": 0.2, "newest_effect": 0.001, "newest_part": 0.8})
    over = replace(told, distances={"newest_p": 0.2, "newest_effect": 0.001, "newest_part": 0.1})
    assert story.close(going_on) == ["firing data_drift"]
    assert [story.close(going_on) for _ in range(5)] == [[]] * 5
    assert [story.close(over), story.close(going_on), story.close(over)] == [[], [], []]
    assert story.close(over) == ["resolved data_drift"]


def test_a_feature_called_like_a_severity_keeps_its_name() -> None:
    """A large drift of the feature "large" says both."""
    story = Story()
    assert story.close(drift("large", 0.3)) == ["firing data_drift"]
    assert story.changes[0].event is not None
    assert ": large: large drift (effect 0.3" in story.changes[0].event.body


def test_a_firing_event_says_what_someone_on_call_needs() -> None:
    """The whole of one event, as a golden; labels only of the public feature."""
    story = Story(window=5)
    grown = (BinChange("gifts", 0, 0.31, 0.04), BinChange("fitness", 2, 0.02, 0.3))
    hidden = (BinChange("12.5 to 17", 4, 0.05, 0.2),)
    story.close(drift("gift", 0.42, changes=grown, horizon=2), drift("fare", 0.12, changes=hidden))
    found = story.changes[0].event
    assert found is not None
    step = BY_NAME["data_drift"].next_step
    assert found.body == (
        "fares version 3: data drift since 2026-01-01T04:00:00Z: gift: large drift (effect 0.42 over 2 windows "
        "of 2000 rows): 31 % → 4 % in gifts, 2 % → 30 % in fitness; fare: clear drift (effect 0.12 over 1 window of "
        "1000 rows): 5 % → 20 % in bin 4. " + step
    )
    assert (found.name, found.key, found.time_ns) == ("sidelight.alert.firing", "50-0", START + 6 * HOUR)
    shared = {"source": "feature", "check": "drift", "p_value": 1e-9, "n_reference": 50_000, "phi": 1.5,
              "significance": pytest.approx(3.0)}  # fmt: skip
    said = [feature.pop("said") for feature in found.attributes["sidelight.alert.features"]]
    assert all(each in found.body for each in said)
    assert found.attributes == {
        "sidelight.model.name": "fares",
        "sidelight.model.version": "3",
        "sidelight.alert.name": "data_drift",
        "sidelight.alert.severity": "ERROR",
        "sidelight.alert.start": "2026-01-01T04:00:00Z",
        "sidelight.alert.start_unix_nano": START + 4 * HOUR,
        "sidelight.alert.features": [
            {"name": "gift", "effect": 0.42, "horizon": 2, "n": 2000, **shared, "rank": 1, "severity": "large",
             "share": 0.42 / 0.54, "since": "2026-01-01T04:00:00Z", "changes": [
                {"bin": 0, "label": "gifts", "reference": 0.31, "current": 0.04},
                {"bin": 2, "label": "fitness", "reference": 0.02, "current": 0.3},
            ]},
            {"name": "fare", "effect": 0.12, "horizon": 1, "n": 1000, **shared, "rank": 2, "severity": "clear",
             "share": 0.12 / 0.54, "since": "2026-01-01T05:00:00Z", "changes": [
                {"bin": 4, "reference": 0.05, "current": 0.2},
            ]},
        ],
        "sidelight.alert.feature_count": 2,
        "sidelight.alert.next_step": step,
        "sidelight.alert.runbook": "docs/runbook.md#data-drift",
        "sidelight.traffic.share": 0.9,
        "sidelight.model.versions": ["2", "3"],
        "sidelight.reference.hash": "abc",
        "sidelight.window.index": 5,
        "sidelight.alert.retrain": True,
    }  # fmt: skip


def test_what_fires_is_told_without_a_window() -> None:
    """For receivers without memory: each firing alert as its event would say it now, without key; pending ones not."""
    story = Story(window=5)
    story.close(drift("fare", 0.3), state_finding("no_data", True, "silent", 5))
    told = standing(story.book)
    fired = story.changes[0].event
    assert fired is not None
    assert [(each.name, each.key, each.body, each.severity) for each in told] == [
        (fired.name, "", fired.body, fired.severity)
    ]
    assert told[0].attributes.items() <= fired.attributes.items()
    assert told[0].time_ns == fired.attributes["sidelight.alert.start_unix_nano"]
    for _ in range(2):
        story.close(drift("fare", verdict=Verdict.WITHIN_NOISE, newest_p=0.5))
    assert standing(story.book) == []


def test_retraining_is_for_what_it_can_cure() -> None:
    """A drift asks for it, while it begins or grows; a broken pipeline, slowness and an end do not. Nor does a drift
    beside a broken pipeline: what came through that is nothing to learn from."""
    story = Story()
    story.close(drift("fare"), slow())
    story.close(drift("fare"), drift("gift"))
    for _ in range(2):
        story.close(*(drift(n, verdict=Verdict.WITHIN_NOISE, newest_p=0.5) for n in ("fare", "gift")),
                    slow(Verdict.WITHIN_NOISE))  # fmt: skip
    story.close(fault("missing", "speed"))
    story.close(fault("missing", "speed"), drift("fare"))
    asked = [(said([change])[0], bool(change.event.attributes.get("sidelight.alert.retrain")))
             for change in story.changes if change.event is not None]  # fmt: skip
    assert asked == [
        ("firing data_drift", True),
        ("firing latency", False),
        ("updated data_drift", True),
        ("resolved latency", False),
        ("resolved data_drift", False),
        ("firing broken_pipeline", False),
        ("firing data_drift", False),
    ]


def test_a_long_horizon_that_drains_does_not_keep_an_alert_alive() -> None:
    """Newest windows decide: the finding still alarms, the alert ends."""
    story = Story()
    assert story.close(drift("fare")) == ["firing data_drift"]
    draining = drift("fare", newest_p=0.4, horizon=8)
    assert story.close(draining) == []
    assert story.close(draining) == ["resolved data_drift"]


def test_one_good_window_is_not_enough() -> None:
    """Good windows must be in a row; a not quite significant bad one between them counts as bad."""
    story = Story()
    story.close(drift("fare"))
    assert story.close() == []
    assert story.close(drift("fare", verdict=Verdict.WITHIN_NOISE, newest_p=0.001)) == []
    assert story.close() == []
    assert story.close() == ["resolved data_drift"]


def test_a_new_value_joins_with_one_update_and_leaves_silently() -> None:
    """No event per window; a value that heals alone is forgotten alone."""
    story = Story()
    story.close(drift("fare"))
    assert story.close(drift("fare"), drift("speed"), drift("gift")) == ["updated data_drift"]
    assert story.close(drift("fare"), drift("speed"), drift("gift")) == []
    assert story.close(drift("fare")) == []
    assert story.close(drift("fare")) == []
    assert story.changes[-1].event is None
    assert set(story.changes[-1].forget) == {(Source.FEATURE, "speed"), (Source.FEATURE, "gift")}
    assert [s.name for s in story.book.alerts[0].subjects] == ["fare"]


def test_a_broken_pipeline_mutes_the_drift_it_causes() -> None:
    """Story 5: one alert that names the fault; the drift of the same feature is shown as explained, others stay."""
    story = Story()
    findings = [drift("age"), fault("type_mismatch", "age"), fault("missing", "pay", 0.3)]
    shown = explained(story.book, findings, KEY)
    assert [f.verdict for f in shown] == [Verdict.MUTED, Verdict.ALARM, Verdict.ALARM]
    assert story.close(*findings) == ["firing broken_pipeline"]
    assert story.close(fault("type_mismatch", "age"), drift("age"), drift("speed")) == ["firing data_drift"]
    body = story.changes[0].event.body if story.changes[0].event else ""
    assert "age: type_mismatch in 100%; pay: missing in 30%" in body


def test_a_drift_that_began_before_the_fault_waits_for_it() -> None:
    """While its values are at fault nothing can be said of it; when the fault is over it ends by itself."""
    story = Story()
    story.close(drift("age"))
    assert story.close(fault("missing", "age"), drift("age")) == ["firing broken_pipeline"]
    assert story.close(fault("missing", "age"), drift("age", newest_p=0.5)) == []
    assert story.close(drift("age")) == []
    assert story.close(drift("age")) == ["resolved broken_pipeline"]
    assert story.close() == []
    assert story.close() == ["resolved data_drift"]


def test_predictions_that_move_under_a_broken_pipeline_are_its_consequence() -> None:
    """Told once with the cause; their history is forgotten with it; what still drifts then is an alert of its own."""
    story = Story()
    moved = drift("prediction", source=Source.PREDICTION)
    story.close(fault("missing", "age"))
    assert story.close(fault("missing", "age"), moved) == ["updated broken_pipeline"]
    update = story.changes[-1].event
    assert update is not None
    assert "; predictions moved too. " in update.body
    assert [f["name"] for f in update.attributes["sidelight.alert.consequences"]] == ["prediction"]
    assert story.close(moved) == []
    assert story.close(moved) == ["resolved broken_pipeline"]
    assert set(story.changes[-1].forget) == {(Source.FEATURE, "age"), (Source.PREDICTION, "prediction")}
    assert story.close(moved) == ["firing prediction_drift"]


def test_a_prediction_drift_of_its_own_stays_its_own() -> None:
    """It fired before the pipeline broke."""
    story = Story()
    moved = drift("prediction", source=Source.PREDICTION)
    assert story.close(moved) == ["firing prediction_drift"]
    assert story.close(moved, fault("missing", "age")) == ["firing broken_pipeline"]
    assert story.book.of(KEY)["broken_pipeline"].consequences == ()


@pytest.mark.parametrize(
    ("rise", "inside", "drifts", "expected"),
    [
        (0.02, 0.3, True, ["firing data_drift"]),  # the world moved, and a few values with it
        (0.60, 0.3, True, ["firing broken_pipeline"]),  # another unit
        (0.10, 0.01, True, ["firing broken_pipeline"]),  # a sentinel: the rest is what it was
        (0.02, 0.3, False, ["firing broken_pipeline"]),  # no drift to explain it
    ],
)
@pytest.mark.parametrize("check", ["out_of_range", "new_category"])
def test_values_outside_the_known_are_cause_or_echo(
    check: str, rise: float, inside: float, drifts: bool, expected: list[str]
) -> None:
    """By how many they are and whether the rest moved."""
    story = Story()
    findings = [fault(check, "fare", rise, inside), *([drift("fare")] if drifts else [])]
    assert story.close(*findings) == expected
    event = story.changes[0].event
    assert event is not None
    assert f"{check} in {rise:.0%}" in event.body


def test_an_empty_window_is_neither_good_nor_bad() -> None:
    """Alerts wait; after two of them the lack of data is an alert, which one window of data ends."""
    story = Story()
    story.close(drift("fare"))
    story.close()
    empty = state_finding("no_data", True, "no record came", 2)
    assert story.close(empty, rows=0) == []
    assert story.book.of(KEY)["no_data"].state is AlertState.PENDING
    assert story.close(empty, rows=0) == ["firing no_data"]
    assert story.close(empty, rows=0) == []
    assert story.close(drift("fare"), state_finding("no_data", False, "", 5)) == ["resolved no_data"]
    assert story.close() == []
    assert story.close() == ["resolved data_drift"]


def test_one_empty_window_alone_is_said_by_nobody() -> None:
    """Pending ends without an event."""
    story = Story()
    story.close(state_finding("no_data", True, "no record came", 0), rows=0)
    assert story.close(state_finding("no_data", False, "", 1)) == []
    assert story.book == AlertBook()


@pytest.mark.parametrize("verdict", [Verdict.NOT_ENOUGH_ROWS, Verdict.NO_DATA, Verdict.LEARNING])
def test_a_check_that_could_not_run_heals_nothing(verdict: Verdict) -> None:
    """Five rows at night do not end a latency alert."""
    story = Story()
    assert story.close(slow()) == ["firing latency"]
    blind = replace(slow(verdict), p_value=float("nan"), effect=float("nan"))
    assert [story.close(blind, rows=5) for _ in range(4)] == [[]] * 4
    assert story.close(slow(Verdict.WITHIN_NOISE)) == []
    assert story.close(slow(Verdict.WITHIN_NOISE)) == ["resolved latency"]
    assert story.changes[-1].forget == ()


def test_a_full_disk_is_an_error_until_it_is_not() -> None:
    """Said at once, over at once; silence about it ends nothing."""
    story = Story()
    assert story.close(state_finding("not_durable", True, "no space left on device", 0)) == ["firing not_durable"]
    event = story.changes[0].event
    assert event is not None
    assert event.severity == "ERROR"
    assert ": records are not on disk since 2026-01-01T00:00:00Z: no space left on device. Free" in event.body
    assert story.close(rows=0) == []
    assert story.close(state_finding("not_durable", False, "", 2)) == ["resolved not_durable"]


def test_severity_only_rises_while_an_alert_lives() -> None:
    """The gauge's attribute does not flap."""
    story = Story()
    story.close(drift("fare", 0.05))
    assert [p.attributes["sidelight.alert.severity"] for p in points(story.book)] == ["INFO"]
    story.close(drift("fare", 0.3))
    story.close(drift("fare", 0.05))
    (point,) = points(story.book)
    assert point.value == 1
    assert point.attributes == {
        "sidelight.model.name": "fares", "sidelight.model.version": "3",
        "sidelight.alert.name": "data_drift", "sidelight.alert.severity": "ERROR",
    }  # fmt: skip


def test_a_version_switch_ends_its_alerts_as_superseded() -> None:
    """Only those of that series; pending ones end unsaid."""
    story = Story()
    story.close(drift("fare"), slow())
    story.close(drift("fare"), slow(), state_finding("no_data", True, "", 1))
    other = ModelKey("fares", "4")
    story.book, _ = advance(story.book, [drift("fare")], context(1, model=other))
    book, changes = supersede(story.book, KEY, context(2))
    assert said(changes) == ["resolved data_drift", "resolved latency"]
    assert [c.event.key for c in changes if c.event] == ["20-0", "20-1"]
    first = changes[0].event
    assert first is not None
    assert first.attributes["sidelight.alert.reason"] == "superseded by another version"
    assert [alert.model for alert in book.alerts] == [other]


def test_events_of_several_closes_at_one_offset_have_keys_of_their_own() -> None:
    """The caller says where the running number stands."""
    _, changes = advance(AlertBook(), [drift("fare"), slow()], replace(context(1), event_number=3))
    assert [c.event.key for c in changes if c.event] == ["10-3", "10-4"]


def test_findings_no_rule_knows_alarm_nobody() -> None:
    """A check without a row in the table is shown, not delivered."""
    assert Story().close(replace(drift("fare"), check="vibes")) == []
