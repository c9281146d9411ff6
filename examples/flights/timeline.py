"""The half year as one strip: how far the replay is, what was injected, what the agent said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from rich.text import Text

from examples.flights.data import REPLAY_FROM
from examples.flights.faults import FAULTS
from examples.flights.status import Alarm
from examples.flights.summary import names

DAYS = 184  # July to December
LABEL = 10
SHORT = {"distance": "kilometres", "carrier": "codes", "latency": "slow", "concept_drift": "gates"}
QUIET, ACCENT, FAULT, ALARM, OTHER = "grey50", "cyan", "yellow", "bold red", "default"


@dataclass(frozen=True, slots=True)
class Scale:
    """Days of the replay to columns of the screen."""

    columns: int

    def column(self, day: pd.Timestamp) -> int:
        share = (day - REPLAY_FROM) / pd.Timedelta(days=DAYS)
        return min(self.columns - 1, max(0, int(share * self.columns)))


def timeline(now: pd.Timestamp, alarms: Sequence[Alarm], width: int) -> list[Text]:
    """Four rows: months, progress, faults, alerts. width: columns in all, the labels' included."""
    scale = Scale(width - LABEL)
    return [_months(scale), _progress(scale, now), _injected(scale, now), _said(scale, alarms)]


def _row(label: str) -> Text:
    return Text(label.ljust(LABEL), style=QUIET, no_wrap=True, overflow="crop")


def _months(scale: Scale) -> Text:
    line = [" "] * scale.columns
    for first in pd.date_range(REPLAY_FROM, periods=6, freq="MS"):
        at = scale.column(first)
        line[at : at + 3] = f"{first:%b}"
    return _row("").append("".join(line)[: scale.columns], style=QUIET)


def _progress(scale: Scale, now: pd.Timestamp) -> Text:
    done = scale.column(now)
    return _row("").append("━" * done + "╸", style=ACCENT).append("━" * (scale.columns - done - 1), style="grey23")


def _injected(scale: Scale, now: pd.Timestamp) -> Text:
    row, at = _row("injected"), 0
    for fault in FAULTS:
        first, last = scale.column(fault.first), scale.column(fault.last)
        style = FAULT if now >= fault.first else "grey35"
        name = f" {SHORT[fault.subject]}"
        row.append(" " * (first - at)).append("█" * (last - first + 1) + name, style=style)
        at = last + 1 + len(name)
    return row


def _said(scale: Scale, alarms: Sequence[Alarm]) -> Text:
    """A full mark where an alert names what was injected, a hollow one for every other."""
    marks: dict[int, bool] = {}
    for alarm in alarms:
        at = scale.column(alarm.day)
        marks[at] = marks.get(at, False) or expected(alarm)
    row = _row("alerts")
    at = 0
    for column, known in sorted(marks.items()):
        row.append(" " * (column - at)).append("▲" if known else "△", style=ALARM if known else OTHER)
        at = column + 1
    return row


def expected(alarm: Alarm) -> bool:
    """Whether it names something injected at that time."""
    return any(names(alarm, fault) for fault in FAULTS)
