"""Clocks, counters and lists that grow are told, where the reference knows the order of its blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.bins import Feature, Layout
from agent.quality.judge import GROWING, RISING, Quality
from agent.records import Closed, Kind, Source
from agent.reference.profile import Reference
from agent.reference.rising import growing, rising
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


def _shop(first_ns: int = 3600 * 10**9) -> Reference:
    """Forty blocks of 100 rows: ten old products, and one of up to seven more, which came every third block from the
    tenth on."""
    layout = Layout((Feature("product", Source.FEATURE, Kind.TEXT, categories=tuple("abcdefghijklmnopq")),))
    blocks = np.zeros((40, layout.cells), np.int32)
    blocks[:, :10] = 8
    for block in range(40):
        known = max(1, min((block - 10) // 3, 7))
        blocks[block, 10 : 10 + known] = 20 // known
    return Reference("m", "1", layout, blocks, first_ns + np.arange(40) * 3600 * 10**9, np.full(40, 100, np.int64))


def _at_once(reference: Reference) -> Reference:
    """All of the late ones begin in one block."""
    blocks = reference.blocks.copy()
    blocks[:33, 11:17] = 0
    return replace(reference, blocks=blocks)


def test_a_list_that_grew_in_the_reference_goes_on_to_grow() -> None:
    """Seven products came one after the other: what nobody knew is told as one of more to come; not where two or more
    came at one time, as what only weekends have."""
    reference = _shop()
    assert growing(reference) == {0}
    assert growing(_shop(first_ns=0)) == growing(_at_once(reference)) == frozenset()
    counts = np.zeros(reference.layout.cells, np.int32)
    counts[:10], counts[18] = 8, 20
    (found,) = (f for f in found_in(Quality(reference, Fixed()).judge([Closed(3, counts)])) if f.alarms)
    assert found.reason.endswith(GROWING)
