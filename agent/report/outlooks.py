"""The ledger and the power of every judged model, reckoned beside the data's way as soon as its traffic is known."""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from agent.evaluate import Judge
from agent.power.report import cost_of, describe, line
from agent.power.service import duplicates_sight, latency_sight, volume_sight
from agent.records import ModelKey
from agent.watching import Watch

LOOK_SECONDS = 5.0
SHORT = ("headline", "rows_per_window", "smallest_shift")
ROWS_FACTOR = 1.5  # traffic that changed by less would be told the same
log = logging.getLogger("sidelight.outlooks")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was reckoned: for which judge, at how many rows a window.

    short: what the status has of it; packed: all of it, as compressed JSON, for it has a line for each feature and
    check: 8 kB for 200 features.
    """

    judge: Judge
    rows: float
    short: dict[str, Any]
    packed: bytes

    @classmethod
    def of(cls, judge: Judge, rows: float) -> Outlook:
        """Takes some 100 ms for 200 features."""
        told = describe(judge, rows)
        short = {name: told[name] for name in SHORT}
        return cls(judge, rows, short, zlib.compress(json.dumps(told).encode()))


class Outlooks:
    """Kept by series; a model without a judge or a closed window has none."""

    def __init__(self) -> None:
        self._all: dict[ModelKey, Outlook] = {}

    async def run(self, watches: Iterable[Watch]) -> None:
        """Looks for models whose outlook is not known or no longer right; in a thread, one at a time."""
        while True:
            await self.look(watches)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, watches: Iterable[Watch]) -> None:
        current = list(watches)
        for key in set(self._all) - {watch.key for watch in current if watch.judge is not None}:
            del self._all[key]
        for watch in current:
            judge, rows = watch.judge, _usual_rows(watch)
            known = self._all.get(watch.key)
            if judge is None or not rows or (known is not None and _holds(known, judge, rows)):
                continue
            found = await asyncio.to_thread(Outlook.of, judge, rows)
            self._all[watch.key] = found
            log.info("outlook model=%r version=%r rows=%.0f: %s", watch.key.name, watch.key.version, rows,
                     found.short["headline"])  # fmt: skip

    def short(self, watch: Watch) -> dict[str, Any] | None:
        """What the status and the metrics have of it; None: not known yet."""
        known, judge = self._all.get(watch.key), watch.judge
        if known is None or judge is None:
            return None
        return known.short | {"fixed_rule": cost_of(judge.fixed.cost if judge.fixed else None)}

    def of(self, watch: Watch) -> dict[str, Any] | None:
        """As `sidelight ledger --json` prints it; None: not known yet."""
        known, short = self._all.get(watch.key), self.short(watch)
        if known is None or short is None:
            return None
        told: dict[str, Any] = json.loads(zlib.decompress(known.packed))
        return told | short | {
            "model": watch.key.name, "version": watch.key.version,
            "sights": [*told["sights"], *_service(watch, known.judge, known.rows)],
        }  # fmt: skip


def _service(watch: Watch, judge: Judge, rows: float) -> list[dict[str, Any]]:
    """Of the service's own past, as it is now: it grows with every window."""
    seconds = watch.series.window_ns / 1e9
    found = [volume_sight(f, seconds) for f in watch.findings if f.check == "volume"]
    found.append(duplicates_sight(watch.repeats.usual, judge.ledger.alpha("duplicates", 0), rows))
    if watch.baseline is not None:
        found.append(latency_sight(watch.baseline, judge.ledger.alpha("latency", 0), rows))
    return [line(sight, seconds) for sight in found]


def _usual_rows(watch: Watch) -> float:
    """The median over recent windows that had any."""
    return float(median([closed.rows for closed in watch.series.recent if closed.rows] or [0]))


def _holds(known: Outlook, judge: Judge, rows: float) -> bool:
    return known.judge is judge and 1 / ROWS_FACTOR < rows / known.rows < ROWS_FACTOR
