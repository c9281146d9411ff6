"""How old a model is, and the one finding that gathers what speaks for a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.machine import advance
from agent.bins import Layout
from agent.config import Settings
from agent.errors import CorruptError
from agent.following import About
from agent.ledger import Dial, Ledger
from agent.records import Closed, Event, Finding, ModelKey, Source, TextsSeen, Verdict
from agent.reference.profile import Reference
from agent.staleness.follower import HELD_WINDOWS, Staleness
from agent.staleness.reasons import rising
from tests.reference.references import small_reference

KEY = ModelKey("news", "1")
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
TRAINED = 1_700_000_000 * 10**9
TOPIC = (Source.FEATURE, "topic")

DRIFT = Finding("drift", "topic", Source.FEATURE, Verdict.ALARM, effect=0.3)
CONCEPT = Finding(
    "concept_drift", "", Source.PREDICTION, Verdict.ALARM, reason="the error rate rose from 10 % to 20 %; more"
)
NEW = Finding("new_category", "topic", Source.FEATURE, Verdict.ALARM, effect=0.1, current=0.1)
MISSING = Finding("missing", "age", Source.FEATURE, Verdict.ALARM, effect=0.4, current=0.4)


def model(trained_at_ns: int = TRAINED, limit_days: float = 90.0, reference: Reference | None = None) -> Staleness:
    settings, ledger = Settings(stale_seconds=limit_days * 86_400.0), Ledger.of(Dial(), Layout(()), 3600.0)
    found = Staleness()
    found.prepare(About(KEY, settings, ledger, HOUR_NS, reference, trained_at_ns=trained_at_ns))
    return found


def told(
    follower: Staleness, index: int, beside: Sequence[Finding] = (), day: float = 1.0, recent: Sequence[Closed] = ()
) -> tuple[Finding, Finding]:
    """`stale` and `retrain` of one window that ends so many days after the training."""
    follower.beside(beside)
    stale, retrain = follower.close(index, recent, TRAINED + round(day * DAY_NS))
    return stale, retrain


def topics(shares: Sequence[float], rows: int = 500) -> list[Closed]:
    """Windows in which so many of the topics were never seen before."""
    return [
        Closed(i, np.zeros(0, np.int32), rows=rows, texts={TOPIC: TextsSeen(40, round(rows * share))})
        for i, share in enumerate(shares)
    ]


def test_a_model_that_was_never_trained_again_is_stale() -> None:
    """Story 6: days since trained_at over the limit, and categories it never saw rising, in one suggestion."""
    follower = model()
    young = told(follower, 0, day=80)
    assert (young[0].verdict, young[1].verdict) == (Verdict.WITHIN_NOISE, Verdict.WITHIN_NOISE)
    windows = topics([0.0] * 12 + [0.01 * k for k in range(12)])
    stale, retrain = told(follower, 1, day=120, recent=windows)
    assert stale.alarms
    assert stale.reason == "trained 120 days ago, the limit is 90"
    assert retrain.alarms
    assert retrain.effect == 2.0
    assert retrain.reason == "trained 120 days ago, the limit is 90; categories it never saw (topic)"


def test_what_is_not_known_or_not_wanted_is_no_alarm() -> None:
    """No trained_at: said so. No limit: the age alone."""
    assert told(model(trained_at_ns=0), 0, day=900)[0].verdict is Verdict.NO_DATA
    stale, retrain = told(model(limit_days=0), 0, day=900)
    assert (stale.verdict, retrain.verdict) == (Verdict.WITHIN_NOISE, Verdict.WITHIN_NOISE)
    assert stale.reason == "trained 900 days ago; no limit is set"


@pytest.mark.parametrize(
    ("trained", "said"),
    [
        (TRAINED + 30 * DAY_NS, "29 days ahead of this window's end"),
        (TRAINED // 1_000_000, "1.97e+04 days before this window's end"),  # milliseconds
        ((1 << 63) - 1, "8.71e+04 days ahead of"),
    ],
)
def test_a_training_that_cannot_be_is_no_age(trained: int, said: str) -> None:
    """Neither young for ever nor an alarm; a clock that is a little behind is no matter."""
    follower = model(trained)
    stale, retrain = told(follower, 0)
    assert (stale.verdict, retrain.verdict) == (Verdict.NO_DATA, Verdict.WITHIN_NOISE)
    assert said in stale.reason
    assert list(follower.points()) == []
    assert told(model(TRAINED + DAY_NS), 0, day=0.9)[0].current == 0.0


def test_a_clock_that_had_gone_ahead_makes_nobody_old() -> None:
    """One window that ends in ten years, then the present again, after a restart too; an hour back is no news."""
    follower = model()
    assert told(follower, 0, day=3650.0)[0].alarms
    after = model()
    after.load(follower.dump())
    assert told(after, 1, day=80.0)[0].verdict is Verdict.WITHIN_NOISE
    assert told(after, 2, day=90.01)[0].alarms
    assert told(after, 1, day=89.99)[0].alarms


def test_a_borrowed_reference_tells_another_version_s_age() -> None:
    """The successor of an old version is not old: its own start or its own reference says when it was trained."""
    own = replace(small_reference(KEY.name, KEY.version), trained_at_ns=TRAINED)
    assert told(model(reference=own), 0, day=900)[0].alarms
    assert told(model(reference=replace(own, version="0")), 0, day=900)[0].verdict is Verdict.NO_DATA
    assert told(model(TRAINED + DAY_NS, reference=replace(own, version="0")), 0, day=900)[0].alarms


def test_all_reasons_come_in_one_finding() -> None:
    """Drift, concept drift and age together: three reasons, each in a few words."""
    retrain = told(model(), 0, [DRIFT, CONCEPT], day=100)[1]
    assert retrain.distances == {"staleness": 1.0, "drift": 1.0, "concept_drift": 1.0}
    assert retrain.reason == (
        "trained 100 days ago, the limit is 90; inputs drifted (topic); "
        "concept drift (the error rate rose from 10 % to 20 %)"
    )


def test_a_reason_stands_for_a_while() -> None:
    """Horizons alarm now and then: between two alarms the suggestion stays as it is, and ends a day after the last."""
    follower = model()
    told(follower, 0, [DRIFT, CONCEPT])
    assert all(told(follower, i)[1].alarms for i in range(1, HELD_WINDOWS))
    assert not told(follower, HELD_WINDOWS)[1].alarms


@pytest.mark.parametrize("alone", [[DRIFT], [CONCEPT], [NEW], [DRIFT, NEW]])
def test_what_its_own_alert_tells_is_not_told_twice(alone: Sequence[Finding]) -> None:
    """Inputs alone, or labels alone, are shown; once both speak, they suggest training together."""
    follower = model()
    first = told(follower, 0, alone)[1]
    assert (first.verdict, first.reason.endswith("told by its own alert")) == (Verdict.BELOW_FLOOR, True)
    other = DRIFT if alone == [CONCEPT] else CONCEPT
    assert told(follower, 1, [other])[1].alarms


def test_a_broken_feed_is_not_to_be_learned_from() -> None:
    """Drift under values at fault suggests nothing, for as long as its reason would stand; age still does."""
    follower = model()
    assert told(follower, 0, [DRIFT, CONCEPT, MISSING])[1].verdict is Verdict.MUTED
    assert "first the values at fault (age)" in told(follower, 1)[1].reason
    assert told(model(), 0, [MISSING], day=100)[1].alarms


def test_segments_drift_is_their_own_affair() -> None:
    """A part of the traffic that drifted is no reason to train; errors that rose there are."""
    follower = model()
    assert told(follower, 0, [replace(DRIFT, segment="region=north")])[1].reason == "nothing speaks for it"
    assert "in region=north" in told(follower, 1, [replace(CONCEPT, segment="region=north")])[1].reason


@pytest.mark.parametrize(
    ("shares", "rises"),
    [([0.0] * 8 + [0.05] * 4, True), ([0.05] * 12, False), ([0.0] * 12, False), ([0.0] * 8 + [0.004] * 4, False),
     ([0.05] * 8 + [0.0] * 4, False), ([0.0] * 4, False)],
)  # fmt: skip
def test_rising_shares_of_new_categories(shares: Sequence[float], rises: bool) -> None:
    """From nothing to five in a hundred rises; what is steady, falls, is too small or too short does not."""
    assert rising(topics(shares)) == (["topic"] if rises else [])


def test_chance_alone_seldom_rises() -> None:
    """1,000 histories of 24 windows with 2 % new values of 200: at most a handful."""
    rng = np.random.default_rng(1)
    found = sum(bool(rising(topics((rng.binomial(200, 0.02, 24) / 200).tolist(), rows=200))) for _ in range(1000))
    assert found <= 5


def test_the_suggestion_is_told_once_and_asks_for_training_once_a_cause() -> None:
    """Age alone: the suggestion itself asks. Drift and errors: drift's own alert asks first, with its features; the
    suggestion only says that they belong together. Drift alone has its own alert and nothing else."""
    follower, book = model(), AlertBook()
    asked: list[tuple[str, bool]] = []
    for index, (beside, day) in enumerate([((), 1.0), ((DRIFT,), 1.0), ((DRIFT, CONCEPT), 1.0), ((CONCEPT,), 1.0)]):
        book, events = _advanced(book, follower, index, beside, day)
        asked += [(e.attributes["sidelight.alert.name"], "sidelight.alert.retrain" in e.attributes) for e in events]
    assert asked == [("data_drift", True), ("concept_drift", True), ("retrain_suggested", False)]
    follower, book, asked = model(), AlertBook(), []
    for index in range(30):
        book, events = _advanced(book, follower, index, (), 100.0 + index)
        asked += [(e.attributes["sidelight.alert.name"], "sidelight.alert.retrain" in e.attributes) for e in events]
    assert asked == [("retrain_suggested", True)]


def test_a_restart_changes_nothing() -> None:
    """Reasons that stand, and the fault that holds them back, are stored."""
    follower, again = model(), model()
    told(follower, 5, [DRIFT, CONCEPT, MISSING])
    again.load(follower.dump())
    assert repr(told(again, 6)) == repr(told(follower, 6))  # NaN is itself there
    assert again.show() == follower.show()


@pytest.mark.parametrize("blob", [b"", b"[]", b"{}", b'{"format": 1, "held": {"x": [1, "y"]}}'])
def test_what_is_not_its_state_is_refused(blob: bytes) -> None:
    """And it is as new."""
    follower = model()
    told(follower, 5, [DRIFT, CONCEPT])
    with pytest.raises(CorruptError):
        follower.load(blob)
    assert not told(follower, 6)[1].alarms


def test_points_show_the_age_and_each_reason() -> None:
    """The age in seconds; a 1 for each reason that stands."""
    follower = model()
    told(follower, 0, [DRIFT], day=100)
    points = [(p.metric.name, p.value, p.attributes.get("sidelight.reason")) for p in follower.points()]
    assert points == [
        ("sidelight.model.age", 100 * 86_400.0, None), ("sidelight.retrain.reason", 1, "staleness"),
        ("sidelight.retrain.reason", 1, "drift"),
    ]  # fmt: skip


def _advanced(
    book: AlertBook, follower: Staleness, index: int, beside: Sequence[Finding], day: float
) -> tuple[AlertBook, list[Event]]:
    findings = [*beside, *told(follower, index, beside, day)]
    start = TRAINED + index * HOUR_NS
    book, changes = advance(book, findings, WindowContext(KEY, index, start, start + HOUR_NS, 500))
    return book, [change.event for change in changes if change.event is not None]
