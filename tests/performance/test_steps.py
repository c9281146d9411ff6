"""What follows labels shares the loop with records: a window's end goes in steps, more of them the more there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.config import Settings
from agent.ledger import HORIZONS
from agent.performance.drop import Baseline
from agent.performance.follower import Performance
from agent.records import Finding, Pairs, Task
from tests.performance.worlds import START, WINDOW_NS, about, pairs_of, reference_of

VALUES = 50  # of each of two keys: as many slices as there may be


def _pairs(rng: np.random.Generator, index: int, values: int, wrong: float = 0.1) -> Pairs:
    made = pairs_of(rng, 1_000, wrong, index)
    segments = {key: rng.integers(0, values, made.rows).astype(np.int32) for key in ("region", "zone")}
    return replace(made, segments=segments, names=tuple(f"v{i}" for i in range(values)))


def _steps(values: int, wrong: float = 0.1) -> list[list[Finding]]:
    """Of the end of the 24th window with so many values of each of two segment keys."""
    follower, rng = Performance(), np.random.default_rng(1)
    known = about(reference_of(30, 500), task=Task.BINARY, positive="yes")
    follower.prepare(replace(known, settings=Settings(segments=("region", "zone"))))
    for index in range(START, START + HORIZONS[-1] - 1):
        follower.labelled(_pairs(rng, index, values), index)
        follower.close(index, [], (index + 1) * WINDOW_NS)
    index = START + HORIZONS[-1] - 1
    follower.labelled(_pairs(rng, index, values, wrong), index)
    return list(follower.closing(index, [], (index + 1) * WINDOW_NS))


def test_a_close_with_a_hundred_segments_goes_in_steps() -> None:
    """Counting, the window's sums, the losses, the whole, four quarters of the slices, windows put together four at a
    time (8), two findings, the total, and the newest window packed a piece at a time."""
    assert len(_steps(2)) == 1 + 1 + 1 + 1 + 1 + 8 + 2 + 1 + 1
    assert len(_steps(VALUES)) >= 1 + 1 + 1 + 1 + 4 + 8 + 2 + 1 + 4


def test_what_a_drop_is_told_with_is_looked_for_in_steps_of_its_own() -> None:
    """The figures now, the reference's, and the worst slices by quarters come before the finding that names them."""
    quiet, alarmed = _steps(VALUES), _steps(VALUES, wrong=0.4)
    told = [finding for part in alarmed for finding in part if not finding.segment]
    assert told[0].alarms
    assert len(alarmed) >= len(quiet) + 2 + 4


def test_baselines_of_many_slices_are_made_in_many_steps() -> None:
    """While a service learns, each close makes them anew: 32 slices at a time, two sizes of groups at a time."""
    moments = np.abs(np.random.default_rng(2).normal(size=(100, 32, 2, 6))) + 50.0
    steps = list(Baseline.making(moments, np.array([True, False]), HORIZONS))
    assert len(steps) == 4 * (3 + 1) + 3
