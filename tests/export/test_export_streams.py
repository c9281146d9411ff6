"""What a point says of its series: totals or differences, where a series begins, how many a metric may have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.baseline import CUMULATIVE, DELTA, minus, nothing, plus
from agent.export.streams import OVERFLOW, Preference, Said, Streams
from agent.telemetry import ALERT, BIN_COUNT, CATALOGUE, DRIFT, LATENCY, RECORDS, Exemplar, Exponential, Point

STARTED_NS = 1_000
CPU = CATALOGUE["system.cpu.time"]


def _exponential(offset: int, *buckets: int, negative: tuple[int, ...] = (), zero: int = 0) -> Exponential:
    count = sum(buckets) + sum(negative) + zero
    return Exponential(count, float(count), 3, zero, offset, list(buckets), 5 if negative else 0, list(negative), 1e-6)


def _after_an_export(preference: Preference = "cumulative", series_max: int = 100) -> Streams:
    streams = Streams(preference, STARTED_NS, series_max)
    streams.begin(2_000)
    streams.baseline.keep()
    streams.begin(3_000)
    return streams


def test_a_counter_that_is_new_begins_with_a_zero() -> None:
    """A backend sees growth between two points only: the first counts would be lost without one before them."""
    streams = _after_an_export()
    assert streams.say(Point(RECORDS, 7, {}, 2_500), 1) == (Said(2_500, 2_500, 0), Said(2_500, 3_000, 7))
    assert streams.say(Point(RECORDS, 9, {}, 2_500), 1) == (Said(2_500, 3_000, 9),)
    assert streams.say(Point(RECORDS, 7, {}, 500), 2) == (Said(500, 2_001, 0), Said(500, 3_000, 7))
    zero, whole = streams.say(Point(LATENCY, _exponential(4, 1, 2), {}), 3)
    assert isinstance(zero.value, Exponential)
    assert (zero.value.count, zero.value.buckets, zero.time_ns) == (0, (), 2_001)
    assert whole.start_ns == STARTED_NS


@pytest.mark.parametrize("preference", ["cumulative", "delta"])
def test_an_exemplar_is_said_once_and_in_the_order_of_time(preference: Preference) -> None:
    """What was said before is not repeated, nor what is older than that: backends take exemplars as time goes."""
    streams = _after_an_export(preference)
    one, two, three, four = (Exemplar(b"t" * 16, b"s" * 8, 0.1, time_ns) for time_ns in (5, 20, 30, 40))
    said = streams.say(Point(LATENCY, _exponential(4, 1, 2), {}, exemplars=(three, two)), 1)
    assert [each.exemplars for each in said][-1] == (two, three)
    assert not any(each.exemplars for each in said[:-1])
    streams.baseline.keep()
    streams.begin(4_000)
    (again,) = streams.say(Point(LATENCY, _exponential(4, 2, 2), {}, exemplars=(three, one, four)), 1)
    assert again.exemplars == (four,)
    (other,) = streams.say(Point(LATENCY, _exponential(4, 2, 2), {}, 3_500, exemplars=(one,)), 2)[-1:]
    assert other.exemplars == (one,)


@pytest.mark.parametrize("preference", ["cumulative", "delta"])
def test_an_alert_that_ends_is_said_to_be_zero_once(preference: Preference) -> None:
    """Its series would stay at 1 for as long as a backend looks back; one that goes on firing has no zero."""
    streams = Streams(preference, STARTED_NS)
    firing = [Point(ALERT, 1, {"sidelight.alert.name": name}) for name in ("drift", "slow")]
    said = []
    for now_ns, points in ((2_000, firing), (3_000, firing[1:]), (4_000, firing[1:]), (5_000, firing)):
        streams.begin(now_ns)
        for point in points:
            streams.say(point, firing.index(point))
        said.append([(point.attributes["sidelight.alert.name"], point.value) for point in streams.ended()])
    assert said == [[], [("drift", 0)], [], []]


def test_what_another_life_may_have_said_gets_no_zero() -> None:
    """At the first export a counter that resumed goes on; so does, always, one that others keep."""
    streams = Streams("cumulative", STARTED_NS)
    streams.begin(2_000)
    assert streams.say(Point(RECORDS, 7, {}, 500), 1) == (Said(500, 2_000, 7),)
    assert streams.say(Point(RECORDS, 7, {}), 2) == (Said(1_000, 1_000, 0), Said(1_000, 2_000, 7))
    assert streams.say(Point(CPU, 7.0, {}, 1_500, observed=True), 3) == (Said(1_500, 2_000, 7.0),)
    assert streams.say(Point(DRIFT, 0.5, {}), 4) == (Said(0, 2_000, 0.5),)


def test_a_delta_is_since_the_series_was_last_looked_at() -> None:
    """Start and end meet from one to the next; nothing new is nothing said; gauges are as ever."""
    streams = _after_an_export("delta")
    assert streams.say(Point(RECORDS, 7, {}, 2_500), 1) == (Said(2_500, 3_000, 7),)
    for now_ns, total, said in ((4_000, 7, ()), (5_000, 9, (Said(4_000, 5_000, 2),))):
        streams.baseline.keep()
        streams.begin(now_ns)
        assert streams.say(Point(RECORDS, total, {}, 2_500), 1) == said
        assert streams.say(Point(DRIFT, 0.5, {}), 2) == (Said(0, now_ns, 0.5),)


def test_a_counter_that_began_anew_is_said_whole() -> None:
    """Its start says so, even where it has overtaken what it had."""
    streams = _after_an_export("delta")
    streams.say(Point(RECORDS, 7, {}), 1)
    streams.baseline.keep()
    streams.begin(4_000)
    assert streams.say(Point(RECORDS, 8, {}, 3_500), 1) == (Said(3_500, 4_000, 8),)


def test_counts_lost_with_the_host_are_not_said_twice() -> None:
    """Ours fell without beginning anew: what was said stays said, and the next counts come on top."""
    streams = _after_an_export("delta")
    streams.say(Point(RECORDS, 7, {}), 1)
    streams.baseline.keep()
    streams.begin(4_000)
    assert streams.say(Point(RECORDS, 5, {}), 1) == ()
    streams.baseline.keep()
    streams.begin(5_000)
    assert streams.say(Point(RECORDS, 6, {}), 1) == (Said(4_000, 5_000, 1),)


def test_what_others_counted_before_the_first_look_is_not_ours() -> None:
    """A week of the node's CPU time is not this minute's; after a reset the whole is new."""
    streams = _after_an_export("delta")
    found = []
    for now_ns, total in ((4_000, 600_000.0), (5_000, 600_002.0), (6_000, 1.0)):
        streams.begin(now_ns)
        found.append(streams.say(Point(CPU, total, {}, 1, observed=True), 1))
        streams.baseline.keep()
    assert found == [(), (Said(4_000, 5_000, 2.0),), (Said(5_000, 6_000, 1.0),)]


@pytest.mark.parametrize(
    ("preference", "own", "others"),
    [("cumulative", CUMULATIVE, CUMULATIVE), ("delta", DELTA, DELTA), ("lowmemory", DELTA, CUMULATIVE)],
)
def test_the_preference_decides_by_who_counts(preference: Preference, own: int, others: int) -> None:
    """As the specification has it: lowmemory leaves what is only read, not counted, cumulative."""
    streams = Streams(preference, STARTED_NS)
    assert streams.temporality(Point(BIN_COUNT, 1, {})) == own
    assert streams.temporality(Point(CPU, 1.0, {}, observed=True)) == others


def test_series_over_the_cap_become_one_that_never_falls() -> None:
    """Those that were first stay; the others add up, also when one of them ends or begins anew; gauges are left out."""
    streams, totals = _after_an_export(series_max=2), []
    for values in ({1: 5, 2: 5, 3: 5, 4: 1}, {1: 6, 3: 7, 4: 2}, {3: 8}, {3: 1, 4: 2, 5: 3}):
        said = [streams.say(Point(RECORDS, value, {}), key) for key, value in values.items()]
        assert [bool(points) for points in said] == [key <= 2 for key in values]
        assert [bool(streams.say(Point(DRIFT, 0.1, {}), key)) for key in range(3)] == [True, True, False]
        (point,) = streams.overflows()
        assert (point.metric, point.attributes) == (RECORDS, OVERFLOW)
        totals.append(point.value)
        streams.begin(4_000)
    assert totals == [6, 9, 10, 13]
    assert streams.overflowing == {RECORDS.name: 3, DRIFT.name: 1}


counts = st.lists(st.integers(0, 9), max_size=6)


@given(st.lists(st.tuples(st.integers(-20, 20), counts, counts, st.integers(0, 5)), min_size=1, max_size=6))
def test_differences_of_histograms_add_up_to_them(parts: list[tuple[int, list[int], list[int], int]]) -> None:
    """Whatever the offsets; empty ends never stay."""
    whole = nothing(_exponential(0))
    deltas = nothing(_exponential(0))
    for offset, buckets, negative, zero in parts:
        more = plus(whole, _exponential(offset, *buckets, negative=tuple(negative), zero=zero))
        delta = minus(more, whole)
        assert delta is not None
        deltas, whole = plus(deltas, delta), more
    assert isinstance(whole, Exponential)
    assert isinstance(deltas, Exponential)
    assert deltas == replace(whole, offset=deltas.offset, negative_offset=deltas.negative_offset)
    assert deltas.offset == whole.offset or not whole.buckets
    assert not whole.buckets or (whole.buckets[0] and whole.buckets[-1])
