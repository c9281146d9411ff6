"""What a cell's runs come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from calibration.cells import Cell
from calibration.rates import Rate, median, rate_of
from calibration.schedule import Task
from calibration.worlds import DAY

FOUND_MIN = 0.8  # share of changes with a promised delay that must be found


@dataclass(frozen=True, slots=True)
class Null:
    """A cell in which nothing happened. rate: of alerts; findings: of drift, a value that alarmed in a window each.
    Both are None where it could not run, and `why`; raised: a measure did."""

    cell: Cell
    rate: Rate | None
    findings: Rate | None
    alerts: Counter[str]
    checks: Counter[str]
    features: int
    why: str = ""
    raised: bool = False

    @property
    def limit(self) -> float:
        """Episodes a day; 0: shown only."""
        return self.cell.limit * self.cell.dial

    @property
    def failed(self) -> bool:
        over = self.rate is not None and self.limit > 0.0 and self.rate.fails(self.limit)
        return self.raised or over


@dataclass(frozen=True, slots=True)
class Found:
    """A change. delays: windows, of each trial; 0: not within the time. references: on which they were made."""

    cell: Cell
    delays: tuple[int, ...]
    references: int

    @property
    def share(self) -> float:
        return sum(d > 0 for d in self.delays) / len(self.delays)

    @property
    def kept(self) -> float:
        """Share found within the promised windows."""
        return sum(0 < d <= self.cell.expected for d in self.delays) / len(self.delays)

    @property
    def median(self) -> float:
        return median(self.delays)

    @property
    def failed(self) -> bool:
        """Promised, and missed or found more than twice (and more than a window) too late."""
        promised = self.cell.expected
        late = self.median > max(2.0 * promised, promised + 1.0)
        return promised > 0.0 and (late or self.share < FOUND_MIN)


def null_of(task: Task) -> Null:
    alerts: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    for run in task.runs:
        alerts.update(run.alerts)
        checks.update(run.checks)
    counts = [(run.episodes, run.windows / DAY) for run in task.runs]
    drift = [(run.checks.get("drift", 0), run.windows / DAY) for run in task.runs]
    features = max((run.features for run in task.runs), default=0)
    rate, findings = (rate_of(counts), rate_of(drift)) if counts else (None, None)
    return Null(task.cell, rate, findings, alerts, checks, features, task.broken, task.failed)


def found_of(task: Task) -> Found:
    return Found(task.cell, tuple(delay for run in task.runs for delay in run.found), len(task.runs))


def pooled(nulls: Sequence[Null], cells: str) -> tuple[float, int]:
    """Days and episodes of all cells whose name begins so."""
    chosen = [null.rate for null in nulls if null.rate is not None and null.cell.name.startswith(cells)]
    return math.fsum(rate.days for rate in chosen), sum(rate.episodes for rate in chosen)
