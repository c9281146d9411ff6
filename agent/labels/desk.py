"""The desk where predictions wait for their truth. One for each model name: a label finds every version's prediction.

    predicted ──> rows in files, their places in the index ──┐
    labelled ──> they wait a moment, many are looked up at once ──> Pairs, one a version
                          └─ not found: kept for their prediction, which may be on its way ──┘

Calls come in the order of the journal, and what they do is a function of them alone: a replay joins the same again.
`settle` and the work of `job` read files and may run in a thread, while nothing else is called but `job`'s end.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes
from agent.labels import runs, stored
from agent.labels.index import Index, Install
from agent.labels.kept import KINDS, Kept, quantile
from agent.labels.log import Log
from agent.labels.rows import Rows, Tables, alias, pairs_of
from agent.labels.truths import BY_REQUEST, MET, TRUTH, Early, truths_of
from agent.records import Batch, Bools, Floats, Ints, Labels, ModelKey, Pairs
from agent.telemetry import (
    LABEL_COVERAGE,
    LABEL_DELAY,
    LABEL_SAMPLE,
    LABEL_STORE_SIZE,
    LABELS_SETTLED,
    LABELS_WAITING,
    PREDICTIONS_UNLABELLED,
    PREDICTIONS_WAITING,
    Point,
)

WHOLE = 1 << 64
LIMIT_MIN = 1 << 40  # the sample is never smaller than one in 16 million
SETTLE_ROWS = 196_608  # labels that are looked up at once, at most: 9 MB
SETTLE_NS = 2_000_000_000  # how long a label waits for others
SPANS = 32  # files of rows that a label's time is cut into, at least
MARKED_SHARE = 0.25  # of a file's rows that are labelled, from which it is worth writing it anew


@dataclass(frozen=True, slots=True)
class Bounds:
    """label_ns: how long a prediction waits; early_ns: how long a label does; bytes_max: on disk; window_ns: of the
    windows that coverage is told by."""

    label_ns: int
    early_ns: int
    bytes_max: int
    window_ns: int
    event_time: bool = False


@dataclass(slots=True)
class _Found:
    """Labels beside the rows they found. label, at: places among the labels and in the rows, of equal length, labels
    rising; wheres, shares: of each row, where it lies and the share of the sample it was kept with."""

    label: Ints
    at: Ints
    rows: Rows
    wheres: Hashes
    shares: Floats

    def pick(self, chosen: Ints | Bools) -> _Found:
        return _Found(self.label[chosen], self.at[chosen], self.rows, self.wheres, self.shares)

    def ids(self) -> Hashes:
        found: Hashes = self.rows["id"][self.at]
        return found


class Desk:
    """Of one model name. folder: its own."""

    def __init__(self, model: ModelKey, folder: Path, bounds: Bounds) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.model, self.folder, self.bounds = model, folder, bounds
        self.tables, self.kept, self.early = Tables(), Kept(), Early()
        self.bytes_max = bounds.bytes_max
        self.limit = WHOLE  # ids whose hash is below are kept
        self.raised_ns = 0
        self.started_ns = 0  # when the first prediction or label came: since then it counts
        self.revision = 0
        self.numbers = 0  # of files, given so far
        self.waiting: list[Rows] = []  # labels that are not looked up yet
        self.log = Log(folder, self._number, bounds.label_ns // SPANS)
        self.index = Index(folder, self._number)
        self._planned: list[Any] = []  # files that the checkpoint being written no longer names
        self.lost = 0  # rows of files that were corrupt

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    # ── what comes ──

    def predicted(self, batch: Batch) -> list[Pairs]:
        """They wait from now on; where a label came before them, they are joined at once."""
        rows = self.tables.rows(batch)
        if not len(rows):
            return []
        self.revision += 1
        self.started_ns = self.started_ns or batch.arrived_ns
        self.kept.predicted(rows["time"] // self.bounds.window_ns)
        if self.limit < WHOLE:
            chosen = sample_of(rows) < np.uint64(self.limit)
            self.kept.kinds["unkept"] += int(np.count_nonzero(~chosen))
            rows = rows[chosen]
        segments, places = self.log.append(rows, self.tables.layout, batch.arrived_ns, self.limit)
        wheres = runs.where(runs.ROW, segments, places)
        self._enter(rows, wheres)
        return self._meet(rows, wheres)

    def _enter(self, rows: Rows, wheres: Hashes) -> None:
        """Rows can be found from now on, by prediction and by request."""
        self.index.add(rows["id"].copy(), wheres)
        if "request" in (rows.dtype.names or ()):
            asked = rows["request"] != 0
            if asked.any():
                self.index.add(alias(rows["request"][asked]), wheres[asked])

    def labelled(self, labels: Labels) -> list[Pairs]:
        """Labels that bring their prediction are joined at once; the others wait until they are settled."""
        self.revision += 1
        self.started_ns = self.started_ns or labels.arrived_ns
        self.kept.kinds["received"] += labels.rows
        truths, unwatched = truths_of(labels, self.tables, self.bounds.event_time)
        self.kept.kinds["unknown"] += unwatched
        if labels.predictions is None or labels.at is None:
            self.waiting.append(truths)
            return []
        if unwatched:  # of several outputs, which no prediction that comes along has
            return []
        brought = np.zeros(labels.rows, dtype=bool)
        brought[labels.at] = True
        self.waiting.append(truths[~brought])
        return self._brought(labels.predictions, truths[labels.at])

    def waits(self) -> int:
        """Labels that are not settled."""
        return sum(map(len, self.waiting))

    def due(self, now_ns: int) -> bool:
        """Whether to settle now: enough of them, or they waited long enough, or the window they came in is over."""
        first = next((int(rows["arrived_ns"][0]) for rows in self.waiting if len(rows)), None)
        if first is None:
            return False
        over = first // self.bounds.window_ns != now_ns // self.bounds.window_ns
        return over or now_ns - first >= SETTLE_NS or self.waits() >= SETTLE_ROWS

    # ── the join ──

    def settle(self) -> list[Pairs]:
        """Looks up every label that waits."""
        truths = np.concatenate([np.zeros(0, TRUTH), *self.waiting])
        self.waiting = []
        if not len(truths):
            return []
        self.revision += 1
        self.log.flush()
        kinds = np.zeros(len(truths), np.int8)  # places in KINDS, from one
        found = self._found(truths, kinds)
        pairs = self._joined(truths, found, kinds, KINDS.index("joined") + 1)
        self._keep_early(truths, kinds)
        for place, kind in enumerate(KINDS, 1):
            self.kept.kinds[kind] += int(np.count_nonzero(kinds == place))
        return pairs

    def _found(self, truths: Rows, kinds: Any) -> _Found:
        """What the labels found, without what was labelled before; those that met only such are repeated or
        changed."""
        keys, of_key = np.unique(truths["key"], return_inverse=True)
        at, wheres = self.index.find(keys)
        marks = runs.is_mark(wheres)
        self._again(truths, kinds, _spread(at[marks], runs.low_of(wheres[marks]), of_key))
        order = np.argsort(wheres[~marks], kind="stable")
        at, wheres = at[~marks][order], wheres[~marks][order]
        once = _begins(at) | _begins(wheres)
        at, wheres = at[once], wheres[once]
        rows, sound = self.log.read(wheres, self.tables.layout)
        at, wheres = at[sound], wheres[sound]
        rows, at, wheres = self._own(rows, at, wheres, keys)
        label, row = _joined_by(at, of_key)
        free = kinds[label] == 0
        label, row = label[free], row[free]
        found = _Found(label, row, rows, wheres, self._shares(wheres))
        return self._unmarked(truths, kinds, found)

    def _own(self, rows: Rows, at: Ints, wheres: Hashes, keys: Hashes) -> tuple[Rows, Ints, Hashes]:
        """Rows that are what was sought: an entry of an index may be corrupt, and point to another's."""
        right = rows["id"] == keys[at]
        if "request" in (rows.dtype.names or ()):
            right |= alias(rows["request"]) == keys[at]
        return rows[right], at[right], wheres[right]

    def _shares(self, wheres: Hashes) -> Floats:
        """With which share of the sample each row was kept."""
        segments = runs.segments_of(wheres)
        held = self.log.segments
        numbers, at = np.unique(segments, return_inverse=True)
        limits = [min(self.limit, held[n].limit if n in held else WHOLE) / WHOLE for n in numbers.tolist()]
        return np.array(limits, dtype=np.float64)[at]

    def _unmarked(self, truths: Rows, kinds: Any, found: _Found) -> _Found:
        """Found by the request's id a row may yet have been labelled by its own."""
        if not (truths["flags"][found.label] & BY_REQUEST).any():
            return found
        ids, of_id = np.unique(found.ids(), return_inverse=True)
        at, wheres = self.index.find(ids)
        marks = runs.is_mark(wheres)
        said = np.full(len(ids), -1, np.int64)
        said[at[marks]] = runs.low_of(wheres[marks])
        before = said[of_id]
        for i in np.flatnonzero(before >= 0):
            label = found.label[i]
            kinds[label] = _kind_again(int(truths["digest"][label]), int(before[i]))
        free = before < 0
        kinds[found.label[free]] = 0  # another version's row is still to be joined
        return found.pick(free)

    def _again(self, truths: Rows, kinds: Any, marked: tuple[Ints, Ints]) -> None:
        """These labels' predictions are labelled: is it the same truth?"""
        label, digest = marked
        same = truths["digest"][label] == digest
        kinds[label] = np.where(same, KINDS.index("repeated") + 1, KINDS.index("changed") + 1)

    def _joined(self, truths: Rows, found: _Found, kinds: Any, kind: int) -> list[Pairs]:
        """Joins each row with the first of its labels, each label with one row a version; the others come again."""
        found = found.pick(np.argsort(found.wheres[found.at], kind="stable"))  # of one row's labels the first first
        wheres = found.wheres[found.at]
        first = _begins(wheres)
        heads = found.label[first]
        group = np.cumsum(first) - 1
        for i in np.flatnonzero(~first):
            label, head = found.label[i], heads[group[i]]
            kinds[label] = _kind_again(int(truths["digest"][label]), int(truths["digest"][head]))
        found = self._single(found.pick(first))
        inside = np.ones(len(found.at), dtype=bool)
        if self.lowest < WHOLE:
            inside = sample_of(found.rows)[found.at].astype(np.float64) < found.shares[found.at] * WHOLE
        kinds[found.label[~inside]] = KINDS.index("unsampled") + 1
        found = found.pick(inside)
        kinds[found.label] = kind
        return self._mark(truths, found.pick(np.argsort(found.label, kind="stable")))

    def _single(self, found: _Found) -> _Found:
        """A prediction that was sent twice under one id is one prediction: the first."""
        if np.bincount(found.label).max(initial=0) <= 1:
            return found  # as nearly always
        ids, versions, wheres = found.ids(), found.rows["version"][found.at], found.wheres[found.at]
        found = found.pick(order := np.lexsort((wheres, versions, ids, found.label)))
        single = _begins(found.label) | _begins(ids[order]) | _begins(versions[order])
        self.log.labelled(runs.segments_of(wheres[order][~single]))  # nothing waits for these any more
        return found.pick(single)

    def _mark(self, truths: Rows, found: _Found) -> list[Pairs]:
        """Says of the rows that they are labelled, and makes pairs of them."""
        if not len(found.label):
            return []
        own, rows = truths[found.label], found.rows[found.at]
        segments, weights = runs.segments_of(found.wheres[found.at]), 1.0 / found.shares[found.at]
        self.index.add(rows["id"].copy(), runs.where(runs.MARK, segments, own["digest"]))
        self.log.labelled(segments)
        self.kept.joined(rows["time"] // self.bounds.window_ns, own["label_ns"] - rows["time"], weights)
        own["weight"] *= weights
        return pairs_of(rows, own, self.tables, self.bounds.window_ns)

    def _keep_early(self, truths: Rows, kinds: Any) -> None:
        """Labels without a prediction wait for it; those by request in any case, for the other versions' answers."""
        missing = kinds == 0
        if self.lowest < WHOLE:
            outside = truths["sample"] >= np.uint64(self.lowest)
            if "request" in self.tables.layout.columns:  # then a prediction is kept by its request's id
                outside &= truths["flags"] & BY_REQUEST != 0
            kinds[missing & outside] = KINDS.index("unsampled") + 1
            missing &= ~outside
        others = (truths["flags"] & BY_REQUEST != 0) & (kinds != KINDS.index("unsampled") + 1)
        chosen = np.flatnonzero(missing | others)
        at, held = self.early.find(truths["key"][chosen])
        for i, j in zip(chosen[at].tolist(), held.tolist(), strict=True):
            if kinds[i] == 0:
                kinds[i] = _kind_again(int(truths["digest"][i]), int(self.early.rows["digest"][j]))
        chosen = np.delete(chosen, at)
        _, first, back = np.unique(truths["key"][chosen], return_index=True, return_inverse=True)
        for place in np.flatnonzero(first[back] != np.arange(len(chosen))).tolist():
            i, head = int(chosen[place]), int(chosen[first[back[place]]])
            if kinds[i] == 0:
                kinds[i] = _kind_again(int(truths["digest"][i]), int(truths["digest"][head]))
        fresh = truths[chosen[np.sort(first)]]
        fresh["flags"] |= (kinds[chosen[np.sort(first)]] != 0) * np.uint8(MET)
        self.kept.kinds["unknown"] += self.early.add(fresh)

    @property
    def lowest(self) -> int:
        """The smallest share of which anything that waits was sampled."""
        return min([self.limit, *(one.limit for one in self.log.segments.values())])

    def _meet(self, rows: Rows, wheres: Hashes) -> list[Pairs]:
        """Predictions whose label came first."""
        at, early = self.early.find(rows["id"])
        if "request" in (rows.dtype.names or ()):
            by_request, further = self.early.find(alias(rows["request"]))
            at, early = np.concatenate((at, by_request)), np.concatenate((early, further))
        if not len(at):
            return []
        self.log.flush()
        truths = self.early.rows[early]
        kinds = np.zeros(len(truths), np.int8)
        found = _Found(np.arange(len(at)), at, rows, wheres, self._shares(wheres))
        found = self._unmarked(truths, kinds, found)
        kinds[:] = 0
        pairs = self._joined(truths, found, kinds, KINDS.index("early") + 1)
        met = kinds == KINDS.index("early") + 1
        new = np.unique(early[met & (truths["flags"] & MET == 0)])
        self.kept.kinds["early"] += len(new)
        self.early.met(np.unique(early[met]))
        return pairs

    def _brought(self, batch: Batch, truths: Rows) -> list[Pairs]:
        """Labels with their prediction. Those with an id are known again when they come twice."""
        ids = np.zeros(batch.rows, np.uint64) if batch.ids is None else batch.ids
        numbered = replace(batch, ids=np.arange(1, batch.rows + 1, dtype=np.uint64), items=None)
        rows = self.tables.rows(numbered)
        at = rows["id"].astype(np.int64) - 1
        self.kept.kinds["unknown"] += batch.rows - len(at)  # neither prediction nor score came along
        rows["id"], truths = ids[at], truths[at]
        kinds = np.zeros(len(at), np.int8)
        keys, of_key = np.unique(rows["id"], return_inverse=True)
        places, wheres = self.index.find(keys[keys != 0])
        marks = runs.is_mark(wheres)
        places = places + int(np.count_nonzero(keys == 0))
        self._again(truths, kinds, _spread(places[marks], runs.low_of(wheres[marks]), of_key))
        _, first = np.unique(rows["id"], return_index=True)
        repeated = np.ones(len(at), dtype=bool)
        repeated[first] = False
        repeated &= (rows["id"] != 0) & (kinds == 0)
        heads = first[of_key]
        same = truths["digest"] == truths["digest"][heads]
        kinds[repeated] = np.where(same, KINDS.index("repeated") + 1, KINDS.index("changed") + 1)[repeated]
        chosen = np.flatnonzero(kinds == 0)
        kinds[chosen] = KINDS.index("joined") + 1
        for place, kind in enumerate(KINDS, 1):
            self.kept.kinds[kind] += int(np.count_nonzero(kinds == place))
        return self._beside(rows[chosen], truths[chosen], batch.arrived_ns)

    def _beside(self, rows: Rows, truths: Rows, now_ns: int) -> list[Pairs]:
        """Joins predictions that never waited. Their marks lie in the newest file's time."""
        named = rows["id"] != 0
        if named.any():
            segments, _ = self.log.append(rows[named], self.tables.layout, now_ns, WHOLE)
            self.log.labelled(segments)
            self.index.add(rows["id"][named], runs.where(runs.MARK, segments, truths["digest"][named]))
        self.kept.predicted(rows["time"] // self.bounds.window_ns)
        late_ns = truths["label_ns"] - rows["time"]
        self.kept.joined(rows["time"] // self.bounds.window_ns, late_ns, np.ones(len(rows)))
        return pairs_of(rows, truths, self.tables, self.bounds.window_ns) if len(rows) else []

    # ── time and space ──

    def expire(self, now_ns: int) -> None:
        """Forgets predictions and labels that waited long enough."""
        before = (self.kept.kinds["never"], self.kept.kinds["unknown"], len(self.log.segments))
        self.kept.kinds["never"] += self.log.expire(now_ns - self.bounds.label_ns)
        self.index.idle &= before[2] == len(self.log.segments)
        self.kept.kinds["unknown"] += self.early.expire(now_ns - self.bounds.early_ns)
        self.revision += before != (self.kept.kinds["never"], self.kept.kinds["unknown"], len(self.log.segments))
        often = now_ns - self.raised_ns > self.bounds.label_ns // SPANS
        if self.limit < WHOLE and often and self.size < self.bytes_max // 4:
            self.limit, self.raised_ns, self.log.open = self.limit * 2, now_ns, None

    @property
    def size(self) -> int:
        """Bytes on disk, once the background is done."""
        return self.log.bytes + self.index.bytes

    def job(self) -> Callable[[], Install] | None:
        """The next work for the background, if any: to be called in a thread, and what it gives afterwards here."""
        work = self.index.work(self.log.live(), self.log.known())
        if work is not None or self.size <= self.bytes_max:
            return work
        return self._sift()

    def _sift(self) -> Callable[[], Install] | None:
        """Writes a file of rows anew without those that are labelled, or no longer in the sample; if there is none
        worth it, the sample is halved."""
        closed = [one for one in self.log.segments.values() if one is not self.log.open]
        worth = [one for one in closed if one.limit > self.limit or one.labelled > MARKED_SHARE * one.rows]
        if not worth:
            if (not closed and self.log.open is None) or self.limit <= LIMIT_MIN:
                return None
            self.limit //= 2
            self.revision += 1
            self.log.open = None  # its rows are sifted, too
            worth = list(self.log.segments.values())
        old, limit = worth[0], self.limit
        self.log.flush()
        rows, labelled, held = self.log.whole(old.number), old.labelled, self.index.held()

        def work() -> Install:
            keys = np.unique(rows["id"])
            at, wheres = self.index.find(keys, held)
            stays = (sample_of(rows) < np.uint64(limit)) if limit < WHOLE else np.ones(len(rows), dtype=bool)
            left = rows[stays & ~np.isin(rows["id"], keys[at[runs.is_mark(wheres)]])]

            def install() -> None:
                if old.number not in self.log.segments:
                    return  # it expired meanwhile
                made = self.log.replace(old, left, old.labelled - labelled, min(limit, old.limit))
                if made is not None:
                    self._enter(left, runs.where(runs.ROW, made.number, np.arange(len(left))))
                self.revision += 1

            return install

        return work

    def work_now(self) -> None:
        """Does all background work, waiting for it."""
        while (job := self.job()) is not None:
            job()()

    # ── what there is to say ──

    def points(self) -> Iterator[Point]:
        """What is exported, of all versions together."""
        own: dict[str, Any] = {"sidelight.model.name": self.model.name}
        if self.model.tenant:
            own["sidelight.tenant"] = self.model.tenant
        for kind in KINDS:
            yield Point(LABELS_SETTLED, self.kept.kinds[kind], own | {"sidelight.outcome": kind}, self.started_ns)
        yield Point(LABEL_DELAY, self.kept.histogram(), own, self.started_ns)
        yield Point(LABELS_WAITING, self.waits() + self.early.waiting, own)
        yield Point(PREDICTIONS_WAITING, self.log.waiting, own)
        yield Point(PREDICTIONS_UNLABELLED, self.kept.kinds["never"], own, self.started_ns)
        yield Point(LABEL_SAMPLE, self.limit / WHOLE, own)
        yield Point(LABEL_STORE_SIZE, self.size, own)
        if self.kept.kinds["predictions"]:
            yield Point(LABEL_COVERAGE, self.kept.coverage(), own)

    def show(self) -> dict[str, Any]:
        """For the status and the page."""
        windows = sorted(self.kept.windows)
        return {
            "received": self.kept.kinds["received"],
            **{kind: self.kept.kinds[kind] for kind in KINDS},
            "waiting_labels": self.waits() + self.early.waiting,
            "waiting_predictions": self.log.waiting,
            "never": self.kept.kinds["never"],
            "coverage": _or_none(self.kept.coverage()),
            "coverage_by_window": [[index, _or_none(self.kept.coverage(index))] for index in windows],
            "delay_seconds": {f"p{share}": _or_none(quantile(self.kept, share / 100)) for share in (50, 90, 99)},
            "sample": self.limit / WHOLE,
            "bytes": self.size,
            "corrupt": self.corrupt,
        }

    @property
    def corrupt(self) -> int:
        """Runs, tails and rows that were set aside."""
        return self.index.corrupt + self.log.corrupt + self.lost

    # ── checkpoints ──

    def dump(self) -> tuple[bytes, list[int]]:
        """Its state beside the files, and descriptors to sync before that is stored: duplicates, to be closed."""
        held, fds = stored.dump(self)
        self._planned += [*self.index.gone, *self.log.gone]
        self.index.gone, self.log.gone = [], []
        return held, fds

    def written(self) -> None:
        """What `dump` gave is stored: files that it does not name are deleted."""
        for one in self._planned:
            path = one if isinstance(one, Path) else stored.path_of(self.folder, one)
            if not isinstance(one, Path):
                os.close(one.fd)
            path.unlink(missing_ok=True)
        self._planned = []

    def load(self, blob: bytes | None) -> None:
        """Takes up a state; without one whatever lies in the folder is left over. Raises CorruptError."""
        stored.load(self, blob)

    def close(self) -> None:
        self.log.close()
        self.index.close()
        for one in self._planned:
            if not isinstance(one, Path):
                os.close(one.fd)


def sample_of(rows: Rows) -> Hashes:
    """The hash a row is kept by: of the request, which its versions share, or else of the prediction; lists whole."""
    names = rows.dtype.names or ()
    found: Hashes = rows["id"]
    if "list" in names:
        found = np.where(rows["list"] != 0, rows["list"], found)
    if "request" in names:
        listed = rows["position"] != 0 if "position" in names else np.zeros(len(rows), dtype=bool)
        found = np.where((rows["request"] != 0) & ~listed, rows["request"], found)
    return found


def _begins(values: npt.NDArray[Any]) -> Bools:
    """Where another value begins."""
    found = np.ones(len(values), dtype=bool)
    found[1:] = values[1:] != values[:-1]
    return found


def _kind_again(digest: int, before: int) -> int:
    return KINDS.index("repeated" if digest == before else "changed") + 1


def _joined_by(at: Ints, of_key: Ints) -> tuple[Ints, Ints]:
    """Every (label, hit) of one key. at: keys of the hits; of_key: of the labels."""
    if not len(at):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(at, kind="stable")
    counts = np.bincount(at, minlength=int(of_key.max(initial=0)) + 1)
    ends = np.cumsum(counts)
    label, hit = runs.spread((ends - counts)[of_key], ends[of_key])
    return label, order[hit]


def _spread(at: Ints, values: Ints, of_key: Ints) -> tuple[Ints, Ints]:
    """Labels whose key has a value, and the first of these."""
    label, hit = _joined_by(at, of_key)
    first: Bools = np.ones(len(label), dtype=bool)
    first[1:] = label[1:] != label[:-1]
    return label[first], values[hit[first]]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
