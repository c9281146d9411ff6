"""The rule as its users see it: verdicts with reasons, and the laws it keeps whatever the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bins import Feature, Layout
from agent.drift import Drift
from agent.drift.effect import FLOOR
from agent.ledger import Dial, Ledger
from agent.records import Cells, Closed, Finding, Kind, Source, Verdict
from agent.reference.profile import Reference
from tests.drift.worlds import World, findings, make_reference, with_specials, zipf

WORLD = World(features=12, n=1000, reference_rows=100_000, seed=1, texts=[zipf(12), zipf(60, 1.3), zipf(3)])
DRIFT = WORLD.drift()
SHOWN_OF_NUMBERS = {"psi", "ks", "wasserstein", "jensen_shannon", "chi_square", "newest_p", "newest_effect"}


def drift_of(reference: Reference) -> Drift:
    return Drift(reference, Ledger.of(Dial(), reference.layout, 3600.0))


def test_one_finding_a_feature_with_its_evidence() -> None:
    """A shift of a quarter of a standard deviation: everybody alarms at once, and says with what."""
    found = findings(DRIFT, [*WORLD.windows(23), WORLD.window(shift=0.25)], newest=41)
    assert [f.subject for f in found] == [f.name for f in WORLD.reference.layout.features]
    numbers = found[:12]
    assert [f.verdict for f in numbers] == [Verdict.ALARM] * 12
    for finding in numbers:
        assert finding.p_value < finding.alpha
        assert finding.effect >= FLOOR
        assert (finding.horizon, finding.n, finding.n_reference, finding.first_window) == (1, 1000, 100_000, 41)
        assert finding.current > finding.expected == 0.5
        assert finding.phi >= 1.0
        assert {*finding.distances} == {*SHOWN_OF_NUMBERS, "newest_part"}
        assert 1 <= len(finding.changes) <= 5
        assert finding.distances["newest_p"] == finding.p_value
    assert {f.verdict for f in found[12:]} == {Verdict.WITHIN_NOISE}
    assert "l_infinity" in found[12].distances


def test_a_category_that_grew_is_named_first() -> None:
    """10 % that become 15 %: most of twenty texts say so within two windows, that category first of the changes."""
    shares = np.array([0.5, 0.25, 0.1, 0.1, 0.05, 0.0, 0.0])
    world = World(features=0, n=1000, reference_rows=100_000, seed=2, texts=[shares] * 20)
    grown = shares * (0.85 / 0.9)
    grown[2] = 0.15
    found = findings(world.drift(), [*world.windows(3), *(world.window(texts=[grown] * 20) for _ in range(2))])
    alarms = [f for f in found if f.alarms]
    assert len(alarms) > 10
    for finding in alarms:
        assert finding.changes[0].label == "category2"
        assert finding.current > 0.12 > finding.expected
        assert 0.02 < finding.distances["l_infinity"] < 0.1


def test_never_seen_categories_burst() -> None:
    """Mass where the reference has none is judged exactly, not pooled away."""
    shares = np.array([1.0, 0.0, 0.0])
    world = World(features=0, n=500, reference_rows=50_000, seed=3, texts=[shares])
    assert findings(world.drift(), world.windows(5))[0].verdict is not Verdict.ALARM
    finding = findings(world.drift(), [*world.windows(5), world.window(texts=[np.array([0.95, 0.0, 0.05])])])[0]
    assert finding.verdict is Verdict.ALARM
    assert finding.changes[0].label == "never seen"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 24))
def test_eight_rows_alarm_on_nothing(seed: int, rows: int, count: int) -> None:
    """One window of up to eight values of any kind, however strange, among any number of empty ones."""
    counts = np.zeros(WORLD.reference.layout.cells, dtype=np.int32)
    random = np.random.default_rng(seed)
    for i, feature in enumerate(WORLD.reference.layout.features):
        counts[int(WORLD.reference.layout.starts[i]) + int(random.integers(feature.bins))] = rows
    empty = np.zeros_like(counts)
    found = findings(DRIFT, [empty] * (count - 1) + [counts])
    assert {f.verdict for f in found} == {Verdict.NOT_ENOUGH_ROWS}
    assert f"{rows} values" in found[0].reason


def test_a_million_rows_do_not_alarm_on_a_thousandth() -> None:
    """0.1 % of σ, and 0.1 % of the mass of a category: certain or not, it is below the floor."""
    world = World(features=1, n=1_000_000, reference_rows=3_000_000, seed=5, texts=[zipf(10)] * 3)
    moved = zipf(10) + np.array([0.001, -0.001, *[0.0] * 10])
    large = [world.window(shift=0.001, texts=[moved] * 3) for _ in range(8)]
    assert not any(f.alarms for f in findings(world.drift(), large))


def test_certain_but_small_is_below_the_floor() -> None:
    """0.05 σ is seen at long horizons and not worth an alarm: the verdict says so."""
    world = World(features=4, n=4000, reference_rows=500_000, seed=6)
    found = findings(world.drift(), [world.window(shift=0.05) for _ in range(24)])
    assert {f.verdict for f in found} == {Verdict.BELOW_FLOOR}
    assert all(f.p_value < f.alpha and f.effect < FLOOR for f in found)


def test_silence_has_reasons() -> None:
    """No rows, no reference, too short a reference: each is said, none looks healthy."""
    rows = np.array([[50, 50]] * 60)
    features = [
        Feature("gone", Source.FEATURE, Kind.FLAG), Feature("new", Source.FEATURE, Kind.FLAG),
        Feature("off", Source.FEATURE, Kind.FLAG, ignored=True),
        Feature("latency", Source.LATENCY, Kind.NUMBER, edges=(0.0, 1.0)),
    ]  # fmt: skip
    counts = [rows, rows * 0, rows, np.array([[0, 100, 0]] * 60)]
    reference = make_reference(features, counts)
    window = np.zeros(reference.layout.cells, dtype=np.int32)
    window[reference.layout.slice(1)][:2] = 500
    found = {f.subject: f for f in findings(drift_of(reference), [window])}
    assert {name: f.verdict for name, f in found.items()} == {
        "gone": Verdict.NO_DATA, "new": Verdict.NO_REFERENCE,
    }  # fmt: skip
    assert all(f.reason for f in found.values())


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_few_windows_are_too_short_a_reference(blocks: int) -> None:
    """φ cannot be known from so few windows: nothing is tested, and the finding says that no horizon can run."""
    short = replace(WORLD.reference, blocks=WORLD.reference.blocks[:blocks], rows=WORLD.reference.rows[:blocks])
    found = findings(drift_of(short), [WORLD.window(shift=1.0) for _ in range(24)])
    assert {f.verdict for f in found} == {Verdict.REFERENCE_TOO_SHORT if blocks else Verdict.NO_REFERENCE}
    assert all("horizon" in f.reason for f in found) or not blocks


def test_edges_at_the_ends_of_the_doubles() -> None:
    """No overflow, and a shift is still seen; only the Wasserstein distance has no scale to be told in."""
    edges = (-1.7e308, -1.0, 0.0, 1.0, 1.7e308)
    rows = np.array([[0, 250, 250, 250, 250, 0]] * 60)
    reference = make_reference([Feature("wild", Source.FEATURE, Kind.NUMBER, edges=edges)], [rows])
    window = np.array([0, 100, 200, 300, 400, 0, *[0] * 7], dtype=np.int32)
    finding = findings(drift_of(reference), [window])[0]
    assert finding.verdict is Verdict.ALARM
    assert "wasserstein" not in finding.distances


def test_horizons_that_cannot_run_are_named() -> None:
    """Sixty windows carry the short horizons, not the longest; the reason says which."""
    short = replace(WORLD.reference, blocks=WORLD.reference.blocks[:60], rows=WORLD.reference.rows[:60])
    found = findings(drift_of(short), WORLD.windows(24))
    assert all(f.verdict is Verdict.WITHIN_NOISE for f in found)
    assert any("not over" in f.reason and "24" in f.reason for f in found)


def test_no_windows_no_findings() -> None:
    """Nothing recent, nothing said."""
    assert findings(DRIFT, []) == []


def test_specials_are_not_drift() -> None:
    """Half of the values missing changes n, not the verdict: nulls belong to quality."""
    window = WORLD.window()
    for i, feature in enumerate(WORLD.reference.layout.features):
        window[WORLD.reference.layout.slice(i)][feature.bins :] = 1000
    plain, with_nulls = findings(DRIFT, [WORLD.window() * 0 + window]), findings(DRIFT, [window])
    assert [f.n for f in with_nulls] == [1000] * 15
    assert [f.p_value for f in plain] == [f.p_value for f in with_nulls]


def test_zeroed_old_windows_leave_the_rest_standing() -> None:
    """A feature whose old cells were cleared is judged on its own n; the others keep theirs."""
    recent = WORLD.windows(4)
    for window in recent[:3]:
        window[WORLD.reference.layout.slice(0)] = 0
    found = findings(DRIFT, [*recent[:3], WORLD.window(shift=0.5)])
    assert found[0].verdict is Verdict.ALARM
    assert found[0].n == 1000


def test_resolution_looks_at_the_newest_half() -> None:
    """After twelve drifted windows come twelve good ones: the long horizon still alarms, the newest figures do not."""
    world = World(features=4, n=1000, reference_rows=300_000, seed=8)
    found = findings(world.drift(), [world.window(shift=0.3) for _ in range(16)] + world.windows(8))
    assert all(f.alarms and f.horizon >= 16 for f in found)
    assert all(f.distances["newest_p"] > f.alpha and f.distances["newest_effect"] < FLOOR for f in found)


def reordered(reference: Reference, order: list[int]) -> tuple[Reference, np.ndarray]:
    layout = reference.layout
    cells = np.concatenate([np.arange(layout.cells)[layout.slice(i)] for i in order])
    features = tuple(layout.features[i] for i in order)
    return replace(reference, layout=Layout(features), blocks=reference.blocks[:, cells]), cells


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(15)))
def test_order_of_features_does_not_matter(order: list[int]) -> None:
    """The same feature gets the same p-value and effect wherever it stands."""
    reference, cells = reordered(WORLD.reference, order)
    recent = [WORLD.window(shift=0.1) for _ in range(3)]
    here = {f.subject: (f.verdict, f.p_value, f.effect) for f in findings(DRIFT, recent)}
    there = {f.subject: f for f in findings(drift_of(reference), [w[cells] for w in recent])}
    for name, (verdict, p, effect) in here.items():
        assert there[name].verdict is verdict
        assert there[name].p_value == pytest.approx(p, rel=1e-6)
        assert there[name].effect == pytest.approx(effect, rel=1e-6, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 7.0), st.integers(1, 24))
def test_any_counts_give_probabilities(seed: int, size: float, count: int) -> None:
    """p in [0, 1], φ at least 1, shares in [0, 1], for counts that no reference foresaw, from none to ten millions."""
    random = np.random.default_rng(seed)
    recent: list[Cells] = [
        (random.pareto(0.5, WORLD.reference.layout.cells).clip(0, 1) * 10**size).astype(np.int32) for _ in range(count)
    ]
    for finding in findings(DRIFT, recent):
        assert_sane(finding)


def assert_sane(finding: Finding) -> None:
    if finding.p_value == finding.p_value:
        assert 0.0 <= finding.p_value <= 1.0
        assert finding.effect == finding.effect
    assert 1.0 <= finding.phi < np.inf
    for change in finding.changes:
        assert 0.0 <= change.reference <= 1.0
        assert 0.0 <= change.current <= 1.0


def test_work_comes_in_slices() -> None:
    """Nothing is judged before it is asked for, and no slice holds more than some features' findings."""
    slices = list(DRIFT.judge([Closed(3, w) for w in WORLD.windows(24)]))
    assert len(slices) >= 8
    assert max(len(part) for part in slices) <= 25


