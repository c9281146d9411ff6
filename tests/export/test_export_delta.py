"""Deltas through a store that fails, lives that end and backends that are away: they add up to the totals."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.config import Otel, Settings
from agent.export import spool
from agent.export.baseline import KEY
from agent.telemetry import LATENCY, MESSAGES_REFUSED, RECORDS, Exponential, Point
from tests.export.backend import HttpBackend, Say
from tests.export.scene import NOW_NS, Scene, scene

VARIABLE = "exporter_otlp_metrics_temporality_preference"


def _otel(endpoint: str, preference: str = "delta") -> Otel:
    return Otel.of({"exporter_otlp_endpoint": endpoint, VARIABLE: preference})


def _taken(backend: HttpBackend) -> list[tuple[str, Any]]:
    """Every data point of a sum or histogram that arrived, by its series."""
    found = []
    for got in backend.taken:
        for metric in got.message.resource_metrics[0].scope_metrics[0].metrics:
            for point in [*metric.sum.data_points, *metric.exponential_histogram.data_points]:
                assert (metric.sum.aggregation_temporality or metric.exponential_histogram.aggregation_temporality) == 1
                found.append((metric.name + "".join(pair.value.string_value for pair in point.attributes), point))
    return found


def _points(kept: int, buckets: list[int], refused: int) -> list[Point]:
    """Two series that resume after a kill, and one that counts since its agent's start."""
    value = Exponential(sum(buckets), 0.5 * sum(buckets), 2, 0, -3, list(buckets))
    since = NOW_NS + 1
    found = [Point(RECORDS, kept, {"sidelight.outcome": "kept"}, since), Point(MESSAGES_REFUSED, refused, {})]
    return [*found, Point(LATENCY, value, {}, since)] if value.count else found


async def _forbid(s: Scene, where: str) -> None:
    told = f"CREATE TRIGGER forbidden BEFORE INSERT ON {where} BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    await s.store.run(lambda db: db.execute(told).fetchall())


async def _allow(s: Scene) -> None:
    await s.store.run(lambda db: db.execute("DROP TRIGGER IF EXISTS forbidden").fetchall())


async def test_deltas_add_up_to_the_totals_whatever_happens(tmp_path: Path) -> None:
    """Five lives, each killed; in each a store that fails now before the rows and now before the baseline."""
    chance, backend = random.Random(3), HttpBackend()
    backend.says("metrics", *(chance.choice([Say(), Say(503), Say(429)]) for _ in range(60)))
    otel, kept, buckets, refused_ever = _otel(await backend.start()), 0, [0] * 8, 0
    for life in range(5):
        async with scene(tmp_path, otel, turned=life * 1_000) as s:
            refused = 0
            await s.exporter.open()
            for number in range(8):
                kept += chance.randrange(50)
                refused += chance.randrange(3)
                buckets = [count + chance.randrange(2) for count in buckets]
                s.clock.turn(15)
                broken = number < 7 and chance.random() < 0.4
                if broken:
                    await _forbid(s, chance.choice(["spool", "blob"]))
                await s.exporter.put_metrics(_points(kept, buckets, refused))
                await _allow(s)
            refused_ever += refused
            await s.until(lambda: not s.of("metrics").queued)
            await s.assert_law()
    await backend.stop()
    sums: Counter[str] = Counter()
    for name, point in _taken(backend):
        assert point.start_time_unix_nano < point.time_unix_nano
        sums[name] += point.count if hasattr(point, "scale") else point.as_int
        for i, count in enumerate(point.positive.bucket_counts if hasattr(point, "scale") else ()):
            sums[f"bucket {point.positive.offset + i + 3}"] += count
    assert sums.pop("sidelight.recordskept") == kept
    assert sums.pop("sidelight.message.refused") == refused_ever
    assert sums.pop("sidelight.prediction.duration") == sum(buckets)
    assert sums == {f"bucket {i}": count for i, count in enumerate(buckets)}


async def test_an_export_and_its_baseline_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    """Where the baseline cannot be written the rows are not there either, and the next export says both."""
    async with scene(tmp_path, _otel("http://127.0.0.1:1"), run=False) as s:
        await s.exporter.open()
        before = await s.store.run(_baseline)
        await _forbid(s, "blob")
        await s.exporter.put_metrics(_points(5, [0], 0))
        assert (await s.store.run(spool.queued), await s.store.run(_baseline)) == ({}, before)
        assert dict(s.of("metrics").dropped) == {"store": 1}
        await _allow(s)
        await s.exporter.put_metrics(_points(7, [0], 0))
        assert (await s.store.run(spool.queued))["metrics"].items == 1
        assert await s.store.run(_baseline) != before


def _baseline(db: sqlite3.Connection) -> bytes:
    (body,) = db.execute("SELECT body FROM blob WHERE key = ?", (KEY,)).fetchone()
    assert isinstance(body, bytes)
    return body


@pytest.mark.parametrize("how", ["cumulative before", "broken"])
async def test_what_was_said_otherwise_is_not_said_again(tmp_path: Path, how: str) -> None:
    """After a life of cumulative exports, or with a baseline that is broken, deltas begin with what is there now."""
    backend = HttpBackend()
    url = await backend.start()
    async with scene(
        tmp_path, _otel("http://127.0.0.1:1", "delta" if how == "broken" else "cumulative"), run=False
    ) as s:
        await s.exporter.open()
        await s.exporter.put_metrics(_points(100, [0], 0))
        await s.store.run(lambda db: db.execute("DELETE FROM spool").fetchall())
        await s.store.run(lambda db: db.execute("UPDATE blob SET body = x'00' WHERE key = ?", (KEY,)).fetchall())
    async with scene(tmp_path, _otel(url), turned=60) as s:
        await s.exporter.open()
        for kept in (110, 115):
            s.clock.turn(15)
            await s.exporter.put_metrics(_points(kept, [0], 0))
        await s.until_settled("metrics", 1)
    await backend.stop()
    ((_, point),) = _taken(backend)
    assert point.as_int == 5


async def test_a_full_spool_gives_up_traces_before_deltas_and_never_thins_these(tmp_path: Path) -> None:
    """Each delta holds counts of its own: the oldest go, all of them counted, and only when traces are gone."""
    rows = [
        spool.SpoolRow(f"{kind}{n}", signal, 1, NOW_NS + n, random.Random(n).randbytes(50_000))
        for n in range(20) for kind, signal in ((spool.DELTA_KEYS, "metrics"), ("t/", "traces"))
    ]  # fmt: skip
    async with scene(tmp_path, _otel("http://127.0.0.1:1"), Settings(spool_bytes_max=1 << 20), run=False) as s:
        await s.put(rows)
        await s.store.run(lambda db: spool.shrink(db, 1_200_000))
        left = await s.store.run(spool.queued)
        assert left["metrics"].items == 20
        assert left["traces"].items < 3
        await s.store.run(lambda db: spool.shrink(db, 500_000))
        query = "SELECT created_ns FROM spool WHERE signal = 'metrics' ORDER BY id"
        ages = [row[0] - NOW_NS for row in await s.store.run(lambda db: db.execute(query).fetchall())]
        assert ages == list(range(20 - len(ages), 20))
        assert 0 < len(ages) < 10
