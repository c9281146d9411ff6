"""The smallest rise of a fault's rate that the quality checks find: missing 1 % to 2.1 %."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

from agent.ledger import RATES, Ledger
from agent.power.sight import LOWER_FIFTH, Seen, Sight
from agent.quality.judge import FLOOR, MEASURES, ROWS_MIN
from agent.quality.spread import rate_tail
from agent.quality.tables import Table, bases_of
from agent.reference.profile import Reference
from agent.tails import hypergeometric_tail


def rate_sights(reference: Reference, ledger: Ledger, rows: float) -> list[Sight]:
    """Of every feature and check of a rate, for windows of so many rows.

    Features with the same faults share their answer; each different one costs about a millisecond.
    """
    total = float(reference.rows.sum())
    if total <= 0:
        return []
    bases = bases_of(reference.layout, reference.blocks)
    found: list[Sight] = []
    for measure in MEASURES:
        alphas = [ledger.alpha(measure.check, i) for i in range(len(reference.layout.features))]
        table = Table.of(measure, reference, bases, RATES, lambda i, alphas=alphas: alphas[i] > 0)  # type: ignore[misc]
        for i, index in enumerate(table.features.tolist()):
            found.append(_sight(reference, table, i, alphas[index], rows / total))
    return found


def _sight(reference: Reference, table: Table, i: int, alpha: float, scale: float) -> Sight:
    """scale: rows of a window for one of the reference."""
    feature = reference.layout.features[int(table.features[i])]
    name, n_reference = feature.group or feature.name, int(table.rows[i])
    seen = tuple(_seen(table, i, alpha, n_reference * scale)) if n_reference else ()
    before = int(table.faulty[i]) / n_reference if n_reference else float("nan")
    few = n_reference * scale * RATES[-1] < ROWS_MIN
    reason = "" if seen else f"too few rows: {ROWS_MIN} are needed" if few else "its rate varies too much"
    return Sight(table.measure.check, name, feature.source, "share", before, seen, reason, feature.critical)


def _seen(table: Table, i: int, alpha: float, rows: float) -> Iterator[Seen]:
    credited, n_reference = int(table.faulty[i]), int(table.rows[i])
    for horizon in RATES:
        n = round(rows * horizon)
        if n < ROWS_MIN:
            continue
        phi, freedom = table.wander.phi(i, float(horizon), n, n_reference) if table.then[i] else (0.0, 0.0)
        smallest = _smallest((credited, n_reference), n, phi, freedom, alpha)
        if smallest is not None:
            yield Seen(horizon, smallest)


@lru_cache(maxsize=10_000)
def _smallest(reference: tuple[int, int], n: int, phi: float, freedom: float, alpha: float) -> float | None:
    """The rate whose lower fifth of counts alarms among n rows; None: not even all rows at fault would.

    reference: faults, rows; phi 0: the reference has no such fault, and the exact test is alone.
    """
    then, n_reference = reference

    def alarms(count: int) -> bool:
        if count / n - then / n_reference < FLOOR or hypergeometric_tail(count, n, then, n_reference) > alpha:
            return False
        return not phi or rate_tail(count, n, then, n_reference, phi, freedom) <= alpha

    if not alarms(n):
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if alarms(middle) else (middle, high)
    return _rate_of(high, n, max(phi, 1.0))


def _rate_of(count: int, n: int, phi: float) -> float:
    """The rate r with n r - 0.84 √(φ n r (1 - r)) = count - 1/2; Wilson (1927), with a continuity correction."""
    share, square = (count - 0.5) / n, LOWER_FIFTH**2 * phi / n
    half = math.sqrt(square * (share * (1.0 - share) + square / 4.0))
    return min((share + square / 2.0 + half) / (1.0 + square), 1.0)
