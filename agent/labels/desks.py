"""All desks: one a model name, made when its first prediction or label comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import xxhash

from agent.config import Settings
from agent.config.label_store import label_store
from agent.errors import CorruptError
from agent.labels.desk import Bounds, Desk
from agent.labels.files import closed
from agent.labels.index import Install
from agent.records import Batch, Labels, ModelKey, Pairs
from agent.telemetry import LABEL_STORE_ERRORS, LABEL_STORE_UP, Point

if TYPE_CHECKING:  # at run time only where SIDELIGHT_LABEL_STORE names one: it would be part of every start
    from agent.labels.redis.desk import RedisDesk
    from agent.labels.redis.link import Link

AnyDesk: TypeAlias = "Desk | RedisDesk"
KEYS = ("labels/", "labels-redis/")  # of blobs: with files here, or with rows in Redis
FINISH_SECONDS = 2.0  # for what is not in Redis when the agent ends
REST_SECONDS = 5.0  # between two tries of background work on a disk that takes nothing
log = logging.getLogger("sidelight.labels")


class Desks:
    """Owned by the pipeline. folder: of all; None: no label is joined. agent: who this replica is, where several share
    a store."""

    def __init__(self, settings: Settings, folder: Path | None = None, agent: str = "") -> None:
        self._settings, self._agent = settings, agent
        self._folder = folder if settings.label_seconds else None
        self._left = folder if self._folder is None else None  # of a time when labels were joined
        where = settings.label_store.get_secret_value()
        self._link = _linked(where) if where and self._folder is not None else None
        self._all: dict[ModelKey, AnyDesk] = {}
        self._next = 0  # whose work is next
        self._written: dict[str, int] = {}  # revision by key
        self._gone: set[str] = set()
        self._calm = asyncio.Lock()  # held while labels are looked up, and while what they are looked up in changes
        self._working: ModelKey | None = None  # whose background work is under way
        self._doomed: set[ModelKey] = set()  # to be forgotten when that is done
        self._rests_until = 0.0  # monotonic: the disk took nothing
        self.corrupt = 0

    def __iter__(self) -> Iterator[AnyDesk]:
        return iter(list(self._all.values()))

    @property
    def versions_max(self) -> int:
        """Up to how many versions are watched because labels met predictions of theirs that other replicas had."""
        return 0 if self._link is None else self._settings.models_max

    def of(self, key: ModelKey) -> AnyDesk | None:
        """The desk of this version's model, if it has one."""
        return self._all.get(_whole(key))

    def predicted(self, batch: Batch, window_ns: int) -> list[Pairs]:
        """What a batch brings: pairs, where labels were there before it."""
        if self._folder is None or (batch.ids is None and batch.request_ids is None):
            return []
        try:
            return self._make(batch.model, window_ns).predicted(batch)
        except OSError as error:  # no folder can be made
            self._rest(error)
            return []

    def labelled(self, labels: Labels, window_ns: int, offset: int = 0) -> list[Pairs]:
        """What labels bring at once; most wait until they are settled. offset: of their frame in the journal."""
        if self._folder is None:
            return []
        try:
            desk = self._make(labels.model, window_ns)
            return desk.labelled(labels) if isinstance(desk, Desk) else desk.labelled(labels, offset)
        except OSError as error:
            self._rest(error)
            return []

    def due(self, now_ns: int) -> list[AnyDesk]:
        """Those with labels to settle."""
        return [desk for desk in self if desk.due(now_ns)]

    def expire(self, now_ns: int) -> None:
        for desk in self:
            desk.expire(now_ns)

    async def settle(self, desk: AnyDesk) -> list[Pairs]:
        """Looks up the desk's labels that wait, in a thread: it reads files."""
        async with self._calm:
            return await asyncio.to_thread(desk.settle)

    @property
    def behind(self) -> bool:
        """Whether so much waits for the background that it is to be waited for: memory is bounded."""
        works = time.monotonic() >= self._rests_until
        return works and any(isinstance(desk, Desk) and desk.behind for desk in self)

    async def work(self) -> None:
        """One piece of background work in a thread, if there is any; the desks take turns."""
        if time.monotonic() < self._rests_until:
            return
        desks = list(self._all.items())
        for i in range(len(desks)):
            key, desk = desks[(self._next + i) % len(desks)]
            async with self._calm:
                job = desk.job()
            if job is not None:
                self._next = (self._next + i + 1) % len(desks)
                try:
                    await self._work(key, desk, job)
                except OSError as error:
                    self._rest(error)
                return

    async def _work(self, key: ModelKey, desk: AnyDesk, job: Callable[[], Install]) -> None:
        self._working = key
        try:
            install = await asyncio.to_thread(job)
            async with self._calm:
                install()
            desk.revision += isinstance(desk, Desk)  # with Redis most rounds change nothing that is stored
        finally:
            self._working = None
            for doomed in self._doomed:
                self._forget(doomed)
            self._doomed.clear()

    def _rest(self, error: OSError) -> None:
        """The disk takes nothing: it is tried again a little later."""
        if time.monotonic() > self._rests_until + REST_SECONDS:
            log.error("labels_unwritten error=%s", error)
        self._rests_until = time.monotonic() + REST_SECONDS

    async def finish(self) -> None:
        """Before the end: what other replicas need goes where they find it, within two seconds."""
        until = time.monotonic() + FINISH_SECONDS
        for desk in self:
            if not isinstance(desk, Desk):
                await asyncio.to_thread(desk.finish, until)

    def keep(self, names: set[tuple[str, str]]) -> None:
        """Only the models of these names and tenants are remembered."""
        for key in [key for key in self._all if (key.name, key.tenant) not in names]:
            if key == self._working:  # a thread is at it
                self._doomed.add(key)
            else:
                self._forget(key)

    def _forget(self, key: ModelKey) -> None:
        desk, name = self._all.pop(key), self._key(key)
        self._gone.add(name)
        self._written.pop(name, None)
        desk.close()
        if isinstance(desk, Desk):
            shutil.rmtree(desk.folder, ignore_errors=True)
        self._bound()

    def points(self) -> Iterator[Point]:
        for desk in self:
            yield from desk.points()
        if self._link is not None:
            yield Point(LABEL_STORE_UP, int(not self._link.reason), {})
            for kind, count in sorted(self._link.errors.items()):
                yield Point(LABEL_STORE_ERRORS, count, {"error.type": kind})

    def show(self, key: ModelKey) -> dict[str, Any]:
        """Of this version's model; empty where it has none."""
        desk = self.of(key)
        return {} if desk is None else desk.show()

    # ── checkpoints ──

    def collect(self) -> tuple[list[tuple[str, bytes]], list[str], Callable[[], None]]:
        """What changed, as blobs; the keys of blobs that go; and what syncs the files before these are stored, in a
        thread."""
        puts: list[tuple[str, bytes]] = []
        fds: list[int] = []
        for key, desk in self._all.items():
            name = self._key(key)
            if self._written.get(name) == desk.revision:
                continue
            try:
                blob, own = desk.dump()
            except OSError:
                closed(fds)
                raise
            puts.append((name, blob))
            fds += own
            self._written[name] = desk.revision
        return puts, sorted(self._gone), lambda: _sync(fds)

    def written(self) -> None:
        """What was collected is stored."""
        self._gone.clear()
        if self._left is not None:
            shutil.rmtree(self._left, ignore_errors=True)
            self._left = None
        for desk in self:
            desk.written()

    def failed(self) -> None:
        """It is not: everything is collected again."""
        self._written.clear()
        for desk in self:
            if isinstance(desk, Desk):
                desk.failed()

    def load(self, stored: Callable[[str], bytes | None], models: dict[tuple[str, str], int]) -> None:
        """Takes up the desks of these models (name and tenant -> length of windows), and deletes all others' files."""
        if self._folder is None:
            keys = (prefix + _id(ModelKey(name, tenant=tenant)) for name, tenant in models for prefix in KEYS)
            self._gone.update(key for key in keys if stored(key) is not None)
            return
        for (name, tenant), window_ns in models.items():
            key = ModelKey(name, tenant=tenant)
            blob = stored(self._key(key))
            if blob is not None:
                self._load(key, blob, window_ns)
        if self._link is not None:
            return  # files from before stay for who goes back to them
        known = {_id(key) for key in self._all}
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _load(self, key: ModelKey, blob: bytes, window_ns: int) -> None:
        desk = self._make(key, window_ns)
        try:
            desk.load(blob)
        except CorruptError as error:
            self.corrupt += 1
            log.warning("labels_set_aside model=%r error=%s", key.name, error)
            desk.close()
            del self._all[key]

    def close(self) -> None:
        for desk in self:
            with contextlib.suppress(OSError):
                desk.close()
        if self._link is not None:
            self._link.close()

    def _key(self, key: ModelKey) -> str:
        return KEYS[self._link is not None] + _id(key)

    def _make(self, key: ModelKey, window_ns: int) -> AnyDesk:
        whole = _whole(key)
        self._doomed.discard(whole)
        found = self._all.get(whole)
        if found is None and self._folder is not None:
            settings = self._settings
            bounds = Bounds(
                int(settings.label_seconds * 1e9), int(settings.label_early_seconds * 1e9),
                settings.label_bytes_max, window_ns, settings.time == "event",
            )  # fmt: skip
            if self._link is None:
                found = Desk(whole, self._folder / _id(whole), bounds)
            else:
                from agent.labels.redis.desk import RedisDesk

                found = RedisDesk(whole, self._link, bounds, self._agent)
            self._all[whole] = found
            self._gone.discard(self._key(whole))
            self._bound()
        if found is None:
            raise LookupError("no label is joined")
        return found

    def _bound(self) -> None:
        """The room is shared evenly; in Redis, where replicas may know different models, it is each one's."""
        for desk in self:
            shared = 1 if self._link is not None else len(self._all)
            desk.bytes_max = self._settings.label_bytes_max // shared


def _linked(where: str) -> Link:
    from agent.labels.redis.link import Link

    return Link(label_store(where))


def _whole(key: ModelKey) -> ModelKey:
    return ModelKey(key.name, tenant=key.tenant)


def _id(key: ModelKey) -> str:
    return xxhash.xxh3_64_hexdigest(repr((key.name, key.tenant)).encode())


def _sync(fds: list[int]) -> None:
    try:
        for fd in fds:
            os.fdatasync(fd)
    finally:
        closed(fds)
