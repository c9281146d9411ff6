"""The catalogue's names by OpenTelemetry's conventions, and as Prometheus has them."""

from __future__ import annotations

import re

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


UCUM = {"1", "By", "Cel", "Hz", "J", "W", "s"}


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=CATALOGUE)
def test_a_metric_is_named_by_the_conventions(metric: Metric) -> None:
    """Lower case with dots; what others stand below is no plural, and neither total nor a unit is part of a name.

    Units are UCUM's without prefixes, or an annotation. opentelemetry.io/docs/specs/semconv/general/naming
    """
    for name in (metric.name, *metric.attributes):
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+", name)
        assert not [part for part in name.split(".")[:-1] if part.endswith("s") and not part.endswith(("ss", "series"))]
    assert not {"total", "seconds", "bytes", "percent"} & set(re.split(r"[._]", metric.name))
    whole, _, per = metric.unit.partition("/")
    assert whole in UCUM or re.fullmatch(r"\{[a-z_]+\}", whole)
    assert per in ("", "d")
    assert metric.description.endswith((".", "…"))
