"""What was injected, what was found, and everything else that alarmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from examples.flights.faults import Fault
from examples.flights.status import RESOLVED, Alarm

DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Found:
    """One fault and the first alarm that names it, or None."""

    fault: Fault
    alarm: Alarm | None

    @property
    def days(self) -> int:
        """Whole days from the fault's beginning until it was told, at least 1: a window must close first."""
        return 0 if self.alarm is None else max(1, -((self.fault.first - self.alarm.told) // DAY))


@dataclass(frozen=True, slots=True)
class Other:
    """An alarm that names no injected fault. during: the fault it fell into, which may or may not be why."""

    alarm: Alarm
    during: Fault | None


@dataclass(frozen=True, slots=True)
class Summary:
    found: tuple[Found, ...]
    others: tuple[Other, ...]

    @property
    def complete(self) -> bool:
        """Whether every fault was found."""
        return all(one.alarm is not None for one in self.found)


def summarise(alarms: Sequence[Alarm], faults: Sequence[Fault]) -> Summary:
    """Matches by name and time only: an alarm is a fault's when it names the fault's subject and its first bad window
    lies inside the fault. Of a fault's alarms the first counts; later ones about the same are the same news.
    """
    told = [alarm for alarm in alarms if alarm.event != RESOLVED]
    found = tuple(Found(fault, next((a for a in told if names(a, fault)), None)) for fault in faults)
    others = tuple(
        Other(alarm, next((f for f in faults if f.covers(alarm.day)), None))
        for alarm in told
        if not any(names(alarm, fault) for fault in faults)
    )
    return Summary(found, others)


def names(alarm: Alarm, fault: Fault) -> bool:
    return fault.subject in alarm.subjects and fault.covers(alarm.day)
