"""What a prediction that waits for its label costs, and the label: the agent's own desk, with ten million waiting."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.counting.fingerprints import numbered
from agent.labels.desk import Bounds, Desk
from agent.records import Batch, Columns, Labels, ModelKey, Numbers, Texts
from bench import pace
from bench.line import Line, Samples
from bench.scale import Scale

MODEL = ModelKey("bench", "1")
ROWS = 500  # of a message
SAVE_ROWS = 200_000  # predictions between two checkpoints: two seconds of heavy traffic
APART = 6_180_339_887  # no factor in common with a power of ten: each label's prediction lies far from the last's
NOW = 1_700_000_000 * 10**9
BOUNDS = Bounds(30 * 86_400 * 10**9, 3_600 * 10**9, 2 << 30, 3_600 * 10**9)
WHY = "each row of a random prediction is a page of its own to find and to read, however many are sought at once."


@dataclass(frozen=True, slots=True)
class Found:
    """predicting, labelling: µs of CPU a record, the background's share in each; files in bytes; memory in MiB over
    what the process had before; pace: the machine's meanwhile, in µs."""

    predicting: float
    labelling: float
    files: int
    memory: float
    pace: float


def join(scale: Scale, folder: Path) -> Iterator[Line]:
    """Predictions go on coming, and as many labels, each of any one of those that wait; the cache is cold."""
    found = measure(folder / "join", scale.waiting, scale.joined)
    what = f"label join, {scale.waiting:,} predictions waiting, cold cache"
    both = Samples.of([found.predicting + found.labelling], [found.pace])
    yield Line(f"{what}: prediction and its label, added to bulk", "µs", both, 3.0, why=WHY)
    yield Line(f"{what}: of that the prediction", "µs", Samples.of([found.predicting], [found.pace]))
    yield Line(f"{what}: disk", "MiB", Samples.of([found.files / 2**20]), 2048.0)
    yield Line(f"{what}: memory", "MiB", Samples.of([found.memory]), 40.0)


def measure(folder: Path, waiting: int, joined: int) -> Found:
    """Fills a desk, then goes on with as many labels as predictions."""
    before = _resident()
    desk = Desk(MODEL, folder, BOUNDS)
    for start in range(0, waiting, ROWS):
        desk.predicted(_batch(start))
        _behind(desk, start)
    _save(desk)
    spent = {"predicting": 0.0, "labelling": 0.0}
    peak, paces = 0.0, [pace.now()]
    for start in range(0, joined, ROWS):
        batch, labels = _batch(waiting + start), _labels(np.arange(start, start + ROWS) * APART % waiting)
        began = time.process_time()
        desk.predicted(batch)
        _behind(desk, start)
        between = time.process_time()
        desk.labelled(labels)
        settles = desk.due(NOW) or start + ROWS >= joined
        spent["labelling"] += time.process_time() - between
        spent["predicting"] += between - began
        if settles:
            _cool(folder)
            began = time.process_time()
            desk.settle()
            _behind(desk, 0)
            spent["labelling"] += time.process_time() - began
            paces.append(pace.now())
        peak = max(peak, _resident())
    files = sum(path.stat().st_size for path in folder.iterdir())
    if desk.kept.kinds["joined"] != joined:
        raise RuntimeError(f"{desk.kept.kinds['joined']} of {joined} labels were joined")
    desk.close()
    return Found(
        spent["predicting"] / joined * 1e6,
        spent["labelling"] / joined * 1e6,
        files,
        (peak - before) / 2**20,
        statistics.fmean(paces),
    )


def _behind(desk: Desk, start: int) -> None:
    """What the agent does beside: background work, and now and then a checkpoint."""
    desk.work_now()
    if start % SAVE_ROWS == 0:
        _save(desk)


def _save(desk: Desk) -> None:
    _, fds = desk.dump()
    for fd in fds:
        os.fdatasync(fd)
        os.close(fd)
    desk.written()


def _cool(folder: Path) -> None:
    """Nothing of the files is in the kernel's memory."""
    for path in folder.iterdir():
        fd = os.open(path, os.O_RDONLY)
        os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))


def _batch(start: int) -> Batch:
    random = np.random.default_rng(start)
    outputs = Columns(
        {"score": Numbers(random.uniform(size=ROWS))},
        {"prediction": Texts(("no", "yes"), random.integers(0, 2, ROWS).astype(np.int32))},
    )
    ids = numbered(b"0123456789abcdef-", np.arange(start, start + ROWS, dtype=np.uint64))
    regions = Texts(("north", "south", "west"), random.integers(0, 3, ROWS).astype(np.int32))
    return Batch(
        MODEL, ROWS, NOW, Columns(), outputs, latency=random.uniform(size=ROWS), ids=ids, segments={"region": regions}
    )


def _labels(numbers: np.ndarray) -> Labels:
    rows = len(numbers)
    none = np.zeros(rows, np.uint64)
    ids = numbered(b"0123456789abcdef-", numbers.astype(np.uint64))
    truths = Texts(("no", "yes"), (numbers % 2).astype(np.int32))
    return Labels(MODEL, rows, NOW, ids, none, none, np.full(rows, np.nan), truths, np.zeros(rows, np.int64))
