"""What is kept of a prediction until its label comes: one row of a numpy structure, in as few bytes as the model needs.

A row begins with its key (the hash of the prediction id; of prediction and item in a ranking), its time, its version
and a checksum; the columns after that are those some prediction of the model had.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes, ids_of, mixed
from agent.records import Batch, Bools, Cells, Floats, Ints, Items, ModelKey, Numbers, Pairs, Texts

log = logging.getLogger("sidelight.labels")
Rows = npt.NDArray[np.void]

CLASSES_MAX = 1_000  # texts of classes; later ones have no place, and count as none
NUMERIC_CLASSES_MAX = 200  # of them numbers: a regression must not fill the table
NAMES_MAX = 2_000  # values of segments and protected attributes, likewise
NAMES_EACH = 250  # of one key: somebody's id as a segment must not cost the others theirs
VERSIONS_MAX = 1_000
COLUMNS_MAX = 96  # beside the first four; scores of further classes are not kept
AT_ONCE_MAX = 64  # different numbers in one batch that are still taken for classes
HEAD = (("id", "<u8"), ("time", "<i8"), ("check", "<u2"), ("version", "<u2"))
CHECK_WORD = 4  # of a row's 32-bit words, the one that begins with the checksum
TYPES = {
    "request": "<u8", "list": "<u8", "predicted": "<f8", "class": "<i2", "weight": "<f4", "position": "<i4",
    "latency": "<f4", "score": "<f4", "segment": "<i2", "group": "<i2",
}  # fmt: skip
ALIAS = np.uint64(0xA24BAED4963EE407)  # makes a request's key another than a prediction's
ITEM = np.uint64(0x9FB21C651E98DF25)


def alias(requests: Hashes) -> Hashes:
    """The key under which a request's predictions are found."""
    return mixed(requests ^ ALIAS)


def of_item(ids: Hashes, items: Hashes) -> Hashes:
    """The key of one item in a ranking; without an item the id itself."""
    return np.where(items == 0, ids, mixed(ids ^ mixed(items * ITEM))) if items.any() else ids


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns beside the first four: a name of TYPES, with ":" and a class or key for those there are several
    of."""

    columns: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[np.void]:
        return _dtype(self.columns)

    def with_(self, columns: Sequence[str]) -> Layout:
        """With further columns, as far as there is room."""
        fresh = [name for name in columns if name not in self.columns]
        return Layout((*self.columns, *fresh)[:COLUMNS_MAX]) if fresh else self


@lru_cache(maxsize=64)
def _dtype(columns: tuple[str, ...]) -> np.dtype[np.void]:
    """Rows are whole words, for their checksums."""
    named = [(name, TYPES[name.partition(":")[0]]) for name in columns]
    size = np.dtype([*HEAD, *named]).itemsize
    padding = [("pad", f"V{-size % 4}")] if size % 4 else []
    return np.dtype([*HEAD, *named, *padding])


def taken(rows: Rows, at: Ints) -> Rows:
    """Copies of the rows at these places. numpy copies a structure field by field; its bytes at once take a hundredth
    of that."""
    if not len(rows) or not len(at):
        return np.zeros(0, rows.dtype)
    raw = np.ascontiguousarray(rows).view("u1").reshape(len(rows), rows.dtype.itemsize)
    found: Rows = raw.take(at, axis=0).view(rows.dtype).ravel()
    return found


def together(parts: Sequence[Rows], kind: np.dtype[np.void]) -> Rows:
    """All rows of one kind in one array, copied as bytes."""
    found = np.empty(sum(map(len, parts)), kind)
    raw, at = found.view("u1"), 0
    for part in parts:
        raw[at : at + part.nbytes] = np.ascontiguousarray(part).view("u1")
        at += part.nbytes
    return found


def begins(values: npt.NDArray[Any]) -> Bools:
    """Where another value begins."""
    found = np.ones(len(values), dtype=bool)
    found[1:] = values[1:] != values[:-1]
    return found


def seal(rows: Rows) -> None:
    """Writes each row's checksum."""
    rows["check"] = _checks(rows)


