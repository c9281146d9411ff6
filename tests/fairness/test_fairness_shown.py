"""What leaves the agent, and what stays in the pod."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent import telemetry
from tests.fairness.fairness_worlds import MODEL, Life, World, about, settings

SECRET = ("heathen", "believer")


def lived(groups: str) -> Life:
    life, world = Life(about(settings("demographic_parity_difference>0.05", groups))), World(seed=1, names=SECRET)
    life.through(world, 20)
    life.through(world, 3, {0: -0.3})
    return life


def test_values_of_groups_stay_inside_unless_they_are_asked_for() -> None:
    """No point and no reason of a finding holds one; the page does, which is inside."""
    life = lived("numbers")
    found = life.window()
    assert all(finding.alarms for finding in found)
    told = json.dumps([dict(p.attributes) for p in life.follower.points()]) + "".join(f.reason for f in found)
    assert not any(value in told for value in SECRET)
    page = json.loads(json.dumps(life.follower.show()))["gender"]
    assert (set(page["groups"]), set(page["groups"].values())) == ({"1", "2"}, set(SECRET))


def test_values_of_groups_leave_where_the_option_says_so() -> None:
    """SIDELIGHT_FAIRNESS_GROUPS=export."""
    life = lived("export")
    found = life.window()
    groups = {p.attributes.get("sidelight.fairness.group") for p in life.follower.points()}
    assert set(SECRET) <= groups
    assert any(value in found[0].reason for value in SECRET)


def test_every_point_is_in_the_catalogue() -> None:
    """With the attributes it says, the model's besides; disparities over every horizon, with limits around them."""
    points = list(lived("numbers").follower.points())
    own = set(MODEL.attributes())
    for point in points:
        assert telemetry.CATALOGUE[point.metric.name] is point.metric
        assert set(point.attributes) - own <= set(point.metric.attributes)
    told = {
        (p.attributes["sidelight.horizon"], p.attributes["sidelight.statistic"]): float(p.value)  # type: ignore[arg-type]
        for p in points if p.attributes.get("sidelight.fairness.metric") == "demographic_parity_difference"
    }  # fmt: skip
    assert {horizon for horizon, _ in told} == {"1", "2", "4", "8", "16", "24"}
    assert told["1", "lower"] < told["1", "value"] < told["1", "upper"]
    assert told["1", "value"] == pytest.approx(0.3, abs=0.1)


def test_records_are_counted_by_group_as_they_come() -> None:
    """Predictions and labels, those of the open window too."""
    life = Life(about())
    predicted, joined = World(seed=2, rows=400).window()
    life.follower.predicted(predicted, 0)
    life.follower.labelled(joined, 0)
    counted = [p for p in life.follower.points() if p.metric is telemetry.FAIRNESS_ROWS]
    assert np.sum([p.value for p in counted]) == 800
    life.window()
    assert [p for p in life.follower.points() if p.metric is telemetry.FAIRNESS_ROWS] == counted
