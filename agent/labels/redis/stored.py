"""A desk's state in a checkpoint: the counts, and what Redis does not have yet.

length of the JSON, u32 │ JSON │ labels not looked up │ labels that wait in Redis │ ids told, u64 │ records
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.errors import CorruptError
from agent.labels.kept import Kept
from agent.labels.redis.packing import QUEUED, Chunk
from agent.labels.rows import CLASSES_MAX, NAMES_MAX, Layout, Places
from agent.records import ModelKey, Role

if TYPE_CHECKING:
    from agent.labels.redis.desk import RedisDesk

FORMAT = 1


def dump(desk: RedisDesk) -> bytes:
    tables, told = desk.tables, [*desk.done, *desk.planned]
    held = {
        "format": FORMAT,
        "kept": desk.kept.dump(),
        "versions": [[v.version, int(v.role), v.deployment] for v in tables.versions],
        "classes": tables.classes.texts,
        "numeric": tables.classes.numeric,
        "names": tables.names.texts,
        "named": dict(tables.named),
        "output": tables.output,
        "layout": list(tables.layout.columns),
        "share": desk.share,
        "now_ns": desk.now_ns,
        "started_ns": desk.started_ns,
        "born": desk.fleet.born,
        "dropped": dict(desk.dropped),
        "emptied": desk.emptied,
        "lost": desk.lost,
        "waiting": len(desk.waiting),
        "pending": len(desk.pending),
        "told": len(told),
        "chunks": [
            [one.arrived_ns, one.slot, one.size, one.rows, [_text(part) for pair in one.tails.items() for part in pair]]
            for one in desk.chunks
        ],
    }
    head = json.dumps(held).encode()
    return b"".join(
        (
            struct.pack("<I", len(head)), head, desk.waiting.tobytes(), desk.pending.tobytes(),
            np.array(told, dtype="<u8").tobytes(), *(one.records for one in desk.chunks),
        )
    )  # fmt: skip


def load(desk: RedisDesk, blob: bytes) -> None:
    """Raises CorruptError where the state makes no sense."""
    try:
        _load(desk, blob)
    except (ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
        raise CorruptError(f"labels of a model: {type(error).__name__}") from error


def _load(desk: RedisDesk, blob: bytes) -> None:
    (size,) = struct.unpack_from("<I", blob)
    held: dict[str, Any] = json.loads(blob[4 : 4 + size])
    if held["format"] != FORMAT:
        raise ValueError(f"format {held['format']}, expected {FORMAT}")
    rest = _Rest(blob, 4 + size)
    tables, model = desk.tables, desk.model
    tables.versions = [ModelKey(model.name, v, Role(r), d, model.tenant) for v, r, d in held["versions"]]
    tables.classes = Places.of(CLASSES_MAX, held["classes"])
    tables.classes.numeric = held["numeric"]
    tables.names = Places.of(NAMES_MAX, held["names"])
    tables.named = Counter({str(key): int(count) for key, count in held.get("named", {}).items()})
    tables.output, tables.layout = held["output"], Layout(tuple(held["layout"]))
    desk.kept, desk.fleet.born = Kept.load(held["kept"]), str(held["born"])
    desk.share, desk.now_ns, desk.started_ns = int(held["share"]), int(held["now_ns"]), int(held["started_ns"])
    desk.dropped.update({str(what): int(count) for what, count in held["dropped"].items()})
    desk.emptied, desk.lost = int(held["emptied"]), int(held["lost"])
    desk.waiting = np.frombuffer(rest.take(held["waiting"] * QUEUED.itemsize), QUEUED).copy()
    desk.pending = np.frombuffer(rest.take(held["pending"] * QUEUED.itemsize), QUEUED).copy()
    desk.done = np.frombuffer(rest.take(held["told"] * 8), "<u8").tolist()
    for arrived_ns, slot, record, rows, parts in held["chunks"]:
        raw = [b64decode(part) for part in parts]
        tails = dict(zip(raw[::2], raw[1::2], strict=True))
        desk.chunks.append(Chunk(arrived_ns, slot, record, rest.take(rows * record), tails))
        desk.held += desk.chunks[-1].bytes


class _Rest:
    def __init__(self, blob: bytes, at: int) -> None:
        self._blob, self._at = blob, at

    def take(self, size: int) -> bytes:
        found = self._blob[self._at : self._at + size]
        if len(found) != size:
            raise ValueError("ends too soon")
        self._at += size
        return found


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
