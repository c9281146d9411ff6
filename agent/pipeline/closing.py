"""A window ends: every check judges it, in slices that leave the loop to others, and alerts take a step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from agent.alerting.machine import explained
from agent.alerting.rules import state_finding
from agent.config import Settings
from agent.counting import texts
from agent.ingest.queue import Accepted
from agent.pipeline.joining import Joining
from agent.pipeline.outbox import Outbox
from agent.records import AlertState, Finding
from agent.steps import give_way
from agent.traces.linking import Linking
from agent.watching import Watch, Watching

T = TypeVar("T")
UNWRITABLE = "the state folder cannot be written"


class Closing:
    """durable: whether what is counted reaches the disk; busy_seconds: its time is added to "judge".

    urgent: an alert changed, which does not wait for the next checkpoint.
    """

    def __init__(
        self,
        settings: Settings,
        watches: Watching,
        joining: Joining,
        outbox: Outbox,
        durable: Callable[[], bool],
        busy_seconds: dict[str, float],
    ) -> None:
        self._settings, self._watches, self._joining, self._outbox = settings, watches, joining, outbox
        self._durable, self._busy_seconds = durable, busy_seconds
        self._event_time = settings.time == "event"
        self._said_not_durable = False
        self.urgent = False

    async def due(self, watch: Watch, upto_ns: int, item: Accepted) -> None:
        """Closes the version's windows that are over at this moment; item: the frame that says so."""
        await self._joining.settle_of(watch, upto_ns)
        for index in list(watch.series.due(upto_ns)):
            await self._close(watch, index, item)
        for index in watch.followers.due(min(upto_ns // watch.series.window_ns, watch.series.closed_below)):
            await self._close_labelled(watch, index, item)

    def silence(self, watch: Watch, item: Accepted) -> None:
        """Windows without a record: were some to be expected? The past says so; nights and weekends are quiet."""
        for finding in watch.judge_silence(self._settings, item.arrived_ns, self._watches.others(watch)):
            if finding.alarms:
                index = finding.first_window + finding.horizon - 1
                self._outbox.advance(watch, [state_finding("no_data", True, finding.reason, index)], index, 0, item)

    def not_durable(self, item: Accepted) -> None:
        """A full disk is an alert at once, not at the window's end; the next window's close ends it."""
        if self._said_not_durable:
            return
        self._said_not_durable = True
        for watch in self._watches:
            index = item.arrived_ns // watch.series.window_ns
            self._outbox.advance(watch, [state_finding("not_durable", True, UNWRITABLE, index)], index, 0, item)

    def durable_again(self) -> None:
        self._said_not_durable = False

    async def _close(self, watch: Watch, index: int, item: Accepted) -> None:
        series = watch.series
        held = series.open[index].examples
        closed = series.close(index, self._event_time)
        findings: list[Finding] = []
        if watch.judge is not None:
            for part in self._timed(watch.judge.judge(list(series.recent))):
                findings.extend(part)
                await give_way()
        findings = texts.named(findings, series.recent, series.reference.layout if series.reference else None)
        for _ in self._timed(series.numbers.summarise()):
            await give_way()
        findings.extend(watch.judge_latency(self._settings, index))
        findings.extend(watch.judge_traffic(self._settings, closed, self._watches.others(watch)))
        await give_way()
        broken = not (self._durable() and item.durable)
        findings.append(state_finding("not_durable", broken, UNWRITABLE, index))
        findings.append(state_finding("no_data", False, "", index))
        findings.extend(await self._followed(watch, index, findings))
        watch.findings = explained(self._outbox.alerts, findings, series.key)
        await give_way()
        self._outbox.closed(watch, closed, item)
        linking = None if held is None else Linking(held, closed, series.reference)
        await give_way()
        changed = self._outbox.advance(watch, findings, index, closed.rows, item, linking)
        changed |= self._supersede_others(watch, index, item)
        await give_way()
        self.urgent |= changed or series.learner is not None
        if series.learner is not None:
            alerts = self._outbox.alerts.of(series.key).values()
            series.learner.pause(any(alert.state is AlertState.FIRING for alert in alerts))
            await self._watches.learned(watch)

    async def _close_labelled(self, watch: Watch, index: int, item: Accepted) -> None:
        """A window that had labels and no predictions."""
        findings = await self._followed(watch, index, ())
        if findings:
            held = {(f.check, f.source, f.subject, f.segment) for f in findings}
            others = [f for f in watch.findings if (f.check, f.source, f.subject, f.segment) not in held]
            watch.findings = (*others, *findings)
        self.urgent |= self._outbox.advance(watch, findings, index, 0, item)

    async def _followed(self, watch: Watch, index: int, beside: Sequence[Finding]) -> list[Finding]:
        """What the followers have to say of a window that is over, beside what else was found of it."""
        findings: list[Finding] = []
        recent, end_ns = list(watch.series.recent), (index + 1) * watch.series.window_ns
        for part in self._timed(watch.followers.close(index, recent, end_ns, beside)):
            findings.extend(part)
            await give_way()
        for part in self._timed(watch.shared.close(index, recent, end_ns, (*beside, *findings))):
            findings.extend(part)
        self._outbox.followed(watch, index)
        return findings

    def _supersede_others(self, watch: Watch, index: int, item: Accepted) -> bool:
        """A version that got nothing for a whole window in which this one did was switched off: its alerts end."""
        began_ns, own, said = index * watch.series.window_ns, watch.key, False
        for other in self._watches.others(watch):
            key, seen = other.key, other.series.newest_ns  # labels may still come for what it predicted
            switched = replace(key, version=own.version) == own and key != own
            if not switched or seen >= began_ns:
                continue
            other.rests = True
            if self._outbox.alerts.of(key):
                said |= self._outbox.end_alerts(other, index, f"superseded by version {own.version}", item)
                other.series.clear_recent()
        return said

    def _timed(self, steps: Iterable[T]) -> Iterator[T]:
        """The steps, their own time added to the station's; what happens between them is not its."""
        each = iter(steps)
        while True:
            began = time.perf_counter()
            try:
                step = next(each)
            except StopIteration:
                return
            finally:
                self._busy_seconds["judge"] += time.perf_counter() - began
            yield step
