"""What the data itself does in the replayed half year: nobody injected it, and the agent is told none of it.

Found by looking at the data on the days that alarmed, and held against the half year of training by
tests/demo/test_happenings.py: each goes beyond what a model trained until June could know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from examples.flights.status import Alarm

DAY = pd.Timedelta(days=1)
DELAYS = frozenset({"dep_delay", "score", "prediction", "row"})
TRUTHS = frozenset({"concept_drift", "accuracy"})
ROUTES = frozenset({"carrier", "origin", "distance", "row"})


@dataclass(frozen=True, slots=True)
class Happening:
    """A change of the data's own, from `first` to `last` day, both included. subjects: values in which it shows."""

    what: str
    subjects: frozenset[str]
    first: pd.Timestamp
    last: pd.Timestamp

    def explains(self, alarm: Alarm) -> bool:
        """Whether it lies in the days that each of the alarm's subjects was judged over, and shows in each."""
        pooled = max((subject.horizon for subject in alarm.subjects), default=1)
        over = self.first <= alarm.day and alarm.day - (pooled - 1) * DAY <= self.last
        return over and all(subject.name in self.subjects for subject in alarm.subjects)


def _happening(what: str, subjects: Iterable[str], first: str, last: str) -> Happening:
    return Happening(what, frozenset(subjects), pd.Timestamp(first), pd.Timestamp(last))


# The shorter before the longer: an alarm gets the first that explains it.
STORM = _happening("a stormy evening, one flight in five over two hours late", DELAYS, "2013-09-02", "2013-09-02")
INDEPENDENCE = _happening(
    "Independence Day, emptier hours", {"volume", "departures", "hour", *ROUTES}, "2013-07-04", "2013-07-05"
)
THANKSGIVING = _happening(
    "Thanksgiving, a third fewer flights", {"volume", "departures", "hour", *ROUTES}, "2013-11-28", "2013-11-30"
)
HAZE = _happening("days of haze, visibility of 7 to 9 miles", {"visib"}, "2013-12-02", "2013-12-05")
CHRISTMAS = _happening(
    "Christmas, a quarter fewer flights", {"volume", "departures", "hour", *ROUTES}, "2013-12-24", "2013-12-25"
)
WEATHER_ENDS = _happening("the data's weather ends", {"visib", "wind_speed"}, "2013-12-30", "2014-01-01")
RUSH = _happening("the December rush, fewer flights leave early, more late", DELAYS, "2013-12-14", "2013-12-31")
ROUTES_CHANGE = _happening("the autumn timetable, airlines fly other routes", ROUTES, "2013-09-02", "2013-12-31")
THUNDER = _happening(
    "summer storms aloft, more of what left on time lands late than in any such weeks before", TRUTHS, "2013-07-20",
    "2013-08-14",
)  # fmt: skip
SNOW = _happening("snow, up to half of what left on time lands late", TRUTHS, "2013-12-08", "2013-12-17")
HAPPENINGS = (INDEPENDENCE, STORM, THUNDER, SNOW, THANKSGIVING, HAZE, CHRISTMAS, WEATHER_ENDS, RUSH, ROUTES_CHANGE)


def cause(alarm: Alarm) -> Happening | None:
    """What explains it; None: nothing that is known of the data."""
    return next((happening for happening in HAPPENINGS if happening.explains(alarm)), None)
