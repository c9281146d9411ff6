"""What OTLP (specification 1.11) says to do about a failure. The one place that decides it, for every transport."""

from __future__ import annotations

from dataclasses import dataclass
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


def http_failure(status: int, message: str, retry_after: str = "") -> RetryableError | PermanentError:
    """retry_after: the header, in seconds; a date or nonsense counts as none."""
    said = f"HTTP {status}: {message}"[:SAID_MAX]
    if status in HTTP_RETRYABLE:
        return RetryableError(said, float(retry_after) if retry_after.strip().isdigit() else 0.0)
    return PermanentError(said)


def receiver_failure(status: int, message: str, retry_after: str = "") -> RetryableError | PermanentError:
    """As `http_failure`, of a receiver of alerts: no protocol forbids to try again after an error of its own."""
    if status in RECEIVER_RETRYABLE and status not in HTTP_RETRYABLE:
        return RetryableError(f"HTTP {status}: {message}"[:SAID_MAX])
    return http_failure(status, message, retry_after)


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
