"""Rare categories in several cells: what stands together, what is found, what is told of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from agent.alerting.book import WindowContext
from agent.alerting.wording import subject_of
from agent.bins import Feature, Layout, text_hash
from agent.drift import Drift
from agent.drift.pooling import Cells
from agent.drift.rare import order_of, shapeless
from agent.drift.rare_changes import SWOLLEN, rare_changes, swollen
from agent.ledger import Dial, Ledger
from agent.records import Cells as Counts
from agent.records import Finding, Floats, Ints, Kind, ModelKey, Source
from agent.reference.profile import Reference
from tests.drift.worlds import findings, make_reference, with_specials

PLAIN = (0.3, 0.25, 0.15, 0.1)
NAMES = ("shop a", "shop b", "shop c", "shop d")
RARE = tuple(f"merchant {k}" for k in range(500))
RARE_CELL = np.array([text_hash(name) % 8 for name in RARE])


def _feature(cells: int = 8, names: Sequence[str] = NAMES) -> Feature:
    seen = frozenset(map(text_hash, RARE))
    return Feature("merchant", Source.FEATURE, Kind.TEXT, categories=tuple(names), seen=seen, rare_cells=cells)


def _shares(rare: Floats, cells: int) -> Floats:
    """Of the cells, where the rare categories have these shares."""
    own = np.bincount(RARE_CELL % cells, weights=rare, minlength=cells)
    return np.array([*PLAIN, *own, *np.zeros(cells)])


def _rare(one: float = 0.0004) -> Floats:
    """500 rare categories of a fifth of the rows, the seventh with this share of all."""
    found = np.full(500, (0.2 - one) / 499)
    found[6] = one
    return found


def _world(cells: int, n: int = 1_000) -> tuple[Reference, np.random.Generator]:
    random = np.random.default_rng(41)
    counts = random.multinomial(n, _shares(_rare(), cells), size=50)
    return make_reference([_feature(cells)], [counts]), random


def _judged(cells: int, now: Floats, windows: int = 1) -> Finding:
    reference, random = _world(cells)
    drift = Drift(reference, Ledger.of(Dial(0.05), reference.layout, 3600.0))
    recent: list[Counts] = [with_specials([random.multinomial(1_000, now)]) for _ in range(windows)]
    return findings(drift, recent)[0]


def test_a_rare_category_that_swells_is_found() -> None:
    """One of 500 takes half of what they have together: nothing in one cell, an alarm in the first window in eight."""
    assert not _judged(1, _shares(_rare(0.1), 1)).alarms
    found = _judged(8, _shares(_rare(0.1), 8))
    assert found.alarms
    told = {change.label: [change.reference, change.current] for change in found.changes}
    assert found.changes[0].label == SWOLLEN
    assert told[SWOLLEN] == pytest.approx([0.025, 0.112], abs=0.02)
    assert told["other"] == pytest.approx([0.175, 0.088], abs=0.02)


def test_an_alert_says_that_a_rare_category_grew_and_not_which() -> None:
    """Of a text whose names stay in the pod too: the words hold no name."""
    found = _judged(8, _shares(_rare(0.1), 8))
    context = WindowContext(ModelKey("m"), 100, 0, 3_600 * 10**9, 1_000)
    said = subject_of(found, context)
    assert f"in {SWOLLEN}" in said.said
    assert not any(name in json.dumps([said.said, said.moved]) for name in (*NAMES, *RARE))


def test_what_is_known_by_distances_is_as_of_one_cell() -> None:
    """A fixed threshold holds for "other" as a whole: the same counts have the same distances, however many cells they
    are counted in."""
    random = np.random.default_rng(2)
    then = random.multinomial(50_000, _shares(_rare(), 8)) // 50 * 50
    now = random.multinomial(1_000, _shares(_rare(0.1), 8))
    shown = []
    for cells in (8, 1):
        merged = _feature().wholes(then), _feature().wholes(now)
        counts, beside = (then, now) if cells == 8 else merged
        reference = make_reference([_feature(cells)], [np.array([counts // 50] * 50)])
        drift = Drift(reference, Ledger.of(Dial(0.05), reference.layout, 3600.0))
        shown.append(findings(drift, [with_specials([beside])])[0].distances)
    for name in ("psi", "chi_square", "jensen_shannon", "l_infinity"):
        assert shown[0][name] == pytest.approx(shown[1][name]), name


def _groups(order: Ints, joined: np.ndarray) -> list[set[int]]:
    found: list[set[int]] = []
    for cell, along in zip(order.tolist(), joined.tolist(), strict=True):
        if along:
            found[-1].add(cell)
        else:
            found.append({cell})
    return found


def test_what_chance_listed_stands_with_those_of_its_own_hash() -> None:
    """A set of texts that the reference's noise had no part in: those of one hash, known, new, or listed by chance. The
    clearly frequent stand by themselves."""
    names = ("often", *(f"seldom {k}" for k in range(12)))
    counts = np.array([5_000, *range(12, 24), *[120] * 8, *[0] * 8], dtype=np.int64)
    order = order_of(_feature(names=names), counts)
    expected = [{13 + k, 21 + k} for k in range(8)]
    for place, name in enumerate(names[1:], start=1):
        expected[text_hash(name) % 8].add(place)
    assert sorted(map(sorted, _groups(order.cells, order.joined))) == sorted(map(sorted, [{0}, *expected]))


def test_never_seen_stands_with_other_cell_by_cell() -> None:
    """Where nothing was listed by chance as well."""
    order = order_of(_feature(), np.array([500, 400, 300, 200, *[20] * 8, *[0] * 8]))
    groups = _groups(order.cells, order.joined)
    assert [{4 + k, 12 + k} in groups for k in range(8)] == [True] * 8
    assert [{k} in groups for k in range(4)] == [True] * 4


def test_segments_and_old_references_know_one_other() -> None:
    """Few rows see large effects only: "other" is one cell there. Whatever is counted in one is ordered as it was."""
    counts = np.array([500, 400, 300, 200, *[20] * 8, *[0] * 8])
    coarse = order_of(_feature(), counts, coarse=True)
    one = order_of(_feature(1), _feature().wholes(counts))
    assert {*range(4, 20)} in _groups(coarse.cells, coarse.joined)
    assert {4, 5} in _groups(one.cells, one.joined)
    firsts = coarse.cells[~coarse.joined].tolist()
    assert firsts == [cell for cell in one.cells.tolist() if cell != 5]


def test_ids_have_fixed_sets_of_texts_to_judge() -> None:
    """Of a text of which chance listed everything, cells by hash are a share of the traffic all the same."""
    layout = Layout((_feature(1), _feature(8)))
    counts = np.array([9, 10, 11, 12, 4_000, 0, *[0] * 7, 9, 10, 11, 12, *[500] * 8, *[0] * 15])
    assert shapeless(layout, counts) == {0}
    assert Cells.of(layout, counts / 4_042, counts).features == (1,)


def test_stationary_rare_categories_do_not_alarm() -> None:
    """Four days of windows in which the rare are as rare as ever."""
    reference, random = _world(8)
    drift = Drift(reference, Ledger.of(Dial(0.05), reference.layout, 3600.0))
    windows = [with_specials([random.multinomial(1_000, _shares(_rare(), 8))]) for _ in range(119)]
    assert sum(findings(drift, windows[i : i + 24], 23 + i)[0].alarms for i in range(96)) == 0


def test_others_that_grow_together_are_told_as_one() -> None:
    """No cell of "other" is told by itself, where all of them grew alike, or by no more than chance."""
    then = np.full(8, 0.025)
    assert swollen(then, then * 2.0, 1_000.0) is None
    assert swollen(then, np.array([0.03, *[0.0243] * 7]), 1_000.0) is None
    assert swollen(then, np.array([0.0243] * 3 + [0.1] + [0.0243] * 4), 1_000.0) == 3
    feature = _feature()
    now = np.array([*np.array(PLAIN) * 0.6 / 0.8, *then * 2.0, *np.zeros(8)])
    changes = rare_changes(feature, range(20), now, np.array([*PLAIN, *then, *np.zeros(8)]), 1_000.0, 5)
    assert changes[0].label == "other"
    assert [changes[0].reference, changes[0].current] == pytest.approx([0.2, 0.4])
    assert [change.label for change in changes].count("other") == 1


def test_rare_categories_that_come_in_bursts_do_not_alarm() -> None:
    """Each one's share varies threefold from window to window: φ of their cells is known from the reference's windows,
    and that of a steady category is another."""
    random = np.random.default_rng(42)

    def window() -> Ints:
        burst = _rare() * random.gamma(1 / 9, 9.0, 500)
        return np.asarray(random.multinomial(1_000, _shares(burst * 0.2 / burst.sum(), 8)))

    reference = make_reference([_feature()], [np.array([window() for _ in range(50)])])
    drift = Drift(reference, Ledger.of(Dial(0.05), reference.layout, 3600.0))
    outlook = drift.outlook(1, np.array([1_000.0]))
    assert outlook is not None
    assert outlook.spread.wandering is not None
    by_cell = dict(zip(outlook.cells.take.tolist(), outlook.spread.wandering.phi.tolist(), strict=True))
    assert min(by_cell[cell] for cell in _feature().other) > 2.0
    assert max(by_cell[cell] for cell in range(4)) < 1.5
    windows = [with_specials([window()]) for _ in range(24 * 5)]
    assert sum(findings(drift, windows[i : i + 24], 23 + i)[0].alarms for i in range(97)) == 0


@pytest.mark.parametrize(("new", "told"), [(0.04, [0.2]), (0.3, [0.16, 0.3])])
def test_rare_ones_that_take_turns_are_others_still(new: float, told: list[float]) -> None:
    """A fifth is rare: 4 % of all never seen, and so many fewer of the others, is no change; 30 % is."""
    feature = _feature(cells=1)
    then = np.array([*PLAIN, 0.2, 0.0])
    now = np.array([*(np.array(PLAIN) * (1.0 - 0.16 - new) / 0.8), 0.16, new])
    found = rare_changes(feature, range(6), now, then, rows=1_000.0, most=6)
    assert [round(c.current, 3) for c in sorted(found, key=lambda c: c.bin) if c.bin >= 4] == told
