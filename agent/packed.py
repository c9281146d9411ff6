"""Names and arrays to bytes and back: of a follower's state, and of a reference's section."""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.errors import CorruptError
from agent.steps import finished

LIMIT_BYTES = 64 << 20  # unpacked; more was not written by us
TYPES = ("<f8", "<f4", "<i4")
BROKEN = (ValueError, KeyError, TypeError, AttributeError, zlib.error, RecursionError)
SIZE_BYTES = 4  # of what stands before a part: its length
PIECE_BYTES = 32_768  # pressed in one step: half a millisecond at level 1
Arrays = Mapping[str, npt.NDArray[Any]]


def pack(head: Mapping[str, Any], arrays: Arrays, level: int = 1) -> bytes:
    """head: plain JSON. arrays: of float64, float32 and int32. level: of compression, 0 none, 1 fast to 9 small.

    The same in gives the same out; what is turned or cut afterwards is seen.
    """
    return finished(packing(head, arrays, level))


def packing(head: Mapping[str, Any], arrays: Arrays, level: int = 1) -> Generator[None, None, bytes]:
    """The same in steps of PIECE_BYTES."""
    shapes = {name: [array.dtype.newbyteorder("<").str, *array.shape] for name, array in arrays.items()}
    text = json.dumps({"head": head, "arrays": shapes}).encode()
    body = b"".join(np.ascontiguousarray(a, a.dtype.newbyteorder("<")).tobytes() for a in arrays.values())
    data = memoryview(len(text).to_bytes(4, "little") + text + body)
    press, parts = zlib.compressobj(level), []
    for begin in range(0, len(data), PIECE_BYTES):
        parts.append(press.compress(data[begin : begin + PIECE_BYTES]))
        yield
    return b"".join((*parts, press.flush()))


def unpack(stored: bytes, what: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Raises CorruptError, naming `what`, for bytes that `pack` did not write."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(stored, LIMIT_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise ValueError("cut short, or too long")
        at = 4 + int.from_bytes(data[:4], "little")
        said = json.loads(data[4:at])
        found = {}
        for name, (kind, *shape) in said["arrays"].items():
            if kind not in TYPES or any(size < 0 for size in shape):
                raise ValueError(f"{name}: no such array")
            count = int(np.prod(shape, dtype=object)) if shape else 1
            array = np.frombuffer(data, kind, count, at).reshape(shape)
            found[name] = array.astype(array.dtype.newbyteorder("="))
            at += array.nbytes
        if at != len(data):
            raise ValueError("arrays and bytes do not fit")
        head = said["head"]
        if not isinstance(head, dict):
            raise ValueError("no head")
    except BROKEN as error:
        raise CorruptError(f"{what}: {error}") from error
    return head, found


def join(parts: Sequence[bytes]) -> bytes:
    """Several packed ones as one: each can be packed when it changes, and not again."""
    return b"".join(len(part).to_bytes(SIZE_BYTES, "little") + part for part in parts)


def split(stored: bytes, what: str) -> list[bytes]:
    """The parts that `join` was given. Raises CorruptError, naming `what`."""
    parts, at = [], 0
    while at < len(stored):
        begin = at + SIZE_BYTES
        at = begin + int.from_bytes(stored[at:begin], "little")
        if at > len(stored) or begin > len(stored):
            raise CorruptError(f"{what}: cut short")
        parts.append(stored[begin:at])
    return parts
