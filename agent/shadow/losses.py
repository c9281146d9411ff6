"""How wrong each prediction was, and the sums by which two versions are compared, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from agent.records import Bools, Floats, Ints, Pairs, Task
from agent.shadow.sequence import PHANTOM, spread, unseen

BLOCKS_MAX = 256  # then two neighbours become one
LOSS_MAX = 1e100  # larger ones have no square; they are left out
NEXT_TO_NOTHING = 1e-30
WORDS = {
    "error": "error rate",
    "brier": "Brier score",
    "absolute": "mean absolute error",
    "squared": "mean squared error",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a version. threshold: NaN unknown."""

    task: Task = Task.UNKNOWN
    positive: str = ""
    threshold: float = float("nan")


def loss_of(asked: str, task: Task, pairs: Pairs) -> str:
    """Which loss these pairs have; empty: none that can be compared. asked: the option's value."""
    if task is Task.RANKING:
        return ""  # the rows of one list are no requests
    if asked != "auto":
        return asked
    if task in (Task.BINARY, Task.MULTICLASS):
        return "error"
    numbers = bool((np.isfinite(pairs.predicted) & np.isfinite(pairs.actual)).any())
    return "absolute" if task is Task.REGRESSION or numbers else "error"


def losses(pairs: Pairs, loss: str, known: Known) -> Floats:
    """float64 (rows,); NaN where there is none."""
    with np.errstate(over="ignore", invalid="ignore"):
        if loss == "error":
            found = _errors(pairs, known)
        elif loss == "brier":
            found = _brier(pairs, known.positive)
        else:
            found = np.abs(pairs.predicted - pairs.actual)
            found = np.square(found) if loss == "squared" else found
    return np.where(np.abs(found) < LOSS_MAX, found, np.nan)


def _errors(pairs: Pairs, known: Known) -> Floats:
    """1 where the class is wrong; by score and threshold where no class was given."""
    wrong = (pairs.predicted_class != pairs.actual_class).astype(np.float64)
    missing = pairs.predicted_class < 0
    if known.positive and missing.any() and known.threshold == known.threshold:
        score, true = pairs.score(known.positive), _is(pairs, known.positive)
        wrong = np.where(missing & np.isfinite(score), (score >= known.threshold) != true, wrong)
        missing = missing & ~np.isfinite(score)
    return np.where(missing | (pairs.actual_class < 0), np.nan, wrong)


def _brier(pairs: Pairs, positive: str) -> Floats:
    """Brier 1950: of the positive class, or over all classes that have a score."""
    if positive:
        found = np.square(pairs.score(positive) - _is(pairs, positive))
    else:
        each = [np.square(pairs.scores[:, i] - _is(pairs, name)) for i, name in enumerate(pairs.score_names) if name]
        found = np.sum(each, axis=0) if each else np.full(pairs.rows, np.nan)
    return np.where(pairs.actual_class < 0, np.nan, found)


