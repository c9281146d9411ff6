"""Fixed thresholds: the verdict is the user's, and the rate at which noise passes it is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.bins import Feature
from agent.config import Threshold
from agent.drift.fixed import FixedDrift, Nulls
from agent.drift.pooling import Cells
from agent.evaluate import Judge
from agent.ledger import Dial, Ledger
from agent.records import Closed, Finding, Floats, Kind, Source, Verdict
from agent.reference.profile import Reference
from tests.drift.worlds import World, make_reference, with_specials, zipf

PSI = (Threshold("psi", 0.2),)


def reference(shares: Floats, rows: int, seed: int, blocks: int = 50, wander: float = 0.0) -> Reference:
    """One number in so many bins, or one text where the last two shares are 0; wander: of the windows' own shares."""
    random = np.random.default_rng(seed)
    counts = []
    for _ in range(blocks):
        moved = shares * np.exp(wander * random.normal() * np.linspace(-1.0, 1.0, shares.size))
        counts.append(random.multinomial(rows // blocks, moved / moved.sum()))
    if shares[-1] == 0.0:
        names = tuple(f"category{i}" for i in range(shares.size - 2))
        feature = Feature("x", Source.FEATURE, Kind.TEXT, categories=names)
    else:
        feature = Feature("x", Source.FEATURE, Kind.NUMBER, edges=tuple(float(i) for i in range(shares.size - 1)))
    return make_reference([feature], [np.array(counts)])


def nulls_of(made: Reference, rule: Sequence[Threshold]) -> Nulls:
    return Nulls(made, rule, Cells.of(made.layout, made.share, made.pooled))


def rate(nulls: Nulls, rows: int) -> float:
    """Worked out to its end."""
    for _ in nulls.prepare(0, rows):
        pass
    return nulls.rate(0, rows).sampled


TEN = np.full(10, 0.1)
EDGES = tuple(float(i) for i in range(9))


@pytest.mark.parametrize(("n", "known"), [(50, 0.45), (100, 0.036)])
def test_the_rate_is_that_of_the_known_table(n: int, known: float) -> None:
    """PSI > 0.2 with ten bins and no drift: .45 of windows of 50 rows, .036 of 100, where empty bins get next to
    nothing. The PSI shown here adds half a count to every bin, which lowers it: its rate is that of its own formula."""
    random = np.random.default_rng(20)
    now, then = random.multinomial(n, TEN, size=20_000), random.multinomial(5_000, TEN, size=20_000)
    plain = _psi(np.maximum(now / n, 1e-4), then / 5_000)
    assert float((plain > 0.2).mean()) == pytest.approx(known, rel=0.1)
    shown = float((_psi((now + 0.5) / (n + 5.0), (then + 0.5) / 5_005.0) > 0.2).mean())
    found = rate(nulls_of(reference(TEN, 5_000, seed=1), PSI), n)
    assert shown / 1.6 < found < shown * 1.6
    assert found < known < 3 * found


def _psi(p: np.ndarray, q: np.ndarray) -> Floats:
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=1))


def test_many_categories_pass_by_noise_alone() -> None:
    """200 Zipf categories, 500 rows: PSI > 0.2 in most windows; 10,000 rows: never."""
    nulls = nulls_of(reference(zipf(200), 50_000, seed=2), PSI)
    assert rate(nulls, 500) > 0.8
    assert rate(nulls, 10_000) < 1e-9


