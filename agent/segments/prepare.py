"""What a reference says of its segments, made ready for judging: groups of segments that are judged in one slice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import Layout
from agent.drift.rare import shapeless
from agent.errors import CorruptError
from agent.quality.measure import Of
from agent.quality.tables import Places, bases_of
from agent.records import Cells, Floats, Ints
from agent.reference.by_segment import RUN_WINDOWS, SegmentCounts
from agent.reference.profile import Reference
from agent.segments.coarse import Coarse, judged_features
from agent.segments.drift import Shift
from agent.segments.rates import Rates, kinds
from agent.segments.spread import Known, Runs, learn

CELLS_AT_ONCE = 6_000  # of a group, about: what one slice of 2 ms judges
# Of all judged segments of one reference: 15 MB to judge with. Windows have room for about as many, by default.
JUDGED_CELLS_MAX = 250_000
WHOLE_RUNS = 96  # of each length; more only cost time
log = logging.getLogger("sidelight.segments")


@dataclass(frozen=True)
class Group:
    """Segments judged together. counts: int64 (segments, cells), their reference; rates: by kind."""

    names: tuple[str, ...]
    counts: Ints
    shift: Shift
    rates: tuple[Rates, ...]


@dataclass(frozen=True)
class _Part:
    """One segment, before it is put into a group. runs: by horizon."""

    name: str
    counts: Ints
    coarse: Coarse
    pooled: Floats
    runs: tuple[Runs, ...]
    rates: tuple[Rates, ...]


@dataclass(frozen=True)
class Prepared:
    """groups: in the reference's order; kinds: the measures of faults, as each group's rates have them."""

    groups: tuple[Group, ...]
    kinds: tuple[Places, ...]


def judged_values(reference: Reference) -> list[SegmentCounts]:
    """Those with counts of their own, of keys that may be named; where there is no room for all, the most frequent."""
    if not len(reference.blocks):
        return []
    kept = [v for v in reference.by_segment.values if v.packed and v.key not in reference.protected]
    room = max(1, JUDGED_CELLS_MAX // max(reference.layout.cells, 1))
    frequent = {v.name for v in sorted(kept, key=lambda v: -int(v.rows.sum()))[:room]}
    return [v for v in kept if v.name in frequent]


def prepare(reference: Reference) -> Prepared:
    """Takes some 50 ms a segment of 200 features; opens one at a time. One whose counts are broken is left out."""
    layout = reference.layout
    measures = tuple(kinds(layout))
    without = shapeless(layout, reference.pooled)  # no segment judges what the whole cannot
    judged = [i for i in judged_features(layout) if i not in without]
    values = judged_values(reference)
    if not values:
        return Prepared((), measures)
    runs = [_whole_runs(reference.blocks, h) for h in RUN_WINDOWS]
    whole = _part("", layout, judged, measures, reference.pooled, runs)
    parts = []
    for value in values:
        try:
            parts.append(_opened(value, reference, judged, measures, whole))
        except CorruptError as error:
            log.warning("segment_unusable segment=%r error=%s", value.name, error)
    if not parts:
        return Prepared((), measures)
    known = learn([[part.runs[k] for part in parts] for k in range(len(RUN_WINDOWS))], whole.runs)
    at_once = max(1, CELLS_AT_ONCE // max(layout.cells, 1))
    groups = [_group(parts[i : i + at_once], i, known, layout.cells) for i in range(0, len(parts), at_once)]
    return Prepared(tuple(groups), measures)


def _opened(
    value: SegmentCounts, reference: Reference, judged: Sequence[int], measures: Sequence[Places], whole: _Part
) -> _Part:
    layout, places = reference.layout, reference.by_segment.runs
    counts = value.unpack(len(places), layout.cells)
    lengths = np.array([length for _, length in places])
    runs = [counts[1:][lengths == horizon] if len(places) else counts[1:] for horizon in RUN_WINDOWS]
    part = _part(value.name, layout, judged, measures, counts[0].astype(np.int64), runs)
    rates = tuple(own.borrowing(base) for own, base in zip(part.rates, whole.rates, strict=True))
    return _Part(part.name, part.counts, part.coarse, part.pooled, part.runs, rates)


def _part(
    name: str, layout: Layout, judged: Sequence[int], measures: Sequence[Places], counts: Ints, runs: Sequence[Cells]
) -> _Part:
    coarse = Coarse.of(layout, judged, _shares(layout, counts), counts)
    pooled = coarse.pool(counts.astype(np.float64))
    return _Part(
        name=name,
        counts=counts,
        coarse=coarse,
        pooled=pooled,
        runs=tuple(Runs.of(coarse, coarse.pool(run.astype(np.float64)), pooled) for run in runs),
        rates=tuple(Rates.of(kind, layout, counts, runs) for kind in measures),
    )


def _group(parts: Sequence[_Part], first: int, known: Sequence[Known], cells: int) -> Group:
    """first: the first part's number; `known` is of all segments' subjects, one after another."""
    subjects = parts[0].coarse.bins.size
    own = slice(first * subjects, (first + len(parts)) * subjects)
    return Group(
        names=tuple(part.name for part in parts),
        counts=np.array([part.counts for part in parts]),
        shift=Shift(
            Coarse.joined([part.coarse for part in parts], cells),
            np.concatenate([part.pooled for part in parts]),
            tuple(one.part(own) for one in known),
        ),
        rates=tuple(Rates.joined([part.rates[k] for part in parts]) for k in range(len(parts[0].rates))),
    )


def _whole_runs(blocks: Cells, windows: int) -> Cells:
    """int32 (runs, cells): consecutive windows added up; evenly spaced ones where there are many."""
    there = len(blocks) // windows
    used = np.unique(np.linspace(0, there - 1, min(there, WHOLE_RUNS)).astype(np.int64)) if there else np.empty(0, int)
    begin = len(blocks) - there * windows
    found = [blocks[begin + i * windows : begin + (i + 1) * windows].sum(axis=0) for i in used.tolist()]
    return np.array(found, dtype=np.int32).reshape(len(found), blocks.shape[1])


def _shares(layout: Layout, counts: Ints) -> Floats:
    """(cells,): each cell's count over its feature's values; 0 where there are none."""
    values = bases_of(layout, counts)[Of.VALUES].astype(np.float64)
    sizes = np.diff(layout.starts)
    return np.asarray(counts / np.maximum(np.repeat(values, sizes), 1.0))
