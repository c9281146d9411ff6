"""The one writer: takes accepted frames in order, counts them, closes windows, judges, alerts, and checkpoints.

Everything it does is a function of the journal's frames, so a replay after a crash does the same again. What leaves
(events, spans) waits in an outbox until the checkpoint that contains its cause, in the same transaction: emitted once.

It shares the event loop with the door and never holds it for more than a slice; while it works, frames queue.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from agent import checkpoint
from agent.alerting.book import AlertBook, Change, WindowContext
from agent.alerting.machine import advance, explained, supersede
from agent.alerting.rules import state_finding
from agent.alerting.window_events import window_closed
from agent.alerting.wording import FIRING, UPDATED
from agent.clock import Clock
from agent.config import Settings
from agent.counting import texts
from agent.counting.windows import Series
from agent.errors import CorruptError, RetryableError
from agent.export.spool import SpoolRow
from agent.export.spool import add as add_to_spool
from agent.ingest.admission import Accepted, Admission, Queue
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import reason_name
from agent.ingest.rows import Gathering
from agent.labels.desk import Desk
from agent.labels.desks import Desks
from agent.latency import LatencyBaseline
from agent.records import AlertState, Batch, Closed, Event, Finding, ModelKey, Pairs, Task
from agent.state import Store, delete, get, keys
from agent.traces.linking import Linking, linked_event
from agent.traces.traced import NO_TRACES, Trace
from agent.traces.tracing import EXAMPLE, OUTBOX, Allowance, Tracing
from agent.volume.duplicates import Repeats
from agent.volume.traffic import Traffic
from agent.watching import Watch, Watching
from agent.wire import lifecycle_pb2
from agent.wire import recorder_pb2 as wire

T = TypeVar("T")
POLL_SECONDS = 0.05  # how long a lone record may wait to be counted
SLICE_SECONDS = 0.002  # how long the loop is held at once
EVENTS_KEPT = 200  # newest events shown in the status
OUTBOX_MAX = 1_000  # rows that wait for a checkpoint; spans beyond are dropped, alerts beyond twice as many
REPORTED_MAX = 1 << 40  # of what a sender says it lost at once: more is a lie
PREDICTIONS = frozenset({"rows", "columns"})  # kinds of messages
UNWRITABLE = "the state folder cannot be written"
log = logging.getLogger("sidelight.pipeline")


class Outlet(Protocol):
    """What turns events and spans into rows for the spool, and is told when they are stored."""

    def rows_for_events(self, events: Sequence[Event]) -> Sequence[SpoolRow]: ...

    def rows_for_traces(self, batch: Sequence[Trace], model: ModelKey, key: str) -> Sequence[SpoolRow]: ...

    def wake(self) -> None: ...


class Pipeline:
    """Owns every series, the alerts and the outbox."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        store: Store,
        journal: Journal,
        queue: Queue,
        clients: Clients,
        outlet: Outlet,
        watches: Watching,
        tracing: Tracing | None = None,  # without it no prediction becomes a span
        desks: Desks | None = None,  # without them no label is joined
    ) -> None:
        self._settings, self._clock, self._store = settings, clock, store
        self._journal, self._queue, self._clients = journal, queue, clients
        self._outlet, self.tracing = outlet, tracing
        self.watches = watches
        self.desks = desks or Desks(settings)
        self._behind: asyncio.Task[None] | None = None  # work of the desks in the background
        self.alerts = AlertBook()
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.outbox: list[SpoolRow] = []
        self.applied = 0  # offset counted so far
        self.poisoned = 0  # frames that could not be counted
        self.corrupt = 0  # stored blobs that had to be set aside
        self.durable = True
        self.checkpoint_seconds = 0.0  # what the newest one took
        self.checkpoint_at = 0.0  # monotonic
        self.busy_seconds = {"count": 0.0, "join": 0.0, "judge": 0.0, "checkpoint": 0.0}
        self._checkpoint = checkpoint.Checkpoint()
        self._event_time = settings.time == "event"
        self._wake = asyncio.Event()
        self._not_durable_said = False
        self._save_soon = False
        self._said = False  # alerts or events changed since the checkpoint
        self._stopping = False
        queue.wake = self._wake.set

    # ── life ──

    async def recover(self, admission: Admission) -> int:
        """Loads the checkpoint and replays the journal's frames after it. Returns how many frames were replayed."""
        try:
            meta = await self._store.run(self._load)
        except CorruptError as error:
            self.corrupt += 1
            log.warning("state_set_aside error=%s", error)
            await self._store.start_anew()
            meta = checkpoint.Meta()
        self.watches.retires, self.watches.forgets = admission.retire, admission.forget
        self.applied = meta.offset
        for watch in self.watches:
            if not watch.retired:
                admission.known(watch.key, watch.series.newest_ns)
                await self.watches.prepare(watch)
        replayed, changed = 0, False
        for head, payload in self._journal.open(meta.offset):
            if not replayed and head.offset > meta.offset + 1:
                # The journal is cut only after a checkpoint: what came before it was in one that is gone.
                self.corrupt += 1
                log.warning("state_lost checkpoint_offset=%d journal_begins=%d", meta.offset, head.offset)
            if head.config_hash != self._settings.counting_hash and not changed:
                changed = True
                log.warning("options_changed offset=%d: frames from before are counted by the new ones", head.offset)
            item = admission.restore(head, payload)
            replayed += 1
            if item is not None:
                self._queue.put(item)
            if self._queue.bytes > 4 << 20:
                await self._drain()
        await self._drain()
        return replayed

    async def run(self) -> None:
        """Counts until `stop`, then checkpoints a last time."""
        self.checkpoint_at = self._clock.monotonic()
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            await self._drain()
            self._work_behind()
            due = self._clock.monotonic() - self.checkpoint_at >= self._settings.checkpoint_seconds
            if due or (self._save_soon and self.durable):
                await self.save()
        await self._drain()
        if self._behind is not None:
            await asyncio.wait({self._behind})
        await self._settle(self.desks)
        await self.save()

    def _work_behind(self) -> None:
        """Lets the desks do one piece of their background work, beside the counting."""
        if self._behind is None or self._behind.done():
            if self._behind is not None and self._behind.exception() is not None:
                log.error("labels_work_failed error=%r", self._behind.exception())
            self._behind = asyncio.create_task(self.desks.work(), name="labels")

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    # ── counting ──

    async def _drain(self) -> None:
        """Counts everything that waits now. Between two drains the state is that of one offset."""
        taken = self._queue.take()
        done: set[int] = set()
        held = time.perf_counter()
        for item in taken:
            try:
                await self._apply(item, done)
            except Exception:
                # The frame is journalled: failing on it would fail on every start. It costs itself alone.
                self.poisoned += 1
                log.exception("frame_failed offset=%d kind=%s", item.offset, item.kind)
            self.applied = max(self.applied, item.offset)
            self._queue.done(item)
            if time.perf_counter() - held > SLICE_SECONDS:
                await asyncio.sleep(0)
                held = time.perf_counter()

    async def _apply(self, item: Accepted, done: set[int]) -> None:
        if item.model is None:
            await self._tick(item)
            return
        await self._settle(self.desks.due(item.arrived_ns))
        watch = self._of(item) or await self.watches.begin(item.model, item.arrived_ns)
        if watch.retired:
            watch.retired = False
            watch.series.lost(watch.series.last_seen_ns, item.arrived_ns)  # nobody looked how much came
            await self.watches.prepare(watch)
        if not self._event_time:
            await self._close_due(watch, item.arrived_ns, item)
        knew = watch.labelled
        self._account(watch.series, item)
        if item.events:
            self.watches.tell(watch)
        if watch.labelled and not knew:
            await self.watches.prepare(watch)  # what is judged by labels takes its share of the dial
        self._report(watch.series, item)
        if item.labels is not None:
            await self._labelled(self.desks.labelled(item.labels, watch.series.window_ns))
        content = item.content
        if content is not None and id(content) not in done:
            done.add(id(content))
            await self._count_content(watch, content, item)

    async def _count_content(self, watch: Watch, content: Batch | Gathering, item: Accepted) -> None:
        """Counts the records; those that cannot be counted are dropped, and that is counted."""
        counters = watch.series.counters
        rows, before = content.rows, counters["kept"] + counters["late"]
        try:
            batch = content.batch() if isinstance(content, Gathering) else content
            for part in watch.series.parts(batch, self._event_time):
                self._count(watch, part, item.offset)
                await self._labelled(self._wait(watch, part))
                if self._event_time:
                    late_ns = int(self._settings.lateness_seconds * 1e9)
                    await self._close_due(watch, watch.series.newest_ns - late_ns, item)
        finally:
            counters["dropped"] += max(0, rows - (counters["kept"] + counters["late"] - before))

    def _of(self, item: Accepted) -> Watch | None:
        """Whose frame it is. A sender of labels may not know the version: they are accounted to the newest."""
        watch = self.watches.get(item.model) if item.model is not None else None
        if watch is not None or item.kind != "labels" or item.model is None:
            return watch
        same = [one for one in self.watches if one.key.name == item.model.name and one.key.tenant == item.model.tenant]
        return same[-1] if same else None

    # ── labels ──

    def _wait(self, watch: Watch, batch: Batch) -> list[Pairs]:
        """Predictions wait for their label from now on; pairs of those whose label was there before."""
        began = time.perf_counter()
        pairs = self.desks.predicted(batch, watch.series.window_ns)
        self.busy_seconds["join"] += time.perf_counter() - began
        return pairs

    async def _settle(self, desks: Iterable[Desk]) -> None:
        """Looks up the labels that wait, in a thread: it reads files. Nothing else is counted meanwhile."""
        for desk in desks:
            began = time.perf_counter()
            pairs = await asyncio.to_thread(desk.settle)
            self.busy_seconds["join"] += time.perf_counter() - began
            await self._labelled(pairs)

    async def _labelled(self, several: Sequence[Pairs]) -> None:
        """Labels met their predictions: those that follow the versions are told."""
        for pairs in several:
            watch = self.watches.get(pairs.model)
            if watch is None:
                continue  # forgotten since: nobody asks how it was any more
            knew = watch.labelled
            watch.series.counters["joined"] += pairs.rows
            watch.series.revision += 1
            if not knew:
                await self.watches.prepare(watch)  # what is judged by labels takes its share of the dial
            self._follow(pairs)

    async def _tick(self, item: Accepted) -> None:
        """Time has passed, whether or not records came. By event time only the records themselves move windows."""
        await self._settle(self.desks.due(item.arrived_ns))
        self.desks.expire(item.arrived_ns)
        for watch in self.watches:
            if not self._event_time:
                if item.watched_until_ns < item.arrived_ns:
                    watch.series.lost(item.watched_until_ns, item.arrived_ns)
                await self._close_due(watch, item.arrived_ns, item)
                self._notice_silence(watch, item)
            await self.watches.look_again(watch, item.arrived_ns)
        self._retire(item)

    def _count(self, watch: Watch, batch: Batch, offset: int) -> None:
        if batch.traces:
            batch = self._trace(watch, batch, offset)
        began = time.perf_counter()
        watch.series.add(batch, self._event_time)
        self.busy_seconds["count"] += time.perf_counter() - began

    def _trace(self, watch: Watch, batch: Batch, offset: int) -> Batch:
        """Spans of those that are asked for and of those that always become one; the batch with these marked."""
        series = watch.series
        if self.tracing is None:
            return replace(batch, traces=NO_TRACES)
        if len(self.outbox) >= OUTBOX_MAX:
            series.counters[f"spans_dropped:{OUTBOX}"] += len(batch.traces)
            return replace(batch, traces=NO_TRACES)
        protected = series.reference.protected if series.reference else ()
        chosen = self.tracing.choose(batch, watch.slow_seconds(self._settings), protected)
        if chosen.traces:
            self.outbox.extend(self._outlet.rows_for_traces(chosen.traces, series.key, f"{offset}"))
            self.tracing.exported(series.key, chosen.traces)
        series.counters.update(chosen.dropped)
        return chosen.batch

    def _account(self, series: Series, item: Accepted) -> None:
        """What became of the message's records, by kind."""
        counters = series.counters
        series.revision += 1
        series.last_seen_ns = max(series.last_seen_ns, item.arrived_ns)
        refused = sum(r.count for r in item.refused)
        if item.kind in PREDICTIONS:
            counters["received"] += item.rows + refused
            counters["refused"] += refused
        elif item.kind == "labels":
            counters["labels"] += item.rows
            counters["labels_refused"] += refused
        else:
            for event in item.events:
                self._lifecycle(series, event)
        if not item.durable:
            counters["not_durable"] += item.rows
            self._say_not_durable(item)
        for refusal in item.refused:
            reason = reason_name(refusal.reason)
            counters[f"refused:{reason}"] += refusal.count
            series.note_refusal(reason, refusal.field, refusal.count, refusal.detail, item.arrived_ns)

    def _say_not_durable(self, item: Accepted) -> None:
        """A full disk is an alert at once, not at the window's end; the next window's close ends it."""
        if self._not_durable_said:
            return
        self._not_durable_said = True
        for watch in self.watches:
            index = item.arrived_ns // watch.series.window_ns
            finding = state_finding("not_durable", True, UNWRITABLE, index)
            self._advance(watch, [finding], index, 0, item)

    def _lifecycle(self, series: Series, event: lifecycle_pb2.Event) -> None:
        which = event.WhichOneof("event") or "unknown"
        series.counters[f"lifecycle:{which}"] += 1
        if which == "loaded":
            series.trained_at_ns = event.loaded.trained_at_unix_nano or series.trained_at_ns
            series.positive_label = event.loaded.positive_label or series.positive_label
            task = int(event.loaded.task)
            series.task = Task(task) if task and task in set(Task) else series.task  # an open enumeration: any number
            if event.loaded.HasField("threshold"):
                series.threshold = event.loaded.threshold

    def _report(self, series: Series, item: Accepted) -> None:
        """What a sender says it lost, as differences to what it said before."""
        if not item.report or not item.client_id:
            return
        client = self._clients.get(item.client_id)
        if client is None:
            return
        before, now = wire.ClientReport.FromString(client.report), wire.ClientReport.FromString(item.report)
        for name in ("dropped_full", "dropped_failed", "dropped_invalid", "sampled_out"):
            lost = min(max(0, getattr(now, name) - getattr(before, name)), REPORTED_MAX)
            if lost:
                series.counters[f"client:{name}"] += lost
        client.report, client.dirty = item.report, True

    # ── windows ──

    async def _close_due(self, watch: Watch, upto_ns: int, item: Accepted) -> None:
        desk = self.desks.of(watch.key)
        if desk is not None and desk.waits() and any(i < upto_ns // watch.series.window_ns for i in watch.series.open):
            await self._settle([desk])  # what came in a window is judged with it
        for index in list(watch.series.due(upto_ns)):
            await self._close(watch, index, item)
        for index in watch.followers.due(min(upto_ns // watch.series.window_ns, watch.series.closed_below)):
            await self._close_labelled(watch, index, item)

    def _follow(self, pairs: Pairs) -> None:
        """Labels met their predictions: judged with the window they came in."""
        watch = self.watches.get(pairs.model)
        if watch is None:
            return  # forgotten since: nobody asks how it was any more
        series = watch.series
        came_ns = int(pairs.label_ns.max(initial=0))
        if self._event_time:  # their own time, as far as predictions have come, and one window more
            came_ns = min(came_ns, series.newest_ns + series.window_ns)
        index = came_ns // series.window_ns
        for followers in (watch.followers, watch.shared):
            followers.labelled(pairs, max(index, series.closed_below))

    async def _close_labelled(self, watch: Watch, index: int, item: Accepted) -> None:
        """A window that had labels and no predictions."""
        findings = await self._followed(watch, index, ())
        if findings:
            held = {(f.check, f.source, f.subject, f.segment) for f in findings}
            others = [f for f in watch.findings if (f.check, f.source, f.subject, f.segment) not in held]
            watch.findings = (*others, *findings)
        self._save_soon |= self._advance(watch, findings, index, 0, item)

    async def _followed(self, watch: Watch, index: int, beside: Sequence[Finding]) -> list[Finding]:
        """What the followers have to say of a window that is over, beside what else was found of it."""
        findings: list[Finding] = []
        recent, end_ns = list(watch.series.recent), (index + 1) * watch.series.window_ns
        for part in self._timed("judge", watch.followers.close(index, recent, end_ns, beside)):
            findings.extend(part)
            await asyncio.sleep(0)
        for part in self._timed("judge", watch.shared.close(index, recent, end_ns, (*beside, *findings))):
            findings.extend(part)
        self._say_of_followers(watch, index)
        return findings

    def _say_of_followers(self, watch: Watch, index: int) -> None:
        """What happened to them once: a decision, say. Keys are made of the window, so that a replay says it again."""
        prefix = f"{checkpoint.series_id(watch.key)}/{index}/followed"
        told = (*watch.followers.events(), *watch.shared.events())
        events = [_keyed(event, f"{prefix}/{event.key}") for event in told]
        self.events.extend(_shown(event) for event in events)
        self._said |= bool(events)
        room = max(0, OUTBOX_MAX * 2 - len(self.outbox))
        self.outbox.extend(self._outlet.rows_for_events(events)[:room])

    async def _close(self, watch: Watch, index: int, item: Accepted) -> None:
        series = watch.series
        held = series.open[index].examples
        closed = series.close(index, self._event_time)
        findings: list[Finding] = []
        if watch.judge is not None:
            for part in self._timed("judge", watch.judge.judge(list(series.recent))):
                findings.extend(part)
                await asyncio.sleep(0)
        findings = texts.named(findings, series.recent)
        for _ in self._timed("judge", series.numbers.summarise()):
            await asyncio.sleep(0)
        findings.extend(watch.judge_latency(self._settings, index))
        findings.extend(watch.judge_traffic(self._settings, closed, self.watches.others(watch)))
        broken = not (self.durable and item.durable)
        findings.append(state_finding("not_durable", broken, UNWRITABLE, index))
        findings.append(state_finding("no_data", False, "", index))
        findings.extend(await self._followed(watch, index, findings))
        watch.findings = explained(self.alerts, findings, series.key)
        self._say_closed(watch, closed, item)
        linking = None if held is None else Linking(held, closed, series.reference)
        changed = self._advance(watch, findings, index, closed.rows, item, linking)
        changed |= self._supersede_others(watch, index, item)
        if changed or series.learner is not None:
            self._save_soon = True  # an alert does not wait for the next checkpoint
        if series.learner is not None:
            alerts = self.alerts.of(series.key).values()
            series.learner.pause(any(alert.state is AlertState.FIRING for alert in alerts))
            await self.watches.learned(watch)

    def _timed(self, station: str, steps: Iterable[T]) -> Iterator[T]:
        """The steps, their own time added to the station's; what happens between them is not its."""
        each = iter(steps)
        while True:
            began = time.perf_counter()
            try:
                step = next(each)
            except StopIteration:
                return
            finally:
                self.busy_seconds[station] += time.perf_counter() - began
            yield step

    def _retire(self, item: Accepted) -> None:
        """Versions silent for long give back their memory, and their alerts end."""
        for watch in self.watches.retire(item.arrived_ns):
            self._end_alerts(watch, item.arrived_ns // watch.series.window_ns, "retired: silent for long", item)
        gone = self.watches.forget()
        if gone:
            self.desks.keep({(watch.key.name, watch.key.tenant) for watch in self.watches})
        for key in gone:
            self._checkpoint.gone(checkpoint.series_id(key))
            if self.tracing is not None:
                self.tracing.forget(key)

    def _end_alerts(self, watch: Watch, index: int, reason: str, item: Accepted) -> bool:
        self.alerts, changes = supersede(self.alerts, watch.key, self._context(watch.series, index, 0, item), reason)
        self._said |= bool(changes)
        self._say(changes, watch.series, f"{item.offset}/{checkpoint.series_id(watch.key)}/{index}/ended")
        return bool(changes)

    def _advance(
        self, watch: Watch, findings: Sequence[Finding], index: int, rows: int, item: Accepted,
        linking: Linking | None = None,
    ) -> bool:  # fmt: skip
        """Alerts take one step; what they have to say goes to the outbox. True if they said something."""
        before = self.alerts
        self.alerts, changes = advance(before, findings, self._context(watch.series, index, rows, item))
        self._said |= bool(changes) or self.alerts != before
        if linking is not None and self.tracing is not None:
            changes = [self._with_examples(change, linking, item, self.tracing) for change in changes]
        self._say(changes, watch.series, f"{item.offset}/{checkpoint.series_id(watch.series.key)}/{index}")
        return bool(changes)

    def _with_examples(self, change: Change, linking: Linking, item: Accepted, tracing: Tracing) -> Change:
        """What an alert says, with predictions that show it; those that are no spans yet become such now."""
        alert = self.alerts.of(change.model).get(change.alert)
        if change.event is None or change.event.name not in (FIRING, UPDATED) or alert is None:
            return change
        found = linking.find(alert.subjects)
        new = [(its, replace(trace, reason=EXAMPLE)) for its, trace, exported in found if not exported]
        room = OUTBOX_MAX * 2 - len(self.outbox)
        new = new[: tracing.allow_examples(item.arrived_ns, min(len(new), max(room, 0)))]
        if new:
            spans = [trace for _, trace in new]
            self.outbox.extend(self._outlet.rows_for_traces(spans, change.model, f"{item.offset}/{change.event.key}"))
            tracing.exported(change.model, spans)
            linking.spans.update(its for its, _ in new)
        known = {its for its, _ in new}
        linked = [trace for its, trace, exported in found if exported or its in known]
        return replace(change, event=linked_event(change.event, linked, change.model)) if linked else change

    def _context(self, series: Series, index: int, rows: int, item: Accepted) -> WindowContext:
        key, reference = series.key, series.reference
        return WindowContext(
            model=key,
            window=index,
            start_ns=index * series.window_ns,
            end_ns=(index + 1) * series.window_ns,
            rows=rows,
            share=self._share(series, rows),
            versions=tuple(sorted(w.key.version for w in self.watches if w.key.name == key.name)),
            reference_hash=reference.hash_text if reference else "",
            offset=item.offset,
            public=frozenset((f.source, f.name) for f in reference.layout.features if f.public)
            if reference
            else frozenset(),
        )

    def _supersede_others(self, watch: Watch, index: int, item: Accepted) -> bool:
        """A version that got nothing for a whole window in which this one did was switched off: its alerts end."""
        began_ns, own, said = index * watch.series.window_ns, watch.key, False
        for other in self.watches.others(watch):
            key, seen = other.key, other.series.newest_ns  # labels may still come for what it predicted
            switched = replace(key, version=own.version) == own and key != own
            if not switched or seen >= began_ns:
                continue
            other.rests = True
            if self.alerts.of(key):
                said |= self._end_alerts(other, index, f"superseded by version {own.version}", item)
                other.series.clear_recent()
        return said

    def _notice_silence(self, watch: Watch, item: Accepted) -> None:
        """Windows without a record: were some to be expected? The past says so; nights and weekends are quiet."""
        for finding in watch.judge_silence(self._settings, item.arrived_ns, self.watches.others(watch)):
            if finding.alarms:
                index = finding.first_window + finding.horizon - 1
                self._advance(watch, [state_finding("no_data", True, finding.reason, index)], index, 0, item)

    def _say(self, changes: Sequence[Change], series: Series, prefix: str) -> None:
        events = []
        for change in changes:
            for source, subject in change.forget:
                series.forget(source, subject)
            for segment, source, subject in change.forget_in:
                series.forget(source, subject, segment)
            if change.event is not None:
                event = _keyed(change.event, f"{prefix}/{change.event.key}")
                events.append(event)
                self.events.append(_shown(event))
        room = max(0, OUTBOX_MAX * 2 - len(self.outbox))  # only a disk that stays full fills it
        self.outbox.extend(self._outlet.rows_for_events(events)[:room])

    def _say_closed(self, watch: Watch, closed: Closed, item: Accepted) -> None:
        """One event a window; beside those alerts have room in the outbox for theirs."""
        if len(self.outbox) >= OUTBOX_MAX:
            watch.series.counters["events_dropped"] += 1
            return
        key = f"{item.offset}/{checkpoint.series_id(watch.key)}/{closed.index}/closed"
        context = self._context(watch.series, closed.index, closed.rows, item)
        self.outbox.extend(self._outlet.rows_for_events([window_closed(context, closed, watch.findings, key)]))

    def _share(self, series: Series, rows: int) -> float:
        """This version's share of the model's traffic in its newest window."""
        same = (w.series for w in self.watches if w.key.name == series.key.name)
        others = sum(other.last_rows for other in same if other is not series)
        return rows / (rows + others) if rows + others else 0.0

    # ── checkpoint ──

    async def save(self) -> None:
        """One transaction: everything that changed, the outbox, and the offset. Then the journal is cut."""
        began = self._clock.monotonic()
        self._save_soon = False
        plan = checkpoint.Plan()
        for watch in self.watches:
            self._checkpoint.collect(watch.series, plan)
            self._checkpoint.collect_repeats(watch.key, watch.repeats, plan)
            self._checkpoint.collect_followers(watch.key, watch.followers, plan)
            await asyncio.sleep(0)
        self._checkpoint.collect_shared(self.watches.shared, plan)
        self._checkpoint.collect_traffic(self.watches.traffic(), plan)
        self._checkpoint.forgotten(plan)
        try:
            labels, unlabelled, sync = self.desks.collect()
        except OSError as error:
            await self._not_saved(error)
            return
        plan.puts += labels
        dirty = [client for client in self._clients if client.dirty]
        gone = list(self._clients.forgotten)
        offset, outbox = self.applied, list(self.outbox)
        if self._said:
            plan.puts.append(("alerts", self.alerts.to_json().encode()))
            plan.puts.append(("events", json.dumps(list(self.events)).encode()))
        plan.puts += [(f"client/{client.id}", Clients.dump(client)) for client in dirty]
        plan.puts.append(("meta", self._meta(offset).pack()))
        idle = len(plan.puts) == 1 and not (plan.kept or plan.gone or gone or outbox or unlabelled)
        self.checkpoint_at = self._clock.monotonic()
        if idle and self.durable:
            return
        said, self._said = self._said, False
        for client in dirty:
            client.dirty = False

        def work(db: sqlite3.Connection) -> None:
            for key in (*(f"client/{name}" for name in gone), *unlabelled):
                delete(db, key)
            plan.write(db)
            add_to_spool(db, outbox)

        try:
            await asyncio.to_thread(sync)  # rows of predictions, before the blob that names their files
            await self._store.run(work)
            await self._store.sync()
        except (RetryableError, CorruptError, OSError) as error:
            self._said |= said
            for client in dirty:
                client.dirty = True
            await self._not_saved(error)
            return
        self.durable, self._not_durable_said = True, False
        for name in gone:
            self._clients.forgotten.pop(name, None)
        self._checkpoint.written(plan)
        self.desks.written()
        del self.outbox[: len(outbox)]
        self._journal.cut(offset)
        if outbox:
            self._outlet.wake()
        self.checkpoint_seconds = self._clock.monotonic() - began
        self.busy_seconds["checkpoint"] += self.checkpoint_seconds

    async def _not_saved(self, error: Exception) -> None:
        if self.durable:
            log.error("checkpoint_failed error=%s", error)
        self.durable = False
        self._checkpoint.failed()
        self.desks.failed()
        self._say_not_durable(Accepted(self.applied, self._clock.now_ns(), None, "tick", durable=False))
        if isinstance(error, CorruptError):
            self.corrupt += 1
            await self._store.start_anew()  # what is in memory is whole, and is written again

    def _meta(self, offset: int) -> checkpoint.Meta:
        known = {checkpoint.series_id(w.key): w.baseline for w in self.watches if w.baseline}
        retired = frozenset(checkpoint.series_id(w.key) for w in self.watches if w.retired)
        packed = {name: base64.b64encode(b.to_bytes()).decode() for name, b in known.items()}
        resting = frozenset(checkpoint.series_id(w.key) for w in self.watches if w.rests)
        spans = self.tracing.allowance.to_json() if self.tracing else {}
        return checkpoint.Meta(offset, packed, retired, resting, spans)

    def _load(self, db: sqlite3.Connection) -> checkpoint.Meta:
        """The whole checkpoint. A blob that does not fit costs itself; one without its offset is worth nothing."""
        blob = get(db, "meta")
        if blob is None:
            return checkpoint.Meta()
        meta = checkpoint.Meta.unpack(blob)
        if self.tracing is not None:
            self.tracing.allowance = Allowance.of(meta.spans)
        series, self.corrupt = checkpoint.load_series(db, self.watches.choose, self.watches.make)
        for one in series:
            name = checkpoint.series_id(one.key)
            watch = Watch(one, retired=name in meta.retired, rests=name in meta.resting)
            self.watches.add(watch)
            self.corrupt += watch.followers.load(partial(_follower, db, name))
            stored = self._or_none("repeats", partial(get, db, f"repeats/{name}"))
            if stored is not None:
                watch.repeats = self._or_none("repeats", partial(Repeats.from_bytes, stored)) or watch.repeats
            saved = meta.baselines.get(name)
            if saved:
                watch.baseline = self._or_none("baseline", partial(_baseline, saved))
        for model, shared in self.watches.shared.items():
            self.corrupt += shared.load(partial(_follower, db, checkpoint.shared_id(model)))
        self._load_traffic(db)
        windows = {(watch.key.name, watch.key.tenant): watch.series.window_ns for watch in self.watches}
        self.desks.load(partial(get, db), windows)
        self.corrupt += self.desks.corrupt
        for key in keys(db, "client/"):
            self._or_none(key, partial(self._load_client, db, key))
        self._clients.sort()
        alerts = self._or_none("alerts", partial(get, db, "alerts"))
        if alerts is not None:
            self.alerts = (
                self._or_none("alerts", partial(AlertBook.from_json, alerts.decode(errors="replace"))) or AlertBook()
            )
        packed = self._or_none("events", partial(get, db, "events")) or b"[]"
        events = self._or_none("events", partial(json.loads, packed))
        self.events.extend(events if isinstance(events, list) else [])
        return meta

    def _load_traffic(self, db: sqlite3.Connection) -> None:
        for whole in list(self.watches.traffic()):
            stored = self._or_none("traffic", partial(get, db, f"traffic/{checkpoint.model_id(*whole)}"))
            traffic = None if stored is None else self._or_none("traffic", partial(Traffic.from_bytes, stored))
            if traffic is not None and traffic.volume.window_ns == whole[1]:
                self.watches.know(whole, traffic)

    def _load_client(self, db: sqlite3.Connection, key: str) -> None:
        self._clients.load(get(db, key) or b"")

    def _or_none(self, what: str, read: Callable[[], T]) -> T | None:
        """What could be read, or None: counted and said."""
        try:
            return read()
        except (CorruptError, ValueError) as error:
            self.corrupt += 1
            log.warning("state_blob_dropped key=%s error=%s", what, type(error).__name__)
            return None


def _keyed(event: Event, key: str) -> Event:
    return replace(event, key=key, attributes={**event.attributes, "sidelight.event.key": key})


def _shown(event: Event) -> dict[str, Any]:
    """As the status shows it."""
    return {
        "name": event.name,
        "key": event.key,
        "time": datetime.fromtimestamp(event.time_ns / 1e9, UTC).isoformat(),
        "severity": event.severity,
        "body": event.body,
        "attributes": dict(event.attributes),
    }


def _baseline(saved: str) -> LatencyBaseline:
    return LatencyBaseline.from_bytes(base64.b64decode(saved))


def _follower(db: sqlite3.Connection, series: str, kind: str) -> bytes | None:
    return get(db, f"follower/{series}/{kind}")
