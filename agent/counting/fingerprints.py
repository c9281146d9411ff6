"""The same rows again? Fingerprints of rows and of their ids, sampled so that memory stays the same at any traffic.

A fingerprint is 64 bits of a row's feature values, in any order of the features; outputs and time are left out. It is
kept where it is below a threshold that halves whenever too many are kept: a row and its copy are always kept or left
out together, so shares within the sample are those of the traffic (consistent sampling, Broder 1997).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from agent.records import ABSENT, NULL, Batch, Columns

Hashes = npt.NDArray[np.uint64]
KEPT_MAX = 1_024  # different fingerprints of one window; a share is right to about 0.03
WHOLE = 1 << 64
ENTRIES_HASHED = 16  # of a vector, evenly over it: two that agree in these are taken for one
TABLES_MAX = 512  # dictionaries whose hashes are kept at hand, of at most TABLE_TEXTS_MAX texts
TABLE_TEXTS_MAX = 64
NULL_BITS = np.uint64(0x9E3779B97F4A7C15)
DIGITS = b"0123456789"
ZERO = DIGITS[0]
DIGITS_EACH = frozenset(DIGITS[i : i + 1] for i in range(10))
DIGITS_MAX = 18  # more at an id's end are text: what has 18 fits 64 bits
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_PLACES = tuple(str(i) for i in range(2 * ENTRIES_HASHED))  # names of a vector's entries


class Fingerprinter:
    """Hashes batches. Remembers the hashes of names and of small dictionaries that come again and again."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], Hashes] = {}
        self._tables: dict[tuple[str, int], tuple[Sequence[str], Hashes]] = {}

    def rows(self, batch: Batch) -> Hashes:
        """uint64 (rows,). About 0.1 µs a row of 20 features in batches of 500."""
        total = np.zeros(batch.rows, dtype=np.uint64)
        features = batch.features
        self._add_numbers(features, total)
        for name, texts in features.texts.items():
            bits = self._table(name, texts.dictionary).take(texts.codes, mode="clip") if texts.dictionary else total * 0
            self._mask(name, bits, texts, total)
        for name, flags in features.flags.items():
            self._add(name, flags.values.astype(np.uint64) + np.uint64(2), flags, total)
        for name, vectors in features.vectors.items():
            step = max(1, vectors.values.shape[1] // ENTRIES_HASHED)
            some = np.ascontiguousarray(vectors.values[:, ::step]).view(np.uint32).astype(np.uint64)
            odd = self._odd(_PLACES[: some.shape[1]])[:, 0]
            self._add(name, np.einsum("ij,j->i", some, odd), vectors, total)  # 0.6 of a product and its sum
        return mixed(total)

    def _add_numbers(self, features: Columns, total: Hashes) -> None:
        """All numbers that every row has at once; the others one by one."""
        full = [name for name, column in features.numbers.items() if column.state is None]
        if full:
            values = np.array([features.numbers[name].values for name in full])  # a third of np.stack's time
            values += 0.0  # -0.0 is 0.0
            # Numbers a person wrote have their low bits empty, and a product carries only upward: those bits go on top.
            bits: Hashes = values.view(np.uint64).byteswap(inplace=True)
            odd = self._odd(tuple(full))[:, 0]
            # 0.6 of np.matmul's time. With each name once more: a row of zeros is a row.
            total += np.einsum("i,ij->j", odd, bits) + odd.sum()
        if len(full) == len(features.numbers):
            return
        for name, column in features.numbers.items():
            if column.state is not None:
                self._add(name, (column.values + 0.0).view(np.uint64).byteswap(inplace=True), column, total)

    def _add(self, name: str, bits: Hashes, column: Any, total: Hashes) -> None:
        """A feature that is absent adds nothing, whether its column came or not."""
        self._mask(name, (bits + np.uint64(1)) * self._odd((name,))[0], column, total)

    def _mask(self, name: str, added: Hashes, column: Any, total: Hashes) -> None:
        if column.state is not None:
            added[column.state == NULL] = (NULL_BITS * self._odd((name,))[0])[0]
            added[column.state == ABSENT] = 0
        total += added

    def _odd(self, names: tuple[str, ...]) -> Hashes:
        """uint64 (names, 1): an odd multiplier of each name."""
        found = self._names.get(names)
        if found is None:
            if len(self._names) >= TABLES_MAX:
                self._names.clear()
            hashes = [xxhash.xxh3_64_intdigest(name.encode()) | 1 for name in names]
            found = self._names[names] = np.array(hashes, dtype=np.uint64).reshape(-1, 1)
        return found

    def _table(self, name: str, dictionary: Sequence[str]) -> Hashes:
        """What each text of this feature adds."""
        known = self._tables.get((name, id(dictionary)))
        if known is not None and known[0] is dictionary:
            return known[1]
        found: Hashes = ids_of(dictionary) * self._odd((name,))[0]
        if isinstance(dictionary, tuple) and len(dictionary) <= TABLE_TEXTS_MAX:
            if len(self._tables) >= TABLES_MAX:
                self._tables.clear()
            self._tables[(name, id(dictionary))] = (dictionary, found)
        return found


def ids_of(texts: Sequence[str] | Sequence[bytes]) -> Hashes:
    """xxh3-64 of each text's UTF-8 bytes, uint64 (texts,); 0 where there is none. For ids see `identities`."""
    digest = xxhash.xxh3_64_intdigest
    return np.array([digest(t.encode() if isinstance(t, str) else t) if t else 0 for t in texts], dtype=np.uint64)


def identities(ids: Sequence[str] | Sequence[bytes]) -> Hashes:
    """Hashes of ids, uint64 (ids,); 0 where there is none. The same id sent as prefix and number has the same: digits
    at an id's end are its number, without leading zeros and where they are few enough for one."""
    seeds, numbers = [], []
    digest = xxhash.xxh3_64_intdigest
    for one in ids:
        text = one.encode() if isinstance(one, str) else one
        stem = text.rstrip(DIGITS)
        size = len(text) - len(stem)
        if not 0 < size <= DIGITS_MAX:
            seeds.append(digest(text) if text else 0)
            numbers.append(-1)
            continue
        number = int(text[-size:])
        if text[-size] == ZERO:  # zeros before it belong to what stands before it
            stem = text[: len(text) - len(str(number))]
        seeds.append(digest(stem))
        numbers.append(number)
    found = np.array(seeds, dtype=np.uint64)
    counted = np.array(numbers, dtype=np.int64)
    return np.where(counted < 0, found, mixed(counted.astype(np.uint64) * _MIX + found))


def numbered(prefix: bytes, numbers: Hashes) -> Hashes:
    """Hashes of ids that are a prefix and a number; the same id sent as one text has the same."""
    if prefix[-1:] in DIGITS_EACH or int(numbers.max(initial=0)) >= 10**DIGITS_MAX:
        return identities([prefix + str(number).encode() for number in numbers.tolist()])
    seed = np.uint64(xxhash.xxh3_64_intdigest(prefix))
    return mixed(numbers.astype(np.uint64) * _MIX + seed)


def mixed(values: Hashes) -> Hashes:
    """One to one, and the upper half depends on every bit of the input: samples look there. A third of xmxmx's time."""
    found = values ^ (values >> _HALF)
    found *= _MIX
    return found


def select_ids(hashes: Hashes) -> Hashes:
    """Those that are ids."""
    return hashes if hashes.all() else hashes[hashes != 0]


@dataclass(slots=True)
class Sample:
    """The fingerprints of one window below `limit`, each with its rows."""

    index: int
    limit: int = WHOLE
    kept: Counter[int] = field(default_factory=Counter)

    def add(self, hashes: Hashes) -> None:
        chosen = hashes if self.limit >= WHOLE else hashes[hashes < np.uint64(self.limit)]
        self.kept.update(chosen.tolist())
        while len(self.kept) > KEPT_MAX:
            self.limit >>= 1
            self.kept = Counter({key: count for key, count in self.kept.items() if key < self.limit})

    def repeats(self, before: Sample | None) -> tuple[int, int]:
        """(rows, rows that had come before in this window or in `before`), of those in both samples."""
        limit = self.limit if before is None else min(self.limit, before.limit)
        known = before.kept if before is not None else ()
        rows = new = 0
        for key, count in self.kept.items():
            if key < limit:
                rows += count
                new += key not in known
        return rows, rows - new


@dataclass(slots=True)
class Samples:
    """The newest window's sample and the one before; rows of older windows are not looked at."""

    now: Sample | None = None
    before: Sample | None = None

    def add(self, index: int, hashes: Hashes) -> None:
        now = self.now
        if now is None or index > now.index:
            # Where little was kept, more may be: traffic has its nights.
            limit = WHOLE if now is None else now.limit if len(now.kept) > KEPT_MAX // 4 else min(WHOLE, now.limit * 4)
            self.before, self.now = now, Sample(index, limit)
            now = self.now
        if index == now.index:
            now.add(hashes)

    def repeats(self, index: int) -> tuple[int, int]:
        """Of a window that is being closed; (0, 0) where it is not one of the two, or its predecessor is gone."""
        if self.now is not None and self.now.index == index:
            return self.now.repeats(self.before)
        if self.before is not None and self.before.index == index:
            return self.before.repeats(None)
        return 0, 0
