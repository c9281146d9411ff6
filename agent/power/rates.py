"""The smallest rise of a fault's rate that the quality checks find: missing 1 % to 2.1 %."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from agent.ledger import RATES, Ledger
from agent.power.sight import LOWER_FIFTH, Seen, Sight
from agent.quality.judge import MEASURES, ROWS_MIN
from agent.quality.rates import Pools, carried, judged
from agent.quality.spending import granted
from agent.quality.tables import Table, bases_of
from agent.records import Verdict
from agent.reference.profile import Reference

Known = dict[tuple[int | float, ...], float | None]


def rate_sights(reference: Reference, ledger: Ledger, rows: float) -> list[Sight]:
    """Of every feature and check of a rate, for windows of so many rows.

    Features with the same faults share their answer; each different one costs about a millisecond.
    """
    total = float(reference.rows.sum())
    if total <= 0:
        return []
    bases = bases_of(reference.layout, reference.blocks)
    found: list[Sight] = []
    known: Known = {}
    for measure in MEASURES:
        alphas = [ledger.alpha(measure.check, i) for i in range(len(reference.layout.features))]
        table = Table.of(measure, reference, bases, RATES, alphas)
        if not table.features.size:
            continue
        n = np.array(RATES, dtype=np.float64)[:, None] * table.rows * (rows / total)
        own = granted(table, np.array(alphas)[table.features], n, carried(table, RATES) & (n >= ROWS_MIN))
        for i, alpha in enumerate(own.tolist()):
            found.append(_sight(reference, table, i, alpha, rows / total, known))
    return found


def _sight(reference: Reference, table: Table, i: int, alpha: float, scale: float, known: Known) -> Sight:
    """scale: rows of a window for one of the reference."""
    feature = reference.layout.features[int(table.features[i])]
    name, n_reference = feature.group or feature.name, int(table.rows[i])
    seen = tuple(_seen(table, i, alpha, n_reference * scale, known)) if n_reference else ()
    before = int(table.faulty[i]) / n_reference if n_reference else float("nan")
    few = n_reference * scale * RATES[-1] < ROWS_MIN
    reason = "" if seen else f"too few rows: {ROWS_MIN} are needed" if few else "its rate varies too much"
    return Sight(table.measure.check, name, feature.source, "share", before, seen, reason, feature.critical)


def _seen(table: Table, i: int, alpha: float, rows: float, known: Known) -> Iterator[Seen]:
    credited, n_reference = int(table.faulty[i]), int(table.rows[i])
    for horizon in RATES:
        n = round(rows * horizon)
        if n < ROWS_MIN or not carried(table, (horizon,))[0, i]:
            continue
        phi, freedom = table.wander.phi(i, float(horizon), n, n_reference) if table.then[i] else (1.0, 0.0)
        # Features with the same faults share their answer.
        key = (credited, n_reference, bool(table.then[i]), int(table.wander.blocks[i]), n, phi, freedom, alpha)
        if key not in known:
            known[key] = _smallest(partial(_alarms, table, i, alpha, horizon, n), n, phi)
        smallest = known[key]
        if smallest is not None:
            yield Seen(horizon, smallest)


def _alarms(table: Table, i: int, alpha: float, horizon: int, n: int, count: int) -> bool:
    """Whether the judge would, of so many faults in n rows."""
    faulty, rows = np.full((1, len(table.features)), count), np.full((1, len(table.features)), n)
    windows = np.full(rows.shape, float(horizon))
    pools = Pools((horizon,), faulty, rows, windows, rows > 0, rows > 0, (faulty, rows))
    return judged(table, pools, 0, i, alpha).verdict is Verdict.ALARM


def _smallest(alarms: Callable[[int], bool], n: int, phi: float) -> float | None:
    """The rate whose lower fifth of counts alarms among n rows; None: not even all rows at fault would."""
    if not alarms(n):
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if alarms(middle) else (middle, high)
    return rate_of(high, n, max(phi, 1.0))


def rate_of(count: int, n: int, phi: float) -> float:
    """The rate r with n r - 0.84 √(φ n r (1 - r)) = count - 1/2; Wilson (1927), with a continuity correction."""
    share, square = (count - 0.5) / n, LOWER_FIFTH**2 * phi / n
    half = math.sqrt(square * (share * (1.0 - share) + square / 4.0))
    return min((share + square / 2.0 + half) / (1.0 + square), 1.0)
