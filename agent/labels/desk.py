"""The desk where predictions wait for their truth. One for each model name: a label finds every version's prediction.

    predicted ──> rows in files, their places in the index ──┐
    labelled ──> they wait a moment, many are looked up at once ──> Pairs, one a version
                          └─ not found: kept for their prediction, which may be on its way ──┘

Calls come in the order of the journal, and what they do is a function of them alone: a replay joins the same again.
`settle` and the work of `job` read files and may run in a thread, while nothing else is called but `job`'s end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agent.counting.fingerprints import Hashes
from agent.errors import CorruptError
from agent.labels import runs, stored
from agent.labels.files import Grown, Marks
from agent.labels.found import PLACE, Found, Kinds, Sought, heads, said_again
from agent.labels.index import Index, Install
from agent.labels.kept import KINDS, Kept, of_model, or_none
from agent.labels.log import Log
from agent.labels.rows import Rows, Tables, alias, begins, pairs_of, seal, taken, together
from agent.labels.runs import Run
from agent.labels.sieve import order_of
from agent.labels.truths import BY_REQUEST, MET, TRUTH, UNTOLD, Early, read_truths
from agent.records import Batch, Floats, Ints, Labels, ModelKey, Pairs
from agent.telemetry import (
    LABEL_COVERAGE,
    LABEL_SAMPLE,
    LABEL_STORE_SIZE,
    LABELS_WAITING,
    PREDICTIONS_WAITING,
    Point,
)

log = logging.getLogger("sidelight.labels")
WHOLE = 1 << 64
LIMIT_MIN = 1 << 40  # the sample is never smaller than one in 16 million
SETTLE_ROWS = 196_608  # labels that are looked up at once, at most: 9 MB
WAITING_MAX = 4 * SETTLE_ROWS  # that wait where none can be looked up
SETTLE_NS = 2_000_000_000  # how long a label waits for others
SPANS = 32  # files of rows that a label's time is cut into, at least
WINDOWS_APART = 64  # of labels settled together, that are told apart by event time
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
        self.newest_ns = 0  # time of the newest prediction
        self.numbers = 0  # of files, given so far
        self.waiting: list[Rows] = []  # labels that are not looked up yet
        self._waits = 0  # how many
        self.log = Log(folder, self._number, bounds.label_ns // SPANS)
        self.marks = Marks(folder, self._number)
        self.index = Index(folder, self._number, self._entries)
        self._planned: list[Run | Grown] = []  # files that the checkpoint being written no longer names
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
        self.newest_ns = max(self.newest_ns, int(rows["time"].max()))
        self.kept.predicted(rows["time"] // self.bounds.window_ns)
        if self.limit < WHOLE:
            rows = self._sampled(rows)
        if self.full:  # a disk that takes nothing keeps nothing
            self.kept.kinds["unkept"] += len(rows)
            return []
        segments, places = self.log.append(rows, self.tables.layout, batch.arrived_ns, self.limit)
        wheres = runs.where(runs.ROW, segments, places)
        self._enter(rows, wheres)
        return self._meet(rows, wheres)

    def _sampled(self, rows: Rows) -> Rows:
        chosen = np.flatnonzero(sample_of(rows) < np.uint64(self.limit))
        self.kept.kinds["unkept"] += len(rows) - len(chosen)
        return taken(rows, chosen)

    @property
    def full(self) -> bool:
        """Whether the disk has taken nothing for so long that no more may wait for it in memory."""
        return self.log.full or self.index.turns_away

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
        truths, watched = read_truths(labels, self.tables, self.bounds.event_time)
        waits = np.ones(labels.rows, dtype=bool)
        if watched is not None:
            waits &= watched
            self.kept.kinds["unknown"] += labels.rows - int(np.count_nonzero(watched))
        brought = np.zeros(0, np.int64)
        if labels.predictions is not None and labels.at is not None:
            brought = np.flatnonzero(waits[labels.at])
            waits[labels.at] = False
        chosen = truths if waits.all() else taken(truths, np.flatnonzero(waits))
        if len(chosen):
            self.waiting.append(chosen)
            self._waits += len(chosen)
        if labels.predictions is None or labels.at is None:
            return []
        return self._brought(labels.predictions, brought, taken(truths, labels.at[brought]))

    def waits(self) -> int:
        """Labels that are not settled."""
        return self._waits

    def await_(self, truths: Rows) -> None:
        """Takes these up as the labels that are not settled."""
        self.waiting, self._waits = [truths] if len(truths) else [], len(truths)

    def due(self, now_ns: int) -> bool:
        """Whether to settle now: enough of them, or they waited long enough, or the window they came in is over."""
        if not self.waiting:
            return False
        first = int(self.waiting[0]["arrived_ns"][0])
        over = first // self.bounds.window_ns != now_ns // self.bounds.window_ns
        # A clock that was put back must not make them wait until it comes by again.
        return over or not 0 <= now_ns - first < SETTLE_NS or self._waits >= SETTLE_ROWS

    # ── the join ──

    def settle(self) -> list[Pairs]:
        """Looks up every label that waits."""
        if not self._waits:
            return []
        truths = together(self.waiting, TRUTH)
        self.await_(truths[:0])
        self.revision += 1
        kinds = np.zeros(len(truths), np.int8)
        try:
            found = self._found(truths, kinds)
        except OSError as error:  # no file can be opened now, say
            log.error("labels_not_settled error=%s", error)
            self._given_up(truths[:-WAITING_MAX])
            self.await_(truths[-WAITING_MAX:].copy())
            return []
        pairs = self._joined(truths, found, kinds, PLACE["joined"])
        self._keep_early(truths, kinds)
        self._count(kinds)
        return pairs

    def _count(self, kinds: Kinds) -> None:
        counts = np.bincount(kinds, minlength=len(KINDS) + 1).tolist()
        for place, kind in enumerate(KINDS, 1):
            self.kept.kinds[kind] += counts[place]

    def _found(self, truths: Rows, kinds: Kinds) -> Found:
        """What the labels found, without what was labelled before; those that met only such are repeated or
        changed."""
        sought = Sought(truths["key"].copy())
        at, wheres = self.index.find(sought.keys)
        marks = runs.is_mark(wheres)
        if marks.any():
            label, hit = sought.labels(at[marks])
            said_again(kinds, truths, label, runs.low_of(wheres[marks])[hit])
            at, wheres = at[~marks], wheres[~marks]
        order = order_of(wheres)
        at, wheres = at[order], wheres[order]
        if (wheres[1:] == wheres[:-1]).any():  # found by two keys, or in two places
            order = np.lexsort((at, wheres))
            at, wheres = at[order], wheres[order]
            once = begins(at) | begins(wheres)
            at, wheres = at[once], wheres[once]
        rows, sound = self.log.read(wheres, self.tables.layout)
        if sound is not None:
            at, wheres = at[sound], wheres[sound]
        rows, at, wheres = self._own(rows, at, wheres, sought.keys)
        label, row = sought.labels(at)
        free = kinds[label] == 0
        if not free.all():
            label, row = label[free], row[free]
        return self._unmarked(truths, kinds, Found(label, row, rows, wheres, self._shares(wheres)))

    def _own(self, rows: Rows, at: Ints, wheres: Hashes, keys: Hashes) -> tuple[Rows, Ints, Hashes]:
        """Rows that are what was sought: an entry of an index may be corrupt, and point to another's."""
        right = rows["id"] == keys[at]
        if right.all():
            return rows, at, wheres
        if "request" in (rows.dtype.names or ()):
            right |= alias(rows["request"]) == keys[at]
        chosen = np.flatnonzero(right)
        return taken(rows, chosen), at[chosen], wheres[chosen]

    def _shares(self, wheres: Hashes) -> Floats | None:
        """With which share of the sample each row was kept; None: all with the whole."""
        if self.lowest >= WHOLE:
            return None
        segments = runs.segments_of(wheres)
        held = self.log.segments
        numbers, at = np.unique(segments, return_inverse=True)
        limits = [min(self.limit, held[n].limit if n in held else WHOLE) / WHOLE for n in numbers.tolist()]
        return np.array(limits, dtype=np.float64)[at]

    def _unmarked(self, truths: Rows, kinds: Kinds, found: Found) -> Found:
        """Found by the request's id a row may yet have been labelled by its own."""
        if not (truths["flags"][found.label] & BY_REQUEST).any():
            return found
        ids, of_id = np.unique(found.ids(), return_inverse=True)
        at, wheres = self.index.find(ids)
        marks = runs.is_mark(wheres)
        said = np.full(len(ids), -1, np.int64)
        said[at[marks][::-1]] = runs.low_of(wheres[marks][::-1])
        before = said[of_id]
        free = before < 0
        said_again(kinds, truths, found.label[~free], before[~free])
        kinds[found.label[free]] = 0  # another version's row is still to be joined
        return found.pick(free)

    def _joined(self, truths: Rows, found: Found, kinds: Kinds, kind: int) -> list[Pairs]:
        """Joins each row with the first of its labels, each label with one row a version; the others come again."""
        found = found.by_row()
        first = begins(found.wheres[found.at])
        heads(kinds, truths, found.label, first)
        found = self._single(found if first.all() else found.pick(first))
        if found.shares is not None:
            inside = sample_of(found.rows)[found.at].astype(np.float64) < found.shares[found.at] * WHOLE
            kinds[found.label[~inside]] = PLACE["unsampled"]
            found = found.pick(inside)
        kinds[found.label] = kind
        return self._mark(truths, found.by_label(len(truths)))

    def _single(self, found: Found) -> Found:
        """A prediction that was sent twice under one id is one prediction: the first."""
        if np.bincount(found.label, minlength=1).max() <= 1:
            return found  # as nearly always
        ids, versions, wheres = found.ids(), found.rows["version"][found.at], found.wheres[found.at]
        found = found.pick(order := np.lexsort((wheres, versions, ids, found.label)))
        single = begins(found.label) | begins(ids[order]) | begins(versions[order])
        self.log.labelled(runs.segments_of(wheres[order][~single]))  # nothing waits for these any more
        return found.pick(single)

    def _mark(self, truths: Rows, found: Found) -> list[Pairs]:
        """Says of the rows that they are labelled, and makes pairs of them."""
        if not len(found.label):
            return []
        every = len(found.label) == len(truths) and found.shares is None  # as mostly: then in their order
        own, rows = truths if every else taken(truths, found.label), taken(found.rows, found.at)
        segments = runs.segments_of(found.wheres[found.at])
        self._marked(rows["id"].copy(), runs.where(runs.MARK, segments, own["digest"]), int(own["arrived_ns"].max()))
        self.log.labelled(segments)
        weights = np.ones(len(rows)) if found.shares is None else 1.0 / found.shares[found.at]
        self.kept.joined(rows["time"] // self.bounds.window_ns, own["label_ns"] - rows["time"], weights)
        if found.shares is not None:
            own["weight"] *= weights
        return self._pairs(rows, own)

    def _marked(self, keys: Hashes, wheres: Hashes, now_ns: int) -> None:
        self.index.add(keys, wheres)
        self.marks.add(keys, wheres, now_ns)

    def _pairs(self, rows: Rows, truths: Rows) -> list[Pairs]:
        """By the windows their truths are of: by event time none beyond the predictions', and of those long ago, which
        are over, all together."""
        windows = truths["label_ns"] // self.bounds.window_ns
        if self.bounds.event_time:
            windows = np.minimum(windows, self.newest_ns // self.bounds.window_ns + 1)
            apart = np.unique(windows)[-WINDOWS_APART:]
            windows = np.maximum(windows, apart[0])
        return pairs_of(rows, truths, self.tables, self.bounds.window_ns, windows)

    def _keep_early(self, truths: Rows, kinds: Kinds) -> None:
        """Labels without a prediction wait for it; those by request in any case, for the other versions' answers."""
        if self.limit < WHOLE:  # a prediction that is yet to come would not be kept
            outside = (truths["sample"] >= np.uint64(self.limit)) & (truths["flags"] & UNTOLD == 0)
            kinds[(kinds == 0) & outside] = PLACE["unsampled"]
        others = (truths["flags"] & BY_REQUEST != 0) & (kinds != PLACE["unsampled"])
        chosen = np.flatnonzero((kinds == 0) | others)
        at, held = self.early.find(truths["key"][chosen])
        again = kinds[chosen[at]] == 0
        said_again(kinds, truths, chosen[at][again], self.early.rows["digest"][held][again].astype(np.int64))
        chosen = np.delete(chosen, at)
        order = chosen[np.argsort(truths["key"][chosen], kind="stable")]
        first = begins(truths["key"][order])
        told = kinds[order]
        heads(kinds, truths, order, first)
        kinds[order] = np.where(told == 0, kinds[order], told)
        fresh = taken(truths, np.sort(order[first]))
        fresh["flags"] |= (kinds[np.sort(order[first])] != 0) * np.uint8(MET)
        self._given_up(self.early.add(fresh))

    def _given_up(self, truths: Rows) -> None:
        """These found no prediction in time. Where only a sample is kept, it may have been one that was not."""
        lowest = self.lowest
        unsampled = 0
        if lowest < WHOLE:
            out = (truths["sample"] >= np.uint64(lowest)) | (truths["flags"] & UNTOLD != 0)
            unsampled = int(np.count_nonzero(out))
        self.kept.kinds["unsampled"] += unsampled
        self.kept.kinds["unknown"] += len(truths) - unsampled

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
        truths = taken(self.early.rows, early)
        kinds = np.zeros(len(truths), np.int8)
        found = Found(np.arange(len(at)), at, rows, wheres, self._shares(wheres))
        pairs = self._joined(truths, self._unmarked(truths, kinds, found), kinds, PLACE["early"])
        fresh = truths["flags"] & MET == 0  # each counts once, by the best that became of it
        for kind in ("early", "repeated", "changed"):
            own = np.unique(early[(kinds == PLACE[kind]) & fresh])
            self.kept.kinds[kind] += len(own)
            fresh &= ~np.isin(early, own)
        self.early.met(np.unique(early[kinds != 0]))
        return pairs

    def _brought(self, batch: Batch, chosen: Ints, truths: Rows) -> list[Pairs]:
        """Labels with their prediction; chosen: of the batch, those whose labels these are. Those with an id are known
        again when they come twice."""
        ids = np.zeros(batch.rows, np.uint64) if batch.ids is None else batch.ids
        numbered = replace(batch, ids=np.arange(1, batch.rows + 1, dtype=np.uint64), items=None)
        rows = self.tables.rows(numbered)
        row_of = np.full(batch.rows, -1, np.int64)
        row_of[rows["id"].astype(np.int64) - 1] = np.arange(len(rows))
        says = row_of[chosen] >= 0  # the others came with neither prediction nor score
        self.kept.kinds["unknown"] += len(chosen) - int(np.count_nonzero(says))
        chosen = chosen[says]
        rows, truths = taken(rows, row_of[chosen]), taken(truths, np.flatnonzero(says))
        rows["id"] = ids[chosen]
        seal(rows)
        kinds = np.zeros(len(rows), np.int8)
        named = np.flatnonzero(rows["id"] != 0)
        sought = Sought(rows["id"][named])
        at, wheres = self.index.find(sought.keys)
        marks = runs.is_mark(wheres)
        label, hit = sought.labels(at[marks])
        said_again(kinds, truths, named[label], runs.low_of(wheres[marks])[hit])
        order = named[np.argsort(rows["id"][named], kind="stable")]
        order = order[kinds[order] == 0]
        heads(kinds, truths, order, begins(rows["id"][order]))
        left = np.flatnonzero(kinds == 0)
        kinds[left] = PLACE["joined"]
        self._count(kinds)
        return self._beside(taken(rows, left), taken(truths, left), batch.arrived_ns)

    def _beside(self, rows: Rows, truths: Rows, now_ns: int) -> list[Pairs]:
        """Joins predictions that never waited. Their marks lie in the newest file's time."""
        if not len(rows):
            return []
        named = np.flatnonzero(rows["id"] != 0)
        if named.size and not self.full:
            own = taken(rows, named)
            segments, _ = self.log.append(own, self.tables.layout, now_ns, WHOLE)
            self.log.labelled(segments)
            self._marked(own["id"].copy(), runs.where(runs.MARK, segments, truths["digest"][named]), now_ns)
        self.newest_ns = max(self.newest_ns, int(rows["time"].max()))
        self.kept.predicted(rows["time"] // self.bounds.window_ns)
        late_ns = truths["label_ns"] - rows["time"]
        self.kept.joined(rows["time"] // self.bounds.window_ns, late_ns, np.ones(len(rows)))
        return self._pairs(rows, truths)

    # ── time and space ──

    def expire(self, now_ns: int) -> None:
        """Forgets predictions and labels that waited long enough."""
        before = (self.kept.kinds["never"], self.kept.kinds["unknown"], len(self.log.segments))
        self.kept.kinds["never"] += self.log.expire(now_ns - self.bounds.label_ns)
        self.index.idle &= before[2] == len(self.log.segments)
        self.marks.expire(now_ns - self.bounds.label_ns - 2 * (self.bounds.label_ns // SPANS))
        self._given_up(self.early.expire(now_ns - self.bounds.early_ns))
        self.revision += before != (self.kept.kinds["never"], self.kept.kinds["unknown"], len(self.log.segments))
        often = now_ns - self.raised_ns > self.bounds.label_ns // SPANS
        if self.limit < WHOLE and often and self.size < self.bytes_max // 4:
            self.limit, self.raised_ns, self.log.open = self.limit * 2, now_ns, None

    @property
    def size(self) -> int:
        """Bytes on disk, once the background is done."""
        return self.log.bytes + self.index.bytes + self.marks.bytes

    @property
    def behind(self) -> bool:
        """Whether so much waits for the background that it is to be waited for."""
        return self.index.behind

    def job(self) -> Callable[[], Install] | None:
        """The next work for the background, if any: to be called in a thread, and what it gives afterwards here."""
        rests = self.index.idle or self.index.broken  # as mostly, and it is asked often
        work = None if rests else self.index.work(self.log.live(), self.log.known())
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
        (rows, _), labelled, held = self.log.whole(old.number), old.labelled, self.index.held()

        def work() -> Install:
            keys = np.unique(rows["id"])
            try:
                at, wheres = self.index.find_in(keys, held)
            except CorruptError as error:
                return partial(self._set_aside, str(error))
            stays = (sample_of(rows) < np.uint64(limit)) if limit < WHOLE else np.ones(len(rows), dtype=bool)
            stays &= ~np.isin(rows["id"], keys[at[runs.is_mark(wheres)]])
            left = taken(rows, np.flatnonzero(stays))

            def install() -> None:
                if old.number not in self.log.segments:
                    return  # it expired meanwhile
                made = self.log.replace(old, left, old.labelled - labelled, min(limit, old.limit))
                if made is not None:
                    self._enter(left, runs.where(runs.ROW, made.number, np.arange(len(left))))
                self.revision += 1

            return install

        return work

    def _set_aside(self, error: str) -> None:
        self.index.set_aside(error)

    def _entries(self) -> Iterator[runs.Entries]:
        """What the index should hold, from rows and marks themselves, a file's at once."""
        known = self.log.known()
        for number in list(self.log.segments):
            rows, places = self.log.whole(number)
            wheres = runs.where(runs.ROW, number, places)
            yield rows["id"].copy(), wheres
            if "request" in (rows.dtype.names or ()):
                asked = rows["request"] != 0
                yield alias(rows["request"][asked]), wheres[asked]
        for keys, wheres in self.marks.parts():
            counts = np.isin(runs.segments_of(wheres), known)
            yield keys[counts], wheres[counts]

    def work_now(self) -> None:
        """Does all background work, waiting for it."""
        while (job := self.job()) is not None:
            job()()

    # ── what there is to say ──

    def points(self) -> Iterator[Point]:
        """What is exported, of all versions together."""
        own = of_model(self.model)
        yield from self.kept.points(self.model, self.started_ns)
        yield Point(LABELS_WAITING, self.waits() + self.early.waiting, own)
        yield Point(PREDICTIONS_WAITING, self.log.waiting, own)
        yield Point(LABEL_SAMPLE, self.limit / WHOLE, own)
        yield Point(LABEL_STORE_SIZE, self.size, own)
        if self.kept.kinds["predictions"]:
            yield Point(LABEL_COVERAGE, self.kept.coverage(), own)

    def show(self) -> dict[str, Any]:
        """For the status and the page."""
        windows = sorted(self.kept.windows)
        return {
            **self.kept.show(),
            "waiting_labels": self.waits() + self.early.waiting,
            "waiting_predictions": self.log.waiting,
            "coverage": or_none(self.kept.coverage()),
            "coverage_by_window": [[index, or_none(self.kept.coverage(index))] for index in windows],
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
        self._planned += [
            *(Grown(one) if isinstance(one, Path) else one for one in self.index.gone), *self.log.gone, *self.marks.gone
        ]  # fmt: skip
        self.index.gone, self.log.gone, self.marks.gone = [], [], []
        return held, fds

    def written(self) -> None:
        """What `dump` gave is stored: files that it does not name are deleted."""
        for one in self._planned:
            one.drop()
        self._planned = []

    def failed(self) -> None:
        """It is not: what was to be synced is synced again."""
        self.log.unsynced()
        self.marks.unsynced()
        self.index.unsynced()

    def load(self, blob: bytes | None) -> None:
        """Takes up a state; without one whatever lies in the folder is left over. Raises CorruptError."""
        stored.load(self, blob)

    def close(self) -> None:
        self.log.close()
        self.marks.close()
        for one in self._planned:
            if isinstance(one, Grown):
                one.close()


def sample_of(rows: Rows) -> Hashes:
    """The hash a row is kept by: of the request, which its versions share, or else of the prediction; lists whole."""
    names = rows.dtype.names or ()
    found: Hashes = rows["id"]
    if "request" in names:
        found = np.where(rows["request"] != 0, rows["request"], found)
    if "list" in names:  # of an item it is not the row's own
        found = np.where((rows["list"] != 0) & (rows["list"] != rows["id"]), rows["list"], found)
    return found

