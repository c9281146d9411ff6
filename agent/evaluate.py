"""For each closed window, every measure: a for loop."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from agent.config import Threshold
from agent.drift import Drift
from agent.drift.fixed import Cost, FixedDrift
from agent.drift.groups import Grouped
from agent.ledger import RUNNING, Dial, Ledger
from agent.quality.judge import Quality
from agent.records import Closed, Finding
from agent.reference.profile import Reference
from agent.segments import Segments, segment_tests

WINDOWS_TO_SAY = 3
log = logging.getLogger("sidelight.evaluate")


class Measure(Protocol):
    """Compares the newest windows with a reference; works in slices of at most 2 ms."""

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]: ...


class Judge:
    """All measures of one reference, made ready: takes some 100 ms, so build it in a thread."""

    def __init__(
        self, reference: Reference, dial: Dial, window_seconds: float, drift_rule: Sequence[Threshold] = (),
        further: Collection[str] = (),
    ) -> None:
        """drift_rule: fixed thresholds that take the calibrated rule's place; empty: calibrated. further: checks that
        run besides, and need their share of the dial."""
        self.reference = reference
        tests = segment_tests(reference)
        checks = (*RUNNING, *further, *(("segments",) if tests else ()))
        self.ledger = Ledger.of(replace(dial, segments=tests), reference.layout, window_seconds, checks)
        self.fixed = FixedDrift(reference, self.ledger, drift_rule) if drift_rule else None
        self._said = False
        if self.fixed:
            usual = float(reference.rows.mean()) if reference.rows.size else 0.0
            self._tell(self.fixed.price(round(usual * window_seconds / reference.layout.window_seconds)), "expected")
        self.calibrated = None if self.fixed else Drift(reference, self.ledger)
        judging = self.fixed or self.calibrated
        assert judging is not None  # noqa: S101 - one of the two
        drift = Grouped(judging, reference.layout, reference.pooled)
        self.segments = Segments(reference, self.ledger)
        self.measures: tuple[Measure, ...] = (drift, Quality(reference, self.ledger), self.segments)

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """Findings on the newest of `recent`, slice by slice. A measure that fails is logged and the others go on."""
        for measure in self.measures:
            try:
                yield from measure.judge(recent)
            except Exception:
                log.exception("measure_failed measure=%s", type(measure).__name__)
        self._say_cost(len(recent))

    def _say_cost(self, windows: int) -> None:
        """Once more, as soon as rows are known: what the user's own threshold costs in false alarms. A first window is
        seldom whole, and its rows would say too much."""
        cost = self.fixed.cost if self.fixed else None
        if cost is None or self._said or windows < WINDOWS_TO_SAY:
            return
        self._said = True
        self._tell(cost, "seen")

    def _tell(self, cost: Cost, rows: str) -> None:
        """rows: expected, as the reference's windows have, before any came; or seen."""
        log.warning(
            "fixed_drift_rule model=%r rule=%s rows=%d (%s) reference_rows=%d features=%d false_alarms_per_day=%.3g",
            self.reference.model, cost.rule, cost.rows, rows, int(self.reference.rows.sum()), cost.features,
            cost.false_alarms_per_day,
        )  # fmt: skip
