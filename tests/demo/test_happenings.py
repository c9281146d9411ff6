"""What is said to be the data's own doing stands in the data, and goes beyond all of the months of training."""

from __future__ import annotations

import pandas as pd
import pytest

from examples.flights import data
from examples.flights.happenings import (
    CHRISTMAS,
    HAZE,
    INDEPENDENCE,
    ROUTES_CHANGE,
    RUSH,
    SNOW,
    STORM,
    THANKSGIVING,
    THUNDER,
    WEATHER_ENDS,
    Happening,
    cause,
)
from examples.flights.status import FIRING, Alarm, Subject

DAY = pd.Timedelta(days=1)
WEEK = pd.Timedelta(days=7)
TRAINED = slice(None, data.REPLAY_FROM - DAY)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Every flight, and the day it left on."""
    found = data.load()
    return found.assign(day=found["time"].dt.floor("D"))


def daily(rows: pd.DataFrame, which: pd.Series) -> pd.Series:
    """The share of a day's rows."""
    return which.groupby(rows["day"]).mean()


def during(values: pd.Series, happening: Happening) -> pd.Series:
    return values[happening.first : happening.last]


def test_the_storm_delays_more_flights_than_any_monday_of_training(rows: pd.DataFrame) -> None:
    """A fifth leaves over two hours late; of 181 days one was worse."""
    late = daily(rows, rows["dep_delay"] > 120)
    known = late[TRAINED]
    there = during(late, STORM).iloc[0]
    assert 0.18 < there < 0.22
    assert there > known[known.index.day_of_week == STORM.first.day_of_week].max()
    assert (known > there).sum() == 1


def test_what_left_on_time_lands_late_as_in_no_such_time_of_training(rows: pd.DataFrame) -> None:
    """Over 24 days in August, and on two snowy days: the model sees the departure, and not the way."""
    on_time = rows[(rows["dep_delay"] <= data.LATE_MINUTES) & rows["delay"].notna()]
    late = (on_time["delay"] > data.LATE_MINUTES).groupby(on_time["day"]).agg(["sum", "size"])
    share, month = late["sum"] / late["size"], late["sum"].rolling(24).sum() / late["size"].rolling(24).sum()
    assert during(month, THUNDER)["2013-08-13":].min() > month[TRAINED].max()
    assert (during(share, SNOW) > share[TRAINED].max()).sum() == 2


@pytest.mark.parametrize(("happening", "fewer"), [(INDEPENDENCE, 0.1), (THANKSGIVING, 0.3), (CHRISTMAS, 0.2)])
def test_holidays_are_emptier_than_any_such_weekday_of_training(
    rows: pd.DataFrame, happening: Happening, fewer: float
) -> None:
    """The holiday itself and the day beside it: hours with fewer departures, and so many fewer flights."""
    busy, flights = rows.groupby("day")["departures"].mean(), rows.groupby("day").size()
    for day in (happening.first, happening.first + DAY):
        known = busy[TRAINED]
        assert busy[day] < known[known.index.day_of_week == day.day_of_week].min()
    assert during(flights, happening).min() < (1.0 - fewer) * flights[TRAINED].median()


def test_the_haze_lasts_longer_than_any_of_training(rows: pd.DataFrame) -> None:
    """Over four and over eight days nearly twice as much of 7 to 9 miles as training's worst."""
    hazy = daily(rows, rows["visib"].between(6.5, 9.5))
    for days, last in ((4, HAZE.last), (8, HAZE.last)):
        pooled = hazy.rolling(days).mean()
        assert pooled[last] > 1.8 * pooled[TRAINED].max()


def test_the_weather_ends_before_the_flights_do(rows: pd.DataFrame) -> None:
    """Readings stop on 30 December; six hours later no flight has one."""
    gone = daily(rows, rows["visib"].isna())
    assert gone["2013-12-31"] > 0.99
    assert gone[: WEATHER_ENDS.first - DAY].max() < 0.3


def test_in_the_rush_more_flights_leave_late_than_in_any_eight_days_of_training(rows: pd.DataFrame) -> None:
    """By five minutes to an hour."""
    late = daily(rows, rows["dep_delay"].between(5, 60, inclusive="right")).rolling(8).mean()
    assert during(late, RUSH)["2013-12-19":"2013-12-24"].min() > late[TRAINED].max()


def test_from_september_on_airlines_fly_other_routes(rows: pd.DataFrame) -> None:
    """Every week's mix of origin, airline and distance is further from training than any of training's own weeks."""
    week = rows["day"].dt.to_period("W").dt.start_time
    mix = rows.groupby([week, "origin", "carrier", "distance"]).size().unstack(level=0, fill_value=0)
    mix = mix / mix.sum()
    own = [start for start in mix if start + WEEK <= data.REPLAY_FROM]

    def moved(start: pd.Timestamp) -> float:
        return float((mix[start] - mix[[w for w in own if w != start]].mean(axis=1)).abs().sum() / 2)

    later = [start for start in mix if ROUTES_CHANGE.first <= start <= ROUTES_CHANGE.last]
    assert min(map(moved, later)) > max(map(moved, own))


def alarm(day: str, *names: str, horizon: int = 1) -> Alarm:
    told = pd.Timestamp(day) + DAY
    subjects = tuple(Subject(name, "drift", 0.5, horizon) for name in names)
    return Alarm(day, FIRING, "data_drift", "WARN", subjects, pd.Timestamp(day), told, "words")


def test_an_alarm_is_explained_by_what_shows_in_its_values_and_days() -> None:
    """Another value, a value more, a day before or too long after: no cause is known."""
    assert cause(alarm("2013-12-05", "visib")) is HAZE
    assert cause(alarm("2013-12-11", "visib", horizon=8)) is HAZE
    assert cause(alarm("2013-12-11", "visib")) is None
    assert cause(alarm("2013-12-01", "visib", horizon=8)) is None
    assert cause(alarm("2013-12-03", "visib", "latency")) is None
    assert cause(alarm("2013-11-28", "row")) is THANKSGIVING
    assert cause(alarm("2013-09-20", "row", horizon=8)) is ROUTES_CHANGE
