"""The state as bytes: a line of JSON that says what it is, then arrays of float64, one after another."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.concept.bets import width_of
from agent.concept.gathered import Gathered
from agent.concept.losses import Kind, Scale
from agent.concept.tracks import BLOCKS_MAX, SERIES, Tracks
from agent.errors import CorruptError
from agent.records import Floats

FORMAT = 2  # 1 counted no scores
LARGEST = 1e30  # beyond all times in nanoseconds and counts; its square is still a number


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
    if not (np.abs(values) <= LARGEST).all():
        raise CorruptError("concept: a number that is none")
    for shape in head["shapes"]:
        if any(side < 0 for side in shape):
            raise CorruptError("concept: a shape that is none")
        size = int(np.prod(shape, dtype=object))
        arrays.append(values[at : at + size].reshape(shape).astype(np.float64))
        at += size
    if at != len(values):
        raise CorruptError(f"concept: {len(values)} numbers, expected {at}")
    return head, arrays


def pack_tracks(tracks: Tracks) -> tuple[dict[str, Any], list[Floats]]:
    """Of the series there are; the reference's blocks are not among it."""
    used = len(tracks.followed.names)
    learned = (tracks.learned, tracks.known.astype(np.float64), tracks.few, tracks.bins)
    own = (*learned, tracks.alarmed, *tracks.detector.arrays())
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
    raw, learned, known, few, bins, alarmed, *detector = arrays
    if ((known < 0) | (known > BLOCKS_MAX)).any() or (found.scale is not None and not 0.0 < found.scale.cap < math.inf):
        raise ValueError("blocks or a scale that nobody learned")
    if any((array < 0.0).any() for array in (learned, few, bins)):
        raise ValueError("fewer labels than none")
    found.raw = raw.reshape(-1, width_of(kind))
    wholes = (found.learned, found.few, found.bins, found.alarmed, found.known)
    for whole, part in zip(wholes, (learned, few, bins, alarmed, known.astype(np.int64)), strict=True):
        _fill(whole, part, len(names))
    full = [array.copy() for array in found.detector.arrays()]
    for whole, part in zip(full, detector, strict=True):
        _fill(whole, part, len(names))
    found.detector.take(tuple(full))
    return found


def _fill(whole: npt.NDArray[Any], part: npt.NDArray[Any], series: int) -> None:
    if part.shape != whole[:series].shape:
        raise ValueError("an array of another shape")
    whole[:series] = part


def pack_open(windows: dict[int, Gathered]) -> tuple[list[list[int]], list[Floats]]:
    head = [[index, g.first_ns, g.last_ns, g.missing] for index, g in windows.items()]
    return head, [array for g in windows.values() for array in (g.weights, g.squares)]


def unpack_open(head: Sequence[Sequence[int]], arrays: Sequence[Floats], cells: int) -> dict[int, Gathered]:
    """Raises ValueError or TypeError for what `pack_open` did not write."""
    found = {}
    for k, (index, first_ns, last_ns, missing) in enumerate(head):
        weights, squares = arrays[2 * k : 2 * k + 2]
        if weights.shape != (len(squares), cells) or (weights < 0.0).any():
            raise ValueError("counts of an open window")
        found[int(index)] = Gathered(weights, squares, int(first_ns), int(last_ns), int(missing))
    return found
