"""Counts of joined pairs from which every figure of performance is made: additive, in constant memory, weights kept.

Two `Outcomes` of one form add up entry by entry, whatever windows, segments or replicas they are of. Means come as
(rows, Σw, Σw², Σwx, Σw²x, Σw²x²): the mean exactly, and its variance whatever the weights. What needs the order of
scores (ROC AUC, average precision) comes from a histogram by true class; everything else is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.performance.form import CALIBRATION_BINS, ERROR_BINS, MOMENTS, QUANTILES, RANKS, Form
from agent.performance.scores import score_bins
from agent.performance.seen import Seen
from agent.records import Batch, Bools, Cells, Floats, Ints, Task

LOG_SMALLEST = float(np.finfo(np.float64).eps)  # of the probability of what came true: scikit-learn's
TESTED_SMALLEST = 1e-3  # where it is judged: one confident mistake in a small window is no trend
TRUE_SMALLEST = LOG_SMALLEST  # of a true number an error is a share of; of less it is no share of anything
EDGES = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)[1:-1]

Entries = Iterator[tuple[Ints, Ints, Floats]]  # rows, places in the sums, what is added there


@dataclass(frozen=True, slots=True)
class Means:
    """rows: int64 (n,), which pairs; x, there: (means, n), what is averaged and where it is known; weights: (n,)."""

    rows: Ints
    x: Floats
    there: Bools
    weights: Floats

    def moments(self) -> Floats:
        """float64 (means * 6, n): what each pair adds to each mean's moments."""
        w = self.there * self.weights
        square, x = w * self.weights, np.where(self.there, self.x, 0.0)
        found = np.stack((self.there.astype(np.float64), w, square, w * x, square * x, square * x * x), axis=1)
        return found.reshape(found.shape[0] * MOMENTS, len(self.rows))


@dataclass(slots=True)
class Outcomes:
    """sums: float64 (form.size,). reach: float64 (2, bins), each bin's smallest and largest score, ±inf where empty:
    what tells scores that are equal from such that only share a bin."""

    form: Form
    sums: Floats
    reach: Floats

    @classmethod
    def empty(cls, form: Form) -> Outcomes:
        return cls(form, np.zeros(form.size), _no_reach(form))

    def add(self, seen: Seen) -> None:
        """Counts pairs. About 0.3 microseconds each in bulk."""
        self.sums += count(self.form, seen)[0]
        if self.form.task is Task.BINARY:
            rows = np.flatnonzero(~np.isnan(seen.score) & (seen.actual >= 0))
            scores = seen.score[rows]
            bins = score_bins(scores, self.form.bins)
            np.minimum.at(self.reach[0], bins, scores)
            np.maximum.at(self.reach[1], bins, scores)

    def shown(self, batch: Batch) -> None:
        """Counts the items that a ranking showed, by position: what clicks are a share of."""
        items = batch.items
        if self.form.task is not Task.RANKING or items is None:
            return
        weights = np.repeat(np.ones(batch.rows) if batch.weights is None else batch.weights, items.lengths)
        self.form.part(self.sums, "impressions")[...] += _to_each_rank(items.positions, weights)

    def __add__(self, other: Outcomes) -> Outcomes:
        """Of both together. Raises ValueError for different forms of count."""
        if (self.form.task, self.form.bins) != (other.form.task, other.form.bins):
            raise ValueError(f"outcomes of {self.form.task.name} and {other.form.task.name} do not add up")
        low, high = np.minimum(self.reach[0], other.reach[0]), np.maximum(self.reach[1], other.reach[1])
        return Outcomes(self.form, self.sums + other.sums, np.stack((low, high)))

    @property
    def rows(self) -> float:
        """Pairs of which anything could be counted."""
        return float(self.form.part(self.sums, "means")[:, 0].max())


def _no_reach(form: Form) -> Floats:
    bins = form.bins if form.task is Task.BINARY else 0
    return np.stack((np.full(bins, np.inf), np.full(bins, -np.inf)))


def count(form: Form, seen: Seen, groups: Sequence[Ints] | None = None, size: int = 1) -> Floats:
    """float64 (size, form.size): sums of pairs by group. groups: int64 (rows,) each, a pair in one of each, -1 in none;
    None: all are in group 0."""
    entries = list(_ENTRIES[form.task](form, seen))
    found = np.zeros((size, form.size))
    rows, place, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    for group in [np.zeros(len(seen.weights), dtype=np.int64)] if groups is None else groups:
        own = group[rows]
        inside = np.flatnonzero(own >= 0)
        flat = place[inside] + own[inside] * form.size
        found += np.bincount(flat, value[inside], minlength=found.size).reshape(found.shape)
    found[:, : MOMENTS * len(form.means)] = _moments(_MEANS[form.task](form, seen), groups, size)
    return found


