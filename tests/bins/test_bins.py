"""Values to cells: against a slow oracle, and the laws counts live by."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import FRACTIONAL_CELL, SPECIALS, TABLES_MAX, Feature, Layout, Placed, text_hash
from agent.records import ABSENT, NULL, PRESENT, Batch, Columns, Flags, Kind, ModelKey, Numbers, Source, Texts, select

KEY = ModelKey("m")
MISSING: Any = object()
NOTHING: Any = object()  # absent, null
CATEGORIES, SEEN = ("x", "ü", ""), ("rare", "日本")


def _edges() -> st.SearchStrategy[tuple[float, ...]]:
    plain = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)
    discrete = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=20)
    skewed = st.lists(st.floats(-300, 300).map(lambda e: 10.0**e), min_size=1, max_size=30)
    huge = st.lists(st.sampled_from([-1.7e308, -1e308, -1.0, 0.0, 5e-324, 1e-300, 1.0, 1e308, 1.7e308]), min_size=1)
    return st.one_of(plain, discrete, skewed, huge).map(lambda e: tuple(sorted({v + 0.0 for v in e})))


@st.composite
def _case(draw: st.DrawFn) -> tuple[Layout, list[dict[str, Any]]]:
    features, values = [], {}
    for i in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([Kind.NUMBER, Kind.NUMBER, Kind.TEXT, Kind.FLAG]))
        name = f"f{i}"
        if kind is Kind.NUMBER:
            edges = draw(_edges())
            features.append(Feature(name, Source.FEATURE, kind, edges=edges, integral=draw(st.booleans())))
            near = st.sampled_from(
                [v for e in edges for v in (e, math.nextafter(e, math.inf), math.nextafter(e, -math.inf))]
            )
            values[name] = st.one_of(near, st.floats(), st.integers(-9, 9).map(float))
        elif kind is Kind.TEXT:
            features.append(
                Feature(
                    name, Source.FEATURE, kind, categories=CATEGORIES, seen=frozenset(map(text_hash, SEEN)),
                    rare_cells=draw(st.sampled_from([1, 4, 8])),
                )
            )
            values[name] = st.sampled_from([*CATEGORIES, *SEEN, "other"])
        else:
            features.append(Feature(name, Source.FEATURE, kind))
            values[name] = st.booleans()
    odd = st.sampled_from([MISSING, NOTHING, 1.5, "x", True]) if draw(st.booleans()) else st.nothing()
    row = st.fixed_dictionaries({name: value | odd for name, value in values.items()})
    return Layout(tuple(features)), draw(st.lists(row, min_size=1, max_size=20))


def _batch(rows: list[dict[str, Any]], names: list[str]) -> Batch:
    numbers: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    flags: dict[str, Any] = {}
    for name in names:
        values = [row[name] for row in rows]
        null = np.array([v is NOTHING for v in values])
        told = False
        tables: tuple[tuple[type, dict[str, Any]], ...] = ((float, numbers), (str, texts), (bool, flags))
        for kind, table in tables:
            own = np.array([type(v) is kind for v in values])
            if not own.any():
                continue
            state: Any = np.where(own, 0, ABSENT).astype(np.uint8)
            if not told:
                state[null] = NULL
                told = True
            state = None if own.all() else state
            if kind is float:
                table[name] = Numbers(np.array([v if o else 0.0 for v, o in zip(values, own, strict=True)]), state)
            elif kind is bool:
                table[name] = Flags(np.array([v is True for v in values]), state)
            else:
                words = sorted({v for v in values if type(v) is str})
                codes = np.array([words.index(v) if type(v) is str else 0 for v in values], dtype=np.int32)
                table[name] = Texts(words, codes, state)
        if not told and null.any():
            numbers[name] = Numbers(np.zeros(len(rows)), np.where(null, NULL, ABSENT).astype(np.uint8))
    return Batch(KEY, len(rows), 0, Columns(numbers, texts, flags), Columns())


def _oracle(feature: Feature, value: Any) -> int:
    """The cell by definition: written for people, one comparison at a time."""
    special = feature.bins
    if value is MISSING:
        return special + 1
    if value is NOTHING:
        return special
    own: type = {Kind.NUMBER: float, Kind.TEXT: str, Kind.FLAG: bool}[feature.kind]
    if type(value) is not own:
        return special + 5
    value = cast(Any, value)  # narrowed by its type already
    if feature.kind is Kind.FLAG:
        return int(value)
    if feature.kind is Kind.TEXT:
        known = len(CATEGORIES)
        part = text_hash(value) % feature.rare_cells
        rare = known + part if value in SEEN else known + feature.rare_cells + part
        return CATEGORIES.index(value) if value in CATEGORIES else rare
    if math.isnan(value):
        return special + 2
    if math.isinf(value):
        return special + (3 if value > 0 else 4)
    if value < feature.edges[0]:
        return 0
    if value > feature.edges[-1]:
        return len(feature.edges)
    if value == feature.edges[-1]:  # the last bin is closed above; with one edge there is only below and above
        return len(feature.edges) - 1
    return sum(edge <= value for edge in feature.edges)


@settings(max_examples=250, deadline=None)
@given(_case())
def test_every_value_lies_in_the_cell_its_definition_says(case: tuple[Layout, list[dict[str, Any]]]) -> None:
    """Against the oracle; and each row has exactly one cell per feature, inside that feature's own run."""
    layout, rows = case
    placed = layout.place(_batch(rows, [f.name for f in layout.features]))
    assert placed.cells.shape == (len(layout.features), len(rows))
    broken = [0] * layout.cells
    for i, feature in enumerate(layout.features):
        start = int(layout.starts[i])
        assert (placed.cells[i] - start).tolist() == [_oracle(feature, row[feature.name]) for row in rows]
        assert ((placed.cells[i] >= start) & (placed.cells[i] < start + feature.cells - 1)).all()
        if feature.integral:
            values = [r[feature.name] for r in rows]
            parts = [v for v in values if type(v) is float and math.isfinite(v) and v != math.floor(v)]
            broken[start + feature.cells - 1] = len(parts)
    counted = placed.count(layout.cells) - placed.count(layout.cells, np.arange(len(rows)))
    assert counted.tolist() == broken


