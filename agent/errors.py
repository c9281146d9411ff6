"""Every error the agent raises on purpose, sorted by what the caller can do about it."""

from __future__ import annotations


class SidelightError(Exception):
    """The root. Nothing raises it directly."""


class ConfigurationError(SidelightError):
    """An option has a value the agent cannot run with. The command exits 2 and names it."""

    def __init__(self, variable: str, value: object, expected: str) -> None:
        self.variable, self.value, self.expected = variable, value, expected
        super().__init__(f"{variable}={value!s}: expected {expected}")


class RefusedError(SidelightError):
    """Input that was not taken; the sender is told the field and the limit, never the value."""

    def __init__(self, reason: int, field: str, detail: str, limit: int = 0) -> None:
        self.reason, self.field, self.detail, self.limit = reason, field, detail, limit
        super().__init__(f"{field}: {detail}")


class CorruptError(SidelightError):
    """Stored bytes are not what was written (checksum, shape, version). Set aside, never parsed further."""


class UnusableReferenceError(SidelightError):
    """A reference or its source data cannot be used; the message names file, column or line."""


class RetryableError(SidelightError):
    """Try again after `retry_after_seconds` (0: as the policy says)."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class PermanentError(SidelightError):
    """Trying again cannot help; the payload is dropped and counted."""


class UnavailableError(SidelightError):
    """A device, file or service that may rightly be absent. Said once."""