@pytest.mark.parametrize(
    ("distance", "limit"),
    [("psi", 0.063), ("ks", 0.082), ("jensen_shannon", 0.1075), ("chi_square", 25.0), ("wasserstein", 0.149)],
)
def test_the_fitted_tail_agrees_with_many_more_trials(
    distance: str, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few per mille of windows pass: over seven references, 400 trials and a fit are by the median within a factor of
    two of counting 20,000."""
    n, rule = 400 if distance != "chi_square" else 1_000, (Threshold(distance, limit),)
    fitted = float(np.median([rate(nulls_of(reference(TEN, 50_000, seed), rule), n) for seed in range(30, 37)]))
    monkeypatch.setattr("agent.drift.fixed.TRIALS", 20_000)
    counted = rate(nulls_of(reference(TEN, 50_000, seed=30), rule), n)
    assert 0.0005 < counted < 0.01
    assert counted / 2 < fitted < counted * 2


def findings(measure: FixedDrift, *windows: np.ndarray) -> list[Finding]:
    recent = [Closed(i, with_specials([counts])) for i, counts in enumerate(windows)]
    return [finding for part in measure.judge(recent) for finding in part]


def measure(made: Reference, rule: tuple[Threshold, ...] = PSI) -> FixedDrift:
    return FixedDrift(made, Ledger.of(Dial(), made.layout, 3600.0), rule)


def test_the_threshold_decides_and_says_what_it_costs() -> None:
    """Noise of 60 rows over 0.2 alarms, though it is noise: the alarm says how often, by window and by day."""
    made = reference(TEN, 50_000, seed=4)
    fixed = measure(made)
    random = np.random.default_rng(5)
    windows = [random.multinomial(60, TEN) for _ in range(40)]
    told = [findings(fixed, counts)[0] for counts in windows]
    alarms = [f for f in told if f.alarms]
    assert len(alarms) == sum(f.distances["psi"] > 0.2 for f in told)
    assert len(alarms) > 3
    assert "psi 0.2" in alarms[0].reason
    assert "fixed threshold" in alarms[0].reason
    assert "of windows of 60 rows beside 50,000, " in alarms[0].reason
    assert "times a day" in alarms[0].reason
    share = fixed.cost.false_alarms_per_day / 24 if fixed.cost else 0.0
    assert abs(len(alarms) / 40 - share) < 0.3
    assert {f.verdict for f in told} == {Verdict.ALARM, Verdict.UNDER_THRESHOLD}
    assert all("newest_p" not in f.distances for f in told)  # so that the alert ends with the threshold, not with p


def test_the_price_is_logged_at_start_and_again_once_rows_are_known(caplog: pytest.LogCaptureFixture) -> None:
    """At start for windows as the reference's (1,000 rows), then, once, for those that came (60), with N both times."""
    made = reference(TEN, 50_000, seed=4)
    judge = Judge(made, Dial(), made.layout.window_seconds, PSI)
    (start,) = [record.getMessage() for record in caplog.records]
    assert "rule=psi>0.2 rows=1000 (expected) reference_rows=50000 features=1 " in start
    assert float(start.rpartition("=")[2]) < 1e-3
    recent: list[Closed] = []
    for i in range(5):
        recent.append(Closed(i, with_specials([np.random.default_rng(i).multinomial(60, TEN)])))
        assert [f for part in judge.judge(recent) for f in part]
    (_, later) = [record.getMessage() for record in caplog.records]
    assert "rows=60 (seen) reference_rows=50000 features=1 " in later
    assert float(later.rpartition("=")[2]) > 1.0


def test_a_feature_that_the_reference_never_held_has_no_price() -> None:
    """Nor does it stop the agent from starting."""
    there, gone = (Feature(name, Source.FEATURE, Kind.NUMBER, edges=EDGES) for name in ("there", "gone"))
    counts = np.random.default_rng(3).multinomial(1_000, TEN, size=50)
    made = make_reference([there, gone], [counts, np.zeros_like(counts)])
    assert measure(made).price(1_000).features == 1
    assert measure(make_reference([gone], [np.zeros_like(counts)])).price(1_000).features == 0


def test_the_calibrated_rule_stays_silent_on_the_same_noise() -> None:
    """What the fixed threshold calls drift is within the noise."""
    made = reference(TEN, 50_000, seed=4)
    calibrated = measure(made)._drift
    random = np.random.default_rng(5)
    for _ in range(40):
        closed = [Closed(0, with_specials([random.multinomial(60, TEN)]))]
        assert not any(f.alarms for part in calibrated.judge(closed) for f in part)


def test_a_reference_that_wanders_by_itself_costs_more() -> None:
    """Its own windows pass the threshold more often than resampled ones: the larger rate is told."""
    made = reference(TEN, 50_000, seed=6, wander=0.45)
    nulls = nulls_of(made, PSI)
    for _ in nulls.prepare(0, 1_000):
        pass
    found = nulls.rate(0, 1_000)
    assert found.sampled < 1e-3
    assert found.share == found.own > 0.02


def test_few_rows_are_not_judged_whatever_the_threshold() -> None:
    """Eight rows alarm on nothing."""
    counts = np.zeros(10)
    counts[3] = 8
    (found,) = findings(measure(reference(TEN, 50_000, seed=7)), counts)
    assert found.verdict is Verdict.NOT_ENOUGH_ROWS


def test_a_distance_the_feature_does_not_have_never_passes() -> None:
    """ks is for numbers: a text under it is judged by the other threshold, or by none."""
    made = reference(zipf(5), 50_000, seed=8)
    assert rate(nulls_of(made, (Threshold("ks", 0.01),)), 1_000) == 0.0
    gone = np.array([0, 0, 0, 0, 1000, 0, 0])
    (found,) = findings(measure(made, (Threshold("ks", 0.01), Threshold("l_infinity", 0.3))), gone)
    assert found.alarms
    assert "ks" not in found.reason


def test_the_work_comes_in_slices_and_only_once() -> None:
    """A second window of nearly the same size costs nothing; the same seed gives the same rate."""
    made = reference(zipf(2_000), 50_000, seed=9)
    nulls = nulls_of(made, PSI)
    assert sum(1 for _ in nulls.prepare(0, 1_000)) > 10
    assert sum(1 for _ in nulls.prepare(0, 980)) == 0
    assert rate(nulls_of(made, PSI), 1_000) == nulls.rate(0, 1_000).sampled


def test_a_season_is_in_the_price_and_in_the_finding() -> None:
    """A sine of .3 σ over the day: the threshold is held against the whole reference, and so are n, N and the price:
    what it tells is what happens in eight quiet days."""
    world = World(features=3, n=300, reference_rows=300 * 24 * 28, seed=5, daily=0.3)
    fixed = measure(world.reference, (Threshold("psi", 0.15),))
    alarms = []
    for _ in range(24 * 8):
        closed = world.closed()
        world.hour += 1
        alarms += [f.alarms for part in fixed.judge([closed]) for f in part]
    assert fixed.cost is not None
    (last, *_) = (f for part in fixed.judge([closed]) for f in part)
    assert last.n_reference == 300 * 24 * 28
    assert "compared with" not in last.reason
    told = fixed.cost.false_alarms_per_day / 24 / 3
    assert told > 0.1
    assert np.mean(alarms) == pytest.approx(told, rel=0.2)
