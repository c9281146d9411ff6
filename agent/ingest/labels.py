"""Truths on the wire to truths inside; a label that can belong to nothing, or says nothing, is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from agent.counting.fingerprints import Hashes, identities, numbered
from agent.errors import RefusedError
from agent.ingest.limits import Limits, Refusals
from agent.ingest.row import parse
from agent.ingest.rows import Gathering
from agent.records import ABSENT, Bools, Floats, Ints, Labels, ModelKey, Texts
from agent.wire import labels_pb2, twin_pb2
from agent.wire import recorder_pb2 as wire

TIME_MAX_NS = (1 << 63) - 1
WEIGHT_MAX = 1e9  # of one label: more is no weight, and would leave the others without any
CLASSES_MAX = 64  # different numbers in one message that are still taken for classes, and have a text


def read_labels(
    items: Sequence[bytes], model: ModelKey, arrived_ns: int, limits: Limits, refusals: Refusals, verdict: bytes | None
) -> Labels:
    """Labels that came one by one, without the refused ones. verdict: the journal's, where they were judged before."""
    kept: list[labels_pb2.Label] = []
    predictions, at = Gathering(model, arrived_ns, limits), []
    for i, raw in enumerate(items):
        if verdict and verdict[i]:
            continue
        try:
            label = labels_pb2.Label.FromString(raw)
            check_label(label, limits)
            if label.HasField("prediction"):
                row = label.prediction.SerializeToString()
                predictions.add(parse(row, limits), row, arrived_ns)
                at.append(len(kept))
            kept.append(label)
        except DecodeError:
            refusals.add(i, RefusedError(wire.REASON_UNDECODABLE, "labels", f"not a Label, {len(raw)} bytes"))
        except RefusedError as error:
            refusals.add(i, error)
    # A field of the message; Python's name for it is a method here and there.
    values = np.array([one.value if one.WhichOneof("truth") == "value" else math.nan for one in kept], dtype=np.float64)
    texts = [one.label if one.WhichOneof("truth") == "label" else None for one in kept]
    weights = _weights([one.weight for one in kept])
    return Labels(
        model=model,
        rows=len(kept),
        arrived_ns=arrived_ns,
        ids=identities([one.prediction_id for one in kept]),
        request_ids=identities([one.request_id for one in kept]),
        items=identities([one.item for one in kept]),
        values=values,
        labels=_truths(values, texts),
        time_ns=_times([one.time_unix_nano for one in kept]),
        weights=weights,
        outputs=tuple(one.output for one in kept) if any(one.output for one in kept) else (),
        predictions=predictions.batch() if at else None,
        at=np.array(at, dtype=np.int64) if at else None,
    )


def check_label(label: labels_pb2.Label, limits: Limits) -> None:
    """Raises RefusedError for a label that can belong to nothing or says nothing."""
    if not (label.prediction_id or label.request_id or label.HasField("prediction")):
        raise RefusedError(
            wire.REASON_ID_MISSING, "prediction_id", "a label needs a prediction id, a request id or its prediction"
        )
    which = label.WhichOneof("truth")
    if which is None or (which == "value" and not math.isfinite(label.value)):
        raise RefusedError(wire.REASON_LABEL_MISSING, "truth", "neither a finite value nor a label")
    for name in ("prediction_id", "request_id", "item", "label", "output"):
        if len(getattr(label, name).encode()) > limits.text_bytes:
            raise RefusedError(wire.REASON_TEXT_TOO_LONG, name, f"limit {limits.text_bytes}", limits.text_bytes)


