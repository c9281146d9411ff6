"""The model's rows, made from the package's two tables."""

from __future__ import annotations

import pandas as pd
import pytest

from examples.flights import data

HOUR = "2013-07-01T12:00:00Z"


def flights(**changes: object) -> pd.DataFrame:
    row: dict[str, object] = {
        "year": 2013, "month": 7, "day": 1, "dep_time": 830.0, "sched_dep_time": 817, "dep_delay": 13.0,
        "arr_delay": 16.0, "air_time": 61.0, "carrier": "UA", "origin": "EWR", "flight": 1545, "distance": 200,
        "time_hour": HOUR,
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def weather(*origins: str, hour: str = HOUR, wind_speed: float | None = 10.0) -> pd.DataFrame:
    return pd.DataFrame({"origin": origins, "time_hour": hour, "wind_speed": wind_speed, "visib": 9.0})


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
    both = pd.concat([flights(dep_time=None, dep_delay=None), flights()], ignore_index=True)
    assert len(data.prepare(both, weather("EWR"))) == 1


def test_weather_is_the_airports_newest_whole_reading() -> None:
    """An hour without one takes the hour before; another airport's, one to come or one too old is none at all."""
    known = pd.concat([weather("EWR", hour="2013-07-01T11:00:00Z"), weather("EWR", wind_speed=None)])
    assert data.prepare(flights(), known)["wind_speed"].iloc[0] == 10.0
    later, older = weather("EWR", hour="2013-07-01T13:00:00Z"), weather("EWR", hour="2013-07-01T05:00:00Z")
    for none in (weather("JFK"), later, older):
        assert data.prepare(flights(), none)["visib"].isna().all()


def test_a_reading_that_stands_twice_doubles_no_flight() -> None:
    """The hour the clocks go back is in the table two times."""
    assert len(data.prepare(flights(), weather("EWR", "EWR"))) == 1


def test_the_schedule_counts_cancelled_flights() -> None:
    """How busy an hour was to be is known before anything is cancelled; other airports do not count."""
    three = pd.concat([flights(), flights(dep_time=None, dep_delay=None), flights(origin="JFK")], ignore_index=True)
    assert sorted(data.prepare(three, weather("EWR", "JFK"))["departures"]) == [1.0, 2.0]


def test_training_ends_where_the_replay_begins() -> None:
    """No row is in both."""
    both = pd.concat([flights(month=6, day=30), flights()], ignore_index=True)
    rows = data.prepare(both, weather("EWR"))
    assert list(data.train_rows(rows)["id"]) == [0]
    assert list(data.replay_rows(rows)["id"]) == [1]
