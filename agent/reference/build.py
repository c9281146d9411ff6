"""A reference from training data of any size: one pass finds the bins, one counts exactly, window by window.

Counting is `Layout.place`, the same code the agent runs, so reference and traffic can only differ by their data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agent.bins import EVERY_ROW, Feature, Layout, Taken
from agent.clock import Clock, SystemClock
from agent.errors import UnusableReferenceError
from agent.records import (
    Batch,
    Bools,
    Cells,
    Columns,
    Flags,
    Ints,
    Kind,
    ModelKey,
    Numbers,
    Source,
    Task,
    Texts,
    Vectors,
    select,
)
from agent.reference.by_segment import BySegment, SegmentCounter, most_frequent
from agent.reference.convert import Column, column, times_ns
from agent.reference.directions import with_projections
from agent.reference.features import make_feature, said_of, with_classes
from agent.reference.labelled import SectionMakers, Settled, Truth
from agent.reference.plan import Plan, Request, Watch, make_plan
from agent.reference.profile import Reference
from agent.reference.rising import rising
from agent.reference.sample import RowsToFit
from agent.reference.schema import Schema
from agent.reference.survey import Name, Survey
from agent.reference.table import Progress, Table, open_table
from agent.reference.task import TASK_BINARY, TASK_MULTICLASS, find_task

CELLS_MAX = 8 << 20  # of all blocks together: 32 MiB, which the agent has to hold
WINDOWS_MAX = 1_000_000  # looked at while building
ROW_BLOCKS = 60  # blocks by row order, where there is no time
ROW_BLOCK_ROWS = 100  # the least rows such a block has
NO_ROW = slice(0)

Found = dict[Name, tuple[Column, Texts | None]]


@dataclass(frozen=True, slots=True)
class Built:
    """The reference, the schema it was built with (for a person to edit), and what that person should be told."""

    reference: Reference
    schema: Schema
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Windows:
    """Which window is which block. indices: int64, rising, the windows that are kept; None: blocks by row order."""

    seconds: float
    indices: Ints | None
    blocks: int
    rows: int

    def positions(self, window: Ints, first_row: int) -> Ints:
        """The block of each row, negative where its window is not kept."""
        if self.indices is None:
            rows = np.arange(first_row, first_row + len(window), dtype=np.int64)
            return rows * self.blocks // self.rows
        return np.where(window >= self.indices[0], np.searchsorted(self.indices, window), -1).astype(np.int64)

    def starts_ns(self) -> Ints:
        indices = np.arange(self.blocks, dtype=np.int64) if self.indices is None else self.indices
        return indices * _window_ns(self.seconds)


def build(
    request: Request,
    progress: Progress = lambda _words, _share: None,
    clock: Clock | None = None,
    makers: SectionMakers = (),
) -> Built:
    """Reads the data two times (CSV three) and holds none of it; the same data give the same hash, CSV or Parquet.

    makers: of the sections that are made from rows with a label (`labelled.py`); without --label they make none.

    Raises UnusableReferenceError, naming file, column or option.
    """
    table = open_table(request.data)
    plan = make_plan(request, table, progress)
    fit = RowsToFit()
    survey, label, seen, lost = _survey(request, table, plan, progress, fit)
    notes = [*plan.notes, *_text_notes(survey), *_mismatch_notes(survey)]
    classes, task, positive = find_task(request, plan, survey, label, notes)
    labelled = classes if plan.label is not None and task in (TASK_BINARY, TASK_MULTICLASS) else ()
    plan = replace(plan, watches=tuple(_with_classes(watch, survey, labelled) for watch in plan.watches))
    features = tuple(_feature(watch, survey) for watch in plan.watches)
    layout = with_projections(Layout(features, plan.window_seconds), fit.batches)
    if lost:
        notes.append(f"{lost} rows have a time in {request.time!r} that cannot be read: left out")
    windows = _choose_windows(request, plan, layout, survey.rows, seen, notes)
    counter = _segment_counter(plan, label, layout, windows)
    settled = Settled(layout, windows.starts_ns(), Task(task), positive, classes, plan.segments, plan.protected)
    truth = Truth(settled, makers if plan.label is not None else ())
    stream = _stream(request, table, plan, "counts", progress, (*plan.by_segment, *(plan.with_truth if makers else ())))
    blocks, rows = _count(request, stream, layout, windows, (counter, truth), fit)
    sections, told = truth.finish()
    notes += told
    by_segment = counter.finish()
    notes += _segment_notes(by_segment)
    reference = Reference(
        model=request.model,
        version=request.version,
        layout=layout,
        blocks=blocks,
        starts_ns=windows.starts_ns(),
        rows=rows,
        task=task,
        positive_label=positive,
        trained_at_ns=request.trained_at_ns,
        segments=plan.segments,
        protected=plan.protected,
        classes=classes,
        quantiles={name: n.sketch.to_bytes() for name, n in survey.numbers.items() if n.sketch and n.sketch.count},
        made_by=made_by(),
        made_at_ns=(clock or SystemClock()).now_ns(),
        origin=", ".join(path.name for path in table.paths[:3]) + (", …" if len(table.paths) > 3 else ""),
        by_segment=by_segment,
        unknown=tuple(sections.items()),
    )
    schema = Schema(
        features={w.name: said_of(f, w.said) for w, f in zip(plan.watches, features, strict=True)},
        task=task,
        positive_label=positive,
        window_seconds=plan.window_seconds,
        segments=plan.segments,
        protected=plan.protected,
    )
    return Built(reference, schema, (*notes, *_rising_notes(reference)))


def made_by() -> str:
    """Name and version of this program, as it stands in a reference."""
    import importlib.metadata

    try:
        return f"sidelight-agent {importlib.metadata.version('sidelight-agent')}"
    except importlib.metadata.PackageNotFoundError:
        return "sidelight-agent"


def _feature(watch: Watch, survey: Survey) -> Feature:
    name = watch.name
    if name in survey.numbers:
        return make_feature(name, Kind.NUMBER, watch.said, survey.numbers[name], survey.sample.values(name))
    return make_feature(name, watch.kind, watch.said, survey.texts.get(name), np.empty(0), survey.sizes.get(name, 0))


def _with_classes(watch: Watch, survey: Survey, classes: tuple[str, ...]) -> Watch:
    kind = Kind.NUMBER if watch.name in survey.numbers else watch.kind
    found = survey.numbers.get(watch.name) or survey.texts.get(watch.name)
    return replace(watch, said=with_classes(watch.name, kind, watch.said, classes, found))


def _stream(request: Request, table: Table, plan: Plan, words: str, progress: Progress,
            extra: tuple[Watch, ...] = ()) -> Iterator[tuple[int, Ints, Found, int]]:  # fmt: skip
    """Batches as (rows, window of each row, columns, rows lost because their time could not be read)."""
    watches = (*plan.watches, *extra)
    needed = list(dict.fromkeys([*(w.column for w in watches), *([request.time] if request.time else [])]))
    window_ns = _window_ns(plan.window_seconds)
    for whole in table.batches(needed, lambda share: progress(words, share)):
        batch = whole
        window, lost = np.zeros(batch.num_rows, dtype=np.int64), 0
        if request.time:
            times, valid = times_ns(batch.column(request.time))
            window = times // window_ns
            if not valid.all():
                lost = int(np.count_nonzero(~valid))
                batch, window = _filtered(whole, valid), window[valid]
        found = {watch.name: _converted(watch, batch.column(watch.column)) for watch in watches}
        yield batch.num_rows, window, found, lost


def _filtered(batch: Any, kept: Bools) -> Any:
    import pyarrow as pa

    return batch.filter(pa.array(kept))


def _converted(watch: Watch, array: object) -> tuple[Column, Texts | None]:
    try:
        found, beside = column(array, watch.kind)
    except ValueError as error:
        raise UnusableReferenceError(f"column {watch.column!r}: {error}") from error
    if isinstance(found, Flags) and watch.name[0] is not Source.FEATURE:
        return Numbers(found.values.astype(np.float64), found.state), beside  # on the wire an output is number or label
    return found, beside


def _survey(
    request: Request, table: Table, plan: Plan, progress: Progress, fit: RowsToFit
) -> tuple[Survey, Survey, dict[int, int], int]:
    """What the columns hold, what the label and the segments hold, rows per window, and rows lost."""
    survey = _empty_survey(plan.watches)
    labels = (*((plan.label,) if plan.label is not None else ()), *plan.by_segment)
    label = _empty_survey(labels)
    seen: dict[int, int] = {}
    lost_rows = 0
    model = ModelKey(request.model, request.version)
    for rows, window, found, lost in _stream(request, table, plan, "bins", progress, labels):
        lost_rows += lost
        beside = {watch.name: found.pop(watch.name) for watch in labels}
        fit.add(survey.rows, _batch(model, rows, found))
        try:
            survey.add(rows, found)
            label.add(rows, beside)
        except ValueError as error:
            raise UnusableReferenceError(str(error)) from error
        for index, count in zip(*np.unique(window, return_counts=True), strict=True):
            seen[int(index)] = seen.get(int(index), 0) + int(count)
        if len(seen) > WINDOWS_MAX:
            raise UnusableReferenceError(f"--window {plan.window_seconds:g}: more than {WINDOWS_MAX} windows")
    if not survey.rows:
        said = f"no rows with a time in {request.time!r} that can be read" if lost_rows else "no rows"
        raise UnusableReferenceError(f"{table.paths[0]}: {said}")
    return survey, label, seen, lost_rows


def _empty_survey(watches: tuple[Watch, ...]) -> Survey:
    flagged = [w.name for w in watches if w.kind is Kind.FLAG and w.name[0] is not Source.FEATURE]
    return Survey(
        numbers=[w.name for w in watches if w.kind is Kind.NUMBER] + flagged,
        texts=[w.name for w in watches if w.kind is Kind.TEXT],
        vectors=[w.name for w in watches if w.kind is Kind.VECTOR],
    )


def _choose_windows(request: Request, plan: Plan, layout: Layout, rows: int, seen: dict[int, int],
                    notes: list[str]) -> _Windows:  # fmt: skip
    most = max(1, CELLS_MAX // max(1, layout.cells))
    if not request.time:
        blocks = min(most, ROW_BLOCKS, max(1, rows // ROW_BLOCK_ROWS))
        notes.append(f"no --time column: {blocks} blocks in the order of the rows, so how windows differ is not known")
        return _Windows(plan.window_seconds, None, blocks, rows)
    ordered = sorted(seen)
    kept = ordered[-most:]
    if len(kept) < len(ordered):
        left = sum(seen[index] for index in ordered[: len(ordered) - most])
        notes.append(f"only the newest {len(kept)} of {len(ordered)} windows are kept, {left} rows left out (--window)")
    return _Windows(plan.window_seconds, np.array(kept, dtype=np.int64), len(kept), rows)


def _count(request: Request, stream: Iterator[tuple[int, Ints, Found, int]], layout: Layout, windows: _Windows,
           beside: tuple[SegmentCounter, Truth], fit: RowsToFit) -> tuple[np.ndarray, Ints]:  # fmt: skip
    """Exact counts: int32 (blocks, cells), and rows per block; those of segments, and rows with labels, go `beside`."""
    counter, truth = beside
    blocks = np.zeros((windows.blocks, layout.cells), dtype=np.int32)
    per_block = np.zeros(windows.blocks, dtype=np.int64)
    model = ModelKey(request.model, request.version)
    done = 0
    for rows, window, found, _ in stream:
        position = windows.positions(window, done)
        taken = np.flatnonzero(~fit.holds(done, rows))
        numbers = np.arange(done, done + rows, dtype=np.int64)
        done += rows
        batch = _batch(model, rows, found)
        if (position < 0).any():
            kept = np.flatnonzero(position >= 0)
            batch, position, numbers = select(batch, kept), position[kept], numbers[kept]
            taken = np.flatnonzero(np.isin(kept, taken))
        cells = add_counts(layout, batch, position, blocks, taken)
        if batch.segments:
            counter.add(cells, position, batch.segments)
        truth.add(numbers, position, cells, batch)
        per_block += np.bincount(position, minlength=windows.blocks)
    return blocks, per_block


def _segment_counter(plan: Plan, survey: Survey, layout: Layout, windows: _Windows) -> SegmentCounter:
    """Of each key the most frequent values."""
    values = {}
    for watch in plan.by_segment:
        counts = survey.texts[watch.name].counts
        values[watch.column] = {value: counts[value] for value in most_frequent(counts)}
    return SegmentCounter(values, layout.cells, windows.blocks)


def add_counts(layout: Layout, batch: Batch, position: Ints, blocks: np.ndarray, taken: Taken = EVERY_ROW) -> Cells:
    """Counts each row into its block (position: int64 (rows,), the row of `blocks`); its cells.

    taken: the rows that are counted along the directions of vectors and whole rows.
    """
    placed = layout.place(batch, taken)
    everything = [(position, placed.cells), *((position[own.rows], own.cells) for own in placed.computed)]
    for block_of, cells in everything:
        np.add.at(blocks.reshape(-1), (block_of[np.newaxis, :] * layout.cells + cells).ravel(), 1)
    if placed.extra is not None:
        for block in np.unique(position):  # fractional numbers are counted a batch at a time: each block is a batch
            part = select(batch, np.flatnonzero(position == block))
            extra = layout.place(part, NO_ROW).extra
            if extra is not None:
                blocks[block] += np.bincount(extra, minlength=layout.cells).astype(blocks.dtype)
    return placed.cells


def _batch(model: ModelKey, rows: int, found: Found) -> Batch:
    parts: dict[bool, tuple[dict[str, Numbers], dict[str, Texts], dict[str, Flags], dict[str, Vectors]]] = {
        True: ({}, {}, {}, {}), False: ({}, {}, {}, {}),
    }  # fmt: skip
    segments: dict[str, Texts] = {}
    for (source, name), pair in found.items():
        if source is Source.ROW:
            if isinstance(pair[0], Texts):
                segments[name] = pair[0]
            continue
        numbers, texts, flags, vectors = parts[source is Source.FEATURE]
        for part in pair:
            if isinstance(part, Numbers):
                numbers[name] = part
            elif isinstance(part, Texts):
                texts[name] = part
            elif isinstance(part, Flags):
                flags[name] = part
            elif part is not None:
                vectors[name] = part
    return Batch(model, rows, 0, Columns(*parts[True]), Columns(*parts[False]), segments=segments)


def _text_notes(survey: Survey) -> list[str]:
    return [
        f"{name!r} has more than {texts.capacity} different texts: an id? (--ignore {name})"
        for (_, name), texts in survey.texts.items()
        if len(texts.counts) > texts.capacity or not texts.exact
    ]


def _mismatch_notes(survey: Survey) -> list[str]:
    return [f"{name!r}: {count} values are not of its type" for (_, name), count in survey.mismatches.items() if count]


def _rising_notes(reference: Reference) -> list[str]:
    names = sorted(reference.layout.features[i].name for i in rising(reference))
    said = "rises with every window: a clock or a counter? No traffic will be like it; better --ignore it"
    return [f"{name!r} {said}" for name in names]


def _segment_notes(by_segment: BySegment) -> list[str]:
    notes = []
    for key in by_segment.keys:
        values = [value for value in by_segment.values if value.key == key]
        few = sum(not value.packed for value in values)
        if few:
            said = f"segment {key!r}: {few} of {len(values)} values have too few rows, or there was no room:"
            notes.append(f"{said} only their part of the traffic is watched")
        elif not values:
            notes.append(f"segment {key!r}: no row has a value of it")
    return notes


def _window_ns(seconds: float) -> int:
    return max(1, round(seconds * 1e9))
