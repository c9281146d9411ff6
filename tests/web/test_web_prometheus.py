"""The page that Prometheus scrapes: names, labels and histograms as its own OTLP receiver and its reader have them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from agent.clock import TurnedClock
from agent.counting import durations
from agent.telemetry import CATALOGUE, DRIFT, LATENCY, RECORDS, STATE, Exponential, Point, Shape
from agent.web.prometheus import BOUNDS, CONTENT_TYPE, Exposition, Families, target_info
from agent.web.server import WebServer
from deploy.prometheus.check import promtool
from tests.web.test_server import ask

ADVICE = ('should not have "_count" suffix',)  # OpenTelemetry's names: process.thread.count and the like
LATENCIES = Exponential(6, 4.5, 2, 1, -2, [2, 0, 0, 1, 2])  # bounds 2**(-1/4), ..., 2**(3/4)


def _lines(*points: Point) -> list[str]:
    families = Families()
    for point in points:
        families.add(point)
    return "".join(families.text()).splitlines()


def test_a_metric_has_one_head_and_all_its_lines_below() -> None:
    """Whatever the order they come in; NaN is left out, infinity has Prometheus' spelling, labels are escaped."""
    model = {"sidelight.model.name": 'a"b\\c\nd'}
    found = _lines(
        Point(RECORDS, 1, {**model, "sidelight.outcome": "kept"}), Point(DRIFT, float("nan"), {}),
        Point(DRIFT, float("-inf"), {}), Point(RECORDS, 2, {}), Point(STATE, 1, {"otel.metric.overflow": True}),
        Point(STATE, 1, {"otel.metric.overflow": 1}),
    )  # fmt: skip
    assert [line for line in found if not line.startswith("# HELP")] == [
        "# TYPE sidelight_records_total counter",
        'sidelight_records_total{sidelight_model_name="a\\"b\\\\c\\nd",sidelight_outcome="kept"} 1',
        "sidelight_records_total 2",
        "# TYPE sidelight_drift_effect gauge",
        "sidelight_drift_effect -Inf",
        "# TYPE sidelight_model_state_ratio gauge",
        'sidelight_model_state_ratio{otel_metric_overflow="true"} 1',
        'sidelight_model_state_ratio{otel_metric_overflow="1"} 1',
    ]


def test_a_histogram_has_the_same_bounds_at_every_scrape() -> None:
    """Half powers of two; what lies at or below each is exactly what the exponential buckets hold."""
    name = LATENCY.in_prometheus
    found = _lines(Point(LATENCY, LATENCIES, {"a": "b"}))[2:]
    buckets = dict(line.rsplit(" ", 1) for line in found if line.startswith(f"{name}_bucket"))
    at = {key.split('le="')[1].rstrip('"}'): int(value) for key, value in buckets.items()}
    assert len(at) == len(BOUNDS) + 1
    assert (at["0.5"], at[str(2**-0.5)], at["1.0"], at[str(2**0.5)], at["2.0"], at["+Inf"]) == (1, 1, 3, 4, 6, 6)
    assert found[-2:] == [f'{name}_sum{{a="b"}} 4.5', f'{name}_count{{a="b"}} 6']
    other = _lines(Point(LATENCY, Exponential(1, 0.1, 2, 0, -9, [1]), {"a": "b"}))[2:]
    assert [line.split()[0] for line in other] == [line.split()[0] for line in found]


def test_the_bounds_reach_as_far_as_latency_is_counted() -> None:
    """Nothing that `durations` tells apart lies beyond the first or the last of them."""
    assert 2.0 ** (BOUNDS[0] / 2) <= durations.EDGES[0]
    assert 2.0 ** (BOUNDS[-1] / 2) >= durations.EDGES[-1]


def test_the_resource_is_target_info() -> None:
    """Without what job and instance stand for; nothing where nothing is left."""
    clock = TurnedClock()
    made = Exposition(clock, lambda: iter(()), {"service.name": "a", "service.version": "1", "host.cpus": 4})
    assert b'target_info{host_cpus="4",service_version="1"} 1\n' in asyncio.run(made.page()).body
    assert target_info({}) == ""


async def test_scrapes_at_once_share_one_page_and_the_loop_keeps_turning() -> None:
    """The points are asked for once a second at most; while a long page is made, others get their turn."""
    clock, asked, turns = TurnedClock(), list[int](), list[int]()

    def points() -> Iterator[Point]:
        asked.append(1)
        for number in range(30):
            clock.turn(0.001)
            yield Point(RECORDS, number, {"sidelight.outcome": str(number)})

    async def watch() -> None:
        while len(turns) < 9:
            turns.append(1)
            await asyncio.sleep(0)

    made = Exposition(clock, points, {})
    first, second, _ = await asyncio.gather(made.page(), made.page(), watch())
    assert first.body == second.body
    assert (len(asked), len(turns)) == (1, 9)
    clock.turn(1.0)
    await made.page()
    assert len(asked) == 2


async def test_the_server_waits_for_a_slow_page() -> None:
    """It is listed, served with its type, and refuses what is not GET like any other."""
    made = Exposition(TurnedClock(), lambda: iter([Point(RECORDS, 1, {})]), {})
    server = WebServer("127.0.0.1", 0, {}, slow={"/metrics": made.page})
    await server.start()
    status, headers, body = await ask(server, "/metrics")
    assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
    assert body.endswith(b"sidelight_records_total 1\n")
    assert (await ask(server, "/metrics", "POST"))[0] == 405
    assert b"/metrics" in (await ask(server, "/elsewhere"))[2]
    await server.stop()


@pytest.mark.skipif(promtool() is None, reason="no promtool: make backends builds it")
def test_promtool_finds_nothing_to_say() -> None:
    """The whole catalogue as a page passes `promtool check metrics`, but for names that OpenTelemetry gave."""
    tool = promtool()
    assert tool is not None
    families = Families()
    for metric in CATALOGUE.values():
        families.add(Point(metric, LATENCIES if metric.shape is Shape.HISTOGRAM else 1, {"sidelight.reason": "x"}))
    page = "".join(families.text()) + target_info({"service.version": "1"})
    run = subprocess.run([tool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    said = (run.stdout + run.stderr).splitlines()
    assert run.returncode in (0, 3), said  # 3: read without an error, with advice about names
    advised = [line for line in said if not any(words in line for words in ADVICE)]
    assert advised == []
