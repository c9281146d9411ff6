"""Segments against their own reference: silence without a change, a voice for the one that changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import hypergeom

from agent.ledger import RATES
from agent.records import Closed, Source, Verdict
from agent.reference.by_segment import RUN_WINDOWS
from agent.segments import prepare as prepare_module
from agent.segments import segment_tests
from agent.segments.prepare import prepare
from tests.segments.segment_worlds import Regions, alarms, judged


def stream(world: Regions, windows: int = 16) -> list[Closed]:
    return [world.window(i) for i in range(windows)]


def test_horizons_are_those_the_ledger_pays_for() -> None:
    """What the reference keeps runs of, the ledger divides its share by."""
    assert RUN_WINDOWS == RATES


@pytest.mark.parametrize("effect", [0.0, 0.1], ids=["independent rows", "a window effect of 0.1 σ"])
def test_unchanged_segments_are_silent(effect: float) -> None:
    """12 segments over 60 windows: no alarm, and hardly more p-values under 0.001 than there are tests to give them."""
    world = Regions([60, 120, *[250] * 10], features=3, texts=1, effect=effect, seed=3)
    segments, recent, small = world.segments(), stream(world), 0
    for i in range(60):
        recent = [*recent[1:], world.window(16 + i)]
        found = judged(segments, recent)
        assert not alarms(found)
        small += sum(f.check == "drift" and f.p_value < 1e-3 for f in found)
    tests = 60 * 12 * 4 * len(RUN_WINDOWS)
    assert small < 1e-3 * tests * 2.5


def test_one_segment_of_twenty_that_shifts_is_named() -> None:
    """Half a standard deviation in one of twenty regions of 200 rows: found at once, or within four windows."""
    world = Regions([200] * 20, features=4, seed=5)
    segments, recent = world.segments(), stream(world)
    for i in range(4):
        recent = [*recent[1:], world.window(16 + i, shift={7: 0.5})]
        found = alarms(judged(segments, recent))
        if found:
            break
    assert [(f.check, f.subject, f.segment) for f in found] == [("drift", "number0", "region=r7")]
    assert found[0].effect > 0.05
    assert found[0].current > 0.55
    assert found[0].distances["ks"] > 0.1


def test_a_small_segment_is_found_by_what_it_pools() -> None:
    """Thirty rows a window are too few for one window; sixteen of them show a shift of a standard deviation."""
    world = Regions([30, *[200] * 5], features=2, seed=6)
    segments, recent = world.segments(), stream(world)
    for i in range(16):
        recent = [*recent[1:], world.window(16 + i, shift={0: 1.0})]
    found = alarms(judged(segments, recent))
    assert {f.segment for f in found} == {"region=r0"}
    assert all(f.horizon > 1 for f in found)


def test_a_feature_lost_in_one_segment_is_missing_there() -> None:
    """Story 8: one region's feed broke; the finding says which feature of which region, and that all of it is gone."""
    world = Regions([100] * 20, features=3, seed=7)
    recent = [*stream(world, 15), world.window(99, lost={4: "number1"})]
    found = alarms(judged(world.segments(), recent))
    assert [(f.check, f.subject, f.segment) for f in found] == [("missing", "number1", "region=r4")]
    assert found[0].current == 1.0
    assert found[0].reason.startswith("null in all 100 rows")


def test_a_category_that_takes_over_in_one_segment_is_drift_there() -> None:
    """A text whose values all become one category."""
    world = Regions([150] * 8, features=1, texts=1, seed=8)
    last = world.window(99)
    layout = world.reference.layout
    own = last.segments["region=r2"][layout.slice(layout.index[Source.FEATURE, "text0"])]
    own[3], own[[0, 1, 2, 4]] = own[:5].sum(), 0
    found = alarms(judged(world.segments(), [*stream(world, 15), last]))
    assert [(f.check, f.subject, f.segment) for f in found] == [("drift", "text0", "region=r2")]


def test_wrong_types_in_one_segment_are_found() -> None:
    """The value came as text in one region only."""
    world = Regions([120] * 6, features=2, seed=9)
    last = world.window(99)
    world.mistype(last, 3, "number0")
    found = alarms(judged(world.segments(), [*stream(world, 15), last]))
    assert [(f.check, f.segment) for f in found] == [("type_mismatch", "region=r3")]


def test_a_rise_too_small_for_a_segment_is_said_and_not_alarmed() -> None:
    """1.5 % more nulls in thousands of rows is certain, and under the segments' floor."""
    world = Regions([20_000, 20_000], features=2, texts=0, missing=0.001, seed=10)
    recent = stream(world)
    world.missing = 0.015
    recent = [*recent[1:], world.window(99)]
    found = [f for f in judged(world.segments(), recent) if f.check == "missing"]
    assert {f.verdict for f in found} == {Verdict.BELOW_FLOOR}


