"""The running agent's ledgers: reckoned once the traffic is known, and again when it changed."""

from __future__ import annotations

import math
from collections import deque
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.config import Threshold
from agent.evaluate import Judge
from agent.ledger import Dial
from agent.records import Closed, Finding, ModelKey, Source, Verdict
from agent.report.outlooks import Outlooks
from agent.watching import Watch
from tests.drift.worlds import World

WORLD = World(features=3, n=500, reference_rows=50_000, seed=1)
JUDGE = Judge(WORLD.reference, Dial(), 3600.0)


def watch(judge: Judge | None = JUDGE, rows: int = 500, windows: int = 3) -> Watch:
    recent = deque(Closed(i, WORLD.window(), rows=rows) for i in range(windows))
    series = SimpleNamespace(key=ModelKey("m", "1"), recent=recent, window_ns=3_600_000_000_000)
    return Watch(cast("Any", series), judge)


async def test_a_model_has_an_outlook_once_a_window_closed() -> None:
    """Without a judge or a window: none. Then the headline, every check, the dial's split."""
    outlooks = Outlooks()
    for blind in (watch(judge=None), watch(windows=0)):
        await outlooks.look([blind])
        assert outlooks.of(blind) is None
    one = watch()
    await outlooks.look([one])
    told = outlooks.of(one)
    assert told is not None
    assert "smallest shift seen within a day" in told["headline"]
    assert told["rows_per_window"] == 500
    assert {"drift", "missing", "absent"} <= {sight["check"] for sight in told["sights"]}
    assert sum(row["share"] for row in told["split"]) == pytest.approx(1.0)


async def test_traffic_that_changed_is_reckoned_anew() -> None:
    """A tenth more rows: as before. Three times as many: smaller shifts."""
    outlooks = Outlooks()
    seen = []
    for rows in (500, 550, 1500):
        one = watch(rows=rows)
        await outlooks.look([one])
        told = outlooks.of(one)
        assert told is not None
        seen.append(told["rows_per_window"])
    assert seen == [500, 500, 1500]


async def test_a_fixed_rule_says_its_cost_once_a_window_was_judged_by_it() -> None:
    """Before: no figure. After: alarms a day; drift has no calibrated power then."""
    judge = Judge(WORLD.reference, Dial(), 3600.0, (Threshold("psi", 0.02),))
    one, outlooks = watch(judge=judge), Outlooks()
    await outlooks.look([one])
    before = outlooks.of(one)
    assert before is not None
    assert before["fixed_rule"] is None
    assert all(sight["check"] != "drift" for sight in before["sights"])
    findings = [f for part in judge.judge(list(one.series.recent)) for f in part]
    after = outlooks.of(one)
    assert after is not None
    assert after["fixed_rule"]["features"] == 3
    assert after["fixed_rule"]["false_alarms_per_day"] > 20  # 3 features, 24 windows, hardly ever under 0.02
    assert sum(f.alarms for f in findings) >= 2


async def test_the_traffic_s_own_power_is_the_volume_check_s() -> None:
    """What the newest volume finding reckoned stands in the ledger."""
    one, outlooks = watch(), Outlooks()
    one.findings = (
        Finding(
            "volume", "traffic", Source.ROW, Verdict.WITHIN_NOISE, expected=1.0, phi=36.0,
            distances={"smallest_ratio": 1.6, "windows_for_double": 2.0},
        ),
    )  # fmt: skip
    await outlooks.look([one])
    told = outlooks.of(one)
    assert told is not None
    (volume,) = (sight for sight in told["sights"] if sight["check"] == "volume")
    # Half of the cases at 1.6; four of five where the traffic itself wanders by a tenth (φ 36 at 3,600 rows).
    assert volume["seen"][0]["smallest"] == pytest.approx(1.6 * math.exp(0.8416 * 0.1), rel=1e-3)
    assert {"duplicates", "volume"} <= {sight["check"] for sight in told["sights"]}
