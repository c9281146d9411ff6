"""What a person demands in the schema file: broken once is an alarm, kept is silence, whatever the reference held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import (
    ABSENT_CELL,
    FRACTIONAL_CELL,
    INF_CELL,
    NAN_CELL,
    NEGATIVE_INF_CELL,
    NULL_CELL,
    Feature,
    Layout,
    Rules,
)
from agent.quality.judge import Quality
from agent.records import Cells, Closed, Finding, Kind, Source, Verdict
from agent.reference.edges import with_range
from agent.reference.profile import Reference
from tests.quality.quality_worlds import Fixed, found_in

EDGES = tuple(float(x) for x in range(11))
AGE = Feature("age", Source.FEATURE, Kind.NUMBER, edges=EDGES, integral=True)
CITY = Feature("city", Source.FEATURE, Kind.TEXT, categories=("a", "b"))
MEMBER = Feature("member", Source.FEATURE, Kind.FLAG)


def world(feature: Feature, blocks: int = 30) -> Reference:
    """A reference of one feature: 1,000 good values a block."""
    block = np.zeros(feature.cells, np.int32)
    good = range(1, feature.bins - 1) if feature.kind is Kind.NUMBER else range(2)
    block[list(good)] = 1000 // len(good)
    layout = Layout((feature,))
    return Reference(
        "m", "1", layout, np.tile(block, (blocks, 1)), np.zeros(blocks, np.int64), np.full(blocks, int(block.sum()))
    )


def window(reference: Reference, rows: int, faults: dict[int, int]) -> Cells:
    """Good values in the reference's shares, and faults by cell (fractional ones beside their bin)."""
    good = reference.blocks[0].astype(np.float64)
    left = rows - sum(count for cell, count in faults.items() if cell != reference.layout.cells - 1)
    cells: Cells = np.floor(good / good.sum() * left).astype(np.int32)
    cells[int(np.argmax(good))] += left - int(cells.sum())
    for cell, count in faults.items():
        cells[cell] += count
    return cells


def judged(reference: Reference, cells: Cells, alpha: float = 1e-9) -> dict[str, Finding]:
    """By check; hardly any significance is allowed, so that only rules alarm on a few faults."""
    return {f.check: f for f in found_in(Quality(reference, Fixed(alpha)).judge([Closed(5, cells, rows=1000)]))}


@pytest.mark.parametrize(
    ("feature", "rules", "cell", "check", "words"),
    [
        (AGE, Rules(required=True), AGE.bins + ABSENT_CELL, "absent", "1 of 1000 rows do not hold it"),
        (AGE, Rules(never_null=True), AGE.bins + NULL_CELL, "missing", "1 of 1000 rows hold no value in it"),
        (AGE, Rules(never_null=True), AGE.bins + NAN_CELL, "missing", "1 of 1000 rows hold no value in it"),
        (AGE, Rules(whole=True), AGE.bins + FRACTIONAL_CELL, "fractional", "1 of 1000 values are no whole numbers"),
        (AGE, Rules(low=0.0), 0, "out_of_range", "1 of 1000 values outside the possible range"),
        (AGE, Rules(high=10.0), AGE.bins - 1, "out_of_range", "1 of 1000 values outside the possible range"),
        (AGE, Rules(high=10.0), AGE.bins + INF_CELL, "not_finite", "1 of 1000 rows are infinite, outside the possible"),
        (AGE, Rules(low=0.0), AGE.bins + NEGATIVE_INF_CELL, "not_finite", "1 of 1000 rows are infinite, outside the"),
        (CITY, Rules(max_new=0.0), CITY.bins - 1, "new_category", "1 of 1000 values are none of the allowed categ"),
        (MEMBER, Rules(required=True), MEMBER.bins + ABSENT_CELL, "absent", "1 of 1000 rows do not hold it"),
    ],
)
def test_one_impossible_value_alarms_and_is_counted(
    feature: Feature, rules: Rules, cell: int, check: str, words: str
) -> None:
    """No dial, no floor: the finding says how many, of how many, and that it is the schema's rule."""
    reference = world(replace(feature, rules=rules))
    found = judged(reference, window(reference, 1000, {cell: 1}))[check]
    assert found.verdict is Verdict.ALARM
    assert found.reason.startswith(words)
    assert found.reason.endswith("the schema's rule allows none")
    assert (found.effect, found.distances["limit"], found.horizon, found.first_window) == (0.001, 0.0, 1, 5)
    without = world(feature)
    assert not any(f.alarms for f in judged(without, window(without, 1000, {cell: 1})).values())
    assert not any(f.alarms for f in judged(reference, window(reference, 1000, {})).values())


