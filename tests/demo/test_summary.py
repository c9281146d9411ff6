"""Which alarm belongs to which fault, and that every other one is told."""

from __future__ import annotations

import pandas as pd
from rich.console import Console

from examples.flights.faults import CODES, FAULTS, KILOMETRES, SLOW, WORKS
from examples.flights.report import report
from examples.flights.status import FIRING, Alarm, Status, Subject
from examples.flights.summary import Summary, summarise


def alarm(day: str, *names: str, alert: str = "data_drift") -> Alarm:
    """An alert about these, told at the end of that day."""
    told = pd.Timestamp(day) + pd.Timedelta(days=1)
    subjects = tuple(Subject(name, "drift", 0.5, 1) for name in names)
    return Alarm(f"{day}{names}", FIRING, alert, "WARN", subjects, pd.Timestamp(day), told, "the agent's own words")


COMPLETE = (
    alarm("2013-08-12", "distance"), alarm("2013-09-17", "concept_drift"), alarm("2013-10-02", "carrier"),
    alarm("2013-11-19", "latency"),
)  # fmt: skip


def text(summary: Summary) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        for line in report(summary, 10, 60.0, Status(kept=10, windows_closed=3), "where to"):
            console.print(line)
    return captured.get()


def test_every_fault_is_found_by_the_alarm_that_names_it() -> None:
    """Days are those from the fault's beginning to the window's close that told it."""
    summary = summarise(COMPLETE, FAULTS)
    assert summary.complete
    assert [found.days for found in summary.found] == [1, 2, 2, 1]
    assert summary.others == ()


def test_the_first_alarm_counts_and_a_repetition_is_no_other_alarm() -> None:
    """Two alerts of one fault are the same news."""
    again = alarm("2013-08-15", "distance", alert="broken_pipeline")
    summary = summarise([COMPLETE[0], again], FAULTS)
    assert summary.found[0].alarm is COMPLETE[0]
    assert summary.others == ()


def test_the_right_name_on_the_wrong_day_is_not_the_fault() -> None:
    """Before and after: another alarm, and the fault is not found by it."""
    early, late = alarm("2013-08-11", "distance"), alarm("2013-08-19", "distance")
    summary = summarise([early, late], [KILOMETRES])
    assert not summary.complete
    assert [other.alarm for other in summary.others] == [early, late]


def test_the_wrong_name_on_the_right_day_is_told_as_what_it_is() -> None:
    """Another value's alarm during a fault stays an other alarm, with that fault beside it."""
    summary = summarise([alarm("2013-10-03", "score")], [CODES])
    assert not summary.complete
    assert [(other.alarm.names, other.during) for other in summary.others] == [(("score",), CODES)]


def test_what_an_alarm_names_beside_the_fault_is_not_hidden_by_it() -> None:
    """One alert about two values, one of them injected: the other one is still told."""
    summary = summarise([alarm("2013-08-12", "distance", "hour")], [KILOMETRES])
    assert summary.complete
    assert [other.alarm.names for other in summary.others] == [("hour",)]


def test_what_a_fault_may_name_besides_is_no_other_alarm() -> None:
    """Works at the gates make the accuracy fall, too; after them the same name is another alarm."""
    summary = summarise([COMPLETE[1], alarm("2013-09-16", "accuracy"), alarm("2013-09-30", "accuracy")], [WORKS])
    assert summary.complete
    assert [other.alarm.day.day for other in summary.others] == [30]


def test_nothing_found_is_said() -> None:
    """No alarm at all: no fault found, no days, no others."""
    summary = summarise([], FAULTS)
    assert not summary.complete
    assert [found.days for found in summary.found] == [0, 0, 0, 0]
    assert text(summary).count("not found") == 4
    assert "no other alarm" in text(summary)


def test_the_report_tells_each_fault_and_each_other_alarm() -> None:
    """Names, dates, the alert, the agent's words, and the rest in full."""
    said = text(summarise([*COMPLETE, alarm("2013-12-31", "visib"), alarm("2013-09-03", "latency")], FAULTS))
    for fault in FAULTS:
        assert f"✓ {fault.name}" in said
    assert "12 Aug to 18 Aug" in said
    assert "found after 2 days of it by the alert data_drift" in said
    assert "every other alarm: 2" in said
    assert "31 Dec  data drift: visib, PSI 0.5 over 1 day  (the data's weather ends)" in said
    assert "3 Sep  data drift: latency, PSI 0.5 over 1 day  (no cause known)" in said
    assert "injected: 4 faults, 4 of them found" in said
    assert "the data's own: 1 alarm at 1 change that" in said
    assert "without a known cause: 1" in said
    assert "10 predictions sent" in said
    assert SLOW.subject in said
