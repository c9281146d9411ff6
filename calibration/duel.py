"""Ours and the peers' rules on the same arrays: what each finds, how soon, and what it cries without cause."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.records import Batch
from calibration.cells import FIRST, Cell
from calibration.drive import Sidecar, begun
from calibration.peers import Peers
from calibration.worlds import DAY, Category, Change, Numeric, Stream, World

N_WINDOW, N_REFERENCE = 1_000, 30_000  # thirty windows: what the agent learns from by itself
NULL_WINDOWS = 4 * DAY
WITHIN = 24
SHARES = (0.1, 0.35, 0.25, 0.15, 0.1, 0.05)
NUMBERS = 9
# Where windows differ by more than chance, as real ones do, the peers' thresholds have to rise above that.
EFFECTS = (0.0, 0.1)
FEATURES = NUMBERS + 1
SHIFTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5)
CHANGES: tuple[tuple[str, Change], ...] = (
    *((f"shift {d:g} σ", Change("shift", d)) for d in SHIFTS),
    ("σ × 1.1", Change("scale", 1.1)),
    ("σ × 1.25", Change("scale", 1.25)),
    ("heavier tails, same mean and σ", Change("tails")),
    ("category 10 → 12 %", Change("share", 0.12)),
    ("category 10 → 15 %", Change("share", 0.15)),
)


def cell_of(effect: float) -> Cell:
    """effect: σ of every window's own shift."""
    world = World((Numeric(NUMBERS, effect=effect), Category(1, shares=SHARES)), even=True)
    return Cell("the same arrays", world, N_WINDOW, N_REFERENCE)


def duel(effect: float, seed: int, peers: Peers | None) -> dict[str, Any]:
    """One reference: "ours" (episodes, alarms, delays) and "peers" by rule (scores and flags of null and changed)."""
    cell = cell_of(effect)
    assert isinstance(cell.world, World)
    stream = Stream(cell.world, (int(cell.key[:8], 16), seed))
    first = [stream.window(FIRST + k, N_WINDOW) for k in range(cell.blocks)]
    start = FIRST + cell.blocks
    null = [stream.window(start + k, N_WINDOW) for k in range(NULL_WINDOWS)]
    after = start + NULL_WINDOWS
    changed = [[stream.window(after + k, N_WINDOW, change) for k in range(WITHIN)] for _, change in CHANGES]
    found: dict[str, Any] = {"ours": _ours(cell, first, null, changed)}
    if peers is not None:
        with tempfile.TemporaryDirectory() as folder:
            arrays, scores = Path(folder) / "arrays.npz", Path(folder) / "scores.npz"
            _write(arrays, first, null, changed)
            spent = peers.judge(arrays, scores)
            with np.load(scores) as data:
                found["peers"] = {rule: _of_rule(data, rule) for rule in spent}
        found["versions"] = peers.versions
    return found


def duel_beside(effect: float, python: Path | None, seed: int) -> dict[str, Any]:
    """With the peers in that environment; None: ours alone. In a process of its own, so it can't live in __main__."""
    if python is None:
        return duel(effect, seed, None)
    with Peers(python) as peers:
        return duel(effect, seed, peers)


def _ours(
    cell: Cell, first: Sequence[Batch], null: Sequence[Batch], changed: Sequence[Sequence[Batch]]
) -> dict[str, Any]:
    start = FIRST + len(first)
    quiet = begun(cell, list(enumerate(first, FIRST)))
    reference, judge = quiet.reference, quiet.watch.judge
    for index, batch in enumerate(null, start):
        quiet.hour(batch, index)
    after = start + len(null)
    delays = []
    for (_, change), windows in zip(CHANGES, changed, strict=True):
        sidecar = Sidecar(reference, judge=judge)
        for index, batch in enumerate(null[-DAY:], after - DAY):
            sidecar.hour(batch, index)
        name = "text_000" if change.kind == "share" else "number_000"
        delays.append(sidecar.until_named(name, enumerate(windows, after)))
    return {"episodes": sum(quiet.alerts.values()), "alarms": sum(quiet.checks.values()), "delays": delays}


def _write(path: Path, first: Sequence[Batch], null: Sequence[Batch], changed: Sequence[Sequence[Batch]]) -> None:
    texts = [change.kind == "share" for _, change in CHANGES]
    moved = [
        [_matrix(batch)[:, -1 if text else 0] for batch in windows]
        for text, windows in zip(texts, changed, strict=True)
    ]
    np.savez(
        path,
        reference=np.concatenate([_matrix(batch) for batch in first]),
        null=np.stack([_matrix(batch) for batch in null]),
        changed=np.array(moved),
        texts=np.array(texts),
    )


def _matrix(batch: Batch) -> np.ndarray:
    """float64 (rows, features): the numbers, then the text's codes."""
    columns = [column.values for column in batch.features.numbers.values()]
    return np.column_stack([*columns, *(column.codes for column in batch.features.texts.values())])


def _of_rule(data: Any, rule: str) -> dict[str, Any]:
    return {
        "null": data[f"{rule}.null"].tolist(),
        "changed": data[f"{rule}.changed"].tolist(),
        "null_flags": data[f"{rule}.flag.null"].astype(int).tolist(),
        "changed_flags": data[f"{rule}.flag.changed"].astype(int).tolist(),
    }
