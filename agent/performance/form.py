"""What is counted of a task's outcomes, and where it stands in one flat array of sums."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from agent.records import Floats, Task

FINE, COARSE = 4096, 64  # bins of scores: of the whole, and of one segment
CLASSES_MAX = 50  # of a multiclass model that have a place of their own; the rest are "other"
CALIBRATION_BINS = 10  # of equal width, as people draw them
RANKS = (1, 3, 5, 10)  # k of precision at k and NDCG at k
QUANTILES = (0.1, 0.5, 0.9)
VALUE_MAX = 1e60  # of a number: a larger one's fourth power, weighed, is none
ERROR_BINS = 80  # half octaves of an error's size on each side of zero, from 2**-20 to 2**20
ROWS, W, W2, WX, W2X, W2XX = range(6)  # of a mean: rows, Σw, Σw², Σwx, Σw²x, Σw²x²
MOMENTS = 6

QUANTILE_LOSSES = tuple(f"quantile_loss_{q:g}" for q in QUANTILES)
# Pairs without a decision (a predicted number), a score, a truth of the task's kind.
LEFT_OUT = ("undecided", "unscored", "untrue")
MEANS: Mapping[Task, tuple[str, ...]] = {
    Task.BINARY: ("error", "tested_log_loss", "log_loss", "brier", "calibration_bias"),
    Task.MULTICLASS: ("error", "tested_log_loss", "log_loss"),
    Task.REGRESSION: ("absolute", "squared", "bias", "percentage", *QUANTILE_LOSSES),
    Task.RANKING: (*(f"ndcg_{k}" for k in RANKS), "lost_gain"),
}
# The losses that are judged: one that needs a decision, one that needs scores.
TESTED: Mapping[Task, tuple[str, ...]] = {
    Task.BINARY: ("error", "tested_log_loss"),
    Task.MULTICLASS: ("error", "tested_log_loss"),
    Task.REGRESSION: ("absolute",),
    Task.RANKING: ("lost_gain",),
}


@dataclass(frozen=True)
class Form:
    """positive: of a binary task. threshold: of the score; NaN: predicted labels alone decide. pivot: what true numbers
    are counted from, so that their squares keep their digits. bins: of scores."""

    task: Task
    positive: str = ""
    threshold: float = math.nan
    pivot: float = 0.0
    bins: int = FINE

    def __post_init__(self) -> None:
        if self.task not in MEANS:
            raise ValueError(f"no outcomes are counted of the task {self.task.name.lower()}")

    @cached_property
    def means(self) -> tuple[str, ...]:
        return MEANS[self.task]

    @cached_property
    def tested(self) -> tuple[int, ...]:
        """Which of the means are judged."""
        return tuple(self.means.index(name) for name in TESTED[self.task])

    @cached_property
    def coarse(self) -> Form:
        """The same of one segment, in less memory."""
        return replace(self, bins=COARSE)

    @property
    def fine(self) -> bool:
        return self.bins >= FINE

    @cached_property
    def parts(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes by name, in order. A last axis of 2 is (Σw, Σw²)."""
        found: dict[str, tuple[int, ...]] = {"means": (len(self.means), MOMENTS), "left_out": (len(LEFT_OUT),)}
        if self.task is Task.BINARY:
            found |= {
                "confusion": (2, 2, 2),  # by true class, then by decision
                "histogram": (2, self.bins), "squares": (2,),  # of scores by true class: Σw, and Σw² of all bins
                "calibration": (CALIBRATION_BINS, 4),  # Σw, Σw·score, Σw·true, Σw²
            }  # fmt: skip
        elif self.task is Task.MULTICLASS:
            side = CLASSES_MAX + 1
            # Of a segment only what is right, true and said of each class: all that precision and recall need.
            found |= {"confusion": (side, side, 2)} if self.fine else {"by_class": (3, side, 2)}
        elif self.task is Task.REGRESSION:
            found |= {"truth": (8,), "errors": (2 * ERROR_BINS + 1,)}
        else:
            found |= {"impressions": (len(RANKS) + 1, 2), "clicks": (len(RANKS) + 1, 2)}  # to each rank, and in all
        return found

    @cached_property
    def signature(self) -> str:
        """Eight hex digits: of another form the same places mean something else."""
        return f"{zlib.crc32(repr((self.means, tuple(self.parts.items()))).encode()):08x}"

    @cached_property
    def starts(self) -> Mapping[str, int]:
        sizes = [math.prod(shape) for shape in self.parts.values()]
        return dict(zip(self.parts, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))

    @cached_property
    def size(self) -> int:
        return sum(math.prod(shape) for shape in self.parts.values())

    def part(self, sums: Floats, name: str) -> Floats:
        """A view of one part of sums (..., size)."""
        shape, start = self.parts[name], self.starts[name]
        return sums[..., start : start + math.prod(shape)].reshape(*sums.shape[:-1], *shape)

    def losses(self, sums: Floats) -> Floats:
        """float64 (..., tested, 6): of sums (..., size) what is judged."""
        return self.part(sums, "means")[..., self.tested, :]
