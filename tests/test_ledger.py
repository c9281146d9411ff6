"""The ledger keeps the dial's promise, whatever runs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import Feature, Layout
from agent.ledger import CHECKS, IDLE, RUNNING, Dial, Ledger
from agent.records import Kind, Source

HOURS = 3600.0


def layout(plain: int, critical: int = 0, outputs: int = 0, ignored: int = 0) -> Layout:
    number, edges = Kind.NUMBER, (0.0, 1.0, 2.0)
    return Layout(
        (
            *(Feature(f"plain{i}", Source.FEATURE, number, edges=edges) for i in range(plain)),
            *(Feature(f"critical{i}", Source.FEATURE, number, edges=edges, critical=True) for i in range(critical)),
            *(Feature(f"ignored{i}", Source.FEATURE, number, edges=edges, ignored=True) for i in range(ignored)),
            *(Feature(f"score{i}", Source.SCORE, number, edges=edges) for i in range(outputs)),
        )
    )


def spent(ledger: Ledger) -> float:
    """False alarms a day if every test were at its alpha: by walking over the features, not by the rows."""
    return sum(
        ledger.alpha(check.name, i) * (86_400.0 / ledger.window_seconds) * len(check.horizons)
        for check in CHECKS
        if check.name in RUNNING
        for i in range(len(ledger.layout.features) if check.per_feature else 1)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 300), st.integers(0, 30), st.integers(0, 5), st.integers(0, 5),
    st.sampled_from([60.0, 300.0, 3600.0, 86_400.0, 604_800.0]),
    st.floats(0.001, 10.0), st.integers(1, 1000), st.integers(1, 5),
)  # fmt: skip
def test_all_tests_together_never_spend_more_than_the_dial(
    plain: int, critical: int, outputs: int, ignored: int, seconds: float, dial: float, replicas: int, versions: int
) -> None:
    """Over features, windows a day, horizons and checks, for any layout, with replicas and versions counted."""
    ledger = Ledger.of(Dial(dial, replicas, versions), layout(plain, critical, outputs, ignored), seconds)
    assert spent(ledger) * replicas * versions <= dial * (1 + 1e-9)


def test_rows_add_up_to_the_dial_with_the_lent_shares() -> None:
    """The printed split holds every share exactly once, that of what does not run with those who were lent it."""
    rows = Ledger.of(Dial(), layout(10, 2, 1), HOURS, RUNNING).rows()
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    idle = {check.name for check in CHECKS} - set(RUNNING)
    assert {row.check for row in rows if row.group == IDLE} == idle
    assert not any(row.share for row in rows if not row.tests_per_day)
    for row in rows:
        if row.tests_per_day:
            assert row.alpha * row.tests_per_day == pytest.approx(row.share * 0.05)


def test_what_has_nothing_to_judge_lends_its_share_and_takes_it_back() -> None:
    """Alone, drift has the whole dial; beside all others its own share and that of texts there are none of. Checks of
    the whole model have the same whatever else runs, for they also run where no feature is known."""
    few = Ledger.of(Dial(segments=100), layout(20, 2, 1), HOURS, ("drift",))
    all_ = Ledger.of(Dial(segments=100), layout(20, 2, 1), HOURS, [check.name for check in CHECKS])
    share = {check.name: check.share for check in CHECKS}
    assert few.budget("drift") == pytest.approx(0.05)
    assert 0.05 * share["drift"] < all_.budget("drift") < 0.05 * share["drift"] * 1.2
    assert few.alpha("missing", 0) == 0.0 < all_.alpha("missing", 0)
    assert 0 < all_.alpha("segments", 0) < 1e-7
    for check in ("volume", "duplicates", "latency", "segments", "performance"):
        assert all_.budget(check) == pytest.approx(0.05 * share[check])
    assert Ledger.of(Dial(), Layout(()), HOURS).alpha("volume", 0) == all_.alpha("volume", 0)


def test_output_comes_before_critical_before_the_rest() -> None:
    """A prediction's test may be the least significant, a plain feature's must be the most; ignored ones get none."""
    ledger = Ledger.of(Dial(), layout(40, 5, 2, 1), HOURS)
    plain, critical, ignored, score = (ledger.alpha("drift", i) for i in (0, 40, 45, 46))
    assert score > critical > plain > ignored == 0.0


def test_latency_is_nobodys_feature() -> None:
    """Latency has a check of its own, and no other check spends on it."""
    both = Layout((*layout(1).features, Feature("latency", Source.LATENCY, Kind.NUMBER, edges=(0.0, 1.0))))
    ledger = Ledger.of(Dial(), both, HOURS)
    of_the_model = ("latency", "duplicates", "volume")
    assert [ledger.alpha(check, 1) > 0 for check in RUNNING] == [check in of_the_model for check in RUNNING]
    assert ledger.alpha("latency", 0) == ledger.alpha("latency", 1), "one figure for the whole model"
    assert Ledger.of(Dial(), Layout(()), HOURS).alpha("latency", 0) > 0, "even where nothing is known of its features"


def test_unknown_checks_are_refused() -> None:
    """A check without a share would cry wolf on nobody's account."""
    with pytest.raises(ValueError, match="vibes"):
        Ledger.of(Dial(), layout(1), HOURS, ("drift", "vibes"))


def test_event_days_count_by_the_windows_own_time() -> None:
    """Windows of a day are tested once a day: 24 times the significance of windows of an hour."""
    hourly, daily = (Ledger.of(Dial(), layout(5), seconds) for seconds in (3600.0, 86_400.0))
    assert daily.alpha("drift", 0) == pytest.approx(24 * hourly.alpha("drift", 0))


def test_the_parts_of_one_value_share_what_one_feature_gets() -> None:
    """Sixteen projections of an embedding spend no more than a number does; a whole row has a share of its own."""
    edges = (0.0, 1.0)
    age = Feature("age", Source.FEATURE, Kind.NUMBER, edges=edges)
    parts = [Feature(f"text[{i}]", Source.FEATURE, Kind.NUMBER, edges=edges, group="text") for i in range(16)]
    row = [Feature(f"row[{i}]", Source.ROW, Kind.NUMBER, edges=edges, group="row") for i in range(4)]
    ledger = Ledger.of(Dial(), Layout((age, *parts, *row)), HOURS)
    assert sum(ledger.alpha("drift", 1 + i) for i in range(16)) == pytest.approx(ledger.alpha("drift", 0))
    assert ledger.alpha("drift", 17) > 0.0 == ledger.alpha("missing", 17) == ledger.alpha("missing", 1)
    assert spent(ledger) <= 0.05 * (1 + 1e-9)


def test_what_is_lent_is_added_up_in_the_tables_order() -> None:
    """To the last bit: a set's order is another one after a restart, and so is a sum's last bit."""
    age = Feature("age", Source.FEATURE, Kind.NUMBER, edges=(0.0, 50.0, 99.0))
    rows = {row.check: row for row in Ledger.of(Dial(0.05), Layout((age,)), HOURS).rows()}
    judged = [check.name for check in CHECKS if rows[check.name].tests_per_day]
    taking = sum(check.share for check in CHECKS if check.name in judged and check.per_feature)
    lent = sum(check.share for check in CHECKS if check.name not in judged)
    assert rows["drift"].share == CHECKS[0].share * (1.0 + lent / taking)
