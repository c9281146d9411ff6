"""The model server's process: predicts, records, and times both."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sidelight import Recorder

from bench import pace
from bench.line import quantile
from bench.traffic import Traffic, dictionary, number_name, text_name, values

SPIN_SECONDS = 40e-6  # between two calls: nobody records without predicting
CHUNK = 250  # predictions with and without recording alternate in such runs


class Server:
    """Rows to predict, a recorder, and the histograms one would use instead."""

    def __init__(self, endpoint: str) -> None:
        traffic = Traffic()
        found = values(traffic, 500, seed=1)
        self.dicts: list[dict[str, Any]] = [
            {number_name(k): float(found.numbers[k, r]) for k in range(16)}
            | {text_name(k): dictionary(k)[found.texts[k, r]] for k in range(4)}
            for r in range(500)
        ]
        self.rows = list(np.ascontiguousarray(values(Traffic(numbers=20), 500, seed=2).numbers.T))
        self.recorder = Recorder("loan", "1", endpoint=endpoint)
        self.by_row = Recorder("rows", "1", endpoint=endpoint)
        meter = MeterProvider(metric_readers=[InMemoryMetricReader()]).get_meter("bench")
        self._histograms = [meter.create_histogram(f"h{i}") for i in range(20)]
        self._weights = np.random.default_rng(1).normal(size=(20, 64))

    def record_dict(self, i: int) -> None:
        self.recorder.record(self.dicts[i % 500], "yes", score=0.5, latency=0.001)

    def record_row(self, i: int) -> None:
        self.by_row.record(self.rows[i % 500], "yes", score=0.5, latency=0.001)

    def copy(self, i: int) -> None:
        (self.dicts[i % 500].copy(), uuid.uuid4())

    def count(self, i: int) -> None:
        for histogram in self._histograms:
            histogram.record(0.5)

    def predict(self, i: int) -> float:
        """About half a millisecond, most of it with the interpreter held: the worst neighbour for a sender's thread."""
        total = 0.0
        for k in range(120):
            total += float(np.tanh(self.rows[(i + k) % 500] @ self._weights).sum())
        return total


def timed(work: Callable[[int], object], calls: int, spin_seconds: float = SPIN_SECONDS) -> list[float]:
    """Microseconds of each call, the clock's own taken off."""
    clock = time.perf_counter_ns
    own = min(-(clock() - clock()) for _ in range(1000))
    found = []
    for i in range(calls):
        until = clock() + spin_seconds * 1e9
        while clock() < until:
            pass
        began = clock()
        work(i)
        found.append((clock() - began - own) / 1000)
    return found


def busy(server: Server, predictions: int, recorded: bool, start: int) -> list[float]:
    """Milliseconds of each prediction."""
    found = []
    for i in range(start, start + predictions):
        began = time.perf_counter_ns()
        answer = server.predict(i)
        if recorded:
            server.recorder.record(server.dicts[i % 500], answer, score=0.5, latency=0.001)
        found.append((time.perf_counter_ns() - began) / 1e6)
    return found


def measure(server: Server, calls: int, predictions: int) -> dict[str, Any]:
    """p50 and p99 of single calls in µs, and the machine's pace at them; with, without: every prediction, in ms."""
    found: dict[str, Any] = {}
    for name, work, share in (
        ("floor", server.copy, 4),
        ("dict", server.record_dict, 1),
        ("row", server.record_row, 1),
        ("histograms", server.count, 20),
    ):
        before = pace.now()
        each = timed(work, max(20, calls // share))
        found[f"{name}_pace"] = (before + pace.now()) / 2
        found[f"{name}_p50"], found[f"{name}_p99"] = quantile(each, 0.5), quantile(each, 0.99)
    with_: list[float] = []
    without: list[float] = []
    for start in range(0, predictions, CHUNK):
        without += busy(server, min(CHUNK, predictions - start), False, start)
        with_ += busy(server, min(CHUNK, predictions - start), True, start)
    found["with"], found["without"] = with_, without
    server.recorder.flush()
    server.by_row.flush()
    return found


def main() -> None:
    server = Server(sys.argv[1])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(server, **json.loads(line))), flush=True)
    server.recorder.close()
    server.by_row.close()


if __name__ == "__main__":
    main()
