"""Values of another type than the reference's: an age that turned from number to text."""

from __future__ import annotations

from agent.bins import MISMATCH_CELL, Feature
from agent.quality.measure import Look, Measure, Of, percent
from agent.records import Kind


def _cells(feature: Feature) -> tuple[int, ...]:
    return (feature.bins + MISMATCH_CELL,)


def _describe(look: Look) -> str:
    vector = look.feature.kind is Kind.VECTOR
    kind = f"vector of {look.feature.size}" if vector else look.feature.kind.name.lower()
    if look.faulty == look.n:
        return f"not a {kind} in any of {look.n} rows: its {'type or size' if vector else 'type'} has changed"
    return f"not a {kind} in {percent(look.share)} of {look.n} rows (reference {percent(look.expected)})"


TYPE_MISMATCH = Measure("type_mismatch", Of.ROWS, _cells, _describe)
