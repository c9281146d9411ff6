"""What is computed from vectors and whole rows: against a slow oracle, and the laws counts live by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.bins import ABSENT_CELL, INF_CELL, MISMATCH_CELL, NAN_CELL, NEGATIVE_INF_CELL, NULL_CELL, Feature, Layout
from agent.bins.projections import HUGE, RowProjection, VectorProjection, finite
from agent.counting.windows import Series
from agent.records import ABSENT, NULL, Batch, Columns, Kind, ModelKey, Numbers, Source, Vectors, select
from agent.reference.directions import with_projections
from agent.reference.profile import Reference
from agent.reference.traffic import features_of

KEY = ModelKey("m")
SIZE = 12
RANDOM = np.random.default_rng(0)
SCALE = 1.0 / np.arange(1, SIZE + 1)


def _batch(values: np.ndarray, state: np.ndarray | None = None) -> Batch:
    columns = Columns(vectors={"e": Vectors(values.astype(np.float32), state)})
    return Batch(KEY, len(values), 0, columns, Columns())


def _layout(values: np.ndarray) -> Layout:
    batch = _batch(values)
    return with_projections(Layout(features_of([batch])), [batch])


@pytest.fixture(scope="module")
def layout() -> Layout:
    return _layout(RANDOM.normal(size=(2000, SIZE)) * SCALE + 3.0)


def _own(layout: Layout, batch: Batch, taken: slice = slice(None)) -> tuple[list[int], np.ndarray]:
    """The vector's own cells that are counted, from its first; how many values each part has."""
    counts = layout.place(batch, taken).count(layout.cells)
    own = counts[layout.slice(0)]
    parts = np.array([counts[layout.slice(i)].sum() for i in range(1, len(layout.features))])
    return np.repeat(np.arange(len(own)), own).tolist(), parts


def test_the_parts_are_what_they_are_called(layout: Layout) -> None:
    """Projections, lengths and nearest centroids against float64 arithmetic, row by row."""
    projection = layout.projections[0]
    assert isinstance(projection, VectorProjection)
    rows = RANDOM.normal(size=(50, SIZE)).astype(np.float32)
    numbers, nearest = projection.values(rows)
    found = dict(zip(projection.parts, numbers, strict=False))
    leading = len(projection.scale)
    for i, row in enumerate(rows.astype(np.float64)):
        centred = row - projection.mean
        along = centred @ projection.basis.astype(np.float64)
        expected = {
            "e[pc1]": along[0], "e[pc8]": along[7], "e[norm]": np.linalg.norm(row),
            "e[residual]": np.sqrt(max(centred @ centred - along[:leading] @ along[:leading], 0.0)),
            "e[mahalanobis]": np.linalg.norm(along[:leading] / projection.scale),
        }  # fmt: skip
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, rel=1e-4, abs=5e-3), name
        assert nearest[i] == np.argmin(np.square(along[:leading] - projection.centroids).sum(axis=1))


def test_what_is_no_vector_has_a_cell_of_its_own_and_no_parts(layout: Layout) -> None:
    """Null, absent, NaN, both infinities; a vector of another size is of the wrong type. None is a crash."""
    values = np.zeros((7, SIZE))
    values[2, 3], values[3, 0], values[4, 0], values[5, :2] = np.nan, np.inf, -np.inf, (np.inf, np.nan)
    state = np.array([NULL, ABSENT, 0, 0, 0, 0, 0], dtype=np.uint8)
    cells, parts = _own(layout, _batch(values, state))
    special = [NULL_CELL, ABSENT_CELL, NAN_CELL, NAN_CELL, INF_CELL, NEGATIVE_INF_CELL]
    assert cells == [0, *(1 + cell for cell in special)]
    assert (parts == 1).all()
    cells, parts = _own(layout, _batch(np.zeros((2, SIZE + 1)), np.array([0, NULL], dtype=np.uint8)))
    assert cells == [1 + NULL_CELL, 1 + MISMATCH_CELL]
    assert not parts.any()
    nothing, parts = _own(layout, Batch(KEY, 3, 0, Columns(), Columns()))
    assert nothing == [1 + ABSENT_CELL] * 3
    assert not parts.any()
    number = Batch(KEY, 2, 0, Columns(numbers={"e": Numbers(np.zeros(2))}), Columns())
    assert _own(layout, number)[0] == [1 + MISMATCH_CELL] * 2


