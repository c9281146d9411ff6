"""Predictions wait for their labels at the desks; pairs of the two go to those that follow the version."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence

from agent.labels.desks import AnyDesk, Desks
from agent.records import Batch, Labels, Pairs
from agent.watching import Watch, Watching

log = logging.getLogger("sidelight.labels")


class Joining:
    """busy_seconds: the time it takes is added to its "join"."""

    def __init__(self, desks: Desks, watches: Watching, busy_seconds: dict[str, float], event_time: bool) -> None:
        self._desks, self._watches = desks, watches
        self._busy_seconds, self._event_time = busy_seconds, event_time
        self._behind: asyncio.Task[None] | None = None  # work of the desks in the background

    async def predicted(self, watch: Watch, batch: Batch) -> None:
        """Predictions wait from now on; those whose label was there before meet it."""
        began = time.perf_counter()
        pairs = self._desks.predicted(batch, watch.series.window_ns)
        self._busy_seconds["join"] += time.perf_counter() - began
        await self._paired(pairs)
        while self._desks.behind:  # a replay, say, brings them faster than they are sorted
            if self._behind is not None and not self._behind.done():
                await asyncio.wait({self._behind})
            else:
                await self._desks.work()

    async def labelled(self, watch: Watch, labels: Labels, offset: int) -> None:
        """Labels came, in the journal's frame of this offset: most wait until they are settled together."""
        await self._paired(self._desks.labelled(labels, watch.series.window_ns, offset))

    async def settle_due(self, now_ns: int) -> None:
        await self._settle(self._desks.due(now_ns))

    async def settle_of(self, watch: Watch, upto_ns: int) -> None:
        """What came in a window is judged with it: before one of the version's ends, its labels are settled."""
        desk, series = self._desks.of(watch.key), watch.series
        if desk is not None and desk.waits() and any(index < upto_ns // series.window_ns for index in series.open):
            await self._settle([desk])

    def work_behind(self) -> None:
        """Lets the desks do one piece of their background work, beside the counting."""
        if self._behind is None or self._behind.done():
            if self._behind is not None and self._behind.exception() is not None:
                log.error("labels_work_failed error=%r", self._behind.exception())
            self._behind = asyncio.create_task(self._desks.work(), name="labels")

    async def finish(self) -> None:
        """Nothing is at work behind any more, and no label waits unsettled."""
        if self._behind is not None:
            await asyncio.wait({self._behind})
        await self._desks.finish()
        await self._settle(self._desks)

    async def _settle(self, desks: Iterable[AnyDesk]) -> None:
        """Looks up the labels that wait, in a thread: it reads files. Nothing else is counted meanwhile."""
        for desk in desks:
            began = time.perf_counter()
            pairs = await self._desks.settle(desk)
            self._busy_seconds["join"] += time.perf_counter() - began
            await self._paired(pairs)

    async def _paired(self, several: Sequence[Pairs]) -> None:
        for pairs in several:
            came_ns = int(pairs.label_ns.max(initial=0))
            watch = self._watches.get(pairs.model)
            if watch is None and len(self._watches) < self._desks.versions_max:
                watch = await self._watches.begin(pairs.model, came_ns)  # another replica has its predictions
            if watch is None:
                continue  # forgotten since: nobody asks how it was any more
            if self._desks.versions_max:
                watch.series.last_seen_ns = max(watch.series.last_seen_ns, came_ns)
            knew = watch.labelled
            watch.series.counters["joined"] += pairs.rows
            watch.series.revision += 1
            if not knew:
                await self._watches.prepare(watch)  # what is judged by labels takes its share of the dial
            self._follow(watch, pairs)

    def _follow(self, watch: Watch, pairs: Pairs) -> None:
        """They are judged with the window they came in."""
        series = watch.series
        came_ns = int(pairs.label_ns.max(initial=0))
        if self._event_time:  # their own time, as far as predictions have come, and one window more
            came_ns = min(came_ns, series.newest_ns + series.window_ns)
        index = came_ns // series.window_ns
        for followers in (watch.followers, watch.shared):
            followers.labelled(pairs, max(index, series.closed_below))
