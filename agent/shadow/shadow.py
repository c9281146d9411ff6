"""One model's versions beside each other: a champion, whose answers are used, and its challengers.

One of these is made for each model name, over all its versions. It compares at most `chosen.VERSIONS_MAX` of them, some
4 MiB.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agent.counting.fingerprints import Hashes
from agent.following import About
from agent.records import Batch, Closed, Event, Finding, ModelKey, Pairs
from agent.shadow import showing, stored
from agent.shadow.answers import Labels, Rows, answers
from agent.shadow.chosen import HOUR_NS, choose, crown, version_of
from agent.shadow.comparing import LOSS, Comparison, State, Version
from agent.shadow.deciding import Decision, Opinion, on_others, on_the_same, words
from agent.shadow.losses import Known, loss_of, losses
from agent.shadow.sequence import LABELS_MIN
from agent.shadow.waiting import distinct
from agent.telemetry import Point

TRAFFIC_KEPT = 0.9  # of a window's traffic in the next: who is champion is a matter of about ten windows
GATHERED_MAX = 1_024  # answers that are compared at once: far fewer than the table has places
SAMPLED_MAX = 20_000  # requests of one window whose answers are compared: enough for any mean
STANDS = "decided before, and nothing speaks against it"  # a look that once decided is as right as the first
FIRST = 6.0 / math.pi**2  # of the error goes to the first decision, of the k-th 1/k² of that: all together make it up
PAIRED_SHARE = 0.1  # of the labels on requests that both answered: with fewer, these are retries and the like


class Shadow:
    """Shaped like a Follower, with the version in `batch.model` and `pairs.model`."""

    name = "shadow"

    def __init__(self) -> None:
        self.state = State()
        self._known: dict[ModelKey, Known] = {}
        self._about: About | None = None
        self._labels = Labels()
        self._events: list[Event] = []
        self._gathered: list[tuple[Version, Hashes, Rows, int]] = []  # answers that are not compared yet
        self._rows = 0  # of them

    def prepare(self, about: About) -> None:
        """Of any of the versions, at the start and whenever something of it changed."""
        self._about = about
        self._known[about.key] = Known(about.task, about.positive, about.threshold)
        in_use = {about.key, *about.others}
        self._known = {key: known for key, known in self._known.items() if key in in_use}
        for version in (*self.state.versions, *self.state.left_out):
            version.in_use = version.key in in_use
        self.state.left_out = [version for version in self.state.left_out if version.in_use]
        for key in sorted(in_use):
            self._version(key, self.state.closed)
        if self.state.loss and about.settings.shadow_loss not in ("auto", self.state.loss):
            self.state.begin_anew()

    def predicted(self, batch: Batch, index: int) -> None:
        """Nothing is held where one version answers; of many requests a sample, where more would tell no more."""
        state, version = self.state, self._version(batch.model, index)
        state.started_ns = state.started_ns or batch.arrived_ns
        version.rows += batch.rows
        version.seen = max(version.seen, index)
        keys = batch.request_ids
        if not version.compared or keys is None or not batch.rows or not state.beside(version):
            return
        at = state.answers.sampling.choose(keys)
        if not len(at):
            return
        own = answers(batch, at, self._labels, self._known.get(batch.model, Known()).positive)
        self._gathered.append((version, keys[at], own, batch.arrived_ns // 1_000_000_000))
        self._rows += len(at)
        if self._rows >= GATHERED_MAX:
            self._compare()

    def _compare(self) -> None:
        """Compares what was gathered: numpy costs more per call than per row."""
        state, waiting, gathered = self.state, self.state.answers, self._gathered
        self._gathered, self._rows = [], 0
        for version in state.versions:
            parts = [part for part in gathered if part[0] is version]
            if not parts:
                continue
            keys, own = np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])
            at = distinct(keys)
            keys, own, second = keys[at], own[at], parts[-1][3]
            others = state.beside(version)
            met, alone = np.zeros(len(keys), dtype=bool), len(others) == 1
            for other in others:
                hits, theirs = waiting.find(other.place, keys, second, take=alone)
                if len(hits):
                    state.between(other, version).answered(theirs, own[hits], other.place < version.place)
                    met[hits] = alone
            waiting.put(version.place, own[~met], keys[~met], second)
            waiting.sampling.written += len(keys)
        if waiting.sampling.written > SAMPLED_MAX:
            waiting.sampling.fewer()

    def labelled(self, pairs: Pairs, index: int) -> None:
        """The loss of each, alone and beside the other versions' on the same request."""
        state, version = self.state, self._version(pairs.model, index)
        if not version.compared:
            return
        known = self._known.get(pairs.model, Known())
        asked = self._about.settings.shadow_loss if self._about else "auto"
        loss = state.loss or loss_of(asked, known.task, pairs)
        if not loss or not pairs.rows:
            return
        found = losses(pairs, loss, known)
        if not state.loss and np.isfinite(found).any():
            state.loss = loss
        good = np.isfinite(found) & np.isfinite(pairs.weights) & (pairs.weights > 0.0)
        version.alone.add(index, pairs.weights[good], found[good])
        if not state.beside(version):
            return
        waiting = state.losses
        version.offered += waiting.sampling.part(pairs.request_ids[good])
        at = waiting.sampling.choose(np.where(good, pairs.request_ids, np.uint64(0)))
        at = at[distinct(pairs.request_ids[at])]
        if len(at):
            self._beside(pairs, at, found[at], version, index)

    def _beside(self, pairs: Pairs, at: np.ndarray, found: np.ndarray, version: Version, index: int) -> None:
        state, waiting = self.state, self.state.losses
        keys, second = pairs.request_ids[at], int(pairs.label_ns.max() // 1_000_000_000)
        own = np.empty(len(at), dtype=LOSS)
        own["loss"], own["weight"] = found, pairs.weights[at]
        others = state.beside(version)
        met, alone = np.zeros(len(at), dtype=bool), len(others) == 1  # then it waits for nobody else
        for other in others:
            hits, theirs = waiting.find(other.place, keys, second, take=alone)
            if len(hits):
                comparison = state.between(other, version)
                comparison.labelled(index, theirs, own[hits], other.place < version.place)
                comparison.by_segment(pairs, at[hits], theirs, own[hits], other.place < version.place)
                met[hits] = alone
        waiting.put(version.place, own[~met], keys[~met], second)
        waiting.sampling.written += len(keys)

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        """The look: once for each window, whichever version's end comes first."""
        state = self.state
        if index <= state.closed:
            return []
        state.closed = index
        self._compare()
        self._settle()
        challenges = list(state.challenges())
        many = Counter(champion.place for champion, *_ in challenges)
        for champion, challenger, held, _ in challenges:
            opinion, settled = self._look(champion, challenger, held, many[champion.place])
            held.opinion = opinion
            if settled and held.said != (champion.place, opinion.decision):
                told = words(opinion, champion.named, challenger.named, state.loss)
                self._events.append(showing.event(champion, challenger, opinion, state.loss, told, index, end_ns))
            if settled:
                held.decided(champion, opinion.decision)
        return []

    def _settle(self) -> None:
        """A window is over: samples, traffic, champion, and the answers of the next window."""
        state = self.state
        state.answers.settle(SAMPLED_MAX)
        state.losses.settle()
        for comparison in state.compared.values():
            comparison.roll()
        for version in (*state.versions, *state.left_out):
            version.traffic = TRAFFIC_KEPT * version.traffic + version.rows
            version.rows = 0
        crown(state)
        choose(state, state.closed, self._window_ns)

    def _look(self, champion: Version, challenger: Version, held: Comparison, challengers: int) -> tuple[Opinion, bool]:
        """What can be said, and whether the labels since the last decision settle it, one way or the other. A decision
        stands until the opposite one."""
        assert self._about is not None  # noqa: S101 - a close comes after prepare
        settings, swapped = self._about.settings, champion.place > challenger.place
        alpha, margin = settings.shadow_error / challengers, settings.shadow_margin
        now = alpha * FIRST / (1.0 + held.decisions) ** 2
        fewer = min(champion.offered, challenger.offered)
        same = fewer < LABELS_MIN or held.sums.labels >= PAIRED_SHARE * fewer
        if same:
            found = on_the_same(held.since, swapped, now, margin)
        else:
            found = on_others(champion.alone, challenger.alone, now, margin)
        stands = held.said is not None and held.said[0] == champion.place
        if found.decision is not Decision.NOT_YET or not stands or held.said is None:
            # Versions by themselves go on as they are: only a comparison of the same requests begins anew.
            again = not same and stands and held.said is not None and held.said[1] is found.decision
            return found, found.decision is not Decision.NOT_YET and not again
        whole = on_the_same(held.sums, swapped, alpha, margin) if same else found
        return replace(whole, decision=held.said[1], reason=STANDS, needed=None), False

    def points(self) -> Iterator[Point]:
        return showing.points(self.state)

    def events(self) -> list[Event]:
        found, self._events = self._events, []
        return found

    def show(self) -> dict[str, Any]:
        return showing.show(self.state)

    def dump(self) -> bytes:
        self._compare()
        self.state.answers.enter()
        self.state.losses.enter()
        return stored.dump(self.state)

    def load(self, blob: bytes) -> None:
        self.state, self._gathered, self._rows = State(), [], 0
        self.state = stored.load(blob)

    @property
    def _window_ns(self) -> int:
        return self._about.window_ns if self._about else HOUR_NS

    def _version(self, key: ModelKey, index: int) -> Version:
        return version_of(self.state, key, index, self._window_ns)
