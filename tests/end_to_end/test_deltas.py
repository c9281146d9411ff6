"""Delta temporality through SIGKILLs: what arrived adds up to what the agent counted."""

from __future__ import annotations

import itertools
import random
import sqlite3
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from agent.wire import state_pb2 as state
from tests.end_to_end import stream
from tests.end_to_end.backends import attributes, metrics, serving
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.test_kill import Sender

Span = tuple[int, int]


def _by_series(backend: Any) -> dict[tuple[str, ...], dict[Span, Any]]:
    """Every counter's and histogram's points by series and the time they are of: an answer may be lost with the agent,
    and then the same point comes twice, told by its times."""
    found: dict[tuple[str, ...], dict[Span, Any]] = defaultdict(dict)
    for _, metric in metrics(backend):
        for point in [*metric.sum.data_points, *metric.exponential_histogram.data_points]:
            name = metric.name, *(f"{k}={v}" for k, v in sorted(attributes(point.attributes).items()))
            span = point.start_time_unix_nano, point.time_unix_nano
            assert found[name].setdefault(span, point) == point
    return found


def _count(point: Any) -> int:
    return int(point.count if hasattr(point, "scale") else point.as_int)


def test_deltas_of_a_killed_agent_add_up(tmp_path: Path) -> None:
    """Counters that the journal restores lose and double nothing, and their points follow one another."""
    chance = random.Random(11)
    stream.reference(tmp_path / "loan.sidelight")
    with serving("http/protobuf") as (backend, url):
        agent = AgentProcess(
            tmp_path,
            SIDELIGHT_REFERENCE=str(tmp_path / "loan.sidelight"),
            SIDELIGHT_TIME="event",
            SIDELIGHT_CHECKPOINT_SECONDS="0.3",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{url}/v1/metrics",
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
            OTEL_METRIC_EXPORT_INTERVAL="1000",
        ).start()
        sender = Sender(agent)
        sender.start()
        for _ in range(4):
            time.sleep(chance.uniform(0.3, 2.0))
            agent.kill()
            agent.start()
        sender.end()
        assert agent.stop() == 0
        series = _by_series(backend)
    with sqlite3.connect(tmp_path / "state" / "state.db") as db:
        (body,) = db.execute("SELECT body FROM blob WHERE key LIKE 'series/%'").fetchone()
    counted = state.Series.FromString(body)
    sums = {name: sum(map(_count, points.values())) for name, points in series.items()}
    ((_, predictions),) = [each for each in sums.items() if each[0][0] == "sidelight.predictions"]
    ((_, durations),) = [each for each in sums.items() if each[0][0] == "sidelight.prediction.duration"]
    assert predictions == counted.counters.values["kept"] > 0
    assert durations == predictions
    bins = sum(count for name, count in sums.items() if name[0] == "sidelight.feature.bin.values")
    assert bins % predictions == 0
    assert bins // predictions >= 4  # every feature's row is in one of its bins
    for name, points in series.items():
        spans = sorted(points)
        if "sidelight.model.name=loan" in name:
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans)), name
