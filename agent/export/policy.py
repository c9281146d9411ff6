"""What OTLP (specification 1.11) says to do about a failure. The one place that decides it, for every transport."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

from agent.errors import PermanentError, RetryableError

GRPC_RETRYABLE = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
HTTP_RETRYABLE = frozenset({429, 502, 503, 504})
RECEIVER_RETRYABLE = HTTP_RETRYABLE | {408, 500}
PAUSE_FIRST_SECONDS = 1.0
PAUSE_MAX_SECONDS = 60.0
ASKED_MAX_SECONDS = 3_600.0
SAID_MAX = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """The backend took the request, but for `rejected` of its items (a partial success; never sent again)."""

    rejected: int = 0
    message: str = ""


class Transport(Protocol):
    """One way to one backend for one signal. packed: whether it wants gzip or the bare bytes."""

    packed: bool

    async def send(self, payload: bytes) -> Answer:
        """Raises RetryableError or PermanentError, as the functions below decide, and nothing else."""
        ...

    async def close(self) -> None: ...


def grpc_failure(code: str, message: str, retry_delay: float | None) -> RetryableError | PermanentError:
    """retry_delay: seconds from RetryInfo, None without one. RESOURCE_EXHAUSTED is retryable only with it."""
    said = f"{code}: {message}"[:SAID_MAX]
    if code in GRPC_RETRYABLE or (code == "RESOURCE_EXHAUSTED" and retry_delay is not None):
        return RetryableError(said, retry_delay or 0.0)
    return PermanentError(said)


def http_failure(status: int, message: str, retry_after_seconds: float = 0.0) -> RetryableError | PermanentError:
    """retry_after_seconds: as `asked_seconds` reads the header; 0: none."""
    said = f"HTTP {status}: {message}"[:SAID_MAX]
    if status in HTTP_RETRYABLE:
        return RetryableError(said, retry_after_seconds)
    return PermanentError(said)


def asked_seconds(retry_after: str, answered: str, now_ns: int) -> float:
    """Of an answer's headers Retry-After (RFC 9110, 10.2.3: seconds, or a date) and Date: how long to wait, from 0 to
    `ASKED_MAX_SECONDS`; 0 where nothing, or nothing that can be read, is asked.

    A date is compared with the answer's own: the two clocks need not agree. Without one, with now_ns.

    >>> asked_seconds("120", "", 0), asked_seconds("Thu, 01 Jan 1970 00:02:00 GMT", "", 30 * 10**9)
    (120.0, 90.0)
    """
    if re.fullmatch(r"[0-9]{1,12}", retry_after.strip()):
        return min(float(retry_after), ASKED_MAX_SECONDS)
    until = _moment(retry_after)
    if until is None:
        return 0.0
    now = _moment(answered)
    return min(max(until - (now_ns / 1e9 if now is None else now), 0.0), ASKED_MAX_SECONDS)


def _moment(said: str) -> float | None:
    """An HTTP date in seconds since 1970; None for anything else."""
    try:
        found = parsedate_to_datetime(said)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def receiver_failure(status: int, message: str, retry_after_seconds: float = 0.0) -> RetryableError | PermanentError:
    """As `http_failure`, of a receiver of alerts: no protocol forbids to try again after an error of its own."""
    if status in RECEIVER_RETRYABLE and status not in HTTP_RETRYABLE:
        return RetryableError(f"HTTP {status}: {message}"[:SAID_MAX])
    return http_failure(status, message, retry_after_seconds)


def pause_seconds(failures: int, retry_after: float, chance: float) -> float:
    """How long to wait after so many failures in a row (from 1): exponential with jitter, never less than was asked.

    chance: uniform in [0, 1).

    >>> [pause_seconds(n, 0.0, 0.5) for n in (1, 2, 3, 20)]
    [0.75, 1.5, 3.0, 45.0]
    >>> pause_seconds(1, 30.0, 0.5)
    30.75
    """
    pause = min(PAUSE_FIRST_SECONDS * 2.0 ** min(failures - 1, 30), PAUSE_MAX_SECONDS) * (0.5 + chance / 2)
    return pause + min(max(retry_after, 0.0), ASKED_MAX_SECONDS)
