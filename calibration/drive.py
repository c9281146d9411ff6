"""One history of a world through the product's own code: a reference, then windows that close, are judged and alert.

What the pipeline does at a close, without the door, the journal and the disk.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.machine import advance, explained
from agent.alerting.wording import FIRING
from agent.evaluate import Judge
from agent.ledger import Dial
from agent.records import AlertState, Batch
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.windows import Series
from calibration.cells import FIRST, Cell, Windows
from calibration.parquet import build_reference
from calibration.worlds import MODEL, WINDOW_NS, WINDOW_SECONDS

DIAL = Dial()
WITHIN = 24  # windows in which a change is to be found


@dataclass(frozen=True, slots=True)
class Run:
    """One reference. alerts: that fired, by name; checks: findings (a value in a window) that alarmed, by check.

    features: values with cells, projections among them. found: windows from the change to the alert that names the
    changed value; 0: not within WITHIN, or no change.
    """

    seed: int
    windows: int
    features: int
    alerts: dict[str, int] = field(default_factory=dict)
    checks: dict[str, int] = field(default_factory=dict)
    found: int = 0
    cpu_seconds: float = 0.0

    @property
    def episodes(self) -> int:
        return sum(self.alerts.values())


class _Failures(logging.Handler):
    """A measure that fails is logged, and the agent goes on without it: silence that must not pass for calm."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._seen: list[logging.LogRecord] = []
        log = logging.getLogger("sidelight.evaluate")
        log.handlers, log.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        self._seen.append(record)

    def look(self) -> None:
        """Raises what a measure raised."""
        if self._seen:
            record = self._seen.pop()
            error = record.exc_info[1] if record.exc_info else None
            raise MeasureFailedError(f"{record.getMessage()}: {error!r}")


class MeasureFailedError(Exception):
    """A measure of the product raised."""


class Sidecar:
    """A series, its judge and its alerts."""

    def __init__(self, reference: Reference, dial: Dial = DIAL, judge: Judge | None = None) -> None:
        self.series = Series(MODEL, WINDOW_NS, reference, None, reference.segments)
        self.judge = judge or Judge(reference, dial, WINDOW_SECONDS)
        self.book = AlertBook()
        self.alerts: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.failures = _Failures()

    def hour(self, batch: Batch | None, index: int) -> None:
        """One window: counted, closed, judged."""
        if batch is None:
            return
        self.series.add(batch, False)
        self.close(index)

    def close(self, index: int) -> None:
        """Everything up to the end of this window is closed, and alerts take their step."""
        for due in list(self.series.due((index + 1) * WINDOW_NS)):
            self._judge(due)

    def _judge(self, index: int) -> None:
        closed = self.series.close(index)
        findings = [finding for part in self.judge.judge(list(self.series.recent)) for finding in part]
        self.failures.look()
        self.checks.update(f.check for f in explained(self.book, findings, MODEL) if f.alarms)
        self.book, changes = advance(self.book, findings, self._context(index, closed.rows))
        for change in changes:
            if change.event is not None and change.event.name == FIRING:
                self.alerts[change.alert] += 1
            for source, subject in change.forget:
                self.series.forget(source, subject)

    def until_named(self, subject: str, windows: Iterable[tuple[int, Batch | None]]) -> int:
        """Windows until an alert names this value, at least 1; 0: none of them did."""
        for number, (index, batch) in enumerate(windows, 1):
            self.hour(batch, index)
            if self.names(subject):
                return number
        return 0

    def names(self, subject: str) -> bool:
        """Whether a firing alert is about this value; empty: about anything."""
        return any(
            alert.state is AlertState.FIRING and any(subject in ("", s.name) for s in alert.subjects)
            for alert in self.book.alerts
        )

    def _context(self, index: int, rows: int) -> WindowContext:
        return WindowContext(MODEL, index, index * WINDOW_NS, (index + 1) * WINDOW_NS, rows)


def run(cell: Cell, seed: int) -> Run:
    """One reference and what came after it. The same cell and seed give the same run, but for the time it took."""
    began = time.process_time()
    stream = cell.stream(seed)
    windows = [(FIRST + k, stream.window(FIRST + k, cell.n, None)) for k in range(cell.blocks)]
    sidecar = Sidecar(reference_of(cell, windows))
    start = FIRST + cell.blocks
    after = _watch(sidecar, stream, cell, start)
    alerts, checks = dict(sidecar.alerts), dict(sidecar.checks)
    found = 0
    if cell.change is not None:
        changed = ((index, stream.window(index, cell.n, cell.change)) for index in range(after, after + WITHIN))
        found = sidecar.until_named(cell.subject, changed)
    features = len(sidecar.judge.reference.layout.features)
    return Run(seed, after - start, features, alerts, checks, found, time.process_time() - began)


def _watch(sidecar: Sidecar, stream: Windows, cell: Cell, start: int) -> int:
    """The cell's quiet days; the index after them, earlier where the data end."""
    for index in range(start, start + cell.live_windows):
        try:
            sidecar.hour(stream.window(index, cell.n, None), index)
        except EOFError:
            return index
    return start + cell.live_windows


def reference_of(cell: Cell, windows: Sequence[tuple[int, Batch | None]]) -> Reference:
    """Made as a user makes it: learned from traffic, or built from a file."""
    rows = [(index, batch) for index, batch in windows if batch is not None]
    if cell.made == "file":
        with tempfile.TemporaryDirectory() as folder:
            return build_reference(rows, Path(folder))
    learner = Learner(blank(MODEL.name, MODEL.version, WINDOW_SECONDS), learn_windows=len(rows))
    for index, batch in rows:
        learner.add(batch, index)
        learner.close(index)
    if learner.ready is None:
        raise AssertionError(f"{cell.name}: no reference after {len(rows)} windows")
    return learner.ready
