"""Windows: what a close costs, and what a sender feels of it."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from agent.counting.segments import narrowed
from agent.counting.windows import HORIZON
from agent.evaluate import Judge, Measure
from agent.ledger import Dial
from agent.records import Cells, Closed
from agent.reference.profile import Reference
from bench.line import Beside, Line, Samples, in_turns, quantile
from bench.processes import Agent, Sender
from bench.scale import Scale
from bench.traffic import BLOCK_ROWS, Traffic, batch, reference, write_reference

CLOSE_SECONDS = 0.7  # after a window's end: the tick comes within half a second, the judging takes less than the rest
PAUSE_SECONDS = 0.004
SEGMENTS = 10
CLOSE_WHY = (
    "the loop is shared: a record waits for the slice that runs, and for what a checkpoint after an alert copies."
)
SLICE_WHY = "one step over all features at once; it is split where that does not cost more than it gives."
EVALUATE_WHY = (
    "most of it is a fixed cost for each feature's finding and each horizon's arrays in Python, not arithmetic."
)


def closing(scale: Scale, folder: Path) -> Iterator[Line]:
    """p99 of 10-row calls just after a window's end against p99 between, with a wide model."""
    traffic = Traffic(rows=10).wide(scale.wide)
    folder = folder / "closing"
    references = write_reference(traffic, folder, scale.window_seconds)
    with Agent(folder, reference=str(references)) as agent:
        agent.wait_ready()
        with Sender(agent.endpoint, traffic, folder) as sender:
            calls = sender.send(1, seconds=scale.window_seconds * scale.closings, pause_seconds=PAUSE_SECONDS)
        agent.kept()
    near, between = split(calls, scale.window_seconds)
    p99 = [Samples.of([quantile(part, 0.99) * 1e3]) for part in (near, between)]
    yield Line(
        f"ingest p99 across a window's close, {scale.wide} features",
        "ms",
        p99[0],
        2.0,
        relative=True,
        beside=(Beside("between closes", p99[1]),),
        why=CLOSE_WHY,
        note=f"{scale.closings} windows of {scale.window_seconds:g} s, {len(near)} and {len(between)} calls; "
        f"medians {quantile(near, 0.5) * 1e3:.1f} and {quantile(between, 0.5) * 1e3:.1f} ms, "
        f"slowest {quantile(near, 1.0) * 1e3:.1f} and {quantile(between, 1.0) * 1e3:.1f} ms",
    )


def split(calls: list[tuple[float, float]], window_seconds: float) -> tuple[list[float], list[float]]:
    """Latencies within CLOSE_SECONDS of a window's end (at most half a window), and the others."""
    across = min(CLOSE_SECONDS, window_seconds / 2)
    ours = [
        (at % window_seconds < across or (at + latency) % window_seconds < latency, latency) for at, latency in calls
    ]
    return [latency for near, latency in ours if near], [latency for near, latency in ours if not near]


def evaluating(scale: Scale, folder: Path) -> Iterator[Line]:
    """Every measure over all its horizons, in process: drift beside a bare PSI of the same arrays, then segments.

    What the imports made is left out of the garbage collector's rounds first, as the agent does once it has started.
    """
    gc.collect()
    gc.freeze()
    try:
        yield from _evaluating(scale)
    finally:
        gc.unfreeze()


