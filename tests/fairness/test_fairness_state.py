"""A follower after a restart is the follower before it; broken bytes are not taken."""

from __future__ import annotations

import numpy as np

from agent.errors import CorruptError
from agent.fairness.follower import Fairness
from agent.records import Task
from tests.fairness.fairness_worlds import Life, World, about


def restarted(life: Life) -> Life:
    """As the agent does: the state first, what is known of the version as it becomes known."""
    again = Fairness()
    again.load(life.follower.dump())
    again.prepare(about(task=Task.UNKNOWN, positive=""))
    return Life(life.said, again, life.index)


def test_a_restart_in_the_middle_of_a_window_changes_nothing() -> None:
    """The same findings, points and page, an open window among them."""
    worlds = World(seed=1), World(seed=1)
    whole, parts = Life(about()), Life(about())
    whole.through(worlds[0], 20)
    parts.through(worlds[1], 20)
    for step in range(3):
        for life, world in zip((whole, parts), worlds, strict=True):
            predicted, joined = world.window({0: -0.1 * step})
            life.follower.predicted(predicted, life.index)
            life.follower.labelled(joined, life.index)
        parts = restarted(parts)
        assert whole.window() == parts.window()
    assert list(whole.follower.points()) == list(parts.follower.points())
    assert whole.follower.show() == parts.follower.show()
    assert whole.follower.dump() == parts.follower.dump()


def test_every_broken_byte_is_seen_or_harmless() -> None:
    """Cut short, or one byte turned: CorruptError, never another one; the follower is as new then."""
    life = Life(about())
    life.through(World(seed=2, rows=200), 3)
    stored, rng = life.follower.dump(), np.random.default_rng(2)
    for k in range(0, len(stored), max(len(stored) // 60, 1)):
        turned = bytearray(stored)
        turned[k] ^= 1 << int(rng.integers(8))
        for broken in (bytes(turned), stored[:k]):
            follower = Fairness()
            try:
                follower.load(broken)
            except CorruptError:
                assert follower.show() == {}


def test_another_positive_label_begins_anew() -> None:
    """Who was selected before is not who is now; what is not known for a while takes nothing back."""
    life = Life(about())
    life.through(World(seed=3), 12)
    life.follower.prepare(about(task=Task.UNKNOWN, positive=""))
    assert len(life.follower._of["gender"].recent) == 12
    life.follower.prepare(about(positive="0"))
    assert life.follower._of["gender"].recent == []
    assert life.follower._of["gender"].rows.sum() > 0


def test_its_size_is_bounded() -> None:
    """A thousand groups, windows without end: what is stored stays under 3 MB."""
    life, rng = Life(about()), np.random.default_rng(4)
    names = [str(k) for k in range(1_000)]
    sizes = []
    for _ in range(60):
        rates = rng.random(1_000).tolist()
        world = World(rows=2_000, shares=[1.0] * 1_000, qualified=[0.5] * 1_000, tpr=rates, fpr=rates, names=names,
                      seed=life.index)  # fmt: skip
        life.through(world, 1)
        sizes.append(len(life.follower.dump()))
    assert max(sizes) < 3 << 20
    assert sizes[-1] < 1.2 * sizes[49]
