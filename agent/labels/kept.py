"""What is counted of labels: what became of them, how late they came, how many predictions got one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.counting.durations import SCALE
from agent.records import Floats, Ints, ModelKey
from agent.telemetry import LABEL_DELAY, LABELS_SETTLED, PREDICTIONS_UNLABELLED, Exponential, Point

# What becomes of a label. Every one received is of exactly one kind, or still waits.
KINDS = ("joined", "early", "repeated", "changed", "unknown", "unsampled")
DELAY_OFFSET = -32  # the first bucket ends at 4.6 ms, the last but one at 194 days
DELAY_BUCKETS = 128
_EDGES = 2.0 ** ((np.arange(DELAY_BUCKETS - 1) + DELAY_OFFSET + 1) / (1 << SCALE))
WINDOWS_KEPT = 24


@dataclass(slots=True)
class Kept:
    """kinds: KINDS, and "received", "predictions" that could get a label, "never": of them those that got none in
    time, "unkept": not in the sample. delay: int64 (128,). windows: of predictions, [predictions, labelled], the newest
    24; labelled: all, weighted by the sample."""

    kinds: Counter[str] = field(default_factory=Counter)
    delay: Ints = field(default_factory=lambda: np.zeros(DELAY_BUCKETS, np.int64))
    at_once: int = 0  # labels not later than their prediction
    late_ns: int = 0  # the delays together: whole, so that it does not matter which labels are settled together
    windows: dict[int, list[float]] = field(default_factory=dict)
    labelled: float = 0.0

    def predicted(self, indices: Ints) -> None:
        """Predictions of these windows wait for a label."""
        self.kinds["predictions"] += len(indices)
        self._count(indices, np.ones(len(indices)), 0)
        if len(self.windows) > WINDOWS_KEPT:
            self.windows = {i: self.windows[i] for i in sorted(self.windows)[-WINDOWS_KEPT:]}

    def joined(self, indices: Ints, late_ns: Ints, weights: Floats) -> None:
        """Predictions of these windows got their label so much later."""
        self.labelled += float(weights.sum())
        self._count(indices, weights, 1)
        later = late_ns[late_ns > 0]
        self.at_once += len(late_ns) - len(later)
        self.delay += np.bincount(np.searchsorted(_EDGES, later / 1e9, side="left"), minlength=DELAY_BUCKETS)
        self.late_ns += sum(later.tolist())  # may be more than 64 bits hold

    def _count(self, indices: Ints, weights: Floats, place: int) -> None:
        if len(indices) and indices.min() == indices.max():  # as nearly always
            numbers, at = indices[:1], np.zeros(len(indices), np.int64)
        else:
            numbers, at = np.unique(indices, return_inverse=True)
        for number, weight in zip(numbers.tolist(), np.bincount(at, weights).tolist(), strict=True):
            if place == 0 or number in self.windows:
                self.windows.setdefault(number, [0.0, 0.0])[place] += weight

    def coverage(self, window: int | None = None) -> float:
        """The share of predictions with a label (0-1), of a window of predictions or of all; NaN where there are
        none."""
        if window is None:
            predictions, labelled = float(self.kinds["predictions"]), self.labelled
        else:
            predictions, labelled = self.windows.get(window, [0.0, 0.0])
        return min(1.0, labelled / predictions) if predictions else float("nan")

    def points(self, model: ModelKey, since_ns: int) -> Iterator[Point]:
        """What became of labels, wherever the predictions wait."""
        for kind in KINDS:
            yield Point(LABELS_SETTLED, self.kinds[kind], of_model(model) | {"sidelight.outcome": kind}, since_ns)
        yield Point(LABEL_DELAY, self.histogram(), of_model(model), since_ns)
        yield Point(PREDICTIONS_UNLABELLED, self.kinds["never"], of_model(model), since_ns)

    def show(self) -> dict[str, Any]:
        """The same for the status and the page."""
        delays = {f"p{share}": or_none(quantile(self, share / 100)) for share in (50, 90, 99)}
        return {kind: self.kinds[kind] for kind in ("received", *KINDS, "never")} | {"delay_seconds": delays}

    def histogram(self) -> Exponential:
        """How late labels came, in seconds."""
        count = int(self.delay.sum()) + self.at_once
        return Exponential(count, self.late_ns / 1e9, SCALE, self.at_once, DELAY_OFFSET, self.delay.tolist())

    def dump(self) -> dict[str, Any]:
        return {
            "kinds": dict(self.kinds), "delay": self.delay.tolist(), "at_once": self.at_once, "late_ns": self.late_ns,
            "windows": [[index, *both] for index, both in self.windows.items()], "labelled": self.labelled,
        }  # fmt: skip

    @classmethod
    def load(cls, held: dict[str, Any]) -> Kept:
        """Raises ValueError, KeyError or TypeError where it is none."""
        delay = np.array(held["delay"], dtype=np.int64)
        if delay.shape != (DELAY_BUCKETS,):
            raise ValueError("delay")
        windows = {int(index): [float(a), float(b)] for index, a, b in held["windows"]}
        kinds: Counter[str] = Counter({str(kind): int(count) for kind, count in held["kinds"].items()})
        return cls(kinds, delay, int(held["at_once"]), int(held["late_ns"]), windows, float(held["labelled"]))


def of_model(model: ModelKey) -> dict[str, Any]:
    """Attributes of all versions together."""
    tenant = {"sidelight.tenant": model.tenant} if model.tenant else {}
    return {"sidelight.model.name": model.name, **tenant}


def or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def quantile(kept: Kept, share: float) -> float:
    """Seconds within which this share of the labels came, to a fifth; NaN without labels."""
    rising = np.concatenate(([kept.at_once], kept.at_once + np.cumsum(kept.delay)))
    if not rising[-1]:
        return float("nan")
    at = int(np.searchsorted(rising, share * rising[-1]))
    return 0.0 if at == 0 else float(2.0 ** ((at - 0.5 + DELAY_OFFSET) / (1 << SCALE)))
