"""The dial turned up until alarms come: how much of what is allowed is left unused, and why.

At the default dial a model has a false alarm in weeks, and no run is long enough to tell half the promise from a tenth.
The judgement is the same at every dial, so a dial of ten a day measures the share of it that is spent.
"""

from __future__ import annotations

from collections.abc import Iterator

from calibration.cells import Cell, normal

A_DAY = 10.0
M = 20


def dials() -> Iterator[Cell]:
    """How features hang together: not at all, all alike, or by a few factors. Small windows, so that the effect's floor
    takes little; the last with windows of 1,000 rows, where it takes more."""
    worlds = {
        "independent features": normal(M),
        **{f"any two features correlated {c:g}": normal(M, correlation=c) for c in (0.3, 0.7, 0.9)},
        "three factors carry 70 % of every feature": normal(M, correlation=0.7, factors=3),
    }
    for name, world in worlds.items():
        yield Cell(name, world, 100, 10_000, days=8.0, dial=A_DAY)
    yield Cell("independent features", normal(M), 1_000, 50_000, days=8.0, dial=A_DAY)
