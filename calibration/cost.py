"""What counting and judging cost: one process, the product's own code, 16 numbers and 4 texts."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.records import Batch
from calibration.cells import FIRST, Cell
from calibration.drive import Sidecar, begun
from calibration.worlds import DAY, WINDOW_NS, Category, Numeric, Stream, World

NUMBERS, TEXTS = 16, 4
WORLD = World((Numeric(NUMBERS), Category(TEXTS, categories=30)), even=True)
BATCH_ROWS, REPEATS = 500, 200


@dataclass(frozen=True, slots=True)
class Cost:
    """bare_ns: a value found by binary search and counted, nothing else. window_ms: closing and judging."""

    value_ns: float
    bare_ns: float
    window_ms: float
    features: int
    reference_bytes: float
    watching_bytes: float


def cost() -> Cost:
    """Takes some seconds."""
    cell = Cell("cost", WORLD, BATCH_ROWS, 50 * BATCH_ROWS)
    stream = Stream(WORLD, (0,))
    windows = [(FIRST + k, stream.window(FIRST + k, BATCH_ROWS)) for k in range(cell.blocks)]
    reference = begun(cell, windows).reference
    features = NUMBERS + TEXTS
    tracemalloc.start()
    sidecar = Sidecar(reference)
    held = tracemalloc.get_traced_memory()[0]
    start = FIRST + cell.blocks
    for k in range(DAY):
        sidecar.hour(stream.window(start + k, BATCH_ROWS), start + k)
    watching = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    batch = stream.window(start + DAY, BATCH_ROWS)
    values = features * BATCH_ROWS
    return Cost(
        _seconds(lambda: sidecar.watch.series.add(_at(batch, start + DAY), False)) / values * 1e9,
        _seconds(lambda: _bare(batch)) / values * 1e9,
        _judging(sidecar, batch, start + DAY),
        features,
        reference.blocks.nbytes / features,
        watching / features if held else 0.0,
    )


def _at(batch: Batch, index: int) -> Batch:
    return Batch(batch.model, batch.rows, index * WINDOW_NS, batch.features, batch.outputs)


def _seconds(work: Callable[[], object], times: int = REPEATS) -> float:
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def _bare(batch: Batch) -> None:
    edges = np.linspace(-2.0, 2.0, 21)
    for column in batch.features.numbers.values():
        np.bincount(np.searchsorted(edges, column.values), minlength=22)
    for text in batch.features.texts.values():
        np.bincount(text.codes, minlength=32)


def _judging(sidecar: Sidecar, batch: Batch, start: int) -> float:
    """Milliseconds for a window that closes on full horizons, its counting left out."""
    spent = 0.0
    for k in range(DAY):
        index = start + 1 + k
        sidecar.watch.series.add(_at(batch, index), False)
        began = time.process_time()
        sidecar.close(index)
        spent += time.process_time() - began
    return spent / DAY * 1e3
