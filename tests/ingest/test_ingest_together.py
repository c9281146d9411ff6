"""Messages that wait at the same time are counted as one, and nobody can tell from what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.bins import Feature, Layout
from agent.clock import TurnedClock
from agent.config import Settings
from agent.counting.windows import Series
from agent.ingest.together import TOGETHER_ROWS, TOGETHER_VALUES, Together, plain
from agent.ingest.words import SMALL
from agent.records import Batch, Columns, Kind, ModelKey, Numbers, Source, Texts, Vectors
from agent.reference import file as reference_file
from agent.reference.profile import Reference
from agent.wire import recorder_pb2 as wire
from tests.insides import Insides

HOUR_NS = 3_600_000_000_000
START_NS = 472_000 * HOUR_NS
LAYOUT = Layout(
    (
        Feature("a", Source.FEATURE, Kind.NUMBER, edges=(-1.0, 0.0, 1.0)),
        Feature("t", Source.FEATURE, Kind.TEXT, categories=("x", "y")),
        Feature("score", Source.SCORE, Kind.NUMBER, edges=(0.0, 0.5, 1.0)),
    )
)


def _message(i: int, rng: np.random.Generator) -> bytes:
    """Every other one of its own length, half of the rest of one mould; now and then a null, a text nobody knows, an
    error, no latency, a row at a time, no times, a message refused in part."""
    rows = 40 if i % 2 else int(rng.integers(1, 60))
    request = wire.RecordRequest(model=wire.Model(name="loan", version="1"), client_id="c", sequence=i + 1)
    if i % 17 == 16:
        request.rows.rows.add(prediction_id=f"one-{i}", time_unix_nano=START_NS).numbers["a"] = 0.5
        return request.SerializeToString()
    columns = request.columns
    columns.rows, columns.id_prefix = rows, "p-"
    columns.id_numbers.extend(rng.integers(0, 3_000, rows).tolist())
    nulls = np.packbits(rng.random(rows) < 0.3, bitorder="little").tobytes() if i % 3 == 0 else b""
    values = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    columns.numbers.add(name="a", values=values.tolist(), nulls=nulls)
    known = ["x", "y", *(f"stranger {k}" for k in range(40 + i % 2))]
    if i % 4 == 3:
        known.reverse()
    codes = rng.integers(0, 2 if i % 5 else 42, rows)
    columns.texts.add(name="t", dictionary=known, codes=codes.tolist() if i % 13 else [*codes[1:].tolist(), 99])
    columns.segments.add(name="region", dictionary=[f"r{k}" for k in range(60)], codes=rng.integers(0, 60, rows))
    columns.outputs.add().scores.add(values=rng.random(rows).tolist())
    if i % 7:
        columns.latency_seconds.extend(rng.random(rows).tolist())
    if i % 11:
        columns.time_unix_nano.extend([START_NS] * rows)
    if i % 4 == 0:
        columns.status.extend(rng.integers(1, 4, rows).tolist())
    return request.SerializeToString()


def _counted(series: Series) -> dict[str, Any]:
    """Everything that does not come by chance."""
    found: dict[str, Any] = {
        "counters": dict(series.counters),
        "total": series.total.tolist(),
        "latency": series.latency.tolist(),
        "times": (series.newest_ns, series.last_seen_ns),
        "samples": {
            kind: [(one.index, one.limit, sorted(one.kept.items())) for one in (own.now, own.before) if one]
            for kind, own in series.samples.items()
        },
    }
    for index, window in series.open.items():
        assert window.texts is not None
        texts = {key: (own.distinct.count, own.newcomers.counts) for key, own in window.texts.sketches.items()}
        segments = {name: counts.tolist() for name, counts in window.segments.items()}
        found[f"open {index}"] = (window.rows, window.errors, window.first_ns, window.counts, segments, texts)
    for closed in series.recent:
        segments = {name: counts.tolist() for name, counts in closed.segments.items()}
        found[f"closed {closed.index}"] = (closed.rows, closed.counts.tolist(), segments, closed.texts, closed.repeats)
    return {key: repr(value) for key, value in found.items()}


def _settings(folder: Path) -> Settings:
    folder.mkdir()
    blocks = np.ones((8, LAYOUT.cells), dtype=np.int32)
    known = Reference("loan", "1", LAYOUT, blocks, np.arange(8, dtype=np.int64), np.full(8, 9, dtype=np.int64))
    reference_file.write(known, folder / "loan.sidelight")
    return Settings(
        reference=str(folder / "loan.sidelight"), segments=("region",), window_seconds=3600.0, state_dir=str(folder)
    )


async def _run(folder: Path, burst: int) -> tuple[dict[str, Any], list[bytes]]:
    settings = _settings(folder)
    clock = TurnedClock(START_NS)
    inside = await Insides.of(folder, settings, clock).recover()
    rng, answers = np.random.default_rng(5), []
    for i in range(180):
        answers.append(inside.admission.handle(_message(i, rng)).SerializeToString())
        if i % burst == burst - 1:
            await inside.pipeline._drain()
        clock.turn(1_800.0 if i % 70 == 69 else 0.002)
    await inside.pipeline._drain()
    counted = _of_the_only_one(inside)
    inside.close()
    return counted, answers


def _of_the_only_one(inside: Insides) -> dict[str, Any]:
    assert not inside.pipeline.poisoned
    (watch,) = inside.pipeline.watches
    return _counted(watch.series)


async def test_what_is_counted_together_is_counted_as_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, samples, texts nobody knew and segments without room are the same however many messages waited, and so
    are the senders' answers."""
    sizes: list[int] = []
    whole = Together.batch

    def watched(self: Together) -> Batch:
        sizes.append(len(self.batches))
        return whole(self)

    monkeypatch.setattr(Together, "batch", watched)
    alone, answered = await _run(tmp_path / "alone", 1)
    assert max(sizes) == 1
    together, again = await _run(tmp_path / "together", 12)
    assert max(sizes) > 2
    assert together == alone
    assert again == answered


