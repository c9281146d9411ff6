"""Options: each described, each wrong value named, and the socket where the client looks for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sidelight.endpoint import Endpoint

from agent.config import DISTANCES, Threshold, load, options, socket_path, unknown
from agent.drift.distances import NAMES
from agent.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith(("SIDELIGHT_", "OTEL_")):
            monkeypatch.delenv(variable)


def test_every_option_is_described() -> None:
    """One sentence for people each, and a default that passes its own check."""
    listed = options(*load())
    assert {o.variable.split("_")[0] for o in listed} == {"SIDELIGHT", "OTEL"}
    for option in listed:
        assert option.about.endswith((".", ";")), option.variable
        assert option.origin == "default"


FINITE = (
    "CHECKPOINT_SECONDS",
    "SPOOL_AGE_SECONDS",
    "WINDOW_SECONDS",
    "LATENESS_SECONDS",
    "FUTURE_SECONDS",
    "RETIRE_SECONDS",
    "FALSE_ALARMS_PER_DAY",
    "LATENCY_OBJECTIVE_SECONDS",
    "COLLECT_SECONDS",
)
WRONG = [
    ("SIDELIGHT_ENDPOINT", "localhost:4317"),
    ("SIDELIGHT_ENDPOINT", "unix:/" + "x" * 120),
    ("SIDELIGHT_ENDPOINT", "unix:relative"),
    ("SIDELIGHT_SOCKET_MODE", "rwx"),
    ("SIDELIGHT_SOCKET_MODE", "7777"),
    ("SIDELIGHT_TCP", "nowhere"),
    ("SIDELIGHT_TCP", "h:99999"),
    ("SIDELIGHT_TCP", "0.0.0.0:4000"),
    ("SIDELIGHT_HTTP", "x"),
    ("SIDELIGHT_CHECKPOINT_SECONDS", "0"),
    ("SIDELIGHT_ROWS_MAX", "many"),
    ("SIDELIGHT_ROWS_MAX", "0"),
    ("SIDELIGHT_TIME", "tomorrow"),
    ("SIDELIGHT_FALSE_ALARMS_PER_DAY", "0"),
    ("SIDELIGHT_REPLICAS", "0"),
    ("SIDELIGHT_DRIFT_RULE", "psi"),
    ("SIDELIGHT_DRIFT_RULE", "psi<0.2"),
    ("SIDELIGHT_DRIFT_RULE", "psi>nan"),
    ("SIDELIGHT_DRIFT_RULE", "psi>0"),
    ("SIDELIGHT_DRIFT_RULE", "ks>1"),
    ("SIDELIGHT_DRIFT_RULE", "kl>0.1"),
    ("SIDELIGHT_DRIFT_RULE", "psi>0.2,psi>0.3"),
    ("SIDELIGHT_TLS_CERT_FILE", "/nowhere/cert.pem"),
    ("SIDELIGHT_TOKENS_FILE", "/nowhere"),
    ("SIDELIGHT_LOG_LEVEL", "loud"),
    ("SIDELIGHT_WINDOW_SECONDS", "1e-10"),
    ("SIDELIGHT_SEGMENTS", "region,tier=gold"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "inf"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
    *[(f"SIDELIGHT_{name}", value) for value in ("nan", "inf") for name in FINITE],
]


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ConfigurationError: the variable, the value it has, and what was expected instead."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert caught.value.variable == variable
    assert str(caught.value.value) == value
    assert caught.value.expected
    assert value in str(caught.value)


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers carry keys: a wrong one is named, not repeated."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api key=hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert caught.value.variable == "OTEL_EXPORTER_OTLP_HEADERS"
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2")
    assert not [o for o in options(*load()) if "hunter2" in o.value]


@pytest.mark.parametrize(
    "given", [("SIDELIGHT_TLS_CERT_FILE",), ("SIDELIGHT_TLS_KEY_FILE",), ("SIDELIGHT_CLIENT_CA_FILE",)]
)
def test_half_a_tls_is_refused(given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on loopback: a certificate without its key cannot be served, an authority without TLS would check nobody."""
    (tmp_path / "x.pem").write_text("x")
    monkeypatch.setenv("SIDELIGHT_TCP", "127.0.0.1:0")
    for variable in given:
        monkeypatch.setenv(variable, str(tmp_path / "x.pem"))
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert "TLS" in str(caught.value)


