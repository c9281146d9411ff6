"""Two versions of one model that answer the same requests, and the truth about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.bins import Layout
from agent.config import Settings
from agent.counting.fingerprints import mixed
from agent.following import About
from agent.ledger import Dial, Ledger
from agent.records import Batch, Columns, Floats, ModelKey, Numbers, Pairs, Role, Task, Texts
from agent.shadow.shadow import Shadow

HOUR_NS = 3_600_000_000_000
START = 472_000  # hours since 1970
CHAMPION = ModelKey("eta", "1")
CHALLENGER = ModelKey("eta", "2", Role.SHADOW)


def shadow(
    settings: Settings | None = None, task: Task = Task.REGRESSION, keys: Sequence[ModelKey] = (CHAMPION, CHALLENGER)
) -> Shadow:
    """Prepared for these versions."""
    made, settings = Shadow(), settings or Settings()
    for key in keys:
        prepare(made, key, settings, task, tuple(other for other in keys if other != key))
    return made


def prepare(made: Shadow, key: ModelKey, settings: Settings, task: Task, others: tuple[ModelKey, ...] = ()) -> None:
    ledger = Ledger.of(Dial(), Layout(()), 3600.0)
    made.prepare(About(key, settings, ledger, HOUR_NS, task=task, positive="yes", others=others))


def requests(first: int, count: int) -> np.ndarray:
    """uint64 (count,): the hashes of so many requests."""
    return mixed(np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def batch(
    key: ModelKey, ids: np.ndarray, values: Floats | Sequence[str], window: int = START,
    latency: Floats | None = None, measures: Mapping[str, Floats] | None = None,
) -> Batch:  # fmt: skip
    """What one version answered: numbers, or classes."""
    if isinstance(values, np.ndarray):
        outputs = Columns(numbers={"prediction": Numbers(values)})
    else:
        words = sorted(set(values))
        codes = np.array([words.index(value) for value in values], dtype=np.int32)
        outputs = Columns(texts={"prediction": Texts(words, codes)})
    named = {name: Numbers(column) for name, column in (measures or {}).items()}
    return Batch(key, len(ids), window * HOUR_NS, Columns(), outputs, latency=latency, measures=named, request_ids=ids)


def pairs(
    key: ModelKey, ids: np.ndarray, predicted: Floats, actual: Floats, window: int = START,
    weights: Floats | None = None, segments: Mapping[str, np.ndarray] | None = None, names: Sequence[str] = (),
) -> Pairs:  # fmt: skip
    """Numbers predicted and their truth."""
    rows = len(ids)
    none = np.full(rows, -1, dtype=np.int32)
    times = np.full(rows, window * HOUR_NS)
    return Pairs(
        key, rows, ids, ids, times, times, predicted, actual, none, none, (), np.zeros((rows, 0)), (),
        np.ones(rows) if weights is None else weights, segments or {}, names=names,
    )  # fmt: skip


def classed(
    key: ModelKey, ids: np.ndarray, predicted: np.ndarray, actual: np.ndarray, window: int = START,
    scores: Floats | None = None,
) -> Pairs:  # fmt: skip
    """Classes predicted and true ones: places in ("no", "yes")."""
    rows, nothing = len(ids), np.full(len(ids), np.nan)
    times = np.full(rows, window * HOUR_NS)
    return Pairs(
        key, rows, ids, ids, times, times, nothing, nothing, predicted.astype(np.int32), actual.astype(np.int32),
        ("no", "yes"), np.zeros((rows, 0)) if scores is None else scores[:, None],
        () if scores is None else ("",), np.ones(rows),
    )  # fmt: skip
