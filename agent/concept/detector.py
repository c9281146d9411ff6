"""The Shiryaev-Roberts e-detector: evidence that errors have risen since some window, whichever it was.

Each bet (a stream of losses, a factor they may have risen by) multiplies its capital by a number that is 1 on average,
or less, as long as nothing changed; a new stake is laid in every window. The sum over all is at most the number of
windows on average, so a threshold A is passed every A windows at the most (Shin, Ramdas and Rinaldo 2022,
"E-detectors"; Shiryaev 1963, Roberts 1966). One step is one window: what is asked is said once a window too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.concept.baseline import RISES, Baseline
from agent.records import Bools, Floats, Ints

WHOLE_STAKE = 0.5  # of the stake on all errors together, the rest on either direction alone
NOTHING = -700.0  # the logarithm of no capital, or as good as none
INDEX, LABELS, FIRST_NS, LAST_NS, SUMS = 0, 1, 2, 3, 4  # of what came since a bet last had nothing


@dataclass(frozen=True, slots=True)
class Since:
    """What came since the change as the best bet dates it. index: its first window; first_ns, last_ns: when the
    oldest and newest of the predictions were made; means: (streams,) of losses."""

    index: int
    labels: float
    first_ns: int
    last_ns: int
    means: Floats


@dataclass(frozen=True, slots=True)
class Moment:
    """A window, and of when its predictions are."""

    index: int
    first_ns: int
    last_ns: int


class Detector:
    """capital: float64 (series, streams, rises), logarithms; run: likewise, of the best start alone; since: (series,
    streams, rises, 4 + streams), what came since that; alarming: bool (series,). 0.9 kB a series."""

    def __init__(self, series: int, streams: int) -> None:
        rest = (1.0 - WHOLE_STAKE) / max(streams - 1, 1)
        stakes = np.array([[WHOLE_STAKE if streams > 1 else 1.0]] + [[rest]] * (streams - 1))
        self._stake = np.log(stakes / len(RISES))
        shape = (series, streams, len(RISES))
        self.capital: Floats = np.full(shape, NOTHING)
        self.run: Floats = np.zeros(shape)
        self.since: Floats = np.zeros((*shape, SUMS + streams))
        self.alarming: Bools = np.zeros(series, dtype=np.bool_)

    def step(self, at: Ints, baseline: Baseline, counts: Floats, moment: Moment) -> Floats:
        """One window of the series `at`, which have labels; baseline and counts (series, cells) are of these. Returns
        (series,) the logarithm of each sum. What is kept of it is bounded by the threshold: an alarm that lasted long
        must be able to end."""
        labels = counts.sum(axis=1)
        gain = baseline.gains(counts) / baseline.dilution(labels)[..., np.newaxis]
        capital = np.maximum(np.logaddexp(self.capital[at], self._stake) + gain, NOTHING)
        evidence = np.logaddexp.reduce(capital.reshape(len(at), -1), axis=1)
        self.capital[at] = capital - np.maximum(0.0, evidence - baseline.asked)[:, np.newaxis, np.newaxis]
        self._date(at, gain, labels, counts @ baseline.scale.losses.T, moment)
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
        """Since when, and what came since, as the bet with the most capital has it."""
        own = self.capital[series]
        best = self.since[series][np.unravel_index(int(own.argmax()), own.shape)]
        means = best[SUMS:] / max(float(best[LABELS]), 1e-9)
        return Since(int(best[INDEX]), float(best[LABELS]), int(best[FIRST_NS]), int(best[LAST_NS]), means)

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
