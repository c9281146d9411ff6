"""The reference's rows together with their truth, as they pass: for whoever makes a section of the file from them.

**How to add a section.** Write a class with the shape of `SectionBuilder`, whose constructor takes a `Settled`, and put
it into the table of `agent/sections.py`. `sidelight reference build --label COLUMN` then makes one, hands it every row
of the reference that has a label, in order, a few ten thousand at a time (`add`), and keeps what `finish` gives as the
section `key` of the file. To read it: `reference.section(key)`, bytes or None; the reader doubts them (CorruptError).
Nothing is made where there is no label column. The agent without the file's section says so, and learns from traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from agent.bins import Layout
from agent.records import (
    PRESENT,
    Batch,
    Bools,
    Cells,
    Columns,
    Floats,
    Ints,
    Numbers,
    Pairs,
    Task,
    Texts,
    select,
    shortest,
)

LABEL = "label"  # the output of a batch that holds the truth
CLASSES_MAX = 1_000  # different predictions and truths of a classifier; the rest have no place
NAMES_MAX = 1_000  # values of segments and groups together; the rest have none


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known before the rows come. starts_ns: int64 (blocks,); classes: labels of the data; segments, protected:
    the keys."""

    layout: Layout
    starts_ns: Ints
    task: Task = Task.UNKNOWN
    positive: str = ""
    classes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()

    @property
    def blocks(self) -> int:
        return len(self.starts_ns)


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Some rows of the reference that have a label; every array has `pairs.rows` entries.

    numbers: int64, rising, each row's number in the data: hash it (`survey.row_hashes`) for a sample or a fold that is
    the same in every build. position: int64, its block. cells: int32 (layout.sent, rows), the cell of each value as it
    was counted. batch: the columns, `protected` among them. pairs: predicted, actual, classes, scores, segments and
    groups as the agent's join gives them; its times are the block's start, its weights 1.
    """

    numbers: Ints
    position: Ints
    cells: Cells
    batch: Batch
    pairs: Pairs


class SectionBuilder(Protocol):
    """Makes one section of the file. Memory: bounded by the blocks, never by the rows."""

    key: str

    def add(self, rows: LabelledRows) -> None:
        """The next rows."""
        ...

    def finish(self) -> bytes:
        """The section's body; empty: nothing could be made, and `notes` say why."""
        ...

    def notes(self) -> Sequence[str]:
        """After `finish`: what the person who builds should be told."""
        ...


SectionMakers = Sequence[Callable[[Settled], SectionBuilder]]


@dataclass
class Places:
    """Texts to running numbers. Bounded: those beyond `room` have none (-1)."""

    room: int
    texts: list[str] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)

    def of(self, text: str) -> int:
        place = self._known.get(text)
        if place is None:
            if len(self.texts) >= self.room:
                return -1
            place = self._known[text] = len(self.texts)
            self.texts.append(text)
        return place

    def of_texts(self, column: Texts | None, rows: int) -> Cells:
        """int32 (rows,)."""
        if column is None:
            return np.full(rows, -1, dtype=np.int32)
        used, inverse = np.unique(column.codes, return_inverse=True)
        there = _present(column, rows)
        needed = np.bincount(inverse, weights=there, minlength=len(used)) > 0
        found = [self.of(column.dictionary[code]) if n else -1 for code, n in zip(used.tolist(), needed, strict=True)]
        return np.where(there, np.array(found, dtype=np.int32)[inverse], -1).astype(np.int32)

    def of_numbers(self, values: Floats) -> Cells:
        """int32 (rows,), by a number's shortest form; NaN has no place."""
        used, inverse = np.unique(values, return_inverse=True)
        found = [self.of(shortest(value)) if value == value else -1 for value in used.tolist()]
        return np.array(found, dtype=np.int32)[inverse]


class Truth:
    """Pairs each row of the reference with its label and shows it to the builders."""

    def __init__(self, settled: Settled, makers: SectionMakers) -> None:
        self._settled = settled
        self._builders = [make(settled) for make in makers]
        self._classes, self._names = Places(CLASSES_MAX), Places(NAMES_MAX)
        for name in settled.classes:
            self._classes.of(name)

    def add(self, numbers: Ints, position: Ints, cells: Cells, batch: Batch) -> None:
        """batch.outputs hold the label; batch.segments the groups too."""
        actual, there = _truth(batch.outputs, batch.rows)
        kept = np.flatnonzero(there)
        if not kept.size or not self._builders:
            return
        groups = {key: batch.segments[key] for key in self._settled.protected if key in batch.segments}
        segments = {key: batch.segments[key] for key in self._settled.segments if key not in groups}
        whole = Batch(
            batch.model, batch.rows, 0, batch.features, batch.outputs,
            segments={key: column for key, column in segments.items() if key in batch.segments}, protected=groups,
        )  # fmt: skip
        own = select(whole, kept)
        rows = LabelledRows(
            numbers[kept], position[kept], cells[:, kept], own, self._pairs(own, position[kept], actual[kept])
        )
        for builder in self._builders:
            builder.add(rows)

    def finish(self) -> tuple[dict[str, bytes], list[str]]:
        """Sections by key, and notes."""
        made = {builder.key: builder.finish() for builder in self._builders}
        return {key: body for key, body in made.items() if body}, [n for b in self._builders for n in b.notes()]

    def _pairs(self, batch: Batch, position: Ints, actual: Floats) -> Pairs:
        rows = batch.rows
        predicted = _numbers(batch.outputs.numbers.get("prediction"), rows)
        score = _numbers(batch.outputs.numbers.get("score"), rows)
        times = self._settled.starts_ns[position]
        nothing = np.zeros(rows, dtype=np.uint64)
        return Pairs(
            batch.model, rows, nothing, nothing, times, times, predicted, actual,
            self._place(batch.outputs, "prediction", predicted), self._place(batch.outputs, LABEL, actual),
            self._classes.texts, score[:, np.newaxis], ("",), np.ones(rows),
            segments=self._named(batch.segments), groups=self._named(batch.protected), names=self._names.texts,
        )  # fmt: skip

    def _place(self, outputs: Columns, name: str, values: Floats) -> Cells:
        if self._settled.task is Task.REGRESSION:  # every number would be a class
            return np.full(len(values), -1, dtype=np.int32)
        texts = self._classes.of_texts(outputs.texts.get(name), len(values))
        return np.where(texts >= 0, texts, self._classes.of_numbers(values)).astype(np.int32)

    def _named(self, columns: Mapping[str, Texts]) -> dict[str, Cells]:
        return {key: self._names.of_texts(column, len(column.codes)) for key, column in columns.items()}


def _truth(outputs: Columns, rows: int) -> tuple[Floats, Bools]:
    """The label as a number, NaN where it is none, and which rows have one at all."""
    values = _numbers(outputs.numbers.get(LABEL), rows)
    texts = outputs.texts.get(LABEL)
    return values, np.isfinite(values) | (np.zeros(rows, bool) if texts is None else _present(texts, rows))


def _numbers(column: Numbers | None, rows: int) -> Floats:
    if column is None:
        return np.full(rows, np.nan)
    return column.values if column.state is None else np.where(column.state == PRESENT, column.values, np.nan)


def _present(column: Texts, rows: int) -> Bools:
    return np.ones(rows, dtype=np.bool_) if column.state is None else np.asarray(column.state == PRESENT)
