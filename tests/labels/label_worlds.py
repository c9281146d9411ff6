"""Predictions and labels by number, and a desk in a folder to give them to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.counting.fingerprints import identities
from agent.labels.desk import Bounds, Desk
from agent.records import Batch, Columns, Labels, ModelKey, Numbers, Pairs, Texts

NAME = "loan"
SECOND, HOUR, DAY = 10**9, 3_600 * 10**9, 86_400 * 10**9
NOW = 20_000 * DAY
BOUNDS = Bounds(label_ns=30 * DAY, early_ns=HOUR, bytes_max=1 << 30, window_ns=HOUR)
CLASSES = ("no", "yes")


@dataclass(frozen=True)
class Said:
    """One label: of prediction `id`, or of `request`."""

    truth: str = "yes"
    id: int | None = None
    request: int | None = None


def desk(folder: Path, bounds: Bounds = BOUNDS) -> Desk:
    return Desk(ModelKey(NAME), folder, bounds)


def again(held: Desk) -> Desk:
    """The same desk after a kill that came right after a checkpoint."""
    blob, fds = held.dump()
    found = Desk(held.model, held.folder, held.bounds)
    found.load(blob)
    assert fds is not None
    return found


def hashes(prefix: str, numbers: Sequence[int | None]) -> np.ndarray:
    return identities(["" if one is None else f"{prefix}{one}" for one in numbers])


def batch(ids: Sequence[int | None], version: str = "1", requests: Sequence[int | None] = (), now: int = NOW) -> Batch:
    """What each prediction says is a function of its id and version."""
    rows = len(ids)
    told = np.array([(0 if one is None else one) for one in ids], dtype=np.float64)
    return Batch(
        ModelKey(NAME, version),
        rows,
        now,
        Columns(),
        Columns({"score": Numbers(told % 100 / 100)}, {"prediction": Texts(CLASSES, (told % 2).astype(np.int32))}),
        latency=told,
        ids=hashes("p-", ids),
        request_ids=hashes("r-", requests) if requests else None,
    )


def labels(said: Sequence[Said], now: int = NOW) -> Labels:
    rows = len(said)
    texts = sorted({one.truth for one in said})
    return Labels(
        ModelKey(NAME),
        rows,
        now,
        hashes("p-", [one.id for one in said]),
        hashes("r-", [one.request for one in said]),
        np.zeros(rows, np.uint64),
        np.full(rows, np.nan),
        Texts(texts, np.array([texts.index(one.truth) for one in said], dtype=np.int32)),
        np.zeros(rows, np.int64),
    )


def joined(pairs: Sequence[Pairs]) -> Counter[tuple[str, int, str]]:
    """(version, id's hash, truth) of every pair."""
    return Counter(
        (one.model.version, int(one.ids[i]), one.classes[int(one.actual_class[i])])
        for one in pairs
        for i in range(one.rows)
    )


def settled(held: Desk) -> int:
    """Labels that are of one kind or another, and those that wait."""
    kinds = held.kept.kinds
    final = sum(kinds[kind] for kind in ("joined", "early", "repeated", "changed", "unknown", "unsampled"))
    return final + held.waits() + held.early.waiting


def with_bytes(bytes_max: int) -> Bounds:
    return replace(BOUNDS, bytes_max=bytes_max)
