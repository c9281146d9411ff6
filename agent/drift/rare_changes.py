"""What is told of a text whose rare categories have several cells: "other" as one bin, and a part of it that swelled.

Names of rare categories are never told, nor is which cell of the eight it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.bins import Feature
from agent.records import BinChange, Floats

SWAPPED = 0.25  # of what never seen ones grew by: the rest came where others stayed away
SWOLLEN = "a rare category among the others (and those counted with it)"
CLEARLY = 4.0  # standard errors: more than the largest of eight cells is off by chance
UNLIKE = 2.0  # times what "other" grew by as a whole: a part that grew with all the others is none of its own


def rare_changes(
    feature: Feature, cells: Sequence[int], now: Floats, then: Floats, rows: float, most: int
) -> tuple[BinChange, ...]:
    """The bins as people know them, those that count most first, without those of no rows. Where one cell of "other"
    stands out, it is told by itself, and "other" without it. Never seen ones that came in place of others are told
    as others: a reference holds by chance some of the rare ones, and windows the rest.

    cells: as they lie in now and then, shares (0-1); rows: effective ones of both sides, with φ; most: how many
    are told.
    """
    by_cell = np.zeros((2, feature.bins))
    by_cell[:, cells] = then, now
    shares, other = feature.wholes(by_cell), feature.other.start
    moved = np.diff(shares[:, other : other + 2], axis=0)[0]
    if moved[1] > 0.0 and moved.sum() < SWAPPED * moved[1]:  # of rare ones some are new in every window
        shares[:, other] += shares[:, other + 1]
        shares[:, other + 1] = 0.0
    before, after = by_cell[:, other : feature.other.stop]
    part = swollen(before, after, rows)
    if part is not None:
        own = by_cell[:, other + part]
        shares = np.column_stack((shares, own))
        shares[:, other] -= own
    low, high = shares + 0.5 / max(rows, 1.0)
    order = np.argsort(-np.where(shares.any(axis=0), (high - low) * np.log(high / low), -1.0), kind="stable")[:most]
    return tuple(_change(feature, k, *shares[:, k].tolist()) for k in order.tolist() if shares[:, k].any())


def _change(feature: Feature, k: int, then: float, now: float) -> BinChange:
    """k: a bin as people know it, or one more for the part of "other" that swelled."""
    if k == len(feature.whole):
        return BinChange(SWOLLEN, feature.other.start, then, now, plain=True)
    return BinChange(feature.label(int(feature.whole[k])), k, then, now, plain=k >= feature.other.start)


def swollen(then: Floats, now: Floats, rows: float) -> int | None:
    """Which cell of "other" grew clearly and by itself, if any; shares (cells,) then and now."""
    part = int(np.argmax(now - then))
    grown, whole = float(now[part] - then[part]), float(now.sum() / then.sum()) if then.sum() > 0 else np.inf
    share = (float(now[part]) + float(then[part])) / 2.0
    if not grown > CLEARLY * np.sqrt(share * (1.0 - share) / max(rows, 1.0)):
        return None
    return part if then[part] > 0 and now[part] / then[part] - 1.0 > UNLIKE * max(whole - 1.0, 0.0) else None
