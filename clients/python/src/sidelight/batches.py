"""Records and labels, a batch at a time, as lists of equal length: what the wire wants, and what numpy has anyway."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import chain, compress
from typing import Any, Optional
from zlib import crc32

from sidelight.columns import (
    add_features,
    add_texts,
    bitmap,
    breathe,
    doubles,
    fill,
    packed,
    parts,
    some,
    write_numbers,
    write_texts,
    write_vectors,
)
from sidelight.values import MISSING, NUMBER, TEXT, VECTOR, Vector, number, vector
from sidelight.wire import columns_pb2 as wire
from sidelight.wire import recorder_pb2, rows_pb2

_STATUS = {
    "ok": rows_pb2.STATUS_OK, "error": rows_pb2.STATUS_ERROR, "timeout": rows_pb2.STATUS_TIMEOUT,
    "rejected": rows_pb2.STATUS_REJECTED,
}  # fmt: skip
# Rows encoded between two breaths where work goes row by row.
_SLICE = 64


def nanoseconds(moment: Any) -> int:
    """A datetime (naive: UTC), numpy datetime64 or seconds since the epoch, as nanoseconds since the epoch."""
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    elif hasattr(moment, "astype") and "datetime64" in str(getattr(moment, "dtype", "")):
        return int(moment.astype("datetime64[ns]").astype("int64"))
    return max(0, round(float(moment) * 1e9))


def _pick(values: Any, chosen: Sequence[bool]) -> Any:
    if hasattr(values, "dtype"):
        return values[[index for index, keep in enumerate(chosen) if keep]]
    return list(compress(values, chosen))


@dataclass
class Predictions:
    """Predictions to encode. Every sequence has `rows` entries; `about` holds only what some row has."""

    rows: int
    prefix: str
    numbers: Sequence[int]
    ids: Optional[Sequence[Optional[str]]]  # noqa: UP045  # read at run time on 3.9; None: all ids are prefix + number
    times: Sequence[int]
    features: list[tuple[str, Any]]
    prediction: Sequence[Any]
    score: Sequence[Any]
    latency: Sequence[Any]
    about: Mapping[str, Sequence[Any]]
    ratio: float = 1.0

    def select(self, chosen: Sequence[bool]) -> Predictions:
        """The rows where `chosen` is true."""
        return replace(
            self,
            rows=sum(chosen),
            numbers=_pick(self.numbers, chosen),
            ids=None if self.ids is None else _pick(self.ids, chosen),
            times=_pick(self.times, chosen),
            features=[(name, _pick(values, chosen)) for name, values in self.features],
            prediction=_pick(self.prediction, chosen),
            score=_pick(self.score, chosen),
            latency=_pick(self.latency, chosen),
            about={key: _pick(values, chosen) for key, values in self.about.items()},
        )

    def sample(self, ratio: float) -> Predictions:
        """About `ratio` of the rows, by CRC-32 of the prediction id, so that the same id is always in or always out."""
        if not 0.0 < ratio < 1.0:
            return self
        limit = ratio * 2.0**32
        chosen = [crc32(identity.encode("utf-8", "replace")) < limit for identity in self.identities()]
        return replace(self.select(chosen), ratio=ratio)

    def identities(self) -> list[str]:
        own = [f"{self.prefix}{number}" for number in self.numbers]
        return own if self.ids is None else [given or ours for given, ours in zip(self.ids, own)]

    def write(self, request: recorder_pb2.RecordRequest) -> None:
        """Fills the request's body. Raises whatever a value that cannot be encoded raises, and `RaggedError`."""
        columns = request.columns
        columns.rows = self.rows
        if self.ids is None:
            columns.id_prefix = self.prefix
            fill(columns, "id_numbers", packed("Q", self.numbers))
        else:
            columns.ids.extend(self.identities())
        fill(columns, "time_unix_nano", packed("Q", self.times))
        for name, values in self.features:
            add_features(columns, name, values)
        breathe()
        self._write_outputs(columns)
        if some(self.latency):
            fill(columns, "latency_seconds", doubles([math.nan if one is None else one for one in self.latency]))
        if self.about:
            breathe()
            self._write_about(columns)
        if "weight" in self.about or self.ratio < 1.0:
            weights = self.about.get("weight") or [None] * self.rows
            fill(columns, "weights", doubles([(1.0 if one is None else one) / self.ratio for one in weights]))

    def _write_outputs(self, columns: wire.Columns) -> None:
        none = [None] * self.rows
        about = self.about
        single = (self.prediction, self.score, *(about.get(key, none) for key in ("scores", "vector", "items")))
        if any(some(values) for values in single):
            _write_output(columns.outputs.add(), *single)
        named = about.get("outputs", ())
        for name in dict.fromkeys(chain.from_iterable(one for one in named if one)):
            cells = [_output((one or {}).get(name)) for one in named]
            _write_output(
                columns.outputs.add(name=str(name)),
                *([one.get(key) for one in cells] for key in ("prediction", "score", "scores", "vector", "items")),
            )

    def _write_about(self, columns: wire.Columns) -> None:
        about = self.about
        if "request_id" in about:
            columns.request_ids.extend(["" if one is None else str(one) for one in about["request_id"]])
        for key, into in (("segments", columns.segments), ("protected", columns.protected)):
            for name, values in _by_key(about.get(key, ())):
                add_texts(into, name, values, MISSING)
        for name, values in _by_key(about.get("measures", ())):
            cells = [number(one) if one is not None and one is not MISSING else 0.0 for one in values]
            nulls, absents = bitmap(one is None for one in values), bitmap(one is MISSING for one in values)
            write_numbers(columns.measures.add(name=name), cells, nulls, absents)
        for name, values in _by_key([_stages(one) for one in about.get("stages", ())]):
            spans = [(math.nan, math.nan) if one is MISSING else one for one in values]
            stage = columns.stages.add(name=name)
            fill(stage, "offset_seconds", doubles([offset for offset, _ in spans]))
            fill(stage, "duration_seconds", doubles([duration for _, duration in spans]))
        if "status" in about:
            # What is neither of the four words went wrong in a way that we have no word for.
            columns.status.extend([_STATUS.get(one or "ok", rows_pb2.STATUS_ERROR) for one in about["status"]])
        for key, texts in (
            ("error_type", columns.error_types), ("tracestate", columns.trace_states), ("batch_id", columns.batch_ids),
        ):  # fmt: skip
            if key in about:
                values = ["" if one is None else str(one) for one in about[key]]
                write_texts(texts, values, absents=bitmap(not one for one in values))
        if "traceparent" in about:
            contexts = [_trace(one) for one in about["traceparent"]]
            columns.trace_ids = b"".join([one[0] for one in contexts])
            columns.span_ids = b"".join([one[1] for one in contexts])
            columns.trace_flags = b"".join([one[2] for one in contexts])
        if "batch_size" in about:
            fill(columns, "batch_sizes", packed("I", [int(one or 0) for one in about["batch_size"]]))


