"""Null values: sent, but empty. The reference may spell the same thing otherwise."""

from __future__ import annotations

from collections.abc import Callable

from agent.bins import ABSENT_CELL, NAN_CELL, NULL_CELL, Feature
from agent.quality.measure import Look, Measure, Of, percent
from agent.records import Kind

NUMERIC = (Kind.NUMBER, Kind.VECTOR)  # what can hold NaN


def valueless(feature: Feature) -> tuple[int, ...]:
    """All spellings of a value that is not there: null, absent, and for numbers and vectors NaN.

    A table holds null where a sender leaves the key out, and pandas writes null where the served frame holds NaN.
    """
    if not feature.bins:
        return (feature.bins + ABSENT_CELL,)
    special = (NULL_CELL, ABSENT_CELL, NAN_CELL) if feature.kind in NUMERIC else (NULL_CELL, ABSENT_CELL)
    return tuple(feature.bins + cell for cell in special)


def _cells(feature: Feature) -> tuple[int, ...]:
    # A vector without bins has no other cell than null, also where it is there.
    return (feature.bins + NULL_CELL,) if feature.bins else ()


def described(fault: str, means: str) -> Callable[[Look], str]:
    """What a value that is not there is called, and what it means where none is."""

    def describe(look: Look) -> str:
        if look.faulty == look.n:
            return f"{fault} in all {look.n} rows: {means}"
        return f"{fault} in {percent(look.share)} of {look.n} rows (reference {percent(look.expected)})"

    return describe


MISSING = Measure("missing", Of.ROWS, _cells, described("null", "sent, but empty"), known=valueless)