def test_huge_entries_are_far_away_and_no_overflow(layout: Layout) -> None:
    """The largest float32 there is lies above the last bin of every length."""
    huge = np.full((3, SIZE), np.finfo(np.float32).max)
    counts = layout.place(_batch(huge)).count(layout.cells)
    for name in ("e[norm]", "e[mahalanobis]"):
        at = layout.index[Source.FEATURE, name]
        assert counts[layout.slice(at)][layout.features[at].bins - 1] == 3
    bounded, whole = finite(huge.astype(np.float32))
    assert whole is None
    assert bounded.max() == HUGE


def test_only_taken_rows_have_parts_and_every_row_is_counted(layout: Layout) -> None:
    """A sample feeds the parts; whether there is a vector is counted of all rows. Together two samples are all rows."""
    batch = _batch(RANDOM.normal(size=(100, SIZE)) * SCALE + 3.0)
    cells, parts = _own(layout, batch, slice(1, None, 3))
    assert cells == [0] * 100
    assert (parts == 33).all()
    first = int(layout.starts[layout.sent])
    even, odd, whole = (
        layout.place(batch, s).count(layout.cells)[first:] for s in (slice(0, None, 2), slice(1, None, 2), slice(None))
    )
    assert (even + odd == whole).all()


@pytest.mark.parametrize("kind", ["one of few", "on a grid", "of length 1"])
def test_counts_do_not_depend_on_the_size_of_the_batch(kind: str) -> None:
    """A product's last bits do; so no value that comes often lies on an edge."""
    values = np.eye(SIZE)[RANDOM.integers(0, SIZE, 3000)]
    if kind == "on a grid":
        values = RANDOM.integers(0, 3, (3000, SIZE)) / 7.0
    if kind == "of length 1":
        values = RANDOM.normal(size=(3000, SIZE)) * SCALE
        values /= np.linalg.norm(values, axis=1, keepdims=True)
    layout, batch = _layout(values), _batch(values)
    whole = layout.place(batch).count(layout.cells)
    cuts = np.split(np.arange(3000), np.cumsum(RANDOM.integers(1, 40, 120)))
    pieces = np.array([layout.place(select(batch, rows)).count(layout.cells) for rows in cuts if len(rows)])
    assert (pieces.sum(axis=0) == whole).all()


def test_a_length_that_never_changes_has_one_bin() -> None:
    """Vectors of length 1 differ by rounding alone, which is no distribution; another length is outside."""
    values = RANDOM.normal(size=(1000, SIZE))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    layout = _layout(values)
    at = layout.index[Source.FEATURE, "e[norm]"]
    counts = layout.place(_batch(np.vstack((values[:10], values[:5] * 1.01)))).count(layout.cells)[layout.slice(at)]
    assert counts[: layout.features[at].bins].tolist() == [0, 10, 5]


def test_a_missing_value_moves_no_direction_of_a_row() -> None:
    """Its score is 0: as if it lay in the middle. The rest of its row counts."""
    values = RANDOM.normal(size=(1000, 3))
    values[:, 1] += values[:, 0]
    columns = {name: Numbers(values[:, j].copy()) for j, name in enumerate("abc")}
    batch = Batch(KEY, 1000, 0, Columns(numbers=columns), Columns())
    layout = with_projections(Layout(features_of([batch])), [batch])
    row = layout.projections[-1]
    assert isinstance(row, RowProjection)
    state = np.array([NULL, ABSENT], dtype=np.uint8)
    gone = {name: Numbers(np.array([np.nan, 1.0]), state if name != "c" else None) for name in "abc"}
    cells = layout.place(Batch(KEY, 2, 0, Columns(numbers=gone), Columns())).cells
    found = row.values(cells[row.inputs] - layout.starts[row.inputs, None].astype(np.int32))
    assert found[:, 0] == pytest.approx(0.0, abs=1e-6)
    assert np.abs(found[:, 1]).max() > 0.1
    together = row.heaviest(0, 1 / 3)
    assert set(together) == {"a", "b"}


