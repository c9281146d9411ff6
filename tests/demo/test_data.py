"""The model's rows, made from the package's two tables."""

from __future__ import annotations

import pandas as pd
import pytest

from examples.flights import data

HOUR = "2013-07-01T12:00:00Z"


def flights(**changes: object) -> pd.DataFrame:
    row: dict[str, object] = {
        "year": 2013, "month": 7, "day": 1, "dep_time": 830.0, "sched_dep_time": 817, "dep_delay": 13.0,
        "arr_delay": 16.0, "air_time": 61.0, "carrier": "UA", "origin": "EWR", "dest": "BOS", "distance": 200,
        "time_hour": HOUR,
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def weather(*origins: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"origin": origins, "time_hour": HOUR, "wind_speed": 10.0, "visib": 9.0, "precip": 0.1},
    )


def test_a_flight_stands_at_the_moment_it_left_its_gate() -> None:
    """Time is the scheduled time and the delay; landing is the air time later."""
    row = data.prepare(flights(), weather("EWR")).iloc[0]
    assert row["time"] == pd.Timestamp("2013-07-01 08:30")
    assert row["landed"] == pd.Timestamp("2013-07-01 09:31")
    assert (row["hour"], row["wind_speed"]) == (8.0, 10.0)


def test_a_delay_past_midnight_belongs_to_the_next_day() -> None:
    """The date is that of the departure, not of the schedule."""
    rows = flights(sched_dep_time=2350, dep_delay=20.0)
    assert data.prepare(rows, weather("EWR"))["time"].iloc[0] == pd.Timestamp("2013-07-02 00:10")


@pytest.mark.parametrize(("minutes", "late"), [(15.0, False), (16.0, True), (-3.0, False)])
def test_late_is_more_than_a_quarter_of_an_hour(minutes: float, late: bool) -> None:
    """Fifteen minutes is on time."""
    assert bool(data.prepare(flights(arr_delay=minutes), weather("EWR"))["late"].iloc[0]) is late


def test_a_flight_that_never_arrived_has_no_truth() -> None:
    """Diverted: predicted, never labelled."""
    row = data.prepare(flights(arr_delay=None, air_time=None), weather("EWR")).iloc[0]
    assert pd.isna(row["late"])
    assert pd.isna(row["landed"])


def test_a_cancelled_flight_is_not_asked_about() -> None:
    """It never leaves its gate, so nobody predicts it."""
    assert data.prepare(flights(dep_time=None, dep_delay=None), weather("EWR")).empty


def test_weather_that_is_not_known_is_missing_and_known_twice_counts_once() -> None:
    """Hours without a reading leave NaN; the hour the clocks go back, which stands twice, doubles no flight."""
    assert data.prepare(flights(), weather("JFK"))["visib"].isna().all()
    assert len(data.prepare(flights(), weather("EWR", "EWR"))) == 1


def test_training_ends_where_the_replay_begins() -> None:
    """No row is in both."""
    both = pd.concat([flights(month=6, day=30), flights()], ignore_index=True)
    rows = data.prepare(both, weather("EWR"))
    assert list(data.train_rows(rows)["id"]) == [0]
    assert list(data.replay_rows(rows)["id"]) == [1]
