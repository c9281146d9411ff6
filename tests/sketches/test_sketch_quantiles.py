"""Laws of the quantile sketch, and of the seal around every stored blob."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import CorruptError
from agent.sketches.blob import BlobKind, seal, unseal
from agent.sketches.quantiles import Quantiles

SHARES = np.linspace(0.0, 1.0, 41)


def _sketch(values: np.ndarray) -> Quantiles:
    found = Quantiles()
    found.update(values)
    return found


def _rank_gap(sketch: Quantiles, values: np.ndarray) -> float:
    """The largest distance between asked and true rank; ties have a range of true ranks."""
    ordered = np.sort(values)
    found = sketch.quantiles(SHARES)
    low = np.searchsorted(ordered, found, side="left") / len(ordered)
    high = np.searchsorted(ordered, found, side="right") / len(ordered)
    return float(np.maximum(low - SHARES, SHARES - high).max())


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_stay_within_the_rank_error_of_exact_sorting(seed: int) -> None:
    """20,000 lognormal values: every quantile within 2.5 times the sketch's own 99 % bound of the sorted values."""
    values = np.random.default_rng(seed).lognormal(0, 2, 20_000)
    sketch = _sketch(values)
    assert _rank_gap(sketch, values) <= 2.5 * sketch.rank_error
    assert sketch.quantiles([0.0, 1.0]).tolist() == [values.min(), values.max()]


def test_merging_is_associative_within_the_rank_error() -> None:
    """(a + b) + c and a + (b + c) hold the same count, range and, within the error, the same ranks."""
    parts = [np.random.default_rng(seed).normal(seed, 1, 5000) for seed in range(3)]
    left, right = _sketch(parts[0]), _sketch(parts[1])
    left.merge(_sketch(parts[1]))
    left.merge(_sketch(parts[2]))
    right.merge(_sketch(parts[2]))
    whole = _sketch(parts[0])
    whole.merge(right)
    everything = np.concatenate(parts)
    for sketch in (left, whole):
        assert sketch.count == 15_000
        assert _rank_gap(sketch, everything) <= 2.5 * sketch.rank_error


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300))
def test_round_trip_answers_the_same(values: list[float]) -> None:
    """from_bytes(to_bytes(x)) has the same count, quantiles and ranks; what is not finite was counted and left out."""
    array = np.array(values, dtype=np.float64)
    sketch = _sketch(array)
    again = Quantiles.from_bytes(sketch.to_bytes())
    finite = array[np.isfinite(array)]
    assert again.count == sketch.count == len(finite)
    assert sketch.dropped == len(array) - len(finite)
    np.testing.assert_array_equal(again.quantiles(SHARES), sketch.quantiles(SHARES))
    np.testing.assert_array_equal(again.ranks([0.0, np.nan]), sketch.ranks([0.0, np.nan]))


def test_read_only_and_strided_arrays_are_taken() -> None:
    """Arrays from `np.frombuffer` and slices with a stride, which the library refuses, count like any other."""
    values = np.arange(100.0)
    sketch = _sketch(np.frombuffer(values.tobytes()))
    sketch.update(values[::2])
    sketch.update(np.arange(10).astype(np.float64))
    assert sketch.count == 160


def test_a_query_does_not_grow_the_sketch() -> None:
    """The sorted view a query makes is made on a copy: the stored bytes and the retained values stay as they were."""
    sketch = _sketch(np.arange(10_000.0))
    before, memory = sketch.to_bytes(), sketch.memory_bytes
    sketch.quantiles(SHARES)
    sketch.ranks([5.0])
    assert sketch.to_bytes() == before
    assert sketch.memory_bytes == memory < 10_000


def test_an_empty_sketch_says_nan() -> None:
    """No values: NaN for every quantile and rank, not an exception."""
    assert np.isnan(Quantiles().quantiles([0.5])).all()
    assert np.isnan(Quantiles().ranks([0.5])).all()


def test_corrupt_blobs_are_refused_and_never_reach_the_library() -> None:
    """4,000 damaged blobs (flipped bits, cuts, noise) raise CorruptError in this very process, which lives on."""
    rng = np.random.default_rng(7)
    blob = _sketch(rng.normal(size=5000)).to_bytes()
    for trial in range(4000):
        damaged = bytearray(blob)
        if trial % 4 == 0:
            damaged = damaged[: rng.integers(0, len(blob))]
        elif trial % 4 == 1:
            damaged = bytearray(rng.bytes(int(rng.integers(0, 200))))
        else:
            damaged[rng.integers(0, len(blob))] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(CorruptError):
            Quantiles.from_bytes(bytes(damaged))
    assert Quantiles.from_bytes(blob).count == 5000


def test_a_sealed_blob_of_another_kind_is_refused() -> None:
    """A learner's blob is not read as a sketch, whatever its checksum; nor are sealed bytes that are no sketch."""
    with pytest.raises(CorruptError, match="kind"):
        Quantiles.from_bytes(seal(BlobKind.LEARNER, b"abc"))
    with pytest.raises(CorruptError):
        Quantiles.from_bytes(seal(BlobKind.QUANTILES, b""))


@given(st.binary(max_size=100))
def test_unseal_undoes_seal(payload: bytes) -> None:
    """The payload comes back as it went in."""
    assert unseal(BlobKind.LEARNER, seal(BlobKind.LEARNER, payload)) == payload