def count_losses(form: Form, seen: Seen, groups: Sequence[Ints], size: int) -> Floats:
    """float64 (size, tested, 6): of the same only what is judged."""
    return form.losses(_moments(_MEANS[form.task](form, seen), groups, size))


def _moments(means: Means, groups: Sequence[Ints] | None, size: int) -> Floats:
    """(size, means * 6)"""
    each = means.moments()
    if groups is None:
        return np.asarray(each.sum(axis=1)[np.newaxis])
    found = np.zeros((size, len(each)))
    for group in groups:
        own = group[means.rows]
        order = np.argsort(own, kind="stable")
        order = order[np.searchsorted(own[order], 0) :]
        if order.size:
            there, begins = np.unique(own[order], return_index=True)
            found[there] += np.add.reduceat(each[:, order], begins, axis=1).T
    return found


def _binary_means(form: Form, seen: Seen) -> Means:
    known, score = seen.actual >= 0, seen.score
    inside = known & (score >= 0.0) & (score <= 1.0)
    p, true = np.where(inside, score, 0.5), seen.actual.astype(np.float64)
    of_truth = np.where(seen.actual == 1, p, 1.0 - p)
    x = np.stack((~seen.right, *_log_losses(of_truth), np.square(p - true), p - true))
    return _means(seen, x, np.stack((known & (seen.said >= 0), inside, inside, inside, inside)))


def _binary(form: Form, seen: Seen) -> Entries:
    known, score = seen.actual >= 0, seen.score
    yield from _left_out(form, known & (seen.said < 0), known & np.isnan(score), ~known)
    decided = np.flatnonzero(known & (seen.said >= 0))
    place = form.starts["confusion"] + 2 * (2 * seen.actual[decided].astype(np.int64) + seen.said[decided])
    yield from _weighted(seen, decided, place)
    scored = np.flatnonzero(known & ~np.isnan(score))
    side, w = seen.actual[scored].astype(np.int64), seen.weights[scored]
    yield scored, form.starts["histogram"] + side * form.bins + score_bins(score[scored], form.bins), w
    yield scored, form.starts["squares"] + side, w * w
    rows = scored[(score[scored] >= 0.0) & (score[scored] <= 1.0)]
    w, at = seen.weights[rows], form.starts["calibration"] + 4 * np.searchsorted(EDGES, score[rows])
    for k, value in enumerate((w, w * score[rows], w * seen.actual[rows], w * w)):
        yield rows, at + k, value


def _multiclass_means(form: Form, seen: Seen) -> Means:
    known = seen.actual >= 0
    scored = known & (seen.score >= 0.0) & (seen.score <= 1.0)
    x = np.stack((~seen.right, *_log_losses(np.where(scored, seen.score, 0.5))))
    return _means(seen, x, np.stack((known & (seen.said >= 0), scored, scored)))


def _multiclass(form: Form, seen: Seen) -> Entries:
    known = seen.actual >= 0
    scored = (seen.score >= 0.0) & (seen.score <= 1.0)
    yield from _left_out(form, known & (seen.said < 0), known & ~scored, ~known)
    rows = np.flatnonzero(known & (seen.said >= 0))
    actual, said = seen.actual[rows].astype(np.int64), seen.said[rows].astype(np.int64)
    if form.fine:
        yield from _weighted(seen, rows, form.starts["confusion"] + 2 * (form.parts["confusion"][1] * actual + said))
        return
    start, side = form.starts["by_class"], form.parts["by_class"][1]
    right = actual == said
    yield from _weighted(seen, rows[right], start + 2 * actual[right])
    yield from _weighted(seen, rows, start + 2 * (side + actual))
    yield from _weighted(seen, rows, start + 2 * (2 * side + said))


def _errors(seen: Seen) -> tuple[Bools, Floats]:
    known = np.isfinite(seen.true) & np.isfinite(seen.predicted)
    return known, np.where(known, seen.predicted - seen.true, 0.0)


def _regression_means(form: Form, seen: Seen) -> Means:
    known, error = _errors(seen)
    size, apart = np.abs(error), known & (np.abs(seen.true) > TRUE_SMALLEST)
    share = size / np.abs(np.where(apart, seen.true, 1.0))
    pinball = [0.5 * size - (q - 0.5) * error for q in QUANTILES]  # of truth - prediction
    x = np.stack((size, np.square(error), error, share, *pinball))
    return _means(seen, x, np.stack([known, known, known, apart, *[known] * len(QUANTILES)]))


