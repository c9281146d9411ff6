"""Worlds of labelled predictions with known errors, for these tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agent.bins import Layout
from agent.concept.follower import Concept
from agent.config import Settings
from agent.following import About
from agent.ledger import RUNNING, Dial, Ledger
from agent.records import Finding, ModelKey, Pairs, Task
from agent.reference.profile import Reference

KEY = ModelKey("loan", "1")
HOUR = 3600
HOUR_NS = HOUR * 10**9
CLASSES = ("no", "yes")


def about(
    task: Task = Task.BINARY, dial: float = 0.05, positive: str = "yes", reference: Reference | None = None
) -> About:
    ledger = Ledger.of(Dial(dial), Layout(()), float(HOUR), (*RUNNING, "concept_drift"))
    return About(KEY, Settings(), ledger, HOUR_NS, reference, task, positive, 0.5)


class World:
    """Half of the truth is yes. effect: standard deviation of every window's own rate."""

    def __init__(self, seed: int, labels: int = 1000, segments: Sequence[str] = (), effect: float = 0.0) -> None:
        self.random = np.random.default_rng(seed)
        self.labels, self.segments, self.effect = labels, segments, effect

    def classified(self, index: int, false_positive: float, false_negative: float, worse: float = 1.0) -> Pairs:
        """Rates among all labels of their own side; worse: times as many errors in the first segment."""
        n, rng = self.labels, self.random
        actual = (rng.random(n) < 0.5).astype(np.int32)
        region = rng.integers(0, max(len(self.segments), 1), n).astype(np.int32)
        rate = np.where(actual == 1, false_negative, false_positive) * np.where(region == 0, worse, 1.0)
        mean = (false_negative + false_positive) / 2.0
        if self.effect:
            share = mean * (1.0 - mean) / self.effect**2 - 1.0
            rate *= rng.beta(mean * share, (1.0 - mean) * share) / mean
        predicted = np.where(rng.random(n) < rate, 1 - actual, actual).astype(np.int32)
        nothing = np.full(n, np.nan)
        return self._pairs(index, nothing, nothing, (predicted, actual), region)

    def scored(self, index: int, level: float, fall: float = 0.0, slope: float = 1.0, bias: float = 0.0) -> Pairs:
        """Log-odds normal around level; fall: by how much fewer come, in the first segment twice that. The score's are
        slope · these + bias; "yes" is said from a half on."""
        n, rng = self.labels, self.random
        logits = level + rng.standard_normal(n)
        region = rng.integers(0, max(len(self.segments), 1), n).astype(np.int32)
        falls = fall * np.where((region == 0) & (len(self.segments) > 1), 2.0, 1.0)
        actual = (rng.random(n) < 1.0 / (1.0 + np.exp(falls - logits))).astype(np.int32)
        score = 1.0 / (1.0 + np.exp(-slope * logits - bias))
        nothing = np.full(n, np.nan)
        pairs = self._pairs(index, nothing, nothing, ((score >= 0.5).astype(np.int32), actual), region)
        return replace(pairs, scores=score[:, np.newaxis])

    def numbered(self, index: int, sigma: float, bias: float = 0.0) -> Pairs:
        """Predictions of 100 whose errors are normal."""
        n = self.labels
        truth = 100.0 + bias + sigma * self.random.standard_normal(n)
        none = np.full(n, -1, dtype=np.int32)
        return self._pairs(index, np.full(n, 100.0), truth, (none, none), np.zeros(n, np.int32))

    def _pairs(
        self, index: int, predicted: np.ndarray, actual: np.ndarray, classes: tuple[np.ndarray, np.ndarray],
        region: np.ndarray,
    ) -> Pairs:  # fmt: skip
        n = self.labels
        none, times = np.zeros(n, dtype=np.uint64), np.full(n, index * HOUR_NS, dtype=np.int64)
        return Pairs(
            KEY, n, none, none, times, times, predicted, actual, *classes, CLASSES, np.full((n, 1), np.nan), ("",),
            np.ones(n), segments={"region": region} if self.segments else {}, names=tuple(self.segments),
        )  # fmt: skip


def closed(concept: Concept, pairs: Pairs, index: int, beside: Sequence[Finding] = ()) -> list[Finding]:
    """The findings of one window that holds these labels alone."""
    concept.labelled(pairs, index)
    concept.beside(beside)
    return concept.close(index, (), (index + 1) * HOUR_NS)


def watching(told: About | None = None) -> Concept:
    concept = Concept()
    concept.prepare(told or about())
    return concept