@pytest.mark.parametrize(
    ("feature", "rules", "cell", "check"),
    [
        (AGE, Rules(max_missing=0.02), AGE.bins + NULL_CELL, "missing"),
        (AGE, Rules(max_missing=0.02), AGE.bins + NAN_CELL, "missing"),
        (AGE, Rules(max_missing=0.02), AGE.bins + ABSENT_CELL, "missing"),
        (CITY, Rules(max_new=0.02), CITY.bins - 1, "new_category"),
    ],
)
def test_a_share_may_reach_its_limit_and_no_more(feature: Feature, rules: Rules, cell: int, check: str) -> None:
    """2 % of 1,000 rows are 20: allowed; 21 are not, and the finding says by how much."""
    reference = world(replace(feature, rules=rules))
    allowed = judged(reference, window(reference, 1000, {cell: 20}))
    assert not any("limit" in f.distances for f in allowed.values())
    broken = judged(reference, window(reference, 1000, {cell: 21}))[check]
    assert broken.alarms
    assert broken.effect == pytest.approx(0.001)
    assert "(2.1 %): the schema's rule allows 2 %" in broken.reason


def test_a_share_of_few_rows_is_no_share() -> None:
    """One null of nine rows breaks no `max_missing`; it does break `never_null`."""
    few = {AGE.bins + NULL_CELL: 1}
    lenient, strict = (world(replace(AGE, rules=r)) for r in (Rules(max_missing=0.02), Rules(never_null=True)))
    assert not judged(lenient, window(lenient, 9, few))["missing"].alarms
    assert judged(strict, window(strict, 9, few))["missing"].alarms


def test_the_rule_goes_first_and_what_the_reference_says_stands_behind() -> None:
    """One finding a check and feature: an alert book knows them by that."""
    reference = world(replace(AGE, rules=Rules(never_null=True)))
    found = judged(reference, window(reference, 1000, {AGE.bins + NULL_CELL: 400}))
    assert set(found) == {"missing"}
    assert found["missing"].reason == (
        "400 of 1000 rows hold no value in it: the schema's rule allows none; "
        "null in 40.0 % of 1000 rows (reference 0.0 %)"
    )


@given(st.floats(0.0, 1.0), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_a_rule_is_broken_exactly_where_the_share_is_over_its_limit(
    limit: float, good: int, null: int, nan: int, absent: int
) -> None:
    """Whatever lies in the cells; from ten rows on, or from the first where nothing is allowed."""
    reference = world(replace(AGE, rules=Rules(max_missing=limit)), blocks=2)
    cells = np.zeros(reference.layout.cells, np.int32)
    cells[3], cells[AGE.bins + NULL_CELL], cells[AGE.bins + NAN_CELL], cells[AGE.bins + ABSENT_CELL] = (
        good, null, nan, absent,
    )  # fmt: skip
    missing, rows = null + nan + absent, good + null + nan + absent
    found = judged(reference, cells)
    broken = limit < 1.0 and missing > limit * rows and (rows >= 10 or limit == 0.0)
    assert any("limit" in f.distances for f in found.values()) == broken


def test_a_score_beyond_its_range_is_found_among_a_million() -> None:
    """1.0000001 is no probability; 1.0 is one."""
    edges = with_range((0.1, 0.5, 0.9), Rules(low=0.0, high=1.0), 0.9)
    score = Feature("score", Source.SCORE, Kind.NUMBER, edges=edges, rules=Rules(low=0.0, high=1.0))
    layout = Layout((score,))
    reference = replace(world(score), layout=layout)
    values = np.full(1_000_000, 1.0)
    placed = np.searchsorted(score.split, values, side="right")
    cells = np.bincount(placed, minlength=layout.cells).astype(np.int32)
    assert "out_of_range" not in judged(reference, cells)
    values[0] = 1.0000001
    cells = np.bincount(np.searchsorted(score.split, values, side="right"), minlength=layout.cells).astype(np.int32)
    found = judged(reference, cells)["out_of_range"]
    assert found.alarms
    assert found.reason == "1 of 1000000 values outside the possible range: the schema's rule allows none"
    assert (found.source, found.verdict) == (Source.SCORE, Verdict.ALARM)


def test_an_end_left_open_lets_infinity_pass() -> None:
    """[0, inf) says nothing of +inf; where every answer is infinite, the range is broken all the same."""
    reference = world(replace(AGE, rules=Rules(low=0.0)))
    assert "not_finite" not in {
        check for check, f in judged(reference, window(reference, 1000, {AGE.bins + INF_CELL: 1})).items() if f.alarms
    }
    cells = np.zeros(reference.layout.cells, np.int32)
    cells[AGE.bins + NEGATIVE_INF_CELL] = 20
    assert "20 of 20 rows are infinite" in judged(reference, cells)["not_finite"].reason


def test_what_nobody_judges_has_no_rules() -> None:
    """An ignored feature is counted and never judged, whatever its rules say."""
    reference = world(replace(AGE, ignored=True, rules=Rules(never_null=True)))
    assert judged(reference, window(reference, 1000, {AGE.bins + NULL_CELL: 900})) == {}
