"""What goes wrong in the demo and when. The agent is told none of it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from examples.flights import data

KILOMETRES_A_MILE = 1.609344
SLOW_FACTOR = 8.0
WORKS_MINUTES = 20.0

# The same airlines by their ICAO designators, as of 2013.
ICAO = {
    "9E": "FLG", "AA": "AAL", "AS": "ASA", "B6": "JBU", "DL": "DAL", "EV": "ASQ", "F9": "FFT", "FL": "TRS",
    "HA": "HAL", "MQ": "EGF", "OO": "SKW", "UA": "UAL", "US": "AWE", "VX": "VRD", "WN": "SWA", "YV": "ASH",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that breaks. From `first` to `last` day, both included; `subject` is what an alert must name, `also`
    what it may name besides."""

    name: str
    subject: str
    first: pd.Timestamp
    last: pd.Timestamp
    also: frozenset[str] = frozenset()

    @property
    def end(self) -> pd.Timestamp:
        """The first moment after it."""
        return self.last + pd.Timedelta(days=1)

    def covers(self, time: pd.Timestamp) -> bool:
        return bool(self.first <= time < self.end)


def _fault(name: str, subject: str, first: str, last: str, *also: str) -> Fault:
    return Fault(name, subject, pd.Timestamp(first), pd.Timestamp(last), frozenset(also))


# In weeks without a storm, so that what is found there is the fault.
KILOMETRES = _fault("distances arrive in kilometres", "distance", "2013-08-12", "2013-08-18")
CODES = _fault("carrier codes arrive in another format", "carrier", "2013-10-01", "2013-10-07")
SLOW = _fault(f"the server slows to {SLOW_FACTOR:.0f} times its latency", "latency", "2013-11-19", "2013-11-23")
WORKS = _fault(
    f"works at the gates add {WORKS_MINUTES:.0f} minutes to every arrival", "concept_drift", "2013-09-16", "2013-09-22",
    "accuracy",
)  # fmt: skip
FAULTS = (KILOMETRES, WORKS, CODES, SLOW)


def corrupt(features: pd.DataFrame, time: pd.Timestamp) -> pd.DataFrame:
    """The features as a broken feed would deliver them at that time; the very same frame when nothing is broken."""
    if KILOMETRES.covers(time):
        # Whole kilometres: the field stays a whole number, so only its distribution can tell.
        features = features.assign(distance=(features["distance"] * KILOMETRES_A_MILE).round())
    if CODES.covers(time):
        features = features.assign(carrier=features["carrier"].map(ICAO))
    return features


def late(landed: pd.DataFrame) -> pd.Series:
    """What became of flights, as the arrivals board says it: bool. Nothing the model is given knows of the works."""
    works = landed["time"].map(WORKS.covers).astype(bool)
    return landed["delay"] + WORKS_MINUTES * works > data.LATE_MINUTES


def slow_factor(time: pd.Timestamp) -> float:
    """How many times its usual latency the server takes at that time."""
    return SLOW_FACTOR if SLOW.covers(time) else 1.0
