"""Values to cells: the exact counts everything is judged on.

A layout gives every watched value a run of cells in one flat array: its bins, then seven special cells. A batch becomes
a matrix of cell numbers, and one `bincount` counts all features at once. Counts add up over windows and replicas.

    numbers   [below, bin 0 … bin k-1, above]          then the specials
    texts     [category 0 … k-1, other, never seen]    then the specials
    flags     [false, true]                             then the specials
    vectors   [present]                                 then the specials
    specials  [null, absent, nan, +inf, -inf, mismatch, fractional]

"other" are categories seen in the reference that have no bin of their own; "never seen" are the rest. `fractional` is
counted beside a value's own bin (only for features whose reference was integral), so it is not part of the total.

What is computed from a whole vector or row (`projections`) has features and cells of its own, after all others. They
count only the rows they were computed of: a sample where traffic is high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xxhash

from agent.grid import Grid
from agent.projections import Projection, RowProjection, Singles, VectorProjection, finite
from agent.records import ABSENT, NULL, PRESENT, Batch, Bools, Cells, Columns, Floats, Ints, Kind, Source

NULL_CELL, ABSENT_CELL, NAN_CELL, INF_CELL, NEGATIVE_INF_CELL, MISMATCH_CELL, FRACTIONAL_CELL = range(7)
SPECIALS = 7
Taken = slice | Ints  # rows of a batch
EVERY_ROW = slice(None)
OTHER_SEEN_MAX = 65_536  # categories remembered as "seen", as 8-byte hashes
TABLES_MAX, TABLE_TEXTS_MAX = 512, 64  # cells of whole dictionaries kept at hand: how many, and how large


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person demands of one value, whatever the reference held: broken once is an alarm. Defaults: nothing.

    required: in every row, never absent. never_null: no null and no NaN. whole: no fractions. low, high: the possible
    range, bounds included. max_missing: share of rows without a value; max_new: share of values that are none of the
    reference's categories (0-1, 1: any; allowed and closed categories are max_new = 0).
    """

    required: bool = False
    never_null: bool = False
    whole: bool = False
    low: float = -math.inf
    high: float = math.inf
    max_missing: float = 1.0
    max_new: float = 1.0


NO_RULES = Rules()


@dataclass(frozen=True)
class Feature:
    """One watched value and its bins.

    edges: strictly rising, float64 (k+1,); bin i is [edges[i], edges[i+1]), the last one closed above.
    categories: texts with a bin of their own; seen: xxh3-64 of every other category of the reference.
    group: what findings call it, where several features stand for one value (projections of a vector); else empty.
    """

    name: str
    source: Source
    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    seen: frozenset[int] = frozenset()
    public: bool = False
    critical: bool = False
    ignored: bool = False
    integral: bool = False
    size: int = 0
    group: str = ""
    rules: Rules = NO_RULES

    @cached_property
    def bins(self) -> int:
        """Cells that carry values (below, above, other and never seen included)."""
        if self.kind is Kind.NUMBER:
            return len(self.edges) + 1
        if self.kind is Kind.TEXT:
            return len(self.categories) + 2
        if self.kind is Kind.VECTOR:
            return 1 if self.group else 0  # references made before vectors were counted have none
        return 2

    @property
    def computed(self) -> bool:
        """Whether it is a part of a vector or of the whole row, not a value that someone sends."""
        return bool(self.group) and self.kind is not Kind.VECTOR

    @property
    def cells(self) -> int:
        return self.bins + SPECIALS

    @cached_property
    def split(self) -> Floats:
        """The edges for a search from the right: the last bin holds everything up to and including its end."""
        edges = np.array(self.edges, dtype=np.float64)
        if edges.size:
            edges[-1] = math.nextafter(edges[-1], math.inf)
        return edges

    @cached_property
    def _index(self) -> dict[str, int]:
        return {category: i for i, category in enumerate(self.categories)}

    @cached_property
    def outside(self) -> tuple[int, ...]:
        """Cells of a number that hold nothing but values outside the possible range."""
        if self.kind is not Kind.NUMBER or not self.edges:
            return ()
        bounds = self.split.tolist()
        below = [cell for cell, bound in enumerate(bounds) if bound <= self.rules.low]
        return (*below, *(cell for cell, bound in enumerate(bounds, start=1) if bound > self.rules.high))

    def label(self, cell: int) -> str:
        """What the cell holds, for people inside the pod."""
        if cell >= self.bins:
            return ("null", "absent", "NaN", "+inf", "-inf", "wrong type", "fractional")[cell - self.bins]
        if self.kind is Kind.NUMBER:
            if cell == 0:
                return f"< {self.edges[0]:.6g}"
            if cell == self.bins - 1:
                return f"> {self.edges[-1]:.6g}"
            return f"{self.edges[cell - 1]:.6g} to {self.edges[cell]:.6g}"
        if self.kind is Kind.TEXT:
            return (*self.categories, "other", "never seen")[cell]
        if self.kind is Kind.VECTOR:
            return "present"
        return ("false", "true")[cell]


