"""Batches and their parts."""

from __future__ import annotations

import numpy as np
import pytest

from agent.records import ABSENT, PRESENT, Batch, Columns, Flags, ModelKey, Numbers, Texts, Vectors, select


def _columns() -> Columns:
    state = np.array([PRESENT, ABSENT, PRESENT], dtype=np.uint8)
    return Columns(
        {"n": Numbers(np.array([1.0, 2.0, 3.0]))},
        {"t": Texts(("a", "b"), np.array([0, 1, 1], dtype=np.int32))},
        {"f": Flags(np.array([True, False, False]), state)},
        {"v": Vectors(np.arange(6, dtype=np.float32).reshape(3, 2))},
    )


@pytest.mark.parametrize("part", ["features", "outputs"])
def test_selected_rows_keep_every_kind_of_column(part: str) -> None:
    """A model may answer with a number, a text, a flag or a vector: what is cut by time or by verdict keeps them."""
    found = getattr(select(Batch(ModelKey("m"), 3, 1, _columns(), _columns()), np.array([0, 2])), part)
    assert found.numbers["n"].values.tolist() == [1.0, 3.0]
    assert found.texts["t"].codes.tolist() == [0, 1]
    assert found.flags["f"].values.tolist() == [True, False]
    assert found.flags["f"].state.tolist() == [PRESENT, PRESENT]
    assert found.vectors["v"].values.tolist() == [[0.0, 1.0], [4.0, 5.0]]
