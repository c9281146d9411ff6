"""What is counted of labels."""

from __future__ import annotations

import numpy as np

from agent.labels.kept import Kept


def test_it_does_not_matter_which_labels_are_settled_together() -> None:
    """After a crash they are settled in other groups; what was counted must be the same to the last bit."""
    rng = np.random.default_rng(5)
    late_ns, windows = rng.integers(-(10**9), 10**15, 3_000), np.full(3_000, 7)
    together, one_by_one = Kept(), Kept()
    for kept in (together, one_by_one):
        kept.predicted(windows)
    together.joined(windows, late_ns, np.ones(3_000))
    for i in range(0, 3_000, 7):
        one_by_one.joined(windows[i : i + 7], late_ns[i : i + 7], np.ones(len(windows[i : i + 7])))
    assert together.dump() == one_by_one.dump()
    assert together.histogram().sum == one_by_one.histogram().sum > 0
