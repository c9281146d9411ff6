"""Clocks and counters among the features are told, where the reference knows the order of its blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.bins import Feature, Layout
from agent.quality.judge import RISING, Quality
from agent.records import Closed, Kind, Source
from agent.reference.profile import Reference
from agent.reference.rising import rising
from tests.quality.quality_worlds import Fixed, found_in

EDGES = tuple(float(e) for e in range(21))
LAYOUT = Layout(
    (Feature("made_at", Source.FEATURE, Kind.NUMBER, EDGES), Feature("x", Source.FEATURE, Kind.NUMBER, EDGES))
)


def _reference(first_ns: int = 3600 * 10**9) -> Reference:
    """40 blocks of 100 rows: one feature a bin higher every second block, the other as ever."""
    blocks = np.zeros((40, LAYOUT.cells), np.int32)
    blocks[np.arange(40), 1 + np.arange(40) // 2] = 100
    start = int(LAYOUT.starts[1])
    blocks[:, start + 1 : start + 21] = 5
    return Reference("m", "1", LAYOUT, blocks, first_ns + np.arange(40) * 3600 * 10**9, np.full(40, 100, np.int64))


def test_what_rises_with_every_block_is_found() -> None:
    """Though it stands still for a block; of rows without a time nobody knows that they came in this order."""
    assert rising(_reference()) == {0}
    assert rising(_reference(first_ns=0)) == frozenset()
    turned = _reference()
    assert rising(replace(turned, blocks=turned.blocks[::-1])) == frozenset()


def test_a_clock_beyond_the_reference_is_told_as_one() -> None:
    """All of its values are above the range for ever: that is no broken feed."""
    counts = np.zeros(LAYOUT.cells, np.int32)
    start = int(LAYOUT.starts[1])
    counts[[21, start + 21]] = 100
    found = {f.subject: f for f in found_in(Quality(_reference(), Fixed()).judge([Closed(3, counts)])) if f.alarms}
    assert found["made_at"].reason.endswith(RISING)
    assert RISING not in found["x"].reason