def test_what_is_mostly_missing_hides_nothing_beside_it() -> None:
    """Where it is missing, which is in four rows of five, the lightest of the others decide which bin a row is in."""
    random = np.random.default_rng(3)
    values = random.normal(size=(2000, 3))
    values[:, 1] += 0.3 * values[:, 0]
    columns = {name: Numbers(values[:, j].copy()) for j, name in enumerate("abc")}
    columns["c"] = Numbers(values[:, 2], np.where(random.random(2000) < 0.8, NULL, 0).astype(np.uint8))
    batch = Batch(KEY, 2000, 0, Columns(numbers=columns), Columns())
    layout = with_projections(Layout(features_of([batch])), [batch])
    row = layout.projections[-1]
    assert isinstance(row, RowProjection)
    pooled = layout.place(batch).count(layout.cells)
    smooth = row.smooth([pooled[layout.slice(i)] for i in row.inputs.tolist()])
    assert dict(zip(row.names, smooth.tolist(), strict=True)) == {"a": True, "b": True, "c": False}
    own = next(k for k in range(len(row.shown)) if row.weights(k)[0][0] == "c" and row.weights(k)[0][1] > 0.95)
    assert "c" in row.heaviest(own, 0.05, smooth)
    assert {"a", "b"} & set(row.heaviest(own, 0.05, smooth)) - set(row.heaviest(own, 0.05))


def test_the_hash_tells_directions_apart(layout: Layout) -> None:
    """Two layouts with the same edges and other directions do not count alike; equal ones are equal."""
    projection = layout.projections[0]
    assert isinstance(projection, VectorProjection)
    turned = replace(projection, basis=-projection.basis)
    other = replace(layout, projections=(turned, *layout.projections[1:]))
    same = replace(layout, projections=(replace(projection), *layout.projections[1:]))
    assert (other.hash != layout.hash, other != layout) == (True, True)
    assert (same.hash == layout.hash, same == layout) == (True, True)


def test_a_group_has_the_members_of_its_name(layout: Layout) -> None:
    """The vector and its parts; a plain feature alone."""
    assert layout.members(Source.FEATURE, "e") == tuple(range(len(layout.features)))
    assert layout.members(Source.SCORE, "e") == ()
    alone = Layout((Feature("x", Source.FEATURE, Kind.NUMBER, edges=(0.0, 1.0)),))
    assert alone.members(Source.FEATURE, "x") == (0,)


def test_a_feature_that_is_forgotten_is_forgotten_in_the_rows_made_of_it() -> None:
    """An alert's windows must not fire the row's when they drain; outputs and single segments leave the row alone."""
    random = np.random.default_rng(3)
    columns = Columns({name: Numbers(random.normal(size=4000)) for name in ("a", "b", "c")})
    batch = Batch(KEY, 4000, 0, columns, Columns())
    layout = with_projections(Layout(features_of([batch])), [batch])
    rows = [layout.slice(i) for i, f in enumerate(layout.features) if f.source is Source.ROW]
    assert rows
    blocks = layout.place(batch).count(layout.cells).astype(np.int32)[None, :]
    known = Reference("m", "", layout, blocks, np.zeros(1, np.int64), np.array([4000]))
    series = Series(KEY, 3600 * 10**9, known, None)
    series.add(batch, False)
    closed = series.close(0)
    series.forget(Source.FEATURE, "a", "region=north")
    series.forget(Source.SCORE, "a")
    assert all(closed.counts[row].any() for row in rows)
    series.forget(Source.FEATURE, "a")
    assert not any(closed.counts[row].any() for row in rows)
    assert closed.counts[layout.slice(layout.index[Source.FEATURE, "b"])].any()
