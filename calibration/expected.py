"""Observed over expected: false alarms and delays of the bets on a binary model's scores (docs/decisions/0139).

Run it as `nice python -m calibration.expected nulls`, or `delays`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np

from agent.concept.detector import Detector, Moment
from agent.concept.expected import BINS, REACH, SIGNS, Expected, row_of
from agent.records import Floats
from calibration.concept import WINDOWS_TO_FALSE

REFERENCES, HOURS, TRIALS = 2_000, 125, 100
STEP, SPREAD = 0.125, 4.0  # the scores' log-odds are drawn on so fine a grid, so many standard deviations around


@dataclass(frozen=True)
class Scored:
    """rate: of the outcome, usually; slope, bias: the score's log-odds are slope · the true ones + bias; effect:
    standard deviation of every hour's own log-odds; moves: of the scores' mix, in standard deviations, after the
    reference; mixes: standard deviation of every hour's own mix."""

    name: str
    rate: float
    labels: int
    blocks: int = 30
    slope: float = 1.0
    bias: float = 0.0
    effect: float = 0.0
    moves: float = 0.0
    mixes: float = 0.0

    @property
    def grid(self) -> Floats:
        """The true log-odds there are, of standard deviation 1."""
        away = np.arange(-SPREAD, SPREAD + STEP / 2.0, STEP)
        low, high = -20.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2.0
            over = float(_density(away, np.zeros(1))[0] @ _logistic(away + middle)) > self.rate
            low, high = (low, middle) if over else (middle, high)
        return away + low

    def drawn(self, rng: np.random.Generator, series: int, moved: float = 0.0, fall: float = 0.0) -> Floats:
        """(series, BINS, 2): one hour of each. fall: log-odds by which fewer come than usual."""
        logits = self.grid
        away = np.arange(-SPREAD, SPREAD + STEP / 2.0, STEP)
        mix = _density(away, np.full(series, moved) + self.mixes * rng.standard_normal(series))
        labels = rng.multinomial(self.labels, mix)
        own = self.effect * rng.standard_normal((series, 1)) - fall
        came = rng.binomial(labels, _logistic(logits + own))
        score = self.slope * logits + self.bias
        at = np.clip(np.floor((score + REACH) * (BINS / (2.0 * REACH))), 0, BINS - 1).astype(np.int64)
        found = np.zeros((series, BINS, 2))
        for cell, place in enumerate(at.tolist()):
            found[:, place, 1] += came[:, cell]
            found[:, place, 0] += labels[:, cell] - came[:, cell]
        return found

    def usual(self, rng: np.random.Generator, series: int) -> Expected:
        blocks = np.stack([self.drawn(rng, series) for _ in range(self.blocks)], axis=1)
        rows = row_of(blocks.reshape(-1, BINS, 2)).reshape(series, self.blocks, -1)
        return Expected(rows, blocks.sum(axis=1), np.full(series, math.log(WINDOWS_TO_FALSE)))


@dataclass(frozen=True)
class Alone:
    """The bets on scores, with the whole stake."""

    expected: Expected

    @property
    def asked(self) -> Floats:
        return self.expected.asked

    @property
    def stakes(self) -> Floats:
        return np.full((len(self.asked), len(SIGNS)), 1.0 / len(SIGNS))

    def evidence(self, counts: Floats) -> Floats:
        return self.expected.evidence(counts.reshape(-1, BINS, 2))

    def sums(self, counts: Floats) -> Floats:
        return self.expected.sums(counts.reshape(-1, BINS, 2))


