"""Small worlds for the tests of quality: two features, batches, windows, references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from agent.bins import Feature, Layout
from agent.quality.judge import Quality
from agent.records import NULL, PRESENT, Batch, Cells, Closed, Columns, Finding, Kind, ModelKey, Numbers, Source, Texts
from agent.reference.profile import Reference

AGE = Feature("age", Source.FEATURE, Kind.NUMBER, edges=tuple(float(x) for x in np.linspace(-3.0, 3.0, 21)))
TOPIC = Feature("topic", Source.FEATURE, Kind.TEXT, categories=("a", "b", "c"))
LAYOUT = Layout((AGE, TOPIC))


class Fixed:
    """A ledger that gives every test the same."""

    def __init__(self, alpha: float = 1e-6) -> None:
        self._alpha = alpha

    def alpha(self, check: str, feature_index: int) -> float:
        return self._alpha


def batch(ages: Numbers, topics: Texts | None = None, texts: dict[str, Texts] | None = None) -> Batch:
    rows = len(ages.values)
    topic = topics or Texts(("a", "b", "c"), (np.arange(rows) % 3).astype(np.int32))
    columns = Columns(numbers={"age": ages}, texts={"topic": topic, **(texts or {})})
    return Batch(ModelKey("m"), rows, 0, columns, Columns())


def counts(of: Batch, layout: Layout = LAYOUT) -> Cells:
    return layout.place(of).count(layout.cells).astype(np.int32)


def ages(rng: np.random.Generator, rows: int, missing: float = 0.0, scale: float = 1.0) -> Numbers:
    state = np.where(rng.random(rows) < missing, NULL, PRESENT).astype(np.uint8)
    return Numbers(np.clip(rng.normal(size=rows), -2.99, 2.99) * scale, state)


def reference(rng: np.random.Generator, missing: Sequence[float] = (0.01,) * 40, rows: int = 1000) -> Reference:
    blocks = np.stack([counts(batch(ages(rng, rows, share))) for share in missing])
    return Reference("m", "1", LAYOUT, blocks, np.zeros(len(missing), np.int64), np.full(len(missing), rows, np.int64))


def judged(ref: Reference, window: Batch, alpha: float = 1e-6) -> dict[tuple[str, str], Finding]:
    slices = list(Quality(ref, Fixed(alpha)).judge([Closed(7, counts(window))]))
    return {(f.check, f.subject): f for part in slices for f in part}


def found_in(slices: Iterable[list[Finding]]) -> list[Finding]:
    return [f for part in slices for f in part]


def only(slices: Iterable[list[Finding]]) -> Finding:
    (found,) = found_in(slices)
    return found
