"""A reference built from a file, as `sidelight reference build` does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agent.records import PRESENT, Batch
from agent.reference.build import build
from agent.reference.plan import Request
from agent.reference.profile import Reference
from calibration.worlds import MODEL, WINDOW_NS, WINDOW_SECONDS


def build_reference(windows: Sequence[tuple[int, Batch]], folder: Path) -> Reference:
    """Writes the rows with their times and reads them back."""
    path = folder / "training.parquet"
    tables = [table(batch, index) for index, batch in windows]
    pq.write_table(pa.concat_tables(tables), path, compression="none")
    vectors = tuple(windows[0][1].features.vectors)
    segments = tuple(windows[0][1].segments)
    request = Request(
        (str(path),), MODEL.name, MODEL.version, time="time", vectors=vectors, segments=segments,
        window_seconds=WINDOW_SECONDS,
    )  # fmt: skip
    return build(request).reference


def table(batch: Batch, index: int) -> Any:
    """One window as an Arrow table; its rows' times are spread over the window."""
    times = index * WINDOW_NS + np.arange(batch.rows, dtype=np.int64) * (WINDOW_NS // max(batch.rows, 1))
    columns: dict[str, Any] = {"time": pa.array(times, pa.timestamp("ns"))}
    features = batch.features
    for name, numbers in features.numbers.items():
        columns[name] = pa.array(numbers.values, mask=_missing(numbers.state))
    for name, texts in (*features.texts.items(), *batch.segments.items()):
        codes = pa.array(texts.codes, mask=_missing(texts.state))
        columns[name] = pa.DictionaryArray.from_arrays(codes, pa.array(list(texts.dictionary))).cast(pa.string())
    for name, vectors in features.vectors.items():
        flat = pa.array(vectors.values.ravel())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, vectors.values.shape[1])
    return pa.table(columns)


def _missing(state: np.ndarray | None) -> np.ndarray | None:
    return None if state is None else state != PRESENT
