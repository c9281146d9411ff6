"""Sealed bytes: a kind, a checksum, a payload. Nothing is parsed that was not checked first.

One flipped bit in a DataSketches blob ends the process about one time in six and is believed most other times
(measured with datasketches 5.2.0). The checksum guards against damage, not against somebody who forges a blob.
"""

from __future__ import annotations

from enum import IntEnum

import xxhash

from agent.errors import CorruptError

HEAD = 9  # bytes: kind, then xxh3-64 of kind and payload, little endian


class BlobKind(IntEnum):
    """What a sealed blob holds. Numbers are on disk: never reused."""

    QUANTILES = 1
    LEARNER = 2
    DISTINCT = 3


def seal(kind: BlobKind, payload: bytes) -> bytes:
    """`payload` with its kind and checksum before it; 9 bytes longer."""
    return bytes([kind]) + _checksum(kind, payload) + payload


def unseal(kind: BlobKind, blob: bytes) -> bytes:
    """The payload of a blob sealed as `kind`. Raises CorruptError for every other sequence of bytes."""
    if len(blob) < HEAD:
        raise CorruptError(f"{kind.name.lower()} blob: {len(blob)} bytes, expected at least {HEAD}")
    payload = bytes(blob[HEAD:])
    if blob[0] != kind:
        raise CorruptError(f"{kind.name.lower()} blob: kind {blob[0]}, expected {int(kind)}")
    if bytes(blob[1:HEAD]) != _checksum(kind, payload):
        raise CorruptError(f"{kind.name.lower()} blob: the checksum does not match")
    return payload


def _checksum(kind: BlobKind, payload: bytes) -> bytes:
    state = xxhash.xxh3_64(bytes([kind]))
    state.update(payload)
    return state.intdigest().to_bytes(8, "little")
