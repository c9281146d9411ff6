"""Which directions are watched: as exact linear algebra finds them, without chance, stored and learned alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.bins import Layout, text_hash
from agent.bins.projections import RowProjection
from agent.errors import CorruptError
from agent.records import NULL, Batch, Columns, Kind, ModelKey, Numbers, Source, Texts, Vectors, select
from agent.reference import file, learn_state
from agent.reference.build import build
from agent.reference.directions import fit_vector, part_edges, with_projections
from agent.reference.edges import QUANTILES
from agent.reference.learn import Learner, blank
from agent.reference.plan import Request
from agent.reference.sample import RowsToFit
from agent.reference.traffic import features_of
from agent.wire import reference_pb2 as pb

KEY = ModelKey("m", "1")
SIZE = 6


def _batch(rows: int, seed: int = 0, size: int = SIZE) -> Batch:
    """A vector, two numbers that go together, one exact copy, a text that goes with them, and one constant."""
    random = np.random.default_rng(seed)
    a = random.normal(size=rows)
    numbers = {"a": a, "b": a + 0.5 * random.normal(size=rows), "copy": 2.0 * a, "same": np.full(rows, 3.0)}
    texts = {"t": Texts(("low", "high", "seldom"), (a > 0).astype(np.int32) + (random.random(rows) < 0.001))}
    vectors = random.normal(size=(rows, size)) / np.arange(1, size + 1) + 1.0
    columns = Columns(
        numbers={name: Numbers(values) for name, values in numbers.items()}, texts=texts,
        vectors={"e": Vectors(vectors.astype(np.float32))},
    )  # fmt: skip
    return Batch(KEY, rows, 0, columns, Columns())


def _fitted(*batches: Batch) -> Layout:
    return with_projections(Layout(features_of(batches), 60.0), batches)


def test_leading_directions_are_those_of_the_whole_decomposition() -> None:
    """Of 300 dimensions, where the iteration holds 42 columns; and whitening makes the deviations 1."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(300, 300)))[0]
    values = ((random.normal(size=(3000, 300)) / np.arange(1, 301)) @ turn + 5.0).astype(np.float32)
    projection = fit_vector("e", values)
    variance, expected = np.linalg.eigh(np.cov(values.T.astype(np.float64), bias=True))
    alike = np.abs(np.sum(expected[:, :-9:-1] * projection.basis[:, :8], axis=0))
    assert alike == pytest.approx(1.0, abs=1e-4)
    assert projection.scale[:8] == pytest.approx(np.sqrt(variance[:-9:-1]), rel=1e-3)
    assert projection.basis.T @ projection.basis == pytest.approx(np.eye(36), abs=1e-5)


def test_the_same_rows_give_the_same_layout_whatever_the_batches() -> None:
    """Which rows are fitted is decided by their number alone: at most half, and the ones that are held are known."""
    whole, fits = _batch(4000), []
    for size in (4000, 701):
        fit = RowsToFit()
        for first in range(0, 4000, size):
            fit.add(first, select(whole, np.arange(first, min(first + size, 4000))))
        fits.append(fit)
    one, two = (_fitted(*fit.batches) for fit in fits)
    assert one.hash == two.hash
    held = fits[0].holds(0, 4000)
    assert 1800 < held.sum() < 2200
    assert held.sum() == sum(batch.rows for batch in fits[1].batches)


def test_rows_to_fit_are_bounded_by_what_they_hold() -> None:
    """Long vectors: fewer rows; dictionaries hold only the texts that are used."""
    fit = RowsToFit()
    values = Vectors(np.zeros((1000, 4096), np.float32))
    texts = Texts(tuple(f"id{i}" for i in range(1000)), np.arange(1000, dtype=np.int32))
    for first in range(0, 6000, 1000):
        fit.add(first, Batch(KEY, 1000, 0, Columns(vectors={"e": values}, texts={"t": texts}), Columns()))
    rows = sum(batch.rows for batch in fit.batches)
    assert 600 < rows <= 8_000_000 // 4096
    assert all(len(batch.features.texts["t"].dictionary) == batch.rows for batch in fit.batches)


