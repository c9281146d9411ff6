"""Windows as bytes: open ones with their sketches, closed ones as counts alone."""

from __future__ import annotations

from collections import Counter

import numpy as np

from agent.counting import durations
from agent.counting.segments import narrowed
from agent.counting.texts import TextSketch, WindowTexts
from agent.counting.windows import Window
from agent.errors import CorruptError
from agent.records import Cells, Closed, Ints, Source, TextsSeen
from agent.sketches.distinct import Distinct
from agent.traces.examples import Examples
from agent.wire import state_pb2 as state


def dump_window(window: Window) -> state.Window:
    return state.Window(
        index=window.index,
        rows=window.rows,
        counts=b"" if window.counts is None else window.counts.astype("<i8").tobytes(),
        latency=window.latency.astype("<i8").tobytes(),
        errors=window.errors,
        latency_sum=window.latency_sum,
        segments={name: counts.astype("<i8").tobytes() for name, counts in window.segments.items()},
        unknown=window.unknown,
        backlog=window.backlog,
        first_unix_nano=window.first_ns,
        sketched=window.texts is not None,
        texts=[] if window.texts is None else [_dump_texts(*own) for own in window.texts.sketches.items()],
        examples=None if window.examples is None else window.examples.dump(),
    )


def _dump_texts(key: tuple[Source, str], own: TextSketch) -> state.Texts:
    held = own.newcomers
    return state.Texts(
        source=int(key[0]), name=key[1], sketch=own.distinct.to_bytes(), new=held.total, error=held.error,
        newcomers=[state.Newcomer(text=str(text), count=count) for text, count in held.counts.items()],
    )  # fmt: skip


def _window_texts(message: state.Window) -> WindowTexts:
    found = WindowTexts()
    for own in message.texts:
        sketch = found.sketches[(Source(own.source), own.name)] = TextSketch(Distinct.from_bytes(own.sketch))
        sketch.newcomers.total, sketch.newcomers.error = int(own.new), int(own.error)
        sketch.newcomers.counts = {new.text: int(new.count) for new in own.newcomers}
    return found


def dump_closed(closed: Closed) -> bytes:
    return state.Window(
        index=closed.index,
        rows=closed.rows,
        counts=closed.counts.astype("<i4").tobytes(),
        latency=closed.latency.astype("<i4").tobytes(),
        errors=closed.errors,
        segments={name: counts.astype("<i4").tobytes() for name, counts in closed.segments.items()},
        covered_seconds=closed.covered_seconds,
        unknown=closed.unknown,
        backlog=closed.backlog,
        repeats={kind: state.Repeats(rows=rows, again=again) for kind, (rows, again) in closed.repeats.items()},
        texts=[
            state.Texts(
                source=int(source),
                name=name,
                distinct=seen.distinct,
                new=seen.new,
                newcomers=[state.Newcomer(text=text, count=count) for text, count in seen.newcomers],
            )
            for (source, name), seen in closed.texts.items()
        ],
    ).SerializeToString(deterministic=True)


def load_window(message: state.Window, cells: int | None) -> Window:
    return Window(
        message.index,
        None if cells is None else ints(message.counts, cells),
        ints(message.latency, durations.BUCKETS),
        rows=message.rows,
        errors=message.errors,
        latency_sum=message.latency_sum,
        segments={name: ints(data, cells or 0) for name, data in message.segments.items()},
        unknown=Counter(dict(message.unknown)),
        backlog=message.backlog,
        first_ns=message.first_unix_nano,
        texts=_window_texts(message) if message.sketched else None,
        examples=Examples.load(message.examples, cells or 0) if message.HasField("examples") else None,
    )


def load_closed(message: state.Window, cells: int) -> Closed:
    return Closed(
        message.index,
        _cells(message.counts, cells),
        _cells(message.latency, durations.BUCKETS),
        message.rows,
        message.errors,
        {name: narrowed(_cells(data, cells)) for name, data in message.segments.items()},
        message.covered_seconds,
        message.backlog,
        dict(sorted(message.unknown.items())),
        {kind: (int(found.rows), int(found.again)) for kind, found in sorted(message.repeats.items())},
        {
            (Source(own.source), own.name): TextsSeen(
                int(own.distinct), int(own.new), tuple((new.text, int(new.count)) for new in own.newcomers)
            )
            for own in message.texts
        },
    )


def ints(data: bytes, size: int) -> Ints:
    found = np.frombuffer(data, dtype="<i8").astype(np.int64)
    if found.size != size:
        raise CorruptError(f"{found.size} counts, expected {size}")
    return found


def _cells(data: bytes, size: int) -> Cells:
    found = np.frombuffer(data, dtype="<i4").astype(np.int32)
    if found.size != size:
        raise CorruptError(f"{found.size} counts, expected {size}")
    return found
