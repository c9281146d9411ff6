"""Starting, stopping and asking: what a wrong option says, what a second agent may not do, what the pages tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from agent.config import Otel, Settings
from agent.wire import recorder_pb2 as wire
from tests.end_to_end import stream
from tests.end_to_end.backends import alerts, serving, spans
from tests.end_to_end.harness import ROOT, AgentProcess
from tests.end_to_end.traffic import RECORD, ROWS, WELL, Fault, kept, replay, sending, window
from tests.ports import free_port


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    folder = tmp_path_factory.mktemp("options")
    with AgentProcess(folder, SIDELIGHT_TCP=f"127.0.0.1:{free_port()}") as running:
        yield running


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SIDELIGHT_", "OTEL_"))}
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *words],
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SIDELIGHT_WINDOW_SECONDS", "-5", "at least 0"),
        ("SIDELIGHT_ENDPOINT", "localhost:4000", "unix:/"),
        ("SIDELIGHT_TIME", "tomorrow", "'arrival' or 'event'"),
        ("SIDELIGHT_TCP", "0.0.0.0:7000", "loopback"),
        ("SIDELIGHT_COLLECTORS", "cpu,gpv", "gpu"),
        ("SIDELIGHT_STATE_DIR", "/proc/nowhere", "written"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector", "http://host:port"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sum", "cumulative"),
    ],
)
def test_a_wrong_value_ends_the_start_by_name(tmp_path: Path, variable: str, value: str, expected: str) -> None:
    """Exit 2, one line: the variable, its value, what was expected; no traceback."""
    own = {"SIDELIGHT_STATE_DIR": str(tmp_path), "SIDELIGHT_ENDPOINT": f"unix:{tmp_path}/a.sock"}
    done = command("run", **{**own, variable: value})
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{variable}={value}" in line
    assert expected in line


def test_a_second_agent_leaves_the_first_alone(agent: AgentProcess, tmp_path: Path) -> None:
    """Same socket, same state folder, same port: each ends with 2 and names what is taken; the first goes on."""
    before = kept(agent.status())
    other = {
        "SIDELIGHT_ENDPOINT": f"unix:{tmp_path}/other.sock",
        "SIDELIGHT_STATE_DIR": str(tmp_path / "other"),
        "SIDELIGHT_HTTP": f"127.0.0.1:{free_port()}",
    }
    for variable in other:
        done = command("run", **{**other, variable: agent.environment[variable]})
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert f"{variable}={agent.environment[variable]}" in done.stderr
    assert agent.record(window(0)).accepted == ROWS
    assert agent.wait_for(lambda s: kept(s) == before + ROWS)["agent"]["pid"] == agent.process.pid  # type: ignore[union-attr]


def test_config_lists_every_option_with_its_origin() -> None:
    """Every variable of both groups, each with value and origin; what is secret is not shown."""
    done = command("config", SIDELIGHT_WINDOW_SECONDS="60", OTEL_EXPORTER_OTLP_HEADERS="api-key=hush")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    for group, prefix in ((Settings, "SIDELIGHT_"), (Otel, "OTEL_")):
        for name in group.fields:
            (line,) = (entry for entry in lines if entry.startswith(f"{prefix}{name}".upper() + " "))
            assert "[default" in line or "[environment" in line
    assert any("SIDELIGHT_WINDOW_SECONDS" in line and "60" in line and "[environment" in line for line in lines)
    assert "hush" not in done.stdout


def test_status_without_an_agent_says_so() -> None:
    """Exit 1 and one line with the address asked."""
    address = f"127.0.0.1:{free_port()}"
    for words in (("status",), ("status", "--json"), ("status", "--check")):
        done = command(*words, SIDELIGHT_HTTP=address)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert address in line


def test_status_with_an_agent(agent: AgentProcess) -> None:
    """`status`, `--json` and `--check` show what the pages show."""
    agent.record(window(1))
    own = {"SIDELIGHT_HTTP": agent.environment["SIDELIGHT_HTTP"]}
    agent.wait_for(lambda s: kept(s) >= ROWS)
    assert "loan" in command("status", **own).stdout
    assert json.loads(command("status", "--json", **own).stdout)["models"][0]["name"] == "loan"
    done = command("status", "--check", **own)
    assert (done.returncode, done.stdout.strip()) == (0, "ready")


def test_the_pages_answer(agent: AgentProcess) -> None:
    """/healthz, /readyz, /status and the local page; anything else is 404."""
    assert agent.get("/healthz")[0] == 200
    assert agent.get("/readyz") == (200, "ready\n")
    assert agent.status()["agent"]["endpoint"] == f"unix:{agent.socket}"
    assert agent.get("/")[1].startswith("<!doctype html")
    assert agent.get("/secret")[0] == 404


def test_tcp_when_asked(agent: AgentProcess) -> None:
    """The same service on loopback; the socket's mode is what was set."""
    before = kept(agent.status())
    with grpc.insecure_channel(agent.environment["SIDELIGHT_TCP"]) as channel:
        call = channel.unary_unary(
            RECORD, request_serializer=bytes, response_deserializer=wire.RecordResponse.FromString
        )
        assert call(window(2).SerializeToString(), timeout=60, wait_for_ready=True).accepted == ROWS
    agent.wait_for(lambda s: kept(s) == before + ROWS)
    assert agent.socket.stat().st_mode & 0o777 == 0o660


def test_a_stale_socket_is_no_obstacle(tmp_path: Path) -> None:
    """SIGKILL leaves the socket behind; the next start takes it over."""
    with AgentProcess(tmp_path) as agent:
        agent.kill()
        assert agent.socket.is_socket()
        agent.start()
        assert agent.record(window(0)).accepted == ROWS
        assert agent.stop() == 0
    assert not agent.socket.exists()


def test_sigterm_says_what_is_left_and_ends_with_0(tmp_path: Path) -> None:
    """No checkpoint came yet: the last one brings alerts and spans into the spool, and the flush to the backend."""
    stream.reference(tmp_path / "loan.sidelight")
    with serving("http/protobuf") as (backend, url):
        options = {
            "SIDELIGHT_REFERENCE": str(tmp_path / "loan.sidelight"),
            "SIDELIGHT_TIME": "event",
            "SIDELIGHT_CHECKPOINT_SECONDS": "60",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_METRICS_EXPORTER": "none",
        }
        with AgentProcess(tmp_path, **options) as agent:
            replay(agent, [(0, WELL), (1, Fault(broken=True)), (2, WELL)])
            with sending(agent) as send:
                request = window(2)
                request.columns.trace_ids = b"\1" * 16 + bytes(16 * (ROWS - 1))
                request.columns.span_ids = b"\2" * 8 + bytes(8 * (ROWS - 1))
                assert send(request).accepted == ROWS
            assert agent.stop() == 0
        assert [r.event_name for r in alerts(backend)] == ["sidelight.alert.firing"]
        assert len(spans(backend)) == 1
