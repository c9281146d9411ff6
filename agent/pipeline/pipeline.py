"""Takes accepted frames in order, accounts for them, and has them counted, joined, judged and saved.

Everything it does is a function of the journal's frames, so a replay after a crash does the same again. It shares the
event loop with the door and never holds it for more than a slice; while it works, frames queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from agent.clock import Clock
from agent.config import Settings
from agent.counting.windows import Series
from agent.ingest.admission import Admission
from agent.ingest.casts import Cast
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import reason_name
from agent.ingest.queue import Accepted, Queue, put_together
from agent.ingest.rows import Gathering
from agent.ingest.together import Together
from agent.labels.desks import Desks
from agent.pipeline.closing import Closing
from agent.pipeline.joining import Joining
from agent.pipeline.outbox import Outbox, Outlet
from agent.pipeline.saving import Saving
from agent.records import Batch, ModelKey, Task
from agent.state import Store
from agent.traces.tracing import Tracing
from agent.watching import Watch, Watching
from agent.wire import lifecycle_pb2
from agent.wire import recorder_pb2 as wire

POLL_SECONDS = 0.1  # how long a lone record may wait to be counted: by single calls more then share one counting
SLICE_SECONDS = 0.002  # how long the loop is held at once
REPLAY_BYTES, REPLAY_FRAMES = 4 << 20, 256  # read from the journal, then counted
FULL_SECONDS = 1.0  # between checkpoints that come early because the outbox fills
REPORTED_MAX = 1 << 40  # of what a sender says it lost at once: more is a lie
PREDICTIONS = frozenset({"rows", "columns"})  # kinds of messages
log = logging.getLogger("sidelight.pipeline")


class Pipeline:
    """Owns every series, the labels' desks, the alerts and what leaves."""

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
        self._settings, self._clock = settings, clock
        self._journal, self._queue, self._clients = journal, queue, clients
        self.watches, self.desks = watches, desks or Desks(settings)
        self.applied = 0  # offset counted so far
        self.poisoned = 0  # frames that could not be counted
        self.busy_seconds = {"count": 0.0, "join": 0.0, "judge": 0.0, "checkpoint": 0.0}
        self._event_time = settings.time == "event"
        self.outbox = Outbox(outlet, watches, tracing)
        self.saving = Saving(clock, store, journal, clients, watches, self.desks, self.outbox, self.busy_seconds)
        self._joining = Joining(self.desks, watches, self.busy_seconds, self._event_time)
        durable = lambda: self.saving.durable  # noqa: E731
        self._closing = Closing(settings, watches, self._joining, self.outbox, durable, self.busy_seconds)
        self._wake = asyncio.Event()
        self._stopping = False
        queue.wake = self._wake.set

    # ── life ──

    async def recover(self, admission: Admission) -> int:
        """Loads the checkpoint and replays the journal's frames after it. Returns how many frames were replayed."""
        saved = self.applied = await self.saving.load()
        self.watches.retires, self.watches.forgets = admission.retire, admission.forget
        for watch in self.watches:
            if not watch.retired:
                admission.known(watch.key, watch.series.newest_ns)
                await self.watches.prepare(watch)
        replayed, changed = 0, False
        if (begins := self._journal.begins()) > saved + 1:
            # The journal is cut only after a checkpoint: what came before it was in one that is gone.
            self.saving.corrupt += 1
            log.warning("state_lost checkpoint_offset=%d journal_begins=%d", saved, begins)
        for head, payload in self._journal.open(saved):
            if head.config_hash != self._settings.counting_hash and not changed:
                changed = True
                log.warning("options_changed offset=%d: frames from before are counted by the new ones", head.offset)
            item = admission.restore(head, payload)
            replayed += 1
            if item is not None:
                self._queue.put(item)
            if self._queue.bytes > REPLAY_BYTES or len(self._queue.items) >= REPLAY_FRAMES:
                await self._drain()
                if self.outbox.fills:  # the journal is still being read
                    await self.saving.save(self.applied, cut=False)
        await self._drain()
        self.applied = max(self.applied, self._journal.offset)
        return replayed

    async def run(self) -> None:
        """Counts until `stop`, then checkpoints a last time."""
        self.saving.at = self._clock.monotonic()
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            await self._drain()
            self._joining.work_behind()
            passed = self._clock.monotonic() - self.saving.at
            early = self._closing.urgent or (self.outbox.fills and passed >= FULL_SECONDS)
            if passed >= self._settings.checkpoint_seconds or (early and self.saving.durable):
                await self.save()
        await self._drain()
        try:
            await self._joining.finish()
        except Exception:  # as with a frame: the checkpoint holds what was counted all the same
            log.exception("labels_unfinished")
        await self.save()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def save(self) -> None:
        """Stores all that was counted so far. Between two drains the state is that of one offset."""
        self._closing.urgent = False
        if await self.saving.save(self.applied):
            self._closing.durable_again()
        else:
            self._closing.not_durable(Accepted(self.applied, self._clock.now_ns(), None, "tick", durable=False))

    # ── counting ──

    async def _drain(self) -> None:
        """Counts everything that waits now."""
        taken = self._queue.take()
        if not self._event_time:  # by it every frame is counted alone, so that a replay counts alike
            put_together(taken, self._together_ns)
        done: set[int] = set()
        shared = _by_content(taken)
        held = time.perf_counter()
        for item in taken:
            try:
                await self._apply(item, shared, done)
            except Exception:
                # The frame is journalled: failing on it would fail on every start. It costs itself alone.
                self.poisoned += 1
                log.exception("frame_failed offset=%d kind=%s", item.offset, item.kind)
            self.applied = max(self.applied, item.offset)
            self._queue.done(item)
            if time.perf_counter() - held > SLICE_SECONDS:
                await asyncio.sleep(0)
                held = time.perf_counter()

    async def _apply(self, item: Accepted, shared: Mapping[int, Sequence[Accepted]], done: set[int]) -> None:
        """shared: by content, the messages whose records are counted together; done: contents that are counted."""
        if item.model is None:
            await self._tick(item)
            return
        await self._joining.settle_due(item.arrived_ns)
        watch = self._of(item) or await self.watches.begin(item.model, item.arrived_ns)
        if watch.retired:
            watch.retired = False
            watch.series.lost(watch.series.last_seen_ns, item.arrived_ns)  # nobody looked how much came
            await self.watches.prepare(watch)
        if not self._event_time:
            await self._closing.due(watch, item.arrived_ns, item)
        knew, content = watch.labelled, item.content
        if content is None:
            self._account(watch.series, item)
        elif id(content) not in done:  # all of them at once: nobody who looks meanwhile sees more kept than received
            for one in shared[id(content)]:
                self._account(watch.series, one)
        else:  # counting said when the first of them came
            watch.series.last_seen_ns = max(watch.series.last_seen_ns, item.arrived_ns)
        if item.events:
            self.watches.tell(watch)
        if watch.labelled and not knew:
            await self.watches.prepare(watch)  # what is judged by labels takes its share of the dial
        self._report(watch.series, item)
        if item.labels is not None:
            await self._joining.labelled(watch, item.labels, item.offset)
        if content is not None and id(content) not in done:
            done.add(id(content))
            await self._count_content(watch, content, item)

    def _together_ns(self, model: ModelKey) -> int:
        """The window of a version whose messages may be counted together; 0: they may not. A learner fixes its bins at
        a message's end."""
        watch = self.watches.get(model)
        return 0 if watch is None or watch.series.learner is not None else watch.series.window_ns

    async def _count_content(self, watch: Watch, content: Batch | Cast | Gathering | Together, item: Accepted) -> None:
        """Counts the records; those that cannot be counted are dropped, and that is counted."""
        counters = watch.series.counters
        rows, before = content.rows, counters["kept"] + counters["late"]
        try:
            batch = content if isinstance(content, Batch) else content.batch()
            for part in watch.series.parts(batch, self._event_time):
                self._count(watch, part, item.offset)
                await self._joining.predicted(watch, part)
                if self._event_time:
                    late_ns = int(self._settings.lateness_seconds * 1e9)
                    await self._closing.due(watch, watch.series.newest_ns - late_ns, item)
        finally:
            counters["dropped"] += max(0, rows - (counters["kept"] + counters["late"] - before))

    def _of(self, item: Accepted) -> Watch | None:
        """Whose frame it is. A sender of labels may not know the version: they are accounted to the newest."""
        watch = self.watches.get(item.model) if item.model is not None else None
        if watch is not None or item.kind != "labels" or item.model is None:
            return watch
        same = [one for one in self.watches if one.key.name == item.model.name and one.key.tenant == item.model.tenant]
        return same[-1] if same else None

    async def _tick(self, item: Accepted) -> None:
        """Time has passed, whether or not records came. By event time only the records themselves move windows."""
        await self._joining.settle_due(item.arrived_ns)
        self.desks.expire(item.arrived_ns)
        for watch in self.watches:
            if not self._event_time:
                if item.watched_until_ns < item.arrived_ns:
                    watch.series.lost(item.watched_until_ns, item.arrived_ns)
                await self._closing.due(watch, item.arrived_ns, item)
                self._closing.silence(watch, item)
            await self.watches.look_again(watch, item.arrived_ns)
        self._retire(item)

    def _retire(self, item: Accepted) -> None:
        """Versions silent for long give back their memory, and their alerts end."""
        for watch in self.watches.retire(item.arrived_ns):
            index = item.arrived_ns // watch.series.window_ns
            self.outbox.end_alerts(watch, index, "retired: silent for long", item)
        gone = self.watches.forget()
        if gone:
            self.desks.keep({(watch.key.name, watch.key.tenant) for watch in self.watches})
        for key in gone:
            self.saving.gone(key)
            if self.outbox.tracing is not None:
                self.outbox.tracing.forget(key)

    def _count(self, watch: Watch, batch: Batch, offset: int) -> None:
        if batch.traces:
            batch = self.outbox.trace(watch, batch, watch.slow_seconds(self._settings), offset)
        began = time.perf_counter()
        watch.series.add(batch, self._event_time)
        self.busy_seconds["count"] += time.perf_counter() - began

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
            self._closing.not_durable(item)
        for refusal in item.refused:
            reason = reason_name(refusal.reason)
            counters[f"refused:{reason}"] += refusal.count
            series.note_refusal(reason, refusal.field, refusal.count, refusal.detail, item.arrived_ns)

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


def _by_content(items: Iterable[Accepted]) -> dict[int, list[Accepted]]:
    found: dict[int, list[Accepted]] = {}
    for item in items:
        if item.content is not None:
            found.setdefault(id(item.content), []).append(item)
    return found
