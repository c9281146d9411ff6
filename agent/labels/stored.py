"""A desk's state in a checkpoint: which files there are and how long each is, and the small tables beside them.

    length of the JSON, u32 │ JSON │ labels that are not looked up │ labels that wait for their prediction
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import CorruptError
from agent.labels.files import closed
from agent.labels.kept import Kept
from agent.labels.log import segment_path
from agent.labels.rows import CLASSES_MAX, NAMES_MAX, Layout, Places, together
from agent.labels.truths import TRUTH
from agent.records import ModelKey, Role

if TYPE_CHECKING:
    from agent.labels.desk import Desk

FORMAT = 2
CORRUPT = ".corrupt"


def dump(desk: Desk) -> tuple[bytes, list[int]]:
    """The state, and duplicated descriptors of the files to sync before it is stored. Raises OSError."""
    fds: list[int] = []
    try:
        log, own = desk.log.store()
        fds += own
        marks, own = desk.marks.store()
        fds += own
        index, own = desk.index.store()
        fds += own
    except OSError:
        closed(fds)
        raise
    tables = desk.tables
    waiting = together(desk.waiting, TRUTH)
    held = {
        "format": FORMAT,
        "log": log,
        "marks": marks,
        "index": index,
        "window_ns": desk.bounds.window_ns,
        "newest_ns": desk.newest_ns,
        "numbers": desk.numbers,
        "limit": desk.limit,
        "raised_ns": desk.raised_ns,
        "started_ns": desk.started_ns,
        "kept": desk.kept.dump(),
        "versions": [[v.name, v.version, int(v.role), v.deployment, v.tenant] for v in tables.versions],
        "classes": tables.classes.texts,
        "numeric": tables.classes.numeric,
        "names": tables.names.texts,
        "named": dict(tables.named),
        "output": tables.output,
        "layout": list(tables.layout.columns),
        "waiting": len(waiting),
        "early": len(desk.early.rows),
    }
    head = json.dumps(held).encode()
    body = struct.pack("<I", len(head)) + head + waiting.tobytes() + desk.early.rows.tobytes()
    return body, fds


def load(desk: Desk, blob: bytes | None) -> None:
    """Raises CorruptError where the state makes no sense; then the desk is as new, and the files are deleted."""
    if blob is not None:
        try:
            _load(desk, blob)
        except (ValueError, KeyError, TypeError, struct.error, RecursionError, OSError) as error:
            raise CorruptError(f"labels of a model: {type(error).__name__}") from error
    _sweep(desk)


def _load(desk: Desk, blob: bytes) -> None:
    (size,) = struct.unpack_from("<I", blob)
    held: dict[str, Any] = json.loads(blob[4 : 4 + size])
    if held["format"] != FORMAT:
        raise ValueError(f"format {held['format']}, expected {FORMAT}")
    body = np.frombuffer(blob[4 + size :], TRUTH)
    if len(body) != held["waiting"] + held["early"]:
        raise ValueError("labels that wait")
    tables = desk.tables
    tables.versions = [ModelKey(n, v, Role(role), d, tenant) for n, v, role, d, tenant in held["versions"]]
    tables.classes = Places.of(CLASSES_MAX, held["classes"])
    tables.classes.numeric = held["numeric"]
    tables.names = Places.of(NAMES_MAX, held["names"])
    tables.named = Counter({str(key): int(count) for key, count in held.get("named", {}).items()})
    tables.output, tables.layout = held["output"], Layout(tuple(held["layout"]))
    desk.kept, desk.limit, desk.raised_ns = Kept.load(held["kept"]), int(held["limit"]), int(held["raised_ns"])
    if held["window_ns"] != desk.bounds.window_ns:
        desk.kept.windows.clear()  # they were others
    desk.newest_ns = int(held["newest_ns"])
    desk.await_(body[: held["waiting"]].copy())
    desk.early.add(body[held["waiting"] :].copy())
    desk.numbers, desk.started_ns = int(held["numbers"]), int(held.get("started_ns", 0))
    desk.lost += desk.log.load(held["log"]) + desk.marks.load(held["marks"])
    desk.index.load(held["index"])
    if desk.index.broken:
        desk.index.renew()


def _sweep(desk: Desk) -> None:
    """Deletes files that the state does not name: they were begun after it, or replaced before it."""
    named = {segment_path(desk.folder, number).name for number in desk.log.segments}
    named |= {one.file.path.name for one in desk.marks.files}
    named |= {run.path.name for run in desk.index.runs}
    named |= {f"tail-{table.number}" for table in (*desk.index.full, desk.index.table)}
    for path in desk.folder.iterdir():
        if path.name not in named and path.suffix != CORRUPT:
            path.unlink()

