"""What the demo breaks, and that it breaks nothing else."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest

from examples.flights import faults

ROWS = pd.DataFrame({"distance": [200.0, 2475.0], "carrier": ["UA", "B6"], "dep_delay": [1.0, 2.0]})


@pytest.mark.parametrize("time", ["2013-08-11 23:00", "2013-08-19 00:00", "2013-11-20 12:00"])
def test_outside_its_days_a_fault_changes_nothing(time: str) -> None:
    """The frame itself comes back, also while the server is slow: that one is not in the data."""
    assert faults.corrupt(ROWS, pd.Timestamp(time)) is ROWS


@pytest.mark.parametrize("time", ["2013-08-12 00:00", "2013-08-18 23:00"])
def test_miles_become_whole_kilometres(time: str) -> None:
    """Distances only, from the first hour of the first day to the last of the last."""
    broken = faults.corrupt(ROWS, pd.Timestamp(time))
    assert list(broken["distance"]) == [322.0, 3983.0]
    assert broken.drop(columns="distance").equals(ROWS.drop(columns="distance"))


def test_carriers_change_their_codes() -> None:
    """Every airline of the data has another code; no other column changes."""
    broken = faults.corrupt(ROWS, pd.Timestamp("2013-10-03 05:00"))
    assert list(broken["carrier"]) == ["UAL", "JBU"]
    assert broken.drop(columns="carrier").equals(ROWS.drop(columns="carrier"))
    assert not set(faults.ICAO) & set(faults.ICAO.values())


def test_the_server_slows_on_its_days_only() -> None:
    """Eight times, then as before."""
    days = ("2013-11-18 23:00", "2013-11-19 00:00", "2013-11-23 23:00", "2013-11-24 00:00")
    assert [faults.slow_factor(pd.Timestamp(day)) for day in days] == [1.0, 8.0, 8.0, 1.0]


def test_works_at_the_gates_add_to_what_came_of_it() -> None:
    """Twenty minutes on those days, whatever the model was told; a flight that was just in time is late then."""
    days = pd.to_datetime(["2013-09-15 23:00", "2013-09-16 05:00", "2013-09-16 06:00", "2013-09-23 00:00"])
    landed = pd.DataFrame({"time": days, "delay": [15.0, 15.0, -6.0, 0.0]})
    assert list(faults.late(landed)) == [False, True, False, False]


def test_faults_come_one_after_another() -> None:
    """Never two at once, so that each alarm has one cause."""
    assert all(before.end < after.first for before, after in pairwise(faults.FAULTS))
