"""The first pass over training data: for each column what its bins must know. Bounded memory, and no chance in it.

Edges come from a sample of rows chosen by the hash of their number: the same data give the same bins, whatever the
file's format or the size of the batches, so two builds agree on the reference's hash. A KLL sketch has no seed and
cannot. 200,000 values put an edge within 0.1 % of its rank (k=400 KLL: 0.7 %); smaller data are the sample.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.records import PRESENT, Bools, Floats, Ints, Numbers, Source, Texts, Vectors
from agent.reference.convert import Column
from agent.reference.edges import DISTINCT_MAX, text_key
from agent.sketches.frequent import FrequentTexts
from agent.sketches.quantiles import Quantiles

SAMPLE_ROWS = 200_000
SAMPLE_VALUES = 4_000_000  # over all numbers together: 32 MB
PIECES_MAX = 256  # parts of a sample, of one batch each; more become one: an array takes a hundred bytes by itself

Name = tuple[Source, str]


class NumberSurvey:
    """Range of the finite values and whether there are others, integrality, the different values while they are few,
    and a sketch for plots."""

    __slots__ = ("distinct", "high", "infinite", "integral", "low", "sketch")

    def __init__(self, plots: bool = True) -> None:
        self.low, self.high = np.inf, -np.inf
        self.integral, self.infinite = True, False
        self.distinct: Floats | None = np.empty(0)
        self.sketch = Quantiles() if plots else None

    def add(self, found: Numbers) -> None:
        values = found.values if found.state is None else found.values[found.state == PRESENT]
        self.infinite = self.infinite or bool(np.isinf(values).any())
        values = values[np.isfinite(values)]
        if not values.size:
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.integral = self.integral and bool((values == np.rint(values)).all())
        if self.distinct is not None:
            different = np.union1d(self.distinct, values)
            self.distinct = different if len(different) <= DISTINCT_MAX else None
        if self.sketch is not None:
            self.sketch.update(values)


class RowSample:
    """At most `bound` rows of the numbers, the same ones whatever the size of the batches.

    A row is kept while the hash of its number is below a limit; when too many are held, the limit is halved.
    """

    def __init__(self, names: list[Name]) -> None:
        self.bound = min(SAMPLE_ROWS, SAMPLE_VALUES // max(1, len(names)))
        self._values: dict[Name, list[Floats]] = {name: [] for name in names}
        self._hashes: list[np.ndarray] = []
        self._held = 0
        self._shift = 0

    def add(self, first_row: int, rows: int, numbers: Mapping[Name, Numbers]) -> None:
        hashes = row_hashes(first_row, rows)
        chosen = self._below(hashes)
        self._hashes.append(hashes[chosen])
        self._held += int(np.count_nonzero(chosen))
        for name, kept in self._values.items():
            found = numbers[name]
            values = found.values if found.state is None else np.where(found.state == PRESENT, found.values, np.nan)
            kept.append(values[chosen])
        while self._held > self.bound:
            self._halve()
        if len(self._hashes) > PIECES_MAX:
            self._keep(np.ones(self._held, dtype=np.bool_))

    def values(self, name: Name) -> Floats:
        """The finite values of one number in the sample."""
        kept = np.concatenate(self._values[name]) if self._values[name] else np.empty(0)
        return np.asarray(kept[np.isfinite(kept)])

    def _halve(self) -> None:
        self._shift += 1
        self._keep(self._below(np.concatenate(self._hashes)))

    def _keep(self, chosen: Bools) -> None:
        """Only these of the rows, in one part."""
        self._hashes = [np.concatenate(self._hashes)[chosen]]
        self._held = int(np.count_nonzero(chosen))
        for name, kept in self._values.items():
            self._values[name] = [np.concatenate(kept)[chosen]]

    def _below(self, hashes: np.ndarray) -> Bools:
        return np.asarray(hashes >> np.uint64(64 - self._shift) == 0) if self._shift else np.ones(len(hashes), bool)


class Survey:
    """All columns of one table. Memory: the sample (≤ 32 MB), and about 10 MB for each text with very many values."""

    def __init__(self, numbers: list[Name], texts: list[Name], vectors: list[Name]) -> None:
        self.rows = 0
        self.numbers = {name: NumberSurvey() for name in numbers}
        self.texts = {name: FrequentTexts() for name in texts}
        self.sizes = dict.fromkeys(vectors, 0)
        self.mismatches: dict[Name, int] = {}
        self.sample = RowSample(numbers)

    def add(self, rows: int, columns: Mapping[Name, tuple[Column, Texts | None]]) -> None:
        """The next batch. Raises ValueError for vectors of differing size."""
        numbers: dict[Name, Numbers] = {}
        for name, (found, beside) in columns.items():
            if beside is not None and beside.state is not None:
                self.mismatches[name] = self.mismatches.get(name, 0) + int(np.count_nonzero(beside.state == PRESENT))
            if isinstance(found, Numbers):
                self.numbers[name].add(found)
                numbers[name] = found
            elif isinstance(found, Texts):
                self.texts[name].add(count_texts(found))
            elif isinstance(found, Vectors):
                self._add_size(name, found)
        self.sample.add(self.rows, rows, numbers)
        self.rows += rows

    def _add_size(self, name: Name, found: Vectors) -> None:
        size = found.values.shape[1]
        if size and self.sizes[name] not in (0, size):
            sizes = f"{self.sizes[name]} and {size} entries"
            raise ValueError(f"column {name[1]!r}: vectors of different sizes: {sizes}")
        self.sizes[name] = size or self.sizes[name]


def count_texts(found: Texts) -> dict[str | int, int]:
    """How often each text is present in the batch."""
    codes = found.codes if found.state is None else found.codes[found.state == PRESENT]
    counted: Ints = np.bincount(codes, minlength=len(found.dictionary))
    counts: dict[str | int, int] = {}
    for text, count in zip(found.dictionary, counted.tolist(), strict=True):
        if count and text is not None:
            key = text_key(text)
            counts[key] = counts.get(key, 0) + count
    return counts


def row_hashes(first_row: int, rows: int) -> np.ndarray:
    """uint64 (rows,): the rows' numbers mixed by splitmix64's finaliser (Steele, Lea, Flood, OOPSLA 2014)."""
    x = np.arange(first_row, first_row + rows, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