def _is(pairs: Pairs, label: str) -> Bools:
    place = next((i for i, text in enumerate(pairs.classes) if text == label), -2)
    return np.asarray(pairs.actual_class == place)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean difference. variance: of the mean; labels: how many independent weights it is of; dispersion: by how much
    the variance is above that of independent labels; all: labels counted; windows: with labels; freedom: degrees that
    the variance is known by; unseen: how many times itself it may be while windows are so few."""

    mean: float
    variance: float
    labels: float
    dispersion: float
    all: int
    windows: int
    freedom: float = math.inf
    unseen: float = 1.0


@dataclass(slots=True)
class Sums:
    """Losses of one version, or of two on the same requests, by window.

    blocks: float64 (blocks, 1 + versions): weight and weighted losses of `span` windows each; ids: int64 (blocks,),
    rising: window // span; squares: weight² times (1, losses, their products), most: the largest |weight × loss| of
    each, and of their difference.
    """

    versions: int
    span: int = 1
    windows: int = 0
    newest: int = -1
    labels: int = 0
    ids: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    blocks: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    squares: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    most: Floats = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        if not self.blocks.size:
            self.blocks = np.zeros((0, 1 + self.versions))
        if not self.squares.size:
            self.squares = np.zeros((1 + self.versions, 1 + self.versions))

    def add(self, window: int, weights: Floats, *losses: Floats) -> None:
        """Labels that came in this window. losses: float64 (rows,) of each version."""
        rows = np.stack([weights, *(weights * each for each in losses)])
        if not rows.shape[1]:
            return
        self.labels += rows.shape[1]
        self.squares = self.squares + rows @ rows.T
        apart = np.abs(rows[1] - rows[-1]).max()
        self.most = np.maximum(self.most, (np.abs(rows[1]).max(), np.abs(rows[-1]).max(), apart))
        if window > self.newest:
            self.newest, self.windows = window, self.windows + 1
        block = window // self.span
        if not len(self.ids) or block > self.ids[-1]:
            self.ids, self.blocks = np.append(self.ids, block), np.vstack((self.blocks, np.zeros(1 + self.versions)))
        self.blocks[-1] += rows.sum(axis=1)
        while len(self.ids) > BLOCKS_MAX:
            self._widen(self.span * 2)

    def _widen(self, span: int) -> None:
        self.ids, self.blocks = self.by(span)
        self.span = span

    def by(self, span: int) -> tuple[Ints, Floats]:
        """ids and blocks of `span` windows, a multiple of its own."""
        ids = self.ids // (span // self.span)
        begins = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.zeros(0, np.int64)
        return ids[begins], np.add.reduceat(self.blocks, begins, axis=0) if len(ids) else self.blocks

    def means(self) -> Floats:
        """float64 (versions,); there must be labels."""
        total = self.blocks.sum(axis=0)
        return np.asarray(total[1:] / total[0])

    @property
    def effective(self) -> float:
        """Kish 1965: how many labels of one weight tell as much."""
        return float(self.blocks[:, 0].sum() ** 2 / self.squares[0, 0]) if self.labels else 0.0

    def independent(self, factors: Floats) -> float:
        """Variance of the mean of factors · losses, if every label were by itself. factors: (versions,)."""
        line = np.concatenate(([-float(factors @ self.means())], factors))
        correction = self.effective / max(self.effective - 1.0, 0.5)
        return max(float(line @ self.squares @ line), 0.0) * correction / float(self.blocks[:, 0].sum()) ** 2


def paired(sums: Sums, factors: Floats) -> Estimate:
    """The mean of factors · losses of two versions on the same requests."""
    weight = sums.blocks[:, 0]
    total, mean = float(weight.sum()), float(factors @ sums.means())
    residuals = (sums.blocks[:, 1:] @ factors - mean * weight) / total
    # The larger of the two stands for their difference; what the factors leave of either comes on top.
    largest = abs(factors).max() * sums.most[2] + abs(factors.sum()) * sums.most[:2].max()
    return _estimate(mean, sums.independent(factors), residuals, weight, largest / total, sums.effective, sums)


def apart(first: Sums, second: Sums, factors: Floats) -> Estimate:
    """The same of two versions on requests of their own."""
    span = max(first.span, second.span)
    parts, weights = [], []
    ids = np.union1d(first.by(span)[0], second.by(span)[0])
    independent, mean, largest = 0.0, 0.0, 0.0
    for sums, factor in zip((first, second), factors, strict=True):
        own, blocks = sums.by(span)
        total, level = float(blocks[:, 0].sum()), float(sums.means()[0])
        part, weight = np.zeros(len(ids)), np.zeros(len(ids))
        at = np.searchsorted(ids, own)
        part[at], weight[at] = factor * (blocks[:, 1] - level * blocks[:, 0]) / total, blocks[:, 0] / total
        parts.append(part)
        weights.append(weight)
        mean += factor * level
        independent += sums.independent(np.array([factor]))
        largest = max(largest, abs(factor) * sums.most[0] / total)
    labels = min(first.effective, second.effective)
    fewer = min(first, second, key=lambda one: one.windows)
    found = _estimate(mean, independent, parts[0] + parts[1], weights[0] + weights[1], largest, labels, fewer)
    return replace(found, all=first.labels + second.labels)


def _estimate(
    mean: float, independent: float, residuals: Floats, weights: Floats, largest: float, labels: float, sums: Sums
) -> Estimate:
    least = max(independent, NEXT_TO_NOTHING)
    found = spread(residuals, weights, least)
    variance = found.variance + (PHANTOM * largest) ** 2
    wider = 1.0 + unseen(sums.windows) * least / variance
    return Estimate(mean, variance, labels, variance / least, sums.labels, sums.windows, found.freedom, wider)
