"""A model with labels, window by window, for the follower's tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from agent.bins import Feature, Layout
from agent.config import Settings
from agent.following import About
from agent.ledger import RUNNING, Dial, Ledger
from agent.performance.follower import Performance
from agent.performance.section import KEY, Performing
from agent.records import Batch, Columns, Finding, Kind, Pairs, Source, Task
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.profile import Reference
from tests.performance.pairs import KEY as MODEL
from tests.performance.pairs import classified

WINDOW_NS = 3600 * 10**9
START = 480_000  # a window's number: October 2024
REGIONS = ("region=north", "region=south", "region=west")


def about(reference: Reference | None = None, **more: Any) -> About:
    settings = Settings(segments=("region",))
    ledger = Ledger.of(Dial(0.05), Layout(()), 3600.0, (*RUNNING, "performance"))
    return About(MODEL, settings, ledger, WINDOW_NS, reference, **more)


def pairs_of(rng: np.random.Generator, rows: int, wrong: float, index: int, north: float | None = None) -> Pairs:
    """Binary: a share `wrong` of decisions is wrong, of the north its own; scores that fit the decisions."""
    true = rng.random(rows) < 0.4
    region = rng.integers(0, 3, rows)
    share = np.where(region == 0, wrong if north is None else north, wrong)
    said = np.where(rng.random(rows) < share, ~true, true)
    score = np.where(said, 0.5 + 0.5 * rng.beta(4, 2, rows), 0.5 * rng.beta(2, 4, rows))
    return replace(
        classified([], None), rows=rows, ids=np.zeros(rows, np.uint64), request_ids=np.zeros(rows, np.uint64),
        predicted=np.full(rows, np.nan), actual=np.full(rows, np.nan), predicted_class=said.astype(np.int32),
        actual_class=true.astype(np.int32), classes=("no", "yes"), scores=score[:, np.newaxis], weights=np.ones(rows),
        label_ns=np.full(rows, index * WINDOW_NS), segments={"region": region.astype(np.int32)},
        names=("north", "south", "west"), time_ns=np.full(rows, index * WINDOW_NS - 10**12),
    )  # fmt: skip


def reference_of(blocks: int, rows: int, wrong: float = 0.1, seed: int = 0, **more: Any) -> Reference:
    """A reference whose labelled rows came through the section's own builder."""
    rng = np.random.default_rng(seed)
    layout = Layout((Feature("prediction", Source.PREDICTION, Kind.TEXT, categories=("no", "yes")),))
    starts = (START - blocks + np.arange(blocks)) * WINDOW_NS
    settled = Settled(layout, starts, Task.BINARY, "yes", ("no", "yes"), ("region",))
    builder = Performing(settled)
    for block in range(blocks):
        pairs = pairs_of(rng, rows, wrong, START - blocks + block, **more)
        batch = Batch(MODEL, rows, 0, Columns(), Columns())
        position = np.full(rows, block, dtype=np.int64)
        builder.add(LabelledRows(np.arange(rows) + block * rows, position, np.zeros((1, rows), np.int32), batch, pairs))
    counts = np.zeros((blocks, layout.cells), dtype=np.int32)
    return Reference(
        "churn", "3", layout, counts, starts, np.full(blocks, rows), task=int(Task.BINARY), positive_label="yes",
        unknown=((KEY, builder.finish()),),
    )  # fmt: skip


def closes(follower: Performance, index: int, pairs: Pairs) -> list[Finding]:
    """One window's labels, and its end."""
    follower.labelled(pairs, index)
    return follower.close(index, [], (index + 1) * WINDOW_NS)


def by_name(findings: list[Finding]) -> Mapping[tuple[str, str], Finding]:
    return {(finding.subject, finding.segment): finding for finding in findings}
