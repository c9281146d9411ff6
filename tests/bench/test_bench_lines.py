"""What the benchmarks' report says of what was measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from bench import pace
from bench.closing import split
from bench.line import Beside, Line, Samples, in_turns, number, quantile
from bench.report import Setting, render, table
from bench.stations import shares
from bench.stopwatch import Stopwatch

SETTING = Setting("a machine", "abc1234", ("0.1", "0.2"), (1.5, 1.6), 300.0)


def fast(microseconds: float, budget: float | None = 1.5) -> Line:
    return Line("bulk", "µs", Samples((microseconds,)), budget, why="the disk is slow")


def test_subjects_are_measured_in_turns_and_the_first_round_is_thrown_away() -> None:
    """A B A B, so that a slow second of the machine hits both; the first round pays for caches and imports."""
    order: list[str] = []

    def subject(name: str) -> Callable[[], float]:
        def measure() -> float:
            order.append(name)
            return float(len(order))

        return measure

    found = in_turns({"a": subject("a"), "b": subject("b")}, repeats=2)
    assert order == ["a", "b"] * 3
    assert [found["a"].values, found["b"].values] == [(3.0, 5.0), (4.0, 6.0)]


def test_the_machines_pace_is_taken_before_and_after_every_repeat() -> None:
    """Each repeat's own is the mean of the two: a machine that slows down within a run is seen to."""
    paces = iter((9.0, 9.0, 2.0, 4.0, 6.0))
    found = in_turns({"a": lambda: 1.0, "b": lambda: 1.0}, repeats=1, pace=lambda: next(paces))
    assert (found["a"].paces, found["b"].paces) == ((3.0,), (5.0,))
    assert list(paces) == []


def test_the_pace_is_a_library_s_own_work() -> None:
    """Some CPU for a row, the same work every time."""
    assert pace.now() > 0


def test_at_the_budgets_pace_each_repeat_is_scaled_by_its_own() -> None:
    """A slow repeat on a slow machine and a fast one on a fast machine are the same figure."""
    assert Samples((6.0, 3.0), (3.4, 1.7)).at_pace == Samples((3.0, 3.0))
    assert Samples((6.0, 3.0)).at_pace is None


def test_a_difference_has_the_pace_of_both() -> None:
    """Scaled apart, the noise of two paces would be larger than what one subject adds to another."""
    ours, theirs = Samples((9.0,), (3.0,)), Samples((8.0,), (3.8,))
    assert ours.less(theirs) == Samples((1.0,), (3.4,))
    assert ours.plus(theirs).at_pace == Samples((8.5,))
    assert ours.less(Samples((8.0,))).at_pace is None


@pytest.mark.parametrize(
    ("measured", "pace_then", "said"),
    [
        (1.4, 3.4, "| yes |"),
        (3.0, 3.4, "| at the budgets' pace |"),
        (3.1, 3.4, "| **no** |"),
        (1.6, 0.85, "| **no** |"),
    ],
)
def test_a_budget_held_at_the_budgets_pace_alone_is_said_to_be(measured: float, pace_then: float, said: str) -> None:
    """Both figures stand in the row; on a machine that is faster than then, nothing is won by it."""
    line = replace(fast(0.0), measured=Samples((measured,), (pace_then,)))
    row = table([line]).splitlines()[-1]
    assert row.startswith(f"| bulk | ≤ 1.5 µs | {measured:.2f} µs | {measured / (pace_then / 1.7):.2f} µs |")
    assert row.endswith(said)


def test_what_holds_at_the_budgets_pace_alone_stands_in_a_list_of_its_own() -> None:
    """With both figures, and why."""
    page = render([replace(fast(0.0), measured=Samples((3.0,), (3.4,)))], SETTING)
    assert "## Missed" not in page
    _, _, listed = page.partition("## Met at the budgets' pace only")
    assert "3.00 µs against 1.5 µs, 100 % over; at the budgets' pace 1.50 µs. Why: the disk is slow" in listed


def test_a_ratio_is_not_scaled() -> None:
    """Both sides of it were as slow."""
    beside = (Beside("empty", Samples((10.0,), (3.4,))),)
    line = Line("a call", "µs", Samples((20.0,), (3.4,)), 1.5, relative=True, beside=beside)
    assert line.at_pace is None
    assert line.met_at_pace is None
    assert "**no**" in table([line])