def test_what_a_row_is_made_of() -> None:
    """Numbers, and a text's frequent category once; the constant says nothing. A copy is an exact relation: its
    direction has one bin, and whatever breaks it lies outside."""
    layout = _fitted(_batch(4000))
    row = layout.projections[-1]
    assert isinstance(row, RowProjection)
    assert sorted(row.names) == ["a", "b", "copy", "t"]
    assert set(row.heaviest(len(row.shown) - 1, 1 / 3)) == {"a", "copy"}
    at = layout.index[Source.ROW, row.parts[len(row.shown) - 1]]
    assert len(layout.features[at].edges) == 2
    broken = _batch(500, seed=9)
    broken.features.numbers["copy"].values[:] = broken.features.numbers["copy"].values[::-1].copy()
    counts = layout.place(broken).count(layout.cells)[layout.slice(at)]
    assert counts[1] < 100


def test_never_seen_counts_as_other_in_a_row() -> None:
    """Which of the rare texts a reference held was chance: a rare one it missed moves no direction."""
    batch = _batch(4000)
    codes = batch.features.texts["t"].codes.copy()
    codes[::2] = 2  # every second one has a text without a bin
    texts = Texts(("low", "high", "rare"), codes)
    sample = replace(batch, features=replace(batch.features, texts={"t": texts}))
    layout = Layout(tuple(
        replace(f, categories=("low", "high"), seen=frozenset({text_hash("rare")})) if f.name == "t" else f
        for f in features_of([sample])
    ))  # fmt: skip
    row = with_projections(layout, [sample]).projections[-1]
    assert isinstance(row, RowProjection)
    assert "t" in row.names
    other, never = (
        replace(sample, features=replace(sample.features, texts={"t": Texts(("low", "high", rare), codes)}))
        for rare in ("rare", "unheard of")
    )
    seen, unheard = (layout.place(batch).cells - layout.starts[:-1, None] for batch in (other, never))
    at = layout.index[Source.FEATURE, "t"]
    assert (seen[at][::2] == 2).all()
    assert (unheard[at][::2] == 3).all()
    assert row.values(seen[row.inputs]).tolist() == row.values(unheard[row.inputs]).tolist()


@pytest.mark.parametrize(("rows", "size"), [(398, 3), (400, 1), (3000, 1), (500, 700)])
def test_odd_shapes_are_no_fault(rows: int, size: int) -> None:
    """One entry, more entries than rows, fewer rows than are needed: parts or none, never a crash."""
    layout = _fitted(*(select(_batch(rows, size=size), np.arange(0, rows, 2)),))
    parts = [f for f in layout.features if f.group == "e" and f.computed]
    assert bool(parts) == (rows >= 400)
    counts = layout.place(_batch(50, 3, size)).count(layout.cells)
    assert counts[layout.slice(layout.index[Source.FEATURE, "e"])][0] == 50


def test_vectors_that_never_vary_or_are_never_there() -> None:
    """One value only, or only nulls: counted, and nothing else."""
    same = Vectors(np.ones((500, 4), np.float32))
    gone = Vectors(np.zeros((500, 4), np.float32), np.full(500, NULL, np.uint8))
    batch = Batch(KEY, 500, 0, Columns(vectors={"same": same, "gone": gone}), Columns())
    layout = _fitted(batch)
    counts = layout.place(batch).count(layout.cells)
    for feature in layout.features:
        own = counts[layout.slice(layout.index[Source.FEATURE, feature.name])]
        assert own[: feature.bins].max() == (0 if feature.name == "gone" else 500), feature.name


def test_edges_lie_between_values() -> None:
    """Halfway between neighbours that differ by more than the tolerance; values within it share a bin."""
    values = np.repeat(np.array([1.0, 2.0, 4.0]), 100).astype(np.float32)
    values[:50] += 1e-6
    assert part_edges(values, 1e-3) == pytest.approx((0.999, 1.5, 3.0, 4.001), abs=1e-5)
    even = part_edges(np.linspace(0.0, 1.0, 10_001).astype(np.float32), 1e-6)
    assert np.diff(even) == pytest.approx(np.diff([0.0, *QUANTILES, 1.0]), abs=1e-3)


