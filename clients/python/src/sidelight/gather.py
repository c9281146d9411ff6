"""From what the caller's thread left in a lane to batches: rows turned into lists of equal length."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from sidelight.batches import Predictions, Truths, nanoseconds
from sidelight.columns import breathe
from sidelight.values import MISSING, keep, keep_mapping

# What `Recorder.record` takes beside its named arguments.
ABOUT = frozenset({
    "batch_id", "batch_size", "error_type", "items", "measures", "outputs", "protected", "request_id", "scores",
    "segments", "stages", "status", "time", "traceparent", "tracestate", "vector", "weight",
})  # fmt: skip
_SLICE = 64

# number, nanoseconds at the end of the prediction, features, their names (None: features is a dict), prediction, score,
# prediction id (None: prefix + number), latency in seconds, the rest by name. A plain tuple: it costs 40 ns to make.
Record = tuple[int, int, Any, Any, Any, Any, Any, Any, dict[str, Any]]
# prediction id, request id, truth, item, nanoseconds, weight, output
Truth = tuple[Any, Any, Any, Any, int, Any, str]


def keep_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the rarer arguments. Raises TypeError for one that does not exist."""
    if not about.keys() <= ABOUT:
        raise TypeError(f"no such argument: {', '.join(sorted(about.keys() - ABOUT))}")
    kept = {
        key: keep_mapping(value) if isinstance(value, Mapping) else keep(list(value) if key == "items" else value)
        for key, value in about.items()
        if value is not None
    }
    if "time" in kept:
        kept["time"] = nanoseconds(kept["time"])
    return kept


def gather_predictions(records: Iterable[Record], prefix: str) -> list[Predictions]:
    """One batch per form the features came in: dicts together, rows of an array by their names, size and type."""
    groups: dict[Any, list[Record]] = {}
    for record in records:
        features, names = record[2], record[3]
        form = None if names is None else (id(names), features.dtype.str, len(names))
        groups.setdefault(form, []).append(record)
    return [_predictions(group, prefix) for group in groups.values()]


def _predictions(records: list[Record], prefix: str) -> Predictions:
    numbers, ends, features, names, prediction, score, ids, latency, abouts = zip(*records)
    breathe()
    columns = _from_dicts(features) if names[0] is None else _from_rows(features, names[0])
    about = {key: [one.get(key) for one in abouts] for key in dict.fromkeys(chain.from_iterable(abouts))}
    starts = about.pop("time", None) or [None] * len(records)
    times = [
        _start(end, took) if given is None else given
        for end, took, given in zip(ends, latency, starts)
    ]  # fmt: skip
    own = not any(one is not None for one in ids)
    return Predictions(
        len(records), prefix, numbers, None if own else ids, times, columns, prediction, score, latency, about
    )


def _start(end: int, took: Any) -> int:
    """The prediction's start: its record was made at its end."""
    try:
        return end - int(took * 1e9) if took else end
    except (TypeError, ValueError, OverflowError):  # no number, NaN, inf: the encoder will say so, or send it as it is
        return end


def _from_dicts(rows: Sequence[dict[Any, Any]]) -> list[tuple[str, Any]]:
    names: dict[Any, None] = {}
    for start in range(0, len(rows), _SLICE):
        names.update(dict.fromkeys(chain.from_iterable(rows[start : start + _SLICE])))
        breathe()
    return [(str(name), [row.get(name, MISSING) for row in rows]) for name in names]


def _from_rows(rows: Sequence[Any], names: Sequence[str]) -> list[tuple[str, Any]]:
    matrix = sys.modules["numpy"].array(rows).T
    return [(str(name), matrix[place]) for place, name in enumerate(names)]


def gather_truths(labels: Iterable[Truth]) -> list[Truths]:
    """One batch per output."""
    groups: dict[str, list[Truth]] = {}
    for label in labels:
        groups.setdefault(label[6], []).append(label)
    batches = []
    for output, group in groups.items():
        ids, request_ids, truth, items, times, weights, _ = zip(*group)
        batches.append(Truths(len(group), output, ids, request_ids, truth, items, times, weights))
    return batches
