"""The ledger and the power as one plain dictionary: what `sidelight ledger --json` prints and the status shortens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.drift.fixed import Cost
from agent.evaluate import Judge
from agent.ledger import CHECKS
from agent.power.rates import rate_sights
from agent.power.segments import segment_sights
from agent.power.shifts import drift_sights
from agent.power.sight import Sight
from agent.records import Source

DAY_SECONDS = 86_400.0
HORIZONS_OF = {check.name: list(check.horizons) for check in CHECKS}  # windows judged together, a test each


def describe(judge: Judge, rows: float, service: Sequence[Sight] = (), assumed: str = "") -> dict[str, Any]:
    """For windows of so many rows. service: what the checks of the service itself see; assumed: what these suppose.

    Takes some 300 ms for 200 features: run it in a thread, once.

    split: a line for each part of the dial; sights: a line for each feature and check; headline: one sentence.
    """
    reference, ledger, drift = judge.reference, judge.ledger, judge.calibrated
    sights = [
        *(drift_sights(drift, reference, rows) if drift else ()), *rate_sights(reference, ledger, rows), *service,
        *segment_sights(judge.segments, reference, rows),
    ]  # fmt: skip
    return {
        "model": reference.model,
        "version": reference.version,
        "reference": {"hash": reference.hash_text, "rows": int(reference.rows.sum()), "windows": len(reference.rows)},
        "dial": {
            "false_alarms_per_day": ledger.dial.false_alarms_per_day,
            "replicas": ledger.dial.replicas,
            "versions": ledger.dial.versions,
            "segments": ledger.dial.segments,
        },
        "window_seconds": ledger.window_seconds,
        "rows_per_window": rows,
        "split": [
            {
                "check": row.check, "group": row.group, "share": row.share, "alpha": row.alpha,
                "tests_per_day": row.tests_per_day, "windows": HORIZONS_OF[row.check],
            }
            for row in ledger.rows()
        ],
        "sights": [line(sight, ledger.window_seconds) for sight in sights],
        "assumed": assumed,
        "headline": headline(sights, ledger.window_seconds),
        "smallest_shift": smallest_shift(sights, ledger.window_seconds),
    }  # fmt: skip


def cost_of(cost: Cost | None) -> dict[str, Any] | None:
    """What a fixed drift rule costs, where there is one and a window has been judged by it."""
    if cost is None:
        return None
    return {
        "rule": cost.rule,
        "rows": cost.rows,
        "features": cost.features,
        "false_alarms_per_day": cost.false_alarms_per_day,
    }


def smallest_shift(sights: Sequence[Sight], window_seconds: float) -> float | None:
    """The median input's, within a day, in σ; None: none would be seen."""
    found = _within_a_day(_inputs(sights), window_seconds)
    return sorted(found)[len(found) // 2] if found else None


def headline(sights: Sequence[Sight], window_seconds: float) -> str:
    """The power in a sentence: the median input's smallest shift within a day, and how many inputs are not seen.

    >>> from agent.power.sight import Seen
    >>> headline([Sight("drift", "age", Source.FEATURE, "σ", seen=(Seen(1, 0.3), Seen(4, 0.14)))], 3600.0)
    'smallest shift seen within a day: 0.14 σ (median of 1 input)'
    """
    inputs = _inputs(sights)
    if not inputs:
        return ""
    found, middle = _within_a_day(inputs, window_seconds), smallest_shift(sights, window_seconds)
    blind = len(inputs) - len(found)
    if middle is None:
        reason = next((f": {s.reason}" for s in inputs if s.reason), "")
        return f"no shift would be seen within a day, of any of {_count(len(inputs))}{reason}"
    more = f"; {blind} not seen within a day" if blind else ""
    return f"smallest shift seen within a day: {middle:.2g} σ (median of {_count(len(found))}{more})"


def _inputs(sights: Sequence[Sight]) -> list[Sight]:
    whole = [s for s in sights if s.check == "drift" and not s.segment]
    return [s for s in whole if s.source is Source.FEATURE and s.unit == "σ"]


def _within_a_day(sights: Sequence[Sight], window_seconds: float) -> list[float]:
    windows = max(1.0, DAY_SECONDS / window_seconds)
    return [seen.smallest for s in sights if (seen := s.within(windows)) is not None]


def _count(inputs: int) -> str:
    return f"{inputs} input" if inputs == 1 else f"{inputs} inputs"


def line(sight: Sight, window_seconds: float) -> dict[str, Any]:
    """As `sidelight ledger --json` prints it."""
    return {
        "check": sight.check,
        "feature": sight.subject,
        "source": sight.source.name.lower(),
        "unit": sight.unit,
        "before": sight.before,
        "critical": sight.critical,
        "segment": sight.segment,
        "reason": sight.reason,
        "seen": [
            {"windows": seen.horizon, "seconds": seen.horizon * window_seconds, "smallest": seen.smallest}
            for seen in sight.seen
        ],
    }
