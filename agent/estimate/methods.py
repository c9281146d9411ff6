"""Two ways to estimate one window: by calibrated scores, or by the loss that rows' cells lead one to expect.

Each keeps one flat array of sums a window, which add up over windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from agent.bins import Layout
from agent.counting.sampling import evenly
from agent.estimate.calibration import Calibration
from agent.estimate.expected import ACCURACY, Estimate, estimating, metrics
from agent.estimate.loss import LossModel, losses_of
from agent.estimate.spread import Past
from agent.estimate.validity import ACTUAL, EXPECTED, ROWS, SQUARES, TALLY, VARIANCE, WEIGHT
from agent.records import PRESENT, Batch, Floats, Ints, Numbers, Pairs, Task, select, shortest

NO_ROW = slice(0)
SAMPLE_ROWS = 4_096  # of a window: the trees cost some 4 µs a row, and more rows say no more than labels' chance hides
NONE: Ints = np.empty(0, dtype=np.int64)
Known = Callable[[int], Floats | None]  # by window, its sums


class Method(Protocol):
    """What the follower needs of either."""

    size: int  # of the sums
    past: Past
    unknown_words: str

    def count(self, batch: Batch, sums: Floats, before: float) -> None:
        """Adds a batch to its window's sums; before: rows of the window before this one."""
        ...

    def rows(self, sums: Floats) -> tuple[int, float, float]:
        """Rows counted, effective rows behind the estimate, share of rows that cannot be estimated."""
        ...

    def estimating(self, sums: Floats) -> Generator[None, None, dict[str, Estimate]]:
        """In steps."""
        ...

    def tested(self, sums: Floats) -> dict[str, Floats]:
        """The metrics of `past`, each as there: (pools,) of sums (pools, size); NaN where not defined."""
        ...

    def unsure(self, sums: Floats, metric: str) -> float:
        """Variance of a metric's difference to the reference's, from what the map itself does not know."""
        ...

    def outside(self, sums: Floats) -> float:
        """Share of the scores beyond the reference's, 0-1."""
        ...

    def tally(self, pairs: Pairs, window_ns: int, known: Known) -> Floats:
        """(6,) as `validity.against_labels` has it: losses that were expected of predictions whose label came."""
        ...


