"""One history of a world through the product's own code: a reference, then windows that close, are judged and alert.

What the pipeline does at a close, without the door, the journal and the disk.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from agent.alerting.book import AlertBook, WindowContext
from agent.alerting.machine import advance, explained
from agent.alerting.rules import state_finding
from agent.alerting.wording import FIRING
from agent.config import Settings
from agent.counting.windows import Series
from agent.evaluate import Judge
from agent.ledger import Dial
from agent.records import AlertState, Batch, Finding
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.watching import Watch
from calibration.cells import FIRST, Cell, Windows
from calibration.parquet import build_reference
from calibration.worlds import MODEL, WINDOW_NS, WINDOW_SECONDS

WITHIN = 24  # windows in which a change is to be found
BETWEEN = 6  # quiet windows between two trials of a change


@dataclass(frozen=True, slots=True)
class Run:
    """One reference. alerts: that fired, by name; checks: findings (a value in a window) that alarmed, by check.

    features: values with cells, projections among them. found: of each trial, windows from the change to the alert that
    names the changed value; 0: not within WITHIN.
    """

    seed: int
    windows: int
    features: int
    alerts: dict[str, int] = field(default_factory=dict)
    checks: dict[str, int] = field(default_factory=dict)
    found: Sequence[int] = ()
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
    """A series and all that watches it. Without a reference it learns one, from so many windows. dial: a day."""

    def __init__(
        self, reference: Reference | None, learn_windows: int = 0, judge: Judge | None = None,
        dial: float = Dial().false_alarms_per_day,
    ) -> None:  # fmt: skip
        learner = None
        if reference is None:
            learner = Learner(blank(MODEL.name, MODEL.version, WINDOW_SECONDS), learn_windows=learn_windows)
        segments = () if reference is None else reference.segments
        self.watch = Watch(Series(MODEL, WINDOW_NS, reference, learner, segments), judge)
        self._settings = _settings(dial)
        if judge is None and reference is not None:
            self.watch.judge = Judge(reference, Dial(dial), WINDOW_SECONDS)
        self.book = AlertBook()
        self.alerts: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self._failures = _Failures()

    @property
    def reference(self) -> Reference:
        """What is judged by; there is one."""
        found = self.watch.series.reference
        if found is None:
            raise AssertionError("no reference was learned")
        return found

    def branch(self) -> Sidecar:
        """Another future from here on: counts and alerts of its own, the same reference and judge."""
        series = self.watch.series  # its sketches of numbers are shown and never judged: one for all will do
        shared = (self.watch.judge, series.reference, series.numbers, self._failures, self._settings)
        return deepcopy(self, {id(part): part for part in shared if part is not None})

    def hour(self, batch: Batch | None, index: int) -> None:
        """One window: counted, closed, judged."""
        if batch is not None:
            self.watch.series.add(batch, False)
        self.close(index)
        for finding in self.watch.judge_silence(self._settings, (index + 1) * WINDOW_NS, []):
            if finding.alarms:
                last = finding.first_window + finding.horizon - 1
                self._advance([state_finding("no_data", True, finding.reason, last)], last, 0)

    def close(self, index: int) -> None:
        """Everything up to the end of this window is closed, and alerts take their step."""
        series = self.watch.series
        for due in list(series.due((index + 1) * WINDOW_NS)):
            self._close(due)
        learner = series.learner
        if learner is not None and learner.ready is not None:
            series.adopt(learner.ready, learner.ready.origin)
            self.watch.judge = Judge(learner.ready, Dial(self._settings.false_alarms_per_day), WINDOW_SECONDS)

    def _close(self, index: int) -> None:
        series = self.watch.series
        closed = series.close(index)
        findings: list[Finding] = []
        if self.watch.judge is not None:
            findings = [finding for part in self.watch.judge.judge(list(series.recent)) for finding in part]
            self._failures.look()
        findings += self.watch.judge_latency(self._settings, index)
        findings += self.watch.judge_traffic(self._settings, closed, ())
        findings.append(state_finding("no_data", False, "", index))
        self._advance(findings, index, closed.rows)

    def _advance(self, findings: Sequence[Finding], index: int, rows: int) -> None:
        self.checks.update(f.check for f in explained(self.book, findings, MODEL) if f.alarms)
        context = WindowContext(MODEL, index, index * WINDOW_NS, (index + 1) * WINDOW_NS, rows)
        self.book, changes = advance(self.book, findings, context)
        for change in changes:
            if change.event is not None and change.event.name == FIRING:
                self.alerts[change.alert] += 1
            for source, subject in change.forget:
                self.watch.series.forget(source, subject)

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


def run(cell: Cell, seed: int) -> Run:
    """One reference and what came after it. The same cell and seed give the same run, but for the time it took."""
    began = time.process_time()
    stream = cell.stream(seed)
    start = FIRST + cell.blocks
    sidecar = begun(cell, [(index, stream.window(index, cell.n, None)) for index in range(FIRST, start)])
    after = _watch(sidecar, stream, cell, (start, cell.live_windows))
    alerts, checks = dict(sidecar.alerts), dict(sidecar.checks)
    found = _trials(sidecar, stream, cell, after) if cell.change is not None else ()
    features = len(sidecar.reference.layout.features)
    return Run(seed, after - start, features, alerts, checks, found, time.process_time() - began)


def begun(cell: Cell, windows: Sequence[tuple[int, Batch | None]]) -> Sidecar:
    """With a reference, come by as a user comes by it: learned from these windows, or built from a file of them."""
    rows = [(index, batch) for index, batch in windows if batch is not None]
    if cell.made == "file":
        with tempfile.TemporaryDirectory() as folder:
            return Sidecar(build_reference(rows, Path(folder)), dial=cell.dial)
    sidecar = Sidecar(None, len(rows), dial=cell.dial)
    for index, batch in windows:
        sidecar.hour(batch, index)
    sidecar.alerts.clear()  # its days are counted from here
    sidecar.checks.clear()
    return sidecar


def _trials(sidecar: Sidecar, stream: Windows, cell: Cell, start: int) -> tuple[int, ...]:
    """The change from here on, then from some quiet windows later, and so on: what each trial came to."""
    found = []
    for trial in range(cell.trials):
        after = _watch(sidecar, stream, cell, (start, BETWEEN)) if trial else start
        changed = ((index, stream.window(index, cell.n, cell.change)) for index in range(after, after + WITHIN))
        found.append(sidecar.branch().until_named(cell.subject, changed))
        start = after
    return tuple(found)


def _watch(sidecar: Sidecar, stream: Windows, cell: Cell, span: tuple[int, int]) -> int:
    """So many quiet windows from an index on; the index after them, earlier where the data end."""
    start, windows = span
    for index in range(start, start + windows):
        try:
            sidecar.hour(stream.window(index, cell.n, None), index)
        except EOFError:
            return index
    return start + windows


@cache
def _settings(dial: float) -> Settings:
    """The defaults but for the dial, whatever the environment says."""
    defaults = {name: field.default for name, field in Settings.fields.items()}
    return Settings(**(defaults | {"false_alarms_per_day": dial}))
