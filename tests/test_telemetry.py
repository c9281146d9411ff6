"""The catalogue's names as Prometheus has them."""

from __future__ import annotations

import pytest

from agent.telemetry import CATALOGUE, Metric, Shape


@pytest.mark.parametrize(
    ("name", "shape", "unit", "expected"),
    [
        ("http.server.request.duration", Shape.HISTOGRAM, "s", "http_server_request_duration_seconds"),
        ("memory.usage", Shape.GAUGE, "By", "memory_usage_bytes"),
        ("requests.total", Shape.COUNTER, "{request}", "requests_total"),
        ("sidelight.volume.ratio", Shape.GAUGE, "1", "sidelight_volume_ratio"),
        ("ratio.of_things", Shape.GAUGE, "1", "of_things_ratio"),
        ("false_alarms", Shape.GAUGE, "{alarm}/d", "false_alarms_per_day"),
        ("cpu.seconds.time", Shape.COUNTER, "s", "cpu_seconds_time_total"),
    ],
)
def test_a_metric_is_called_as_prometheus_translation_calls_it(
    name: str, shape: Shape, unit: str, expected: str
) -> None:
    """Unit as a word unless it is there already, `ratio` for gauges of unit 1, `total` last for counters."""
    assert Metric(name, shape, unit, "").in_prometheus == expected


def test_names_in_prometheus_tell_the_metrics_apart() -> None:
    """No two metrics of the catalogue become one."""
    assert len({metric.in_prometheus for metric in CATALOGUE.values()}) == len(CATALOGUE)
