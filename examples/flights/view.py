"""One picture of the running demo, drawn to fit the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

from examples.flights.replay import Progress
from examples.flights.status import Alarm, Drift, Status
from examples.flights.timeline import ACCENT, ALARM, OTHER, QUIET, expected, timeline

WIDE = 108  # from here on drift and alerts stand side by side
NAME, BAR, EFFECT, VERDICT = 12, 12, 6, 22
DRIFT = NAME + BAR + 2 + EFFECT + 2 + VERDICT
FIXED_ROWS = 12  # everything but drift and alerts


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything one picture shows. rate: predictions the agent took a second; note: the last line."""

    progress: Progress
    status: Status
    rate: float
    alarms: Sequence[Alarm]
    note: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width - 2, options.height or console.height
        yield Padding(Text("\n").join(_cut(line, width) for line in self.lines(width, height)), (0, 1))

    def lines(self, width: int, height: int) -> list[Text]:
        """The picture, line by line; never more than `height` of them (but at least 18)."""
        free = max(6, height - FIXED_ROWS)
        return [
            _title(self.progress, width), Text(), *timeline(self.progress.time, self.alarms, width), Text(),
            *_figures(self, width), Text(), *_body(self, width, free), Text(), _foot(self, width),
        ]  # fmt: skip


def _title(progress: Progress, width: int) -> Text:
    left = Text.assemble(("sidelight", f"bold {ACCENT}"), ("  flights out of New York, July to December 2013", QUIET))
    right = Text.assemble((f"{day(progress.time)}  {progress.share:4.0%}", "bold"))
    left = _cut(left, max(1, width - right.cell_len - 1))
    return left.append(" " * max(1, width - left.cell_len - right.cell_len)).append_text(right)


def _figures(frame: Frame, width: int) -> list[Text]:
    status = frame.status
    figures = {
        "predictions": f"{status.kept:,}",
        "a second": f"{frame.rate:,.0f}",
        "labels": f"{status.labels:,}",
        "windows": f"{status.windows_closed}",
        "latency p50": milliseconds(status.p50),
        "latency p99": milliseconds(status.p99),
    }
    cell = width // len(figures)
    names, values = Text(style=QUIET), Text(style="bold")
    for name, value in figures.items():
        names.append(name.ljust(cell))
        values.append(value.ljust(cell))
    return [names, values]


def _body(frame: Frame, width: int, rows: int) -> list[Text]:
    """Drift and alerts: one above the other, or side by side where there is room."""
    if width < WIDE:
        upper = (rows - 1) // 2
        drift = _drift(frame.status.drift, width, upper)
        return [*drift, *[Text()] * (upper - len(drift) + 1), *_alerts(frame.alarms, width, rows - upper - 1)]
    column = DRIFT + 3
    return _beside(_drift(frame.status.drift, DRIFT, rows), _alerts(frame.alarms, width - column, rows), column, rows)


def _beside(left: list[Text], right: list[Text], column: int, rows: int) -> list[Text]:
    found = []
    for i in range(rows):
        one = left[i] if i < len(left) else Text()
        found.append(one.append(" " * (column - one.cell_len)).append_text(right[i] if i < len(right) else Text()))
    return found


def _drift(drift: Sequence[Drift], width: int, rows: int) -> list[Text]:
    """A heading and the most unusual, the alarming ones first."""
    ranked = sorted(drift, key=lambda d: (d.alarms, d.nearness), reverse=True)
    heading = Text(f"{'drift':{NAME}}{'to an alarm':{BAR}}  {'effect':>{EFFECT}}", style=QUIET)
    return [heading, *(_cut(drift_line(one), width) for one in ranked[: rows - 1])]


def drift_line(drift: Drift) -> Text:
    """Name, how near it is to an alarm, effect, verdict."""
    full, style = round(drift.nearness * BAR), ALARM if drift.alarms else ""
    effect = "–" if math.isnan(drift.effect) else f"{max(0.0, drift.effect):.3f}"
    return Text.assemble(
        (f"{drift.subject[:NAME - 1]:{NAME}}", style), ("▬" * full, style or ACCENT), ("▬" * (BAR - full), "grey23"),
        (f"  {effect:>{EFFECT}}", style), (f"  {drift.verdict}", style or QUIET),
    )  # fmt: skip


def _alerts(alarms: Sequence[Alarm], width: int, rows: int) -> list[Text]:
    """A heading and the newest."""
    heading = Text(f"alerts  {len(alarms) or 'none yet'}", style=QUIET)
    return [heading, *(alarm_line(alarm, width) for alarm in alarms[::-1][: rows - 1])]


def alarm_line(alarm: Alarm, width: int) -> Text:
    """▲ for what was injected, △ for everything else."""
    known = expected(alarm)
    style = ALARM if known else OTHER
    line = Text.assemble(("▲ " if known else "△ ", style), (f"{day(alarm.day)}  ", QUIET), (alarm.said, style))
    return _cut(line, width)


def _foot(frame: Frame, width: int) -> Text:
    return _cut(Text(frame.note, style=QUIET), width)


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line


def day(time: pd.Timestamp) -> str:
    """Six columns: " 4 Jul"."""
    return f"{time.day:2} {time:%b}"


def milliseconds(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{seconds * 1e3:.1f} ms"
