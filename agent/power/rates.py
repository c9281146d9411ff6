"""The smallest rise of a fault's rate that the quality checks find: missing 1 % to 2.1 %."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from agent.bins import SPECIALS
from agent.ledger import CHECKS, Ledger
from agent.power.sight import LOWER_FIFTH, Seen, Sight
from agent.quality.judge import FLOOR, MEASURES, ROWS_MIN
from agent.quality.measure import Measure, Of
from agent.quality.spread import Spread, rate_tail
from agent.records import Ints
from agent.reference.profile import Reference
from agent.tails import hypergeometric_tail

GROUPS_MIN = 3  # of so many windows, for how much their rates vary to be known
_HORIZONS = {check.name: check.horizons for check in CHECKS}


def rate_sights(reference: Reference, ledger: Ledger, rows: float) -> list[Sight]:
    """Of every feature and check of a rate, for windows of so many rows.

    Features with the same faults share their answer: some 10 ms for each different one.
    """
    total = float(reference.rows.sum())
    return [
        _sight(reference, ledger, measure, i, rows / total)
        for measure in MEASURES
        for i in range(len(reference.layout.features))
        if total > 0 and ledger.alpha(measure.check, i) > 0 and measure.cells(reference.layout.features[i])
    ]


def _sight(reference: Reference, ledger: Ledger, measure: Measure, i: int, scale: float) -> Sight:
    feature, alpha = reference.layout.features[i], ledger.alpha(measure.check, i)
    faulty, rows = _counted(reference, measure, i)
    credit = measure.credit(feature, reference.pooled[reference.layout.slice(i)])
    n_reference = int(rows.sum())
    then = min(max(int(faulty.sum()), credit), n_reference)
    before = then / n_reference if n_reference else float("nan")
    name, source = feature.group or feature.name, feature.source
    found = tuple(_seen(measure.check, faulty, rows, then, n_reference * scale, alpha)) if n_reference else ()
    reason = "" if found else "too few rows, or the reference's own rate varies too much"
    return Sight(measure.check, name, source, "share", before, found, reason, feature.critical)


def _counted(reference: Reference, measure: Measure, i: int) -> tuple[Ints, Ints]:
    """Faults and rows by block, int64 (blocks,): out of what the measure's share is a share of."""
    layout = reference.layout
    feature, own = layout.features[i], reference.blocks[:, layout.slice(i)].astype(np.int64)
    known = list((measure.known or measure.cells)(feature))
    base = own[:, : feature.bins] if measure.of is Of.VALUES else own[:, : feature.bins + SPECIALS - 1]
    return own[:, known].sum(axis=1), base.sum(axis=1)


def _seen(check: str, faulty: Ints, rows: Ints, then: int, n: float, alpha: float) -> Iterator[Seen]:
    for horizon in _HORIZONS[check]:
        groups = len(rows) // horizon
        if horizon > 1 and groups < GROUPS_MIN:
            return
        excess, blocks = _excess(_grouped(faulty, horizon), _grouped(rows, horizon))
        smallest = _smallest(then, int(rows.sum()), round(n * horizon), excess, blocks, alpha)
        if smallest is not None:
            yield Seen(horizon, smallest)


def _grouped(counts: Ints, size: int) -> Ints:
    groups = len(counts) // size
    return np.asarray(counts[len(counts) - groups * size :].reshape(groups, size).sum(axis=1))


def _excess(faulty: Ints, rows: Ints) -> tuple[float, int]:
    if not faulty.any():
        return 0.0, int((rows > 0).sum())
    spread = Spread.of(faulty[:, None], rows[:, None])
    return round(float(spread.excess[0]), 9), int(spread.blocks[0])


@lru_cache(maxsize=10_000)
def _smallest(then: int, n_reference: int, n: int, excess: float, blocks: int, alpha: float) -> float | None:
    """The rate whose lower fifth of counts alarms among n rows; None: not even all rows at fault would."""
    if n < ROWS_MIN:
        return None
    phi = 1.0 + excess * (1.0 + 1.0 / max(blocks, 1)) / (1.0 / n + 1.0 / n_reference)

    def alarms(count: int) -> bool:
        if count / n - then / n_reference < FLOOR or hypergeometric_tail(count, n, then, n_reference) > alpha:
            return False
        return not then or rate_tail(count, n, then, n_reference, phi, max(blocks, 1)) <= alpha

    if not alarms(n):
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if alarms(middle) else (middle, high)
    return _rate_of(high, n, phi)


def _rate_of(count: int, n: int, phi: float) -> float:
    """The rate r with n r - 0.84 √(φ n r (1 - r)) = count - 1/2; Wilson (1927), with a continuity correction."""
    share, square = (count - 0.5) / n, LOWER_FIFTH**2 * phi / n
    half = math.sqrt(square * (share * (1.0 - share) + square / 4.0))
    return min((share + square / 2.0 + half) / (1.0 + square), 1.0)
