"""The desk of a model whose predictions wait in Redis, for labels that reach any of several replicas.

    predicted ──> chunks ──┐                                  ┌──> outcomes ──settle──> Pairs, one a version
    labelled ──> waiting ──┴─ job: written, then looked up ───┘
                                     └─ no prediction yet: the label waits in Redis, and is remembered here

Nothing here waits for Redis but the work of `job`, in a thread. What it brings is told by `settle`, at a frame of the
journal; until a checkpoint holds what was told, Redis gives a label the same answer again.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from agent.labels.desk import WHOLE, Bounds, sample_of
from agent.labels.kept import Kept, of_model, or_none
from agent.labels.redis import packing, stored
from agent.labels.redis.fleet import Fleet
from agent.labels.redis.link import Link
from agent.labels.redis.packing import QUEUED, Chunk, Entries, Place
from agent.labels.redis.rounds import SLOTS, Model, Outcome, Plan, met_entries, work
from agent.labels.rows import Rows, Tables, alias, pairs_of
from agent.labels.truths import BY_REQUEST, EARLY_MAX, read_truths
from agent.records import Batch, Bools, Floats, Ints, Labels, ModelKey, Pairs
from agent.telemetry import (
    LABEL_COVERAGE,
    LABEL_SAMPLE,
    LABEL_STORE_DROPPED,
    LABEL_STORE_SIZE,
    LABELS_WAITING,
    PREDICTIONS_WAITING,
    Point,
)

CHUNK_BYTES = 4 << 20  # of predictions that are not written yet: 70,000 or so
LABELS_MAX = 65_536  # that are not looked up yet: 4.4 MB
ROWS_A_ROUND = 4_000  # written by one job
LABELS_A_ROUND = 1_000
GATHER_ROWS, GATHER_SECONDS = 500, 0.1  # written when there are so many, or after so long
ASK_SECONDS, ASK_ROWS = 2.0, 1_000  # how often labels that wait in Redis are asked for, and how many
STATE_SECONDS = 5.0
log = logging.getLogger("sidelight.labels")
_CODES = {"j": "joined", "J": "joined", "E": "early", "r": "repeated", "c": "changed", "n": "unsampled", "u": "unknown"}


class RedisDesk:
    """Of one model name, as `agent.labels.desk.Desk`. agent: who this replica is, for as long as its journal lives."""

    def __init__(
        self, model: ModelKey, link: Link, bounds: Bounds, agent: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.model, self.link, self.bounds, self._agent, self._monotonic = model, link, bounds, agent, monotonic
        name = f"{model.tenant}/{model.name}".encode()
        self._of = Model(
            name, packing.prefix(model), packing.own(agent), max(1, bounds.label_ns // 10**9), bounds.early_ns // 10**9
        )
        self.bytes_max = bounds.bytes_max
        self.tables, self.kept, self.tails = Tables(), Kept(), packing.Tails()
        self.fleet = Fleet()
        self.dropped: Counter[str] = Counter()  # predictions and labels that did not fit here while Redis was away
        self.emptied = 0  # how often Redis had forgotten everything
        self.lost = 0  # rows whose tail was gone
        self.revision, self.started_ns, self.now_ns = 0, 0, 0
        self.share, self._slot = 0, 0  # exponent of the sample, in this slot
        self.chunks: list[Chunk] = []
        self.held = 0  # bytes of them
        self.waiting: Rows = np.zeros(0, QUEUED)
        self.pending: Rows = np.zeros(0, QUEUED)  # labels that wait in Redis for their prediction
        self.claims: list[int] = []  # ids joined and told, that no checkpoint holds
        self.planned: list[int] = []  # those that the one being written holds
        self.done: list[int] = []  # those that one holds
        self._fresh: list[Rows] = []  # labels not in `waiting` yet
        self._outcomes: list[Outcome] = []
        self._sent, self._asked, self._polled = 0, 0, 0  # chunks and labels in outcomes; where polling goes on
        self._since, self._state_at, self._ask_at = 0.0, 0.0, 0.0
        self._lock = threading.Lock()  # of what `settle`, in a thread, and `job` both change

    # ── what comes ──

    def predicted(self, batch: Batch) -> list[Pairs]:
        """They are on their way to Redis. Always empty: what labels wait for them is told when they are there."""
        rows = self.tables.rows(batch)
        if len(rows):
            self._turn(batch.arrived_ns)
            self._keep(rows, batch.arrived_ns)
        return []

    def _keep(self, rows: Rows, arrived_ns: int) -> None:
        self.revision += 1
        self.kept.predicted(rows["time"] // self.bounds.window_ns)
        if self.share:
            chosen = sample_of(rows) < np.uint64(WHOLE >> self.share)
            self.kept.kinds["unkept"] += int(np.count_nonzero(~chosen))
            rows = rows[chosen]
        if self.held >= CHUNK_BYTES:
            self.dropped["predictions"] += len(rows)
            return
        if not len(rows):
            return
        if self._sent == len(self.chunks):
            self._since = self._monotonic()
        place = Place(self.share, self._slot, self.bounds.window_ns)
        self.chunks.append(packing.pack(rows, self.tables, self.tails, place, arrived_ns))
        self.held += self.chunks[-1].bytes

    def labelled(self, labels: Labels, offset: int = 0) -> list[Pairs]:
        """They wait until they are looked up. offset: of their frame in the journal. Pairs of those that bring their
        prediction without an id."""
        self._turn(labels.arrived_ns)
        self.revision += 1
        self.kept.kinds["received"] += labels.rows
        truths, watched = read_truths(labels, self.tables, self.bounds.event_time)
        rows = packing.queued(truths, packing.tokens(labels, self._agent, offset))
        if watched is None or self.tables.output is None:  # which output is watched, its predictions say
            watched = np.ones(labels.rows, dtype=bool)
        self.kept.kinds["unknown"] += int(np.count_nonzero(~watched))
        pairs: list[Pairs] = []
        if labels.predictions is not None and labels.at is not None:
            pairs = self._bring(labels.predictions, labels.at, rows, watched)
        self._queue(rows[watched])
        return pairs

    def _queue(self, rows: Rows) -> None:
        room = max(0, LABELS_MAX - self.waits())
        self.dropped["labels"] += max(0, len(rows) - room)
        with self._lock:
            self._fresh.append(rows[:room])

    def _bring(self, batch: Batch, at: Ints, truths: Rows, watched: Bools) -> list[Pairs]:
        """Labels with their prediction. Of one with an id both go to Redis, where a second label is known again."""
        ids = np.zeros(batch.rows, np.uint64) if batch.ids is None else batch.ids
        numbers = np.arange(1, batch.rows + 1, dtype=np.uint64)
        rows = self.tables.rows(replace(batch, ids=numbers, items=None))
        place = rows["id"].astype(np.int64) - 1
        said = np.zeros(batch.rows, dtype=bool)
        said[place] = True
        self.kept.kinds["unknown"] += int(np.count_nonzero(watched[at[~said]]))  # neither prediction nor score
        own = watched[at[place]]
        watched[at[~said]] = False
        rows, place = rows[own], place[own]
        rows["id"] = ids[place]
        named = rows["id"] != 0
        truths["key"][at[place[named]]] = rows["id"][named]
        truths["flags"][at[place[named]]] = 0
        if named.any():
            self._keep(rows[named], batch.arrived_ns)
        watched[at[place[~named]]] = False
        return self._beside(rows[~named], truths[at[place[~named]]])

    def _beside(self, rows: Rows, truths: Rows) -> list[Pairs]:
        """Joins predictions that nothing could find again."""
        if not len(rows):
            return []
        self.kept.kinds["joined"] += len(rows)
        self.kept.predicted(rows["time"] // self.bounds.window_ns)
        return self._paired(rows, truths, np.ones(len(rows)))

    def waits(self) -> int:
        """Labels that are not looked up, or not told."""
        return len(self.waiting) + sum(map(len, self._fresh))

    def due(self, now_ns: int) -> bool:
        """Whether there is something to tell."""
        self._turn(now_ns)
        return bool(self._outcomes)

    def expire(self, now_ns: int) -> None:
        """Redis forgets by itself; only the time is noted."""
        self._turn(now_ns)

    def _turn(self, now_ns: int) -> None:
        self.started_ns = self.started_ns or now_ns
        self.now_ns = max(self.now_ns, now_ns)
        slot = self.now_ns // 10**9 // self._of.span_seconds
        if slot > self._slot:
            self.share = max(0, self.share - 1) if self._slot else self.share
            self._slot = slot

    # ── with Redis ──

    def job(self) -> Callable[[], Callable[[], None]] | None:
        """The next round with Redis, if there is anything to do: to be called in a thread, and what it gives afterwards
        here."""
        if not self.link.ready() or not self.now_ns:
            return None
        plan = self._plan()
        if not plan:
            return None
        known = self.tails.texts

        def round_() -> Callable[[], None]:
            outcome = work(self._of, self.link, plan, known)
            return lambda: self._install(outcome)

        return round_

    def _plan(self) -> Plan:
        now = self._monotonic()
        with self._lock:
            self.waiting, self._fresh = np.concatenate([self.waiting, *self._fresh]), []
            labels = self.waiting[self._asked : self._asked + LABELS_A_ROUND].copy()
            chunks = self._chunks(len(labels) > 0, now)
        records, texts = packing.asked(labels, self.tables, self.bounds.early_ns, self._outside(labels))
        polled = self._poll(now)
        long = polled["arrived_ns"] + self.bounds.early_ns < self.now_ns
        output = b"" if self.tables.output is None else b"=" + self.tables.output.encode()
        return Plan(
            self.now_ns // 10**9, self.share, self.bytes_max // SLOTS, output, chunks, len(labels), records, texts,
            polled, packing.polled(polled, long), self.done[:ROWS_A_ROUND], now >= self._state_at,
        )  # fmt: skip

    def _chunks(self, now_due: bool, now: float) -> list[Chunk]:
        """Those to write now: all are gathered a moment, but none comes after a label that is looked up."""
        found, rows = [], 0
        for one in self.chunks[self._sent :]:
            if rows >= ROWS_A_ROUND and not now_due:
                break
            found.append(one)
            rows += one.rows
        return found if now_due or rows >= GATHER_ROWS or now - self._since >= GATHER_SECONDS else []

    def _poll(self, now: float) -> Rows:
        """Labels that wait in Redis, a part of them in turn."""
        if now < self._ask_at or not len(self.pending):
            return self.pending[:0]
        self._ask_at = now + ASK_SECONDS
        begin = self._polled if self._polled < len(self.pending) else 0
        self._polled = begin + ASK_ROWS
        return self.pending[begin : begin + ASK_ROWS].copy()

    def _outside(self, labels: Rows) -> Bools:
        """Labels whose prediction was not kept by every replica; where requests have ids, those say so alone."""
        found = labels["sample"] >= np.uint64(min(WHOLE >> max(self.fleet.most, self.share), WHOLE - 1))
        if not max(self.fleet.most, self.share):
            found[:] = False
        if "request" in self.tables.layout.columns:
            found &= labels["flags"] & BY_REQUEST != 0
        return np.asarray(found)

    def _install(self, outcome: Outcome) -> None:
        never = 0 if outcome.fleet is None else outcome.fleet.never
        self.revision += bool(outcome.chunks or outcome.codes or outcome.done or never)
        self.tails.learn(outcome.tails)
        if outcome.fleet is not None:
            self._know(outcome.fleet)
        if outcome.share[0] == self._slot:
            self.share = max(self.share, outcome.share[1])
        self.done = self.done[outcome.done :]
        with self._lock:
            self._sent += outcome.chunks
            self._asked += len(outcome.codes)
            if outcome.met or outcome.codes or outcome.told.strip(b"w") or self._outcomes:
                self._outcomes.append(outcome)
            else:
                self._forget(outcome)
        self._since = self._monotonic()

    def _know(self, fleet: Fleet) -> None:
        self._state_at = self._monotonic() + STATE_SECONDS
        self.kept.kinds["never"] += fleet.never
        if self.fleet.born not in ("", fleet.born):
            self.emptied += 1
            log.warning("label_store_emptied store=%s model=%r", self.link.store, self.model.name)
        if fleet.output is not None and self.tables.output is None:
            self.tables.output = fleet.output
        if fleet.share >= 0:
            self.share = max(self.share, fleet.share)
        self.fleet = fleet

    def _told(self, polled: Rows, told: bytes) -> None:
        """Labels that waited in Redis: M some replica's prediction came, u none, x Redis lost it."""
        still = np.isin(polled["token"], self.pending["token"])  # others were told since
        polled, codes = polled[still], np.frombuffer(told, "S1")[still]
        late = polled["arrived_ns"] + self.bounds.early_ns < self.now_ns
        lost, gone = codes == b"x", codes != b"w"
        for code, kind in (("M", "early"), ("r", "repeated"), ("c", "changed")):
            self.kept.kinds[kind] += int(np.count_nonzero(codes == code.encode()))
        self.kept.kinds["unknown"] += int(np.count_nonzero((codes == b"u") | (lost & late)))
        self.pending = self.pending[~np.isin(self.pending["token"], polled["token"][gone])]
        self._queue(polled[lost & ~late])  # asked again, by the same token

    def _forget(self, outcome: Outcome) -> None:
        """What is told need not be kept."""
        self.held -= sum(one.bytes for one in self.chunks[: outcome.chunks])
        del self.chunks[: outcome.chunks]
        self._sent -= outcome.chunks
        self.waiting = self.waiting[len(outcome.codes) :]
        self._asked -= len(outcome.codes)

    def work_now(self) -> None:
        """Does all that can be done now, waiting for it."""
        while (job := self.job()) is not None:
            job()()

    def finish(self, until: float) -> None:
        """Before the end: what is not in Redis goes there, as far as it does until then (monotonic)."""
        self.link.hurry()
        while (self._sent < len(self.chunks) or self._asked < self.waits()) and self._monotonic() < until:
            self._since = -math.inf  # nothing more is gathered
            job = self.job()
            if job is None:
                return
            job()()

    # ── the join ──

    def settle(self) -> list[Pairs]:
        """Tells what came back."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
        found: list[Pairs] = []
        for outcome in outcomes:
            self.revision += 1
            found += self._meet(outcome.met)
            found += self._looked_up(outcome)
            if outcome.polled is not None:
                self._told(outcome.polled, outcome.told)
            with self._lock:
                self._forget(outcome)
        return found

    def _meet(self, met: list[bytes]) -> list[Pairs]:
        """Predictions whose label came before them, to any replica."""
        told = {*self.claims, *self.planned, *self.done} if met else set()
        ids: list[int] = []
        bodies: list[bytes] = []
        truths: list[Rows] = []
        for held in met:
            id_ = int.from_bytes(held[:8], "little")
            if id_ in told:
                continue
            told.add(id_)
            size = int.from_bytes(held[29:31], "little")
            truth = packing.truth(held[31 : 31 + size], self.tables)
            for entry in met_entries(held):
                ids.append(id_)
                bodies.append(entry)
                truths.append(truth)
        if not ids:
            return []
        sizes = np.array([len(one) for one in bodies], dtype=np.int64)
        return self._join(Entries(np.array(ids, np.uint64), sizes, b"".join(bodies)), np.concatenate(truths))

    def _looked_up(self, outcome: Outcome) -> list[Pairs]:
        truths = self.waiting[: len(outcome.codes)]
        codes = Counter(outcome.codes.decode())
        for code, kind in _CODES.items():
            self.kept.kinds[kind] += codes[code]
        waits = truths[np.frombuffer(outcome.codes, "S1") == b"w"]
        if len(waits):
            held = np.concatenate((self.pending, waits))
            self.kept.kinds["unknown"] += max(0, len(held) - EARLY_MAX)
            self.pending = held[max(0, len(held) - EARLY_MAX) :]
        if outcome.found is None or outcome.places is None or not len(outcome.places):
            return []
        return self._join(outcome.found, truths[outcome.places["label"].astype(np.int64)])

    def _join(self, found: Entries, truths: Rows) -> list[Pairs]:
        """Claims that are told now."""
        self.claims += np.unique(found.ids).tolist()
        rows, shares, readable = packing.unpack(found, self.model, self.tables, self.tails.texts)
        self.lost += int(np.count_nonzero(~readable))
        if (truths["flags"] & BY_REQUEST).any() and "request" in (rows.dtype.names or ()):
            # Not what another request made under the same id.
            readable &= (truths["flags"] & BY_REQUEST == 0) | (alias(rows["request"]) == truths["key"])
        if not readable.any():
            return []
        return self._paired(rows[readable], truths[readable], np.exp2(shares[readable]))

    def _paired(self, rows: Rows, truths: Rows, weights: Floats) -> list[Pairs]:
        truths = truths.copy()
        self.kept.joined(rows["time"] // self.bounds.window_ns, truths["label_ns"] - rows["time"], weights)
        truths["weight"] *= weights
        return pairs_of(rows, truths, self.tables, self.bounds.window_ns)

    # ── what there is to say ──

    def points(self) -> Iterator[Point]:
        """What is exported, of all versions together. Gauges are the fleet's: every replica says the same."""
        own = of_model(self.model)
        yield from self.kept.points(self.model, self.started_ns)
        yield Point(LABELS_WAITING, self.waits() + len(self.pending), own)
        for what in ("predictions", "labels"):
            yield Point(LABEL_STORE_DROPPED, self.dropped[what], own | {"sidelight.store.rows": what}, self.started_ns)
        if self.fleet.born:
            yield Point(PREDICTIONS_WAITING, self.fleet.rows - self.fleet.labelled, own)
            yield Point(LABEL_SAMPLE, 0.5**self.share, own)
            yield Point(LABEL_STORE_SIZE, self.fleet.size, own)
        if self.fleet.predictions:
            yield Point(LABEL_COVERAGE, self.fleet.coverage(), own)

    def show(self) -> dict[str, Any]:
        """For the status and the page. Those of the fleet: waiting_predictions, coverage, sample, bytes."""
        fleet = self.fleet
        return {
            **self.kept.show(),
            "waiting_labels": self.waits() + len(self.pending),
            "waiting_predictions": fleet.rows - fleet.labelled,
            "coverage": or_none(fleet.coverage()),
            "coverage_by_window": [[index, or_none(fleet.coverage(index))] for index in sorted(fleet.windows)],
            "sample": 0.5**self.share,
            "bytes": fleet.size,
            "corrupt": self.lost,
            "store": self.link.show() | {
                "unwritten_predictions": sum(one.rows for one in self.chunks[self._sent :]),
                "dropped_predictions": self.dropped["predictions"],
                "dropped_labels": self.dropped["labels"],
                "emptied": self.emptied,
            },
        }  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes in Redis, of all replicas, roughly."""
        return self.fleet.size

    @property
    def corrupt(self) -> int:
        """Rows that could not be read."""
        return self.lost

    # ── checkpoints ──

    def dump(self) -> tuple[bytes, list[int]]:
        """What is not in Redis yet, what was told, and the counts; no files."""
        self.planned += self.claims
        self.claims = []
        with self._lock:
            self.waiting, self._fresh = np.concatenate([self.waiting, *self._fresh]), []
            return stored.dump(self), []

    def written(self) -> None:
        """What `dump` gave is stored: what it says was told may be forgotten."""
        self.revision += bool(self.planned)
        self.done += self.planned
        self.planned = []

    def load(self, blob: bytes | None) -> None:
        """Takes up a state. Raises CorruptError."""
        if blob is not None:
            stored.load(self, blob)

    def close(self) -> None:
        """Nothing is open here; the connection is everybody's."""

