"""What is told of a text whose rare categories have several cells: "other" as one bin, and a part of it that swelled.

Names of rare categories are never told, nor is which cell of the eight it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.bins import Feature
from agent.records import BinChange, Floats

SWOLLEN = "a rare category among the others (and those counted with it)"
CLEARLY = 4.0  # standard errors: more than the largest of eight cells is off by chance
UNLIKE = 2.0  # times what "other" grew by as a whole: a part that grew with all the others is none of its own


def rare_changes(
    feature: Feature, cells: Sequence[int], now: Floats, then: Floats, rows: float
) -> tuple[BinChange, ...]:
    """The bins as people know them, those that count most first, without those of no rows. Where one cell of "other"
    stands out, it is told by itself, and "other" without it.

    cells: as they lie in now and then, shares (0-1); rows: effective ones of both sides, with φ.
    """
    by_cell = np.zeros((2, feature.bins))
    by_cell[:, list(cells)] = then, now
    before, after = (feature.wholes(shares) for shares in by_cell)
    found = [
        BinChange(feature.label(int(cell)), k, float(before[k]), float(after[k]), plain=k >= len(feature.categories))
        for k, cell in enumerate(feature.whole.tolist())
    ]
    part = swollen(by_cell[0, list(feature.other)], by_cell[1, list(feature.other)], rows)
    if part is not None:
        other = found[feature.other.start]
        own_then, own_now = (float(shares[feature.other[part]]) for shares in by_cell)
        rest = BinChange(other.label, other.bin, other.reference - own_then, other.current - own_now, plain=True)
        found[feature.other.start] = rest
        found.append(BinChange(SWOLLEN, other.bin, own_then, own_now, plain=True))
    least = 0.5 / max(rows, 1.0)
    some = [change for change in found if change.reference > 0 or change.current > 0]
    return tuple(sorted(some, key=lambda change: -_term(change, least)))


def swollen(then: Floats, now: Floats, rows: float) -> int | None:
    """Which cell of "other" grew clearly and by itself, if any; shares (cells,) then and now."""
    part = int(np.argmax(now - then))
    grown, whole = float(now[part] - then[part]), float(now.sum() / then.sum()) if then.sum() > 0 else np.inf
    share = (float(now[part]) + float(then[part])) / 2.0
    if not grown > CLEARLY * np.sqrt(share * (1.0 - share) / max(rows, 1.0)):
        return None
    return part if then[part] > 0 and now[part] / then[part] - 1.0 > UNLIKE * max(whole - 1.0, 0.0) else None


def _term(change: BinChange, least: float) -> float:
    """Its part of the PSI."""
    now, then = change.current + least, change.reference + least
    return float((now - then) * np.log(now / then))
