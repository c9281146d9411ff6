"""Seasons: the reference that a window is compared with is the one of its own hour or day, where there is one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from agent.drift import Drift
from agent.drift.leave_out import Groups
from agent.drift.matching import matching_of
from agent.drift.pooling import Cells, Levels
from agent.drift.seasons import REPEATS_MIN, Cycle, Season, choose, seasons_of
from agent.ledger import Dial, Ledger
from agent.records import Closed, Ints, Verdict
from agent.reference.profile import Reference
from tests.drift.worlds import FIRST_HOUR, World, judged

HOUR_NS = 3_600_000_000_000
DAY = Cycle("hour of the day", 3600, 24)
DAILY = World(features=8, n=200, reference_rows=200 * 24 * 12, seed=31, daily=0.3)
DRIFT = DAILY.drift()


def test_a_daily_wave_is_no_drift_and_a_shift_beside_it_is() -> None:
    """±0.3 σ over the day: no alarm in two days; 0.5 σ on top is found in one window, and both say beside what."""
    recent = [DAILY.closed() for _ in range(24)]
    for _ in range(48):
        recent = [*recent[1:], DAILY.closed()]
        found = judged(DRIFT, recent)
        assert not any(f.alarms for f in found)
        assert all(f.reason.startswith("compared with the same hour of the day") for f in found)
    found = judged(DRIFT, [*recent[1:], DAILY.closed(shift=0.5)])
    assert sum(f.alarms and f.horizon == 1 for f in found) >= 6
    assert all(f.phi < 2.0 for f in found)


def test_the_right_values_at_the_wrong_hour_are_drift() -> None:
    """Noon's traffic at midnight: the reference as a whole knows such values, the same hour does not."""
    world = World(features=8, n=1000, reference_rows=1000 * 24 * 8, seed=32, daily=0.3)
    recent = [world.closed() for _ in range(12)]
    swapped = replace_index(recent[-1], recent[-1].index + 12)
    assert sum(f.alarms for f in judged(world.drift(), [swapped])) >= 6
    assert not any(f.alarms for f in judged(world.drift(), recent[-1:]))


def replace_index(closed: Closed, index: int) -> Closed:
    return Closed(index, closed.counts)


def chosen(world: World, window_seconds: float = 3600.0) -> Counter[str]:
    matching = matching_for(world.reference, window_seconds)
    return Counter(matching.cycle(k).name for k in range(len(matching.chosen)))


def matching_for(reference: Reference, window_seconds: float = 3600.0):  # type: ignore[no-untyped-def]
    cells = Cells.of(reference.layout, reference.share, reference.pooled)
    return matching_of(reference, cells, Levels(cells), window_seconds)


def test_blocks_that_are_forgotten_are_let_go() -> None:
    """A view of none of them would hold them all: 2 MiB for 60 blocks of 200 features."""
    matching = matching_for(DAILY.reference)
    assert len(matching.blocks)
    matching.forget_blocks()
    assert not len(matching.blocks)
    assert matching.blocks.base is None


def test_the_data_choose_the_season() -> None:
    """Hours, days, or nothing: what predicts a left-out block; noise alone chooses nothing."""
    assert chosen(DAILY) == {"hour of the day": 8}
    weekly = World(features=4, n=100, reference_rows=100 * 24 * 35, seed=33, weekly=0.5)
    assert chosen(weekly) == {"day of the week": 4}
    both = World(features=4, n=400, reference_rows=400 * 24 * 35, seed=34, daily=0.4, weekly=0.5)
    assert chosen(both)["hour of the week"] >= 2
    still = World(features=30, n=100, reference_rows=100 * 24 * 30, seed=35, daily=1e-9, effect=0.1, memory=0.9)
    assert chosen(still)[""] >= 29


def test_days_are_needed_to_know_a_day() -> None:
    """Three days are too few for an hour of the day, and blocks without times have no hour."""
    short = World(features=2, n=100, reference_rows=100 * 24 * 3, seed=36, daily=0.3)
    assert chosen(short) == {"": 2}
    untimed = replace(DAILY.reference, starts_ns=np.arange(len(DAILY.reference.rows)))
    assert len(seasons_of(untimed, 3600.0)) == 1


@pytest.mark.parametrize(
    ("window", "names"),
    [
        (3600.0, ("hour of the day", "day of the week", "hour of the week")),
        (900.0, ("hour of the day", "day of the week", "hour of the week")),
        (4 * 3600.0, ("time of the day", "day of the week", "time of the week")),
        (86_400.0, ("day of the week",)),
        (5000.0, ()),
        (7 * 86_400.0, ()),
    ],
)
def test_seasons_fit_the_windows_length(window: float, names: tuple[str, ...]) -> None:
    """A slot holds whole windows and whole blocks; where none can, there is no season."""
    world = World(features=1, n=50, reference_rows=50 * 24 * 35, seed=37, daily=0.1)
    assert tuple(season.cycle.name for season in seasons_of(world.reference, window)) == ("", *names)


