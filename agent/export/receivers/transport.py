"""A spooled body's way to its receiver."""

from __future__ import annotations

import ssl

import xxhash

from agent.clock import Clock
from agent.errors import PermanentError
from agent.export.policy import Answer, receiver_failure
from agent.export.posting import Posting
from agent.export.receivers.receiver import Receiver, hidden

TIMEOUT_SECONDS = 10.0
ATTEMPTS_MAX = 5
"""How often a body is sent that the receiver answers with an error of its own (HTTP 500): it may be the body's fault,
and those behind it wait. One that is away or busy (502, 503, 504, 429) is waited for, until the body is too old."""


class ReceiverTransport:
    """POSTs JSON, sealed at the moment it leaves."""

    packed = False

    def __init__(self, receiver: Receiver, clock: Clock) -> None:
        self._receiver, self._clock = receiver, clock
        tls = ssl.create_default_context() if receiver.address.startswith("https:") else None
        self._posting = Posting(receiver.address, tls, TIMEOUT_SECONDS, clock)
        self._failing, self._attempts = b"", 0

    async def send(self, payload: bytes) -> Answer:
        sealed = self._receiver.seal(payload, self._clock.now_ns() // 1_000_000_000)
        reply = await self._posting.post(sealed.body, (("Content-Type", "application/json"), *sealed.headers))
        if 200 <= reply.status < 300 or reply.status in self._receiver.known:
            return Answer()
        failure = receiver_failure(reply.status, hidden(reply.text, sealed.secret), reply.retry_after_seconds)
        if reply.status in (408, 500) and self._given_up(payload):
            raise PermanentError(f"{failure} ({ATTEMPTS_MAX} times)")
        raise failure

    async def close(self) -> None:
        """Nothing stays open between two requests."""

    def _given_up(self, payload: bytes) -> bool:
        digest = xxhash.xxh3_128_digest(payload)
        self._attempts = self._attempts + 1 if digest == self._failing else 1
        self._failing = digest
        return self._attempts >= ATTEMPTS_MAX
