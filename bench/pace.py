"""The machine's pace: what parsing one row of 20 features costs it just now.

Machines are shared, and how fast one is changes within a run. The parse is a library's own work, in C, the same in
every version of the agent: what it takes says how slow the machine is, not how slow the agent is.
"""

from __future__ import annotations

from functools import lru_cache

from bench.limits import RowFloor
from bench.traffic import Traffic

THEN = (1.2, 1.7)  # µs, on the machine and day of the budgets
ROUNDS, TIMES = 5, 4  # of a hundred rows: a few milliseconds


def now() -> float:
    """µs of CPU for one row; the least of some rounds, so that a neighbour's millisecond is no pace."""
    return min(_floor().parse() for _ in range(ROUNDS))


@lru_cache(maxsize=1)
def _floor() -> RowFloor:
    return RowFloor(Traffic(body="rows", rows=100), TIMES)