def _evaluating(scale: Scale) -> Iterator[Line]:
    traffic = Traffic(missing=0.02, segments=(SEGMENTS,)).wide(scale.wide)
    known = reference(traffic, 60.0)
    began = time.process_time()
    judge = Judge(known, Dial(), 60.0)
    made_ms = (time.process_time() - began) * 1e3
    closed = _windows(traffic, known)
    drift, quality, segments = (Timed(measure, closed) for measure in judge.measures)
    found = in_turns(
        {
            "drift": drift.judge,
            "psi": lambda: psi([window.counts for window in closed], known.pooled),
            "quality": quality.judge,
            "segments": segments.judge,
        },
        scale.repeats * 2,
    )
    if drift.findings < scale.wide:
        raise AssertionError(f"{drift.findings} findings for {scale.wide} features")
    bare = Beside("bare PSI of the same counts, numpy", found["psi"])
    yield Line(
        f"evaluating drift and quality for {scale.wide} features and whole rows, all horizons",
        "ms",
        found["drift"].plus(found["quality"]),
        30.0,
        beside=(bare,),
        why=EVALUATE_WHY,
        note=f"of it quality {found['quality'].median:.1f} ms; a judge is made once, in {made_ms:.0f} ms; "
        "the garbage collector leaves alone what the imports made, as in the agent",
    )
    yield Line(
        f"evaluating {SEGMENTS} segments of {scale.wide} features, all horizons",
        "ms",
        found["segments"],
        beside=(Beside(f"the same PSI, {SEGMENTS} times", Samples.of([p * SEGMENTS for p in found["psi"].values])),),
        note="without a budget of its own but the slices'",
    )
    slices = {"drift": drift, "quality": quality, "segments": segments}
    longest = max(slices, key=lambda name: slices[name].slice_ms)
    yield Line(
        "the longest slice of evaluating, between two records' chances",
        "ms",
        Samples.of([slices[longest].slice_ms], [statistics.fmean(found[longest].paces)]),
        2.0,
        beside=(bare,),
        why=SLICE_WHY,
        note=f"the median over repeats of the dearest slice, in {longest}; "
        + ", ".join(f"{name}: {own.slices} slices, the longest {own.slice_ms:.1f} ms" for name, own in slices.items()),
    )


class Timed:
    """One measure, judging the same windows again and again."""

    def __init__(self, measure: Measure, closed: Sequence[Closed]) -> None:
        self._measure, self._closed = measure, closed
        self._spent: list[list[float]] = []
        self.findings = 0

    def judge(self) -> float:
        """Milliseconds of CPU, all slices together."""
        self.findings, own = 0, []
        last = time.process_time()
        for part in self._measure.judge(self._closed):
            now = time.process_time()
            own.append((now - last) * 1e3)
            self.findings, last = self.findings + len(part), time.process_time()
        own.append((time.process_time() - last) * 1e3)
        self._spent.append(own)
        return sum(own)

    @property
    def slices(self) -> int:
        return len(self._spent[0])

    @property
    def slice_ms(self) -> float:
        """The dearest slice, each by its median over all calls: a pause that hits one of them at random is no slice."""
        return max(float(statistics.median(own)) for own in zip(*self._spent, strict=True))


def _windows(traffic: Traffic, known: Reference) -> list[Closed]:
    """As many as the longest horizon, each of as many rows as the reference's."""
    found = []
    for i in range(HORIZON):
        rows = batch(traffic, BLOCK_ROWS, seed=900 + i)
        placed = known.layout.place(rows)
        segments = {
            f"{key}={value}": narrowed(placed.count(known.layout.cells, column.codes == code))
            for key, column in rows.segments.items()
            for code, value in enumerate(column.dictionary)
        }
        counts = placed.count(known.layout.cells).astype(np.int32)
        found.append(Closed(1000 - HORIZON + 1 + i, counts, rows=BLOCK_ROWS, segments=segments))
    return found


def psi(recent: list[Cells], pooled: np.ndarray) -> float:
    """Milliseconds for PSI over six horizons with nothing else: no bins pooled, no noise judged, no floors."""
    began = time.process_time()
    sums = np.cumsum(np.array(recent[::-1], dtype=np.int64), axis=0)[[0, 1, 3, 7, 15, 23]] + 0.5
    now, then = sums / sums.sum(axis=1, keepdims=True), (pooled + 0.5) / (pooled + 0.5).sum()
    ((now - then) * np.log(now / then)).sum()
    return (time.process_time() - began) * 1e3