def test_what_was_added_is_the_difference_repeat_by_repeat() -> None:
    """Differences of medians would mix a quiet repeat of one with a busy repeat of the other."""
    assert Samples((5.0, 9.0)).less(Samples((3.0, 8.0)), divisor=2) == Samples((1.0, 0.5))


@pytest.mark.parametrize(("measured", "met"), [(1.5, True), (1.51, False)])
def test_an_absolute_budget_is_met_up_to_itself(measured: float, met: bool) -> None:
    """The median counts."""
    assert fast(measured).met is met


def test_a_relative_budget_is_a_multiple_of_the_first_thing_beside_it() -> None:
    """Others beside it are for reading only."""
    beside = (Beside("empty", Samples((10.0,))), Beside("other", Samples((1000.0,))))
    line = Line("a call", "µs", Samples((16.0,)), 1.5, relative=True, beside=beside)
    assert line.used == 1.6
    assert line.met is False


def test_beside_nothing_there_is_no_ratio() -> None:
    """A server whose memory shrank meanwhile is no measure of another's growth."""
    line = Line("growth", "MiB", Samples((0.51,)), beside=(Beside("empty", Samples((-0.01,))),))
    assert "| growth |  | 0.51 MiB |  | empty: -0.01 MiB |  |  |" in table([line])
    assert "| 2.00 × |" in table([replace(line, beside=(Beside("empty", Samples((0.255,))),))])


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    """Blind is not healthy: the table says so in words."""
    line = Line("label join", "µs", None, 3.0, note="not built yet")
    assert line.met is None
    page = render([line], SETTING)
    assert "| label join | ≤ 3 µs | not measured |" in page
    assert "- label join: not built yet." in page
    assert "Missed" not in page


def test_why_a_budget_is_missed_is_said_only_when_it_is() -> None:
    """And by how much."""
    assert "the disk is slow" not in render([fast(1.0)], SETTING)
    assert "3.00 µs against 1.5 µs, 100 % over. Why: the disk is slow" in render([fast(3.0)], SETTING)


def test_the_range_is_shown_where_there_were_repeats() -> None:
    """One figure has no range."""
    assert Samples((1.0,)).text("µs") == "1.00 µs"
    assert Samples((1.0, 3.0, 2.0)).text("µs") == "2.00 µs (1.00 to 3.00)"


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (12.34, "12.3"), (1234.5, "1234"), (-0.5, "-0.50")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """More would be noise."""
    assert number(value) == text


def test_quantiles_are_values_that_occurred() -> None:
    """p99.9 of a thousand is the slowest one."""
    values = [float(v) for v in range(1000)]
    assert quantile(values, 0.999) == 999.0
    assert quantile(values, 0.5) == 500.0
    assert quantile([], 0.5) != quantile([], 0.5)


def test_calls_after_a_windows_end_and_calls_under_way_at_it_are_across_it() -> None:
    """Windows of 2 s: a call at 1.99 s that takes 50 ms is still there when the window ends."""
    near, between = split([(100.1, 0.001), (101.5, 0.002), (101.99, 0.05), (101.9, 0.003)], 2.0)
    assert near == [0.001, 0.05]
    assert between == [0.002, 0.003]


def test_shares_of_samples_count_a_function_once_a_stack() -> None:
    """Recursion would otherwise give it more than everything."""
    found = shares("main (a.py:1);work (b.py:2) 3\nmain (a.py:1);main (a.py:9) 1\n")
    assert found == [("work (b.py", 0.75, 0.75), ("main (a.py", 0.25, 1.0)]


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def outer() -> None:
    burn(0.02)
    inner()


def inner() -> None:
    burn(0.04)


def test_a_function_is_not_charged_with_those_it_calls() -> None:
    """Own time only, and the functions are as they were afterwards."""
    before = outer
    with Stopwatch({f"{__name__}:outer": "outer", f"{__name__}:inner": "inner"}) as watch:
        outer()
    assert outer is before
    assert watch.calls == {"outer": 1, "inner": 1}
    assert 0.015e9 < watch.own_ns["outer"] < watch.own_ns["inner"]
