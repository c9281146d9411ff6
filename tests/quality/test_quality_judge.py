"""Faults that must be found, and stationary traffic on which nothing may be said."""

from __future__ import annotations

import numpy as np
import pytest

from agent.bins import OTHER_SEEN_MAX, Feature, Layout
from agent.ledger import CHECKS
from agent.quality.judge import FLOOR, MEASURES, Quality
from agent.records import (
    ABSENT,
    NULL,
    PRESENT,
    Batch,
    Cells,
    Closed,
    Columns,
    Kind,
    ModelKey,
    Numbers,
    Source,
    Texts,
    Verdict,
)
from agent.reference.profile import Reference
from tests.quality.quality_worlds import AGE, LAYOUT, Fixed, ages, batch, counts, found_in, judged, only, reference


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.mark.parametrize("rows", [20, 1000])
def test_a_number_that_became_text_alarms_in_one_window(rng: np.random.Generator, rows: int) -> None:
    """Story 5: the whole of a feature arrives as text; twenty rows are enough."""
    none = Numbers(np.zeros(rows), np.full(rows, ABSENT, np.uint8))
    as_text = Texts(("41", "52"), (np.arange(rows) % 2).astype(np.int32))
    found = judged(reference(rng), batch(none, texts={"age": as_text}))
    fault = found["type_mismatch", "age"]
    assert fault.alarms
    assert (fault.current, fault.expected, fault.effect, fault.n, fault.first_window) == (1.0, 0.0, 1.0, rows, 7)
    assert fault.reason == f"not a number in any of {rows} rows: its type has changed"
    assert [f for f in found.values() if f.alarms] == [fault]


def test_a_feature_no_longer_sent_is_called_absent(rng: np.random.Generator) -> None:
    """Absent and null are two checks: one who stopped sending, one who sends nothing in it."""
    gone = judged(reference(rng), batch(Numbers(np.zeros(50), np.full(50, ABSENT, np.uint8))))["absent", "age"]
    empty = judged(reference(rng), batch(Numbers(np.zeros(50), np.full(50, NULL, np.uint8))))["missing", "age"]
    assert gone.alarms
    assert gone.reason == "absent in all 50 rows: the sender no longer sends it"
    assert empty.alarms
    assert empty.reason == "null in all 50 rows: sent, but empty"


def test_missing_from_one_to_five_per_cent_alarms_at_once(rng: np.random.Generator) -> None:
    """The power statistics.md promises, at n=1000 and N=40k."""
    alarms = [judged(reference(rng), batch(ages(rng, 1000, 0.05)))["missing", "age"].alarms for _ in range(10)]
    assert sum(alarms) >= 9


def test_a_rate_that_varies_from_day_to_day_needs_more(rng: np.random.Generator) -> None:
    """0-20 % missing by block: 20 % is a usual day, 80 % is not; an independent-rows test would alarm on both."""
    ref = reference(rng, missing=tuple(rng.permutation(np.linspace(0.0, 0.2, 40))))
    usual = judged(ref, batch(ages(rng, 1000, 0.2)))["missing", "age"]
    broken = judged(ref, batch(ages(rng, 1000, 0.8)))["missing", "age"]
    assert usual.verdict is Verdict.WITHIN_NOISE
    assert usual.phi > 10
    assert broken.alarms


def test_one_odd_row_in_many_is_below_the_floor(rng: np.random.Generator) -> None:
    """Significance alone does not wake anyone."""
    values = ages(rng, 100_000)
    values.values[:300] = np.nan
    fault = judged(reference(rng, missing=(0.0,) * 40), batch(values))["not_finite", "age"]
    assert fault.p_value < 1e-20
    assert fault.effect < FLOOR
    assert fault.verdict is Verdict.BELOW_FLOOR


