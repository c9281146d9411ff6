"""Values that are not sent at all: a sender that stopped, or renamed the feature."""

from __future__ import annotations

from agent.bins import ABSENT_CELL, Feature
from agent.quality.measure import Look, Measure, Of, percent
from agent.quality.missing import valueless


def _cells(feature: Feature) -> tuple[int, ...]:
    return (feature.bins + ABSENT_CELL,)


def _describe(look: Look) -> str:
    if look.faulty == look.n:
        return f"absent in all {look.n} rows: the sender no longer sends it"
    return f"absent in {percent(look.share)} of {look.n} rows (reference {percent(look.expected)})"


ABSENT = Measure("absent", Of.ROWS, _cells, _describe, known=valueless)
