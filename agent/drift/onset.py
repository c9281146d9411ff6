"""Since when: the first of the pooled windows that shows the change.

A change two hours old is most certain over four. What each horizon holds beyond the next shorter one are windows of
their own: how far they moved the same way says whether they were part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.records import Floats

MOVED_MIN = 0.5  # of the pooled windows' own change; what has not moved has 0, and what has 1 or more
_ROUNDING = 0.3  # of a window: chance makes a jump look a little longer than it is


def moved_windows(horizons: Sequence[int], excess: Floats, rows: Floats, then: Floats) -> int:
    """How many of the newest windows one has to go back to reach the first that moved: 1 to the longest horizon.

    horizons: rising, the last is the one to be told. excess: (horizons, cells), counts beyond what the reference leads
    one to expect; rows: (horizons,); then: (cells,) shares in the reference. The change of each stretch of windows is
    its excess along the pooled one's, in the metric of χ².
    """
    stretches = np.diff(excess, axis=0, prepend=np.zeros((1, excess.shape[1])))
    own = np.maximum(np.diff(rows, prepend=0.0), 1.0)
    lengths = np.diff(horizons, prepend=0)
    along = excess[-1] / max(float(rows[-1]), 1.0) / np.maximum(then, 1e-6)
    size = float((along * excess[-1]).sum()) / max(float(rows[-1]), 1.0)
    if not size > 0.0:
        return int(horizons[-1])
    moved = (stretches @ along) / own / size
    oldest = int(np.flatnonzero(moved >= MOVED_MIN)[-1]) if (moved >= MOVED_MIN).any() else len(moved) - 1
    part = min(float(moved[oldest] / moved.max()), 1.0)
    newer = int(lengths[:oldest].sum())
    return newer + max(1, int(np.ceil(lengths[oldest] * part - _ROUNDING)))
