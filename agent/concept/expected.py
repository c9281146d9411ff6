"""What outcome the scores told of, and what came: bets that a binary model's probabilities became too low or too high.

Errors at a threshold do not see it where one answer is rare: a model that says "no" to everybody is wrong less often
when fewer buy. All bets are shifts of log-odds, so that no probability leaves 0 to 1, and each is fair within every bin
of scores: another mix of them changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from agent.concept.baseline import BLOCKS_MIN, LABELS_MIN, RISES, dispersion, shared, sure
from agent.concept.losses import CELLS, FALSE_NEGATIVE, FALSE_POSITIVE, RIGHT, WRONG
from agent.records import Bools, Cells, Floats, Ints, Pairs

BINS, REACH = 60, 10.0  # of log-odds, from -REACH to REACH: a mix that moves by σ moves the mean within one by 1 %
LOGITS: Floats = np.asarray((np.arange(BINS) + 0.5) * (2.0 * REACH / BINS) - REACH, dtype=np.float64)
SCORES: Floats = np.asarray(1.0 / (1.0 + np.exp(-LOGITS)), dtype=np.float64)
RIGHT_YES = 4  # a right "yes", beside the cells of the errors: then a cell says the outcome too
OUTCOMES = 5
WIDTH = OUTCOMES * (BINS + 1)  # the last bin: no score, or none that is a probability
ROW = 4  # of a block: labels with a score, outcomes, the scores' sum, the sum of score · (1 - score)
BELIEF = 20.0  # information (of log-odds) that the score's own shape is worth in each bin against the bin's outcomes
SLOPE_BELIEF, SLOPES = 10.0, (0.05, 5.0)  # the same of the slope 1; what it may be
LARGEST = 30.0  # of log-odds
OUTCOMES_MIN = 10.0  # of either kind, before log-odds are as good as normal
SIGNS = np.array([1.0, -1.0])  # streams: more came than was told; fewer
SHIFTS: Floats = SIGNS[:, np.newaxis] * np.log(RISES)


def joint(pairs: Pairs, placed: Cells, positive: str) -> Cells:
    """int32 (rows,): the loss's cell, the outcome and the score's bin as one cell below WIDTH; -1 where placed is.

    Scores beyond 0 to 1 are no probabilities: none of these pairs' is then taken for one.
    """
    score = pairs.score(positive)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.floor((np.log(score / (1.0 - score)) + REACH) * (BINS / (2.0 * REACH)))
    known = ~np.isnan(score)
    if ((score < 0.0) | (score > 1.0)).any():
        known[:] = False
    bins = np.where(known, np.clip(np.where(np.isnan(at), 0.0, at), 0.0, BINS - 1.0), BINS).astype(np.int32)
    own = pairs.classes.index(positive) if positive in pairs.classes else -1
    outcome = np.where((placed == RIGHT) & (pairs.actual_class == own), RIGHT_YES, placed)
    return np.where(placed >= 0, bins * OUTCOMES + outcome, -1).astype(np.int32)


def errors_of(counts: Floats) -> Floats:
    """(series, 4): cells of the losses alone; what has no scores is returned as it is."""
    if counts.shape[1] != WIDTH:
        return counts
    return np.asarray(counts @ _ERRORS)


def came_of(counts: Floats) -> float:
    """How many labels had the outcome, with a score or without. counts: (WIDTH,)."""
    cells = counts.reshape(BINS + 1, OUTCOMES)
    return float(cells[:, FALSE_NEGATIVE].sum() + cells[:, RIGHT_YES].sum())


def scored_of(counts: Floats) -> Floats:
    """(series, BINS, 2): labels by bin, without and with the outcome. counts: (series, WIDTH)."""
    cells = counts.reshape(-1, BINS + 1, OUTCOMES)[:, :BINS]
    came = cells[..., FALSE_NEGATIVE] + cells[..., RIGHT_YES]
    return np.stack((cells[..., RIGHT] + cells[..., FALSE_POSITIVE] + cells[..., WRONG], came), axis=-1)


def row_of(scored: Floats) -> Floats:
    """(series, ROW): a block's part of what is usual. scored: (series, BINS, 2)."""
    labels, came = scored.sum(axis=-1), scored[..., 1].sum(axis=-1)
    told = labels @ np.stack((np.ones(BINS), SCORES, SCORES * (1.0 - SCORES)), axis=-1)
    return np.stack((told[..., 0], came, told[..., 1], told[..., 2]), axis=-1)


