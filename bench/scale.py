"""How much is measured: the form for the report, and a tiny one that only shows that everything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".bench"


@dataclass(frozen=True, slots=True)
class Scale:
    """repeats: of everything taken in turns. messages, calls: of one repeat. seconds: of the paced parts."""

    repeats: int = 5
    bulk_messages: int = 800
    row_messages: int = 200
    calls: int = 1500
    client_calls: int = 10_000
    predictions: int = 2000
    wide: int = 200  # features of the wide model
    window_seconds: float = 2.0
    closings: int = 26  # windows of the wide model
    resident_seconds: float = 28.0  # one-second windows: longer than the longest horizon
    starts: int = 5
    peer: bool = True
    soak_seconds: float = 0.0
    waiting: int = 10_000_000  # predictions that wait for their label
    joined: int = 591_000  # labels: three times as many as are looked up at once
    export_seconds: float = 15.0  # between two exports, and what one repeat beside them lasts


DEFAULT = Scale()
TINY = Scale(
    repeats=1,
    bulk_messages=4,
    row_messages=2,
    calls=5,
    client_calls=50,
    predictions=20,
    wide=6,
    window_seconds=0.5,
    closings=2,
    resident_seconds=0.5,
    starts=1,
    peer=False,
    waiting=2_000,
    joined=1_000,
    export_seconds=1.0,
)
