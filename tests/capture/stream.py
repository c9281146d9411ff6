"""Predictions with their truth, as a capture is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agent.bins import Feature, Layout
from agent.capture.capture import Capture
from agent.capture.parts import Part
from agent.capture.table import parquet
from agent.capture.writing import Place
from agent.config import Settings
from agent.counting.fingerprints import mixed
from agent.following import About
from agent.ledger import Dial, Ledger
from agent.records import Batch, Columns, Flags, Floats, Kind, ModelKey, Numbers, Pairs, Source, Texts
from agent.reference.profile import Reference

HOUR_NS = 3_600_000_000_000
START = 472_000
MODEL = ModelKey("loans", "3")
CITIES = ("Bonn", "Kiel", "Ulm")
EDGES = tuple(float(edge) for edge in range(0, 101, 10))


def reference(protected: tuple[str, ...] = ()) -> Reference:
    """Ages in tenths, evenly."""
    layout = Layout((Feature("age", Source.FEATURE, Kind.NUMBER, edges=EDGES),))
    blocks = np.zeros((10, layout.cells), dtype=np.int32)
    blocks[:, :10] = 100
    rows = np.full(10, 1_000)
    return Reference("loans", "3", layout, blocks, np.arange(10) * HOUR_NS, rows, protected=protected)


def capture(folder: Path | str, known: Reference | None = None, **options: Any) -> Capture:
    """Prepared, with these options of SIDELIGHT_CAPTURE."""
    made = Capture()
    settings = Settings(capture=str(folder), **{f"capture_{name}": value for name, value in options.items()})
    made.prepare(About(MODEL, settings, Ledger.of(Dial(), Layout(()), 3600.0), HOUR_NS, known))
    return made


def ids(first: int, count: int) -> np.ndarray:
    return mixed(np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def batch(first: int, age: Floats, window: int = START, weights: Floats | None = None) -> Batch:
    rows = len(age)
    city = Texts(CITIES, (np.arange(rows) % 3).astype(np.int32))
    return Batch(
        MODEL, rows, window * HOUR_NS,
        Columns({"age": Numbers(age)}, {"city": city}, {"member": Flags(np.arange(rows) % 2 == 0)}),
        Columns({"score": Numbers(age / 100.0)}),
        segments={"region": city}, protected={"gender": Texts(("f", "m"), (np.arange(rows) % 2).astype(np.int32))},
        weights=weights, ids=ids(first, rows),
    )  # fmt: skip


def pairs(first: int, actual: Floats, predicted_in: int = START, weights: Floats | None = None) -> Pairs:
    rows = len(actual)
    none, own = np.full(rows, -1, dtype=np.int32), ids(first, rows)
    return Pairs(
        MODEL, rows, own, np.zeros(rows, np.uint64), np.full(rows, predicted_in * HOUR_NS + 1),
        np.full(rows, (predicted_in + 1) * HOUR_NS), np.full(rows, np.nan), actual, none, none, (),
        np.zeros((rows, 0)), (), np.ones(rows) if weights is None else weights,
    )  # fmt: skip


def write(made: Capture, folder: Path) -> list[Part]:
    """Everything that is ready, as the writer does it."""
    place, parts = Place(str(folder)), made.unwritten()
    for part in parts:
        place.write(part.path("agent"), parquet(part))
        made.written(part.number)
    return parts


def close(made: Capture, window: int) -> None:
    made.close(window, (), (window + 1) * HOUR_NS)