def _regression(form: Form, seen: Seen) -> Entries:
    known, error = _errors(seen)
    true = np.isfinite(seen.true)
    yield from _left_out(form, true & ~known, np.zeros_like(true), ~true)
    rows = np.flatnonzero(known)
    w, t, e2 = seen.weights[rows], seen.true[rows] - form.pivot, np.square(error[rows])
    sums = (w * t, w * t**2, *(w * w * t**k for k in (1, 2, 3, 4)), w * w * e2 * t, w * w * e2 * t**2)
    for k, value in enumerate(sums):
        yield rows, np.full(len(rows), form.starts["truth"] + k), value
    yield rows, form.starts["errors"] + error_bins(error[rows]), w


def _ranking_means(form: Form, seen: Seen) -> Means:
    first, found = _gains(seen)
    x = np.stack((*found, 1.0 - found[-1]))
    return Means(first, x, np.ones(x.shape, dtype=np.bool_), seen.weights[first])


def _ranking(form: Form, seen: Seen) -> Entries:
    clicked = np.flatnonzero(seen.actual == 1)
    position = seen.position[clicked]
    for k, rank in enumerate((*RANKS, None)):
        there = np.ones(len(clicked), bool) if rank is None else (position >= 1) & (position <= rank)
        place = np.full(int(there.sum()), form.starts["clicks"] + 2 * k)
        yield from _weighted(seen, clicked[there], place)
    placed = (seen.position > 0) | (seen.actual < 0)
    nothing = np.zeros_like(placed)
    yield from _left_out(form, ~placed, nothing, nothing)


_ENTRIES = {
    Task.BINARY: _binary, Task.MULTICLASS: _multiclass, Task.REGRESSION: _regression, Task.RANKING: _ranking,
}  # fmt: skip
_MEANS = {
    Task.BINARY: _binary_means, Task.MULTICLASS: _multiclass_means, Task.REGRESSION: _regression_means,
    Task.RANKING: _ranking_means,
}  # fmt: skip


def _gains(seen: Seen) -> tuple[Ints, Floats]:
    """A row of each list with a gain, and (ranks, lists) its NDCG at k: Järvelin and Kekäläinen (2002), gains as given.

    Items of a list without a label gained nothing. A list whose labels come in several messages counts as several.
    """
    gain = np.where(np.isnan(seen.true), seen.actual == 1, np.maximum(seen.true, 0.0))
    rows = np.flatnonzero((gain > 0) & (seen.position > 0))
    lists, first, inverse = np.unique(seen.lists[rows], return_index=True, return_inverse=True)
    own, position = gain[rows], seen.position[rows].astype(np.float64)
    order = np.lexsort((-own, inverse))
    begins = np.searchsorted(inverse[order], np.arange(len(lists)))
    ideal = np.empty(len(rows))
    ideal[order] = np.arange(len(rows)) - begins[inverse[order]] + 1.0
    found = np.empty((len(RANKS), len(lists)))
    for k, rank in enumerate(RANKS):
        got, best = (
            np.bincount(inverse, np.where(at <= rank, own / np.log2(1.0 + at), 0.0), minlength=len(lists))
            for at in (position, ideal)
        )
        found[k] = np.minimum(got / best, 1.0)  # items that share a position would gain more than there is
    return rows[first], found


def error_bins(errors: Floats) -> Ints:
    """0 … 2 ERROR_BINS: the error's sign and size in half octaves, zero in the middle."""
    size = np.clip(2.0 * np.log2(np.maximum(np.abs(errors), 2.0**-21)) + ERROR_BINS / 2, 0, ERROR_BINS - 1)
    return np.asarray(ERROR_BINS + np.sign(errors) * (1 + size.astype(np.int64)), dtype=np.int64)


def _log_losses(p: Floats) -> tuple[Floats, Floats]:
    """As it is judged, and as it is known."""
    return -np.log(np.maximum(p, TESTED_SMALLEST)), -np.log(np.clip(p, LOG_SMALLEST, 1.0 - LOG_SMALLEST))


def _means(seen: Seen, x: np.ndarray, there: Bools) -> Means:
    return Means(np.arange(len(seen.weights)), x.astype(np.float64), there, seen.weights)


def _weighted(seen: Seen, rows: Ints, place: Ints) -> Entries:
    w = seen.weights[rows]
    yield rows, place, w
    yield rows, place + 1, w * w


def _left_out(form: Form, *left: Bools) -> Entries:
    """How many pairs had no decision, no score, no truth."""
    for k, which in enumerate(left):
        rows = np.flatnonzero(which)
        yield rows, np.full(len(rows), form.starts["left_out"] + k), np.ones(len(rows))


def _to_each_rank(positions: Cells, weights: Floats) -> Floats:
    """(ranks + 1, 2): Σw and Σw² of positions up to each rank, and of all."""
    found = []
    for rank in (*RANKS, None):
        w = weights if rank is None else weights[(positions >= 1) & (positions <= rank)]
        found.append((w.sum(), np.square(w).sum()))
    return np.array(found)
