"""What two versions answered to the same requests: agreement, differences of values, latency, cost and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes, ids_of
from agent.records import PRESENT, Batch, Bools, Columns, Floats, Ints, Numbers

MEASURES = ("cost", "tokens")  # of the batch's measures; tokens are also the sum of all that end in _tokens
ANSWER = np.dtype(
    [("value", "<f8"), ("label", "<u8"), ("score", "<f4"), ("latency", "<f4"), ("cost", "<f4"), ("tokens", "<f4")]
)
PER_OCTAVE = 4  # cells of the histogram: a quantile is right to 9 %
LOWEST, HIGHEST = -32, 32  # octaves: differences of under 2**-32 are 0, over 2**32 in the last cell
SIDE = PER_OCTAVE * (HIGHEST - LOWEST)
CELLS = 2 * SIDE + 1
EQUAL = 1e-9  # of the larger: two numbers so close are the same answer
SHARES = {"p05": 0.05, "p50": 0.5, "p95": 0.95}
Rows = npt.NDArray[np.void]


@dataclass(slots=True)
class Labels:
    """Hashes of the classes' texts. Remembers small dictionaries, which come again and again."""

    tables: dict[int, tuple[Sequence[str], Hashes]] = field(default_factory=dict)

    def of(self, dictionary: Sequence[str]) -> Hashes:
        """uint64 (texts,)."""
        known = self.tables.get(id(dictionary))
        if known is not None and known[0] is dictionary:
            return known[1]
        found = ids_of(dictionary)
        if len(dictionary) <= 64:
            if len(self.tables) >= 64:
                self.tables.clear()
            self.tables[id(dictionary)] = (dictionary, found)
        return found


def answers(batch: Batch, at: Ints, labels: Labels, positive: str) -> Rows:
    """(rows,) of ANSWER for the rows `at`; NaN and 0 where there is nothing."""
    found = np.empty(len(at), dtype=ANSWER)
    outputs = batch.outputs
    found["value"] = _numbers(outputs.numbers.get("prediction"), at)
    found["label"] = _labels(outputs, at, labels)
    with np.errstate(over="ignore"):  # what no float32 holds is infinite, and no difference
        found["score"] = _numbers(outputs.numbers.get("score") or outputs.numbers.get(f"score:{positive}"), at)
        found["latency"] = np.nan if batch.latency is None else batch.latency[at]
        found["cost"] = _numbers(batch.measures.get("cost"), at)
        found["tokens"] = _tokens(batch.measures, at)
    return found


def _numbers(column: Numbers | None, at: Ints) -> Floats:
    if column is None:
        return np.full(len(at), np.nan)
    values = column.values[at]
    return values if column.state is None else np.where(column.state[at] == PRESENT, values, np.nan)


def _labels(outputs: Columns, at: Ints, labels: Labels) -> Hashes:
    column = outputs.texts.get("prediction")
    if column is None or not column.dictionary:
        return np.zeros(len(at), np.uint64)
    found = labels.of(column.dictionary)[column.codes[at]]
    return found if column.state is None else np.where(column.state[at] == PRESENT, found, np.uint64(0))


def _tokens(measures: Mapping[str, Numbers], at: Ints) -> Floats:
    if "tokens" in measures:
        return _numbers(measures["tokens"], at)
    parts = [_numbers(column, at) for name, column in measures.items() if name.endswith("_tokens")]
    return np.sum(parts, axis=0) if parts else np.full(len(at), np.nan)


