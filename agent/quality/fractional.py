"""Fractions where every reference value was whole: a rounding lost, an average in place of a count, another unit."""

from __future__ import annotations

from agent.bins import FRACTIONAL_CELL, Feature
from agent.quality.measure import Look, Measure, Of, percent
from agent.records import Ints, Kind


def _cells(feature: Feature) -> tuple[int, ...]:
    return (feature.bins + FRACTIONAL_CELL,) if feature.kind is Kind.NUMBER and feature.integral else ()


def _credit(feature: Feature, then: Ints) -> int:
    """One fault, always: had the reference held a fraction, the feature would not be called whole."""
    return 1


def _describe(look: Look) -> str:
    held = look.held((look.feature.bins + FRACTIONAL_CELL,))
    return f"{percent(look.share)} of {look.n} values are no whole numbers (reference {percent(held)})"


FRACTIONAL = Measure("fractional", Of.VALUES, _cells, _describe, credit=_credit)
