"""Worlds with a known truth: references and windows drawn from it, straight into counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtr

from agent.bins import SPECIALS, Feature, Layout
from agent.drift import Drift
from agent.ledger import Dial, Ledger
from agent.records import Cells, Closed, Finding, Floats, Kind, Source
from agent.reference.profile import Reference

BINS = 20
FIRST_HOUR = 446_352  # since 1970: the midnight that 2020-12-02 begins with


@dataclass
class World:
    """Normal features in reference-quantile bins, or texts of given shares.

    n: rows a window; reference_rows: N, in blocks of n rows, but at least 50 blocks. effect: standard deviation of a
    window's own shift of the mean, the "window effect"; memory: its autocorrelation from window to window. daily,
    weekly: amplitudes in σ of a sine over the hours of the day, and of a pattern over the days of the week; with either
    the reference's blocks are hours with times, and the windows go on after it.
    """

    features: int
    n: int
    reference_rows: int
    seed: int
    texts: Sequence[Floats] = ()
    effect: float = 0.0
    memory: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0
    reference: Reference = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self._state = self.random.normal(size=self.features)
        self.hour = FIRST_HOUR
        self._phase = self.random.uniform(0.0, 2.0 * np.pi, self.features)
        self._days = self.random.normal(size=(7, self.features))
        rows = min(self.n, self.reference_rows // 50)
        blocks = self.reference_rows // rows
        shifts = np.array([self._shift() for _ in range(blocks)])
        features, counts = [], []
        for j in range(self.features):
            values = self.random.normal(size=(blocks, rows)) + shifts[:, j, None]
            edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, BINS + 1)))
            features.append(Feature(f"number{j}", Source.FEATURE, Kind.NUMBER, edges=tuple(edges.tolist())))
            split = np.append(edges[:-1], np.nextafter(edges[-1], np.inf))
            cells = np.searchsorted(split, values, side="right") + BINS_AND_ENDS * np.arange(blocks)[:, None]
            counts.append(np.bincount(cells.ravel(), minlength=BINS_AND_ENDS * blocks).reshape(blocks, -1))
        for j, shares in enumerate(self.texts):
            names = tuple(f"category{i}" for i in range(len(shares) - 2))
            features.append(Feature(f"text{j}", Source.FEATURE, Kind.TEXT, categories=names))
            counts.append(self.random.multinomial(rows, shares, size=blocks))
        self._edges = np.array([f.edges for f in features[: self.features]])
        self.reference = make_reference(features, counts)
        if self.daily or self.weekly:
            times = (FIRST_HOUR + np.arange(blocks, dtype=np.int64)) * 3_600_000_000_000
            self.reference = replace(self.reference, starts_ns=times)

    def window(self, shift: float = 0.0, scale: float = 1.0, n: int = 0, texts: Sequence[Floats] = ()) -> Cells:
        """int32 (cells,): one window's counts; numbers shifted and scaled, each text with its shares of `texts`."""
        rows, found = n or self.n, []
        if self.features:
            moved = (self._edges - shift - self._shift()[:, None]) / scale
            ends = np.zeros((self.features, 1))
            shares = np.diff(np.hstack((ends, ndtr(moved), ends + 1.0)), axis=1)
            found += list(self.random.multinomial(rows, shares / shares.sum(axis=1, keepdims=True)))
        found += [self.random.multinomial(rows, shares) for shares in texts or self.texts]
        return with_specials(found)

    def closed(self, shift: float = 0.0, scale: float = 1.0) -> Closed:
        """The next hour's window, with its place in time."""
        hour = self.hour
        return Closed(hour, self.window(shift, scale))

    def windows(self, count: int) -> list[Cells]:
        return [self.window() for _ in range(count)]

    def drift(self, dial: float = 0.05) -> Drift:
        return Drift(self.reference, Ledger.of(Dial(dial), self.reference.layout, 3600.0))

    def _shift(self) -> Floats:
        fresh = self.random.normal(size=self.features)
        self._state = self.memory * self._state + np.sqrt(1.0 - self.memory**2) * fresh
        found = self.effect * self._state
        found = found + self.daily * np.sin(2.0 * np.pi * self.hour / 24.0 + self._phase)
        found = found + self.weekly * self._days[self.hour // 24 % 7]
        self.hour += 1
        return np.asarray(found, dtype=np.float64)


BINS_AND_ENDS = BINS + 2


def with_specials(counts: Iterable[np.ndarray]) -> Cells:
    """One flat window of each feature's value cells, specials empty."""
    return np.concatenate([np.append(c, np.zeros(SPECIALS)) for c in counts]).astype(np.int32)


def make_reference(features: Sequence[Feature], counts: Sequence[np.ndarray]) -> Reference:
    """counts: (blocks, value cells) for each feature."""
    blocks = np.array([with_specials(each) for each in zip(*counts, strict=True)])
    rows = np.asarray(counts[0].sum(axis=1), dtype=np.int64)
    return Reference("model", "1", Layout(tuple(features)), blocks, np.arange(len(blocks)), rows)


def judged(drift: Drift, recent: Sequence[Closed]) -> list[Finding]:
    return [finding for part in drift.judge(recent) for finding in part]


def findings(drift: Drift, recent: Sequence[Cells], newest: int = 100) -> list[Finding]:
    return judged(drift, [Closed(newest - len(recent) + 1 + i, counts) for i, counts in enumerate(recent)])


def zipf(categories: int, slope: float = 1.0) -> Floats:
    """Shares of so many categories, then none of "other" and "never seen"."""
    shares = 1.0 / np.arange(1, categories + 1) ** slope
    return np.append(shares / shares.sum(), (0.0, 0.0))
