"""References and windows from whole rows, as they are built and counted: for vectors and whole rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.bins import Layout
from agent.drift import Drift
from agent.drift.groups import Grouped
from agent.ledger import Dial, Ledger
from agent.records import Batch, Cells, Closed, Columns, Finding, Floats, ModelKey, Numbers, Vectors
from agent.reference.build import add_counts
from agent.reference.directions import with_projections
from agent.reference.profile import Reference
from agent.reference.sample import RowsToFit
from agent.reference.traffic import features_of

KEY = ModelKey("model", "1")


def vectors(values: np.ndarray) -> Batch:
    """A batch of one vector, `embedding`."""
    return Batch(KEY, len(values), 0, Columns(vectors={"embedding": Vectors(values.astype(np.float32))}), Columns())


def numbers(values: Floats) -> Batch:
    """A batch of numbers f0, f1, …: a column each."""
    columns = {f"f{j:02}": Numbers(np.ascontiguousarray(values[:, j])) for j in range(values.shape[1])}
    return Batch(KEY, len(values), 0, Columns(numbers=columns), Columns())


def reference_of(windows: Sequence[Batch]) -> Reference:
    """Built like one of a file: fitted to a sample, and counted without it."""
    fit, first = RowsToFit(), np.cumsum([0, *(w.rows for w in windows)])
    for start, window in zip(first.tolist(), windows, strict=False):
        fit.add(start, window)
    layout = with_projections(Layout(features_of(windows)), fit.batches)
    blocks = np.zeros((len(windows), layout.cells), dtype=np.int32)
    for i, (start, window) in enumerate(zip(first.tolist(), windows, strict=False)):
        taken = np.flatnonzero(~fit.holds(start, window.rows))
        add_counts(layout, window, np.full(window.rows, i), blocks, taken)
    rows = np.array([w.rows for w in windows], dtype=np.int64)
    return Reference("model", "1", layout, blocks, np.arange(len(windows)), rows)


def counted(reference: Reference, batch: Batch) -> Cells:
    """int32 (cells,): one window's counts."""
    return reference.layout.place(batch).count(reference.layout.cells).astype(np.int32)


def judging(reference: Reference, dial: float = 0.05) -> Grouped:
    """Drift as the agent runs it."""
    drift = Drift(reference, Ledger.of(Dial(dial), reference.layout, 3600.0))
    return Grouped(drift, reference.layout, reference.pooled)


def findings(measure: Grouped, recent: Sequence[Cells], newest: int = 100) -> dict[str, Finding]:
    """By subject."""
    closed = [Closed(newest - len(recent) + 1 + i, counts) for i, counts in enumerate(recent)]
    return {finding.subject: finding for part in measure.judge(closed) for finding in part}


def delay(reference: Reference, batches: Sequence[Batch], subject: str) -> int | None:
    """After how many of these windows the subject alarms."""
    measure, recent = judging(reference), [counted(reference, batch) for batch in batches]
    for many in range(1, len(recent) + 1):
        if findings(measure, recent[:many])[subject].alarms:
            return many
    return None
