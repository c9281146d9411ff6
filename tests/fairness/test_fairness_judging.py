"""When gaps alarm, when they do not, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent.fairness.attribute import WINDOWS_MAX
from agent.fairness.past import LEARN_WINDOWS_MAX
from agent.records import Finding, Task, Verdict
from tests.fairness.fairness_worlds import Life, World, about, batch, errors, settings


def alarms(found: list[list[Finding]], check: str = "fairness") -> list[int]:
    """Windows in which it alarms."""
    return [k for k, each in enumerate(found) if any(f.alarms and f.check == check for f in each)]


def test_approvals_drift_apart_while_the_average_holds() -> None:
    """Story 15: one group's approvals fall, the other's rise as much; found by rate, group and interval."""
    life, world = Life(about()), World(seed=1, apart=0.01)
    assert alarms(life.through(world, 60)) == []
    found = life.through(world, 4, {0: -0.1, 1: 0.1})
    first = alarms(found)[0]
    assert first <= 1
    told = found[first][0]
    assert told.subject == "gender"
    assert abs(told.current) > 0.1 > abs(told.expected)
    assert "rate" in told.reason
    assert "in group 1" in told.reason or "in group 2" in told.reason
    assert "with 95 % limits: demographic parity difference 0." in told.reason
    assert "equal opportunity difference 0." in told.reason
    assert "first 48 windows" in told.reason
    rows = [world.window({0: -0.1, 1: 0.1})[0].outputs.texts["prediction"].codes.mean() for _ in range(10)]
    assert np.mean(rows) == pytest.approx(0.5, abs=0.02)


def test_selection_alone_is_judged_without_any_label() -> None:
    """Demographic parity needs none."""
    life, world = Life(about()), World(seed=2, labelled=False)
    assert alarms(life.through(world, 50)) == []
    found = life.through(world, 3, {1: -0.2})
    assert alarms(found)
    assert found[alarms(found)[0]][0].reason.startswith("selection rate")


def test_refusing_the_qualified_is_seen_although_as_many_are_selected() -> None:
    """Equal opportunity breaks: fewer true positives, more false ones, the same number of approvals."""
    life = Life(about())
    life.through(World(seed=3), 50)
    found = life.through(World(seed=4, tpr=(0.6, 0.8), fpr=(0.4, 0.2)), 4)
    told = found[alarms(found)[0]][0]
    assert told.reason.startswith(("true positive rate", "false positive rate"))


@pytest.mark.parametrize(
    "world",
    [
        {}, {"apart": 0.02}, {"wander": 0.1}, {"rows": 150},
        {"shares": (0.7, 0.2, 0.07, 0.03), "qualified": (0.5,) * 4, "tpr": (0.8,) * 4, "fpr": (0.2,) * 4},
        {"shares": (0.95, 0.05), "tpr": (0.1, 0.1), "fpr": (0.01, 0.01)},
    ],
)  # fmt: skip
def test_nothing_alarms_where_nothing_changed(world: dict[str, object]) -> None:
    """Four days at forty times the usual dial: 0.32 false alarms are allowed. Decision 0132 has long runs."""
    found = Life(about(dial=2.0)).through(World(seed=5, **world), 96)  # type: ignore[arg-type]
    assert alarms(found) == []


def test_a_group_that_sends_more_moves_no_gap() -> None:
    """The others are weighed as they were: a campaign for one of three groups is no unfairness."""
    rates: dict[str, Any] = {"qualified": (0.5,) * 3, "tpr": (0.9, 0.8, 0.3), "fpr": (0.3, 0.2, 0.1)}
    life = Life(about())
    life.through(World(seed=6, shares=(0.4, 0.3, 0.3), **rates), 50)
    assert alarms(life.through(World(seed=7, shares=(0.1, 0.1, 0.8), **rates), 24)) == []


def test_a_gap_that_was_always_there_is_no_alarm_and_a_limit_sees_it() -> None:
    """Growth is judged against the past; a limit against nothing but chance."""
    life = Life(about(settings("demographic_parity_difference>0.1,equal_opportunity_difference>0.3")))
    found = life.through(World(seed=8, tpr=(0.6, 0.9), fpr=(0.2, 0.5)), 30)
    assert alarms(found) == []
    limits = alarms(found, "fairness_limit")
    assert limits
    assert limits[0] <= 3
    told = found[limits[0]][1]
    assert told.reason.startswith("demographic parity difference 0.")
    assert "over the limit of 0.1" in told.reason


def test_the_four_fifths_rule_as_a_limit() -> None:
    """A ratio is passed downwards."""
    life = Life(about(settings("demographic_parity_ratio<0.8")))
    found = life.through(World(seed=9, tpr=(0.5, 0.8), fpr=(0.1, 0.2), labelled=False), 10)
    told = found[alarms(found, "fairness_limit")[0]][1]
    assert told.current < 0.8
    assert told.effect == pytest.approx(1.0 - told.current)


def test_a_limit_that_is_just_reached_does_not_alarm() -> None:
    """The true difference is the limit itself: its estimate is beyond it every other window."""
    life = Life(about(settings("demographic_parity_difference>0.1"), dial=2.0))
    found = life.through(World(seed=10, tpr=(0.7, 0.8), fpr=(0.1, 0.2)), 72)
    beyond = [f for each in found for f in each if f.check == "fairness_limit" and f.current > 0.1]
    assert len(beyond) > 20
    assert alarms(found, "fairness_limit") == []
    assert beyond[-1].verdict is Verdict.WITHIN_NOISE
    assert beyond[-1].reason.endswith("by no more than chance may do")


def test_errors_of_a_regression_that_grow_for_one_group() -> None:
    """Mean error and mean absolute error, in units of the mean absolute error; heavy tails alarm nothing."""
    rng, life = np.random.default_rng(11), Life(about(task=Task.REGRESSION, positive=""))

    def window(shift: float) -> list[Finding]:
        group = rng.integers(0, 2, 1_000)
        error = rng.standard_t(3, 1_000) + shift * (group == 1)
        return life.window(errors(group, error))

    assert alarms([window(0.0) for _ in range(60)]) == []
    found = [window(1.0) for _ in range(4)]
    told = found[alarms(found)[0]][0]
    assert told.reason.startswith("mean error")
    assert told.current == pytest.approx(1.0, abs=0.35) or told.current == pytest.approx(-1.0, abs=0.35)


def test_an_alarm_is_usual_again_after_the_gap_closed() -> None:
    """The newest four windows say so; longer horizons forget what they held, and do not alarm again."""
    life, world = Life(about()), World(seed=12)
    life.through(world, 50)
    assert alarms(life.through(world, 12, {0: -0.2}))
    found = life.through(world, 30)
    assert alarms(found) == list(range(len(alarms(found))))
    newest = [each[0].distances["newest_effect"] for each in found[6:]]
    assert max(newest) < 0.2
    assert len(life.follower._of["gender"].recent) == WINDOWS_MAX


def test_what_alarms_is_not_learned() -> None:
    """A gap that grows while the past is still being learned does not become the usual one."""
    life, world = Life(about()), World(seed=13)
    life.through(world, 20)
    before = len(life.follower._of["gender"].own.windows[0])
    found = life.through(world, 10, {0: -0.3})
    assert len(alarms(found)) == 10
    assert len(life.follower._of["gender"].own.windows[0]) == before == 20 < LEARN_WINDOWS_MAX


@pytest.mark.parametrize(
    ("said", "verdict", "words"),
    [
        (about(positive=""), Verdict.NO_REFERENCE, "positive label is not known"),
        (about(task=Task.UNKNOWN, positive=""), Verdict.NO_REFERENCE, "task is not known"),
        (about(task=Task.RANKING), Verdict.NO_REFERENCE, "rankings"),
        (about(settings(names=("region",))), Verdict.NO_DATA, "carries region"),
        (about(), Verdict.LEARNING, "1 windows known, 8 "),
    ],
)  # fmt: skip
def test_silence_has_a_reason(said: object, verdict: Verdict, words: str) -> None:
    """What is not known is said, by name."""
    found = Life(said).through(World(seed=14), 2)[-1][0]  # type: ignore[arg-type]
    assert (found.verdict, found.p_value != found.p_value) == (verdict, True)
    assert words in found.reason


def test_few_rows_of_a_group_are_said() -> None:
    """Nineteen are not compared."""
    found = Life(about()).window(batch(np.array([0] * 500 + [1] * 19), np.ones(519)))[0]
    assert (found.verdict, found.reason) == (Verdict.NOT_ENOUGH_ROWS, "1 groups with 20 rows, 2 are needed")


def test_without_the_option_nothing_is_held_or_said() -> None:
    """Off by default."""
    life = Life(about(settings(names=())))
    assert life.through(World(seed=15), 3) == [[], [], []]
    assert (life.follower.dump(), life.follower.show(), list(life.follower.points())) == (b"", {}, [])


def test_the_dial_is_divided_among_attributes_and_limits() -> None:
    """Two attributes have half each; limits take half of that."""
    alone = Life(about()).follower
    many = Life(about(settings("accuracy_difference>0.1", names=("gender", "region")))).follower
    said = (alone._terms(alone._about), many._terms(many._about))  # type: ignore[arg-type]
    assert said[0].alpha == pytest.approx(4 * said[1].alpha)
    assert said[1].alpha == said[1].alpha_limit