NULLS = (
    *(Scored("calibrated", rate, n) for rate in (0.005, 0.06, 0.3) for n in (50, 1_000, 10_000)),
    Scored("calibrated, 16 hours", 0.06, 1_000, 16),
    Scored("scores three times as high", 0.06, 1_000, bias=1.1),
    Scored("log-odds twice as wide", 0.06, 1_000, slope=2.0),
    Scored("log-odds twice as wide", 0.3, 10_000, slope=2.0),
    Scored("log-odds half as wide", 0.3, 10_000, slope=0.5),
    Scored("hours differ by a tenth", 0.06, 1_000, effect=0.1),
    Scored("hours differ by a tenth, 16 hours", 0.06, 1_000, 16, effect=0.1),
    Scored("hours differ by a third", 0.06, 1_000, effect=0.3),
    Scored("hours differ by a tenth", 0.3, 10_000, effect=0.1),
    Scored("hours' mixes differ by half a sigma", 0.06, 1_000, mixes=0.5),
    Scored("the mix moves by a sigma", 0.06, 1_000, moves=1.0),
    Scored("the mix moves by a sigma", 0.3, 10_000, moves=1.0),
    Scored("the mix moves by a sigma, down", 0.06, 10_000, moves=-1.0),
    Scored("log-odds twice as wide, the mix moves by a sigma", 0.06, 1_000, slope=2.0, moves=1.0),
)
DELAYS = (
    ("6.2 → 3.2 %", Scored("", 0.062, 1_000, 30), 0.032), ("6.2 → 5 %", Scored("", 0.062, 1_000, 30), 0.05),
    ("40 → 28 %", Scored("", 0.4, 200, 60), 0.28), ("1 → 0.5 %", Scored("", 0.01, 1_000, 60), 0.005),
    ("6.2 → 12 %", Scored("", 0.062, 1_000, 30), 0.12),
)  # fmt: skip
OVER = 50  # hours that a slow change takes


def used(world: Scored) -> tuple[float, float, float]:
    """False alarms over what is allowed, its standard error, and the part of the references that could be judged."""
    rng = np.random.default_rng([world.labels, world.blocks, int(world.rate * 1e4), int(world.slope * 100)])
    known, at = Alone(world.usual(rng, REFERENCES)), np.arange(REFERENCES)
    detector, alarms = Detector(REFERENCES, 2, 3), np.zeros(REFERENCES)
    for hour in range(HOURS):
        counts = world.drawn(rng, REFERENCES, world.moves).reshape(REFERENCES, -1)
        over = detector.step(at, known, counts, Moment(hour, 0, 0)) >= known.asked
        alarms += over
        for one in np.flatnonzero(over).tolist():
            detector.clear(one)
    allowed = HOURS / WINDOWS_TO_FALSE
    error = float(alarms.std() / math.sqrt(REFERENCES) / allowed)
    return float(alarms.mean() / allowed), error, float(known.expected.ready.mean())


def delay(world: Scored, to: float, over: int) -> tuple[float, float]:
    """Median hours from the change's begin to the alarm, and the part that was found within 100 hours."""
    rng = np.random.default_rng([7, int(world.rate * 1e4), int(to * 1e4), over])
    known, at = Alone(world.usual(rng, TRIALS)), np.arange(TRIALS)
    fall = _fall(world, to)
    detector, first = Detector(TRIALS, 2, 3), np.full(TRIALS, math.inf)
    for hour in range(1, 101):
        counts = world.drawn(rng, TRIALS, fall=fall * min(hour / max(over, 1), 1.0)).reshape(TRIALS, -1)
        alarms = detector.step(at, known, counts, Moment(hour, 0, 0)) >= known.asked
        first = np.where(alarms & np.isinf(first), hour, first)
    return float(np.median(first)), float(np.isfinite(first).mean())


def _fall(world: Scored, to: float) -> float:
    """Log-odds by which all must fall."""
    away = np.arange(-SPREAD, SPREAD + STEP / 2.0, STEP)
    density, low, high = _density(away, np.zeros(1))[0], -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if density @ _logistic(world.grid - middle) > to else (low, middle)
    return low


def _density(away: Floats, moved: Floats) -> Floats:
    found = np.exp(-0.5 * np.square(away - moved[:, np.newaxis]))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _logistic(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def main(what: str) -> None:
    for world in NULLS if what != "delays" else ():
        share, error, judged = used(world)
        print(f"| {world.name} | {world.rate:.1%} | {world.labels:,} | {world.blocks} | {share:.2g} ± {error:.1g} "
              f"| {judged:.0%} |", flush=True)  # fmt: skip
    for name, world, to in DELAYS if what != "nulls" else ():
        for over in (0, OVER):
            hours, found = delay(world, to, over)
            print(f"| {name} | {world.labels:,} | {over} | {hours:g} | {found:.0%} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