class ByScores:
    """Counts of scores by predicted class. Sums: rows, rows without a score or class, Σw², then (classes, bins)."""

    unknown_words = "have no score, or a class that the reference never predicted"

    def __init__(self, calibration: Calibration) -> None:
        self.calibration, self.past = calibration, calibration.past
        self.size = 3 + calibration.counts.size
        self._index = {name: i for i, name in enumerate(calibration.classes)}
        numbers = {value: i for name, i in self._index.items() if (value := _number(name)) == value}
        self._values = np.array(sorted(numbers), dtype=np.float64)
        self._inner = self._values[1:]  # a number of this bin is its lower end or none
        self._places = np.array([numbers[value] for value in sorted(numbers)], dtype=np.int64)
        self._tables: tuple[Sequence[str], Ints] = ((), NONE)

    def count(self, batch: Batch, sums: Floats, before: float) -> None:
        said = self._said(batch)
        score = self._score(batch, said)
        place = said * self.calibration.rates.shape[1] + self.calibration.bins_of(score)
        weights = batch.weights
        sums[0] += batch.rows
        if said.min(initial=0) < 0 or not math.isfinite(score.sum()):
            good = (said >= 0) & np.isfinite(score)
            place, weights = place[good], None if weights is None else weights[good]
        sums[1] += batch.rows - len(place)
        sums[2] += len(place) if weights is None else float(weights @ weights)
        sums[3:] += np.bincount(place, weights, minlength=self.size - 3)

    def rows(self, sums: Floats) -> tuple[int, float, float]:
        whole = float(sums[3:].sum())
        return int(sums[0]), whole**2 / sums[2] if sums[2] else 0.0, float(sums[1] / max(sums[0], 1.0))

    def estimating(self, sums: Floats) -> Generator[None, None, dict[str, Estimate]]:
        return estimating(self.calibration, self._counts(sums), float(sums[2]))

    def tested(self, sums: Floats) -> dict[str, Floats]:
        counts = sums[:, 3:].reshape(-1, *self.calibration.rates.shape)
        found = metrics(self.calibration, counts, self.calibration.rates)
        return {name: found[name] for name in self.past.metrics}

    def unsure(self, sums: Floats, metric: str) -> float:
        """By the replicas: each judges the window and the reference alike, so that only what differs is in doubt."""
        groups = len(self.calibration.replicas)
        if groups < 2:
            return 0.0
        apart = self._by_replica(self._counts(sums))[metric] - self._usual[metric]
        return (groups - 1) / groups * float(np.square(apart[1:] - apart[0]).sum())

    def _by_replica(self, counts: Floats) -> dict[str, Floats]:
        """(1 + groups,) by metric: by all of the reference, then without one part each."""
        rates: Floats = np.concatenate((self.calibration.rates[None], self.calibration.replicas.astype(np.float64)))
        return metrics(self.calibration, counts, rates)

    @cached_property
    def _usual(self) -> dict[str, Floats]:
        return self._by_replica(self.calibration.counts)

    def outside(self, sums: Floats) -> float:
        counts = self._counts(sums)
        return self.calibration.outside(counts) / max(float(counts.sum()), 1e-300)

    def tally(self, pairs: Pairs, window_ns: int, known: Known) -> Floats:
        table = np.array([*(self._index.get(name, -1) for name in pairs.classes), -1], dtype=np.int64)
        said, actual = table[pairs.predicted_class], table[pairs.actual_class]
        if self.calibration.binary:
            actual = np.where((actual < 0) & (pairs.actual_class >= 0), 0, actual)
        score = self._top([pairs.scores[:, i] for i in range(pairs.scores.shape[1])], pairs.score_names, said)
        if not math.isnan(self.calibration.threshold):
            said = np.where(np.isfinite(score), score >= self.calibration.threshold, -1)
        good = np.flatnonzero((said >= 0) & (pairs.actual_class >= 0) & np.isfinite(score))
        rate = self.calibration.rates[said[good], self.calibration.bins_of(score[good])]
        wrong = (said[good] != actual[good]).astype(np.float64)
        return _tally(pairs.weights[good], wrong, 1.0 - rate, rate * (1.0 - rate))

    def _counts(self, sums: Floats) -> Floats:
        return sums[3:].reshape(self.calibration.rates.shape)

    def _said(self, batch: Batch) -> Ints:
        """int64 (rows,): the predicted class's place, -1 none."""
        if not math.isnan(self.calibration.threshold):
            score = self._score(batch, NONE)
            return np.where(np.isfinite(score), score >= self.calibration.threshold, -1).astype(np.int64)
        numbers, texts = batch.outputs.numbers.get("prediction"), batch.outputs.texts.get("prediction")
        found = np.full(batch.rows, -1, dtype=np.int64) if numbers is None else self._of_numbers(numbers)
        if texts is not None and len(texts.dictionary):
            own = self._table(texts.dictionary)[texts.codes]
            there = True if texts.state is None else texts.state == PRESENT
            found = np.where(there, own, found)
        return found

    def _of_numbers(self, numbers: Numbers) -> Ints:
        if not len(self._values):
            return np.full(len(numbers.values), -1, dtype=np.int64)
        at = self._inner.searchsorted(numbers.values, side="right")
        there = self._values[at] == numbers.values
        if numbers.state is not None:
            there &= numbers.state == PRESENT
        elif there.all():
            return self._places[at]
        return np.where(there, self._places[at], -1)

    def _table(self, dictionary: Sequence[str]) -> Ints:
        if self._tables[0] is not dictionary:
            self._tables = dictionary, np.array([self._index.get(text, -1) for text in dictionary], dtype=np.int64)
        return self._tables[1]

    def _score(self, batch: Batch, said: Ints) -> Floats:
        numbers = batch.outputs.numbers
        lone = numbers.get("score")
        if lone is not None and lone.state is None and self.calibration.binary:
            return lone.values
        names = ["", *(self.calibration.classes if not self.calibration.binary else (self.calibration.positive,))]
        found = {name: numbers[key] for name in names if (key := f"score:{name}" if name else "score") in numbers}
        return self._top([_values(column) for column in found.values()], tuple(found), said, batch.rows)

    def _top(self, scores: Sequence[Floats], names: Sequence[str], said: Ints, rows: int = 0) -> Floats:
        """(rows,): the positive class's score; of several classes the predicted one's. The lone score comes first."""
        held = dict(zip(names, scores, strict=True))
        rows = len(scores[0]) if scores else rows or len(said)
        found = held.get("", np.full(rows, np.nan))
        if self.calibration.binary:
            own = held.get(self.calibration.positive)
            return found if own is None else own if "" not in held else np.where(np.isnan(found), own, found)
        for name, score in held.items():
            if name in self._index:
                found = np.where((said == self._index[name]) & np.isnan(found), score, found)
        return found


