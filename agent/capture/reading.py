"""Files read back as one table: each prediction that was written and has its truth, with a weight that keeps means
right. On the machine that trains; everything is held in memory.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.capture.parts import LABELS, RECORDS
from agent.errors import UnusableReferenceError

KEYS = ("row_id", "model", "version", "role")
TRUTH = ("label_time", "actual", "actual_class")  # columns of labels that join a record


def feedback(location: str) -> Any:
    """A pyarrow table: every record with a label once, its columns, `actual`, `actual_class`, `label_time`, and
    `weight`. Raises UnusableReferenceError where there is nothing to read, or pyarrow is missing."""
    try:
        pyarrow = importlib.import_module("pyarrow")
        records, labels = _read(location, RECORDS), _read(location, LABELS)
    except ImportError as error:
        raise UnusableReferenceError(f"{location}: needs sidelight-agent[capture] ({error})") from None
    if records is None:
        raise UnusableReferenceError(f"{location}: no files under {RECORDS}/")
    first = _first_by_key(labels) if labels is not None else {}
    pairs: list[tuple[int, int]] = []
    met: set[tuple[Any, ...]] = set()
    for i, key in enumerate(_keys(records)):
        if key in first and key not in met:
            met.add(key)
            pairs.append((i, first[key]))
    found = records.take(pyarrow.array([i for i, _ in pairs], pyarrow.int64()))
    if labels is None or not pairs:
        return found.slice(0, 0)
    own = labels.take(pyarrow.array([j for _, j in pairs], pyarrow.int64()))
    for name in TRUTH:
        found = found.append_column(name, own.column(name))
    columns = (found["given_weight"], found["sampled"], own["joined_weight"], own["sampled"])
    weights = [
        # Both samples are by the same hash: a row is in both where it is in the smaller.
        max(joined, given / min(share, of_labels))
        for given, share, joined, of_labels in zip(*(column.to_pylist() for column in columns), strict=True)
    ]
    at = found.schema.get_field_index("weight")
    return found.set_column(at, "weight", pyarrow.array(weights, pyarrow.float64())).drop_columns(["sampled"])


def write(location: str, output: Path) -> tuple[int, Counter[str]]:
    """Writes `feedback` as one Parquet file; how many rows, and why they were chosen."""
    table = feedback(location)
    importlib.import_module("pyarrow.parquet").write_table(table, output, compression="zstd")
    return table.num_rows, Counter(table.column("reason").to_pylist())


def _keys(table: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in KEYS), strict=True))


def _first_by_key(labels: Any) -> dict[tuple[Any, ...], int]:
    """The first label of each; of a list's items none, since which of them a record is cannot be said."""
    found: dict[tuple[Any, ...], int] = {}
    for i, (key, position) in enumerate(zip(_keys(labels), labels.column("position").to_pylist(), strict=True)):
        if not position:
            found.setdefault(key, i)
    return found


def _read(location: str, kind: str) -> Any:
    """All files of a kind, in the order of their names; None: there is none.

    A column that is of numbers in one file and of texts in another is of texts.
    """
    pyarrow = importlib.import_module("pyarrow")
    tables = [_table(name, opened) for name, opened in _opened(location, kind)]
    if not tables:
        return None
    types: dict[str, set[Any]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, set()).add(field.type)
    mixed = {name for name, kinds in types.items() if len(kinds) > 1}
    return pyarrow.concat_tables([_as_texts(pyarrow, table, mixed) for table in tables], promote_options="default")


def _table(name: str, opened: Any) -> Any:
    """Raises UnusableReferenceError, naming the file."""
    try:
        return importlib.import_module("pyarrow.parquet").read_table(opened)
    except (OSError, ValueError) as error:  # half of one, say: not every place shows files whole or not at all
        raise UnusableReferenceError(f"{name}: not a whole Parquet file ({type(error).__name__})") from None


def _as_texts(pyarrow: Any, table: Any, names: set[str]) -> Any:
    columns = {
        name: pyarrow.array([None if v is None else str(v) for v in column.to_pylist()], pyarrow.string())
        if name in names
        else column
        for name, column in zip(table.schema.names, table.columns, strict=True)
    }
    return pyarrow.table(columns)


def _opened(location: str, kind: str) -> Iterator[tuple[str, Any]]:
    if "://" in location:
        fsspec = importlib.import_module("fsspec")
        for found in fsspec.open_files(f"{location.rstrip('/')}/{kind}/**/*.parquet", "rb"):
            with found as file:
                yield found.path, file
        return
    for path in sorted(Path(location, kind).rglob("*.parquet")):
        with open(path, "rb") as file:
            yield str(path), file
