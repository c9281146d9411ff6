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
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from agent import checkpoint
from agent.alerting.book import AlertBook, Change, WindowContext
from agent.alerting.machine import advance, explained, supersede
from agent.alerting.rules import state_finding
from agent.bins import Feature, Layout
from agent.clock import Clock
from agent.config import Settings
from agent.errors import CorruptError, RetryableError, SidelightError
from agent.evaluate import Judge
from agent.export.spool import SpoolRow
from agent.export.spool import add as add_to_spool
from agent.ingest.admission import Accepted, Admission, Queue
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import reason_name
from agent.ingest.rows import Gathering
from agent.ledger import Dial, Ledger
from agent.performance import latency
from agent.performance.latency import LatencyBaseline
from agent.records import AlertState, Batch, Event, Finding, Kind, ModelKey, Source, Trace
from agent.reference import locate
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.state import Store, get, keys, put
from agent.version import VERSION
from agent.windows import Budget, Series
from agent.wire import lifecycle_pb2
from agent.wire import recorder_pb2 as wire

POLL_SECONDS = 0.05  # how long a lone record may wait to be counted
SLICE_SECONDS = 0.002  # how long the loop is held at once
STEADY_WINDOWS = 12  # windows in a row with records, before a silent one is news
EVENTS_KEPT = 200  # newest events shown in the status
DEFAULT_WINDOW_SECONDS = 3600.0
# Latency is judged whether or not a reference has it among its features: its share of the dial is asked for by this.
ONE_LATENCY = Layout((Feature("latency", Source.LATENCY, Kind.NUMBER),))
log = logging.getLogger("sidelight.pipeline")


