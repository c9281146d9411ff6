"""All features of a model side by side, and a batch of records placed in their cells at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xxhash

from agent.bins.feature import ABSENT_CELL, Feature, text_cells
from agent.bins.grid import Grid
from agent.bins.placing import (
    EVERY_ROW,
    Computed,
    Placed,
    Taken,
    count_fractional,
    full_numbers,
    place,
    place_not_finite,
    vectors_of,
)
from agent.bins.projections import Projection, RowProjection, Singles
from agent.records import Batch, Cells, Floats, Ints, Kind, Source

TABLES_MAX, TABLE_TEXTS_MAX = 512, 64  # cells of whole dictionaries kept at hand: how many, and how large


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
            if f.rare_cells > 1:
                state.update(f"{f.rare_cells} rare cells".encode())
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
                found = full_numbers(feature, columns, batch)
                if found is not None:
                    full.append(i)
                    values.append(found)
                    continue
            elif is_text:
                texts = columns.texts.get(feature.name)
                if texts is not None and texts.state is None and texts.dictionary:
                    self._table(i, texts.dictionary).take(texts.codes, out=cells[i], mode="clip")
                    continue
            place(feature, columns, int(self.starts[i]), cells[i], extra, batch)
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
        vectors, there = vectors_of(projection, batch, taken)
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
                    place_not_finite(values[k], special, found[k])
        if self._whole:
            for k, i in enumerate(full):
                if i in self._whole:
                    count_fractional(values[k], finite[k], int(self.starts[i]) + self.features[i].bins, extra)
        first, stop = full[0], full[-1] + 1
        if stop - first == len(full):
            cells[first:stop] = found
        else:
            cells[full] = found
