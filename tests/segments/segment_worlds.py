"""Traffic in segments with a known truth: references and windows, straight into counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from agent.bins import MISMATCH_CELL, NULL_CELL, SPECIALS, Feature, Layout
from agent.ledger import RUNNING, Dial, Ledger
from agent.records import Closed, Counts, Finding, Floats, Kind, Source
from agent.reference.by_segment import BySegment, SegmentCounts, choose_runs, pack
from agent.reference.profile import Reference
from agent.segments.judge import Segments, segment_tests

BINS = 20


@dataclass
class Regions:
    """Normal features in equal bins of the whole, and texts of five categories; each region with means of its own.

    rows: of each region's window. effect, common: standard deviation of a window's own shift of the mean, each
    region's and all regions' together; memory: the former's autocorrelation. season: amplitude of a day of 24 windows,
    each region at an hour of its own. missing: share of nulls everywhere.
    """

    rows: Sequence[int]
    features: int = 4
    texts: int = 1
    blocks: int = 200
    seed: int = 1
    effect: float = 0.0
    common: float = 0.0
    season: float = 0.0
    memory: float = 0.0
    missing: float = 0.01
    key: str = "region"
    shares: tuple[float, ...] = ()  # of every text everywhere; else each region has its own
    reference: Reference = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.names = [f"{self.key}=r{s}" for s in range(len(self.rows))]
        self._edges = norm.ppf(np.linspace(0.0005, 0.9995, BINS + 1))
        self._means = self.random.normal(scale=0.3, size=(len(self.rows), self.features))
        self._shares = self.random.dirichlet(np.full(5, 3.0), size=(len(self.rows), max(self.texts, 1)))
        self._state = self.random.normal(size=(len(self.rows), self.features))
        self._hour = 0
        if self.shares:
            self._shares[:] = self.shares
        numbers = [
            Feature(f"number{j}", Source.FEATURE, Kind.NUMBER, edges=tuple(self._edges.tolist()))
            for j in range(self.features)
        ]
        categories = tuple(f"c{i}" for i in range(5))
        texts = [Feature(f"text{j}", Source.FEATURE, Kind.TEXT, categories=categories) for j in range(self.texts)]
        layout = Layout((*numbers, *texts))
        counts = np.array([list(self._counts().values()) for _ in range(self.blocks)])
        runs = choose_runs(self.blocks)
        places = [slice(first, first + length) for first, length in runs]
        values = tuple(
            SegmentCounts(
                self.key, f"r{s}", np.full(self.blocks, rows),
                pack(np.array([own.sum(axis=0), *(own[place].sum(axis=0) for place in places)])),
            )
            for s, rows in enumerate(self.rows)
            for own in [counts[:, s]]
        )  # fmt: skip
        whole = counts.sum(axis=1).astype(np.int32)
        self.reference = Reference(
            "model", "1", layout, whole, np.arange(self.blocks) * 3600 * 10**9,
            np.full(self.blocks, sum(self.rows)), segments=(self.key,),
            by_segment=BySegment((self.key,), runs, values),
        )  # fmt: skip

    def window(
        self, index: int = 1000, shift: Mapping[int, float] | None = None, rows: Mapping[int, int] | None = None,
        lost: Mapping[int, str] | None = None,
    ) -> Closed:  # fmt: skip
        """One closed window. By region: shift of number0 in standard deviations, rows, the feature that is null."""
        parts = self._counts(shift or {}, rows or {})
        for region, name in (lost or {}).items():
            self._lose(parts[self.names[region]], name, NULL_CELL)
        total = np.sum(list(parts.values()), axis=0)
        each = {s: (rows or {}).get(s, n) for s, n in enumerate(self.rows)}
        seen: dict[str, Counts] = {name: own.astype(np.int32) for name, own in parts.items() if own.any()}
        return Closed(index, total.astype(np.int32), rows=sum(each.values()), segments=seen)

    def segments(self, dial: float = 0.05) -> Segments:
        layout = self.reference.layout
        own = Dial(dial, segments=segment_tests(self.reference))
        return Segments(self.reference, Ledger.of(own, layout, 3600.0, (*RUNNING, "segments")))

    def without_section(self) -> Reference:
        return replace(self.reference, by_segment=BySegment())

    def mistype(self, closed: Closed, region: int, name: str) -> None:
        """Every value of the feature comes in a wrong type."""
        self._lose(closed.segments[self.names[region]], name, MISMATCH_CELL)

    def _lose(self, counts: Floats | Counts, name: str, special: int) -> None:
        layout = self.reference.layout
        at = layout.index[Source.FEATURE, name]
        own = counts[layout.slice(at)]
        total = own[:-1].sum()
        own[:] = 0
        own[layout.features[at].bins + special] = total

    def _counts(
        self, shift: Mapping[int, float] | None = None, rows: Mapping[int, int] | None = None
    ) -> dict[str, Floats]:
        shift, rows = shift or {}, rows or {}
        common = self.random.normal(scale=self.common, size=self.features) if self.common else 0.0
        fresh = self.random.normal(size=self._state.shape)
        self._state = self.memory * self._state + np.sqrt(1.0 - self.memory**2) * fresh
        self._hour += 1
        found = {}
        for s, name in enumerate(self.names):
            n = rows.get(s, self.rows[s])
            means = self._means[s] + common + self.effect * self._state[s]
            means += self.season * np.sin(2.0 * np.pi * (self._hour / 24.0 + s / 7.0))
            means[:1] += shift.get(s, 0.0)
            bounds = ndtr(self._edges[None, :] - means[:, None])
            shares = np.diff(np.hstack((np.zeros((self.features, 1)), bounds, np.ones((self.features, 1)))), axis=1)
            parts = []
            for own in [*shares, *(np.append(t, (0.0, 0.0)) for t in self._shares[s][: self.texts])]:
                null = self.random.binomial(n, self.missing)
                cells = self.random.multinomial(n - null, own / own.sum())
                parts.append(np.concatenate((cells, [null], np.zeros(SPECIALS - 1))))
            found[name] = np.concatenate(parts)
        return found


def judged(segments: Segments, recent: Sequence[Closed]) -> list[Finding]:
    return [finding for part in segments.judge(recent) for finding in part]


def alarms(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.alarms]
