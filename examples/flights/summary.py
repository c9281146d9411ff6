"""What was injected, what was found, and everything else that alarmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from examples.flights.faults import Fault
from examples.flights.happenings import Happening, cause
from examples.flights.status import Alarm

DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Found:
    """One fault and the first alarm that names it, or None."""

    fault: Fault
    alarm: Alarm | None

    @property
    def days(self) -> int:
        """Days of data from the fault's beginning until it was told; never less than 1, the window's own length."""
        return 0 if self.alarm is None else (self.alarm.told - self.fault.first) // DAY


@dataclass(frozen=True, slots=True)
class Other:
    """An alarm that names no injected fault. during: the fault it fell into, which may or may not be why.

    happening: what the data itself did there; None: nothing that is known.
    """

    alarm: Alarm
    during: Fault | None
    happening: Happening | None


@dataclass(frozen=True, slots=True)
class Summary:
    found: tuple[Found, ...]
    others: tuple[Other, ...]

    @property
    def complete(self) -> bool:
        """Whether every fault was found."""
        return all(one.alarm is not None for one in self.found)


def summarise(alarms: Sequence[Alarm], faults: Sequence[Fault]) -> Summary:
    """alarms: the news, in order. A fault's alarm is the first that names its subject, on one of its own days.

    Later ones of the same subject on those days are the same news; whatever else they name is not.
    """
    found = tuple(Found(fault, next((a for a in alarms if names(a, fault)), None)) for fault in faults)
    rest = (_without(alarm, faults) for alarm in alarms)
    others = tuple(Other(a, next((f for f in faults if f.covers(a.day)), None), cause(a)) for a in rest if a.subjects)
    return Summary(found, others)


def names(alarm: Alarm, fault: Fault) -> bool:
    """Whether this alarm is about this fault."""
    return fault.subject in alarm.names and fault.covers(alarm.day)


def _without(alarm: Alarm, faults: Sequence[Fault]) -> Alarm:
    """The alarm without what was injected."""
    own = {name for fault in faults if fault.covers(alarm.day) for name in (fault.subject, *fault.also)}
    return replace(alarm, subjects=tuple(s for s in alarm.subjects if s.name not in own))