def read_columns(
    raw: bytes, model: ModelKey, arrived_ns: int, limits: Limits, refusals: Refusals, verdict: bytes | None
) -> Labels:
    """Labels as columns, without the refused ones. Raises RefusedError where the columns do not fit together."""
    try:
        columns = labels_pb2.LabelColumns.FromString(raw)
    except DecodeError:
        raise RefusedError(wire.REASON_UNDECODABLE, "label_columns", f"not LabelColumns, {len(raw)} bytes") from None
    _check_lengths(columns)
    rows = columns.rows
    ids = _ids(columns.ids, columns.id_numbers, columns.id_prefix, rows)
    requests = _ids(columns.request_ids, columns.request_id_numbers, columns.request_id_prefix, rows)
    values = np.array(columns.values.values, dtype=np.float64) if len(columns.values.values) else np.full(rows, np.nan)
    values[_unset(columns.values, rows) | ~np.isfinite(values)] = np.nan
    texts = _texts(columns.labels, rows, "labels", refusals)
    items = _texts(columns.items, rows, "items", refusals)
    if verdict is None:
        _refuse(columns, (ids == 0) & (requests == 0), ~np.isfinite(values), texts, limits, refusals)
        verdict = bytes(refusals.verdict)
    kept = np.flatnonzero(np.frombuffer(verdict, dtype=np.uint8) == 0) if verdict else np.arange(rows)
    times = np.array(columns.time_unix_nano, dtype=np.uint64)[kept].tolist() if len(columns.time_unix_nano) else ()
    if len(items.dictionary):
        hashes = identities(items.dictionary)[items.codes]
        hashes[items.state == ABSENT] = 0
    else:
        hashes = np.zeros(rows, np.uint64)
    return Labels(
        model=model,
        rows=len(kept),
        arrived_ns=arrived_ns,
        ids=ids[kept],
        request_ids=requests[kept],
        items=hashes[kept],
        values=values[kept],
        labels=_merged(values[kept], Texts(texts.dictionary, texts.codes[kept], _picked(texts, kept))),
        time_ns=_times(times) if len(times) else np.zeros(len(kept), np.int64),
        weights=_weights(np.array(columns.weights, dtype=np.float64)[kept]) if len(columns.weights) else None,
        outputs=(columns.output,) * len(kept) if columns.output else (),
    )


def label_rows(raw: bytes) -> int:
    """How many labels the columns say they hold."""
    try:
        return min(int(labels_pb2.LabelColumns.FromString(raw).rows), 1 << 20)
    except DecodeError:
        return 1


def read(
    request: twin_pb2.Request, model: ModelKey, arrived_ns: int, limits: Limits, refusals: Refusals,
    verdict: bytes | None,
) -> Labels:  # fmt: skip
    """The body's labels, of either form."""
    if request.WhichOneof("body") == "label_columns":
        return read_columns(request.label_columns, model, arrived_ns, limits, refusals, verdict)
    return read_labels(request.labels.items, model, arrived_ns, limits, refusals, verdict)


