"""From what the caller's thread left in a lane to batches: rows turned into lists of equal length."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Optional

from sidelight.batches import Predictions, Truths, nanoseconds
from sidelight.columns import breathe
from sidelight.values import MISSING, keep, keep_mapping

# What `Recorder.record` takes beside its named arguments.
ABOUT = frozenset({
    "batch_id", "batch_size", "error_type", "items", "measures", "outputs", "protected", "request_id", "scores",
    "segments", "stages", "status", "time", "traceparent", "tracestate", "vector", "weight",
})  # fmt: skip
_SLICE = 64

# An array row's type, shape, dtype and names: what its bytes mean.
Form = tuple[Any, Any, Any, tuple[str, ...]]
# number, nanoseconds at the end of the prediction, features, their form (None: features is a dict), prediction, score,
# prediction id (None: prefix + number), latency in seconds, the rest by name (None: nothing). A plain tuple: it costs
# 40 ns to make.
Record = tuple[int, int, Any, Optional[Form], Any, Any, Any, Any, Optional[dict[str, Any]]]
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
        form = record[3]
        groups.setdefault(None if form is None else (id(form[3]), form[2].str, len(form[3])), []).append(record)
    return [_predictions(group, prefix) for group in groups.values()]


def _predictions(records: list[Record], prefix: str) -> Predictions:
    numbers, ends, features, forms, prediction, score, ids, latency, abouts = zip(*records)
    breathe()
    columns = _from_dicts(features) if forms[0] is None else _from_rows(features, forms[0])
    keys = dict.fromkeys(chain.from_iterable(filter(None, abouts)))
    about = {key: [None if one is None else one.get(key) for one in abouts] for key in keys}
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
    return [(str(name), _column(rows, name)) for name in names]


def _column(rows: Sequence[dict[Any, Any]], name: Any) -> list[Any]:
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name, MISSING) for row in rows]


def _from_rows(rows: Sequence[bytes], form: Form) -> list[tuple[str, Any]]:
    _, _, dtype, names = form
    matrix = sys.modules["numpy"].frombuffer(b"".join(rows), dtype).reshape(len(rows), len(names)).T
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
