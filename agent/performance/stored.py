"""Counts as bytes: a line of JSON, arrays as packed little endian numbers, and further bytes as they are."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.errors import CorruptError
from agent.performance.form import Form
from agent.performance.outcomes import Outcomes
from agent.records import Floats, Task

FORMAT = 1
BYTES_MAX = 256 << 20  # unpacked; nothing written here comes near
DTYPES = {"<f8": np.float64, "<i4": np.int32, "<i8": np.int64}


def pack(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray], blobs: Sequence[bytes] = ()) -> bytes:
    """The same input gives the same bytes."""
    named = {name: np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    shapes = [[name, a.dtype.str, list(a.shape)] for name, a in named.items()]
    body = zlib.compress(b"".join(a.tobytes() for a in named.values()), 1)
    sizes = [len(body), *map(len, blobs)]
    line = json.dumps({"format": FORMAT, "head": head, "arrays": shapes, "sizes": sizes}, sort_keys=True)
    return b"".join((line.encode(), b"\n", body, *blobs))


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray], list[bytes]]:
    """What `pack` was given. Raises CorruptError."""
    line, _, rest = data.partition(b"\n")
    try:
        held = json.loads(line)
        if held["format"] != FORMAT:
            raise CorruptError(f"performance: format {held['format']}, expected {FORMAT}")
        sizes = [int(size) for size in held["sizes"]]
        if min(sizes) < 0 or sum(sizes) != len(rest):
            raise CorruptError("performance: cut short")
        ends = np.cumsum(sizes).tolist()
        parts = [rest[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        body = zlib.decompressobj().decompress(parts[0], BYTES_MAX)
        arrays, at = {}, 0
        for name, dtype, shape in held["arrays"]:
            count = math.prod(int(n) for n in shape)
            arrays[str(name)] = np.frombuffer(body, dtype, count, at).astype(DTYPES[dtype]).reshape(shape)
            at += count * np.dtype(dtype).itemsize
        return dict(held["head"]), arrays, parts[1:]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, zlib.error) as error:
        raise CorruptError(f"performance: {type(error).__name__}") from error


def sparse(name: str, values: Floats) -> dict[str, np.ndarray]:
    """What is not 0 of an array of any shape, and where."""
    flat = values.ravel()
    at = np.flatnonzero(flat).astype(np.int32)
    return {f"{name}_at": at, name: flat[at]}


def dense(name: str, arrays: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> Floats:
    """The array that `sparse` took apart. Raises CorruptError."""
    found = np.zeros(math.prod(shape))
    try:
        at, values = arrays[f"{name}_at"], arrays[name]
    except KeyError as error:
        raise CorruptError(f"performance: {error} is missing") from None
    if at.shape != values.shape or (at.size and not 0 <= at.min() <= at.max() < found.size):
        raise CorruptError(f"performance: {name} does not fit its form")
    if not np.isfinite(values).all():
        raise CorruptError(f"performance: {name} holds what nobody counted")
    found[at] = values
    return found.reshape(shape)


def outcomes_arrays(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """Sums, and the reach of the bins that have one."""
    used = np.flatnonzero(np.isfinite(outcomes.reach[0])).astype(np.int32)
    return {**sparse("sums", outcomes.sums), "used": used, "reach": outcomes.reach[:, used]}


def outcomes_of(form: Form, arrays: Mapping[str, np.ndarray]) -> Outcomes:
    """Raises CorruptError."""
    found = Outcomes.empty(form)
    found.sums = dense("sums", arrays, (form.size,))
    used, reach = arrays.get("used"), arrays.get("reach")
    fits = used is not None and reach is not None and reach.shape == (2, used.size)
    if not fits or used is None or (used.size and not 0 <= used.min() <= used.max() < found.reach.shape[1]):
        raise CorruptError("performance: reach of bins that do not exist")
    found.reach[:, used] = reach
    return found


def form_head(form: Form) -> dict[str, Any]:
    """For JSON, which knows no NaN."""
    threshold = None if math.isnan(form.threshold) else form.threshold
    return {"task": int(form.task), "positive": form.positive, "threshold": threshold, "pivot": form.pivot}


def form_of(head: Mapping[str, Any]) -> Form:
    """Raises CorruptError."""
    try:
        threshold = head["threshold"]
        return Form(
            Task(head["task"]), str(head["positive"]), math.nan if threshold is None else float(threshold),
            float(head["pivot"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"performance: form: {type(error).__name__}") from error