def _by_key(rows: Sequence[Any]) -> Iterable[tuple[str, list[Any]]]:
    """Mappings, one a row (or None), as one list a key; MISSING where a row does not have it."""
    for key in dict.fromkeys(chain.from_iterable(one for one in rows if one)):
        yield str(key), [MISSING if one is None else one.get(key, MISSING) for one in rows]


def _output(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"prediction": value}


def _write_output(
    into: wire.OutputColumn,
    prediction: Sequence[Any],
    score: Sequence[Any],
    scores: Sequence[Any],
    vectors: Sequence[Any],
    items: Sequence[Any],
) -> None:
    if some(prediction):
        # A flag is a class of two, and meets its label as a number.
        cells = [MISSING if one is None else float(one) if type(one) is bool else _lone(one) for one in prediction]
        for kind, values, nulls, absents in parts(cells):
            if kind == TEXT:
                write_texts(into.labels, values, nulls, absents)
            elif kind == VECTOR:
                write_vectors(into.vectors, values, nulls, absents)
            else:
                write_numbers(into.values, values, nulls, absents)
    if some(score):
        fill(into.scores.add(), "values", doubles([math.nan if one is None else number(_lone(one)) for one in score]))
    for name, column in _by_key([_scores(one) for one in scores]):
        entry = into.scores.add(**{"class": name})
        fill(entry, "values", doubles([math.nan if one in (None, MISSING) else number(one) for one in column]))
    if some(vectors):
        cells = [MISSING if one is None else one if type(one) is Vector else vector(one) for one in vectors]
        for _, values, nulls, absents in parts(cells):
            write_vectors(into.vectors, values, nulls, absents)
    if some(items):
        _write_items(into.items, items)