def sound(rows: Rows) -> Bools:
    """Which rows are there, and as they were sealed; a flipped bit passes once in 65,536."""
    return np.asarray((_checks(rows) == rows["check"]) & (rows["id"] != 0))


def _checks(rows: Rows) -> npt.NDArray[np.uint16]:
    """Of everything but the checksum itself: the words times odd numbers, added up and mixed."""
    words = np.ascontiguousarray(rows).view("<u4").reshape(len(rows), -1)
    odd = _odd(words.shape[1])
    total: npt.NDArray[np.uint32] = words @ odd
    total -= rows["check"].astype(np.uint32) * odd[CHECK_WORD]  # the lower half of its word
    total ^= total >> np.uint32(15)
    total *= np.uint32(0x85EBCA6B)
    return (total >> np.uint32(16)).astype(np.uint16)


@lru_cache(maxsize=64)
def _odd(words: int) -> npt.NDArray[np.uint32]:
    return (np.arange(words, dtype=np.uint32) * np.uint32(0x9E3779B2)) | np.uint32(1)


@dataclass(slots=True)
class Places:
    """Texts and their places, in the order they came; bounded."""

    limit: int
    texts: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    numeric: int = 0

    @classmethod
    def of(cls, limit: int, texts: Sequence[str]) -> Places:
        found = cls(limit, list(texts))
        found._places = {text: i for i, text in enumerate(found.texts)}
        return found

    def place(self, text: str) -> int:
        """-1 where there is no room for another."""
        found = self._places.get(text, -1)
        if found < 0 and len(self.texts) < self.limit:
            found = self._places[text] = len(self.texts)
            self.texts.append(text)
        return found

    def number(self, value: float) -> int:
        """The place of a number that is a class."""
        text = str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
        if text not in self._places:
            if self.numeric >= NUMERIC_CLASSES_MAX:
                return -1
            self.numeric += 1
        return self.place(text)

    def of_texts(self, texts: Texts, fresh: int | None = None) -> Cells:
        """int32 (rows,), -1 where a row has none. fresh: how many texts may be new; None: as there is room for."""
        if not len(texts.dictionary):
            return np.full(len(texts.codes), -1, np.int32)
        limit = self.limit
        if fresh is not None:
            self.limit = min(limit, len(self.texts) + fresh)
        table = np.array([self.place(text) for text in texts.dictionary], dtype=np.int32)
        self.limit, found = limit, table.take(texts.codes)
        if texts.state is not None:
            found = np.where(texts.state == 0, found, np.int32(-1))
        return found

    def of_numbers(self, values: Floats) -> Cells:
        """int32 (rows,); -1 where they are too many, or none."""
        numbers, places = np.unique(values, return_inverse=True)
        if len(numbers) > AT_ONCE_MAX:
            return np.full(len(values), -1, np.int32)
        table = [self.number(v) if np.isfinite(v) else -1 for v in numbers.tolist()]
        return np.array(table or [-1], dtype=np.int32)[places]


