"""Truths on their way to their predictions: one small row each, and the table of those that came first."""

from __future__ import annotations

import numpy as np

from agent.counting.fingerprints import Hashes, ids_of, mixed
from agent.labels.rows import Rows, Tables, alias, of_item, taken, together
from agent.records import ABSENT, Bools, Ints, Labels

# Flags: found by the request's id; some prediction was met already; whether it is in the sample cannot be told.
BY_REQUEST, MET, UNTOLD = 1, 2, 4
TRUTH = np.dtype(
    [
        ("key", "<u8"), ("sample", "<u8"), ("value", "<f8"), ("label_ns", "<i8"), ("arrived_ns", "<i8"),
        ("digest", "<u4"), ("weight", "<f4"), ("class", "<i2"), ("flags", "u1"), ("pad", "u1"),
    ]
)  # fmt: skip
EARLY_MAX = 65_536  # labels that wait for their prediction: 3.5 MB
_BUCKETS = np.uint64(64 - 20)  # a megabyte of flags says which keys need not be looked for


def read_truths(labels: Labels, tables: Tables, event_time: bool) -> tuple[Rows, Bools | None]:
    """The labels as rows, and which of them are of the output that is watched; None: all.

    key: of the prediction, or where there is no such id of the request; sample: what the prediction is kept by, as far
    as the label knows. label_ns: when it arrived, by event time when it came to be.
    """
    found = np.zeros(labels.rows, TRUTH)
    by_request, asked = labels.ids == 0, "request" in tables.layout.columns
    found["key"], found["sample"] = of_item(labels.ids, labels.items), labels.ids
    if asked:  # then a prediction is kept by its request's id, which a label by prediction may not know
        own = (labels.items == 0) & ~by_request
        told = own & (labels.request_ids != 0)
        found["sample"][told] = labels.request_ids[told]
        found["flags"][own & ~told] = UNTOLD
    if by_request.any():
        requests = labels.request_ids[by_request]
        found["key"][by_request] = alias(of_item(requests, labels.items[by_request]))
        found["sample"][by_request], found["flags"][by_request] = requests, BY_REQUEST
    found["value"], found["arrived_ns"] = labels.values, labels.arrived_ns
    own = labels.time_ns
    found["label_ns"] = np.where(own > 0, own, labels.arrived_ns) if event_time else labels.arrived_ns
    found["weight"] = 1.0 if labels.weights is None else labels.weights
    numeric = ~np.isnan(labels.values)
    found["class"] = _classes(labels, tables, numeric)
    texts = labels.labels
    bits = ids_of(texts.dictionary)[texts.codes] if len(texts.dictionary) else None
    if bits is None or numeric.any():
        of_numbers = mixed((labels.values + 0.0).view(np.uint64))
        bits = of_numbers if bits is None else np.where(numeric, of_numbers, bits)
    found["digest"] = (bits >> np.uint64(32)).astype(np.uint32)
    if not labels.outputs:
        return found, None
    return found, np.array([one in ("", tables.output) for one in labels.outputs], dtype=bool)


def _classes(labels: Labels, tables: Tables, numeric: Bools) -> Ints:
    """Places of the texts; numbers only where they are few, as with predictions."""
    texts = labels.labels
    if not len(texts.dictionary):
        return np.full(labels.rows, -1)
    used, number = (np.zeros(len(texts.dictionary), dtype=bool) for _ in range(2))
    there = None if texts.state is None else texts.state != ABSENT
    used[texts.codes if there is None else texts.codes[there]] = True
    number[texts.codes[numeric if there is None else there & numeric]] = True
    place, of_number = tables.classes.place, tables.classes.number
    table = np.array(
        [
            (of_number(float(text)) if number[i] else place(text)) if used[i] else -1
            for i, text in enumerate(texts.dictionary)
        ]
    )
    return table[texts.codes] if there is None else np.where(there, table[texts.codes], -1)


class Early:
    """Labels whose prediction has not come, and those by request that other versions may yet answer. Bounded: the
    oldest go."""

    def __init__(self) -> None:
        self.rows: Rows = np.zeros(0, TRUTH)  # in the order they came
        self._seen = np.zeros(1 << 20, dtype=bool)
        self._order: Ints | None = None

    def add(self, rows: Rows) -> Rows:
        """Those whose key is not in it yet. Returns the others that fell out and had met nothing."""
        if not len(rows):
            return rows
        held = together((self.rows, rows), TRUTH)
        lost = held[: max(0, len(held) - EARLY_MAX)]
        self._set(held[len(lost) :].copy())
        return _unmet(lost)

    def _set(self, rows: Rows) -> None:
        self.rows, self._order = rows, None
        self._seen[:] = False
        self._seen[(rows["key"] >> _BUCKETS).astype(np.int64)] = True

    def find(self, keys: Hashes) -> tuple[Ints, Ints]:
        """Places among the keys and in `rows`, of all that match."""
        none = np.zeros(0, np.int64)
        if not len(self.rows):
            return none, none
        asked = np.flatnonzero(self._seen[(keys >> _BUCKETS).astype(np.int64)])
        if not asked.size:
            return none, none
        if self._order is None:
            self._order = np.argsort(self.rows["key"], kind="stable")
        held = self.rows["key"][self._order]
        at = np.minimum(np.searchsorted(held, keys[asked]), len(held) - 1)
        hit = held[at] == keys[asked]
        return asked[hit], self._order[at[hit]]

    def met(self, places: Ints) -> None:
        """These met a prediction: those by prediction id are done, those by request stay for other versions."""
        self.rows["flags"][places] |= MET
        done = np.zeros(len(self.rows), dtype=bool)
        done[places] = True
        done &= self.rows["flags"] & BY_REQUEST == 0
        if done.any():
            self._set(taken(self.rows, np.flatnonzero(~done)))

    def expire(self, before_ns: int) -> Rows:
        """Drops those that came before. Returns those of them that met nothing."""
        old = self.rows["arrived_ns"] < before_ns
        if not old.any():
            return self.rows[:0]
        lost = taken(self.rows, np.flatnonzero(old))
        self._set(taken(self.rows, np.flatnonzero(~old)))
        return _unmet(lost)

    @property
    def waiting(self) -> int:
        return int(np.count_nonzero(self.rows["flags"] & MET == 0))


def _unmet(rows: Rows) -> Rows:
    return taken(rows, np.flatnonzero(rows["flags"] & MET == 0))