async def test_a_replay_puts_others_together_and_counts_the_same(tmp_path: Path) -> None:
    """Killed before the first checkpoint, it has all frames at once."""
    counted, _ = await _run(tmp_path / "killed", 3)
    settings = Settings(
        reference=str(tmp_path / "killed" / "loan.sidelight"), segments=("region",), window_seconds=3600.0
    )
    inside = await Insides.of(tmp_path / "killed", settings, TurnedClock(START_NS)).recover()
    replayed = _of_the_only_one(inside)
    inside.close()
    assert replayed == counted


def _batch(rows: int, arrived_ns: int = START_NS, dictionary: Sequence[str] = ("x",), **more: Any) -> Batch:
    features = Columns({"a": Numbers(np.zeros(rows))}, {"t": Texts(dictionary, np.zeros(rows, dtype=np.int32))})
    times = np.full(rows, START_NS, dtype=np.int64)
    return Batch(ModelKey("loan"), rows, arrived_ns, features, Columns(), **{"time_ns": times, **more})


def _with_vectors(rows: int, size: int) -> Batch:
    return replace(_batch(rows), features=Columns(vectors={"v": Vectors(np.zeros((rows, size), dtype=np.float32))}))


def test_only_what_is_alike_and_near_is_put_together() -> None:
    """Another window, another second, another large dictionary, another column, vectors of another size or too much of
    them, or too many rows: a batch of its own."""
    known = tuple(map(str, range(SMALL + 1)))
    first = _batch(10, dictionary=known)
    assert Together(first, HOUR_NS).takes(_batch(10, dictionary=known), HOUR_NS)
    begun = Together(first, HOUR_NS)
    assert not begun.takes(_batch(10, START_NS + 1_000_000_000, known), HOUR_NS)
    assert not Together(_batch(10, START_NS - 1, known), HOUR_NS).takes(first, HOUR_NS)
    assert not begun.takes(_batch(10, dictionary=("y",)), HOUR_NS)
    assert not begun.takes(_batch(10, dictionary=tuple(map(str, range(SMALL + 1)))), HOUR_NS)
    assert not begun.takes(_batch(10, dictionary=known, latency=np.zeros(10)), HOUR_NS)
    assert not begun.takes(_batch(TOGETHER_ROWS, dictionary=known), HOUR_NS)
    assert begun.batches == [first]
    narrow, wide, large = (_with_vectors(rows, size) for rows, size in ((10, 4), (10, 5), (1_000, 300)))
    assert Together(narrow, HOUR_NS).takes(narrow, HOUR_NS)
    assert not Together(narrow, HOUR_NS).takes(wide, HOUR_NS)
    assert not Together(large, HOUR_NS).takes(large, HOUR_NS)
    assert plain(first)
    assert not plain(_batch(10, time_ns=None))
    assert not plain(_batch(0))


def test_small_dictionaries_become_one() -> None:
    """A feature's words are what they were, whatever each message's order of them; the same words give the same object,
    by which what is known of them is found. A segment's dictionary says which value came first: its words stay apart.
    """
    codes = [np.array(own, dtype=np.int32) for own in ([0, 1, 1], [2, 0, 1], [0, 0, 0])]
    dictionaries = [("x", "y"), ("y", "ü", "x"), ("z",)]
    read = [
        replace(_batch(3), features=Columns(texts={"t": Texts(words, own, np.array([0, 0, 1], np.uint8))}))
        for words, own in zip(dictionaries, codes, strict=True)
    ]
    found = []
    for first, *others in ((read[0], read[1], read[2]), (read[2], read[0], read[1])):
        begun = Together(first, HOUR_NS)
        assert all(begun.takes(other, HOUR_NS) for other in others)
        found.append(begun.batch().features.texts["t"])
    words = [[column.dictionary[code] for code in column.codes] for column in found]
    assert words[0] == ["x", "y", "y", "x", "y", "ü", "z", "z", "z"]
    assert words[1] == ["z", "z", "z", "x", "y", "y", "x", "y", "ü"]
    assert found[0].dictionary is found[1].dictionary
    segments = [replace(_batch(3), segments={"s": own.features.texts["t"]}) for own in read]
    assert not Together(segments[0], HOUR_NS).takes(segments[1], HOUR_NS)


def test_of_a_wide_model_fewer_rows_are_put_together() -> None:
    """Counting them is one stretch of the loop, in which no other record is taken."""
    wide = Columns({f"n{k}": Numbers(np.zeros(150)) for k in range(200)})
    batch = replace(_batch(150), features=wide)
    begun = Together(batch, HOUR_NS)
    assert not begun.takes(batch, HOUR_NS)
    assert begun.rows * 200 <= TOGETHER_VALUES
    narrow = replace(_batch(150), features=Columns({"n": Numbers(np.zeros(150))}))
    assert Together(narrow, HOUR_NS).takes(narrow, HOUR_NS)
