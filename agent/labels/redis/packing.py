"""Rows and truths as bytes that any replica can read: numbers in columns, everything that has a name by its name.

What a row's places stand for (version, class, segments, groups, which columns there are) is one small JSON, a *tail*,
which many rows share; they carry its hash. So no row depends on a table that another replica cannot see.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from agent.counting.fingerprints import Hashes, mixed
from agent.errors import CorruptError
from agent.labels.rows import TYPES, Layout, Rows, Tables, alias, widened
from agent.labels.truths import BY_REQUEST, TRUTH
from agent.records import Bools, Ints, Labels, ModelKey, Role

QUEUED = np.dtype([*((name, TRUTH[name]) for name in TRUTH.names or ()), ("token", "<u8")])
ASKED = np.dtype(
    [
        ("key", "<u8"), ("flags", "u1"), ("token", "<u8"), ("deadline", "<u4"), ("digest", "<u4"), ("value", "<f8"),
        ("label_ns", "<i8"), ("weight", "<f4"), ("class", "<u2"),
    ]
)  # fmt: skip
FOUND = np.dtype([("label", "<u4"), ("id", "<u8"), ("size", "<u2")])
HEAD = (("share", "u1"), ("slot", "<u2"), ("window", "<u4"), ("tail", "<u8"))
FORMAT = b"sidelight 1"  # of what lies in Redis: agents of another one see none of it
TAILS_MAX = 8_192
CHUNK_BYTES = 600  # of a chunk beside what it holds
OUTSIDE = 2  # a label's flag: its prediction was hardly kept
Tail = tuple[bytes, bytes]  # hash, JSON
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how rows of one batch are kept. share: the exponent of the sample, one in 2**share."""

    share: int
    slot: int
    window_ns: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one batch on their way: records of `size` bytes each, and their tails as (hash, JSON)."""

    arrived_ns: int
    slot: int
    size: int
    records: bytes
    tails: Mapping[bytes, bytes]

    @property
    def rows(self) -> int:
        return len(self.records) // self.size

    @property
    def bytes(self) -> int:
        """What it occupies here, roughly."""
        return CHUNK_BYTES + len(self.records) + sum(map(len, self.tails.values()))


def prefix(model: ModelKey) -> bytes:
    """Of all keys of a model: 96 bits of a hash of tenant and name, in braces, which keep them together in a cluster.

    >>> prefix(ModelKey("a", tenant="b/c")) == prefix(ModelKey("c/a", tenant="b"))
    False
    """
    parts = [part.encode() for part in (model.tenant, model.name)]
    whole = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    digest = blake2b(whole, digest_size=12, person=FORMAT).digest()
    return b"sl:{" + urlsafe_b64encode(digest) + b"}"


@dataclass(slots=True)
class Tails:
    """Tails known here, both ways. Bounded: begun anew when full."""

    _made: dict[tuple[Any, ...], tuple[bytes, bytes]] = field(default_factory=dict)
    texts: dict[bytes, bytes] = field(default_factory=dict)

    def of(self, tables: Tables, columns: tuple[str, ...], coded: tuple[str, ...], codes: Sequence[int]) -> Tail:
        """Hash and JSON of rows with these columns. codes: their version, and their places in the order of `coded`."""
        key = (columns, coded, *codes)
        found = self._made.get(key)
        if found is None:
            if len(self._made) >= TAILS_MAX:
                self._made.clear()
            text = _tail(tables, columns, coded, codes)
            version = tables.versions[codes[0]]
            named = repr((version.version, int(version.role), version.deployment)).encode()
            digest = blake2b(named, digest_size=2).digest() + blake2b(text, digest_size=6).digest()
            found = self._made[key] = (digest, text)
            self.learn({digest: text})
        return found

    def learn(self, texts: Mapping[bytes, bytes]) -> None:
        if len(self.texts) + len(texts) > TAILS_MAX:
            self.texts.clear()
        self.texts.update(texts)


def _tail(tables: Tables, columns: tuple[str, ...], coded: tuple[str, ...], codes: Sequence[int]) -> bytes:
    version = tables.versions[codes[0]]
    held: dict[str, Any] = {"v": [version.version, int(version.role), version.deployment], "c": columns}
    for name, code in zip(coded, codes[1:], strict=True):
        if code >= 0:
            held[name] = (tables.classes if name == "class" else tables.names).texts[code]
    return json.dumps(held, ensure_ascii=False, separators=(",", ":")).encode()


def pack(rows: Rows, tables: Tables, tails: Tails, place: Place, arrived_ns: int) -> Chunk:
    """Rows as records. About 0.5 µs a row in batches of 500."""
    coded, columns = _columns(rows)
    dtype = _record(columns)
    records = np.zeros(len(rows), dtype)
    records["id"], records["share"], records["slot"] = rows["id"], place.share, place.slot % 65_536
    if "request" in columns:
        records["request_key"] = np.where(rows["request"] == 0, np.uint64(0), alias(rows["request"]))
    records["window"] = (rows["time"] // place.window_ns) & 0xFFFFFFFF
    for name in ("time", *columns):
        records[name] = rows[name]
    codes = [rows[name].astype(np.int64) for name in ("version", *coded)]
    if all((one == one[0]).all() for one in codes):
        first, at = np.zeros(1, np.int64), np.zeros(len(rows), np.int64)
    else:
        combined = np.zeros(len(rows), np.uint64)
        for one in codes:
            combined = mixed((combined ^ one.astype(np.uint64)) * _ODD)
        _, first, at = np.unique(combined, return_index=True, return_inverse=True)
    keys = zip(*(one[first].tolist() for one in codes), strict=True)
    used = [tails.of(tables, columns, coded, key) for key in keys]
    records["tail"] = np.frombuffer(b"".join(digest for digest, _ in used), "<u8")[at]
    return Chunk(arrived_ns, place.slot, dtype.itemsize, records.tobytes(), dict(used))


def _columns(rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of places, and of numbers, without those that say nothing of any row here."""
    names = tuple(name for name in (rows.dtype.names or ())[4:] if name != "pad")
    coded = tuple(name for name in names if name.partition(":")[0] in ("class", "segment", "group"))
    nothing = _blanks(1, Layout(names))
    return coded, tuple(name for name in names if name not in coded and not _empty(rows[name], nothing[name][0]))


