"""Models whose errors are known: scores with a true chance behind them, and numbers with a true spread."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.bins import Feature, Layout
from agent.config import Settings
from agent.estimate import calibrating, loss
from agent.following import About
from agent.ledger import RUNNING, Dial, Ledger
from agent.records import (
    Batch,
    Bools,
    Closed,
    Columns,
    Finding,
    Floats,
    Ints,
    Kind,
    ModelKey,
    Numbers,
    Pairs,
    Source,
    Task,
)
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.profile import Reference

KEY = ModelKey("credit", "1")
HOUR_NS = 3_600_000_000_000


def batch_of(outputs: dict[str, Floats], features: dict[str, Floats] | None = None) -> Batch:
    rows = len(next(iter(outputs.values())))
    numbers = {name: Numbers(values) for name, values in (features or {}).items()}
    return Batch(KEY, rows, 0, Columns(numbers), Columns({n: Numbers(v) for n, v in outputs.items()}))


def pairs_of(predicted: Floats, actual: Floats, scores: Floats, classes: tuple[str, ...], window: int = 0) -> Pairs:
    """Numbers that are classes' names where there are classes."""
    rows = len(predicted)
    places = {float(name): i for i, name in enumerate(classes)}
    coded = [np.array([places.get(v, -1) for v in values.tolist()], dtype=np.int32) for values in (predicted, actual)]
    nothing, times = np.zeros(rows, dtype=np.uint64), np.full(rows, window * HOUR_NS, dtype=np.int64)
    return Pairs(
        KEY, rows, nothing, nothing, times, times, predicted, actual, coded[0], coded[1], classes, scores[:, None],
        ("",), np.ones(rows),
    )  # fmt: skip


def about(reference: Reference, false_alarms: float = 0.05) -> About:
    checks = (*RUNNING, "estimated_performance")
    ledger = Ledger.of(Dial(false_alarms), reference.layout, reference.layout.window_seconds, checks)
    window_ns = round(reference.layout.window_seconds * 1e9)
    return About(KEY, Settings(), ledger, window_ns, reference, Task(reference.task), reference.positive_label)


def closed_of(reference: Reference, batch: Batch, index: int) -> Closed:
    counts = reference.layout.place(batch).count(reference.layout.cells)
    return Closed(index, counts.astype(np.int32), rows=batch.rows)


@dataclass
class Scored:
    """A binary model. mean, spread: of the logit of the true chance; skew: the score is the chance to this power, so
    that it is not calibrated. effect: standard deviation of a window's own shift of the logits."""

    rows: int = 1_000
    blocks: int = 60
    seed: int = 1
    mean: float = -0.5
    spread: float = 2.0
    skew: float = 1.7
    effect: float = 0.0
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def rows_of(
        self, rows: int = 0, mean: float | None = None, spread: float | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """Scores, predictions and truths of one window, by the chance that is written in the scores."""
        middle = (self.mean if mean is None else mean) + self.effect * self.random.normal()
        logit = middle + (self.spread if spread is None else spread) * self.random.normal(size=rows or self.rows)
        chance = 1.0 / (1.0 + np.exp(-logit))
        score = chance**self.skew
        truth: Bools = self.random.random(len(score)) < chance
        return score, (score >= 0.5).astype(np.float64), truth.astype(np.float64)

    def layout(self) -> Layout:
        edges = tuple(np.linspace(0.0, 1.0, 21).tolist())
        return Layout((Feature("score", Source.SCORE, Kind.NUMBER, edges=edges),))

    def reference(self) -> Reference:
        parts = [self.rows_of() for _ in range(self.blocks)]
        return built(self.layout(), Task.BINARY, parts, [{"score": p[0], "prediction": p[1]} for p in parts], [])


@dataclass
class Numeric:
    """A regression whose error's spread is 1 + 2 x + 3 where both x and y are large: what no single value says alone.

    effect: standard deviation of a window's own factor on errors, as a logarithm.
    """

    rows: int = 1_000
    blocks: int = 60
    seed: int = 1
    effect: float = 0.0
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def rows_of(self, rows: int = 0, tilt: float = 1.0, tied: float = 0.0) -> tuple[dict[str, Floats], Floats, Floats]:
        """Features, predictions, truths. tilt: power on x in 0-1, below 1 makes large ones more frequent; tied: share
        of rows whose y is x, which no single value's distribution shows."""
        rows = rows or self.rows
        x = self.random.random(rows) ** tilt
        y = np.where(self.random.random(rows) < tied, x, self.random.random(rows))
        factor = float(np.exp(self.effect * self.random.normal()))
        predicted = 10.0 * y
        spread = (1.0 + 2.0 * x + 3.0 * ((x > 0.6) & (y > 0.6))) * factor
        return {"x": x, "y": y}, predicted, predicted + spread * self.random.normal(size=rows)

    def layout(self) -> Layout:
        edges = tuple(np.linspace(0.0, 1.0, 21).tolist())
        features = [Feature(name, Source.FEATURE, Kind.NUMBER, edges=edges) for name in ("x", "y")]
        tens = tuple(np.linspace(0.0, 10.0, 21).tolist())
        return Layout((Feature("prediction", Source.PREDICTION, Kind.NUMBER, edges=tens), *features))

    def reference(self) -> Reference:
        parts = [self.rows_of() for _ in range(self.blocks)]
        labels, outputs = [(p[1], p[1], p[2]) for p in parts], [{"prediction": p[1]} for p in parts]
        return built(self.layout(), Task.REGRESSION, labels, outputs, [p[0] for p in parts])


def built(layout: Layout, task: Task, parts: list[tuple[Floats, Floats, Floats]], outputs: list[dict[str, Floats]],
          features: list[dict[str, Floats]]) -> Reference:  # fmt: skip
    """A reference with its sections, block by block. parts: score, prediction and truth of each."""
    binary = task is Task.BINARY
    starts: Ints = np.arange(len(parts), dtype=np.int64) * HOUR_NS
    settled = Settled(layout, starts, task, "1" if binary else "", ("0", "1") if binary else ())
    makers = [make(settled) for make in (calibrating.Calibrating, loss.Losing)]
    counts, done = [], 0
    for i, (score, predicted, actual) in enumerate(parts):
        batch = batch_of(outputs[i], features[i] if features else None)
        placed = layout.place(batch)
        counts.append(placed.count(layout.cells))
        pairs = pairs_of(predicted, actual, score, ("0", "1") if binary else ())
        numbers = np.arange(done, done + batch.rows, dtype=np.int64)
        done += batch.rows
        rows = LabelledRows(numbers, np.full(batch.rows, i, dtype=np.int64), placed.cells, batch, pairs)
        for maker in makers:
            maker.add(rows)
    sections = [(maker.key, body) for maker in makers if (body := maker.finish())]
    sizes = np.array([len(part[0]) for part in parts], dtype=np.int64)
    return Reference(
        "credit", "1", layout, np.array(counts, dtype=np.int32), starts, sizes, task=int(task),
        positive_label="1" if binary else "", unknown=tuple(sections),
    )  # fmt: skip


def alarms(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.alarms]