@dataclass(slots=True)
class Beside:
    """Differences, second version less first, of requests that both answered. sums: by what, (number, sum, sum of
    squares); cells: of the values' differences, negative ones first, largest first."""

    pairs: int = 0
    comparable: int = 0  # of these both have a class or a number
    same: int = 0
    sums: dict[str, Floats] = field(
        default_factory=lambda: {name: np.zeros(3) for name in ("value", "latency", *MEASURES)}
    )
    cells: Ints = field(default_factory=lambda: np.zeros(CELLS, dtype=np.int64))

    def add(self, first: Rows, second: Rows) -> None:
        """(rows,) of ANSWER each, of the same requests."""
        self.pairs += len(first)
        classes = (first["label"] != 0) & (second["label"] != 0)
        values = np.isfinite(first["value"]) & np.isfinite(second["value"])
        moved = _less(first["value"], second["value"], values)
        large = np.maximum(np.abs(first["value"]), np.abs(second["value"]), where=values, out=np.zeros(len(first)))
        alike = np.where(classes, first["label"] == second["label"], values & (np.abs(moved) <= EQUAL * large))
        self.comparable += int((classes | values).sum())
        self.same += int((alike & (classes | values)).sum())
        scores = ~values & np.isfinite(first["score"]) & np.isfinite(second["score"])
        moved = np.where(scores, _less(first["score"], second["score"], scores), moved)[values | scores]
        self._sum("value", moved)
        self.cells += np.bincount(_cells(moved), minlength=CELLS)
        for name in ("latency", *MEASURES):
            known = np.isfinite(first[name]) & np.isfinite(second[name])
            self._sum(name, second[name][known].astype(np.float64) - first[name][known])

    def _sum(self, name: str, moved: Floats) -> None:
        moved = moved[np.abs(moved) < 1e150]  # its square is a number
        self.sums[name] += (len(moved), moved.sum(), np.square(moved).sum())

    def join(self, other: Beside) -> None:
        """Adds what another one counted."""
        self.pairs, self.comparable, self.same = (
            self.pairs + other.pairs, self.comparable + other.comparable, self.same + other.same,
        )  # fmt: skip
        for name, sums in other.sums.items():
            self.sums[name] = self.sums[name] + sums
        self.cells = self.cells + other.cells

    def mean(self, name: str, turned: bool) -> float | None:
        """turned: first less second. None: never known of both."""
        count, total, _ = self.sums[name]
        return (-1.0 if turned else 1.0) * float(total / count) if count else None

    def agreement(self) -> float | None:
        return self.same / self.comparable if self.comparable else None

    def values(self, turned: bool) -> dict[str, float]:
        """Mean, sd and quantiles of the values' differences; empty where none was known."""
        count, total, squares = (float(part) for part in self.sums["value"])
        if not count:
            return {}
        sign, mean = (-1.0 if turned else 1.0), total / count
        spread = max(squares / count - mean * mean, 0.0) ** 0.5
        cells = self.cells[::-1] if turned else self.cells
        upto, whole = cells.cumsum(), int(cells.sum())
        found = {name: _middle(int(np.searchsorted(upto, share * whole))) for name, share in SHARES.items()}
        return {"mean": sign * mean, "sd": spread, **found}


def _less(first: npt.NDArray[Any], second: npt.NDArray[Any], known: Bools) -> Floats:
    """float64 (rows,): second less first, 0 where one of both is not known."""
    with np.errstate(over="ignore"):
        return np.asarray(np.subtract(second, first, where=known, out=np.zeros(len(first)), dtype=np.float64))


def _cells(moved: Floats) -> Ints:
    """int64 (rows,): which cell each difference belongs to."""
    with np.errstate(divide="ignore"):
        octave = np.floor((np.log2(np.abs(moved)) - LOWEST) * PER_OCTAVE)
    size = np.clip(octave, -1, SIDE - 1).astype(np.int64) + 1  # 0: none
    return np.asarray(np.where(moved < 0, SIDE - size, SIDE + size), dtype=np.int64)


def _middle(cell: int) -> float:
    """The value in a cell's middle, on the logarithmic scale."""
    size = abs(cell - SIDE)
    found = 2.0 ** (LOWEST + (size - 0.5) / PER_OCTAVE) if size else 0.0
    return -found if cell < SIDE else found
