"""Whatever the findings: one alert a cause, one end a beginning, the same events again, the same book after storage."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alerting.book import AlertBook, Change, WindowContext
from agent.alerting.machine import advance, explained, supersede
from agent.alerting.rules import QUALITY_CHECKS
from agent.errors import CorruptError
from agent.records import AlertState, BinChange, Finding, ModelKey, Role, Source, Verdict

CHECKS = [*sorted(QUALITY_CHECKS), "drift", "latency", "latency_objective", "no_data", "not_durable", "volume"]
MODELS = [ModelKey("m", "1"), ModelKey("m", "2", Role.SHADOW, "blue", "t")]
maybe = st.floats(0, 1) | st.just(float("nan"))
findings = st.builds(
    Finding,
    check=st.sampled_from(CHECKS),
    subject=st.sampled_from(["age", "fare", "prediction"]),
    source=st.sampled_from(Source),
    verdict=st.sampled_from([Verdict.ALARM, Verdict.ALARM, *Verdict]),
    p_value=maybe,
    effect=maybe | st.just(float("inf")),
    horizon=st.integers(1, 24),
    n=st.integers(0, 100),
    first_window=st.integers(0, 20),
    distances=st.dictionaries(st.sampled_from(["newest_p", "newest_effect", "inside_change"]), maybe),
    changes=st.just((BinChange("x", 3, 0.1, 0.2),)),
    reason=st.sampled_from(["", "said"]),
)
closes = st.lists(
    st.tuples(
        st.lists(findings, max_size=5, unique_by=lambda f: (f.check, f.source, f.subject)),
        st.sampled_from(MODELS),
        st.sampled_from([0, 100]),
        st.booleans(),
    ),
    max_size=12,
)
Script = list[tuple[list[Finding], ModelKey, int, bool]]


def play(script: Script, stored: bool = False) -> tuple[AlertBook, list[Change]]:
    book, everything = AlertBook(), []
    for i, (found, model, rows, switched) in enumerate(script):
        context = WindowContext(model, i, i * 10**9, (i + 1) * 10**9, rows, offset=i)
        book, changes = supersede(book, model, context) if switched and not found else advance(book, found, context)
        everything += changes
        if stored:
            book = AlertBook.from_json(book.to_json())
    return book, everything


@given(closes)
@settings(max_examples=80, deadline=None)
def test_a_cause_fires_once_and_ends_at_most_once(script: Script) -> None:
    """firing, updated*, resolved, firing, …: for each cause and series, and the book agrees with what was said."""
    book, changes = play(script)
    firing: set[tuple[ModelKey, str]] = set()
    for change in changes:
        if change.event is None:
            continue
        this, what = (change.model, change.alert), change.event.name
        assert (this in firing) == (what != "sidelight.alert.firing")
        if what == "sidelight.alert.firing":
            firing.add(this)
        elif what == "sidelight.alert.resolved":
            firing.remove(this)
    alive = [(alert.model, alert.name) for alert in book.alerts if alert.state is AlertState.FIRING]
    assert len({(alert.model, alert.name) for alert in book.alerts}) == len(book.alerts)
    assert set(alive) == firing


@given(closes)
@settings(max_examples=40, deadline=None)
def test_a_replay_says_the_same_also_through_storage(script: Script) -> None:
    """Same findings, same events and keys, with the book stored and read after every close or not."""
    book, changes = play(script)
    assert play(script, stored=True) == (book, changes)
    assert play(script)[0].to_json() == book.to_json()
    keys = [change.event.key for change in changes if change.event]
    assert len(set(keys)) == len(keys)


@given(closes, st.lists(findings, max_size=6))
@settings(max_examples=40, deadline=None)
def test_explaining_only_mutes(script: Script, found: list[Finding]) -> None:
    """No finding is lost, none becomes an alarm, and a hard fault is never muted."""
    book, _ = play(script)
    shown = explained(book, found, MODELS[0])
    assert len(shown) == len(found)
    for before, after in zip(found, shown, strict=True):
        assert (before.check, before.subject) == (after.check, after.subject)
        assert after.verdict in (before.verdict, Verdict.MUTED)
        if before.check in ("type_mismatch", "missing", "not_finite"):
            assert after.verdict is before.verdict


@given(closes)
@settings(max_examples=20, deadline=None)
def test_events_hold_only_what_a_log_record_can(script: Script) -> None:
    """JSON without NaN, whatever was not measured."""
    for change in play(script)[1]:
        if change.event:
            json.dumps(dict(change.event.attributes), allow_nan=False)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2, "alerts": []}', '{"format": 1, "alerts": [{"name": "latency"}]}', '{"format": 1}'],
)
def test_a_broken_book_is_said_to_be_broken(text: str) -> None:
    """So that the agent can set it aside and start."""
    with pytest.raises(CorruptError):
        AlertBook.from_json(text)


def test_an_alert_whose_rule_is_gone_is_left_out() -> None:
    """A downgrade starts, without that alert."""
    book, _ = advance(
        AlertBook(), [Finding("missing", "age", Source.FEATURE, Verdict.ALARM)], WindowContext(MODELS[0], 1, 0, 1, 5)
    )
    assert AlertBook.from_json(book.to_json().replace("broken_pipeline", "of_tomorrow")) == AlertBook()