def test_a_changed_unit_is_suggested_where_counts_say_so(rng: np.random.Generator) -> None:
    """Miles to kilometres: out of range and a higher median."""
    ref = Reference(
        "m", "1", Layout((Feature("d", Source.FEATURE, Kind.NUMBER, tuple(float(x) for x in range(10, 31))),)),
        np.array([[0, *[50] * 20, 0, *[0] * 7]] * 30, np.int32), np.zeros(30, np.int64), np.full(30, 1000, np.int64),
    )  # fmt: skip
    values = Numbers(rng.uniform(10, 30, 1000) * 1.609)
    window = Batch(ModelKey("m"), 1000, 0, Columns(numbers={"d": values}), Columns())
    found = only(Quality(ref, Fixed()).judge([Closed(3, counts(window, ref.layout))]))
    assert found.alarms
    assert found.check == "out_of_range"
    assert found.reason.endswith("and median at least 1.5 times the reference's: unit changed?")
    assert found.distances["inside_change"] > 0.1
    assert found.changes[0].bin == 21


def few_valued(values: tuple[float, ...]) -> Reference:
    """3,000 whole numbers, one of these each; a bin for every value, as a build makes them."""
    edges = (*values, values[-1] + 0.5)
    layout = Layout((Feature("k", Source.FEATURE, Kind.NUMBER, edges, integral=True),))
    block = np.array([0, *[100 // len(values)] * len(values), 0, *[0] * 7], np.int32)
    return Reference("m", "1", layout, np.stack([block] * 30), np.zeros(30, np.int64), np.full(30, 100, np.int64))


def test_a_constant_that_begins_to_vary_is_no_changed_unit() -> None:
    """Retries were 0 in every row: 1, 2 and 3 are new; the reference's share is told as counted, not as credited."""
    ref = few_valued((0.0,))
    window = Batch(ModelKey("m"), 200, 0, Columns(numbers={"k": Numbers(np.arange(200.0) % 4)}), Columns())
    found = only(Quality(ref, Fixed()).judge([Closed(3, counts(window, ref.layout))]))
    assert found.alarms
    assert found.reason == (
        "75.0 % of 200 values out of range (0.0 % below, 75.0 % above; reference 0.0 %): it was always the same in the"
        " reference"
    )


def test_the_median_of_few_whole_numbers_is_one_of_them() -> None:
    """0 to 3 became 2 and 9: the medians are 1 and 2, and no middle of a bin that holds one value."""
    ref = few_valued((0.0, 1.0, 2.0, 3.0))
    values = Numbers(np.concatenate((np.full(60, 2.0), np.full(40, 9.0))))
    window = Batch(ModelKey("m"), 100, 0, Columns(numbers={"k": values}), Columns())
    found = {f.check: f for f in found_in(Quality(ref, Fixed()).judge([Closed(3, counts(window, ref.layout))]))}
    assert found["out_of_range"].distances["median_ratio"] == pytest.approx(2.0)


def test_a_text_that_was_always_the_same_says_so() -> None:
    """A plan nobody but "a" had: what is new is that there is another one."""
    layout = Layout((Feature("plan", Source.FEATURE, Kind.TEXT, categories=("a",)),))
    block = np.array([100, 0, 0, *[0] * 7], np.int32)
    ref = Reference("m", "1", layout, np.stack([block] * 30), np.zeros(30, np.int64), np.full(30, 100, np.int64))
    window = np.array([60, 0, 40, *[0] * 7], np.int32)
    found = found_in(Quality(ref, Fixed()).judge([Closed(3, window)]))
    assert found[0].reason.endswith("(expected 0.0 %): it was always the same in the reference")


def test_ids_of_which_not_all_are_remembered_are_no_fault() -> None:
    """96,000 different ones, 65,536 remembered, the others counted as never seen: all of them new is as it was."""
    layout = Layout((Feature("id", Source.FEATURE, Kind.TEXT, seen=frozenset(range(OTHER_SEEN_MAX))),))
    blocks = np.array([[2184, 1016, *[0] * 7]] * 30, np.int32)
    ref = Reference("m", "1", layout, blocks, np.zeros(30, np.int64), np.full(30, 3200, np.int64))
    found = found_in(Quality(ref, Fixed()).judge([Closed(3, np.array([0, 400, *[0] * 7], np.int32))]))
    assert [f.check for f in found if f.alarms] == []


def test_a_sentinel_changes_nothing_inside(rng: np.random.Generator) -> None:
    """-999 in a tenth of the rows: out of range, while the other values are what they were."""
    values = ages(rng, 1000)
    values.values[:100] = -999.0
    found = judged(reference(rng), batch(values))["out_of_range", "age"]
    assert found.alarms
    assert found.distances["below"] == pytest.approx(0.1, abs=0.01)
    assert found.distances["inside_change"] < 0.05


def test_unknown_categories_are_weighed_against_what_the_reference_saw_once(rng: np.random.Generator) -> None:
    """A feature of many rare categories brings new ones every day; one of three categories does not."""
    unseen = Texts(("a", "zzz"), (np.arange(1000) < 30).astype(np.int32))
    few = judged(reference(rng), batch(ages(rng, 1000), unseen))["new_category", "topic"]
    rare = Layout((Feature("topic", Source.FEATURE, Kind.TEXT, categories=("a",), seen=frozenset(range(2000))),))
    blocks = np.array([[950, 50, 0, *[0] * 7]] * 40, np.int32)
    ref = Reference("m", "1", rare, blocks, np.zeros(40, np.int64), np.full(40, 1000, np.int64))
    window = Batch(ModelKey("m"), 1000, 0, Columns(texts={"topic": unseen}), Columns())
    many = only(Quality(ref, Fixed()).judge([Closed(0, counts(window, rare))]))
    assert few.alarms
    assert "categories the reference never held" in few.reason
    assert many.expected == pytest.approx(0.05)
    assert many.verdict is Verdict.WITHIN_NOISE


def test_eight_rows_alarm_on_nothing(rng: np.random.Generator) -> None:
    """Whatever they hold."""
    found = judged(reference(rng), batch(Numbers(np.full(8, np.nan))))
    assert found["not_finite", "age"].verdict is Verdict.NOT_ENOUGH_ROWS


def test_a_short_reference_says_that_it_is_blind(rng: np.random.Generator) -> None:
    """Two blocks do not tell how much a rate varies."""
    found = judged(reference(rng, missing=(0.01, 0.012)), batch(ages(rng, 1000, 0.06)))["missing", "age"]
    assert found.verdict is Verdict.REFERENCE_TOO_SHORT
    assert "2 reference blocks of 8" in found.reason


def test_false_alarms_stay_within_what_the_ledger_allows(rng: np.random.Generator) -> None:
    """600 stationary windows, α = 0.01, φ from blocks: at most 1 % of tests alarm (99.9 % bound), floor or not."""
    ref = reference(rng, missing=tuple(rng.beta(8, 72, 30)))
    quality = Quality(ref, Fixed(0.01))
    below = 0
    for share in rng.beta(8, 72, 600):
        window = counts(batch(ages(rng, 1000, share)))
        found = [f for part in quality.judge([Closed(0, window)]) for f in part]
        below += sum(f.p_value <= f.alpha for f in found)
    assert below <= 6 + 3.1 * 6**0.5


def test_new_extremes_come_as_often_as_chance_brings_them(rng: np.random.Generator) -> None:
    """Edges are the sample's own extremes: values beyond them are expected, and the exact test knows how many."""
    alarms, tries = 0, 400
    for _ in range(tries):
        sample = rng.normal(size=400)
        layout = Layout((Feature("x", Source.FEATURE, Kind.NUMBER, (sample.min(), 0.0, sample.max())),))
        blocks = np.stack([_numbers(layout, part) for part in np.split(sample, 4)])
        ref = Reference("m", "1", layout, blocks, np.zeros(4, np.int64), np.full(4, 100, np.int64))
        slices = Quality(ref, Fixed(0.05)).judge([Closed(0, _numbers(layout, rng.normal(size=200)))])
        found = [f for part in slices for f in part]
        alarms += any(f.p_value <= 0.05 for f in found)
    assert alarms / tries <= 0.05 + 3.1 * (0.05 * 0.95 / tries) ** 0.5


def _numbers(layout: Layout, values: np.ndarray) -> Cells:
    return counts(Batch(ModelKey("m"), len(values), 0, Columns(numbers={"x": Numbers(values)}), Columns()), layout)


def test_nothing_is_said_where_nothing_is_worth_saying(rng: np.random.Generator) -> None:
    """No window, an empty window, an ignored feature: no findings. A fault of the reference alone: one, no alarm."""
    ref = reference(rng)
    assert list(Quality(ref, Fixed()).judge([])) == []
    assert found_in(Quality(ref, Fixed()).judge([Closed(0, np.zeros(LAYOUT.cells, np.int32))])) == []
    found = judged(ref, batch(ages(rng, 1000)))
    assert set(found) == {("missing", "age")}
    assert found["missing", "age"].verdict is Verdict.WITHIN_NOISE
    ignored = Layout((Feature("age", Source.FEATURE, Kind.NUMBER, AGE.edges, ignored=True),))
    ref = Reference("m", "1", ignored, ref.blocks[:, : ignored.cells], ref.starts_ns, ref.rows)
    assert found_in(Quality(ref, Fixed()).judge([Closed(0, np.ones(ignored.cells, np.int32))])) == []


def test_two_hundred_features_come_in_small_slices(rng: np.random.Generator) -> None:
    """A slice holds few findings, so that the loop is never held for long."""
    layout = Layout(tuple(Feature(f"f{i}", Source.FEATURE, Kind.NUMBER, AGE.edges) for i in range(200)))
    blocks = np.ones((30, layout.cells), np.int32)
    ref = Reference("m", "1", layout, blocks, np.zeros(30, np.int64), np.full(30, 28, np.int64))
    slices = list(Quality(ref, Fixed()).judge([Closed(0, np.ones(layout.cells, np.int32))]))
    assert max(map(len, slices)) <= 2
    assert sum(map(len, slices)) == 200 * 5


def test_the_table_names_each_check_once() -> None:
    """Two measures under one name would share the ledger's part."""
    assert len({m.check for m in MEASURES}) == len(MEASURES) == 7
    assert {m.check for m in MEASURES} <= {check.name for check in CHECKS}


@pytest.mark.parametrize("reference_spells", ["null", "NaN"])
def test_null_and_nan_are_one_thing_in_two_spellings(rng: np.random.Generator, reference_spells: str) -> None:
    """A table from pandas holds null where the served frame holds NaN: as many of those are no fault, more are."""

    def spelled(share: float, kind: str, rows: int = 1000) -> Batch:
        gone = rng.random(rows) < share
        values = np.clip(rng.normal(size=rows), -2.99, 2.99)
        if kind == "NaN":
            return batch(Numbers(np.where(gone, np.nan, values)))
        return batch(Numbers(values, np.where(gone, NULL, PRESENT).astype(np.uint8)))

    shares = rng.uniform(0.05, 0.15, 40)
    blocks = np.stack([counts(spelled(share, reference_spells)) for share in shares])
    known = Reference("m", "1", LAYOUT, blocks, np.zeros(40, np.int64), np.full(40, 1000, np.int64))
    live = "NaN" if reference_spells == "null" else "null"
    check = "not_finite" if live == "NaN" else "missing"
    assert not any(f.alarms for f in judged(known, spelled(0.1, live)).values())
    assert judged(known, spelled(0.9, live))[check, "age"].alarms
