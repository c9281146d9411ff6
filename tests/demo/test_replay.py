"""The order in which flights, faults and truths go out."""

from __future__ import annotations

import pandas as pd

from examples.flights import data
from examples.flights.replay import flight_ids, nanoseconds, play


class Heard:
    """A model server and a label sink that remember what they were given, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.frames: list[pd.DataFrame] = []

    def predict(self, ids: list[str], times: list[int], features: pd.DataFrame) -> None:
        assert len(ids) == len(times) == len(features)
        self.calls.append(("predict", ids))
        self.frames.append(features)

    def slow(self, factor: float) -> None:
        self.calls.append(("slow", factor))

    def label(self, ids: list[str], late: list[str], times: list[int]) -> None:
        self.calls.append(("label", list(zip(ids, late, strict=True))))


def rows(*flights: tuple[str, str | None, float | None]) -> pd.DataFrame:
    """(left, landed, minutes of delay) each."""
    frame = pd.DataFrame(flights, columns=["time", "landed", "delay"])
    frame[["time", "landed"]] = frame[["time", "landed"]].astype("datetime64[us]")
    frame["delay"] = frame["delay"].astype("float64")
    features = dict.fromkeys(data.NUMBERS, 1.0) | dict.fromkeys(data.TEXTS, "UA")
    return frame.assign(id=range(len(frame)), **features)


def replayed(frame: pd.DataFrame) -> tuple[Heard, list[int]]:
    heard = Heard()
    labelled = [progress.labelled for progress in play(frame, heard, heard.label)]
    return heard, labelled


def test_an_hour_of_flights_is_a_batch_and_truth_comes_after_landing() -> None:
    """The label goes out with the first hour that begins after the landing, and the rest at the end."""
    heard, labelled = replayed(rows(
        ("2013-07-01 05:10", "2013-07-01 06:20", 16.0),
        ("2013-07-01 05:50", "2013-07-01 09:00", 15.0),
        ("2013-07-01 06:30", "2013-07-01 07:30", -3.0),
        ("2013-07-01 07:00", None, None),
    ))  # fmt: skip
    assert heard.calls == [
        ("predict", ["flight-000000", "flight-000001"]),
        ("predict", ["flight-000002"]),
        ("label", [("flight-000000", "late")]),
        ("predict", ["flight-000003"]),
        ("label", [("flight-000002", "on time")]),
        ("label", [("flight-000001", "on time")]),
    ]
    assert labelled[-1] == 3


def test_the_server_is_slowed_once_and_released_once() -> None:
    """By the hour of the flights, not by the machine's clock."""
    heard, _ = replayed(rows(
        ("2013-11-18 22:10", None, None), ("2013-11-19 05:10", None, None),
        ("2013-11-19 06:10", None, None), ("2013-11-24 05:10", None, None),
    ))  # fmt: skip
    assert [name for name, _ in heard.calls] == ["predict", "slow", "predict", "predict", "slow", "predict"]
    assert [value for name, value in heard.calls if name == "slow"] == [8.0, 1.0]


def test_the_broken_feed_reaches_the_server() -> None:
    """A batch of the kilometre days arrives in kilometres, without another column."""
    heard, _ = replayed(rows(("2013-08-12 05:10", None, None)))
    assert list(heard.frames[0].columns) == list(data.FEATURES)
    assert heard.frames[0]["distance"].iloc[0] == 2.0


def test_progress_counts_every_row() -> None:
    """The last word is all of them."""
    frame = rows(("2013-07-01 05:10", None, None), ("2013-07-02 05:10", None, None))
    heard = Heard()
    assert [progress.share for progress in play(frame, heard, heard.label)] == [0.5, 1.0, 1.0]


def test_ids_and_times() -> None:
    """Ids sort as numbers do; times are nanoseconds whatever unit the frame has."""
    frame = rows(("2013-07-01 00:00", None, None))
    assert flight_ids(frame) == ["flight-000000"]
    assert nanoseconds(frame["time"]) == [1_372_636_800_000_000_000]