def test_a_segments_drift_says_since_when_and_whether_it_goes_on() -> None:
    """Ten windows moved, the last is as it was: since the first of them, not since the horizon's, and over."""
    world = Regions([200] * 4, features=2, texts=0, blocks=300, seed=12)
    recent = [*stream(world, 10), *(world.window(10 + i, shift={1: 1.0}) for i in range(10)), world.window(20)]
    (found,) = (f for f in judged(world.segments(), recent[:-1]) if f.alarms and f.check == "drift")
    assert 9 <= found.first_window <= 11
    assert found.distances["newest_part"] > 0.5
    (after,) = (f for f in judged(world.segments(), recent) if f.alarms and f.check == "drift")
    assert after.distances["newest_part"] < 0.5


def test_a_doubled_region_is_a_changed_mix() -> None:
    """One finding for the key, with the shares of the region that grew; no segment's own values moved."""
    world = Regions([100] * 10, features=2, seed=11)
    found = alarms(judged(world.segments(), [*stream(world, 15), world.window(99, rows={6: 260})]))
    assert [(f.check, f.subject, f.segment) for f in found] == [("segment_mix", "region", "")]
    assert (found[0].changes[0].label, found[0].changes[0].reference) == ("r6", 0.1)
    assert found[0].reason.startswith("the mix of region changed: r6 10 % → 22.4 %")


def test_a_vanished_and_a_new_region_change_the_mix() -> None:
    """A value the reference never had counts as one of its own; one that is gone has a share of nothing."""
    world = Regions([100] * 10, features=2, seed=12)
    recent = [*stream(world, 15), world.window(99)]
    recent[-1].segments["region=atlantis"] = recent[-1].segments.pop("region=r1")
    found = judged(world.segments(), recent)
    mix = next(f for f in found if f.check == "segment_mix")
    assert mix.alarms
    assert {c.label for c in mix.changes[:2]} == {"r1", "never seen"}
    stranger = next(f for f in found if f.segment == "region=atlantis")
    assert stranger.verdict is Verdict.NO_REFERENCE


def test_a_sender_that_tags_no_longer_is_no_changed_mix() -> None:
    """Rows without a counted value say nothing of how the others divide."""
    world = Regions([100] * 10, features=2, seed=13)
    recent = [*stream(world, 15), world.window(99)]
    for name in [name for name in recent[-1].segments if name != "region=r0"]:
        del recent[-1].segments[name]
    assert not alarms(judged(world.segments(), recent))
    (mix,) = (f for f in judged(world.segments(), recent[-1:]) if f.check == "segment_mix")
    assert (mix.verdict, mix.reason[:27]) == (Verdict.NO_DATA, "more rows than in the refer")


def test_few_rows_are_told_as_such_and_not_as_a_short_reference() -> None:
    """Three rows a window, beside forty windows of them: it is the traffic that is thin."""
    world = Regions([200, 3], features=1, blocks=40, seed=14)
    said = {f.segment: f for f in judged(world.segments(), stream(world, 16)) if f.check == "segments"}
    assert said["region=r1"].verdict is Verdict.NOT_ENOUGH_ROWS
    assert "rows in the newest window; drift needs 40" in said["region=r1"].reason


def test_new_values_that_take_all_the_room_change_the_mix() -> None:
    """A third of the rows came with thousands of new values: forty are counted apart, the others are as new as they."""
    world = Regions([100] * 10, features=2, seed=13)
    recent = [*stream(world, 15), world.window(99)]
    flood = {f"region=new{i}": recent[-1].segments["region=r0"] * 0 for i in range(40)}
    recent[-1] = replace(recent[-1], rows=1_500, segments={**recent[-1].segments, **flood})
    (mix,) = alarms(judged(world.segments(), recent))
    assert mix.check == "segment_mix"
    assert (mix.changes[0].label, round(mix.changes[0].current, 2)) == ("never seen", 0.33)


def test_a_value_too_long_for_a_reference_to_list_is_not_new() -> None:
    """A tenth of the rows had it when the reference was built, without being counted, and has it still."""
    world = Regions([100] * 10, features=2, seed=13)
    recent = [*stream(world, 15), world.window(99)]
    for closed in recent:
        closed.segments[f"region={'x' * 3_000}"] = closed.segments["region=r0"]
        closed.rows = 1_100
    world.reference = replace(world.reference, rows=np.full(world.blocks, 1_100))
    assert not alarms(judged(world.segments(), recent))


