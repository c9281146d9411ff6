"""Since when: the first of the pooled windows that shows the change.

A change two hours old is most certain over four. What each horizon holds beyond the next shorter one are windows of
their own: how far they moved the same way says whether they were part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.records import Floats

MOVED_MIN = 0.5  # of the pooled windows' own change; what has not moved has 0, and what has 1 or more
_ROUNDING = 0.4  # of a window: chance makes a jump look a little longer than it is


def moved_windows(horizons: Sequence[int], told: int, excess: Floats, rows: Floats, then: Floats) -> int:
    """How many of the newest windows one has to go back to reach the first that moved, at least 1.

    horizons: rising; told: which of them is the finding's; windows before it count while they moved the same way.
    excess: (horizons, cells), counts beyond what the reference leads one to expect; rows: (horizons,); then: (cells,)
    shares in the reference. The change of each stretch of windows is its excess along the told one's, in the metric of
    χ².
    """
    stretches = np.diff(excess, axis=0, prepend=np.zeros((1, excess.shape[1])))
    own = np.maximum(np.diff(rows, prepend=0.0), 1.0)
    lengths = np.diff(horizons, prepend=0)
    along = excess[told] / max(float(rows[told]), 1.0) / np.maximum(then, 1e-6)
    size = float((along * excess[told]).sum()) / max(float(rows[told]), 1.0)
    if not size > 0.0:
        return int(horizons[told])
    moved = (stretches @ along) / own / size
    inside = moved[: told + 1]
    oldest = int(np.flatnonzero(inside >= MOVED_MIN)[-1]) if (inside >= MOVED_MIN).any() else told
    level = float(inside.max())
    back = int(lengths[:oldest].sum()) + max(1, _windows(lengths[oldest], moved[oldest] / level))
    for length, part in zip(lengths[told + 1 :], moved[told + 1 :] / level, strict=True):
        if back < int(lengths[: told + 1].sum()):
            break  # what is before a gap is another change
        more = _windows(length, part)
        back += more
        if more < length:
            break
    return back


def part_left(told: int, newest: int, excess: Floats, rows: Floats, then: Floats) -> float:
    """How far the newest windows moved the way the told ones did: 1 as far, 0 not at all; NaN where nothing moved.

    newest: which of the horizons holds them; the rest as for `moved_windows`.
    """
    along = excess[told] / np.maximum(then, 1e-6)
    size = float(along @ excess[told]) / max(float(rows[told]), 1.0)
    return float(along @ excess[newest]) / max(float(rows[newest]), 1.0) / size if size > 0.0 else float("nan")


def _windows(length: int, part: float) -> int:
    """Of so many windows, those that moved, if together they moved so much of what each should have."""
    return int(np.ceil(length * min(max(part, 0.0), 1.0) - _ROUNDING))