def test_lists_modes_and_empties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comma separated, twice is once, `none`, octal with or without its 0; an empty variable is an unset one."""
    for variable, value in {
        "SIDELIGHT_SEGMENTS": " region, ,tier ,region", "SIDELIGHT_COLLECTORS": "none", "SIDELIGHT_SOCKET_MODE": "0600",
        "SIDELIGHT_TIME": "", "SIDELIGHT_HTTP": "none", "SIDELIGHT_ENDPOINT": "unix:///a/b.sock",
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, value)
    found, _ = load()
    assert (found.segments, found.collectors, found.socket_mode) == (("region", "tier"), (), 0o600)
    assert (found.time, found.http, found.endpoint) == ("arrival", "", "unix:/a/b.sock")
    origins = {o.variable: o.origin for o in options(found)}
    assert (origins["SIDELIGHT_SEGMENTS"], origins["SIDELIGHT_TIME"]) == ("environment", "default")


def test_unknown_variables_are_said_with_what_they_resemble() -> None:
    """A typing error names its option; those of the client, and of other programs, are known."""
    client = ("DISABLED", "TOKEN", "CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE", "ENDPOINT")
    mine = {f"SIDELIGHT_{name}": "x" for name in client} | {"PATH": "x"}
    assert unknown(mine) == []
    assert unknown({"SIDELIGHT_WINDOW_SECOND": "1"}) == [("SIDELIGHT_WINDOW_SECOND", "SIDELIGHT_WINDOW_SECONDS")]
    assert [v for v, _ in unknown({"SIDELIGHT_SERVICE_PORT": "1"})] == ["SIDELIGHT_SERVICE_PORT"]


@pytest.mark.parametrize(
    "environment",
    [
        {}, {"XDG_RUNTIME_DIR": "/run/user/77"}, {"XDG_RUNTIME_DIR": ""}, {"SIDELIGHT_ENDPOINT": "unix:/a/b.sock"},
        {"SIDELIGHT_ENDPOINT": "unix:///a/b.sock", "XDG_RUNTIME_DIR": "/run/user/77"}, {"SIDELIGHT_ENDPOINT": ""},
        {"SIDELIGHT_ENDPOINT": "unix:/a b/ü.sock"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("writable", [False, True])
def test_client_and_agent_look_in_the_same_place(
    environment: dict[str, str], writable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rule on both sides, in any environment: they find each other with nothing set."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    access, is_dir = os.access, Path.is_dir
    run = "/run/sidelight"
    monkeypatch.setattr(os, "access", lambda path, mode: writable if str(path) == run else access(path, mode))
    monkeypatch.setattr(Path, "is_dir", lambda self: writable if str(self) == run else is_dir(self))
    assert f"unix:{socket_path(load()[0])}" == Endpoint.parse(None, os.environ).target


def test_fixed_thresholds_are_read_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several distances, blanks allowed; what is shown reads back the same."""
    monkeypatch.setenv("SIDELIGHT_DRIFT_RULE", "psi > 0.2, ks>0.15")
    settings, otel = load()
    assert settings.drift_rule == (Threshold("psi", 0.2), Threshold("ks", 0.15))
    shown = next(o.value for o in options(settings, otel) if o.variable == "SIDELIGHT_DRIFT_RULE")
    assert shown == "psi>0.2,ks>0.15"


def test_a_threshold_may_be_set_on_every_shown_distance() -> None:
    """What the drift measure shows and what the option takes are the same names."""
    assert tuple(DISTANCES) == NAMES
