"""Batches put together: the same rows, whatever columns each part had."""

from __future__ import annotations

import numpy as np

from agent.bins import Layout
from agent.records import ABSENT, NULL, PRESENT, Batch, Bytes, Columns, Flags, ModelKey, Numbers, Texts, Vectors, select
from agent.reference.joined import joined
from agent.reference.sample import RowsToFit
from agent.reference.survey import PIECES_MAX, RowSample
from agent.reference.traffic import features_of

MODEL = ModelKey("m", "1")


def _state(random: np.random.Generator, rows: int) -> Bytes | None:
    if random.random() < 0.5:
        return None
    return random.choice([PRESENT, NULL, ABSENT], rows).astype(np.uint8)


def _part(random: np.random.Generator, rows: int, size: int = 3) -> Batch:
    """Each column is there half of the time, with or without states."""
    texts = tuple(random.permutation(["a", "b", "ü", ""])[: random.integers(1, 5)].tolist())
    columns = {
        "numbers": {"x": Numbers(random.normal(size=rows), _state(random, rows))},
        "texts": {"c": Texts(texts, random.integers(0, len(texts), rows).astype(np.int32), _state(random, rows))},
        "flags": {"f": Flags(random.random(rows) < 0.5, _state(random, rows))},
        "vectors": {"v": Vectors(random.normal(size=(rows, size)).astype(np.float32), _state(random, rows))},
    }
    features = Columns(**{kind: found if random.random() < 0.5 else {} for kind, found in columns.items()})  # type: ignore[arg-type]
    score = {"score": Numbers(random.random(rows))} if random.random() < 0.5 else {}
    region = {"region": Texts(texts, np.zeros(rows, np.int32))} if random.random() < 0.5 else {}
    return Batch(MODEL, rows, 0, features, Columns(score), segments=region)


def test_joined_batches_count_as_they_did_apart() -> None:
    """Columns that come and go, nulls, texts under other codes, types that change: every row keeps its cells."""
    random = np.random.default_rng(3)
    parts = [_part(random, int(random.integers(0, 5))) for _ in range(200)]
    layout = Layout(features_of(parts))
    (whole,) = joined(parts)
    assert whole.rows == sum(part.rows for part in parts)
    apart = np.concatenate([layout.place(part).cells for part in parts], axis=1)
    assert (layout.place(whole).cells == apart).all()
    regions = [part.segments["region"].dictionary[0] for part in parts for _ in range(part.rows) if part.segments]
    column = whole.segments["region"]
    assert column.state is not None
    assert [column.dictionary[code] for code in column.codes[column.state == PRESENT].tolist()] == regions


def test_vectors_of_two_sizes_are_two_batches() -> None:
    """One name has one size in a batch; an empty column has none."""
    sizes = (2, 2, 0, 3, 0, 2)
    parts = [
        Batch(MODEL, 1, 0, Columns(vectors={"v": Vectors(np.full((1, size), size, np.float32))}), Columns())
        for size in sizes
    ]
    found = [part.features.vectors["v"].values.tolist() for part in joined(parts)]
    assert found == [[[2, 2], [2, 2], [0, 0]], [[3, 3, 3], [0, 0, 0]], [[2, 2]]]


def test_samples_of_long_data_stay_in_few_parts() -> None:
    """However many batches the data come in; and they hold the same rows as without joining."""
    fit, sample, rows = RowsToFit(), RowSample([]), 8
    for first in range(0, 3 * PIECES_MAX * rows, rows):
        values = np.arange(first, first + rows, dtype=np.float64)
        fit.add(first, Batch(MODEL, rows, 0, Columns({"x": Numbers(values)}), Columns()))
        sample.add(first, rows, {})
        assert len(fit.batches) <= PIECES_MAX
        assert len(sample._hashes) <= PIECES_MAX
    whole = np.arange(3 * PIECES_MAX * rows, dtype=np.float64)
    held = np.concatenate([batch.features.numbers["x"].values for batch in fit.batches])
    assert held.tolist() == whole[fit.holds(0, len(whole))].tolist()
    again = RowsToFit()
    again.add(0, Batch(MODEL, len(whole), 0, Columns({"x": Numbers(whole)}), Columns()))
    assert select(again.batches[0], np.arange(len(held))).features.numbers["x"].values.tolist() == held.tolist()
