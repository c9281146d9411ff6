"""The gRPC door: one agent a socket, health and reflection, TCP with tokens and TLS."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from agent.config import Settings
from agent.errors import ConfigurationError
from agent.ingest.server import SERVICE, Server
from agent.wire import recorder_pb2 as wire
from tests.certificates import certificates, needed
from tests.ingest.door import Door, row, rows

RECORD = f"/{SERVICE}/Record"
Make = Callable[..., Server]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A server that has not started, with these options."""

    def build(**options: str) -> Server:
        for name, value in {"endpoint": f"unix:{tmp_path}/run/a.sock", **options}.items():
            monkeypatch.setenv(f"SIDELIGHT_{name.upper()}", value)
        return Server(Settings(), Door(tmp_path / "journal").admission)

    return build


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    server.claim()
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


async def _record(channel: grpc.aio.Channel, model: str = "m", token: str = "") -> wire.RecordResponse:
    call: Any = channel.unary_unary(RECORD, response_deserializer=wire.RecordResponse.FromString)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    answer: wire.RecordResponse = await call(
        rows(row(a=1.0), model=model).SerializeToString(), metadata=metadata, timeout=60
    )
    return answer


@pytest.mark.parametrize(("given", "mode"), [("0660", 0o660), ("600", 0o600), ("0777", 0o777)])
async def test_the_sockets_mode_is_set(given: str, mode: int, make: Make) -> None:
    """Whatever the umask; and a record gets through."""
    async with serving(make(socket_mode=given)) as server:
        assert stat.S_IMODE(server.path.stat().st_mode) == mode
        async with grpc.aio.insecure_channel(f"unix:{server.path}") as channel:
            assert (await _record(channel)).accepted == 1
    assert not server.path.exists()


async def test_a_second_agent_is_refused_and_harms_nobody(make: Make) -> None:
    """The path is locked: the second names the option and goes; the first one's socket stays, whatever it cleans."""
    async with serving(make()) as first:
        second = make()
        with pytest.raises(ConfigurationError) as caught:
            second.claim()
        assert caught.value.variable == "SIDELIGHT_ENDPOINT"
        await second.stop(0)
        async with grpc.aio.insecure_channel(f"unix:{first.path}") as channel:
            assert (await _record(channel)).accepted == 1
        with pytest.raises(ConfigurationError):
            make().claim()
    async with serving(make()):
        pass  # after the first has gone the path is free


async def test_a_stale_socket_is_removed_a_strangers_is_not(make: Make) -> None:
    """What a killed agent left behind is no obstacle; a socket somebody listens on is not taken over."""
    server = make()
    server.path.parent.mkdir(parents=True)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(server.path))
    stale.close()
    async with serving(server):
        pass
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(server.path))
        stranger.listen()
        with pytest.raises(ConfigurationError):
            make().claim()


def test_a_folder_that_cannot_be_made_is_named(make: Make, tmp_path: Path) -> None:
    """Configuration, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as caught:
        make(endpoint=f"unix:{tmp_path}/file/a.sock").claim()
    assert caught.value.variable == "SIDELIGHT_ENDPOINT"


async def test_health_and_reflection_answer(make: Make) -> None:
    """grpc.health.v1 follows `set_serving`, and reflection lists the service."""
    async with serving(make()) as server, grpc.aio.insecure_channel(f"unix:{server.path}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == 1
        await server.set_serving(False)
        assert (await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == 2
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        listed = [s.name async for a in stub.ServerReflectionInfo(asked) for s in a.list_services_response.service]
        assert SERVICE in listed


async def test_a_full_queue_is_resource_exhausted(make: Make) -> None:
    """With a delay in the trailing metadata, which gRPC clients obey by themselves."""
    server = make()
    server._admission._queue.bytes_max = 0
    async with serving(server), grpc.aio.insecure_channel(f"unix:{server.path}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _record(channel)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"]) > 0


async def test_tcp_is_off_unless_asked_and_loopback_needs_no_guard(make: Make) -> None:
    """A port of its own beside the socket."""
    async with serving(make()) as server:
        assert server.tcp_port == 0
    async with serving(make(tcp="127.0.0.1:0")) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.tcp_port}")
        assert (await _record(channel)).accepted == 1
        await channel.close()


async def test_a_port_that_is_taken_is_named(make: Make) -> None:
    """Two agents on one port: the second says which option is wrong."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = make(tcp=f"127.0.0.1:{taken.getsockname()[1]}")
        server.claim()
        with pytest.raises(ConfigurationError) as caught:
            await server.start()
        await server.stop(0)
    assert caught.value.variable == "SIDELIGHT_TCP"


async def test_a_token_says_which_models_may_be_written(make: Make, tmp_path: Path) -> None:
    """Unknown token: unauthenticated. Known: its patterns only, refused by record. The socket asks for none."""
    (tmp_path / "tokens").write_text("# who\nsecret fraud-*,churn\n\nother *  # everything\n")
    async with serving(make(tcp="127.0.0.1:0", tokens_file=str(tmp_path / "tokens"))) as server:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.tcp_port}") as channel:
            for token in ("", "wrong"):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await _record(channel, "churn", token)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert (await _record(channel, "fraud-eu", "secret")).accepted == 1
            assert (await _record(channel, "churn", "secret")).accepted == 1
            refused = await _record(channel, "credit", "secret")
            assert (refused.accepted, refused.refusals[0].reason) == (0, wire.REASON_NOT_PERMITTED)
            assert (await _record(channel, "credit", "other")).accepted == 1
            stream: Any = channel.stream_stream(f"/{SERVICE}/RecordStream")
            with pytest.raises(grpc.aio.AioRpcError):
                _ = [a async for a in stream(iter([b""]))]
        async with grpc.aio.insecure_channel(f"unix:{server.path}") as channel:
            assert (await _record(channel, "credit")).accepted == 1


@pytest.mark.parametrize("body", [b"one two three\n", b"lonely\n", b"\xff\xfe x\n"])
def test_a_broken_tokens_file_is_named(body: bytes, make: Make, tmp_path: Path) -> None:
    """With its line, before anything is served."""
    (tmp_path / "tokens").write_bytes(body)
    with pytest.raises(ConfigurationError) as caught:
        make(tcp="127.0.0.1:0", tokens_file=str(tmp_path / "tokens"))
    assert caught.value.variable == "SIDELIGHT_TOKENS_FILE"


@needed
async def test_tls_with_and_without_a_clients_certificate(make: Make, tmp_path: Path) -> None:
    """mTLS: who shows a certificate of the authority is let in, who shows none or speaks no TLS is not."""
    files = await asyncio.to_thread(certificates, tmp_path)
    authority, key, chain = await asyncio.to_thread(
        lambda: [Path(files[name]).read_bytes() for name in ("ca.pem", "own.key", "own.pem")]
    )
    options: dict[str, Any] = {"tls_cert_file": files["own.pem"], "tls_key_file": files["own.key"]}
    async with serving(make(tcp="127.0.0.1:0", client_ca_file=files["ca.pem"], **options)) as server:
        target = f"localhost:{server.tcp_port}"
        known = grpc.ssl_channel_credentials(authority, key, chain)
        async with grpc.aio.secure_channel(target, known) as channel:
            assert (await _record(channel)).accepted == 1
        for opened in (grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(authority)),
                       grpc.aio.insecure_channel(target)):  # fmt: skip
            async with opened as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await _record(channel)