def _lone(value: Any) -> Any:
    """Models often answer one row with an array of one."""
    while type(value) in (tuple, Vector) and len(value) == 1:
        value = value[0] if type(value) is tuple else memoryview(value).cast("f")[0]
    return value


def _scores(value: Any) -> Any:
    """Scores by class; a bare sequence names its classes by position."""
    if type(value) is Vector:
        value = memoryview(value).cast("f").tolist()
    return {str(place): one for place, one in enumerate(value)} if isinstance(value, (tuple, list)) else value


def _write_items(into: wire.ItemsColumn, rows: Sequence[Any]) -> None:
    """Ranked lists: an item is an id, (id, score) or a mapping of id, position and score."""
    lengths: list[int] = []
    positions: list[int] = []
    scores: list[float] = []
    for row in rows:
        lengths.append(len(row or ()))
        for place, item in enumerate(row or (), 1):
            if isinstance(item, Mapping):
                identity, position, score = item["id"], item.get("position") or place, item.get("score")
            elif isinstance(item, tuple):
                (identity, score), position = item, place
            else:
                identity, position, score = item, place, None
            into.ids.append(str(identity))
            positions.append(int(position))
            scores.append(math.nan if score is None else float(score))
    fill(into, "lengths", packed("I", lengths))
    fill(into, "positions", packed("I", positions))
    fill(into, "scores", doubles(scores))


def _stages(value: Any) -> Any:
    """Stages by name as (offset, duration) in seconds; a bare duration starts where the one before it ended."""
    if not value:
        return None
    spans, end = {}, 0.0
    for name, span in value.items():
        offset, duration = span if isinstance(span, tuple) else (end, span)
        spans[name] = (float(offset), float(duration))
        end = float(offset) + float(duration)
    return spans


_NO_TRACE = (bytes(16), bytes(8), bytes(1))


def _trace(parent: Any) -> tuple[bytes, bytes, bytes]:
    """The parts of a W3C traceparent; zeros for none, or for one that is malformed."""
    pieces = parent.split("-") if isinstance(parent, str) else ()
    if len(pieces) < 4 or [len(piece) for piece in pieces[:4]] != [2, 32, 16, 2]:
        return _NO_TRACE
    try:
        return bytes.fromhex(pieces[1]), bytes.fromhex(pieces[2]), bytes.fromhex(pieces[3])
    except ValueError:
        return _NO_TRACE


@dataclass
class Truths:
    """Labels to encode, all for one output."""

    rows: int
    output: str
    ids: Sequence[Any]
    request_ids: Sequence[Any]
    truth: Sequence[Any]
    items: Sequence[Any]
    times: Sequence[int]
    weights: Sequence[Any]

    def select(self, chosen: Sequence[bool]) -> Truths:
        """The rows where `chosen` is true."""
        lists = (self.ids, self.request_ids, self.truth, self.items, self.times, self.weights)
        return Truths(sum(chosen), self.output, *(_pick(values, chosen) for values in lists))

    def sample(self, ratio: float) -> Truths:
        """All of them: a truth costs little, and its prediction's weight stands for those left out."""
        return self

    def write(self, request: recorder_pb2.RecordRequest) -> None:
        """Fills the request's body. Raises ValueError for a label without an id or a truth."""
        labels = request.label_columns
        labels.rows, labels.output = self.rows, self.output
        if any(one is None and other is None for one, other in zip(self.ids, self.request_ids)):
            raise ValueError("label: neither prediction_id nor request_id")
        for values, into in ((self.ids, labels.ids), (self.request_ids, labels.request_ids)):
            if some(values):
                into.extend(["" if one is None else str(one) for one in values])
        cells = [float(one) if type(one) is bool else _lone(one) for one in self.truth]
        for kind, values, nulls, absents in parts(cells):
            if nulls or kind not in (NUMBER, TEXT):
                raise ValueError("label: no truth")
            if kind == TEXT:
                write_texts(labels.labels, values, nulls, absents)
            else:
                write_numbers(labels.values, values, nulls, absents)
        if any(self.items):
            write_texts(labels.items, ["" if one is None else str(one) for one in self.items])
        fill(labels, "time_unix_nano", packed("Q", self.times))
        if some(self.weights):
            fill(labels, "weights", doubles([1.0 if one is None else one for one in self.weights]))
