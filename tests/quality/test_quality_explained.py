"""Cause and echo with rules and missing values: a broken rule is nobody's echo, half a feature is no distribution."""

from __future__ import annotations

import pytest

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.explain import explain
from agent.alerting.machine import advance
from agent.records import Finding, ModelKey, Source, Verdict

X = (Source.FEATURE, "x")


def fault(check: str, share: float, **distances: float) -> Finding:
    return Finding(check, "x", Source.FEATURE, Verdict.ALARM, effect=share, current=share, distances=distances)


def drift(verdict: Verdict) -> Finding:
    return Finding("drift", "x", Source.FEATURE, verdict, effect=0.3)


def verdicts(*findings: Finding) -> list[Verdict]:
    return [f.verdict for f in explain(findings, frozenset(), frozenset(), frozenset()).findings]


@pytest.mark.parametrize("check", ["out_of_range", "new_category"])
def test_a_world_that_moved_explains_strange_values_but_not_impossible_ones(check: str) -> None:
    """The fringe of a drift is muted; a broken rule is not, and then the drift is its echo."""
    moved = drift(Verdict.ALARM)
    assert verdicts(fault(check, 0.1, inside_change=0.4), moved) == [Verdict.MUTED, Verdict.ALARM]
    assert verdicts(fault(check, 0.1, inside_change=0.4, limit=0.0), moved) == [Verdict.ALARM, Verdict.MUTED]


def test_a_feature_half_gone_is_not_called_undrifted() -> None:
    """Missing and mistyped add up to a half; a third, or fractions in all rows, leave the drift's word as it is."""
    quiet = drift(Verdict.WITHIN_NOISE)
    assert verdicts(fault("missing", 0.3), fault("type_mismatch", 0.25), quiet)[-1] is Verdict.MUTED
    assert verdicts(fault("absent", 1.0), drift(Verdict.BELOW_FLOOR))[-1] is Verdict.MUTED
    assert verdicts(fault("missing", 0.3), quiet)[-1] is Verdict.WITHIN_NOISE
    assert verdicts(fault("fractional", 1.0), quiet)[-1] is Verdict.WITHIN_NOISE
    assert verdicts(fault("absent", 1.0), drift(Verdict.NOT_ENOUGH_ROWS))[-1] is Verdict.NOT_ENOUGH_ROWS


@pytest.mark.parametrize("check", ["fractional", "constant"])
def test_fractions_and_stuck_values_are_a_broken_pipeline(check: str) -> None:
    """Whatever else moved: the value's own drift is muted."""
    assert verdicts(fault(check, 0.9, inside_change=0.9), drift(Verdict.ALARM)) == [Verdict.ALARM, Verdict.MUTED]


@pytest.mark.parametrize(("effect", "ends"), [(0.007, False), (0.004, True)])
def test_a_rate_is_good_under_its_own_floor(effect: float, ends: bool) -> None:
    """A rise of 0.7 % is over the rates' floor of 0.5 %, though under the floor of drift."""
    book = AlertBook()
    for i in range(4):
        newest = {"newest_p": 1e-9, "newest_effect": 0.02 if i == 0 else effect}
        book, _ = advance(book, [fault("missing", 0.02, **newest)], WindowContext(ModelKey("m"), i, i, i + 1, 100))
        live = "broken_pipeline" in book.of(ModelKey("m"))
        if i == 2:
            assert live is not ends
