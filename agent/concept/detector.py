"""The Shiryaev-Roberts e-detector: evidence that errors have risen since some window, whichever it was.

Each bet (a stream of losses, a factor they may have risen by) multiplies its capital by a number that is 1 on average,
or less, as long as nothing changed; a new stake is laid in every window. The sum over all is at most the number of
windows on average, so a threshold A is passed every A windows at the most (Shin, Ramdas and Rinaldo 2022,
"E-detectors"; Shiryaev 1963, Roberts 1966). One step is one window: what is asked is said once a window too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agent.concept.baseline import RISES
from agent.records import Bools, Floats, Ints

NOTHING = -700.0  # the logarithm of no capital, or as good as none
NEARLY = math.log(20.0)  # less capital than the best bet's
INDEX, LABELS, FIRST_NS, LAST_NS, SUMS = 0, 1, 2, 3, 4  # of what came since a bet last had nothing


class Bet(Protocol):
    """What is bet on, of some series. asked: (series,), ln of the threshold; stakes: (series, streams), parts of 1 that
    are told before the window."""

    @property
    def asked(self) -> Floats: ...

    @property
    def stakes(self) -> Floats: ...

    def evidence(self, counts: Floats) -> Floats:
        """(series, streams, rises): ln of factors that are 1 on average, or less."""
        ...

    def sums(self, counts: Floats) -> Floats:
        """(series, sums): what is added up since the change."""
        ...


@dataclass(frozen=True, slots=True)
class Since:
    """What came since the change as the best bet dates it. index: its first window; first_ns, last_ns: when the
    oldest and newest of the predictions were made; means: (sums,) a label; stream: that the best bet is on."""

    index: int
    labels: float
    first_ns: int
    last_ns: int
    means: Floats
    stream: int = 0

    @property
    def scored(self) -> float:
        """Labels beside a score; this and the next two only where scores are bet on, as the last of what is summed."""
        return self.labels * float(self.means[-3])

    @property
    def came(self) -> float:
        """The outcome's rate among these."""
        return float(self.means[-2] / max(self.means[-3], 1e-9))

    @property
    def told(self) -> float:
        """The rate that the scores told of."""
        return float(self.means[-1] / max(self.means[-3], 1e-9))


@dataclass(frozen=True, slots=True)
class Moment:
    """A window, and of when its predictions are."""

    index: int
    first_ns: int
    last_ns: int


class Detector:
    """capital: float64 (series, streams, rises), logarithms; run: likewise, of the best start alone; since: (series,
    streams, rises, 4 + sums), what came since that; alarming: bool (series,). 0.9 kB a series, 2.4 with scores."""

    def __init__(self, series: int, streams: int, sums: int = 0) -> None:
        shape = (series, streams, len(RISES))
        self.capital: Floats = np.full(shape, NOTHING)
        self.run: Floats = np.zeros(shape)
        self.since: Floats = np.zeros((*shape, SUMS + (sums or streams)))
        self.alarming: Bools = np.zeros(series, dtype=np.bool_)

    def step(self, at: Ints, bets: Bet, counts: Floats, moment: Moment) -> Floats:
        """One window of the series `at`, which have labels; bets and counts (series, cells) are of these. Returns
        (series,) the logarithm of each sum. What is kept of it is bounded by the threshold: an alarm that lasted long
        must be able to end."""
        labels = counts.sum(axis=1)
        gain = bets.evidence(counts)
        stakes = np.log(np.maximum(bets.stakes, 1e-300) / len(RISES))[..., np.newaxis]
        capital = np.maximum(np.logaddexp(self.capital[at], stakes) + gain, NOTHING)
        evidence = np.logaddexp.reduce(capital.reshape(len(at), -1), axis=1)
        self.capital[at] = capital - np.maximum(0.0, evidence - bets.asked)[:, np.newaxis, np.newaxis]
        self._date(at, gain, labels, bets.sums(counts), moment)
        return np.asarray(evidence)

    def _date(self, at: Ints, gain: Floats, labels: Floats, sums: Floats, moment: Moment) -> None:
        """Page's (1954) cumulative sum of each bet: it last had nothing where the change begins."""
        run, since = self.run[at], self.since[at]
        fresh = run <= 0.0
        since[fresh] = 0.0
        since[fresh, INDEX], since[fresh, FIRST_NS] = moment.index, moment.first_ns
        since[..., LABELS] += labels[:, np.newaxis, np.newaxis]
        since[..., FIRST_NS] = np.minimum(since[..., FIRST_NS], moment.first_ns)
        since[..., LAST_NS] = np.maximum(since[..., LAST_NS], moment.last_ns)
        since[..., SUMS:] += sums[:, np.newaxis, np.newaxis, :]
        self.run[at], self.since[at] = np.where(fresh, 0.0, run) + gain, since

    def clear(self, series: int) -> None:
        """One series as new."""
        self.capital[series], self.run[series], self.since[series] = NOTHING, 0.0, 0.0
        self.alarming[series] = False

    def change(self, series: int) -> Since:
        """Since when, and what came since: of the bets on the best stream that have nearly as much capital as the best,
        the mildest's. One on more than the change loses in the beginning of a slow one, and dates it late."""
        own = self.capital[series]
        stream = int(own.max(axis=1).argmax())
        rise = int(np.argmax(own[stream] >= own[stream].max() - NEARLY))
        best = self.since[series, stream, rise]
        means = best[SUMS:] / max(float(best[LABELS]), 1e-9)
        return Since(int(best[INDEX]), float(best[LABELS]), int(best[FIRST_NS]), int(best[LAST_NS]), means, stream)

    def arrays(self) -> tuple[Floats, ...]:
        """Its state, all float64."""
        return self.capital, self.run, self.since, self.alarming.astype(np.float64)

    def take(self, arrays: tuple[Floats, ...]) -> None:
        """What `arrays` gave. Raises ValueError where shapes differ."""
        shapes = [array.shape for array in self.arrays()]
        if [array.shape for array in arrays] != shapes:
            raise ValueError(f"not the arrays of {len(self.alarming)} series")
        self.capital, self.run, self.since = arrays[:3]
        self.alarming = arrays[3] > 0.0