def _reference_file(tmp_path: Path, rows: int = 3000) -> Path:
    random = np.random.default_rng(1)
    values = random.normal(size=(rows, SIZE)).astype(np.float32)
    vectors = [v.tolist() if i % 10 else None for i, v in enumerate(values)]
    x = random.normal(size=rows)
    table = pa.table({"x": x, "y": x + random.normal(size=rows), "e": pa.array(vectors, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "d.parquet")
    return tmp_path / "d.parquet"


def test_a_built_reference_counts_the_rows_that_were_not_fitted(tmp_path: Path) -> None:
    """Every row's values; along directions only the others, about half of few rows. The file gives it all back."""
    request = Request(data=(str(_reference_file(tmp_path)),), model="m", version="1", vectors=("e",))
    reference = build(request).reference
    layout = reference.layout
    assert layout.sent == 3
    for i, feature in enumerate(layout.features):
        counted = reference.pooled[layout.slice(i)][: feature.bins].sum()
        many = 2700 if feature.kind is Kind.VECTOR else 3000
        share = 0.5 * (0.9 if feature.group == "e" else 1.0) if feature.computed else many / 3000
        assert counted == pytest.approx(3000 * share, rel=0.08 if feature.computed else 0), feature.name
    again = file.decode(file.encode(reference))
    assert (again.layout == layout, again.hash == reference.hash) == (True, True)
    assert build(request).reference.hash == reference.hash


@pytest.mark.parametrize("damage", ["a part's name", "a missing part", "no scale", "not finite", "short", "an input"])
def test_projections_that_do_not_fit_are_refused(tmp_path: Path, damage: str) -> None:
    """Whatever the checksum says: no layout that would crash while it counts."""
    request = Request(data=(str(_reference_file(tmp_path)),), model="m", version="1", vectors=("e",))
    message = file.layout_message(build(request).reference)
    vector, row = message.projections[0].vector, message.projections[1].row
    if damage == "a part's name":
        message.features[-1].name = "row[something]"
    elif damage == "a missing part":
        del message.features[-1]
    elif damage == "no scale":
        vector.scale = b""
    elif damage == "not finite":
        vector.mean = np.full(SIZE, np.nan, np.float32).tobytes()
    elif damage == "short":
        row.whiten = row.whiten[4:]
    else:
        row.inputs[0] = 99
    with pytest.raises(CorruptError):
        file.layout_of(pb.Layout.FromString(message.SerializeToString()))


def test_a_learner_fits_every_other_row_and_counts_the_rest() -> None:
    """Rows seen before the bins were fixed: half along directions; later ones all, or those that are taken. A restart
    in the middle changes nothing."""
    learners = [Learner(blank("m", "1", 60.0), 1000, 3) for _ in range(2)]
    for window in range(3):
        for k in range(6):
            batch = _batch(101, seed=10 * window + k)
            learners = [learners[0], learn_state.decode(learn_state.encode(learners[1]))]
            for learner in learners:
                learner.add(batch, window, slice(0, None, 4) if window == 2 else slice(None))
        for learner in learners:
            learner.close(window)
    one, two = (learner.ready for learner in learners)
    assert one is not None
    assert two is not None
    assert one.hash == two.hash
    assert (one.blocks == two.blocks).all()
    at = one.layout.index[Source.FEATURE, "e[norm]"]
    counted = one.blocks[:, one.layout.slice(at)].sum(axis=1)
    # The first 1,010 rows are held until the bins are fixed.
    assert counted.tolist() == [606 / 2, 404 / 2 + 202, 6 * 26]
    assert one.blocks[:, one.layout.slice(one.layout.index[Source.FEATURE, "e"])].sum(axis=1).tolist() == [606] * 3


def test_ignored_values_have_no_part_in_it() -> None:
    """An ignored vector is not projected, an ignored number is in no direction."""
    batch = _batch(1000)
    kept = tuple(replace(f, ignored=f.name in ("e", "a")) for f in features_of([batch]))
    layout = with_projections(Layout(kept), [batch])
    row = layout.projections[-1]
    assert isinstance(row, RowProjection)
    assert "a" not in row.names
    assert not [f for f in layout.features if f.group == "e"]
