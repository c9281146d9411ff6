"""Windows: what a close costs, and what a sender feels of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.evaluate import Judge
from agent.ledger import Dial
from agent.records import Cells, Closed
from agent.windows import HORIZON
from bench.line import Beside, Line, Samples, in_turns, quantile
from bench.processes import Agent, Sender
from bench.scale import Scale
from bench.traffic import BLOCK_ROWS, Traffic, batch, reference, write_reference

CLOSE_SECONDS = 0.7  # after a window's end: the tick comes within half a second, the judging takes less than the rest
PAUSE_SECONDS = 0.004
CLOSE_WHY = (
    "the loop is shared: a record waits for the slice that runs, and for what a checkpoint after an alert copies."
)
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
    """All measures over all horizons, in process, beside a bare PSI of the same arrays."""
    traffic = Traffic().wide(scale.wide)
    known = reference(traffic, 60.0)
    began = time.process_time()
    judge = Judge(known, Dial(), 60.0)
    made_ms = (time.process_time() - began) * 1e3
    recent = [
        known.layout.place(batch(traffic, BLOCK_ROWS, seed=900 + i)).count(known.layout.cells).astype(np.int32)
        for i in range(HORIZON)
    ]
    closed = [Closed(1000 - HORIZON + 1 + i, counts) for i, counts in enumerate(recent)]
    slices: list[float] = []

    def ours() -> float:
        began = time.process_time()
        findings, last = 0, began
        for part in judge.judge(closed):
            now = time.process_time()
            slices.append(now - last)
            findings, last = findings + len(part), now
        if findings < scale.wide:
            raise AssertionError(f"{findings} findings for {scale.wide} features")
        return (time.process_time() - began) * 1e3

    found = in_turns({"ours": ours, "psi": lambda: psi(recent, known.pooled)}, scale.repeats * 2)
    yield Line(
        f"evaluating drift and quality for {scale.wide} features, all horizons",
        "ms",
        found["ours"],
        30.0,
        beside=(Beside("bare PSI of the same counts, numpy", found["psi"]),),
        why=EVALUATE_WHY,
        note=f"slices: p99 {quantile(slices, 0.99) * 1e3:.1f} ms, longest {max(slices) * 1e3:.1f} ms of CPU; "
        f"a judge is made once, in {made_ms:.0f} ms",
    )


def psi(recent: list[Cells], pooled: np.ndarray) -> float:
    """Milliseconds for PSI over six horizons with nothing else: no bins pooled, no noise judged, no floors."""
    began = time.process_time()
    sums = np.cumsum(np.array(recent[::-1], dtype=np.int64), axis=0)[[0, 1, 3, 7, 15, 23]] + 0.5
    now, then = sums / sums.sum(axis=1, keepdims=True), (pooled + 0.5) / (pooled + 0.5).sum()
    ((now - then) * np.log(now / then)).sum()
    return (time.process_time() - began) * 1e3
