"""Whatever was counted: no error, no warning, figures that are figures, and the same answer for the same counts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import ABSENT_CELL, MISMATCH_CELL, NULL_CELL, Feature, Layout, Rules
from agent.quality.judge import FLOOR, Quality
from agent.quality.spread import rate_tail
from agent.records import Cells, Closed, Kind, Source, Verdict
from agent.reference.profile import Reference
from agent.statistics.tails import hypergeometric_tail
from tests.quality.quality_worlds import Fixed, found_in

LAYOUT = Layout(
    (
        Feature("n", Source.FEATURE, Kind.NUMBER, edges=(0.0, 1.0, 2.0), integral=True, rules=Rules(low=0.0)),
        Feature("t", Source.PREDICTION, Kind.TEXT, categories=("a", "b"), rules=Rules(max_new=0.0)),
        Feature("f", Source.FEATURE, Kind.FLAG, rules=Rules(required=True, max_missing=0.1)),
        Feature("v", Source.FEATURE, Kind.VECTOR, size=3, group="v"),
        Feature("old", Source.FEATURE, Kind.VECTOR, size=3),
        Feature("none", Source.FEATURE, Kind.NUMBER, edges=(0.0, 1.0), ignored=True),
    )
)
counts = st.lists(st.sampled_from([0, 0, 0, 1, 2, 9, 500, 100_000]), min_size=LAYOUT.cells, max_size=LAYOUT.cells).map(
    lambda values: np.array(values, np.int32)
)


def reference(blocks: list[Cells]) -> Reference:
    stacked = np.array(blocks, np.int32).reshape(len(blocks), LAYOUT.cells)
    return Reference("m", "1", LAYOUT, stacked, np.zeros(len(blocks), np.int64), np.full(len(blocks), 10))


@given(st.lists(counts, max_size=12), st.lists(counts, min_size=1, max_size=18), st.sampled_from([1e-9, 1e-3, 0.01]))
@settings(max_examples=30, deadline=None)
def test_any_counts_are_judged(blocks: list[Cells], windows: list[Cells], alpha: float) -> None:
    """Empty references and windows, faults alone, one block, many: a finding is whole, and none is said twice."""
    recent = [Closed(7 + i, cells, rows=10) for i, cells in enumerate(windows)]
    quality = Quality(reference(blocks), Fixed(alpha))
    found = found_in(quality.judge(recent))
    assert found == found_in(quality.judge(recent)) or any(f.p_value != f.p_value for f in found)
    assert len({(f.check, f.source, f.subject) for f in found}) == len(found)
    for f in found:
        assert f.subject != "none"
        assert not f.p_value < 0.0
        assert not f.p_value > 1.0
        assert f.n > 0
        assert f.horizon in (1, 4, 16)
        assert recent[-1].index - f.horizon < f.first_window <= recent[-1].index
        if f.alarms and "limit" not in f.distances:
            assert f.p_value <= f.alpha
            assert alpha <= f.alpha <= 0.01  # what other tests of the check cannot spend comes on top
            assert f.effect >= FLOOR or f.check == "constant"
        assert f.reason or f.verdict is not Verdict.ALARM


@given(
    st.integers(10, 2000), st.integers(1, 50), st.floats(0.0, 1.0), st.floats(0.0, 0.3), st.floats(1.0, 400.0),
    st.data(),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_more_faults_are_never_less_significant(
    n: int, times: int, share: float, excess: float, freedom: float, data: st.DataObject
) -> None:
    """The tail falls as faults rise, wherever a ledger looks (p < 0.001), and lies between 0 and 1."""
    phi = 1.0 + excess * (n - 1)
    n_reference = n * times
    then = max(int(share * n_reference), 1)
    fewer = data.draw(st.integers(0, n - 1))
    low, high = (rate_tail(k, n, then, n_reference, phi, freedom) for k in (fewer, fewer + 1))
    assert 0.0 <= low <= 1.0
    assert 0.0 <= high <= 1.0
    if low < 0.001:
        assert high <= low * 1.05


@given(st.integers(60, 2000), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_without_wander_it_is_not_much_bolder_than_the_exact_test(n: int, faulty: int) -> None:
    """φ = 1, known for sure: of the two p the exact one counts, or one near it."""
    then, n_reference = 400, 40_000
    exact = hypergeometric_tail(faulty, n, then, n_reference)
    if 1e-9 < exact < 0.05:
        assert rate_tail(faulty, n, then, n_reference, 1.0, 1e6) > exact / 4


def test_the_pool_is_the_sum_of_its_windows() -> None:
    """Sixteen windows of one fault each are sixteen faults of all rows, whichever window they came in."""
    good = np.zeros(LAYOUT.cells, np.int32)
    for i, feature in enumerate(LAYOUT.features):
        good[LAYOUT.starts[i] + (1 if feature.kind is Kind.NUMBER else 0)] = 500
    specials = [(0, NULL_CELL), (0, MISMATCH_CELL), (2, ABSENT_CELL)]
    one, sixteen = good.copy(), good.copy()
    for i, cell in specials:
        at = int(LAYOUT.starts[i]) + LAYOUT.features[i].bins + cell
        one[at], sixteen[at] = 5, 80
    quality = Quality(reference([good] * 200), Fixed(1e-6))
    spread = found_in(quality.judge([Closed(i, one, rows=505) for i in range(16)]))
    burst = found_in(quality.judge([Closed(i, good, rows=500) for i in range(15)] + [Closed(15, sixteen, rows=580)]))
    assert {(f.check, f.subject, f.horizon) for f in spread if f.alarms and "limit" not in f.distances} == {
        ("missing", "n", 16), ("type_mismatch", "n", 16),
    }  # fmt: skip
    assert {f.horizon for f in burst if f.alarms} == {1}