class ByLosses:
    """Of an even sample of rows the loss their cells lead one to expect. Sums: rows, Σw, Σw², then Σw·loss each."""

    unknown_words = "could not be placed"

    def __init__(self, model: LossModel, layout: Layout, task: Task) -> None:
        self.model, self.layout, self.task, self.past = model, layout, task, model.past
        self.size = 3 + len(model.metrics)

    def count(self, batch: Batch, sums: Floats, before: float) -> None:
        done = int(sums[0])
        sums[0] += batch.rows
        step = max(1, int(max(before, done / 2.0)) // SAMPLE_ROWS)  # of the first window it is not known
        kept = np.arange(batch.rows, dtype=np.int64)[evenly(done, batch.rows, step)]
        if not kept.size:
            return
        own = batch if kept.size == batch.rows else select(batch, kept)
        losses = self.model.losses(self.layout, self.layout.place(own, NO_ROW).cells)
        weights = np.full(kept.size, float(step)) if own.weights is None else own.weights * step
        sums[1] += weights.sum()
        sums[2] += weights @ weights
        sums[3:] += losses @ weights

    def rows(self, sums: Floats) -> tuple[int, float, float]:
        return int(sums[0]), float(sums[1] ** 2 / sums[2]) if sums[2] else 0.0, 0.0

    def estimating(self, sums: Floats) -> Generator[None, None, dict[str, Estimate]]:
        if not sums[1] > 0:
            return {}
        yield
        return self.model.estimates(sums[3:] / sums[1], float(max(sums[0], 1.0)))

    def tested(self, sums: Floats) -> dict[str, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = sums[:, 3] / sums[:, 1]
        return {self.past.metrics[0]: 1.0 - mean if self.past.metrics[0] == ACCURACY else mean}

    def unsure(self, sums: Floats, metric: str) -> float:
        """What trees expect of other rows than the reference's is a matter of belief, not of chance."""
        return 0.0

    def outside(self, sums: Floats) -> float:
        return 0.0

    def tally(self, pairs: Pairs, window_ns: int, known: Known) -> Floats:
        """Of each pair what was estimated of its prediction's window: its cells are not known any more."""
        loss = losses_of(pairs, self.task)[1][0]
        windows, which = np.unique(pairs.time_ns // window_ns, return_inverse=True)
        means = np.array([_mean(known(int(window))) for window in windows])
        expected = means[which]
        good = np.flatnonzero(np.isfinite(loss) & np.isfinite(expected))
        spread = np.full(good.size, self.model.noise[0])
        return _tally(pairs.weights[good], loss[good], expected[good], spread)



def _tally(weights: Floats, actual: Floats, expected: Floats, variance: Floats) -> Floats:
    found = np.zeros(TALLY)
    found[ROWS], found[WEIGHT], found[SQUARES] = len(weights), weights.sum(), weights @ weights
    found[ACTUAL], found[EXPECTED] = weights @ actual, weights @ expected
    found[VARIANCE] = weights**2 @ variance
    return found


def _mean(sums: Floats | None) -> float:
    return math.nan if sums is None or not sums[1] > 0 else float(sums[3] / sums[1])


def _values(column: Numbers) -> Floats:
    return column.values if column.state is None else np.where(column.state == PRESENT, column.values, np.nan)


def _number(name: str) -> float:
    """The number a class is, NaN where it is none."""
    try:
        value = float(name)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and shortest(value) == name else math.nan
