"""The picture fits the terminal, whatever it shows."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from rich.text import Text

from examples.flights.replay import Progress
from examples.flights.screens import Lines, Snapshot, shown
from examples.flights.status import FIRING, Alarm, Drift, Status, Subject
from examples.flights.timeline import Scale, timeline
from examples.flights.view import Frame


def alarm(day: str, name: str) -> Alarm:
    told = pd.Timestamp(day) + pd.Timedelta(days=1)
    return Alarm(day, FIRING, "data_drift", "WARN", (Subject(name, "drift", 0.5, 1),), pd.Timestamp(day), told, "words")


DRIFT = tuple(Drift(f"a feature with a long name {i}", 9.0, "below the effect floor", 0.3) for i in range(40))
ALARMS = tuple(alarm(f"2013-07-{day:02}", "a feature with a name far too long for its line") for day in range(1, 31))


def frame(time: str, alarms: tuple[Alarm, ...] = (), drift: tuple[Drift, ...] = ()) -> Frame:
    return Frame(Progress(pd.Timestamp(time), 5, 4, 10), Status(drift=drift), 2_000.0, alarms, "note " * 60)


def lines(width: int, height: int, shown_frame: Frame) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(shown_frame)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 18), (200, 60)])
@pytest.mark.parametrize("full", [False, True])
def test_a_picture_fits_its_terminal(width: int, height: int, full: bool) -> None:
    """Empty or overfull: never a line too many or too long."""
    drawn = lines(width, height, frame("2013-10-02", ALARMS, DRIFT) if full else frame("2013-07-01"))
    assert len(drawn) <= height
    assert max(len(line) for line in drawn) <= width


def test_the_newest_alert_stands_first_and_what_was_injected_is_marked() -> None:
    """▲ for the fault, △ for another; in the strip and in the list."""
    drawn = lines(80, 24, frame("2013-08-20", (alarm("2013-07-10", "hour"), alarm("2013-08-12", "distance"))))
    listed = [line.strip() for line in drawn if "PSI" in line]
    assert [line[0] for line in listed] == ["▲", "△"]
    strip = next(line for line in drawn if line.strip().startswith("alerts") and "▲" in line)
    assert strip.index("△") < strip.index("▲")


def test_an_alarming_value_goes_before_all_others() -> None:
    """Then by how near the others are to an alarm."""
    three = (Drift("calm", 0.9, "", 0.1), Drift("near", 0.1, "", 0.9), Drift("loud", 0.02, "alarm", 1.0))
    drawn = "\n".join(lines(80, 24, frame("2013-08-20", drift=three)))
    assert drawn.index("loud") < drawn.index("near") < drawn.index("calm")


@pytest.mark.parametrize("day", ["2013-07-01", "2013-12-31 23:00", "2014-01-01 00:40"])
def test_the_strip_holds_every_day(day: str) -> None:
    """From the first hour to the delayed flight after the last midnight, no column outside."""
    rows: list[Text] = timeline(pd.Timestamp(day), (alarm(day[:10], "hour"),), 80)
    assert max(row.cell_len for row in rows) <= 80
    assert 0 <= Scale(70).column(pd.Timestamp(day)) < 70


def test_without_a_terminal_there_are_lines() -> None:
    """One a month and one an alert, each once."""
    console = Console(file=io.StringIO(), width=100)
    with shown(console) as show:
        for _ in range(3):
            show(frame("2013-08-20", (alarm("2013-08-12", "distance"),)))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue().splitlines()
    assert len(said) == 2
    assert "distance" in said[1]


def test_lines_are_not_broken() -> None:
    """However narrow the log is, an alert is one line of it."""
    console = Console(file=io.StringIO(), width=20)
    Lines(console).show(frame("2013-08-20", (alarm("2013-08-12", "distance"),)))
    assert isinstance(console.file, io.StringIO)
    assert any("distance, PSI" in line for line in console.file.getvalue().splitlines())


def test_one_picture_is_saved_late_in_the_run(tmp_path: Path) -> None:
    """Not before the last fault could have been found; then once."""
    path = tmp_path / "demo.svg"
    snapshot = Snapshot(path)
    snapshot.show(frame("2013-11-20"))
    assert not path.exists()
    snapshot.show(frame("2013-11-21"))
    first = path.read_bytes()
    snapshot.show(frame("2013-12-24"))
    assert path.read_bytes() == first