@settings(max_examples=150, deadline=None)
@given(_case(), st.data())
def test_counts_of_parts_add_up(case: tuple[Layout, list[dict[str, Any]]], data: st.DataObject) -> None:
    """Law: a batch cut in two anywhere, or by any mask, counts as the whole."""
    layout, rows = case
    batch = _batch(rows, [f.name for f in layout.features])
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    parts = [layout.place(select(batch, np.flatnonzero(chosen))).count(layout.cells) for chosen in (mask, ~mask)]
    whole = layout.place(batch)
    assert (parts[0] + parts[1]).tolist() == whole.count(layout.cells).tolist()
    plain = Placed(whole.cells)
    assert (plain.count(layout.cells, mask) + plain.count(layout.cells, ~mask) == plain.count(layout.cells)).all()


@settings(max_examples=300, deadline=None)
@given(_edges(), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50))
def test_the_grid_equals_the_search(edges: tuple[float, ...], more: list[float]) -> None:
    """Where a feature is laid on the grid, it agrees with a binary search bit for bit, at and beside every edge."""
    feature = Feature("x", Source.FEATURE, Kind.NUMBER, edges=edges)
    layout = Layout((Feature("pad", Source.FEATURE, Kind.FLAG), feature))
    near = [
        v for e in edges for v in (e, math.nextafter(e, math.inf), math.nextafter(e, -math.inf)) if math.isfinite(v)
    ]
    values = np.array([*near, *more])
    batch = Batch(KEY, len(values), 0, Columns({"x": Numbers(values)}), Columns())
    expected = np.searchsorted(feature.split, values, side="right") + layout.starts[1]
    assert layout.place(batch).cells[1].tolist() == expected.tolist()


def test_the_grid_is_exact_far_from_zero() -> None:
    """Edges a billion away from zero and close together: rounding moves squares of edges and values alike."""
    for far in (-1e9, 1e9, 1e12):
        edges = tuple(far + np.linspace(0.0, 1.0, 21))
        test_the_grid_equals_the_search.hypothesis.inner_test(edges, [far, far + 1e-3, 0.0, -far])  # type: ignore[attr-defined]


def test_a_latency_counts_alike_by_grid_and_by_search() -> None:
    """An unknown latency is absent, whatever the others are; the grid gives the cells a search gives."""
    even, uneven = (0.0, 0.5, 1.0, 1.5), (0.0, 0.5, 0.5 + 1e-12, 1.0, 1.5, 2.0)
    latency = np.array([0.0, 0.25, float("nan"), 0.5, 1.5, 2.0, float("inf")])
    for edges in (even, uneven):
        feature = Feature("latency", Source.LATENCY, Kind.NUMBER, edges=edges, integral=True)
        layout = Layout((Feature("pad", Source.FEATURE, Kind.FLAG), feature))
        start = int(layout.starts[1])
        absent = start + feature.bins + 1
        expected = np.searchsorted(feature.split, latency, side="right") + start
        expected[~np.isfinite(latency)] = absent
        placed = layout.place(Batch(KEY, 7, 0, Columns(), Columns(), latency=latency))
        assert placed.cells[1].tolist() == expected.tolist()
        assert placed.extra is None
        assert set(layout.place(Batch(KEY, 7, 0, Columns(), Columns())).cells[1].tolist()) == {absent}


