"""The state as bytes: a line of JSON that says what it is, then arrays of float64, one after another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.concept.gathered import Gathered
from agent.concept.losses import Kind, Scale, cells_of
from agent.concept.tracks import SERIES, Tracks
from agent.errors import CorruptError
from agent.records import Floats

FORMAT = 1


def pack(head: dict[str, Any], arrays: Sequence[Floats]) -> bytes:
    shapes = [list(array.shape) for array in arrays]
    line = json.dumps({**head, "format": FORMAT, "shapes": shapes}, allow_nan=False)
    return line.encode() + b"\n" + b"".join(np.ascontiguousarray(array, "<f8").tobytes() for array in arrays)


def unpack(stored: bytes) -> tuple[dict[str, Any], list[Floats]]:
    """What `pack` was given. Raises CorruptError, or ValueError, KeyError, TypeError for what it did not write."""
    line, _, body = stored.partition(b"\n")
    head: dict[str, Any] = json.loads(line)
    if head["format"] != FORMAT:
        raise CorruptError(f"concept: format {head['format']}, expected {FORMAT}")
    values, arrays, at = np.frombuffer(body, "<f8"), [], 0
    for shape in head["shapes"]:
        size = int(np.prod(shape, dtype=np.int64))
        arrays.append(values[at : at + size].reshape(shape).astype(np.float64))
        at += size
    if at != len(values):
        raise CorruptError(f"concept: {len(values)} numbers, expected {at}")
    return head, arrays


def pack_tracks(tracks: Tracks) -> tuple[dict[str, Any], list[Floats]]:
    """Of the series there are; the reference's blocks are not among it."""
    used = len(tracks.followed.names)
    own = (tracks.learned, tracks.known.astype(np.float64), tracks.few, tracks.alarmed, *tracks.detector.arrays())
    head = {"kind": tracks.kind, "cap": tracks.scale.cap if tracks.scale else None, "names": tracks.followed.names}
    return head, [tracks.raw, *(array[:used] for array in own)]


def unpack_tracks(head: dict[str, Any], arrays: Sequence[Floats]) -> Tracks:
    """Raises ValueError, KeyError or TypeError for what `pack_tracks` did not write."""
    kind = Kind(head["kind"])
    found = Tracks(kind, None, None if head["cap"] is None else Scale(kind, float(head["cap"])))
    names = [str(name) for name in head["names"]]
    if names[:1] != [""] or len(names) > SERIES:
        raise ValueError("names of series")
    found.followed.names = names
    raw, learned, known, few, alarmed, *detector = arrays
    found.raw = raw.reshape(-1, cells_of(kind))
    for whole, part in zip((found.learned, found.few, found.alarmed), (learned, few, alarmed), strict=True):
        whole[: len(names)] = part
    found.known[: len(names)] = known.astype(np.int64)
    full = [array.copy() for array in found.detector.arrays()]
    for whole, part in zip(full, detector, strict=True):
        whole[: len(names)] = part
    found.detector.take(tuple(full))
    return found


def pack_open(windows: dict[int, Gathered]) -> tuple[list[list[int]], list[Floats]]:
    head = [[index, g.first_ns, g.last_ns, g.missing] for index, g in windows.items()]
    return head, [array for g in windows.values() for array in (g.weights, g.squares)]


def unpack_open(head: Sequence[Sequence[int]], arrays: Sequence[Floats], cells: int) -> dict[int, Gathered]:
    """Raises ValueError or TypeError for what `pack_open` did not write."""
    found = {}
    for k, (index, first_ns, last_ns, missing) in enumerate(head):
        weights, squares = arrays[2 * k : 2 * k + 2]
        if weights.shape != (len(squares), cells):
            raise ValueError("counts of an open window")
        found[int(index)] = Gathered(weights, squares, int(first_ns), int(last_ns), int(missing))
    return found