@dataclass(slots=True)
class Tables:
    """What places in a row stand for. output: the name of the one output that labels are of. named: how many names
    each key of segments and protected attributes brought."""

    versions: list[ModelKey] = field(default_factory=list)
    classes: Places = field(default_factory=lambda: Places(CLASSES_MAX))
    names: Places = field(default_factory=lambda: Places(NAMES_MAX))
    output: str | None = None
    layout: Layout = field(default_factory=Layout)
    named: Counter[str] = field(default_factory=Counter)

    def version(self, key: ModelKey) -> int:
        """-1 where there is no room for another."""
        if key in self.versions:
            return self.versions.index(key)
        if len(self.versions) >= VERSIONS_MAX:
            return -1
        self.versions.append(key)
        return len(self.versions) - 1

    def rows(self, batch: Batch) -> Rows:
        """Those of the batch that a label can find and that say something, one row each, one an item of a ranking."""
        version, nothing = self.version(batch.model), np.zeros(0, self.layout.dtype)
        if version < 0 or (batch.ids is None and batch.request_ids is None) or not batch.rows:
            return nothing
        columns = self._columns(batch)
        ids = np.zeros(batch.rows, np.uint64) if batch.ids is None else batch.ids
        requests = np.zeros(batch.rows, np.uint64) if batch.request_ids is None else batch.request_ids
        keys = ids
        if not ids.all():
            known = np.uint64(ids_of([repr(batch.model)])[0])
            keys = np.where(ids == 0, mixed(requests ^ known), ids)
            columns["list"] = ids
        reached = (ids != 0) | (requests != 0)
        if batch.items is not None:
            keys, columns, reached = _listed(batch.items, keys, ids, columns, reached)
        else:
            reached &= _says(columns, batch.rows)
        if "list" in self.layout.columns:
            columns.setdefault("list", ids)
        self.layout = self.layout.with_([name for name in columns if name != "time"])
        rows = np.zeros(len(keys), self.layout.dtype)
        rows["id"], rows["version"] = keys, version
        rows["time"] = columns.pop("time")
        for name, values in _blank(self.layout.columns).items():
            rows[name] = columns.get(name, values)
        if not reached.all():
            rows = taken(rows, np.flatnonzero(reached))
        seal(rows)
        return rows

    def _columns(self, batch: Batch) -> dict[str, Any]:
        arrived = batch.time_ns is None
        found: dict[str, Any] = {"time": np.full(batch.rows, batch.arrived_ns) if arrived else batch.time_ns}
        if batch.request_ids is not None:
            found["request"] = batch.request_ids
        self._outputs(batch, found)
        if batch.latency is not None:
            found["latency"] = batch.latency
        if batch.weights is not None and not (batch.weights == 1.0).all():
            found["weight"] = batch.weights
        for kind, named in (("segment", batch.segments), ("group", batch.protected)):
            for key, texts in named.items():
                found[f"{kind}:{key}"] = self._named(key, texts)
        return found

    def _named(self, key: str, texts: Texts) -> Cells:
        before, names = len(self.names.texts), self.names
        found = names.of_texts(texts, max(0, NAMES_EACH - self.named[key]))
        if len(names.texts) > before:
            self.named[key] += len(names.texts) - before
            if self.named[key] >= NAMES_EACH or len(names.texts) >= names.limit:
                log.warning("names_full key=%r: of further values of it labels are told of as of none", key)
        return found

    def _outputs(self, batch: Batch, found: dict[str, Any]) -> None:
        numbers, texts = batch.outputs.numbers, batch.outputs.texts
        if self.output is None:
            self.output = _main(numbers, texts)
        prefix = f"{self.output}." if self.output else ""
        given, label = numbers.get(f"{prefix}prediction"), texts.get(f"{prefix}prediction")
        if given is not None:
            values = given.values if given.state is None else np.where(given.state == 0, given.values, np.nan)
            found["predicted"] = values
            places = self.classes.of_numbers(values)
            if (places >= 0).any():
                found["class"] = places
        if label is not None:
            places = self.classes.of_texts(label)
            found["class"] = np.where(places < 0, found["class"], places) if "class" in found else places
        for name, column in numbers.items():
            own = name.removeprefix(prefix)
            if name.startswith(prefix) and (own == "score" or own.startswith("score:")):
                scores = column.values if column.state is None else np.where(column.state == 0, column.values, np.nan)
                found["score:" + own.partition(":")[2]] = scores


def _main(numbers: Mapping[str, Numbers], texts: Mapping[str, Texts]) -> str:
    """The output without a name, or else the first."""
    names = [name.rpartition(".")[0] for name in (*numbers, *texts) if not name.startswith("score")]
    return "" if not names or "" in names else names[0]


def _says(columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.bool_]:
    """Which rows have a prediction or a score: a failed one has none."""
    found = np.zeros(rows, dtype=bool)
    if "class" in columns:
        found |= np.asarray(columns["class"]) >= 0
    for name, values in columns.items():
        if name == "predicted" or name.startswith("score:"):
            found |= ~np.isnan(values)
    return found


