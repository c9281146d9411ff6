"""What the ledger says of faults is what simulation finds."""

from __future__ import annotations

import numpy as np
import pytest

from agent.bins import NULL_CELL, SPECIALS, Feature, Layout
from agent.ledger import Dial, Ledger
from agent.power.rates import rate_sights
from agent.power.sight import Sight
from agent.quality.judge import Quality
from agent.records import Closed, Kind, Source
from agent.reference.profile import Reference

EDGES = (0.0, 1.0)
LAYOUT = Layout((Feature("x", Source.FEATURE, Kind.NUMBER, edges=EDGES),))


def windows(random: np.random.Generator, rates: np.ndarray, rows: int) -> np.ndarray:
    """int32 (len(rates), cells): windows of so many rows, so much of them null."""
    found = np.zeros((len(rates), LAYOUT.cells), dtype=np.int32)
    nulls = random.binomial(rows, rates)
    found[:, 1], found[:, LAYOUT.cells - SPECIALS + NULL_CELL] = rows - nulls, nulls
    return found


def reference(rate: float, wander: float = 0.0, blocks: int = 100) -> Reference:
    random = np.random.default_rng(1)
    rates = np.clip(rate * np.exp(wander * random.normal(size=blocks)), 0, 1)
    counted = windows(random, rates, 1000)
    return Reference("m", "1", LAYOUT, counted, np.arange(blocks), counted.sum(axis=1))


def missing(made: Reference, rows: float) -> Sight:
    ledger = Ledger.of(Dial(), made.layout, 3600.0)
    return next(s for s in rate_sights(made, ledger, rows) if s.check == "missing")


@pytest.mark.parametrize(("before", "wander"), [(0.0, 0.0), (0.01, 0.0), (0.01, 0.5), (0.05, 0.2)])
def test_the_rise_it_names_is_found_in_four_of_five(before: float, wander: float) -> None:
    """Windows of 1,000 rows: the rate it names alarms in about 80 %, halfway there in fewer than half."""
    made = reference(before, wander)
    seen = missing(made, 1000).within(1)
    assert seen is not None
    quality = Quality(made, Ledger.of(Dial(), made.layout, 3600.0))

    def share(rate: float) -> float:
        random = np.random.default_rng(2)
        now = np.clip(rate * np.exp(wander * random.normal(size=200)), 0, 1)
        hits = 0
        for i, counts in enumerate(windows(random, now, 1000)):
            hits += any(f.alarms for part in quality.judge([Closed(i, counts)]) for f in part if f.check == "missing")
        return hits / 200

    assert 0.6 < share(seen.smallest) < 0.99
    assert share((before + seen.smallest) / 2) < 0.5


def test_pooled_windows_see_less() -> None:
    """1 % to about 2 % within four windows, to about 3 % in one; sixteen windows see less still."""
    seen = [s.smallest for s in missing(reference(0.01, blocks=200), 1000).seen]
    assert len(seen) == 3
    assert 0.028 < seen[0] < 0.038
    assert 0.018 < seen[1] < 0.024
    assert seen[2] < seen[1]


def test_few_rows_see_nothing_and_say_so() -> None:
    """Less than a row a window: no rise would be found."""
    sight = missing(reference(0.01), 0.3)
    assert not sight.seen
    assert "too few rows" in sight.reason
