"""A part as a Parquet file. docs/capture.md has the schema."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Sequence
from typing import Any

from agent.capture.parts import RECORDS, Part
from agent.capture.sampling import chance

COMPRESSION = "zstd"


def parquet(part: Part) -> bytes:
    """The file's bytes. Columns that no row has are left out."""
    pyarrow, files = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    rows = [json.loads(line) for line in part.lines]
    table = _records(pyarrow, part, rows) if part.kind == RECORDS else _labels(pyarrow, part, rows)
    written = io.BytesIO()
    files.write_table(table, written, compression=COMPRESSION)
    return written.getvalue()


def _records(pyarrow: Any, part: Part, rows: Sequence[Sequence[Any]]) -> Any:
    sampled = [chance(part.share, row[3]) for row in rows]
    columns = {
        **_always(pyarrow, part, rows),
        "time": _times(pyarrow, [row[1] for row in rows]),
        "given_weight": pyarrow.array([row[2] for row in rows], pyarrow.float64()),
        "sampled": pyarrow.array(sampled, pyarrow.float64()),
        "weight": pyarrow.array([row[2] / each for row, each in zip(rows, sampled, strict=True)], pyarrow.float64()),
        "reason": pyarrow.array(["finding" if row[3] else "uniform" for row in rows], pyarrow.string()),
        "latency_seconds": pyarrow.array([row[4] for row in rows], pyarrow.float64()),
        "error": pyarrow.array([row[5] for row in rows], pyarrow.bool_()),
    }
    for name in sorted({name for row in rows for name in row[6]}):
        columns[name] = _column(pyarrow, [row[6].get(name) for row in rows])
    return _table(pyarrow, part, columns)


def _labels(pyarrow: Any, part: Part, rows: Sequence[Sequence[Any]]) -> Any:
    kinds = {
        "actual": pyarrow.float64(), "actual_class": pyarrow.string(), "predicted": pyarrow.float64(),
        "predicted_class": pyarrow.string(), "position": pyarrow.int32(),
    }  # fmt: skip
    columns = {
        **_always(pyarrow, part, rows),
        "time": _times(pyarrow, [row[1] for row in rows]),
        "label_time": _times(pyarrow, [row[2] for row in rows]),
        "joined_weight": pyarrow.array([row[3] for row in rows], pyarrow.float64()),
        "sampled": pyarrow.array([chance(part.share, row[9]) for row in rows], pyarrow.float64()),
    }
    for i, (name, kind) in enumerate(kinds.items(), start=4):
        columns[name] = pyarrow.array([row[i] for row in rows], kind)
    return _table(pyarrow, part, columns)


def _always(pyarrow: Any, part: Part, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    count = len(rows)
    return {
        "row_id": pyarrow.array([row[0] for row in rows], pyarrow.string()),
        "model": pyarrow.array([part.model.name] * count, pyarrow.string()),
        "version": pyarrow.array([part.model.version] * count, pyarrow.string()),
        "role": pyarrow.array([part.model.role.name.lower()] * count, pyarrow.string()),
    }


def _times(pyarrow: Any, values: Sequence[int]) -> Any:
    return pyarrow.array(values, pyarrow.timestamp("ns", tz="UTC"))


def _column(pyarrow: Any, values: Sequence[Any]) -> Any:
    """By what stands in it: flags, numbers, vectors; where texts stand among others, all are texts."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return pyarrow.array(values, pyarrow.bool_())
    if all(isinstance(value, bool | int | float) for value in known):
        return pyarrow.array([None if v is None else float(v) for v in values], pyarrow.float64())
    if all(isinstance(value, list) for value in known):
        return pyarrow.array(values, pyarrow.list_(pyarrow.float32()))
    texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    return pyarrow.array(texts, pyarrow.string())


def _table(pyarrow: Any, part: Part, columns: dict[str, Any]) -> Any:
    about = {
        "sidelight.kind": part.kind, "sidelight.window.start_unix_nano": str(part.start_ns),
        "sidelight.window.end_unix_nano": str(part.end_ns), "sidelight.sampled": repr(part.share),
        "sidelight.reference.hash": part.reference,
    }  # fmt: skip
    return pyarrow.table(columns).replace_schema_metadata(about)
