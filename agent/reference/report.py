"""A reference in words and rows, for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from agent.bins import ABSENT_CELL, NO_RULES, NULL_CELL, Feature
from agent.records import Source
from agent.reference.profile import Reference
from agent.reference.schema import TASKS, duration_text

HORIZONS = (1, 2, 4, 8, 16, 24)  # windows pooled by the drift tests: statistics.md, point 4
ROWS_FACTOR = 10  # point 5: a horizon of h windows of n rows needs N >= 10·n·h reference rows
BLOCKS_MIN = 30  # and about so many blocks, to know how much windows differ


def headline(reference: Reference) -> str:
    """One line: model, version, hash, how much there is of it and from when."""
    parts = [f"{reference.model} {reference.version}".strip(), f"hash {reference.hash_text}"]
    window = duration_text(reference.layout.window_seconds)
    parts.append(f"{int(reference.rows.sum())} rows in {len(reference.rows)} windows of {window}")
    if len(reference.starts_ns) and reference.starts_ns[-1] > 0:
        parts.append(f"{_day(int(reference.starts_ns[0]))} to {_day(int(reference.starts_ns[-1]))}")
    task = next((name for name, number in TASKS.items() if number == reference.task), "")
    if task:
        parts.append(task + (f" (positive: {reference.positive_label})" if reference.positive_label else ""))
    if reference.origin:
        parts.append(f"from {reference.origin}")
    return ", ".join(parts)


def table(reference: Reference) -> list[tuple[str, ...]]:
    """A heading, then a row a feature, all as text."""
    rows: list[tuple[str, ...]] = [("feature", "source", "type", "bins", "from", "to", "missing", "")]
    for i, feature in enumerate(reference.layout.features):
        share = reference.share[reference.layout.slice(i)]
        missing = float(share[feature.bins + NULL_CELL] + share[feature.bins + ABSENT_CELL])
        low, high = _range(feature)
        source = "" if feature.source is Source.FEATURE else feature.source.name.lower()
        marks = [m for m in ("public", "critical", "ignored", "integral") if getattr(feature, m)]
        marks += ["demands"] if feature.rules != NO_RULES else []
        bins = str(_own_bins(feature))
        kind = feature.kind.name.lower()
        rows.append((feature.name, source, kind, bins, low, high, f"{missing:.2%}", " ".join(marks)))
    return rows


def carried(reference: Reference) -> list[int]:
    """The horizons, in windows, whose tests this reference is long enough for."""
    blocks = len(reference.rows)
    return [h for h in HORIZONS if blocks >= max(BLOCKS_MIN, ROWS_FACTOR * h)]  # N = n·blocks where traffic is alike


def horizons(reference: Reference) -> str:
    """One line: which horizons drift can be tested over, and what is missing for more."""
    found, blocks = carried(reference), len(reference.rows)
    if len(found) == len(HORIZONS):
        return f"carries all horizons, up to {HORIZONS[-1]} windows"
    need = max(BLOCKS_MIN, ROWS_FACTOR * HORIZONS[len(found)])
    first = HORIZONS[len(found)]
    wanting = "1 window needs" if first == 1 else f"{first} windows pooled need"
    more = f"{wanting} {need} reference windows, there are {blocks}"
    if not found:
        return f"too short for drift tests by itself: {more}"
    return f"carries horizons of {', '.join(map(str, found))} windows; {more}"


def _own_bins(feature: Feature) -> int:
    bins = len(feature.whole)
    return max(0, bins - 2) if (feature.edges or feature.categories) else bins


def _range(feature: Feature) -> Sequence[str]:
    if feature.edges:
        return f"{feature.edges[0]:.6g}", f"{feature.edges[-1]:.6g}"
    if feature.categories:
        return feature.categories[0][:20], feature.categories[-1][:20]
    return "", ""


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
