"""One signal's way from the spool to the backend, oldest first, one request at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent.clock import Clock
from agent.errors import PermanentError, RetryableError
from agent.export.accounts import Accounts, Tally
from agent.export.policy import Answer, Transport, pause_seconds
from agent.export.spool import Stored

log = logging.getLogger("sidelight.export")

Sleep = Callable[[float], Awaitable[None]]
Chance = Callable[[], float]
QUIET_SECONDS = 60.0


class Delivery:
    """Sends while there is something to send; waits by the policy after a failure, for `wake` when there is nothing.

    A row leaves the spool only with the backend's answer; a crash between the two sends it again. When a request of
    several rows fails, in whatever way, its rows go out one by one: a bad or a slow one costs no neighbours.
    """

    def __init__(
        self, signal: str, transport: Transport, accounts: Accounts, clock: Clock, sleep: Sleep, chance: Chance
    ) -> None:
        self._signal, self._transport, self._accounts = signal, transport, accounts
        self._sleep, self._chance = sleep, chance
        self._tally = accounts.tallies[signal]
        self._woken = asyncio.Event()
        self._sending = asyncio.Lock()
        self._flying: asyncio.Task[bool] | None = None
        self._answered: tuple[Stored, Answer] | None = None
        self._alone = 0  # rows up to this id are sent one by one
        self._trouble = Trouble(signal, self._tally, clock)

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._woken.clear()
            try:
                # A cancelled stop must not cut a request off before its answer is in the books: it would go out twice.
                self._flying = asyncio.create_task(self._send_oldest())
                more = await asyncio.shield(self._flying)
            except RetryableError as error:
                failures += 1
                self._trouble.say(str(error))
                await self._sleep(pause_seconds(failures, error.retry_after_seconds, self._chance()))
                continue
            failures = 0
            if not more:
                await self._woken.wait()

    async def flush(self) -> None:
        """Sends what is there until nothing is left or something fails. No waiting."""
        if self._flying is not None:
            await asyncio.wait({self._flying})
        try:
            while await self._send_oldest():
                pass
        except RetryableError as error:
            self._trouble.say(str(error))

    async def close(self) -> None:
        if self._flying is not None and not self._flying.done():
            self._flying.cancel()  # past the deadline: it goes out again after the next start
            await asyncio.wait({self._flying})
        await self._transport.close()

    async def _send_oldest(self) -> bool:
        """False when the spool holds nothing of this signal. Rows are read anew each time: a trim may have come."""
        async with self._sending:
            await self._settle()
            request = await self._accounts.next(self._signal, self._transport.packed, self._alone)
            if request is None:
                return False
            answer = await self._send(request)
            if answer is not None:
                self._answered = request, answer
                await self._settle()
            return True

    async def _send(self, request: Stored) -> Answer | None:
        """None when a request of several rows was refused for good: nothing is settled yet. Raises RetryableError."""
        try:
            return await self._transport.send(request.payload)
        except PermanentError as error:
            if len(request.ids) == 1:
                return Answer(request.items, str(error))
            self._alone = request.ids[-1]
            return None
        except RetryableError:
            if len(request.ids) > 1:
                self._alone = request.ids[-1]
            raise

    async def _settle(self) -> None:
        """Enters the answer into the books; tried again before anything else is sent if the store cannot be written."""
        if self._answered is None:
            return
        request, answer = self._answered
        self._trouble.say(answer.message)
        await self._accounts.settle(self._signal, request, answer.rejected)
        self._answered = None


class Trouble:
    """What is wrong on one signal's way, for its books and for the log."""

    def __init__(self, signal: str, tally: Tally, clock: Clock) -> None:
        self._signal, self._tally, self._clock = signal, tally, clock
        self._quiet_until, self._told = float("-inf"), False

    def say(self, error: str) -> None:
        """Empty: nothing is. One line when the state changes, at most one failure a minute; nothing per request."""
        before, self._tally.last_error = self._tally.last_error, error
        now = self._clock.monotonic()
        if error and error != before and now >= self._quiet_until:
            self._quiet_until, self._told = now + QUIET_SECONDS, True
            log.warning("delivery_failed signal=%s endpoint=%s error=%s", self._signal, self._tally.endpoint, error)
        elif self._told and not error:
            self._told = False
            log.info("delivery_recovered signal=%s endpoint=%s", self._signal, self._tally.endpoint)
