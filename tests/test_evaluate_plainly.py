"""What was made faster says the same to the last bit: judged once as it is, once by the plain forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.bins import Feature, Layout, Rules
from agent.drift.comparison import Comparison, cell_deviates
from agent.drift.pooling import Levels, Pooled
from agent.drift.scores import Scores
from agent.evaluate import Judge
from agent.ledger import Dial
from agent.quality.rates import Recent
from agent.records import Bools, Cells, Closed, Floats, Ints, Kind, Source
from agent.reference.profile import Reference
from agent.statistics.array_tails import beta_share

HOUR_NS = 3_600 * 10**9


def _plain_at(self: Levels, level: Ints) -> Pooled:
    """By two indices, and the whole of every array."""
    cells, features = self.cells, np.arange(len(self.cells.features))
    of_cell, position = level[cells.owner], np.arange(cells.take.size)
    bins, single = self._bins[level, features], self._single[level, features]
    starts = np.flatnonzero(self._begins[of_cell, position])
    return Pooled(
        starts=starts,
        first=np.cumsum(bins) - bins,
        owner=cells.owner[starts],
        bins=bins,
        df=np.where((bins >= 5) & ~single, bins - 4, 0),
        scores=Scores(self._vectors[of_cell, :, position].T, self._skewness[level, :, features].T),
        rare=self._rare[of_cell, position],
    )


def _plain_largest(found: Comparison, pooled: Pooled, n: Floats, n_reference: Floats, of: Bools) -> Floats:
    """Of every feature, and then those that are asked for."""
    z = cell_deviates(found.current, found.reference, n[pooled.owner], n_reference[pooled.owner])
    return np.asarray(np.maximum.reduceat(z, pooled.first)[of])


def _plain_fraction(x: float, a: float, b: float) -> float:
    """Numerical Recipes 6.4, both steps of a round in one loop."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    found = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 / (1.0 + numerator * d)
            c = 1.0 + numerator / c
            found *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return found


def _plain_deviate(p: float) -> float:
    """Newton's six steps, whether they still move or not."""
    if p > 0.5:
        return -_plain_deviate(1.0 - p)
    if p < 1e-299:
        return 37.0
    z = math.sqrt(-2.0 * math.log(2.0 * p)) if p < 0.5 else 0.0
    for _ in range(6):
        tail = 0.5 * math.erfc(z / math.sqrt(2.0))
        density = math.exp(-0.5 * z * z - 0.5 * math.log(2.0 * math.pi))
        z += (math.log(tail) - math.log(p)) * tail / density
    return z


def _plain_sums(self: Recent, horizon: int) -> Ints:
    """Added up for each finding."""
    return np.asarray(self.counts[-horizon:].sum(axis=0, dtype=np.int64))


class _World:
    """Numbers, texts and flags with faults now and then, whose shares wander; the second half of the windows moves."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        edges = tuple(float(e) for e in range(12))
        names, few = tuple(f"c{i}" for i in range(9)), Rules(max_new=0.2)
        self.features = (
            *(Feature(f"n{i}", Source.FEATURE, Kind.NUMBER, edges=edges, integral=i % 2 == 0) for i in range(5)),
            *(Feature(f"t{i}", Source.FEATURE, Kind.TEXT, categories=names, rules=few) for i in range(3)),
            Feature("flag", Source.FEATURE, Kind.FLAG),
            Feature("score", Source.SCORE, Kind.NUMBER, edges=edges, rules=Rules(low=0.0, high=11.0)),
        )
        self.layout = Layout(self.features)
        self.shares = [self.random.dirichlet(np.full(feature.bins, 2.0)) for feature in self.features]

    def window(self, rows: int, tilt: float, faults: float) -> Cells:
        found = np.zeros(self.layout.cells, dtype=np.int32)
        for i, feature in enumerate(self.features):
            lean = np.exp((tilt + 0.1 * self.random.normal()) * np.linspace(-1.0, 1.0, feature.bins))
            faulty = faults * np.array([1.0, 0.5, 1.0, 0.1, 0.1, 0.2, 0.0]) * self.random.gamma(2.0, 0.5, 7)
            shares = np.concatenate((self.shares[i] * lean, faulty))
            found[self.layout.slice(i)] = self.random.multinomial(rows, shares / shares.sum())
        return found

    def reference(self, blocks: int, rows: int) -> Reference:
        counts = np.array([self.window(rows, 0.0, 0.02) for _ in range(blocks)])
        starts = (np.arange(blocks, dtype=np.int64) + 472_000) * HOUR_NS
        return Reference("m", "1", self.layout, counts, starts, np.full(blocks, rows))


def _told(seed: int) -> list[str]:
    world = _World(seed)
    rows = (60, 400, 3_000)[seed % 3]
    judge = Judge(world.reference(40 + 60 * (seed % 2), rows), Dial(), 3600.0)
    recent, said = [], []
    for k in range(12):
        counts = world.window(rows, 0.3 * (k > 5), 0.02 + 0.05 * (k > 8))
        recent.append(Closed(472_200 + k, counts, rows=rows))
        said += [repr(finding) for part in judge.judge(recent) for finding in part]
    return said


@pytest.mark.parametrize("seed", range(4))
def test_findings_are_those_of_the_plain_forms_to_the_last_bit(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four worlds, twelve windows each, drift and faults in some: every p-value, effect and word."""
    fast = _told(seed)
    monkeypatch.setattr(Levels, "at", _plain_at)
    monkeypatch.setattr("agent.drift.drift.largest_cell", _plain_largest)
    monkeypatch.setattr("agent.statistics.tails._beta_fraction", _plain_fraction)
    for where in ("rates", "spread"):
        monkeypatch.setattr(f"agent.quality.{where}.normal_deviate", _plain_deviate)
    monkeypatch.setattr(Recent, "sums", _plain_sums)
    plain = _told(seed)
    assert len(fast) > 100
    assert any("Verdict.ALARM" in line for line in fast)
    assert fast == plain


def test_tails_that_go_together_are_those_that_go_alone() -> None:
    """Whatever shares its rounds, a value is the same to the last bit."""
    random = np.random.default_rng(5)
    a, b = random.gamma(2.0, 20.0, 300) + 0.1, np.where(random.random(300) < 0.5, 0.5, random.gamma(1.0, 9.0, 300))
    x = np.clip(random.random(300) * a / (a + b), 1e-9, 1.0 - 1e-9)
    together = beta_share(a, b, x, 1.0 - x)
    alone = [float(beta_share(a[i], b[i], x[i], 1.0 - x[i])) for i in range(300)]
    assert together.tolist() == alone