def test_every_segment_says_whether_it_was_judged() -> None:
    """Enough rows; too few rows even when pooled; no rows; too few rows in the reference."""
    world = Regions([200, 3, 200, 1], features=1, blocks=300, seed=14)
    recent = [replace(closed, segments=dict(closed.segments)) for closed in stream(world, 4)]
    for closed in recent:
        closed.segments.pop("region=r2")
        closed.segments["region=r4"] = closed.segments["region=r0"]
    values = tuple(replace(v, packed=b"") if v.value == "r3" else v for v in world.reference.by_segment.values)
    world.reference = replace(world.reference, by_segment=replace(world.reference.by_segment, values=values))
    said = {f.segment: f.verdict for f in judged(world.segments(), recent) if f.check == "segments"}
    assert said == {
        "region=r0": Verdict.WITHIN_NOISE,
        "region=r1": Verdict.NOT_ENOUGH_ROWS,
        "region=r2": Verdict.NO_DATA,
        "region=r3": Verdict.REFERENCE_TOO_SHORT,
        "region=r4": Verdict.NO_REFERENCE,
    }


def test_a_reference_without_segments_judges_none_and_says_so() -> None:
    """An older reference: no test is made, so none is paid for, and every segment says that it has no counts."""
    world = Regions([100] * 3, features=1)
    world.reference = world.without_section()
    assert segment_tests(world.reference) == 0
    found = judged(world.segments(), stream(world, 3))
    assert {f.verdict for f in found} == {Verdict.NO_REFERENCE}
    assert len(found) == 3


def test_protected_keys_are_never_judged() -> None:
    """A protected attribute given as a segment is not named by any finding."""
    world = Regions([100] * 3, features=1)
    world.reference = replace(world.reference, protected=("region",))
    assert segment_tests(world.reference) == 0
    assert judged(world.segments(), stream(world, 2)) == []


def test_memory_is_bounded_whatever_the_reference_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two of four segments: the most frequent are judged, the others say that there was none."""
    world = Regions([60, 300, 70, 200], features=1, texts=0)
    cells = world.reference.layout.cells
    monkeypatch.setattr(prepare_module, "JUDGED_CELLS_MAX", 2 * cells + 1)
    ready = prepare(world.reference).groups
    assert [name for group in ready for name in group.names] == ["region=r1", "region=r3"]
    assert sum(group.counts.size for group in ready) <= 2 * cells + 1
    said = {f.segment: f.reason for f in judged(world.segments(), stream(world, 2)) if f.check == "segments"}
    assert said["region=r0"] == said["region=r2"] == "there is no room to judge so many segments of so many features"
    assert said["region=r1"] == ""


def test_broken_counts_cost_their_segment_alone() -> None:
    """Bytes that do not unpack leave that value out, and the others are judged."""
    world = Regions([100] * 3, features=1)
    first, *others = world.reference.by_segment.values
    broken = replace(world.reference.by_segment, values=(replace(first, packed=b"\x00" * 40), *others))
    world.reference = replace(world.reference, by_segment=broken)
    assert [name for group in prepare(world.reference).groups for name in group.names] == ["region=r1", "region=r2"]


@pytest.mark.parametrize(
    ("share", "rows", "hits"), [(0.02, 300, 32), (0.02, 3000, 120), (0.3, 80, 52), (0.3, 80, 4), (0.1, 100, 36)]
)
def test_the_far_tail_is_never_lighter_than_the_exact_one(share: float, rows: int, hits: int) -> None:
    """A category's count, out where a segment's α lies: never under half of Fisher's exact p, or 3000 times above.

    Two per cent are tested exactly; the others by scores, whose t distribution says that φ is an estimate.
    """
    shares = (1.0 - share, share, 0.0, 0.0, 0.0)
    world = Regions([rows] * 20, features=0, texts=1, missing=0.0, shares=shares, blocks=60, seed=15)
    last = world.window(99)
    last.segments["region=r0"][:2] = rows - hits, hits
    (found,) = [f for f in judged(world.segments(), [last]) if f.check == "drift"]
    counts = prepare(world.reference).groups[0].counts[0]
    whole, marked = int(counts[:2].sum()) + rows, int(counts[1]) + hits
    expected = rows * marked / whole
    exact = hypergeom.sf(hits - 1, whole, marked, rows) if hits > expected else hypergeom.cdf(hits, whole, marked, rows)
    assert exact < 1e-6
    assert exact / 2.0 < found.p_value
    assert np.log10(found.p_value / exact) < 3.5


def test_the_mix_is_judged_where_no_feature_is() -> None:
    """A model of vectors alone, or one whose features are all ignored: a region that doubled is told all the same."""
    world = Regions([300, 300, 300], features=2, texts=0, seed=21)
    layout = world.reference.layout
    ignored = replace(layout, features=tuple(replace(f, ignored=True) for f in layout.features))
    world.reference = replace(world.reference, layout=ignored)
    recent = [*stream(world), *(world.window(16 + i, rows={0: 600}) for i in range(4))]
    mix = [f for f in judged(world.segments(), recent) if f.check == "segment_mix"]
    assert [(f.subject, f.verdict) for f in mix] == [("region", Verdict.ALARM)]
