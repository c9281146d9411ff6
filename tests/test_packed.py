"""Arrays as bytes: they come back as they were, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from agent.errors import CorruptError
from agent.packed import PIECE_BYTES, join, pack, packing, split, unpack


def _some() -> bytes:
    return pack(
        {"a": [1, "b"]},
        {"x": np.arange(6.0).reshape(2, 3), "none": np.zeros((0, 4)), "small": np.array([7], dtype=np.int32)},
    )


def test_arrays_come_back_as_they_were() -> None:
    """Names, types and shapes, empty ones too; the same in gives the same out."""
    head, arrays = unpack(_some(), "it")
    assert head == {"a": [1, "b"]}
    assert {name: (a.shape, str(a.dtype)) for name, a in arrays.items()} == {
        "x": ((2, 3), "float64"), "none": ((0, 4), "float64"), "small": ((1,), "int32")
    }  # fmt: skip
    assert arrays["x"].flags.writeable
    assert pack(head, arrays) == _some()


def test_no_byte_can_change_what_is_read() -> None:
    """Cut anywhere, or with more behind it: CorruptError, naming what it is. Turned anywhere: that, or no matter."""
    stored = _some()
    for k in range(len(stored)):
        for broken in (stored[:k], stored + b"0"):
            with pytest.raises(CorruptError, match=r"^it: "):
                unpack(broken, "it")
        for bit in range(8):
            turned = bytearray(stored)
            turned[k] ^= 1 << bit
            try:
                head, arrays = unpack(bytes(turned), "it")
            except CorruptError:
                continue
            assert pack(head, arrays) == stored


def test_much_is_pressed_piece_by_piece() -> None:
    """In as many steps as it has pieces, and it comes back as it was, pressed or as it is."""
    numbers = np.random.default_rng(1).integers(0, 9, 50_000).astype(np.float64)
    assert len(list(packing({}, {"x": numbers}))) == numbers.nbytes // PIECE_BYTES + 1
    for level in (0, 1, 6):
        assert np.array_equal(unpack(pack({}, {"x": numbers}, level), "it")[1]["x"], numbers)


def test_parts_are_joined_and_split() -> None:
    """Empty ones too; what is cut within a part or a length is refused."""
    parts = [b"one", b"", b"three"]
    assert split(join(parts), "it") == parts
    assert split(b"", "it") == []
    for cut in (1, 3, 5, 6, 9, 13, 18):
        with pytest.raises(CorruptError, match="it: cut short"):
            split(join(parts)[:cut], "it")