@dataclass(frozen=True)
class Layout:
    """Where every feature's cells lie. Two layouts with the same hash count alike.

    features: what is sent, then the parts of each projection.
    """

    features: tuple[Feature, ...]
    window_seconds: float = 3600.0
    projections: tuple[Projection, ...] = ()

    @cached_property
    def sent(self) -> int:
        """How many of the features are values that someone sends; they come first."""
        return len(self.features) - sum(len(p.parts) for p in self.projections)

    def members(self, source: Source, name: str) -> tuple[int, ...]:
        """The features that findings call so: the one of this name, and the parts of this group."""
        return tuple(
            i for i, f in enumerate(self.features) if f.source is source and (f.name == name or f.group == name)
        )

    @cached_property
    def starts(self) -> Ints:
        """int64 (features + 1,): the first cell of each feature; the last entry is the number of cells."""
        return np.concatenate(([0], np.cumsum([f.cells for f in self.features], dtype=np.int64))).astype(np.int64)

    @property
    def cells(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def hash(self) -> int:
        """xxh3-64 over everything that decides which value lands in which cell."""
        state = xxhash.xxh3_64()
        for f in self.features:
            state.update(repr((f.name, int(f.source), int(f.kind), f.edges, f.categories, f.integral)).encode())
            state.update(np.array(sorted(f.seen), dtype=np.uint64).tobytes())
            if f.kind is Kind.VECTOR and f.group:
                state.update(f"{f.size} entries".encode())
        for projection in self.projections:
            state.update(projection.digest.to_bytes(8, "little"))
        return state.intdigest()

    @cached_property
    def index(self) -> Mapping[tuple[Source, str], int]:
        return {(f.source, f.name): i for i, f in enumerate(self.features)}

    def slice(self, feature: int) -> slice:
        """The cells of one feature."""
        return slice(int(self.starts[feature]), int(self.starts[feature + 1]))

    @cached_property
    def _grid(self) -> Grid:
        return Grid.of(self.features, self.starts, range(self.sent))

    @cached_property
    def _sent_features(self) -> tuple[tuple[int, Feature, bool, bool, bool], ...]:
        """(place, feature, is it among a batch's features, has it a row in the grid, is it a text) of what is sent."""
        rows = self._grid.rows
        return tuple(
            (i, f, f.source is Source.FEATURE, i in rows, f.kind is Kind.TEXT)
            for i, f in enumerate(self.features[: self.sent])
        )

    @cached_property
    def _whole(self) -> frozenset[int]:
        """Features whose fractions are counted."""
        return frozenset(i for i, f in enumerate(self.features) if f.integral and f.source is not Source.LATENCY)

    @cached_property
    def _computed(self) -> tuple[tuple[Projection, range, Grid, Cells], ...]:
        """Each projection with its features, and the first cell of each of its inputs, (inputs, 1): a row's only."""
        found, first = [], self.sent
        for projection in self.projections:
            own = range(first, first + len(projection.parts))
            inputs = projection.inputs if isinstance(projection, RowProjection) else np.empty(0, np.int64)
            begins = self.starts[inputs, None].astype(np.int32)
            found.append((projection, own, Grid.of(self.features, self.starts, own), begins))
            first = own.stop
        return tuple(found)

    def place(self, batch: Batch, taken: Taken = EVERY_ROW) -> Placed:
        """The cell of every value: the hot path. About 8 ns a number and 10 ns a text in batches of 500.

        taken: the rows that vectors and whole rows are projected for.
        """
        cells = np.empty((self.sent, batch.rows), dtype=np.int32)
        extra: list[Cells] = []
        full: list[int] = []  # numbers present in every row go through the grid together
        values: list[Floats] = []
        for i, feature, among_features, on_grid, is_text in self._sent_features:
            columns = batch.features if among_features else batch.outputs
            if on_grid:
                found = _full_numbers(feature, columns, batch)
                if found is not None:
                    full.append(i)
                    values.append(found)
                    continue
            elif is_text:
                texts = columns.texts.get(feature.name)
                if texts is not None and texts.state is None and texts.dictionary:
                    self._table(i, texts.dictionary).take(texts.codes, out=cells[i], mode="clip")
                    continue
            _place(feature, columns, int(self.starts[i]), cells[i], extra, batch)
        if full:
            self._place_full(full, np.array(values), cells, extra)  # a third of np.stack's time
        computed: tuple[Computed, ...] = ()
        if self.projections and (rows := np.arange(batch.rows)[taken]).size:
            computed = tuple(self._project(own, batch, cells, taken, rows) for own in self._computed)
        return Placed(cells, np.concatenate(extra) if extra else None, computed)

    def _project(
        self, found: tuple[Projection, range, Grid, Cells], batch: Batch, cells: Cells, taken: Taken, rows: Ints
    ) -> Computed:
        projection, features, grid, begins = found
        if isinstance(projection, RowProjection):
            own = cells[:, taken][projection.inputs] - begins
            return Computed(rows, self._place_parts(features, projection.values(own), grid))
        vectors, there = _vectors_of(projection, batch, taken)
        if there is not None:
            vectors, rows = vectors[there], rows[there]
        numbers, nearest = projection.values(vectors)
        own = np.empty((len(features), len(rows)), dtype=np.int32)
        own[:-1] = self._place_parts(features[:-1], numbers, grid)
        np.add(nearest, self.starts[features[-1]], out=own[-1], casting="unsafe")
        return Computed(rows, own)

    def _place_parts(self, features: range, values: Singles, grid: Grid) -> Cells:
        """int32 (features, rows); NaN does not occur, infinity may."""
        if len(grid.rows) == len(features):
            return grid.cells(features, values)
        found = np.empty(values.shape, dtype=np.int32)
        for k, i in enumerate(features):
            found[k] = np.searchsorted(self.features[i].split, values[k], side="right") + self.starts[i]
        return found

    @cached_property
    def _tables(self) -> dict[tuple[int, int], tuple[Sequence[str], Cells]]:
        return {}

    def _table(self, feature: int, dictionary: Sequence[str]) -> Cells:
        """int32 (dictionary,): the cell of each text. Remembered for dictionaries the door gives again and again: those
        are small, tuples, and the same object each time."""
        key = (feature, id(dictionary))
        known = self._tables.get(key)
        if known is not None:  # which holds the dictionary, so that no other has its id
            return known[1]
        table = np.array(text_cells(self.features[feature], dictionary), dtype=np.int32)
        table += np.int32(self.starts[feature])
        if isinstance(dictionary, tuple) and len(dictionary) <= TABLE_TEXTS_MAX:
            if len(self._tables) >= TABLES_MAX:
                self._tables.clear()
            self._tables[key] = (dictionary, table)
        return table

    def _place_full(self, full: list[int], values: Floats, cells: Cells, extra: list[Cells]) -> None:
        finite = np.isfinite(values)
        clean = finite.all()
        found = self._grid.cells(full, values if clean else np.where(finite, values, 0.0))
        if not clean:
            for k in np.flatnonzero(~finite.all(axis=1)).tolist():
                feature = self.features[full[k]]
                special = int(self.starts[full[k]]) + feature.bins
                if feature.source is Source.LATENCY:
                    found[k][~finite[k]] = special + ABSENT_CELL
                else:
                    _place_not_finite(values[k], special, found[k])
        if self._whole:
            for k, i in enumerate(full):
                if i in self._whole:
                    _count_fractional(values[k], finite[k], int(self.starts[i]) + self.features[i].bins, extra)
        first, stop = full[0], full[-1] + 1
        if stop - first == len(full):
            cells[first:stop] = found
        else:
            cells[full] = found


@dataclass(frozen=True, slots=True)
class Computed:
    """What one projection gave. rows: (taken,) those of the batch it was computed of; cells: int32 (parts, taken)."""

    rows: Ints
    cells: Cells


@dataclass(frozen=True, slots=True)
class Placed:
    """cells: int32 (features that are sent, rows); extra: further cells to count (fractional numbers), or None."""

    cells: Cells
    extra: Cells | None = field(default=None)
    computed: tuple[Computed, ...] = ()

    def count(self, size: int, rows: np.ndarray | None = None) -> Ints:
        """int64 (size,): how many values lie in each cell; `rows` selects some of them (boolean mask or indices), and
        leaves out what cannot be told apart by row or is counted of a sample."""
        chosen = self.cells if rows is None else self.cells[:, rows]
        counts = np.bincount(chosen.ravel(), minlength=size)
        if rows is None:
            if self.extra is not None:
                counts += np.bincount(self.extra, minlength=size)
            for own in self.computed:
                counts += np.bincount(own.cells.ravel(), minlength=size)
        return counts


def _place(feature: Feature, columns: Columns, start: int, out: Cells, extra: list[Cells], batch: Batch) -> None:
    special = start + feature.bins
    if feature.source is Source.LATENCY:
        _place_latency(feature, start, out, batch)
        return
    own = _own_column(feature, columns)
    if own is None:
        out.fill(special + ABSENT_CELL)
        state = None
    else:
        state = own.state
        if feature.kind is Kind.NUMBER:
            _place_numbers(feature, own.values, start, out, extra)
        elif feature.kind is Kind.TEXT:
            table = np.array([start + c for c in text_cells(feature, own.dictionary)], dtype=np.int32)
            if table.size:
                np.take(table, own.codes, out=out, mode="clip")
            else:
                out.fill(special + ABSENT_CELL)
        elif feature.kind is Kind.FLAG:
            np.add(own.values, start, out=out, casting="unsafe")
        else:
            _place_vectors(feature, own.values, state, start, out)
        if state is None:
            return
        out[state == NULL] = special + NULL_CELL
        out[state == ABSENT] = special + ABSENT_CELL
    # Rows where the feature's own type is absent may carry it in another: a type mismatch, or a null said there.
    for other in _other_columns(feature, columns):
        present = np.ones(batch.rows, dtype=bool) if other.state is None else other.state != ABSENT
        if state is not None:
            present = present & (state == ABSENT)
        is_null = np.zeros(batch.rows, dtype=bool) if other.state is None else other.state == NULL
        out[present & ~is_null] = special + MISMATCH_CELL
        out[present & is_null] = special + NULL_CELL


def _full_numbers(feature: Feature, columns: Columns, batch: Batch) -> Floats | None:
    """The values of a numeric feature that every row has, else None."""
    if feature.source is Source.LATENCY:
        return batch.latency
    found = columns.numbers.get(feature.name)
    return None if found is None or found.state is not None else found.values


def _own_column(feature: Feature, columns: Columns) -> Any:
    if feature.kind is Kind.NUMBER:
        return columns.numbers.get(feature.name)
    if feature.kind is Kind.TEXT:
        return columns.texts.get(feature.name)
    return columns.flags.get(feature.name) if feature.kind is Kind.FLAG else columns.vectors.get(feature.name)


def _other_columns(feature: Feature, columns: Columns) -> list[Any]:
    by_kind = {
        Kind.NUMBER: columns.numbers,
        Kind.TEXT: columns.texts,
        Kind.FLAG: columns.flags,
        Kind.VECTOR: columns.vectors,
    }
    return [
        found[feature.name] for kind, found in by_kind.items() if kind is not feature.kind and feature.name in found
    ]


def _place_numbers(feature: Feature, values: Floats, start: int, out: Cells, extra: list[Cells]) -> None:
    found = np.searchsorted(feature.split, values, side="right")
    np.add(found, start, out=out, casting="unsafe")
    special = start + feature.bins
    finite = np.isfinite(values)
    if not finite.all():
        _place_not_finite(values, special, out)
    if feature.integral:
        _count_fractional(values, finite, special, extra)


def _place_vectors(feature: Feature, values: Singles, state: Any, start: int, out: Cells) -> None:
    special = start + feature.bins
    out.fill(start if feature.bins else special + NULL_CELL)
    if not feature.bins:
        return
    if feature.size and values.shape[1] != feature.size:
        out.fill(special + MISMATCH_CELL)
        return
    _, whole = finite(values)
    if whole is None:
        return
    broken = np.flatnonzero(~whole)
    some = values[broken]
    out[broken[(some == -np.inf).any(axis=1)]] = special + NEGATIVE_INF_CELL
    out[broken[(some == np.inf).any(axis=1)]] = special + INF_CELL
    out[broken[np.isnan(some).any(axis=1)]] = special + NAN_CELL


def _vectors_of(projection: VectorProjection, batch: Batch, taken: Taken) -> tuple[Singles, Bools | None]:
    """The taken rows' vectors, and which of them can be projected (None: all)."""
    found = batch.features.vectors.get(projection.name)
    if found is None or found.values.shape[1] != projection.size:
        nothing = np.zeros(len(np.arange(batch.rows)[taken]), dtype=bool)
        return np.zeros((len(nothing), projection.size), np.float32), nothing
    values, there = finite(found.values[taken])
    if found.state is not None:
        present = found.state[taken] == PRESENT
        there = present if there is None else there & present
    return values, there


def _place_not_finite(values: Floats, special: int, out: Cells) -> None:
    out[np.isnan(values)] = special + NAN_CELL
    out[values == np.inf] = special + INF_CELL
    out[values == -np.inf] = special + NEGATIVE_INF_CELL


def _count_fractional(values: Floats, finite: Bools, special: int, extra: list[Cells]) -> None:
    broken = int(np.count_nonzero(finite & (values != np.rint(values))))
    if broken:
        extra.append(np.full(broken, special + FRACTIONAL_CELL, dtype=np.int32))


def _place_latency(feature: Feature, start: int, out: Cells, batch: Batch) -> None:
    if batch.latency is None:
        out.fill(start + feature.bins + ABSENT_CELL)
        return
    np.add(np.searchsorted(feature.split, batch.latency, side="right"), start, out=out, casting="unsafe")
    out[~np.isfinite(batch.latency)] = start + feature.bins + ABSENT_CELL


def text_cells(feature: Feature, dictionary: Sequence[str]) -> list[int]:
    """The cell (from 0) of each of the dictionary's texts."""
    index, seen, known = feature._index, feature.seen, len(feature.categories)
    found = []
    for text in dictionary:
        cell = index.get(text)
        if cell is None:
            cell = known if seen and text_hash(text) in seen else known + 1
        found.append(cell)
    return found


def text_hash(text: str) -> int:
    """xxh3-64 of the UTF-8 bytes."""
    return xxhash.xxh3_64_intdigest(text.encode())
