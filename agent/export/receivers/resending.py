"""Keeps one Alertmanager told of what fires: its memory is short on purpose, so state is sent, not events.

Nothing of it is spooled. What a replica did not take is replaced by the next post, which says how things are then; what
ended while it was away it has ended by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.clock import Clock
from agent.errors import PermanentError, RetryableError
from agent.export.accounts import Tally
from agent.export.delivery import Chance, Trouble
from agent.export.policy import pause_seconds, receiver_failure
from agent.export.posting import Posting
from agent.export.receivers.alertmanager import LIVES_INTERVALS, Labels, Replica, alert, labels, notes
from agent.export.receivers.receiver import Speaker, hidden
from agent.export.receivers.transport import TIMEOUT_SECONDS
from agent.export.spool import Amount
from agent.records import Event

BATCH = 64
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Saying:
    """What every replica is told, and how often."""

    firing: Callable[[], Sequence[Event]]
    speaker: Speaker
    runbook_url: str
    interval_seconds: float

    @property
    def lives_ns(self) -> int:
        return int(LIVES_INTERVALS * self.interval_seconds * 1e9)


@dataclass(frozen=True, slots=True)
class Known:
    """An alert a replica was told of. ended_ns: 0 while it fires."""

    notes: dict[str, str]
    starts_ns: int
    ended_ns: int = 0


class Resending:
    """One replica's lane; a slow one delays no other."""

    def __init__(self, replica: Replica, saying: Saying, tally: Tally, clock: Clock, chance: Chance) -> None:
        self._replica, self._saying, self._tally, self._clock, self._chance = replica, saying, tally, clock, chance
        tls = ssl.create_default_context() if replica.address.startswith("https:") else None
        self._posting = Posting(replica.address, tls, TIMEOUT_SECONDS, clock)
        self._trouble = Trouble(replica.signal, tally, clock)
        self._told: dict[Labels, Known] = {}
        self._woken = asyncio.Event()
        self._cut = False  # a post was begun and not taken whole

    def wake(self) -> None:
        """Alerts changed."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        failures, interval = 0, self._saying.interval_seconds
        while True:
            self._woken.clear()
            pause = interval
            try:
                await self.post()
                failures = 0
            except RetryableError as error:
                failures += 1
                self._trouble.say(str(error))
                pause = min(pause_seconds(failures, error.retry_after_seconds, self._chance()), interval)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def flush(self) -> None:
        """At the end: tells how things are if that was not told yet. No waiting."""
        if not self._woken.is_set() and not self._cut:
            return
        self._woken.clear()
        try:
            await self.post()
        except RetryableError as error:
            self._trouble.say(str(error))

    async def post(self) -> None:
        """Tells how things are now, in as many requests as it takes. Raises RetryableError when one was not taken."""
        self._cut = True
        state = self._told = self._state(self._clock.now_ns())
        if not state:
            self._trouble.say("")
        entries = list(state.items())
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            amount = Amount(len(batch))
            self._tally.found(amount)
            try:
                await self._send([self._entry(of, known) for of, known in batch])
            except RetryableError:
                self._tally.let_go(amount, SUPERSEDED)
                raise
            except PermanentError as error:
                self._tally.settled(amount, len(batch))
                self._trouble.say(str(error))
            except BaseException:  # cancelled on its way: the next start tells it again
                self._tally.let_go(amount, SUPERSEDED)
                raise
            else:
                self._tally.settled(amount, 0)
                self._trouble.say("")
            for of, known in batch:
                if known.ended_ns:
                    self._told.pop(of, None)
        self._cut = False

    def _state(self, now_ns: int) -> dict[Labels, Known]:
        """What fires, and what ended and was not yet said to have, while the replica would still believe it fires."""
        saying = self._saying
        firing = {
            labels(each, saying.speaker): Known(dict(notes(each, saying.runbook_url)), each.time_ns)
            for each in saying.firing()
        }
        ended = {
            of: known if known.ended_ns else Known(known.notes, known.starts_ns, now_ns)
            for of, known in self._told.items()
            if of not in firing
        }
        return firing | {of: known for of, known in ended.items() if now_ns - known.ended_ns <= saying.lives_ns}

    def _entry(self, of: Labels, known: Known) -> dict[str, Any]:
        now_ns = self._clock.now_ns()
        ends_ns = known.ended_ns or now_ns + self._saying.lives_ns
        return alert(of, known.notes, min(known.starts_ns, now_ns), ends_ns)

    async def _send(self, entries: Sequence[dict[str, Any]]) -> None:
        secret = self._replica.authorization.get_secret_value()
        headers = [("Content-Type", "application/json"), *([("Authorization", secret)] if secret else [])]
        reply = await self._posting.post(json.dumps(entries).encode(), headers)
        if not 200 <= reply.status < 300:
            raise receiver_failure(reply.status, hidden(reply.text, secret), reply.retry_after_seconds)