def _listed(
    items: Items, keys: Hashes, ids: Hashes, columns: dict[str, Any], reached: npt.NDArray[np.bool_]
) -> tuple[Hashes, dict[str, Any], npt.NDArray[np.bool_]]:
    """One row for each item shown."""
    at = np.repeat(np.arange(len(ids)), items.lengths)
    spread = {name: np.asarray(values)[at] for name, values in columns.items()}
    spread["list"] = ids[at]
    if "request" in spread:
        asked = spread["request"]
        spread["list"] = np.where(spread["list"] == 0, asked, spread["list"])
        spread["request"] = np.where(asked == 0, np.uint64(0), of_item(asked, items.ids))
    spread["position"] = items.positions
    if not np.isnan(items.scores).all():
        spread["score:"] = items.scores
    return of_item(keys[at], items.ids), spread, reached[at]


@lru_cache(maxsize=64)
def _blank(columns: tuple[str, ...]) -> Mapping[str, Any]:
    """What stands in a column where a prediction has nothing for it."""
    none = {"predicted": np.nan, "class": -1, "weight": 1.0, "latency": np.nan, "score": np.nan, "segment": -1}
    none |= {"group": -1}
    return {name: none.get(name.partition(":")[0], 0) for name in columns}


def widened(rows: Rows, layout: Layout) -> Rows:
    """The same rows with the columns of a newer layout."""
    if rows.dtype == layout.dtype:
        return rows
    found = np.zeros(len(rows), layout.dtype)
    for name in ("id", "time", "version"):
        found[name] = rows[name]
    held = rows.dtype.names or ()
    for name, value in _blank(layout.columns).items():
        found[name] = rows[name] if name in held else value
    seal(found)
    return found


def pairs_of(rows: Rows, truths: Rows, tables: Tables, window_ns: int, windows: Ints | None = None) -> list[Pairs]:
    """Rows and their truths, side by side, in the order of arrival: one Pairs for each window of the truths (or those
    that are given) and each version."""
    windows = truths["label_ns"] // window_ns if windows is None else windows
    versions = rows["version"].astype(np.int64)
    if (versions == versions[0]).all() and (windows == windows[0]).all():
        return [_pairs(rows, truths, tables, tables.versions[int(versions[0])])]
    order = np.lexsort((versions, windows))
    edges = np.flatnonzero(begins(windows[order]) | begins(versions[order])).tolist()
    groups = [order[begin:end] for begin, end in zip(edges, [*edges[1:], len(order)], strict=True)]
    return [_pairs(taken(rows, at), taken(truths, at), tables, tables.versions[int(versions[at[0]])]) for at in groups]


def _pairs(rows: Rows, truths: Rows, tables: Tables, model: ModelKey) -> Pairs:
    names = rows.dtype.names or ()
    none = np.full(len(rows), -1, np.int32)
    scores = [name for name in names if name.startswith("score:")]
    columns = [rows[name].astype(np.float64) for name in scores]
    own = rows["weight"].astype(np.float64) if "weight" in names else np.ones(len(rows))

    def keyed(kind: str) -> dict[str, Cells]:
        return {name[len(kind) :]: rows[name].astype(np.int32) for name in names if name.startswith(kind)}

    def column(name: str, blank: Any, kind: Any) -> Any:
        return rows[name].astype(kind) if name in names else blank

    return Pairs(
        model=model,
        rows=len(rows),
        ids=(rows["list"] if "list" in names else rows["id"]).copy(),
        request_ids=column("request", np.zeros(len(rows), np.uint64), np.uint64),
        time_ns=_ints(rows["time"]),
        label_ns=_ints(truths["label_ns"]),
        predicted=column("predicted", np.full(len(rows), np.nan), np.float64),
        actual=truths["value"].astype(np.float64),
        predicted_class=column("class", none, np.int32),
        actual_class=truths["class"].astype(np.int32),
        classes=tables.classes.texts,
        scores=np.column_stack(columns) if columns else np.zeros((len(rows), 0)),
        score_names=tuple(name[len("score:") :] for name in scores),
        weights=own * truths["weight"].astype(np.float64),
        segments=keyed("segment:"),
        groups=keyed("group:"),
        names=tables.names.texts,
        position=column("position", None, np.int32),
        latency=column("latency", None, np.float64),
    )


def _ints(values: Any) -> Ints:
    return np.asarray(values, dtype=np.int64).copy()