@dataclass(slots=True)
class Watch:
    """One series and what watches it. note: why the reference is what it is; findings: of the newest closed window."""

    series: Series
    judge: Judge | None = None
    baseline: LatencyBaseline | None = None
    findings: tuple[Finding, ...] = ()
    retired: bool = False
    window_start_ns: int = 0


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
    ) -> None:
        self._settings, self._clock, self._store = settings, clock, store
        self._journal, self._queue, self._clients = journal, queue, clients
        self._outlet = outlet
        self.watches: dict[ModelKey, Watch] = {}
        self.alerts = AlertBook()
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.outbox: list[SpoolRow] = []
        self._began_ns = clock.now_ns()
        self.applied = 0  # offset counted so far
        self.corrupt = 0  # stored blobs that had to be set aside
        self.durable = True
        self.checkpoint_seconds = 0.0  # what the newest one took
        self.checkpoint_at = 0.0  # monotonic
        self._checkpoint = checkpoint.Checkpoint()
        self._event_time = settings.time == "event"
        self._spans: deque[float] = deque()
        self._budget = Budget(settings.cells_max)
        self._door_retires: Callable[[ModelKey], None] = lambda _: None
        self._door_forgets: Callable[[ModelKey], None] = lambda _: None
        self._wake = asyncio.Event()
        self._not_durable_said = False
        self._said = False  # alerts or events changed since the checkpoint
        self._stopping = False
        queue.wake = self._wake.set

    def window_ns(self, key: ModelKey) -> int:
        """The length of this model's windows, as far as known."""
        watch = self.watches.get(key)
        if watch is not None:
            return watch.series.window_ns
        return int((self._settings.window_seconds or DEFAULT_WINDOW_SECONDS) * 1e9)

    # ── life ──

    async def recover(self, admission: Admission) -> int:
        """Loads the checkpoint and replays the journal's frames after it. Returns how many frames were replayed."""
        try:
            meta = await self._store.run(self._load)
        except (CorruptError, RetryableError) as error:
            self.corrupt += 1
            log.warning("state_set_aside error=%s", error)
            await self._store.run(_set_all_aside)
            meta = checkpoint.Meta()
        self._door_retires, self._door_forgets = admission.retire, admission.forget
        self.applied = meta.offset
        for watch in self.watches.values():
            admission.models.add(watch.series.key)
            await self._prepare(watch)
        replayed = 0
        for head, payload in self._journal.open(meta.offset):
            if not replayed and head.offset > meta.offset + 1:
                # The journal is cut only after a checkpoint: what came before it was in one that is gone.
                self.corrupt += 1
                log.warning("state_lost checkpoint_offset=%d journal_begins=%d", meta.offset, head.offset)
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
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
            self._wake.clear()
            await self._drain()
            if self._clock.monotonic() - self.checkpoint_at >= self._settings.checkpoint_seconds:
                await self.save()
        await self._drain()
        await self.save()

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
            await self._apply(item, done)
            self.applied = max(self.applied, item.offset)
            self._queue.done(item)
            if time.perf_counter() - held > SLICE_SECONDS:
                await asyncio.sleep(0)
                held = time.perf_counter()

    async def _apply(self, item: Accepted, done: set[int]) -> None:
        if item.kind == "tick":
            for watch in list(self.watches.values()):
                await self._close_due(watch, item.arrived_ns, item)
                self._notice_silence(watch, item)
            self._retire(item.arrived_ns)
            return
        assert item.model is not None  # noqa: S101 - only ticks have none
        watch = self.watches.get(item.model) or await self._begin(item.model, item.arrived_ns)
        if watch.retired:
            watch.retired = False
            await self._prepare(watch)
        if not self._event_time:
            await self._close_due(watch, item.arrived_ns, item)
        self._account(watch.series, item)
        self._report(watch.series, item)
        content = item.content
        if content is not None and id(content) not in done:
            done.add(id(content))
            batch = content.batch() if isinstance(content, Gathering) else content
            if batch.rows:
                self._count(watch.series, batch, item.offset)
        if self._event_time and item.rows:
            await self._close_due(watch, watch.series.newest_ns - int(self._settings.lateness_seconds * 1e9), item)

    def _count(self, series: Series, batch: Batch, offset: int) -> None:
        series.add(batch, self._event_time)
        if batch.traces:
            allowed = self._allowed_spans(batch.arrived_ns, len(batch.traces))
            if allowed:
                self.outbox.extend(self._outlet.rows_for_traces(batch.traces[:allowed], series.key, f"{offset}"))
            series.counters["spans_dropped"] += len(batch.traces) - allowed

    def _allowed_spans(self, now_ns: int, wanted: int) -> int:
        """How many of these spans the limit per minute still lets through."""
        now = now_ns / 1e9
        while self._spans and self._spans[0] <= now - 60:
            self._spans.popleft()
        allowed = max(0, min(wanted, self._settings.trace_limit_per_minute - len(self._spans)))
        self._spans.extend([now] * allowed)
        return allowed

    def _account(self, series: Series, item: Accepted) -> None:
        """What became of the message's records, by kind."""
        counters = series.counters
        series.revision += 1
        series.last_seen_ns = max(series.last_seen_ns, item.arrived_ns)
        refused = sum(r.count for r in item.refused)
        if item.kind in ("rows", "columns"):
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
        for watch in self.watches.values():
            index = item.arrived_ns // watch.series.window_ns
            finding = state_finding("not_durable", True, "the state folder cannot be written", index)
            self._advance(watch, [finding], index, 0, item)

    def _lifecycle(self, series: Series, event: lifecycle_pb2.Event) -> None:
        which = event.WhichOneof("event") or "unknown"
        series.counters[f"lifecycle:{which}"] += 1
        if which == "loaded":
            series.trained_at_ns = event.loaded.trained_at_unix_nano or series.trained_at_ns
            series.positive_label = event.loaded.positive_label or series.positive_label

    def _report(self, series: Series, item: Accepted) -> None:
        """What a sender says it lost, as differences to what it said before."""
        if not item.report or not item.client_id:
            return
        client = next((c for c in self._clients if c.id == item.client_id), None)
        if client is None:
            return
        before, now = wire.ClientReport.FromString(client.report), wire.ClientReport.FromString(item.report)
        for name in ("dropped_full", "dropped_failed", "dropped_invalid", "sampled_out"):
            lost = max(0, getattr(now, name) - getattr(before, name))
            if lost:
                series.counters[f"client:{name}"] += lost
        client.report, client.dirty = item.report, True

    # ── windows ──

    async def _close_due(self, watch: Watch, upto_ns: int, item: Accepted) -> None:
        for index in list(watch.series.due(upto_ns)):
            await self._close(watch, index, item)

    async def _close(self, watch: Watch, index: int, item: Accepted) -> None:
        series = watch.series
        closed = series.close(index)
        findings: list[Finding] = []
        if watch.judge is not None:
            for part in watch.judge.judge([c.counts for c in series.recent], index):
                findings.extend(part)
                await asyncio.sleep(0)
        for _ in series.summarise():
            await asyncio.sleep(0)
        findings.extend(self._judge_latency(watch, index))
        findings.append(
            state_finding(
                "not_durable", not (self.durable and item.durable), "the state folder cannot be written", index
            )
        )
        findings.append(state_finding("no_data", False, "", index))
        watch.findings = explained(self.alerts, findings, series.key)
        watch.window_start_ns = index * series.window_ns
        changed = self._advance(watch, findings, index, closed.rows, item)
        changed |= self._supersede_others(watch, index, item)
        if changed or series.learner is not None:
            self.checkpoint_at = 0.0  # an alert does not wait for the next checkpoint
        await self._maybe_learned(watch)

    def _retire(self, now_ns: int) -> None:
        """Versions silent for long give back their memory; of those, only as many are remembered as may be watched."""
        for watch in self.watches.values():
            silent_ns = now_ns - watch.series.last_seen_ns
            if not watch.retired and watch.series.last_seen_ns and silent_ns > self._settings.retire_seconds * 1e9:
                watch.series.retire()
                watch.judge, watch.findings, watch.retired = None, (), True
                self._door_retires(watch.series.key)
                log.info("model_retired model=%s version=%s", watch.series.key.name, watch.series.key.version)
        retired = sorted((w for w in self.watches.values() if w.retired), key=lambda w: w.series.last_seen_ns)
        for watch in retired[: max(0, len(retired) - self._settings.models_max)]:
            del self.watches[watch.series.key]
            self._door_forgets(watch.series.key)
            self._checkpoint.gone(checkpoint.series_id(watch.series.key))

    def _advance(self, watch: Watch, findings: Sequence[Finding], index: int, rows: int, item: Accepted) -> bool:
        """Alerts take one step; what they have to say goes to the outbox. True if they said something."""
        before = self.alerts
        self.alerts, changes = advance(before, findings, self._context(watch.series, index, rows, item))
        self._said |= bool(changes) or self.alerts != before
        self._say(changes, watch.series, f"{item.offset}/{checkpoint.series_id(watch.series.key)}/{index}")
        return bool(changes)

    def _context(self, series: Series, index: int, rows: int, item: Accepted) -> WindowContext:
        key, reference = series.key, series.reference
        return WindowContext(
            model=key,
            window=index,
            start_ns=index * series.window_ns,
            end_ns=(index + 1) * series.window_ns,
            rows=rows,
            share=self._share(series, rows),
            versions=tuple(sorted(w.version for w in self.watches if w.name == key.name)),
            reference_hash=reference.hash_text if reference else "",
            offset=item.offset,
            public=frozenset((f.source, f.name) for f in reference.layout.features if f.public)
            if reference
            else frozenset(),
        )

    def _supersede_others(self, watch: Watch, index: int, item: Accepted) -> bool:
        """A version that got nothing for a whole window in which this one did was switched off: its alerts end."""
        began_ns, said = index * watch.series.window_ns, False
        for other in self.watches.values():
            key, own = other.series.key, watch.series.key
            silent = (
                max(other.series.newest_ns, 0) < began_ns if self._event_time else other.series.last_seen_ns < began_ns
            )
            if (
                key == own
                or (key.name, key.role, key.tenant) != (own.name, own.role, own.tenant)
                or not silent
                or not self.alerts.of(key)
            ):
                continue
            reason = f"superseded by version {own.version}"
            self.alerts, changes = supersede(self.alerts, key, self._context(other.series, index, 0, item), reason)
            other.series.clear_recent()
            self._said = True
            self._say(changes, other.series, f"{item.offset}/{checkpoint.series_id(key)}/{index}/superseded")
            said |= bool(changes)
        return said

    def _notice_silence(self, watch: Watch, item: Accepted) -> None:
        """A window without a record, after a day's half of windows that all had some: the model fell silent.

        Where traffic has gaps of its own, silence says nothing yet; a window the agent did not watch from its start
        neither.
        """
        series = watch.series
        index = item.arrived_ns // series.window_ns - 1
        indices = [closed.index for closed in series.recent][-STEADY_WINDOWS:]
        steady = len(indices) == STEADY_WINDOWS and indices[-1] - indices[0] == STEADY_WINDOWS - 1
        if not steady or index <= indices[-1] or index * series.window_ns < self._began_ns:
            return
        finding = state_finding("no_data", True, f"no record in {index - indices[-1]} windows", index)
        self._advance(watch, [finding], index, 0, item)

    def _say(self, changes: Sequence[Change], series: Series, prefix: str) -> None:
        events = []
        for change in changes:
            for source, subject in change.forget:
                series.forget(source, subject)
            if change.event is not None:
                key = f"{prefix}/{change.event.key}"
                event = replace(
                    change.event, key=key, attributes={**change.event.attributes, "sidelight.event.key": key}
                )
                events.append(event)
                self.events.append(
                    {
                        "name": event.name,
                        "key": event.key,
                        "time": datetime.fromtimestamp(event.time_ns / 1e9, UTC).isoformat(),
                        "severity": event.severity,
                        "body": event.body,
                        "attributes": dict(event.attributes),
                    }
                )
        self.outbox.extend(self._outlet.rows_for_events(events))

    def _judge_latency(self, watch: Watch, index: int) -> list[Finding]:
        """The service's own past is its reference: no training data knows how fast the server is."""
        recent = [closed.latency for closed in watch.series.recent]
        if watch.baseline is None and not recent[-1].any():
            return []  # a sender that never gave a latency
        baseline, alpha = watch.baseline or LatencyBaseline(), self._latency_alpha(watch)
        finding = latency.judge(recent, baseline, alpha, index)
        objective = latency.judge_objective(recent, self._settings.latency_objective_seconds, alpha, index)
        watch.baseline = baseline if finding.alarms else baseline.learn(recent[-1])
        return [finding] if objective is None else [finding, objective]

    def _latency_alpha(self, watch: Watch) -> float:
        """What one latency test may use; an objective is a second test of the same window, and halves it."""
        tests = 2 if self._settings.latency_objective_seconds else 1
        dial = Dial(self._settings.false_alarms_per_day, self._settings.replicas)
        return Ledger.of(dial, ONE_LATENCY, watch.series.window_ns / 1e9).alpha("latency", 0) / tests

    def _share(self, series: Series, rows: int) -> float:
        """This version's share of the model's traffic in its newest window."""
        others = sum(
            w.series.last_rows
            for w in self.watches.values()
            if w.series.key.name == series.key.name and w.series is not series
        )
        return rows / (rows + others) if rows + others else 0.0

    # ── references ──

    async def _begin(self, key: ModelKey, now_ns: int) -> Watch:
        reference, note = await asyncio.to_thread(self._choose, key)
        watch = self.watches[key] = Watch(self._make(key, reference, note))
        watch.series.started_ns = now_ns
        await self._prepare(watch)
        log.info("model_seen model=%s version=%s reference=%s", key.name, key.version, note)
        return watch

    def _make(self, key: ModelKey, reference: Reference | None, note: str) -> Series:
        seconds = (
            self._settings.window_seconds
            or (reference.layout.window_seconds if reference else 0)
            or DEFAULT_WINDOW_SECONDS
        )
        learner = None
        if reference is None:
            head = blank(key.name, key.version, seconds, made_by=f"sidelight-agent {VERSION}")
            learner = Learner(head, self._settings.learn_rows, self._settings.learn_windows)
        series = Series(key, int(seconds * 1e9), reference, learner, self._settings.segments, budget=self._budget)
        series.reference_note = note
        return series

    def _choose(self, key: ModelKey) -> tuple[Reference | None, str]:
        """The reference for this version, and a word on where it is from. Blocking: files and URLs are read."""
        location = self._settings.reference
        if location:
            try:
                found = locate.find(location, key.name, key.version) or locate.newest(location, key.name)
            except (SidelightError, OSError) as error:
                log.warning("reference_unusable model=%s version=%s error=%s", key.name, key.version, error)
                return None, f"unusable: {error}"
            if found is not None:
                return found, "given" if found.version == key.version else f"borrowed from version {found.version}"
        for watch in self.watches.values():
            other = watch.series
            if other.key.name == key.name and other.reference is not None:
                return other.reference, f"borrowed from version {other.key.version}"
        return None, "none given: learning from traffic"

    async def _prepare(self, watch: Watch) -> None:
        reference = watch.series.reference
        if reference is not None:
            seconds = watch.series.window_ns / 1e9
            dial = Dial(self._settings.false_alarms_per_day, self._settings.replicas)
            watch.judge = await asyncio.to_thread(Judge, reference, dial, seconds)

    async def _maybe_learned(self, watch: Watch) -> None:
        learner = watch.series.learner
        if learner is None:
            return
        learner.pause(any(a.state is AlertState.FIRING for a in self.alerts.of(watch.series.key).values()))
        reference = learner.ready
        if reference is not None:
            watch.series.adopt(reference, "learned from traffic")
            await self._prepare(watch)
            log.info(
                "reference_learned model=%s version=%s hash=%s",
                watch.series.key.name,
                watch.series.key.version,
                reference.hash_text,
            )

    # ── checkpoint ──

    async def save(self) -> None:
        """One transaction: everything that changed, the outbox, and the offset. Then the journal is cut."""
        began = self._clock.monotonic()
        puts, deletes = [], []
        for watch in self.watches.values():
            more, fewer = self._checkpoint.collect([watch.series])
            puts += more
            deletes += fewer
            await asyncio.sleep(0)
        offset, outbox = self.applied, list(self.outbox)
        meta = checkpoint.Meta(
            offset,
            {
                checkpoint.series_id(k): base64.b64encode(w.baseline.to_bytes()).decode()
                for k, w in self.watches.items()
                if w.baseline
            },
        )
        if self._said:
            puts += [("alerts", self.alerts.to_json().encode()), ("events", json.dumps(list(self.events)).encode())]
        clients = [(f"client/{c.id}", Clients.dump(c)) for c in self._clients if c.dirty]
        if not (puts or clients or outbox or deletes) and self.durable:
            self.checkpoint_at = self._clock.monotonic()
            return
        self._said = False
        for client in self._clients:
            client.dirty = False
        gone = [f"client/{name}" for name in self._clients.forgotten]
        try:

            def work(db: Any) -> None:
                checkpoint.write(db, [*puts, *clients], [*deletes, *gone])
                put(db, "meta", meta.pack())
                add_to_spool(db, outbox)

            await self._store.run(work)
        except RetryableError as error:
            if self.durable:
                log.error("checkpoint_failed error=%s", error)
            self.durable = False
            self._say_not_durable(Accepted(self.applied, self._clock.now_ns(), None, "tick", durable=False))
            self._said = True
            self._checkpoint.failed()
            for client in self._clients:
                client.dirty = True
            self.checkpoint_at = self._clock.monotonic()
            return
        self.durable = True
        self._not_durable_said = False
        self._clients.forgotten.clear()
        del self.outbox[: len(outbox)]
        self._journal.cut(offset)
        if outbox:
            self._outlet.wake()
        self.checkpoint_at = self._clock.monotonic()
        self.checkpoint_seconds = self.checkpoint_at - began

    def _load(self, db: Any) -> checkpoint.Meta:
        blob = get(db, "meta")
        if blob is None:
            return checkpoint.Meta()
        meta = checkpoint.Meta.unpack(blob)
        series, self.corrupt = checkpoint.load_series(db, self._choose, self._make)
        for one in series:
            name = checkpoint.series_id(one.key)
            self._checkpoint.stored(name, [int(key.rpartition("/")[2]) for key in keys(db, f"closed/{name}/")])
            saved = meta.baselines.get(name)
            self.watches[one.key] = Watch(
                one, baseline=LatencyBaseline.from_bytes(base64.b64decode(saved)) if saved else None
            )
        for key in keys(db, "client/"):
            try:
                self._clients.load(get(db, key) or b"")
            except (CorruptError, ValueError) as error:
                self.corrupt += 1
                log.warning("state_blob_set_aside key=%s error=%s", key, error)
        alerts, events = get(db, "alerts"), get(db, "events")
        self.alerts = AlertBook.from_json(alerts.decode()) if alerts else AlertBook()
        self.events.extend(json.loads(events) if events else [])
        return meta


def _set_all_aside(db: Any) -> None:
    db.execute("UPDATE OR REPLACE blob SET key = 'corrupt/' || key WHERE key NOT LIKE 'corrupt/%'")
