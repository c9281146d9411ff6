"""What nobody should send, states of another kind, and what is said where nothing can be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent import telemetry
from agent.errors import CorruptError
from agent.fairness.follower import Fairness
from agent.packed import join, pack, split, unpack
from agent.records import Task, Verdict
from tests.fairness.fairness_worlds import Life, World, about, batch, pairs, settings


def test_groups_may_be_called_other_or_unknown() -> None:
    """Exported by name they are told from those beyond the bound and those without a value."""
    names = ["other", "unknown", *(f"g{k}" for k in range(30))]
    life, rng = Life(about(settings(groups="export"))), np.random.default_rng(1)
    life.window(batch(rng.integers(-1, 32, 3_000), rng.random(3_000) < 0.5, names))
    points = [p for p in life.follower.points() if p.metric is telemetry.FAIRNESS_ROWS]
    told = [p.attributes["sidelight.fairness.group"] for p in points]
    assert len(told) == len(set(told)) == 22
    assert {"other", "unknown", "(other)", "(unknown)"} <= set(told)


def test_what_is_not_known_for_a_while_takes_nothing_back() -> None:
    """Neither threshold nor positive label nor task; another one begins anew."""
    life = Life(about(threshold=0.5))
    life.through(World(seed=2), 12)
    for said in (about(), about(positive=""), about(task=Task.UNKNOWN), about(threshold=0.5)):
        life.follower.prepare(said)
        assert len(life.follower._of["gender"].recent) == 12
    life.follower.prepare(about(threshold=0.7))
    assert life.follower._of["gender"].recent == []


def test_windows_that_were_never_closed_are_with_the_next() -> None:
    """Nothing stays open for good."""
    life = Life(about())
    predicted, joined = World(seed=3, rows=400).window()
    for index in range(5):
        life.follower.predicted(predicted, index)
        life.follower.labelled(joined, index)
    life.follower.close(4, (), 0)
    held = life.follower._of["gender"]
    assert held.open == {}
    assert held.recent[-1][1].rows.sum() == 5 * 800


@pytest.mark.parametrize(
    ("said", "chosen", "words"),
    [
        (about(positive="yes"), 1, "are they written alike?"),
        (about(), -1, "the threshold of their score is not known"),
        (about(task=Task.REGRESSION, positive=""), -1, "no true number met a predicted one"),
    ],
)
def test_nothing_to_compare_is_said(said: object, chosen: int, words: str) -> None:
    """A positive label that is written otherwise, scores without a threshold, labels without numbers."""
    life, rng = Life(said), np.random.default_rng(4)  # type: ignore[arg-type]
    groups = rng.integers(0, 2, 500)
    predicted = batch(groups, np.full(500, max(chosen, 0)))
    joined = pairs(groups, np.full(500, chosen), rng.random(500) < 0.5)
    if chosen < 0:
        object.__setattr__(predicted, "outputs", type(predicted.outputs)())
        joined.predicted[:] = math.nan
    found = life.window(predicted, joined)[0]
    assert found.verdict is Verdict.NO_DATA
    assert words in found.reason


def test_a_state_of_another_kind_is_refused() -> None:
    """More groups than names, arrays that do not fit, numbers that are none: CorruptError, and it begins anew."""
    life = Life(about())
    life.through(World(seed=5, rows=200), 9)
    closed, opened = split(life.follower.dump(), "it")
    (head, arrays), (open_head, open_arrays) = unpack(closed, "it"), unpack(opened, "it")
    own = head["of"]["gender"]
    fewer = {"of": {"gender": {**open_head["of"]["gender"], "values": ["f"]}}}
    wide = {**arrays, "1": np.zeros((9, *arrays["1"].shape[1:]))}
    wrongs = [
        join([closed]), join([closed, opened, opened]), join([closed, pack(open_head | fewer, open_arrays)]),
        join([pack(head, wide), opened]), join([pack(head, dict(list(arrays.items())[:-1])), opened]),
        join([pack(head | {"meaning": [1]}, arrays), opened]),
        join([pack(head | {"meaning": [99, "", 1]}, arrays), opened]),
        join([pack(head | {"of": {"gender": {**own, "over": math.inf}}}, arrays), opened]),
        join([pack(head | {"of": {"gender": {**own, "learned": [9]}}}, arrays), opened]),
        join([pack(head, {**arrays, "2": np.full(arrays["2"].shape, math.nan)}), opened]),
    ]  # fmt: skip
    for wrong in wrongs:
        follower = Fairness()
        follower.prepare(about())
        with pytest.raises(CorruptError):
            follower.load(wrong)
        again = Life(about(), follower)
        assert again.through(World(seed=6), 1)[0][0].verdict is Verdict.LEARNING
