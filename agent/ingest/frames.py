"""One frame of the journal on disk.

    magic u32 | head length u32 | payload length u32 | xxh3-64 of head and payload | head (state.FrameHead) | payload

END stands behind the newest frame of a file: files are written over, and what lies behind it is from before.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import xxhash
from google.protobuf.message import DecodeError

from agent.wire import state_pb2 as state

MAGIC = 0x5349444C
END = struct.pack("<I", 0x53444E45)
PREFIX = struct.Struct("<IIIQ")
FRAME_BYTES_MAX = 80 << 20
Frame = tuple[state.FrameHead, bytes]


def sealed(head: state.FrameHead, payload: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """What is written, one after the other: prefix, head, payload, END."""
    packed = head.SerializeToString()
    digest = xxhash.xxh3_64(packed)
    digest.update(payload)
    return PREFIX.pack(MAGIC, len(packed), len(payload), digest.intdigest()), packed, payload, END


def read(file: BinaryIO, room: int) -> Frame | None:
    """The frame at the file's position, or None where the next `room` bytes do not begin with a whole one."""
    prefix = file.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    magic, head_size, payload_size, digest = PREFIX.unpack(prefix)
    if magic != MAGIC or head_size + payload_size > min(FRAME_BYTES_MAX, room):
        return None
    packed, payload = file.read(head_size), file.read(payload_size)
    found = xxhash.xxh3_64(packed)
    found.update(payload)
    if len(packed) != head_size or len(payload) != payload_size or found.intdigest() != digest:
        return None
    try:
        head = state.FrameHead.FromString(packed)
    except DecodeError:
        return None
    return (head, payload) if head.ByteSize() == head_size else None


def size_of(frame: Frame) -> int:
    """Bytes on disk, without END."""
    return PREFIX.size + frame[0].ByteSize() + len(frame[1])
