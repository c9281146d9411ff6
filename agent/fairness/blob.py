"""Names and arrays to bytes and back: of a follower's state, and of the reference's section."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.errors import CorruptError
from agent.records import Floats

LIMIT_BYTES = 64 << 20  # unpacked; more was not written by us


def pack(head: Any, arrays: Sequence[Floats]) -> bytes:
    """head: plain JSON. The same in gives the same out."""
    shapes = [list(array.shape) for array in arrays]
    text = json.dumps({"head": head, "shapes": shapes}, sort_keys=True).encode()
    body = b"".join(np.ascontiguousarray(array, dtype="<f8").tobytes() for array in arrays)
    return zlib.compress(len(text).to_bytes(4, "little") + text + body, 1)


def unpack(stored: bytes) -> tuple[Any, list[Floats]]:
    """Raises CorruptError for bytes that `pack` did not write."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(stored, LIMIT_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError("cut short, or too long")
        size = 4 + int.from_bytes(data[:4], "little")
        said = json.loads(data[4:size])
        arrays, at = [], size
        for shape in said["shapes"]:
            count = int(np.prod(shape, dtype=np.int64))
            if count < 0 or at + 8 * count > len(data):
                raise ValueError("an array is cut short")
            arrays.append(np.frombuffer(data, "<f8", count, at).astype(np.float64).reshape(shape))
            at += 8 * count
        if at != len(data) or not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("arrays and bytes do not fit")
    except (ValueError, KeyError, TypeError, zlib.error, RecursionError) as error:
        raise CorruptError(f"fairness: {error}") from error
    return said["head"], arrays