def _blanks(count: int, layout: Layout) -> Rows:
    return widened(np.zeros(count, Layout().dtype), layout)


def _empty(values: npt.NDArray[Any], nothing: Any) -> bool:
    return bool(np.isnan(values).all()) if nothing != nothing else bool((values == nothing).all())


@lru_cache(maxsize=256)
def _record(columns: tuple[str, ...]) -> np.dtype[np.void]:
    return np.dtype([("id", "<u8"), ("request_key", "<u8"), *HEAD, *_payload(columns)])


@lru_cache(maxsize=256)
def _entry(columns: tuple[str, ...]) -> np.dtype[np.void]:
    return np.dtype([*HEAD, *_payload(columns)])


def _payload(columns: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("time", "<i8"), *((name, TYPES[name.partition(":")[0]]) for name in columns)]


@dataclass(frozen=True, slots=True)
class Entries:
    """What came back: one after another in `body`, each `sizes` long. ids: of the predictions."""

    ids: Hashes
    sizes: Ints
    body: bytes

    @property
    def tails(self) -> list[bytes]:
        """The hash of each one's tail."""
        ends = np.cumsum(self.sizes) - self.sizes
        return [self.body[at + 7 : at + 15] for at in ends.tolist()]


def unpack(found: Entries, model: ModelKey, tables: Tables, texts: Mapping[bytes, bytes]) -> tuple[Rows, Ints, Bools]:
    """Rows of the local layout, their shares' exponents, and which could be read: a tail may be gone."""
    begins = np.cumsum(found.sizes) - found.sizes
    groups: dict[bytes, list[int]] = {}
    for i, tail in enumerate(found.tails):
        groups.setdefault(tail, []).append(i)
    known = {tail: held for tail in groups if (held := _read(texts.get(tail), model, tables)) is not None}
    for held in known.values():
        tables.layout = tables.layout.with_((*held.columns, *held.places))
    rows = _blanks(len(found.ids), tables.layout)
    rows["id"] = found.ids
    shares, readable = np.zeros(len(rows), np.int64), np.zeros(len(rows), dtype=bool)
    body = np.frombuffer(found.body, np.uint8)
    for tail, held in known.items():
        at = np.array(groups[tail])
        dtype = _entry(held.columns)
        at = at[found.sizes[at] == dtype.itemsize]
        own = body[begins[at][:, None] + np.arange(dtype.itemsize)].reshape(-1).view(dtype)
        _fill(rows, at, own, held)
        shares[at], readable[at] = own["share"], True
    return rows, shares, readable


