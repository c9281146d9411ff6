"""All bets on one kind of losses: that errors rose and, where a binary model gives scores, that these do not hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent.concept.baseline import Baseline, block_of
from agent.concept.expected import ROW, SIGNS, WIDTH, Expected, errors_of, row_of, scored_of
from agent.concept.losses import Kind, Scale, cells_of
from agent.records import Bools, Floats, Ints

ERRORS_STAKE = 0.5  # of the stake where there are scores, the rest on observed over expected: one e-process still


def width_of(kind: Kind) -> int:
    """Cells that a window's labels are counted in: of the losses, for binary models with the score's bin."""
    return WIDTH if kind is Kind.BINARY else cells_of(kind)


def streams_of(kind: Kind) -> tuple[int, int]:
    """How many streams of losses are bet on, and how many in all."""
    losses = 1 if kind is Kind.CLASSES else 3
    return losses, losses + (len(SIGNS) if kind is Kind.BINARY else 0)


def row_width(kind: Kind) -> int:
    """Numbers of a block of what is usual."""
    return 1 + 2 * streams_of(kind)[0] + (ROW if kind is Kind.BINARY else 0)


def usual_row(counts: Floats, scale: Scale) -> Floats:
    """(series, row_width): one block, the errors' part first. counts: (series, width_of)."""
    errors = block_of(errors_of(counts), scale)
    if scale.kind is not Kind.BINARY:
        return errors
    return np.concatenate((errors, row_of(scored_of(counts))), axis=-1)


@dataclass(frozen=True)
class Bets:
    """errors: what errors are usual; expected: what outcome of which score is, None where there are no scores."""

    errors: Baseline
    expected: Expected | None = None

    @property
    def asked(self) -> Floats:
        return self.errors.asked

    @property
    def ready(self) -> Bools:
        return self.errors.ready

    @cached_property
    def stakes(self) -> Floats:
        """(series, streams): parts of 1, told before the window: on errors alone while no score can be judged."""
        if self.expected is None:
            return self.errors.stakes
        judged = self.expected.ready[:, np.newaxis]
        own = np.where(judged, (1.0 - ERRORS_STAKE) / len(SIGNS), 0.0) * np.ones(len(SIGNS))
        return np.concatenate((self.errors.stakes * np.where(judged, ERRORS_STAKE, 1.0), own), axis=1)

    def evidence(self, counts: Floats) -> Floats:
        """(series, streams, rises): ln of each bet's factor for one window; counts: (series, width_of)."""
        errors = self.errors.evidence(errors_of(counts))
        if self.expected is None:
            return errors
        return np.concatenate((errors, self.expected.evidence(scored_of(counts))), axis=1)

    def sums(self, counts: Floats) -> Floats:
        """(series, streams of losses, and 3 of scores): the losses' sums, then `Expected.sums`."""
        errors = self.errors.sums(errors_of(counts))
        if self.expected is None:
            return errors
        return np.concatenate((errors, self.expected.sums(scored_of(counts))), axis=1)

    def part(self, at: Ints) -> Bets:
        """The series `at` of it, rising."""
        return Bets(self.errors.part(at), None if self.expected is None else self.expected.part(at))