def test_a_remembered_dictionary_counts_as_a_new_one() -> None:
    """The same dictionary again, another of the same texts in another order, many of them: each code keeps its text."""
    feature = Feature("t", Source.FEATURE, Kind.TEXT, categories=CATEGORIES)
    layout = Layout((feature, Feature("u", Source.FEATURE, Kind.TEXT, categories=("z", "x"))))
    codes = np.arange(3, dtype=np.int32)
    for i in range(2000):
        dictionary = (f"{i}", "x", "ü") if i % 2 else ("ü", "x", "")
        column = Texts(dictionary, codes)
        cells = layout.place(Batch(KEY, 3, 0, Columns(texts={"t": column, "u": column}), Columns())).cells
        assert cells[0].tolist() == ([4, 0, 1] if i % 2 else [1, 0, 2])
        assert (cells[1] - layout.starts[1]).tolist() == ([3, 1, 3])
    assert len(layout._tables) <= TABLES_MAX


def test_the_grid_is_used_where_it_may_be() -> None:
    """Even and mildly skewed edges lie on the grid; edges that leave no room for it are searched."""

    def on_grid(*edges: float) -> bool:
        layout = Layout((Feature("x", Source.FEATURE, Kind.NUMBER, edges=edges),))
        return 0 in layout._grid.rows

    assert on_grid(*np.linspace(0, 1, 21))
    assert on_grid(0.0, 1.0)
    assert not on_grid(0.0, 1.0, 1.0 + 1e-12, 2.0, 3.0, 4.0)
    assert not on_grid(-1.7e308, -1e308, 1e308, 1.7e308)


def test_a_grid_is_no_finer_than_its_edges_ask() -> None:
    """Even edges need few squares, skewed ones more; side by side each has its own, and the cells are the search's."""
    even, skewed = np.linspace(0.0, 1.0, 21), np.linspace(0.0, 1.0, 21) ** 3
    first, second = (Feature(n, Source.FEATURE, Kind.NUMBER, edges=tuple(e.tolist())) for n, e in
                     (("even", even), ("skewed", skewed)))  # fmt: skip
    assert len(Layout((first,))._grid.cell) < len(Layout((second,))._grid.cell)
    layout, values = Layout((first, second)), np.random.default_rng(1).normal(0.4, 0.4, 300)
    placed = layout.place(
        Batch(ModelKey("m"), 300, 0, Columns({n: Numbers(values) for n in ("even", "skewed")}), Columns())
    )
    for i, feature in enumerate((first, second)):
        expected = np.searchsorted(feature.split, values, side="right") + layout.starts[i]
        assert placed.cells[i].tolist() == expected.tolist()


def test_an_empty_batch_has_no_cells() -> None:
    """No rows: no counts, no error, whatever is missing."""
    layout = Layout((
        Feature("x", Source.FEATURE, Kind.NUMBER, edges=(0.0, 1.0, 2.0)), Feature("t", Source.FEATURE, Kind.TEXT),
        Feature("latency", Source.LATENCY, Kind.NUMBER, edges=(0.0, 1.0)),
    ))  # fmt: skip
    empty = Batch(KEY, 0, 0, Columns({"x": Numbers(np.empty(0))}), Columns())
    assert layout.place(empty).count(layout.cells).tolist() == [0] * layout.cells


def test_latency_is_placed_by_seconds() -> None:
    """Unknown latency (NaN, or none at all) is absent; the rest lies by the edges."""
    feature = Feature("latency", Source.LATENCY, Kind.NUMBER, edges=(0.0, 1.0, 2.0))
    layout = Layout((feature,))
    batch = Batch(KEY, 4, 0, Columns(), Columns(), latency=np.array([0.5, 2.0, 3.0, math.nan]))
    assert layout.place(batch).cells[0].tolist() == [1, 2, 3, feature.bins + 1]
    assert layout.place(Batch(KEY, 2, 0, Columns(), Columns())).cells[0].tolist() == [feature.bins + 1] * 2
    assert layout.cells == feature.bins + SPECIALS


def test_the_hash_knows_what_decides_a_cell() -> None:
    """Edges, categories and kinds are in it; what only says how a feature is shown is not."""

    def of(**changes: Any) -> int:
        return Layout((Feature("x", Source.FEATURE, Kind.NUMBER, **{"edges": (0.0, 1.0), **changes}),)).hash

    assert of() == of(public=True) == of(critical=True)
    assert len({of(), of(edges=(0.0, 2.0)), of(integral=True), of(seen=frozenset({1}))}) == 4


def test_what_stands_where_a_value_is_missing_is_no_fraction() -> None:
    """A sender's column has some number under each null; it is nobody's value, and breaks no whole number."""
    layout = Layout((Feature("a", Source.FEATURE, Kind.NUMBER, edges=(0.0, 1.0, 2.0), integral=True),))
    column = Numbers(np.array([0.5, 0.5, 0.5, 1.0]), np.array([NULL, ABSENT, PRESENT, PRESENT], dtype=np.uint8))
    counts = layout.place(Batch(KEY, 4, 0, Columns({"a": column}), Columns())).count(layout.cells)
    feature = layout.features[0]
    assert counts[feature.bins + FRACTIONAL_CELL] == 1
    assert counts[: feature.bins].sum() == 2