def _fill(rows: Rows, at: Ints, own: Rows, held: _Tail) -> None:
    names = rows.dtype.names or ()
    rows["version"][at], rows["time"][at] = held.version, own["time"]
    for name in held.columns:
        if name in names:
            rows[name][at] = own[name]
    for name, place in held.places.items():
        if name in names:
            rows[name][at] = place


@dataclass(frozen=True, slots=True)
class _Tail:
    version: int
    columns: tuple[str, ...]
    places: dict[str, int]


def _read(text: bytes | None, model: ModelKey, tables: Tables) -> _Tail | None:
    """A tail as places of the local tables; None where it is gone or makes no sense."""
    if text is None:
        return None
    try:
        held = json.loads(text)
        version, role, deployment = held.pop("v")
        columns = tuple(held.pop("c"))
        own = tables.version(replace(model, version=str(version), role=Role(role), deployment=str(deployment)))
        if own < 0 or not all(name.partition(":")[0] in TYPES for name in (*columns, *held)):
            return None
        places = {
            str(name): (tables.classes if name == "class" else tables.names).place(str(value))
            for name, value in held.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return _Tail(own, columns, places)


# ── truths ──


def tokens(labels: Labels, agent: str, offset: int) -> Hashes:
    """What a label is known by for ever: the agent that took it, and where it stands in that agent's journal."""
    seed = xxhash.xxh3_64_intdigest(f"{agent}/{offset}/{labels.arrived_ns}".encode())
    found: Hashes = mixed(np.arange(1, labels.rows + 1, dtype=np.uint64) * _ODD + np.uint64(seed))
    return found


def queued(truths: Rows, own: Hashes) -> Rows:
    found = np.zeros(len(truths), QUEUED)
    for name in TRUTH.names or ():
        found[name] = truths[name]
    found["token"] = own
    return found


def asked(rows: Rows, tables: Tables, early_ns: int, outside: Bools) -> tuple[bytes, list[bytes]]:
    """Labels as records, and the texts of their classes."""
    found = np.zeros(len(rows), ASKED)
    for name in ("key", "token", "digest", "value", "label_ns", "weight"):
        found[name] = rows[name]
    found["flags"] = (rows["flags"] & BY_REQUEST) | np.where(outside, np.uint8(OUTSIDE), np.uint8(0))
    found["deadline"] = (rows["arrived_ns"] + early_ns) // 1_000_000_000
    places, at = np.unique(rows["class"], return_inverse=True)
    known = [place for place in places.tolist() if place >= 0]
    numbers = np.array([known.index(place) + 1 if place >= 0 else 0 for place in places.tolist()], dtype=np.uint16)
    found["class"] = numbers[at]
    return found.tobytes(), [tables.classes.texts[place].encode() for place in known]


def truth(raw: bytes, tables: Tables) -> Rows:
    """A truth as it lay in Redis: digest, value, time, weight, class. Raises CorruptError."""
    if len(raw) < 24:
        raise CorruptError(f"a truth of {len(raw)} bytes")
    found = np.zeros(1, QUEUED)
    head = np.frombuffer(raw[:24], np.dtype([("digest", "<u4"), ("value", "<f8"), ("label_ns", "<i8"), ("w", "<f4")]))
    found["digest"], found["value"] = head["digest"], head["value"]
    found["label_ns"], found["weight"] = head["label_ns"], head["w"]
    text = raw[24:].decode(errors="replace")
    found["class"] = tables.classes.place(text) if text else -1
    return found


def polled(rows: Rows, late: Bools) -> bytes:
    """Labels that wait in Redis, as records."""
    found = np.zeros(len(rows), np.dtype([("key", "<u8"), ("token", "<u8"), ("late", "u1")]))
    found["key"], found["token"], found["late"] = rows["key"], rows["token"], late
    return found.tobytes()


def own(agent: str) -> bytes:
    """Eight bytes that tell one replica from another."""
    return blake2b(agent.encode(), digest_size=8).digest()
