"""Streams of approvals by group, as batches and joined pairs, and a follower that lives through them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.bins import Layout
from agent.config.disparity_limits import disparity_limits
from agent.config.own import Settings
from agent.fairness.follower import Fairness
from agent.following import About
from agent.ledger import Dial, Ledger
from agent.records import Batch, Columns, Finding, Floats, Ints, ModelKey, Numbers, Pairs, Task, Texts
from agent.reference.profile import Reference

MODEL = ModelKey("loans", "1")
HOUR_NS = 3_600_000_000_000
CLASSES = ("0", "1")


def settings(limit: str = "", groups: str = "numbers", names: Sequence[str] = ("gender",)) -> Settings:
    return Settings.of({
        "fairness": tuple(names), "fairness_limit": disparity_limits(limit), "fairness_groups": groups,
    })  # fmt: skip


def about(
    own: Settings | None = None, task: Task = Task.BINARY, reference: Reference | None = None, dial: float = 0.05,
    positive: str = "1", threshold: float = math.nan,
) -> About:  # fmt: skip
    ledger = Ledger.of(Dial(dial), Layout(()), 3600.0, ("fairness",))
    return About(MODEL, own or settings(), ledger, HOUR_NS, reference, task, positive, threshold)


def batch(groups: Ints, chosen: Any, names: Sequence[str] = ("f", "m"), weights: Floats | None = None) -> Batch:
    """groups: places in `names`, -1 none."""
    state = None if (groups >= 0).all() else (groups < 0).astype(np.uint8)
    column = Texts(tuple(names), np.maximum(groups, 0).astype(np.int32), state)
    outputs = Columns(texts={"prediction": Texts(CLASSES, np.asarray(chosen).astype(np.int32))})
    return Batch(MODEL, len(groups), 0, Columns(), outputs, protected={"gender": column}, weights=weights)


def pairs(
    groups: Ints, chosen: Any, actual: Any, names: Sequence[str] = ("f", "m"), scores: Floats | None = None,
    weights: Floats | None = None, key: str = "gender",
) -> Pairs:  # fmt: skip
    rows = len(groups)
    nothing, times = np.zeros(rows, np.uint64), np.zeros(rows, np.int64)
    given, truth = np.asarray(chosen), np.asarray(actual)
    return Pairs(
        MODEL, rows, nothing, nothing, times, times, given.astype(np.float64), truth.astype(np.float64),
        given.astype(np.int32), truth.astype(np.int32), CLASSES,
        np.full((rows, 1), np.nan) if scores is None else scores[:, None], ("",),
        np.ones(rows) if weights is None else weights, groups={key: groups.astype(np.int32)}, names=tuple(names),
    )  # fmt: skip


def errors(groups: Ints, error: Floats, names: Sequence[str] = ("f", "m")) -> Pairs:
    """Of a regression: predicted is the error, the truth 0."""
    rows = len(groups)
    nothing, times, none = np.zeros(rows, np.uint64), np.zeros(rows, np.int64), np.full(rows, -1, np.int32)
    return Pairs(
        MODEL, rows, nothing, nothing, times, times, error, np.zeros(rows), none, none, (), np.zeros((rows, 0)), (),
        np.ones(rows), groups={"gender": groups.astype(np.int32)}, names=tuple(names),
    )  # fmt: skip


def numbers(values: Floats) -> Columns:
    return Columns(numbers={"prediction": Numbers(values)})


@dataclass
class World:
    """Approvals: rate by group, true positive and false positive rates by group, drifting together by `wander` (sd) a
    window and apart by `apart`, both as AR(1) with `rho`."""

    rows: int = 1000
    shares: Sequence[float] = (0.5, 0.5)
    qualified: Sequence[float] = (0.5, 0.5)
    tpr: Sequence[float] = (0.8, 0.8)
    fpr: Sequence[float] = (0.2, 0.2)
    wander: float = 0.0
    apart: float = 0.0
    rho: float = 0.0
    labelled: bool = True
    seed: int = 0
    names: Sequence[str] = ("f", "m", "x", "y", "z")
    _state: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self._state = self.rng.normal(size=1 + len(self.shares))

    def window(self, change: Mapping[int, float] | None = None) -> tuple[Batch, Pairs]:
        """change: what is added to a group's rates of approval."""
        noise = self.rng.normal(size=self._state.size)
        self._state = self.rho * self._state + math.sqrt(1.0 - self.rho**2) * noise
        groups = self.rng.choice(len(self.shares), self.rows, p=np.asarray(self.shares) / sum(self.shares))
        actual = self.rng.random(self.rows) < np.asarray(self.qualified)[groups]
        rate = np.where(actual, np.asarray(self.tpr)[groups], np.asarray(self.fpr)[groups])
        shift = self.wander * self._state[0] + self.apart * self._state[1:]
        shift = shift + np.array([(change or {}).get(g, 0.0) for g in range(len(self.shares))])
        chosen = self.rng.random(self.rows) < np.clip(rate + shift[groups], 0.0, 1.0)
        score = np.clip(0.5 + 0.4 * (2.0 * chosen - 1.0) * self.rng.random(self.rows), 0.0, 1.0)
        return batch(groups, chosen, self.names), pairs(groups, chosen, actual, self.names, score)


@dataclass
class Life:
    """A follower that windows go through."""

    said: About
    follower: Fairness = field(default_factory=Fairness)
    index: int = 0

    def __post_init__(self) -> None:
        self.follower.prepare(self.said)

    def window(self, *parts: Batch | Pairs) -> list[Finding]:
        for part in parts:
            if isinstance(part, Batch):
                self.follower.predicted(part, self.index)
            else:
                self.follower.labelled(part, self.index)
        found = self.follower.close(self.index, (), (self.index + 1) * HOUR_NS)
        self.index += 1
        return found

    def through(self, world: World, windows: int, change: Mapping[int, float] | None = None) -> list[list[Finding]]:
        return [self.window(*self._seen(world, change)) for _ in range(windows)]

    @staticmethod
    def _seen(world: World, change: Mapping[int, float] | None) -> Sequence[Batch | Pairs]:
        made = world.window(change)
        return made if world.labelled else made[:1]
