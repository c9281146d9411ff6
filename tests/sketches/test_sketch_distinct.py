"""Laws of the distinct count."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import CorruptError
from agent.sketches.blob import BlobKind, seal
from agent.sketches.distinct import Distinct
from agent.sketches.quantiles import Quantiles

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=40)


@settings(max_examples=80, deadline=None)
@given(st.lists(TEXTS, max_size=8))
def test_few_texts_are_counted_one_by_one(parts: list[list[str]]) -> None:
    """Whatever their order and number of times; the empty text is one like any other."""
    sketch = Distinct()
    for part in parts:
        sketch.update(part)
    assert sketch.count == len({text for part in parts for text in part})


@pytest.mark.parametrize("number", [1_000, 10_000, 100_000])
def test_many_are_counted_within_three_standard_errors(number: int) -> None:
    """At any size the same share, and each text twice."""
    sketch = Distinct()
    texts = [f"merchant {i}" for i in range(number)]
    for start in range(0, number, 500):
        sketch.update(texts[start : start + 500])
    sketch.update(texts[: number // 2])
    assert abs(sketch.count / number - 1.0) < 3.0 * sketch.standard_error
    assert 0.012 < sketch.standard_error < 0.014
    assert len(sketch.to_bytes()) < 2_400


def test_a_restart_changes_nothing() -> None:
    """Read back after every part, it ends with the same bytes as the one that went on."""
    one, other = Distinct(), Distinct()
    for k in range(40):
        part = [f"{k} {j}" for j in range(97)]
        one.update(part)
        other.update(part)
        other = Distinct.from_bytes(other.to_bytes())
    assert one.count == other.count
    assert one.to_bytes() == other.to_bytes()


def test_damage_is_found_before_the_library_reads_it() -> None:
    """Every flipped bit of the beginning, another sketch's bytes, and sealed nonsense."""
    sketch = Distinct()
    sketch.update([str(i) for i in range(20)])
    blob = sketch.to_bytes()
    for bit in range(8 * 24):
        broken = bytearray(blob)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError):
            Distinct.from_bytes(bytes(broken))
    for other in (Quantiles().to_bytes(), seal(BlobKind.DISTINCT, b"short"), b""):
        with pytest.raises(CorruptError):
            Distinct.from_bytes(other)
