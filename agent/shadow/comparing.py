"""What is held of the versions and of each two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Ints, ModelKey, Pairs, Role
from agent.shadow.answers import ANSWER, Beside
from agent.shadow.deciding import Decision, Opinion
from agent.shadow.losses import Sums
from agent.shadow.waiting import Waiting

LOSS = np.dtype([("loss", "<f8"), ("weight", "<f8")])
ANSWER_SLOTS, LOSS_SLOTS = 1 << 12, 1 << 14  # labels are few and dear
ANSWER_SECONDS = 86_400  # a shadow may answer at night what was asked by day
LOSS_SECONDS = 30 * 86_400
SEGMENTS_MAX = 50
Rows = npt.NDArray[np.void]
NO_LABEL = Opinion(Decision.NOT_YET, "no label of both versions yet", True)


@dataclass(slots=True)
class Version:
    """place: its number, in the order in which they were first seen; traffic: decaying count of records; alone: its own
    losses; offered: labels of the sample that the other versions' could have met."""

    key: ModelKey
    place: int
    rows: int = 0
    traffic: float = 0.0
    seen: int = -1
    offered: int = 0
    alone: Sums = field(default_factory=lambda: Sums(1))
    in_use: bool = True  # not retired; told at every start
    compared: bool = True  # of more than are held some are left out

    @property
    def named(self) -> str:
        """For people.

        >>> Version(ModelKey("eta", "7", Role.SHADOW), 0).named
        'version 7 (shadow)'
        """
        role = " (shadow)" if self.key.role is Role.SHADOW else ""
        beside = f" at {self.key.deployment}" if self.key.deployment else ""
        return f"version {self.key.version or 'without a name'}{beside}{role}"


@dataclass(slots=True)
class Comparison:
    """Of two versions, the one with the lower place first.

    now: the open window; newest: the last one that had any; before: all windows until then. sums: of all labels; since:
    of those since the last decision; decisions: so far, also those that said the same again. segments: "key=value" ->
    float64 (4,): labels, weight, both weighted losses. said: the champion's place and the decision told last.
    """

    now: Beside = field(default_factory=Beside)
    newest: Beside = field(default_factory=Beside)
    before: Beside = field(default_factory=Beside)
    sums: Sums = field(default_factory=lambda: Sums(2))
    since: Sums = field(default_factory=lambda: Sums(2))
    decisions: int = 0
    segments: dict[str, Floats] = field(default_factory=dict)
    said: tuple[int, Decision] | None = None
    opinion: Opinion = NO_LABEL

    def answered(self, theirs: Rows, own: Rows, in_order: bool) -> None:
        """in_order: theirs are the first version's."""
        self.now.add(*((theirs, own) if in_order else (own, theirs)))

    def labelled(self, window: int, theirs: Rows, own: Rows, in_order: bool) -> None:
        first, second = (theirs, own) if in_order else (own, theirs)
        for sums in (self.sums, self.since):
            sums.add(window, np.sqrt(first["weight"] * second["weight"]), first["loss"], second["loss"])

    def by_segment(self, pairs: Pairs, at: Ints, theirs: Rows, own: Rows, in_order: bool) -> None:
        """What the same labels say of each part of the traffic; beyond so many parts nothing is held."""
        first, second = (theirs, own) if in_order else (own, theirs)
        weights = np.sqrt(first["weight"] * second["weight"])
        for key, places in pairs.segments.items():
            chosen = places[at]
            for place in np.unique(chosen[chosen >= 0]).tolist():
                name = f"{key}={pairs.names[place]}"
                if name not in self.segments and len(self.segments) >= SEGMENTS_MAX:
                    continue
                here = chosen == place
                w = weights[here]
                sums = (here.sum(), w.sum(), w @ first["loss"][here], w @ second["loss"][here])
                self.segments[name] = self.segments.get(name, np.zeros(4)) + sums

    def decided(self, champion: Version, decision: Decision) -> None:
        """What comes is a new comparison: a world that turned is not outvoted by all that was before."""
        self.said, self.since, self.decisions = (champion.place, decision), Sums(2), self.decisions + 1

    def roll(self) -> None:
        """The open window is over."""
        if self.now.pairs:
            self.before.join(self.newest)
            self.newest, self.now = self.now, Beside()


@dataclass(slots=True)
class State:
    """Everything that is stored. left_out: versions in use that are not compared; places: given so far; loss: by what
    versions are compared, "" not known yet; started_ns: when the first batch came, 0 before. champions: by tenant;
    tenants are not compared with each other."""

    versions: list[Version] = field(default_factory=list)
    left_out: list[Version] = field(default_factory=list)
    places: int = 0
    closed: int = -1
    loss: str = ""
    started_ns: int = 0
    champions: dict[str, Version] = field(default_factory=dict)
    compared: dict[tuple[int, int], Comparison] = field(default_factory=dict)
    answers: Waiting = field(default_factory=lambda: Waiting(ANSWER, ANSWER_SLOTS, ANSWER_SECONDS))
    losses: Waiting = field(default_factory=lambda: Waiting(LOSS, LOSS_SLOTS, LOSS_SECONDS))

    def beside(self, version: Version) -> list[Version]:
        """The others of its tenant."""
        return [one for one in self.versions if one is not version and one.key.tenant == version.key.tenant]

    def missed(self) -> list[Version]:
        """Those left out that there is something to compare with."""
        known = Counter(one.key.tenant for one in (*self.versions, *self.left_out) if one.in_use)
        return [one for one in self.left_out if known[one.key.tenant] > 1]

    def between(self, one: Version, other: Version) -> Comparison:
        places = (min(one.place, other.place), max(one.place, other.place))
        found = self.compared.get(places)
        if found is None:
            found = self.compared[places] = Comparison()
        return found

    def challenges(self) -> Iterator[tuple[Version, Version, Comparison, bool]]:
        """Champion, each challenger in use, what is held of both, and whether the champion stands second in it.

        A version that was in shadow before it was champion does not challenge itself; of one in two roles the newer one
        does.
        """
        for champion in sorted(self.champions.values(), key=lambda one: one.place):
            newest: dict[str, Version] = {}
            rivals = [one for one in self.beside(champion) if one.in_use]
            for version in sorted(rivals, key=lambda one: (one.seen, one.place)):
                newest[version.key.version] = version
            newest.pop(champion.key.version, None)
            for version in sorted(newest.values(), key=lambda one: one.place):
                yield champion, version, self.between(champion, version), champion.place > version.place

    def begin_anew(self) -> None:
        """Another loss is asked for: what was summed of the one before says nothing."""
        self.loss, self.losses = "", Waiting(LOSS, LOSS_SLOTS, LOSS_SECONDS)
        for version in self.versions:
            version.alone, version.offered = Sums(1), 0
        for held in self.compared.values():
            held.sums, held.since, held.segments = Sums(2), Sums(2), {}
            held.said, held.opinion, held.decisions = None, NO_LABEL, 0

    def drop(self, version: Version) -> None:
        self.versions.remove(version)
        self.answers.forget(version.place)
        self.losses.forget(version.place)
        self.compared = {places: held for places, held in self.compared.items() if version.place not in places}
        self.champions = {tenant: champion for tenant, champion in self.champions.items() if champion is not version}
