"""The one connection to Redis. Used in a thread, never waits longer than a second or so, and after a failure leaves
Redis alone for a while: what waits, waits here."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha1
from typing import Any, NoReturn

from agent.config.label_store import LabelStore
from agent.errors import ConfigurationError, RetryableError

TIMEOUT_SECONDS = 1.0  # of connecting, and of each answer
AGAIN_SECONDS = (0.25, 15.0)  # after the first failure, and at most
log = logging.getLogger("sidelight.labels")


class Link:
    """errors: failures by their kind (connection, certificate, timeout, out_of_memory, read_only, refused, loading,
    other). reason: the newest's, "" while all is well. monotonic: seconds, to be turned in tests."""

    def __init__(self, store: LabelStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        try:
            import redis
        except ImportError:
            expected = "the package redis, which is not installed: pip install 'sidelight-agent[redis]'"
            raise ConfigurationError("SIDELIGHT_LABEL_STORE", store, expected) from None
        self.store, self._monotonic = store, monotonic
        self._redis: Any = redis
        self._client = _client(redis, store)
        self.errors: Counter[str] = Counter()
        self.reason, self.seconds = "", 0.0
        self._again_at, self._failed, self._until = 0.0, 0, math.inf

    def ready(self) -> bool:
        """Whether to ask at all: not so soon after a failure."""
        return self._monotonic() >= self._again_at

    def hurry(self) -> None:
        """Once more, however short ago it failed: there is no later."""
        self._again_at = 0.0

    def begin(self, seconds: float) -> None:
        """A round begins, whose scripts have so long; the one that is late is the last."""
        self._until = self._monotonic() + seconds

    def script(self, text: str, *arguments: bytes | int | str | float) -> Any:
        """Runs a script. Raises RetryableError where there is no answer; whether it ran is not known then."""
        if self._monotonic() > self._until:
            raise RetryableError("label store: the round took too long")
        try:
            return self.ask("EVALSHA", _sha(text), 0, *arguments)
        except self._redis.exceptions.NoScriptError:
            return self.ask("EVAL", text, 0, *arguments)

    def ask(self, *command: bytes | int | str | float) -> Any:
        """Raises RetryableError where there is no answer."""
        exceptions, began = self._redis.exceptions, self._monotonic()
        try:
            answer = self._client.execute_command(*command)
        except exceptions.NoScriptError:
            raise
        except (exceptions.RedisError, OSError, ValueError) as error:
            self._fail(_kind(error, exceptions))
        self._succeed(self._monotonic() - began)
        return answer

    def _succeed(self, seconds: float) -> None:
        self.seconds = seconds
        if self.reason:
            log.info("label_store_back store=%s after=%d failures", self.store, self._failed)
        self.reason, self._failed, self._again_at = "", 0, 0.0

    def _fail(self, kind: str) -> NoReturn:
        """Never says more than the kind: what a server or a library says of an error may hold what was sent."""
        self.errors[kind] += 1
        if self.reason != kind:
            log.warning("label_store_failed store=%s reason=%s: labels and predictions wait here", self.store, kind)
        first, most = AGAIN_SECONDS
        self._again_at = self._monotonic() + min(most, first * 2 ** min(self._failed, 10))
        self.reason, self._failed = kind, self._failed + 1
        raise RetryableError(f"label store: {kind}") from None

    def show(self) -> dict[str, Any]:
        """For the status."""
        return {
            "address": str(self.store),
            "up": not self.reason,
            "reason": self.reason,
            "errors": dict(self.errors),
            "answer_seconds": self.seconds,
        }

    def close(self) -> None:
        self._client.close()


def _sha(text: str) -> str:
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


def _client(redis: Any, store: LabelStore) -> Any:
    """One connection, no retries of its own: when to try again is decided here."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    where: dict[str, Any] = {"host": store.host, "port": store.port}
    if store.path:
        where = {"unix_socket_path": store.path}
    if store.tls:
        where |= {"ssl": True} | ({"ssl_ca_certs": store.authority} if store.authority else {})
    return redis.Redis(
        **where, db=store.db, username=store.user or None, password=store.password or None,
        socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0),
        max_connections=1, protocol=2,
    )  # fmt: skip


def _kind(error: Exception, exceptions: Any) -> str:
    """In one word."""
    text = str(error)
    kinds = (
        ("certificate", "CERTIFICATE_VERIFY_FAILED" in text),
        ("timeout", isinstance(error, exceptions.TimeoutError)),
        ("loading", isinstance(error, exceptions.BusyLoadingError)),
        ("read_only", isinstance(error, exceptions.ReadOnlyError) or "READONLY" in text or "MISCONF" in text),
        ("out_of_memory", isinstance(error, exceptions.OutOfMemoryError) or "OOM" in text),
        (
            "refused",
            isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError)
            or any(word in text for word in ("NOAUTH", "WRONGPASS", "NOPERM", "ACLs")),
        ),
        ("connection", isinstance(error, exceptions.ConnectionError | OSError)),
    )
    return next((kind for kind, fits in kinds if fits), "other")
