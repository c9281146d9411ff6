"""The floor: what the same records cost with nothing but the libraries, in one process and without a server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import datasketches
import numpy as np
import xxhash

from agent.wire import rows_pb2, twin_pb2
from bench.traffic import Traffic, messages

BINS = 24
CELLS = 30  # of a feature: some twenty bins and those for what is no value
DIRECTIONS = 36  # 32 leading ones and four random ones, as a reference has


def cpu_per(work: Callable[[], object], units: int, times: int) -> float:
    """Microseconds of this process's CPU for each of `units` that one call of `work` handles."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / (times * units) * 1e6


class Floor:
    """Bulk messages by hand: parsed, hashed and written, counted into even bins; KLL apart."""

    def __init__(self, traffic: Traffic, folder: Path, times: int) -> None:
        self._rows, self._times = traffic.rows, times
        self._raw = messages(traffic, 1)[0]
        self._file = os.open(folder / "floor.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._sketches = [datasketches.kll_doubles_sketch(200) for _ in range(traffic.numbers + 1)]

    def count(self) -> float:
        """Parse, checksum and write, one bin count for all columns; µs a record."""
        os.ftruncate(self._file, 0)
        return cpu_per(self._count, self._rows, self._times)

    def sketch(self) -> float:
        """Every number into a KLL sketch; µs a record."""
        values = [np.array(column) for column in self._numbers(twin_pb2.Request.FromString(self._raw).columns)]
        return cpu_per(
            lambda: [s.update(v) for s, v in zip(self._sketches, values, strict=True)], self._rows, self._times
        )

    def _count(self) -> None:
        columns = twin_pb2.Request.FromString(self._raw).columns
        os.writev(self._file, (xxhash.xxh3_64_digest(self._raw), self._raw))
        matrix = np.array(self._numbers(columns))
        cells = np.clip(matrix * 4 + 12, 0, BINS - 1).astype(np.int32)
        codes = np.array([np.frombuffer(text.codes[0], "<i4") for text in columns.texts])
        cells += np.arange(0, BINS * len(cells), BINS, dtype=np.int32)[:, None]
        codes += np.arange(0, 64 * len(codes), 64, dtype=np.int32)[:, None]
        np.bincount(cells.ravel())
        np.bincount(codes.ravel())

    def _numbers(self, columns: twin_pb2.Columns) -> list[np.ndarray]:
        arrays = [column.values[0] for column in columns.numbers] + [columns.outputs[0].scores[0].values[0]]
        return [np.frombuffer(data, "<f8") for data in arrays]


def multiply_add(traffic: Traffic) -> Callable[[], float]:
    """Each row's numbers times odd ones, added up: the least that a hash of a row can be; µs a record."""
    values = np.random.default_rng(0).integers(0, 1 << 63, (traffic.numbers + traffic.texts, traffic.rows), np.uint64)
    odd = values[:, 0] | np.uint64(1)
    return lambda: cpu_per(lambda: np.einsum("i,ij->j", odd, values), traffic.rows, 500)


def count_apart(traffic: Traffic, segments: int) -> Callable[[], float]:
    """The cells of a message counted once more, apart by a segment key's values, and nothing else; µs a record."""
    random, features = np.random.default_rng(0), traffic.numbers + traffic.texts + 2  # and prediction and score
    cells = np.arange(features)[:, None] * CELLS + random.integers(0, CELLS, (features, traffic.rows))
    codes = random.integers(0, segments, traffic.rows)
    size = features * CELLS

    def count() -> None:
        np.bincount((codes * size + cells).ravel(), minlength=segments * size)

    return lambda: cpu_per(count, traffic.rows, 50)


class VectorFloor:
    """What a message's vectors cost anyone: checksum and write, and a product with some directions."""

    def __init__(self, traffic: Traffic, folder: Path, times: int) -> None:
        self._rows, self._times = traffic.rows, times
        random = np.random.default_rng(0)
        self._vectors = random.normal(size=(traffic.rows, traffic.vector)).astype(np.float32)
        self._directions = random.normal(size=(traffic.vector, DIRECTIONS)).astype(np.float32)
        self._bytes = self._vectors.tobytes()
        self._file = os.open(folder / "floor.vectors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def write(self) -> float:
        """Checksum and write, to the end of a file as a journal does; µs a record."""
        os.ftruncate(self._file, 0)
        return cpu_per(self._write, self._rows, self._times)

    def product(self) -> float:
        """Every row with every direction; µs a record."""
        return cpu_per(lambda: self._vectors @ self._directions, self._rows, self._times)

    def _write(self) -> None:
        os.writev(self._file, (xxhash.xxh3_64_digest(self._bytes), self._bytes))


class RowFloor:
    """Rows by hand: parsed, and their two typed maps walked; nothing counted."""

    def __init__(self, traffic: Traffic, times: int) -> None:
        self._raw, self._rows, self._times = messages(traffic, 1)[0], traffic.rows, times

    def parse(self) -> float:
        """Only parsed; µs a record."""
        return cpu_per(lambda: [rows_pb2.Row.FromString(raw) for raw in self._items()], self._rows, self._times)

    def walk(self) -> float:
        """Parsed and walked; µs a record."""
        return cpu_per(lambda: [_walk(rows_pb2.Row.FromString(raw)) for raw in self._items()], self._rows, self._times)

    def _items(self) -> list[bytes]:
        return list(twin_pb2.Request.FromString(self._raw).rows.items)


def _walk(row: rows_pb2.Row) -> tuple[dict[str, float], dict[str, str]]:
    return dict(row.numbers), dict(row.texts)