@dataclass(frozen=True)
class Expected:
    """blocks: float64 (series, blocks, ROW); bins: (series, BINS, 2), all usual labels without and with the outcome;
    asked: (series,), the logarithm of the evidence that makes an alarm. known: what was reckoned of it before."""

    blocks: Floats
    bins: Floats
    asked: Floats
    known: Mapping[str, Floats] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        vars(self).update(self.known)  # where cached_property looks first

    @cached_property
    def ready(self) -> Bools:
        """(series,)"""
        windows, least = (self.blocks[..., 0] > 0.0).sum(axis=1), self.bins.sum(axis=1).min(axis=-1)
        enough = self.bins.sum(axis=(1, 2)) >= LABELS_MIN
        return np.asarray((windows >= BLOCKS_MIN) & enough & (least >= OUTCOMES_MIN))

    @cached_property
    def logits(self) -> Floats:
        """(series, BINS): the usual log-odds of the outcome: the score's, stretched and shifted to what came (Platt
        1999), and in each bin, as far as there is evidence of it, what came in that. So a model that never was
        calibrated is as usual, also when the mix of its scores moves."""
        labels, came = self.bins.sum(axis=-1), self.bins[..., 1]
        total = labels.sum(axis=-1)
        aim = total * (came.sum(axis=-1) + 0.5) / (total + 1.0)
        p = _logistic(np.clip(_stretched(labels, came, aim), -LARGEST, LARGEST))
        worth = BELIEF / (p * (1.0 - p))
        own = (came + worth * p) / (labels + worth)
        return _shifted(np.log(own / (1.0 - own)), labels, aim)

    @cached_property
    def rates(self) -> Floats:
        """(series, BINS)"""
        return _logistic(self.logits)

    @cached_property
    def information(self) -> Floats:
        """(series,): Σ p (1 - p), of the usual labels' common shift of log-odds."""
        return np.asarray(np.maximum((self.bins.sum(axis=-1) * self.rates * (1.0 - self.rates)).sum(axis=-1), 0.25))

    @cached_property
    def phi(self) -> Floats:
        """(series,): how much more outcomes over scores vary from block to block than independent labels would."""
        labels, came, told, spread = (self.blocks[..., k] for k in range(ROW))
        ratio = came.sum(axis=1) / np.maximum(told.sum(axis=1), 1e-9)
        scale = self.information / np.maximum(spread.sum(axis=1), 1e-9)
        variance = np.maximum(spread * scale[:, np.newaxis], 1e-9)
        square = np.where(labels > 0.0, np.square(came - ratio[:, np.newaxis] * told) / variance, 0.0).sum(axis=1)
        return dispersion(square, (labels > 0.0).sum(axis=1))

    @cached_property
    def table(self) -> Floats:
        """(series, 2, rises, BINS): ln((1 - q) / (1 - p)), of a label without the outcome, p the usual rate moved
        against the bet by s² ln A / D as the errors' bound is (baseline.Baseline.bound), q that moved by the bet."""
        error = np.sqrt(self.phi / self.information)[:, np.newaxis]
        shift = sure(self.asked[:, np.newaxis] * error / np.log(RISES)) * error
        usual = self.logits[:, np.newaxis, np.newaxis] + (shift[:, np.newaxis] * SIGNS[:, np.newaxis])[..., np.newaxis]
        return np.asarray(np.logaddexp(0.0, usual) - np.logaddexp(0.0, usual + SHIFTS[..., np.newaxis]))

    @cached_property
    def common(self) -> Floats:
        """(series,): what labels of one window have in common, widened (baseline.shared)."""
        return shared(self.blocks[..., 0], self.phi[:, np.newaxis], self.asked)[:, 0]

    def evidence(self, scored: Floats) -> Floats:
        """(series, 2, rises): ln of the bets' factors of one window, diluted; 0 where too little is known."""
        labels, came = scored.sum(axis=-1), scored[..., 1].sum(axis=-1)
        gains = (self.table @ labels[:, np.newaxis, :, np.newaxis])[..., 0] + came[:, np.newaxis, np.newaxis] * SHIFTS
        gains /= (1.0 + np.maximum(labels.sum(axis=-1) - 1.0, 0.0) * self.common)[:, np.newaxis, np.newaxis]
        return np.where(self.ready[:, np.newaxis, np.newaxis], gains, 0.0)

    def sums(self, scored: Floats) -> Floats:
        """(series, 3): labels with a score, outcomes, outcomes expected."""
        labels = scored.sum(axis=-1)
        return np.stack((labels.sum(axis=-1), scored[..., 1].sum(axis=-1), (labels * self.rates).sum(axis=-1)), axis=-1)

    def part(self, at: Ints) -> Expected:
        """The series `at` of it, rising."""
        if len(at) == len(self.asked):
            return self
        known = {name: getattr(self, name)[at] for name in ("ready", "rates", "phi", "table", "common")}
        return Expected(self.blocks[at], self.bins[at], self.asked[at], known)


def _losses() -> Floats:
    """float64 (WIDTH, CELLS): which loss's cell each cell is of."""
    one = np.eye(OUTCOMES, CELLS)
    one[RIGHT_YES, RIGHT] = 1.0
    return np.tile(one, (BINS + 1, 1))


_ERRORS = _losses()


def _logistic(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def _stretched(labels: Floats, came: Floats, aim: Floats) -> Floats:
    """slope · LOGITS + shift of each series by what came, the slope near 1 where nothing says otherwise: Newton's
    method, a slope's step and then the shift's."""
    slope = np.ones(len(aim))
    for _ in range(30):
        logits = _shifted(slope[:, np.newaxis] * LOGITS, labels, aim)
        p = _logistic(logits)
        weights = labels * p * (1.0 - p)
        away = LOGITS - ((weights @ LOGITS) / np.maximum(weights.sum(axis=-1), 1e-9))[:, np.newaxis]
        pull = ((came - labels * p) * away).sum(axis=-1) - SLOPE_BELIEF * (slope - 1.0)
        step = np.clip(pull / ((weights * np.square(away)).sum(axis=-1) + SLOPE_BELIEF), -0.5, 0.5)
        slope = np.clip(slope + step, *SLOPES)
        if np.abs(step).max(initial=0.0) < 1e-6:
            break
    return _shifted(slope[:, np.newaxis] * LOGITS, labels, aim)


def _shifted(logits: Floats, labels: Floats, aim: Floats) -> Floats:
    """All bins of a series shifted alike, so that as many outcomes are expected as came (Newton's method)."""
    shift = np.zeros(len(aim))
    for _ in range(40):
        p = _logistic(logits + shift[:, np.newaxis])
        slope = np.maximum((labels * p * (1.0 - p)).sum(axis=-1), 1e-9)
        step = np.clip((aim - (labels * p).sum(axis=-1)) / slope, -1.0, 1.0)
        shift += step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return np.asarray(logits + np.clip(shift, -LARGEST, LARGEST)[:, np.newaxis])
