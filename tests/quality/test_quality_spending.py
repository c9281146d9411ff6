"""What features without a fault cannot spend goes to those with one, and no more than that."""

from __future__ import annotations

import numpy as np

from agent.ledger import RATES
from agent.quality.missing import MISSING
from agent.quality.rates import carried
from agent.quality.spending import _never_seen, granted
from agent.quality.tables import Table, bases_of
from agent.records import Floats
from agent.reference.profile import Reference
from agent.statistics.tails import hypergeometric_tail
from tests.quality.test_quality_horizons import World

ALPHA = 1e-6


def table(blocks: int, rates: Floats) -> Table:
    world = World(seed=1, features=rates.size)
    reference: Reference = world.reference([rates] * blocks)
    return Table.of(MISSING, reference, bases_of(world.layout, reference.blocks), RATES, [ALPHA] * rates.size)


def alphas(of: Table, rows: float) -> Floats:
    n = rows * np.array(RATES, dtype=np.float64)[:, None] * np.ones(of.features.size)
    return granted(of, np.full(of.features.size, ALPHA), n, carried(of, RATES))


def test_the_one_feature_with_a_fault_has_nearly_all_of_the_check() -> None:
    """One of 20, windows of 1,000 rows beside 50,000: 3 horizons of 20 features on two of its own."""
    found = alphas(table(50, np.array([0.01] + [0.0] * 19)), 1000.0)
    assert 25 * ALPHA < found[0] <= 30 * ALPHA
    assert (found[1:] == ALPHA).all()


def test_where_all_have_faults_only_the_horizons_give() -> None:
    """16 windows need 128 of the reference: with 50 the other two horizons have its part, with 200 each has its own."""
    short, long = (alphas(table(blocks, np.full(6, 0.02)), 1000.0) for blocks in (50, 200))
    np.testing.assert_allclose(short, 1.5 * ALPHA)
    np.testing.assert_allclose(long, ALPHA)


def test_without_a_fault_in_any_reference_nothing_changes() -> None:
    """Nobody could make use of more: what is exact and never happened is found at the ledger's own alpha."""
    assert (alphas(table(50, np.zeros(4)), 1000.0) == ALPHA).all()


def test_a_feature_without_faults_is_granted_what_it_can_spend() -> None:
    """The bound lies above the exact chance of the fewest faults that alarm, and at most at alpha."""
    clean = table(50, np.zeros(1))
    for rows in (10, 40, 100, 1000, 16_000, 200_000):
        bound = float(_never_seen(clean, np.full((1, 1), ALPHA), np.full((1, 1), float(rows)))[0, 0])
        fewest = int(np.ceil(0.005 * rows))
        while hypergeometric_tail(fewest, rows, 0, 50_000) > ALPHA:
            fewest += 1
        assert hypergeometric_tail(fewest, rows, 0, 50_000) <= bound * (1 + 1e-9) <= ALPHA * (1 + 2e-9)
