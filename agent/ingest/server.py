"""The gRPC door: raw bytes in and out, on a unix socket and, when asked, on TCP."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import fnmatch
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from agent.config import Settings, socket_path
from agent.errors import ConfigurationError
from agent.ingest.admission import Admission

SERVICE = "sidelight.v1.Recorder"
SLACK_BYTES = 1 << 20  # above our own limit, so that our typed refusal comes before gRPC's
log = logging.getLogger("sidelight.server")
Permitted = Callable[[str], bool]
Context = Any  # grpc.aio.ServicerContext, which has no types of its own


class Server:
    """Serves Recorder, health and reflection. `start` raises ConfigurationError where it cannot listen."""

    def __init__(self, settings: Settings, admission: Admission) -> None:
        self._settings, self._admission = settings, admission
        self.path = socket_path(settings)
        self.tcp_port = 0
        self._lock = -1
        self._tokens = _read_tokens(settings.tokens_file) if settings.tokens_file else None
        self._health = health.aio.HealthServicer()
        self._servers: list[grpc.aio.Server] = []

    def claim(self) -> None:
        """Takes the socket's lock, before any state is touched: one agent a socket."""
        try:
            self._take_lock()
        except ConfigurationError:
            self._release()
            raise

    async def start(self) -> None:
        """Listens. Call `claim` first."""
        unix = self._build(open_=True)
        before = os.umask(0o777 & ~self._settings.socket_mode)
        try:
            unix.add_insecure_port(f"unix:{self.path}")
        except RuntimeError as error:
            raise ConfigurationError(
                "SIDELIGHT_ENDPOINT", f"unix:{self.path}", f"a path that can be bound ({error})"
            ) from None
        finally:
            os.umask(before)
        os.chmod(self.path, self._settings.socket_mode)
        self._servers.append(unix)
        if self._settings.tcp:
            self._servers.append(self._tcp())
        for server in self._servers:
            await server.start()
        await self.set_serving(True)

    async def set_serving(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, status)

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, lets running ones end, gives the socket back."""
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
        if self._lock >= 0:
            self.path.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _build(self, open_: bool) -> grpc.aio.Server:
        limit = self._settings.message_bytes_max + SLACK_BYTES
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.so_reuseport", 0),
                ("grpc.max_concurrent_streams", 1024),
            ]
        )
        handlers: dict[str, Any] = {
            "Record": grpc.unary_unary_rpc_method_handler(self._unary(open_)),
            "RecordStream": grpc.stream_stream_rpc_method_handler(self._stream(open_)),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    def _unary(self, open_: bool) -> Any:
        handle = self._admission.handle

        async def record(raw: bytes, context: Context) -> bytes:
            answer = handle(raw) if open_ else handle(raw, await self._identify(context))
            if answer.hints.retry_after_seconds:
                wait_ms = str(int(answer.hints.retry_after_seconds * 1000))
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "the agent is behind; try again later",
                    (("grpc-retry-pushback-ms", wait_ms),),
                )
            return answer.SerializeToString()

        return record

    def _stream(self, open_: bool) -> Any:
        async def record_stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            permitted = None if open_ else await self._identify(context)
            async for raw in requests:
                yield self._admission.handle(raw, permitted).SerializeToString()

        return record_stream

    def _tcp(self) -> grpc.aio.Server:
        s = self._settings
        server = self._build(open_=self._tokens is None)
        try:
            if s.tls_cert_file:
                pair = (Path(s.tls_key_file).read_bytes(), Path(s.tls_cert_file).read_bytes())
                authority = Path(s.client_ca_file).read_bytes() if s.client_ca_file else None
                credentials = grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)
                self.tcp_port = server.add_secure_port(s.tcp, credentials)
            else:
                self.tcp_port = server.add_insecure_port(s.tcp)
        except RuntimeError as error:
            raise ConfigurationError("SIDELIGHT_TCP", s.tcp, f"an address that can be bound ({error})") from None
        return server

    async def _identify(self, context: Context) -> Permitted:
        """Which models this caller may write. Aborts the call where the token is unknown."""
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        patterns = (self._tokens or {}).get(str(given).removeprefix("Bearer ").strip())
        if patterns is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
            raise AssertionError("abort raises")
        return lambda model: any(fnmatch.fnmatchcase(model, pattern) for pattern in patterns)

    def _take_lock(self) -> None:
        """Holds the path's lock for as long as the agent lives: a second server on a path silently takes it over."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o770)
            if folder.parent == Path("/tmp") and folder.stat().st_uid != os.getuid():  # noqa: S108 - that is the point
                raise PermissionError(errno.EPERM, "this folder in /tmp is another user's")
            lock = self.path.with_name(self.path.name + ".lock")
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            taken = error.errno in (errno.EWOULDBLOCK, errno.EAGAIN)
            expected = "a path no other agent holds" if taken else f"a folder that can be written ({error.strerror})"
            raise ConfigurationError("SIDELIGHT_ENDPOINT", f"unix:{self.path}", expected) from None
        if self.path.exists() or self.path.is_symlink():
            if not self.path.is_socket():
                raise ConfigurationError("SIDELIGHT_ENDPOINT", f"unix:{self.path}", "a path where no other file lies")
            if _answers(self.path):
                raise ConfigurationError("SIDELIGHT_ENDPOINT", f"unix:{self.path}", "a path no other server listens on")
            self.path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _read_tokens(path: str) -> dict[str, tuple[str, ...]]:
    """TOKEN PATTERN[,PATTERN…], a line each; # begins a comment."""
    tokens = {}
    try:
        text = Path(path).read_text()
    except ValueError:
        raise ConfigurationError("SIDELIGHT_TOKENS_FILE", path, "a file of UTF-8 text") from None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if len(words) == 2:
            tokens[words[0]] = tuple(words[1].split(","))
        elif words:
            raise ConfigurationError(
                "SIDELIGHT_TOKENS_FILE", f"{path}, line {number}", "TOKEN MODEL-PATTERN[,MODEL-PATTERN…]"
            )
    return tokens
