"""Counters and histograms over a restart: what is stored goes on, what is not begins anew; points say which."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import stream
from tests.end_to_end.backends import attributes, metrics, serving
from tests.end_to_end.everything import CHALLENGER, CHAMPION, OPTIONS, answers, loaded, truth
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import ROWS, sending

SAMPLED, LABELLED = "sidelight.shadow.pairs", "sidelight.labelled"  # a few requests find no place in its table
LIVES = (range(8), range(8, 14))
STORED = {
    "sidelight.predictions", "sidelight.windows", "sidelight.feature.bin.values", "sidelight.prediction.duration",
    "sidelight.labels", "sidelight.label.settled", "sidelight.label.delay", "sidelight.performance.outcomes",
    "sidelight.fairness.group.records", "sidelight.shadow.pairs", "sidelight.capture.rows",
}  # fmt: skip

Series = tuple[str, ...]


def _play(agent: AgentProcess, windows: range) -> None:
    """Both versions' answers to the same requests; their truth comes a window later."""
    before = agent.status()["agent"]["offset"]
    with sending(agent) as send:
        for version in (CHAMPION, CHALLENGER):
            send(loaded(version))
        for index in windows:
            for version in (CHAMPION, CHALLENGER):
                assert send(answers(index, version)).accepted == ROWS
            if index:
                assert send(truth(index - 1, index)).accepted == ROWS
    agent.wait_for(lambda status: status["agent"]["offset"] >= before + 2 * len(windows))


def _points(folder: Path, temporality: str) -> dict[Series, list[Any]]:
    """The points of every counter and histogram about a model, by series, over two lives of an agent."""
    folder.mkdir()
    stream.reference(folder / "loan.sidelight")
    with serving("http/protobuf") as (backend, url):
        agent = AgentProcess(
            folder, **OPTIONS, SIDELIGHT_REFERENCE=str(folder / "loan.sidelight"),
            SIDELIGHT_CAPTURE=str(folder / "set"), SIDELIGHT_CHECKPOINT_SECONDS="0.3",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{url}/v1/metrics",
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality, OTEL_METRIC_EXPORT_INTERVAL="1000",
        )  # fmt: skip
        with agent:
            _play(agent, LIVES[0])
            assert agent.stop() == 0
            agent.start()
            _play(agent, LIVES[1])
            assert agent.stop() == 0
        found: dict[Series, list[Any]] = defaultdict(list)
        for _, metric in metrics(backend):
            for point in [*metric.sum.data_points, *metric.exponential_histogram.data_points]:
                about = attributes(point.attributes)
                if "sidelight.model.name" in about:
                    found[metric.name, *(f"{k}={v}" for k, v in sorted(about.items()))].append(point)
    assert {name for name, *_ in found} >= STORED
    return found


def _count(point: Any) -> float:
    return float(point.count) if hasattr(point, "scale") else float(getattr(point, point.WhichOneof("value")))


@pytest.fixture(scope="module")
def totals(tmp_path_factory: pytest.TempPathFactory) -> dict[Series, list[Any]]:
    return _points(tmp_path_factory.mktemp("resume") / "totals", "cumulative")


def test_a_total_that_goes_on_began_when_it_began(totals: dict[Series, list[Any]]) -> None:
    """One start over both lives and no fall; a start that moves is one of a counter that is nothing again."""
    for series, points in totals.items():
        points.sort(key=lambda point: point.time_unix_nano)
        for one, other in itertools.pairwise(points):
            same = one.start_time_unix_nano == other.start_time_unix_nano
            assert _count(other) >= _count(one) if same else _count(other) == 0, series
            assert same or series[0] not in STORED, series


def test_deltas_over_a_restart_add_up_to_the_totals(totals: dict[Series, list[Any]], tmp_path: Path) -> None:
    """The same story told in differences: nothing is told twice because the agent was stopped, and nothing left out."""
    deltas = {series: sum(map(_count, points)) for series, points in _points(tmp_path / "deltas", "delta").items()}
    told = {series: _count(points[-1]) for series, points in totals.items() if _count(points[-1])}
    exact = STORED - {SAMPLED}
    assert {series: total for series, total in deltas.items() if series[0] in exact} == {
        series: total for series, total in told.items() if series[0] in exact
    }
    (beside,) = [total for series, total in deltas.items() if series[0] == SAMPLED and f"{LABELLED}=False" in series]
    sent = ROWS * LIVES[1].stop
    assert 0.9 * sent < beside <= sent
