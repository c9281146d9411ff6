"""Runs the collectors: each in its own thread, under a deadline, timed and judged. One that hangs is left alone."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.clock import Clock
from agent.telemetry import CATALOGUE, COLLECTOR_DURATION, COLLECTOR_SUCCESS, Metric, Point, Shape
from collectors import Collector, Reading, Unavailable

log = logging.getLogger(__name__)

READINGS_MAX = 4096  # of one collector's run; eight GPUs with all their processes are 300
_SHAPES = {"counter": Shape.COUNTER, "gauge": Shape.GAUGE}


class State(StrEnum):
    """What became of a collector's newest run."""

    WAITING = "waiting"  # for its first run
    OK = "ok"
    UNAVAILABLE = "unavailable"  # rightly nothing to read
    FAILED = "failed"
    HUNG = "hung"  # past its deadline; skipped until the call returns


@dataclass(frozen=True, slots=True)
class Run:
    """One run's outcome. duration: seconds, None where it never came back. Readings only where it is OK."""

    state: State
    reason: str = ""
    duration: float | None = None
    readings: Sequence[Reading] = ()


@dataclass(slots=True)
class _Job:
    """A collector and what is known of it. `out`: a call has not come back yet; `skipped`: rounds missed meanwhile."""

    collector: Collector
    last: Run = Run(State.WAITING)
    out: bool = False
    skipped: int = 0


class Collecting:
    """Every `interval_seconds` asks every collector and keeps its newest readings.

    deadline_seconds: how long one call may take; less than the interval. Owned by the event loop; `points` and `status`
    are for the loop's thread. A failing collector's older readings are dropped: a stale value is not a reading.
    """

    def __init__(
        self,
        collectors: Iterable[Collector],
        clock: Clock,
        interval_seconds: float = 15.0,
        deadline_seconds: float = 5.0,
    ) -> None:
        self._jobs = [_Job(collector) for collector in collectors]
        self._clock = clock
        self._interval, self._deadline = interval_seconds, deadline_seconds
        self._boot_ns = clock.now_ns() - host_uptime_ns()

    async def run(self) -> None:
        """Rounds until cancelled. Never raises for a collector's sake."""
        while True:
            began = self._clock.monotonic()
            await self.round()
            await asyncio.sleep(max(0.1, self._interval - (self._clock.monotonic() - began)))

    async def round(self) -> None:
        """One run of every collector, side by side; takes `deadline_seconds` at most."""
        await asyncio.gather(*(self._run(job) for job in self._jobs))

    def points(self) -> Iterator[Point]:
        """The newest readings, and each collector's duration and success; no success where it is unavailable."""
        for job in self._jobs:
            attributes = {"sidelight.collector.name": job.collector.name}
            if job.last.duration is not None:
                yield Point(COLLECTOR_DURATION, job.last.duration, attributes)
            if job.last.state not in (State.WAITING, State.UNAVAILABLE):
                yield Point(COLLECTOR_SUCCESS, int(job.last.state is State.OK), attributes)
            for reading in job.last.readings:
                yield self._point(reading)

    def status(self) -> list[dict[str, Any]]:
        """For the status page: name, state, reason, duration_seconds, skipped (rounds missed while hanging)."""
        return [
            {
                "name": job.collector.name,
                "state": str(job.last.state),
                "reason": job.last.reason,
                "duration_seconds": job.last.duration,
                "skipped": job.skipped,
            }
            for job in self._jobs
        ]

    def _point(self, reading: Reading) -> Point:
        # A counter of the host counts since its boot at the earliest; claiming "since the agent's start" would make a
        # backend book a week of CPU time as this minute's.
        start_ns = (reading.start_ns or self._boot_ns) if reading.kind == "counter" else 0
        return Point(CATALOGUE[reading.name], reading.value, reading.attributes, start_ns, observed=True)

    async def _run(self, job: _Job) -> None:
        if job.out:
            job.skipped += 1
            return
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Run] = loop.create_future()

        def tell(run: Run) -> None:
            job.out = False
            if not answer.done():  # given up meanwhile
                answer.set_result(run)

        job.out = True
        # Its own thread, not the executor's: a hung call must neither use up a pool nor keep the process from ending.
        name, what = f"collector-{job.collector.name}", (job.collector, self._clock, loop, tell)
        try:
            threading.Thread(target=_call, args=what, name=name, daemon=True).start()
        except RuntimeError as error:  # the pod's limit on pids
            tell(Run(State.FAILED, f"no thread to run it in: {error}"))
        done, _ = await asyncio.wait({answer}, timeout=self._deadline)
        if not done:
            answer.cancel()
        self._judge(job, answer.result() if done else Run(State.HUNG, f"no answer within {self._deadline:g} s"))

    def _judge(self, job: _Job, run: Run) -> None:
        """Keeps the run, and says a change of state once; a reason that varies from run to run is for the page."""
        if run.state is not job.last.state:
            level = logging.WARNING if run.state in (State.FAILED, State.HUNG) else logging.INFO
            log.log(level, "collector changed name=%s state=%s reason=%r", job.collector.name, run.state, run.reason)
        job.last = run


def _call(collector: Collector, clock: Clock, loop: asyncio.AbstractEventLoop, tell: Callable[[Run], None]) -> None:
    """In the thread: one call, and the news of it back to the loop."""
    run = judged(collector, clock)
    try:
        loop.call_soon_threadsafe(tell, run)
    except RuntimeError:  # the loop closed meanwhile: nobody waits any more
        return


def judged(collector: Collector, clock: Clock) -> Run:
    """Calls the collector once, here, and says what became of it. Never raises."""
    began = clock.monotonic()
    try:
        readings = tuple(collector.collect())
        problem = _problem(readings)
    except Unavailable as reason:
        return Run(State.UNAVAILABLE, str(reason), clock.monotonic() - began)
    except Exception as error:  # one of the house's few: whatever a library or a kernel file does, the agent goes on
        return Run(State.FAILED, f"{type(error).__name__}: {error}"[:300], clock.monotonic() - began)
    duration = clock.monotonic() - began
    return Run(State.FAILED, problem, duration) if problem else Run(State.OK, "", duration, readings)


def _problem(readings: Sequence[Reading]) -> str:
    """Why these readings may not leave, or nothing."""
    if len(readings) > READINGS_MAX:
        return f"{len(readings)} readings, the limit is {READINGS_MAX}"
    for reading in readings:
        metric: Metric | None = CATALOGUE.get(reading.name)
        if metric is None or (metric.shape, metric.unit) != (_SHAPES[reading.kind], reading.unit):
            return f"{reading.name} ({reading.kind}, {reading.unit}) is not in the catalogue"
        if not math.isfinite(reading.value):
            return f"{reading.name} is not a finite number"
    return ""


def host_uptime_ns() -> int:
    """Nanoseconds since the host booted, suspended time included where the platform can tell."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
