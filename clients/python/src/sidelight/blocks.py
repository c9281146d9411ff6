"""Many rows at once, from 2-D arrays and data frames: copied column by column, encoded without being walked by row.

numpy, pandas and polars are used through the objects the caller brings; none of them is imported here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, overload

from sidelight.batches import Predictions, Truths, nanoseconds
from sidelight.gather import ABOUT
from sidelight.values import keep


class Ids(Sequence[str]):
    """The prediction ids of a block, made when asked for."""

    def __init__(self, prefix: str, rows: int) -> None:
        self.prefix, self.rows = prefix, rows

    def __len__(self) -> int:
        return self.rows

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: Union[int, slice]) -> Union[str, list[str]]:  # noqa: UP007
        numbers = range(self.rows)[place]
        return [f"{self.prefix}{one}" for one in numbers] if isinstance(numbers, range) else f"{self.prefix}{numbers}"


def is_many(features: Any) -> bool:
    """Whether this is many rows: a 2-D array or a data frame."""
    return getattr(features, "ndim", None) == 2 or (hasattr(features, "columns") and hasattr(features, "shape"))


def is_column(value: Any) -> bool:
    """Whether this is a value per row: a list, tuple, array, series or sequence of ids."""
    return isinstance(value, (list, tuple, Ids)) or getattr(value, "ndim", 0) >= 1 or hasattr(value, "null_count")


@dataclass
class Column:
    """A value per row, ours alone. `nan_is_null`: an object column of pandas, where NaN stands for a missing text."""

    values: Any
    nan_is_null: bool = False

    @classmethod
    def copy(cls, values: Any, rows: int) -> Column:
        """A copy of a list, array or series. Raises ValueError when it has not `rows` entries."""
        if len(values) != rows:
            raise ValueError(f"column of {len(values)} entries beside {rows} rows")
        module = type(values).__module__.partition(".")[0]
        if module == "pandas":
            kind = getattr(values.dtype, "kind", "O") if type(values.dtype).__module__.startswith("numpy") else "O"
            return cls(values.to_numpy(copy=True)) if kind in "fiub" else cls(values.astype(object).to_numpy(), True)
        if module == "polars":
            plain = values.null_count() == 0 and values.dtype.is_numeric() and not values.dtype.is_decimal()
            return cls(values.to_numpy().copy() if plain else values.to_list())
        if hasattr(values, "dtype") and hasattr(values, "copy"):
            return cls(values.copy())
        return cls(values if isinstance(values, Ids) else [keep(one) for one in values])

    def __len__(self) -> int:
        return len(self.values)

    def cut(self, start: int, stop: int) -> Any:
        """The rows as a numeric 1-D array where they are one, else as a list of kept values."""
        part = self.values[start:stop]
        dtype = getattr(part, "dtype", None)
        if dtype is None:
            return part
        if part.ndim > 1:
            return [keep(row) for row in part]
        if dtype.kind in "fiub":
            return part
        if dtype.kind == "M":
            return [None if one != one else str(one) for one in part]  # NaT is unequal to itself
        listed = [keep(one) for one in part.tolist()]
        return [None if one != one else one for one in listed] if self.nan_is_null else listed

    def listed(self, start: int, stop: int) -> list[Any]:
        """The rows as a list of Python values."""
        part = self.cut(start, stop)
        return part.tolist() if hasattr(part, "dtype") else list(part)


Cells = Union[Column, dict[str, Any], Any]  # a value per row, mappings of such, or one value for every row


def _cells(value: Any, rows: int) -> Cells:
    if isinstance(value, Mapping):
        return {str(key): _cells(one, rows) for key, one in value.items()}
    return Column.copy(value, rows) if is_column(value) else keep(value)


def _cut(cells: Cells, start: int, stop: int) -> list[Any]:
    if isinstance(cells, Column):
        return cells.listed(start, stop)
    if isinstance(cells, dict):
        lists = [_cut(one, start, stop) for one in cells.values()]
        return [dict(zip(cells, row)) for row in zip(*lists)]
    return [cells] * (stop - start)


def _times(cells: Cells, start: int, stop: int, now: int) -> list[int]:
    if isinstance(cells, Column) and getattr(getattr(cells.values, "dtype", None), "kind", "") == "M":
        return [nanoseconds(one) for one in cells.values[start:stop]]
    return [now if one is None else nanoseconds(one) for one in _cut(cells, start, stop)]


@dataclass
class PredictionBlock:
    """Many predictions, copied from the caller."""

    rows: int
    prefix: str
    features: list[tuple[str, Column]]
    fields: dict[str, Cells]
    now: int

    def slice(self, start: int, stop: int) -> Predictions:
        """The rows from `start` to before `stop`, as a batch to encode."""
        fields = {key: _cut(cells, start, stop) for key, cells in self.fields.items() if key != "time"}
        none: list[Any] = [None] * (stop - start)
        ids = fields.pop("prediction_id", None)
        prediction, score, latency = (fields.pop(key, none) for key in ("prediction", "score", "latency"))
        times = _times(self.fields.get("time"), start, stop, self.now)
        features = [(name, column.cut(start, stop)) for name, column in self.features]
        numbers = range(start, stop)
        ids = [str(one) for one in ids] if ids else None
        return Predictions(stop - start, self.prefix, numbers, ids, times, features, prediction, score, latency, fields)


def copy_predictions(
    features: Any, names: Sequence[str] | None, prefix: str, fields: Mapping[str, Any]
) -> PredictionBlock:
    """Copies arrays and frames. Raises ValueError where lengths differ, TypeError for an unknown argument."""
    rows = int(features.shape[0])
    given = {key: value for key, value in fields.items() if value is not None}
    if unknown := given.keys() - ABOUT - {"prediction", "score", "prediction_id", "latency"}:
        raise TypeError(f"no such argument: {', '.join(sorted(unknown))}")
    if given.get("latency") is not None and not is_column(given["latency"]) and "batch_size" not in given:
        # One latency for all: it was one call of the model, and the agent divides it.
        given["batch_size"] = rows
        given.setdefault("batch_id", prefix)
    columns = [(name, Column.copy(values, rows)) for name, values in _columns(features, names)]
    cells = {key: _cells(one, rows) for key, one in given.items()}
    return PredictionBlock(rows, prefix, columns, cells, time.time_ns())


def _columns(features: Any, names: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    if hasattr(features, "get_columns"):  # polars
        for series in features.get_columns():
            yield series.name, series
    elif hasattr(features, "iloc"):  # pandas
        for place, name in enumerate(features.columns):
            yield str(name), features.iloc[:, place]
    else:
        width = int(features.shape[1])
        if names is not None and len(names) != width:
            raise ValueError(f"{len(names)} feature names for {width} features")
        for place in range(width):
            yield str(names[place]) if names is not None else f"f{place}", features[:, place]


@dataclass
class TruthBlock:
    """Many labels, copied from the caller."""

    rows: int
    output: str
    fields: dict[str, Cells]
    now: int

    def slice(self, start: int, stop: int) -> Truths:
        """The rows from `start` to before `stop`, as a batch to encode."""
        ids, request_ids, truth, items, weights = (
            _cut(self.fields.get(key), start, stop) for key in ("ids", "request_ids", "truth", "items", "weights")
        )
        times = _times(self.fields.get("time"), start, stop, self.now)
        return Truths(stop - start, self.output, ids, request_ids, truth, items, times, weights)


def copy_truths(output: str, fields: Mapping[str, Any]) -> TruthBlock:
    """Copies labels given as arrays; scalars among them hold for every row."""
    rows = next(len(value) for value in fields.values() if is_column(value))
    return TruthBlock(rows, output, {key: _cells(one, rows) for key, one in fields.items()}, time.time_ns())
