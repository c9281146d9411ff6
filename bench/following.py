"""What follows labels, at a window's end: how long a step of it holds the loop, in process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from agent.bins import Feature, Layout
from agent.config import Settings
from agent.estimate.calibrating import Calibrating
from agent.estimate.follower import Estimating
from agent.fairness.follower import Fairness
from agent.following import About
from agent.ledger import HORIZONS, RUNNING, Dial, Ledger
from agent.performance.follower import Performance
from agent.records import Batch, Closed, Columns, Finding, Kind, ModelKey, Numbers, Pairs, Source, Task, Texts
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.profile import Reference
from bench import pace
from bench.line import Line, Samples
from bench.scale import Scale

MODEL = ModelKey("bench", "1")
CLASSES = ("no", "yes")
ROWS = 4_000  # of a window, each with its label
VALUES, GROUPS = 50, 20  # of each of two segment keys; of an attribute
LAYOUT = Layout((Feature("score", Source.SCORE, Kind.NUMBER, edges=tuple(np.linspace(0.0, 1.0, 21).tolist())),))
WINDOW_NS = 3600 * 10**9
BLOCKS = 60  # windows of the reference
WHY = "one look over all slices, groups or horizons at once; it is split where that does not cost more than it gives."


class Stepping(Protocol):
    """A follower whose window's end goes in steps."""

    def prepare(self, about: About) -> None: ...

    def predicted(self, batch: Batch, index: int) -> None: ...

    def labelled(self, pairs: Pairs, index: int) -> None: ...

    def closing(self, index: int, recent: Sequence[Closed], end_ns: int) -> Iterator[list[Finding]]: ...


def following(scale: Scale, folder: Path) -> Iterator[Line]:
    """The longest step of each follower that looks at slices, groups or scores, in the last closes of a day."""
    gc.collect()
    gc.freeze()
    try:
        limited = Settings.of({"fairness": "group", "fairness_limit": "demographic_parity_ratio<0.8"})
        segmented = Settings(segments=("region", "zone"))
        yield _line(f"performance, {2 * VALUES} segments", Performance(), _about(segmented), scale)
        yield _line(f"gaps of {GROUPS} groups, with a limit", Fairness(), _about(limited), scale)
        known = replace(_about(Settings()), reference=_reference())
        yield _line("estimates without labels", Estimating(), known, scale)
    finally:
        gc.unfreeze()


def _line(what: str, follower: Stepping, about: About, scale: Scale) -> Line:
    """Each of the last closes is a repeat, its longest step what counts."""
    random, longest, steps, paces = np.random.default_rng(1), list[float](), 0, list[float]()
    follower.prepare(about)
    windows = HORIZONS[-1] + scale.repeats * 2
    for index in range(windows):
        batch, pairs = _window(random, index)
        follower.predicted(batch, index)
        follower.labelled(pairs, index)
        before, spent = pace.now() if index >= HORIZONS[-1] else 0.0, _spent(follower, index)
        if index >= HORIZONS[-1]:
            longest.append(max(spent))
            paces.append((before + pace.now()) / 2)
            steps = len(spent)
    note = f"{steps} steps, {len(longest)} closes; the least {min(longest):.1f} ms"
    samples = Samples.of([statistics.median(longest)], [statistics.median(paces)])
    return Line(f"the longest step of a window's end: {what}", "ms", samples, 2.0, why=WHY, note=note)


def _spent(follower: Stepping, index: int) -> list[float]:
    """Milliseconds of CPU, by step."""
    found, steps = [], follower.closing(index, [], (index + 1) * WINDOW_NS)
    while True:
        began = time.process_time()
        ended = next(steps, None) is None
        found.append((time.process_time() - began) * 1e3)
        if ended:
            return found


def _about(settings: Settings) -> About:
    checks = (*RUNNING, "performance", "fairness", "estimated_performance")
    ledger = Ledger.of(Dial(), LAYOUT, WINDOW_NS / 1e9, checks)
    return About(MODEL, settings, ledger, WINDOW_NS, None, Task.BINARY, "yes")


def _window(random: np.random.Generator, index: int) -> tuple[Batch, Pairs]:
    """Predictions and their truths, nine of ten right; two keys of segments and an attribute."""
    score = random.random(ROWS)
    said = (score >= 0.5).astype(np.int32)
    true = np.where(random.random(ROWS) < 0.1, 1 - said, said).astype(np.int32)
    group, region, zone = (random.integers(0, size, ROWS).astype(np.int32) for size in (GROUPS, VALUES, VALUES))
    names = tuple(f"v{k}" for k in range(VALUES))
    nothing, nan, times = np.zeros(ROWS, np.uint64), np.full(ROWS, np.nan), np.full(ROWS, index * WINDOW_NS)
    outputs = Columns({"score": Numbers(score)}, {"prediction": Texts(CLASSES, said)})
    batch = Batch(MODEL, ROWS, 0, Columns(), outputs, protected={"group": Texts(names[:GROUPS], group)})
    pairs = Pairs(
        MODEL, ROWS, nothing, nothing, times, times, nan, nan, said, true, CLASSES, score[:, None], ("",),
        np.ones(ROWS), segments={"region": region, "zone": zone}, groups={"group": group}, names=names,
    )  # fmt: skip
    return batch, pairs


def _reference() -> Reference:
    """With what its scores were worth."""
    random, starts = np.random.default_rng(2), np.arange(BLOCKS, dtype=np.int64) * WINDOW_NS
    builder, counts = Calibrating(Settled(LAYOUT, starts, Task.BINARY, "yes", CLASSES)), []
    for block in range(BLOCKS):
        batch, pairs = _window(random, block)
        placed = LAYOUT.place(batch)
        counts.append(placed.count(LAYOUT.cells))
        numbers = np.arange(ROWS, dtype=np.int64) + block * ROWS
        builder.add(LabelledRows(numbers, np.full(ROWS, block, dtype=np.int64), placed.cells, batch, pairs))
    return Reference(
        MODEL.name, MODEL.version, LAYOUT, np.array(counts, dtype=np.int32), starts, np.full(BLOCKS, ROWS),
        task=int(Task.BINARY), positive_label="yes", unknown=((builder.key, builder.finish()),),
    )  # fmt: skip
