"""The standard variables: where each signal goes, what is refused at start, what is never shown."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.config import Otel
from agent.errors import ConfigurationError
from agent.export import resource
from agent.export.destination import UNSET, Destination, Nowhere, resolve

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def _way(signal: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Destination | Nowhere:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return resolve(signal, config.load()[1])


@pytest.mark.parametrize(
    ("endpoint", "kind", "address", "tls"),
    [
        ("http://c:4317", "grpc", "c:4317", False),
        ("https://c:4317", "grpc", "c:4317", True),
        ("http://c:4318", "http", "http://c:4318/v1/traces", False),
        ("https://c/otlp/", "http", "https://c/otlp/v1/traces", True),
        ("c:4317", "grpc", "c:4317", True),
        ("c", "grpc", "c:4317", True),
        ("unix:///run/otel.sock", "grpc", "unix:///run/otel.sock", False),
    ],
)
def test_the_endpoint_decides_protocol_and_tls(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, kind: str, address: str, tls: bool
) -> None:
    """Port 4317 and bare names speak gRPC, URLs HTTP with the signal's path added; https and bare names TLS."""
    way = _way("traces", monkeypatch, **{BASE: endpoint})
    assert isinstance(way, Destination)
    assert (way.kind, way.address, way.tls) == (kind, address, tls)


def test_a_signals_own_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its endpoint is used as it is; what it leaves unset comes from the general variables."""
    way = _way(
        "metrics",
        monkeypatch,
        **{
            BASE: "http://c:4317",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://prometheus:9090/api/v1/otlp/v1/metrics",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=x%3Dy",
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        },
    )
    assert isinstance(way, Destination)
    assert (way.kind, way.address) == ("http", "http://prometheus:9090/api/v1/otlp/v1/metrics")
    assert (way.headers, way.timeout_seconds, way.gzip) == ((("a", "1"), ("b", "x=y")), 2.5, False)
    traces = _way("traces", monkeypatch)
    assert isinstance(traces, Destination)
    assert (traces.address, traces.timeout_seconds) == ("c:4317", 10.0)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, UNSET),
        ({BASE: "http://c:4317", "OTEL_METRICS_EXPORTER": "none"}, "OTEL_METRICS_EXPORTER=none"),
        ({BASE: "http://c:4317", "OTEL_METRICS_EXPORTER": "Prometheus"}, "OTEL_METRICS_EXPORTER=prometheus"),
        ({BASE: "http://c:4317", "OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED"),
    ],
)
def test_no_way_out_has_a_reason(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], reason: str) -> None:
    """Nothing set, none, prometheus and disabled each say so."""
    assert _way("metrics", monkeypatch, **variables) == Nowhere(reason)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (BASE, "ftp://c"),
        (BASE, "http://user:secret@c:4317"),
        (BASE, "user:secret@c:4317"),
        (BASE, "http://c:99999"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "A-Bin=secret"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "a=secret%0Ab"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/does/not/exist.pem"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
    ],
)
def test_a_wrong_value_stops_the_start(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The error names the variable and never shows a secret."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as raised:
        config.load()
    assert raised.value.variable == variable
    assert "secret" not in str(raised.value).replace("(secrets go into the headers)", "")


def test_headers_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the options, nor the group, nor a destination show them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x=hunter2")
    monkeypatch.setenv(BASE, "http://c:4317")
    _, otel = config.load()
    shown = [repr(otel), str(config.options(otel)), *(repr(resolve(s, otel)) for s in ("traces", "logs"))]
    assert not [text for text in shown if "hunter2" in text]


def test_every_variable_says_what_it_does() -> None:
    """A description for each, and a unit for each number."""
    for option in config.options(Otel()):
        assert option.about, option.variable
        assert option.unit or not option.default.replace(".", "").isdigit(), option.variable


def _attributes(tmp_path: Path, **options: Any) -> dict[str, str]:
    built = resource.build(Otel(**options), tmp_path)
    return {pair.key: pair.value.string_value for pair in built.attributes}


def test_the_resource_has_a_name_and_a_lasting_id(tmp_path: Path) -> None:
    """The agent's own name and version, nothing of the SDK's; an id that stays with the folder."""
    first = _attributes(tmp_path)
    assert set(first) == {"service.name", "service.version", "service.instance.id"}
    assert first["service.name"] == "sidelight-agent"
    assert uuid.UUID(first["service.instance.id"])
    assert _attributes(tmp_path)["service.instance.id"] == first["service.instance.id"]
    assert _attributes(tmp_path / "other")["service.instance.id"] != first["service.instance.id"]
    (tmp_path / "instance-id").write_text("not an id")
    assert uuid.UUID(_attributes(tmp_path)["service.instance.id"])


def test_given_attributes_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the agent's own and over detectors, OTEL_SERVICE_NAME most of all; no UTF-8: question marks."""
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "service.name=a,service.instance.id=mine,k8s.pod.name=x%2Cy,host.name=me,b=\udcff"
    )
    monkeypatch.setenv("OTEL_SERVICE_NAME", "b")
    found = _attributes(tmp_path, experimental_resource_detectors="otel,host")
    assert (found["service.name"], found["service.instance.id"], found["k8s.pod.name"]) == ("b", "mine", "x,y")
    assert (found["host.name"], found["b"]) == ("me", "?")


@pytest.mark.parametrize(
    ("names", "there", "absent"),
    [
        ("host", "host.arch", "os.type"),
        ("host, os", "os.type", "process.pid"),
        ("*", "process.pid", "none"),
    ],
)
def test_detectors_add_what_they_find(tmp_path: Path, names: str, there: str, absent: str) -> None:
    """Those that OTEL_EXPERIMENTAL_RESOURCE_DETECTORS names, and no other."""
    found = _attributes(tmp_path, experimental_resource_detectors=names)
    assert there in found
    assert absent not in found


def test_an_unknown_detector_stops_the_start(tmp_path: Path) -> None:
    """The error names the variable and the detectors there are."""
    with pytest.raises(ConfigurationError, match=r"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS.*host.*process"):
        _attributes(tmp_path, experimental_resource_detectors="host,hots")
