"""Where pictures go: a live terminal, plain lines, a file for the documentation."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live

from examples.flights.faults import FAULTS
from examples.flights.view import Frame, alarm_line, day

Show = Callable[[Frame], None]


@contextmanager
def shown(console: Console, svg: Path | None = None) -> Iterator[Show]:
    """The live view, or plain lines where nobody looks at a terminal; and one picture in `svg`, if asked for."""
    shows = [] if svg is None else [Snapshot(svg).show]
    if not console.is_terminal:
        yield _all([*shows, Lines(console).show])
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield _all([*shows, Pictures(live).show])


def _all(shows: list[Show]) -> Show:
    def show(frame: Frame) -> None:
        for one in shows:
            one(frame)

    return show


class Pictures:
    """The live view, drawn a few times a second."""

    FRAME_SECONDS = 0.2

    def __init__(self, live: Live) -> None:
        self._live = live
        self._next = 0.0

    def show(self, frame: Frame) -> None:
        if time.monotonic() >= self._next:
            self._live.update(frame, refresh=True)
            self._next = time.monotonic() + self.FRAME_SECONDS


class Lines:
    """A line a month, and one for each alert."""

    WIDTH = 200

    def __init__(self, console: Console) -> None:
        self._console = console
        self._month = 0
        self._told: set[str] = set()

    def show(self, frame: Frame) -> None:
        now = frame.progress.time
        if now.month != self._month:
            self._month = now.month
            closed = frame.status.windows_closed
            self._console.print(f"{day(now)}  {frame.progress.sent:,} predictions sent, {closed} windows closed")
        for alarm in frame.alarms:
            if alarm.key not in self._told:
                self._told.add(alarm.key)
                self._console.print(alarm_line(alarm, self.WIDTH), soft_wrap=True)


class Snapshot:
    """One frame of the run as SVG: the first after the second day of the last fault."""

    WIDTH, HEIGHT = 100, 28

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken = False

    def show(self, frame: Frame) -> None:
        if self._taken or (frame.progress.time - FAULTS[-1].first).days < 2:
            return
        self._taken = True
        console = Console(width=self.WIDTH, height=self.HEIGHT, record=True, file=io.StringIO(), force_terminal=True)
        console.print(frame)
        svg = console.export_svg(title="make demo")
        # Without the web fonts: the picture asks nobody for anything.
        self._path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))