def test_a_small_window_is_told_by_cells_that_hold_something() -> None:
    """40 rows a window as the reference has them, half and half: cells that are empty then and now have larger terms
    than those, and tell nothing."""
    shares = np.zeros(12)
    shares[:2] = 0.5
    world = World(features=0, n=40, reference_rows=200_000, seed=5, texts=[shares])
    same = with_specials([(40 * shares).astype(np.int64)])
    (found,) = findings(world.drift(), [same] * 24)
    assert {change.label for change in found.changes} == {"category0", "category1"}
    assert found.current == 0.5


def test_what_hardly_varies_is_judged_though_nothing_rare_came() -> None:
    """One row in 10,000 is another value, or none is: quiet windows are within the noise, not too short a reference;
    one in a hundred is found, and the windows after it are usual, so its alert can end."""
    world = World(features=0, n=1000, reference_rows=100_000, seed=3, texts=[np.array([0.9999, 0.0001, 0.0, 0.0])] * 4)
    drift, quiet = world.drift(), [world.window(texts=[np.array([1.0, 0.0, 0.0, 0.0])] * 4) for _ in range(4)]
    assert {(f.verdict, f.p_value) for f in findings(drift, quiet)} == {(Verdict.WITHIN_NOISE, 1.0)}
    moved = world.window(texts=[np.array([0.98, 0.02, 0.0, 0.0])] * 4)
    after = findings(drift, [*quiet, moved, *quiet])
    assert all(f.alarms for f in findings(drift, [*quiet, moved]))
    assert any(f.alarms for f in after)
    assert {f.distances["newest_p"] for f in after} == {1.0}


def test_a_flag_is_told_by_true_and_false() -> None:
    """Nobody on call knows which bin is which; that there are true and false is no secret."""
    random = np.random.default_rng(8)
    blocks = np.hstack((random.multinomial(500, (0.7, 0.3), size=50), np.zeros((50, 7)))).astype(np.int32)
    reference = make_reference([Feature("paid", Source.FEATURE, Kind.FLAG)], [blocks[:, :2]])
    (found,) = findings(drift_of(reference), [np.array([250, 250, *[0] * 7], np.int32)])
    assert found.alarms
    assert {(change.label, change.plain) for change in found.changes} == {("true", True), ("false", True)}