def shortest(value: float) -> str:
    """A number as the text of its class: "1", "0.5"."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _check_lengths(columns: labels_pb2.LabelColumns) -> None:
    rows = columns.rows
    lengths = {
        "ids": len(columns.ids),
        "id_numbers": len(columns.id_numbers),
        "request_ids": len(columns.request_ids),
        "request_id_numbers": len(columns.request_id_numbers),
        "items": len(columns.items.codes),
        "values": len(columns.values.values),
        "labels": len(columns.labels.codes),
        "time_unix_nano": len(columns.time_unix_nano),
        "weights": len(columns.weights),
    }
    for where, found in lengths.items():
        if found not in (0, rows):
            raise RefusedError(wire.REASON_COLUMN_LENGTH, f"label_columns.{where}", f"{found} entries for {rows}", rows)
    if rows and not any(lengths[w] for w in ("ids", "id_numbers", "request_ids", "request_id_numbers")):
        raise RefusedError(wire.REASON_ID_MISSING, "label_columns.ids", "no ids")
    if rows and not lengths["values"] and not lengths["labels"]:
        raise RefusedError(wire.REASON_LABEL_MISSING, "label_columns", "neither values nor labels")
    for where, column in (("values", columns.values), ("labels", columns.labels), ("items", columns.items)):
        for bitmap in (column.nulls, column.absents):
            if bitmap and len(bitmap) != (rows + 7) // 8:
                raise RefusedError(
                    wire.REASON_COLUMN_LENGTH, f"label_columns.{where}", f"a bitmap of {len(bitmap)} bytes", rows
                )


def _refuse(
    columns: labels_pb2.LabelColumns, nameless: Bools, no_value: Bools, texts: Texts, limits: Limits, refusals: Refusals
) -> None:
    """Single labels that cannot be used."""
    for where in ("ids", "request_ids"):
        given = getattr(columns, where)
        if len(given) and max(map(len, given)) * 4 > limits.text_bytes:
            long = [i for i, one in enumerate(given) if len(one.encode()) > limits.text_bytes]
            error = RefusedError(wire.REASON_TEXT_TOO_LONG, where, f"limit {limits.text_bytes}", limits.text_bytes)
            refusals.add_many(long, error)
    missing = RefusedError(wire.REASON_ID_MISSING, "label_columns.ids", "empty id")
    refusals.add_many(np.flatnonzero(nameless), missing)
    no_text = np.ones(columns.rows, dtype=bool) if not len(texts.dictionary) else texts.state == ABSENT
    silent = RefusedError(wire.REASON_LABEL_MISSING, "label_columns", "neither a finite value nor a label")
    refusals.add_many(np.flatnonzero(no_value & no_text), silent)
    sizes = np.array([len(one.encode()) for one in texts.dictionary], dtype=np.int64)
    if sizes.size and sizes.max() > limits.text_bytes:
        error = RefusedError(wire.REASON_TEXT_TOO_LONG, "label", f"limit {limits.text_bytes}", limits.text_bytes)
        refusals.add_many(np.flatnonzero((sizes[texts.codes] > limits.text_bytes) & ~no_text), error)


def _ids(ids: Sequence[str], numbers: Sequence[int], prefix: str, rows: int) -> Hashes:
    if len(ids):
        return identities(list(ids))
    return numbered(prefix.encode(), np.array(numbers, np.uint64)) if len(numbers) else np.zeros(rows, np.uint64)


def _unset(column: Any, rows: int) -> Bools:
    """Where the column says null or absent."""
    found = np.zeros(rows, dtype=bool)
    for bitmap in (column.nulls, column.absents):
        if bitmap:
            found |= np.unpackbits(np.frombuffer(bitmap, np.uint8), count=rows, bitorder="little").view(bool)
    return found


def _texts(column: Any, rows: int, where: str, refusals: Refusals) -> Texts:
    """A column of texts; without one, or where it has no value, absent."""
    dictionary, codes = list(column.dictionary), np.array(column.codes, dtype=np.int64)
    if not len(codes) or not dictionary:
        return Texts((), np.zeros(rows, np.int32), np.full(rows, ABSENT, np.uint8))
    unset, outside = _unset(column, rows), codes >= len(dictionary)
    size = len(dictionary)
    error = RefusedError(wire.REASON_CODE_OUT_OF_RANGE, where, f"the dictionary has {size} entries", size)
    refusals.add_many(np.flatnonzero(outside & ~unset), error)
    codes[unset | outside] = 0
    return Texts(dictionary, codes.astype(np.int32), unset.astype(np.uint8) * np.uint8(ABSENT))


def _picked(texts: Texts, kept: Ints) -> Any:
    return None if texts.state is None else texts.state[kept]


def _truths(values: Floats, texts: Sequence[str | None]) -> Texts:
    index = {text: code for code, text in enumerate(dict.fromkeys(text for text in texts if text is not None))}
    codes = np.array([0 if text is None else index[text] for text in texts], dtype=np.int32)
    state = np.array([text is None for text in texts], dtype=np.uint8) * np.uint8(ABSENT)
    return _merged(values, Texts(list(index), codes, state))


def _merged(values: Floats, texts: Texts) -> Texts:
    """The texts, and where there are few different numbers, those too."""
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return texts
    numbers, places = np.unique(values[known], return_inverse=True)
    if len(numbers) > CLASSES_MAX:
        return texts
    codes = texts.codes.copy()
    state = np.zeros(len(values), np.uint8) if texts.state is None else texts.state.copy()
    codes[known], state[known] = places + len(texts.dictionary), 0
    return Texts([*texts.dictionary, *map(shortest, numbers.tolist())], codes, state)


def _weights(given: Sequence[float] | Floats) -> Floats | None:
    """None where all are 1; a weight that is none (0, less, not finite, beyond what is kept of it) is 1."""
    found = np.array(given, dtype=np.float64)
    found[~((found > 0) & (found <= WEIGHT_MAX))] = 1.0
    return None if (found == 1.0).all() else found


def _times(times: Sequence[int]) -> Ints:
    return np.array([one if 0 < one <= TIME_MAX_NS else 0 for one in times], dtype=np.int64)
