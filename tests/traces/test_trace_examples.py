"""A few predictions of every cell, held while a window is open."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import CorruptError
from agent.records import Batch, Cells, Columns, ModelKey
from agent.traces import examples as module
from agent.traces.examples import BYTES_MAX, EACH, Examples, pack, unpack
from agent.traces.traced import Trace, Traces
from agent.wire import state_pb2 as state

CELLS = 12  # three features of four


def trace(number: int) -> Trace:
    digits = number.to_bytes(8, "little")
    return Trace(0, digits * 2, b"\2" * 8, 1, f"p-{number}", 5, 0.01 * number, "", (("infer", 0.0, 0.1),))


def arrive(found: Examples, numbers: list[int]) -> None:
    """One batch of these predictions, whose cells follow from their number."""
    traces = Traces.of([replace(trace(number), row=row) for row, number in enumerate(numbers)])
    latency = np.array([0.01 * number for number in numbers])
    batch = Batch(ModelKey("m"), len(numbers), 0, Columns(), Columns(), latency=latency, traces=traces)
    found.add(batch, cells_of(numbers))


def cells_of(numbers: list[int]) -> Cells:
    own = np.array(numbers)
    return np.array([own % 4, 4 + own // 4 % 4, 8 + own // 16 % 4], np.int32)


def names(found: Examples) -> list[list[str]]:
    return [[one.prediction_id for _, one, _ in found.of(cell)] for cell in range(CELLS)]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=150, unique=True), st.integers(1, 40), st.randoms())
def test_each_cell_holds_the_two_lowest_whatever_the_order(numbers: list[int], size: int, random: object) -> None:
    """As a sort of all that came would say; so a replay that batches them otherwise holds the same."""
    shuffled = sorted(numbers, key=lambda number: hash((number, random)))
    one, other = Examples(CELLS), Examples(CELLS)
    for found, order in ((one, numbers), (other, shuffled)):
        for first in range(0, len(order), size):
            arrive(found, order[first : first + size])
    traces = Traces.of([trace(number) for number in numbers])
    by_hash = dict(zip(numbers, traces.hashes(None).tolist(), strict=True))
    own = cells_of(numbers)
    expected = []
    for cell in range(CELLS):
        here = [number for number, cells in zip(numbers, own.T, strict=True) if cell in cells]
        expected.append([f"p-{number}" for number in sorted(here, key=by_hash.__getitem__)[:EACH]])
    assert names(one) == names(other) == expected


def test_a_prediction_that_comes_again_is_held_once() -> None:
    """A resend or a second row of the same prediction takes no place from another."""
    found = Examples(CELLS)
    arrive(found, [5, 5, 5])
    arrive(found, [5, 21])
    assert sorted(names(found)[1]) == ["p-21", "p-5"]


def test_few_predictions_cover_many_cells() -> None:
    """One hash for all cells: of 5,000 predictions over 4,000 cells of 200 features a few hundred are held."""
    rng = np.random.default_rng(3)
    found = Examples(4_000)
    for first in range(0, 5_000, 500):
        traces = Traces.of([replace(trace(first + row + 1), row=row) for row in range(500)])
        batch = Batch(ModelKey("m"), 500, 0, Columns(), Columns(), traces=traces)
        found.add(batch, (np.arange(200)[:, None] * 20 + rng.integers(0, 20, (200, 500))).astype(np.int32))
    pointed = np.unique(found.lowest)
    assert (found.lowest[:, :4_000] != module.NONE).all()
    assert len(pointed) < 500
    assert not found.full


def test_the_bytes_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no cell points at any more makes room; where that is not enough nothing more is taken, and it says so."""
    monkeypatch.setattr(module, "BYTES_MAX", 1_000)
    found = Examples(CELLS)
    for number in range(1, 3_000, 50):
        arrive(found, list(range(number, number + 50)))
        assert found.size == sum(map(len, found.held.values())) <= 1_000
    assert found.full
    assert BYTES_MAX == 256 << 10


def test_of_very_many_only_the_lowest_hashes_are_looked_at() -> None:
    """As many as make 2,000 of the window; in a window of fewer every one."""
    assert module.below(0) == module.below(module.ROWS) == module.NONE_SEEN
    numbers = list(range(1, 2_001))
    hashes = Traces.of([trace(number) for number in numbers]).hashes(None)
    few, limit = Examples(CELLS), module.below(20_000)
    traces = Traces.of([replace(trace(number), row=row) for row, number in enumerate(numbers)])
    few.add(Batch(ModelKey("m"), 2_000, 0, Columns(), Columns(), traces=traces), cells_of(numbers), limit)
    assert few.seen == 2_000
    assert 150 < np.count_nonzero(hashes <= np.uint64(limit)) < 250
    assert all(number <= limit for number in few.held)
    whole = Examples(CELLS)
    arrive(whole, numbers)
    assert names(few) == names(whole)


def test_latencies_have_cells_of_their_own_also_without_a_layout() -> None:
    """The slowest bucket's example is the slowest prediction; a latency that is none lies in no bucket."""
    found = Examples(0)
    batch = Batch(
        ModelKey("m"), 3, 0, Columns(), Columns(), latency=np.array([0.01, 8.0, math.nan]),
        traces=Traces.of([replace(trace(number), row=row) for row, number in enumerate((1, 2, 3))]),
    )  # fmt: skip
    found.add(batch, None)
    held = {bucket: [t.prediction_id for _, t, _ in found.of_latency(bucket)] for bucket in range(128)}
    assert sorted(filter(None, held.values())) == [["p-1"], ["p-2"]]
    assert held[max(bucket for bucket, own in held.items() if own)] == ["p-2"]


def test_what_is_stored_comes_back_and_goes_on_alike() -> None:
    """A restored reservoir holds the same, and takes the same further on; of other bins it is corrupt."""
    found = Examples(CELLS)
    arrive(found, list(range(1, 300)))
    message = state.Examples.FromString(found.dump().SerializeToString())
    again = Examples.load(message, CELLS)
    for one in (found, again):
        arrive(one, list(range(300, 400)))
    assert names(found) == names(again)
    assert (found.held, found.size) == (again.held, again.size)
    with pytest.raises(CorruptError):
        Examples.load(message, CELLS + 1)


def test_a_trace_is_packed_whole() -> None:
    """Everything a span needs, and whether it is one already; a lone surrogate becomes a question mark."""
    full = replace(
        trace(7), error_type="timeout", state="v=1", values=(("age", 4.0), ("city", "rome"), ("member", False)),
        segments=("region=north",),
    )  # fmt: skip
    assert unpack(pack(full, True)) == (full, True)
    assert unpack(pack(replace(full, prediction_id="\ud800"), False))[0].prediction_id == "?"
