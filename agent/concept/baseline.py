"""What errors are usual, from labelled windows that were: the bounds that the detector bets against.

Three things may make a bet unfair, and each has its allowance: the usual rate is an estimate (an upper bound takes its
place), errors of one window are not independent (evidence is divided by the overdispersion φ), and φ is an estimate too
(it is widened until the rate of false alarms is right on average over references). All series at once: the whole and
its segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from agent.concept.losses import Scale
from agent.records import Bools, Floats, Ints

RISES = np.array([1.1, 1.25, 1.5, 2.0, 3.0])  # the mixture: how many times the usual loss
BLOCKS_MIN, LABELS_MIN = 16, 200  # from twelve blocks of uneven windows φ is too often far too small
PRIOR_BLOCKS = 2.0  # blocks that the belief in independent errors is worth (moderation: Smyth 2004)
SURE_MIN, SURE_MAX = 1.645, 4.0  # standard errors the bound lies above the estimate: at least one-sided 95 %
BOUND_MAX = 0.95  # of a loss in 0-1; of a model that is wrong more often, half of what is left
WHOLE_STAKE = 0.5  # of the stake on all errors together, the rest on either direction alone
LOST_MAX = 0.9  # of the stake, in one bet: a capital of nothing never comes back


def block_of(counts: Floats, scale: Scale) -> Floats:
    """float64 (…, 1 + 2 streams): labels, the losses' sums, their squares' sums. counts: (…, cells)."""
    losses = scale.losses.T
    return np.concatenate((counts.sum(axis=-1, keepdims=True), counts @ losses, counts @ np.square(losses)), axis=-1)


def dispersion(square: Floats, windows: Floats | Ints) -> Floats:
    """φ, at least 1, of Σ (residual² / variance) over so many blocks."""
    return np.asarray(np.maximum((square + PRIOR_BLOCKS) / (np.maximum(windows - 1.0, 0.0) + PRIOR_BLOCKS), 1.0))


def sure(asked: Floats) -> Floats:
    """Standard errors that a bound lies beyond its estimate, where so many were needed."""
    return np.asarray(np.clip(asked, SURE_MIN, SURE_MAX))


def shared(sizes: Floats, phi: Floats, asked: Floats) -> Floats:
    """(series, streams): what labels of one window have in common, ρ, widened for what is not known of it (dilution).
    sizes: (series, blocks), labels; phi: (series, streams); asked: (series,)."""
    windows, labels = (sizes > 0.0).sum(axis=1), np.maximum(sizes.sum(axis=1), 1.0)
    usual = (labels - np.square(sizes).sum(axis=1) / labels) / np.maximum(windows - 1.0, 1.0)
    part = 2.0 * asked / (windows - 1.0 + PRIOR_BLOCKS)
    wide = np.expm1(part) / part
    return np.asarray(wide[:, np.newaxis] * (phi - 1.0) / np.maximum(usual - 1.0, 1.0)[:, np.newaxis])


@dataclass(frozen=True)
class Baseline:
    """blocks: float64 (series, blocks, 1 + 2 streams), as `block_of` makes them, blocks without labels being none.
    asked: (series,), the logarithm of the evidence that makes an alarm. known: what was reckoned of it before."""

    scale: Scale
    blocks: Floats
    asked: Floats
    known: Mapping[str, Floats] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def labels(self) -> Floats:
        """(series,)"""
        return np.asarray(self.blocks[..., 0].sum(axis=1))

    @cached_property
    def ready(self) -> Bools:
        """(series,): whether there is enough to judge by."""
        return np.asarray((self.windows >= BLOCKS_MIN) & (self.labels >= LABELS_MIN))

    @cached_property
    def mean(self) -> Floats:
        """(series, streams): the usual loss. Half an error in one label more, Jeffreys' (1946): it is never 0."""
        sums = self.blocks[..., 1 : 1 + self._streams].sum(axis=1)
        return np.asarray((sums + 0.5) / (self.labels[:, np.newaxis] + 1.0))

    @cached_property
    def phi(self) -> Floats:
        """(series, streams): how much more blocks vary than independent labels would make them; at least 1."""
        sizes = self.blocks[..., :1]
        means = self.blocks[..., 1 : 1 + self._streams] / np.maximum(sizes, 1e-9)
        square = (sizes * np.square(means - self.mean[:, np.newaxis])).sum(axis=1) / self._variance
        return dispersion(square, self.windows[:, np.newaxis])

    @cached_property
    def bound(self) -> Floats:
        """(series, streams, rises): the highest usual loss.

        If the true one lies d above the bound, bets on a rise by D gain evidence at A^(2d/D), A the threshold: averaged
        over a normal d with standard error s that is harmless where the bound lies s² ln A / D up.
        """
        error = np.sqrt(self.phi * self._variance / np.maximum(self.labels, 1.0)[:, np.newaxis])[..., np.newaxis]
        rise = self.mean[..., np.newaxis] * (RISES - 1.0)
        away = sure(self.asked[:, np.newaxis, np.newaxis] * error / rise)
        highest = np.maximum(BOUND_MAX, (1.0 + self.mean[..., np.newaxis]) / 2.0)
        return np.asarray(np.minimum(self.mean[..., np.newaxis] + away * error, highest))

    def gains(self, counts: Floats) -> Floats:
        """(series, streams, rises): one window's ln Π (1 + λ (loss - bound)), undiluted; counts: (series, cells).

        Each factor is 1 on average, or less. Of errors 0/1 it is the likelihood ratio of the raised rate to the bound.
        Of other losses λ is what grows fastest, to second order, if all rise by the factor (Waudby-Smith and Ramdas
        2023).
        """
        folded = self.scale.folded(counts)
        there = np.flatnonzero(folded.any(axis=(0, 1)))
        grown = self._stake[..., np.newaxis] * self.scale.levels[there]
        grown += (1.0 - self._stake * self.bound)[..., np.newaxis]
        np.log(grown, out=grown)  # twice as quick as log1p, and right to 1e-16 a label
        return np.asarray((grown @ folded[..., there, np.newaxis])[..., 0])

    def dilution(self, labels: Floats) -> Floats:
        """(series, streams): by what evidence is divided: φ at the window's size, widened for what is not known of it.

        φ of a window of n is 1 + (n - 1) ρ. Evidence of false alarms goes as A^-q where φ is too small by q; over a
        chi-square q with ν degrees that is A^-1 again if it is multiplied by (A^(2/ν) - 1) ν / (2 ln A).
        """
        return np.asarray(1.0 + np.maximum(labels - 1.0, 0.0)[:, np.newaxis] * self._shared)

    @property
    def stakes(self) -> Floats:
        """(series, streams): parts of 1."""
        rest = (1.0 - WHOLE_STAKE) / max(self._streams - 1, 1)
        own = [WHOLE_STAKE if self._streams > 1 else 1.0, *[rest] * (self._streams - 1)]
        return np.tile(own, (len(self.asked), 1))

    def evidence(self, counts: Floats) -> Floats:
        """(series, streams, rises): ln of each bet's factor for one window, diluted."""
        return np.asarray(self.gains(counts) / self.dilution(counts.sum(axis=1))[..., np.newaxis])

    def sums(self, counts: Floats) -> Floats:
        """(series, streams): the window's losses."""
        return np.asarray(counts @ self.scale.losses.T)

    def part(self, at: Ints) -> Baseline:
        """The series `at` of it, rising; what was reckoned of all is not reckoned again."""
        if len(at) == len(self.asked):
            return self
        known = {name: getattr(self, name)[at] for name in _RECKONED}
        return Baseline(self.scale, self.blocks[at], self.asked[at], known)

    def __post_init__(self) -> None:
        vars(self).update(self.known)  # where cached_property looks first

    @cached_property
    def _stake(self) -> Floats:
        """(series, streams, rises): λ."""
        bound = self.bound
        raised = np.minimum(RISES * bound, (1.0 + bound) / 2.0) - bound
        variance = bound * (1.0 - bound)
        if not self.scale.two_valued:
            variance = np.square(RISES) * self._variance[..., np.newaxis] + np.square(raised)
        return np.asarray(np.minimum(raised / variance, LOST_MAX / bound))

    @cached_property
    def _shared(self) -> Floats:
        """(series, streams): ρ, widened."""
        return shared(self.blocks[..., 0], self.phi, self.asked)

    @cached_property
    def windows(self) -> Floats:
        """(series,): blocks that have labels."""
        return np.asarray((self.blocks[..., 0] > 0.0).sum(axis=1), dtype=np.float64)

    @property
    def _streams(self) -> int:
        return len(self.scale.losses)

    @cached_property
    def _variance(self) -> Floats:
        """(series, streams): of one label's loss."""
        sums = self.blocks[..., 1 + self._streams :].sum(axis=1)
        square = (sums + 0.5) / (self.labels[:, np.newaxis] + 1.0)
        return np.asarray(np.maximum(square - np.square(self.mean), 1e-3 * square))


_RECKONED = ("labels", "ready", "mean", "phi", "bound", "_stake", "_shared", "windows", "_variance")
