"""Values that are not sent at all: a sender that stopped, or renamed the feature."""

from __future__ import annotations

from agent.bins import ABSENT_CELL, Feature
from agent.quality.measure import Measure, Of
from agent.quality.missing import described, valueless


def _cells(feature: Feature) -> tuple[int, ...]:
    return (feature.bins + ABSENT_CELL,)


ABSENT = Measure("absent", Of.ROWS, _cells, described("absent", "the sender no longer sends it"), known=valueless)
