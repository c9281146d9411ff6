"""The end of the demo, said plainly."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from examples.flights.faults import Fault
from examples.flights.status import Status
from examples.flights.summary import Found, Other, Summary
from examples.flights.timeline import ACCENT, ALARM, DAYS, QUIET
from examples.flights.view import day


def report(summary: Summary, sent: int, seconds: float, end: Status, note: str) -> Iterator[RenderableType]:
    """Lines for people: each fault, then every other alarm, then what became of the records. note: the last line."""
    yield Text()
    yield Text("what was injected, and when it was found", style="bold")
    for found in summary.found:
        yield from _fault(found)
    yield Text()
    yield Text(_others_heading(len(summary.others)), style="bold")
    for other in summary.others:
        yield _other(other)
    yield Text()
    yield from _both(summary)
    yield Text()
    yield _records(sent, seconds, end)
    yield Text(note, style=QUIET)


def _fault(found: Found) -> Iterator[RenderableType]:
    fault, alarm = found.fault, found.alarm
    yield Text.assemble(("  ✓ " if alarm else "  ✗ ", ACCENT if alarm else ALARM), (fault.name, "bold"),
                        (f", {span(fault)}", QUIET))  # fmt: skip
    if alarm is None:
        yield Text(f"    not found: no alert named {fault.subject}", style=ALARM)
        return
    yield Text(f"    found after {_count(found.days, 'day')} of it by the alert {alarm.alert} ({alarm.severity}):")
    yield Padding(Text(alarm.body, style=QUIET), (0, 0, 0, 4))


def _others_heading(count: int) -> str:
    if not count:
        return f"no other alarm in {DAYS} days"
    return f"every other alarm: {count} in {DAYS} days"


def _other(other: Other) -> Text:
    alarm = other.alarm
    line = Text.assemble(("  △ ", QUIET), f"{day(alarm.day)}  {alarm.said}")
    line.append(f"  ({other.happening.what if other.happening else 'no cause known'})", style=QUIET)
    if other.during is not None:
        line.append(f"  (while {other.during.name})", style=QUIET)
    return line


def _both(summary: Summary) -> Iterator[Text]:
    """In two lines: what was injected, and what the data itself did."""
    told = sum(found.alarm is not None for found in summary.found)
    causes = {other.happening for other in summary.others if other.happening is not None}
    known = sum(other.happening is not None for other in summary.others)
    yield Text.assemble(("injected: ", QUIET), f"{len(summary.found)} faults, {told} of them found")
    yield Text.assemble(
        ("the data's own: ", QUIET),
        f"{_count(known, 'alarm')} at {_count(len(causes), 'change')} that anyone can look up in it; "
        f"without a known cause: {len(summary.others) - known}",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _records(sent: int, seconds: float, end: Status) -> Text:
    """What the agent has of what was sent: the demo's own check that nothing is lost."""
    lost = f", {end.lost:,} of them refused, late or dropped" if end.lost else ""
    return Text(
        f"{sent:,} predictions sent in {seconds:.0f} s, {end.kept:,} kept by the agent{lost}; "
        f"{end.windows_closed} windows closed."
    )


def span(fault: Fault) -> str:
    return f"{day(fault.first).strip()} to {day(fault.last).strip()}"