def test_an_hour_that_the_reference_lacks_is_not_judged() -> None:
    """Traffic by night where the reference has office hours only: said, not compared with noon."""
    keep = np.array([(FIRST_HOUR + i) % 24 < 20 for i in range(len(DAILY.reference.rows))])
    reference = replace(
        DAILY.reference, blocks=DAILY.reference.blocks[keep], rows=DAILY.reference.rows[keep],
        starts_ns=DAILY.reference.starts_ns[keep],
    )  # fmt: skip
    drift = Drift(reference, Ledger.of(Dial(), reference.layout, 3600.0))
    midnight = FIRST_HOUR // 24 * 24 + 24 * 40
    night, day = Closed(midnight + 22, DAILY.window(shift=1.0)), Closed(midnight + 10, DAILY.window())
    alone = judged(drift, [night])
    assert {f.verdict for f in alone} == {Verdict.REFERENCE_TOO_SHORT}
    assert all("too few windows of this hour of the day" in f.reason for f in alone)
    assert all("left out" in f.reason and f.n == 200 for f in judged(drift, [night, day]) if f.p_value == f.p_value)


def brute(season: Season, values: np.ndarray, n: np.ndarray, used: Ints) -> tuple[float, float]:
    """The matched rest of one group, from the definition: each phase's other blocks, weighted as the group is."""
    total, mean, variance = n[used].sum(), 0.0, 0.0
    for phase in np.unique(season.phase[used]):
        mine = used[season.phase[used] == phase]
        others = np.setdiff1d(np.flatnonzero(season.phase == phase), mine)
        weight = n[mine].sum() / total
        mean += weight * values[others].sum() / n[others].sum()
        variance += weight**2 / n[others].sum()
    return mean, 1.0 / variance


@pytest.mark.parametrize("size", [1, 3, 24, 30])
def test_leaving_out_is_what_it_says(size: int) -> None:
    """Groups of one window to more than a day, against the definition, with a day missing and unequal rows."""
    hours = np.delete(np.arange(24 * 7), np.arange(50, 61)) + FIRST_HOUR
    season = Season.of(DAY, hours.astype(np.int64) * HOUR_NS)
    random = np.random.default_rng(38)
    n = random.integers(1, 50, hours.size).astype(float)
    values = random.normal(size=hours.size) * n
    groups = Groups.of(season, size)
    rows = groups.rows(n[:, None])
    mean, rest = groups.compare(values[:, None], rows)
    for group in range(groups.count):
        used = np.arange(group * size, (group + 1) * size) + groups.used.start
        expected, effective = brute(season, values, n, used)
        assert mean[group, 0] == pytest.approx(values[used].sum() / n[used].sum())
        assert rest[group, 0] == pytest.approx(expected)
        assert rows.effective[group, 0] == pytest.approx(effective)


def test_short_blocks_leave_their_whole_slot_out() -> None:
    """Ten-minute blocks of one hour resemble each other: none of them is among what a group is compared with."""
    starts = (FIRST_HOUR * 6 + np.arange(6 * 24 * 5)).astype(np.int64) * (HOUR_NS // 6)
    season = Season.of(DAY, starts)
    hour_effect = np.repeat(np.random.default_rng(39).normal(size=24 * 5), 6)[:, None]
    groups = Groups.of(season, 2)
    rows = groups.rows(np.ones_like(hour_effect))
    _, rest = groups.compare(hour_effect, rows)
    slot = season.slot[0]
    others = [hour_effect[season.slot == slot + 24 * day].mean() for day in range(1, 5)]
    assert rest[0, 0] == pytest.approx(np.mean(others))
    assert rows.effective[0, 0] == pytest.approx(24.0)


def test_matched_rows_mix_as_the_windows_do() -> None:
    """Two hours with unequal rows: the reference's shares of both hours, in that mixture, worth what they are worth."""
    matching = matching_for(DAILY.reference)
    recent = [DAILY.closed(), DAILY.closed()]
    recent[1].counts[:] *= 3
    found = list(matching.beside(recent, (1, 2), 3600.0))[1]
    phase = np.array([(FIRST_HOUR + i) % 24 for i in range(len(DAILY.reference.rows))])
    hours = [DAILY.reference.blocks[phase == c.index % 24][:, matching.cells.take].sum(axis=0) for c in recent]
    rows = [matching.cells.sums(h.astype(float)) for h in hours]
    owner = matching.cells.owner
    expected = 0.25 * hours[0] / rows[0][owner] + 0.75 * hours[1] / rows[1][owner]
    np.testing.assert_allclose(found.n_reference, 1.0 / (0.25**2 / rows[0] + 0.75**2 / rows[1]), rtol=1e-6)
    np.testing.assert_allclose(found.reference / found.n_reference[owner], expected, rtol=1e-5)
    np.testing.assert_allclose(found.n, 800.0)
    assert (found.variance > 0.7).all()
    assert (found.variance < 1.5).all()


def test_a_season_must_pay_for_its_rows() -> None:
    """A tenth of the error and two standard errors: less is left alone, and the coarser of equals is kept."""
    random = np.random.default_rng(40)
    whole = random.chisquare(1, (300, 3)) * 2.0
    barely = whole * 0.95
    clearly = whole * 0.5
    assert choose([whole, barely, clearly]).tolist() == [2, 2, 2]
    assert choose([whole, barely]).tolist() == [0, 0, 0]
    assert choose([whole, clearly, clearly * 0.95]).tolist() == [1, 1, 1]


def test_phases_need_repeats() -> None:
    """A phase seen on fewer days than REPEATS_MIN is not known."""
    hours = np.array([*range(24 * REPEATS_MIN), 24 * REPEATS_MIN - 24 + 30]) + FIRST_HOUR
    few = np.array([h for h in hours if not (h % 24 == 3 and h < FIRST_HOUR + 24)])
    season = Season.of(DAY, few.astype(np.int64) * HOUR_NS)
    assert season.known.sum() == 23
    assert not season.known[3]
    assert season.usable
