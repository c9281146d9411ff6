"""Null and absent values, together: to a model both are a value that is not there."""

from __future__ import annotations

from agent.bins import ABSENT_CELL, NAN_CELL, NULL_CELL, Feature
from agent.quality.measure import Look, Measure, Of, percent
from agent.records import Kind


def _cells(feature: Feature) -> tuple[int, ...]:
    if feature.kind is Kind.VECTOR:
        return (feature.bins + ABSENT_CELL,)  # a vector that is there has no other cell than null
    return (feature.bins + NULL_CELL, feature.bins + ABSENT_CELL)


def _describe(look: Look) -> str:
    if look.now[look.feature.bins + ABSENT_CELL] == look.n:
        return f"absent in all {look.n} rows: the sender no longer sends it"
    if look.now[look.feature.bins + NULL_CELL] == look.n:
        return f"null in all {look.n} rows: sent, but empty"
    return f"missing in {percent(look.share)} of {look.n} rows (reference {percent(look.expected)})"


def _known(feature: Feature) -> tuple[int, ...]:
    own = _cells(feature)
    return (*own, feature.bins + NAN_CELL) if feature.kind is Kind.NUMBER else own


MISSING = Measure("missing", Of.ROWS, _cells, _describe, known=_known)
