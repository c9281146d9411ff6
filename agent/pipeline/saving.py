"""One transaction holds everything that changed, the outbox, and the journal's offset; a start reads it back."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from agent.alerting import book as alert_book
from agent.alerting.book import AlertBook
from agent.checkpoint.meta import Meta, model_id, series_id, shared_id
from agent.checkpoint.plan import Checkpoint, Plan
from agent.checkpoint.series import load_series
from agent.clock import Clock
from agent.errors import CorruptError, RetryableError
from agent.export.spool import add as add_to_spool
from agent.ingest.clients import Client, Clients
from agent.ingest.journal import Journal
from agent.labels.desks import Desks
from agent.latency import LatencyBaseline
from agent.pipeline.outbox import Outbox
from agent.records import ModelKey
from agent.state import Store, delete, get, keys
from agent.steps import give_way
from agent.traces.tracing import Allowance
from agent.volume.duplicates import Repeats
from agent.volume.traffic import Traffic
from agent.watching import Watch, Watching

T = TypeVar("T")
log = logging.getLogger("sidelight.pipeline")


class Saving:
    """durable: the newest checkpoint was written; seconds: what it took; at: when, monotonic.

    corrupt: stored blobs that had to be set aside; busy_seconds: its time is added to "checkpoint".
    """

    def __init__(
        self,
        clock: Clock,
        store: Store,
        journal: Journal,
        clients: Clients,
        watches: Watching,
        desks: Desks,
        outbox: Outbox,
        busy_seconds: dict[str, float],
    ) -> None:
        self._clock, self._store, self._journal, self._clients = clock, store, journal, clients
        self._watches, self._desks, self._outbox = watches, desks, outbox
        self._busy_seconds = busy_seconds
        self._checkpoint = Checkpoint()
        self.durable, self.corrupt, self.seconds, self.at = True, 0, 0.0, 0.0

    # ── writing ──

    def gone(self, key: ModelKey) -> None:
        """A version that is no longer remembered."""
        self._checkpoint.gone(series_id(key))

    async def save(self, offset: int, cut: bool = True) -> bool:
        """Everything that was counted up to this offset; then the journal is cut there. False: it could not be."""
        began = self._clock.monotonic()
        plan = await self._plan()
        try:
            labels, unlabelled, sync = self._desks.collect()
        except OSError as error:
            return await self._failed(error)
        plan.puts += labels
        dirty = [client for client in self._clients if client.dirty]
        gone = list(self._clients.forgotten)
        outbox, changed = list(self._outbox.rows), self._outbox.changed
        if changed:
            plan.puts.append(("alerts", packed(self._outbox.alerts)))
            plan.puts.append(("events", msgspec.json.encode(list(self._outbox.events), enc_hook=_plain)))
        plan.puts += [(f"client/{client.id}", Clients.dump(client)) for client in dirty]
        idle = not (plan.puts or plan.kept or plan.gone or gone or outbox or unlabelled)
        plan.puts.append(("meta", self._meta(offset).pack()))
        self.at = self._clock.monotonic()
        if idle and self.durable:
            return True
        self._outbox.changed = False
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
            self._outbox.changed |= changed
            return await self._failed(error, dirty)
        self.durable = True
        for name in gone:
            self._clients.forgotten.pop(name, None)
        self._checkpoint.written(plan)
        self._desks.written()
        if cut:
            self._journal.cut(offset)
        self._outbox.stored(len(outbox))
        self.seconds = self._clock.monotonic() - began
        self._busy_seconds["checkpoint"] += self.seconds
        return True

    async def _plan(self) -> Plan:
        """What changed of every series."""
        plan = Plan()
        for watch in self._watches:
            self._checkpoint.collect(watch.series, plan)
            self._checkpoint.collect_repeats(watch.key, watch.repeats, plan)
            self._checkpoint.collect_followers(watch.key, watch.followers, plan)
            await give_way()
        self._checkpoint.collect_shared(self._watches.shared, plan)
        self._checkpoint.collect_traffic(self._watches.traffic(), plan)
        self._checkpoint.forgotten(plan)
        return plan

    async def _failed(self, error: Exception, clients: list[Client] | None = None) -> bool:
        """Nothing of it is stored: all is collected again the next time."""
        if self.durable:
            log.error("checkpoint_failed error=%s", error)
        self.durable = False
        for client in clients or ():
            client.dirty = True
        self._checkpoint.failed()
        self._desks.failed()
        if isinstance(error, CorruptError):
            self.corrupt += 1
            await self._store.start_anew()  # what is in memory is whole, and is written again
        return False

    def _meta(self, offset: int) -> Meta:
        known = {series_id(w.key): w.baseline for w in self._watches if w.baseline}
        retired = frozenset(series_id(w.key) for w in self._watches if w.retired)
        packed = {name: base64.b64encode(b.to_bytes()).decode() for name, b in known.items()}
        resting = frozenset(series_id(w.key) for w in self._watches if w.rests)
        spans = self._outbox.tracing.allowance.to_json() if self._outbox.tracing else {}
        return Meta(offset, packed, retired, resting, spans)

    # ── reading ──

    async def load(self) -> int:
        """Takes up the checkpoint and returns its offset. One that cannot be read is set aside whole."""
        try:
            return await self._store.run(self._load)
        except CorruptError as error:
            self.corrupt += 1
            log.warning("state_set_aside error=%s", error)
            await self._store.start_anew()
            return Meta().offset

    def _load(self, db: sqlite3.Connection) -> int:
        """A blob that does not fit costs itself; one without its offset is worth nothing."""
        blob = get(db, "meta")
        if blob is None:
            return Meta().offset
        meta = Meta.unpack(blob)
        if self._outbox.tracing is not None:
            self._outbox.tracing.allowance = Allowance.of(meta.spans)
        series, self.corrupt = load_series(db, self._watches.choose, self._watches.make)
        for one in series:
            name = series_id(one.key)
            watch = Watch(one, retired=name in meta.retired, rests=name in meta.resting)
            self._watches.add(watch)
            self._load_beside(db, watch, name, meta.baselines.get(name))
        for model, shared in self._watches.shared.items():
            lengths = [watch.series.window_ns for watch in self._watches if watch.key.name == model]
            self.corrupt += shared.load(partial(_follower, db, shared_id(model)), lengths[0])
        self._load_traffic(db)
        windows = {(watch.key.name, watch.key.tenant): watch.series.window_ns for watch in self._watches}
        self._desks.load(partial(get, db), windows)
        self.corrupt += self._desks.corrupt
        for key in keys(db, "client/"):
            self._or_none(key, partial(self._load_client, db, key))
        self._clients.sort()
        self._load_alerts(db)
        return meta.offset

    def _load_beside(self, db: sqlite3.Connection, watch: Watch, name: str, baseline: str | None) -> None:
        """What watches a series beside its judge."""
        of = f"model={watch.key.name!r} version={watch.key.version!r}"
        self.corrupt += watch.followers.load(partial(_follower, db, name), watch.series.window_ns, of)
        stored = self._or_none("repeats", partial(get, db, f"repeats/{name}"))
        if stored is not None:
            watch.repeats = self._or_none("repeats", partial(Repeats.from_bytes, stored)) or watch.repeats
        if baseline:
            watch.baseline = self._or_none("baseline", partial(_baseline, baseline))

    def _load_traffic(self, db: sqlite3.Connection) -> None:
        for whole in list(self._watches.traffic()):
            stored = self._or_none("traffic", partial(get, db, f"traffic/{model_id(*whole)}"))
            traffic = None if stored is None else self._or_none("traffic", partial(Traffic.from_bytes, stored))
            if traffic is not None and traffic.volume.window_ns == whole[1]:
                self._watches.know(whole, traffic)

    def _load_client(self, db: sqlite3.Connection, key: str) -> None:
        self._clients.load(get(db, key) or b"")

    def _load_alerts(self, db: sqlite3.Connection) -> None:
        alerts = self._or_none("alerts", partial(get, db, "alerts"))
        if alerts is not None:
            read = partial(AlertBook.from_json, alerts.decode(errors="replace"))
            self._outbox.alerts = self._or_none("alerts", read) or AlertBook()
        packed = self._or_none("events", partial(get, db, "events")) or b"[]"
        events = self._or_none("events", partial(json.loads, packed))
        self._outbox.events.extend(events if isinstance(events, list) else [])

    def _or_none(self, what: str, read: Callable[[], T]) -> T | None:
        """What could be read, or None: counted and said."""
        try:
            return read()
        except (CorruptError, ValueError) as error:
            self.corrupt += 1
            log.warning("state_blob_dropped key=%s error=%s", what, type(error).__name__)
            return None


def packed(book: AlertBook) -> bytes:
    """What `AlertBook.from_json` reads, without a copy of each of some hundred subjects first: the loop waits."""
    whole = {"format": alert_book.FORMAT, "alerts": book.alerts}
    return msgspec.json.encode(whole, order="deterministic", enc_hook=_plain)


def _plain(value: object) -> object:
    """numpy's numbers: what a check found may be one, and is a float only by descent. Raises TypeError for others."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a checkpoint")


def _baseline(saved: str) -> LatencyBaseline:
    return LatencyBaseline.from_bytes(base64.b64decode(saved))


def _follower(db: sqlite3.Connection, series: str, kind: str) -> bytes | None:
    return get(db, f"follower/{series}/{kind}")
