"""All that follow one version's predictions and labels: made, told, asked and stored together."""

from __future__ import annotations

import json
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from agent.capture.capture import Capture
from agent.concept.follower import Concept
from agent.errors import CorruptError
from agent.estimate.follower import Estimating
from agent.fairness.follower import Fairness
from agent.following import About, Follower
from agent.performance.follower import Performance
from agent.records import Batch, Closed, Event, Finding, Floats, ModelKey, Pairs
from agent.shadow.shadow import Shadow
from agent.staleness.follower import Staleness
from agent.telemetry import FOLLOWER_FAILURES, Point

# Of each version; a later one is told what those before found.
OWN: tuple[Callable[[], Follower], ...] = (Concept, Performance, Estimating, Fairness, Staleness, Capture)
EVERY_SEGMENT = (Fairness.name, Capture.name)  # they choose by options of their own
ANY_LENGTH = (Capture.name,)  # take up what they held of windows of another length
SHARED: tuple[Callable[[], Follower], ...] = (Shadow,)  # of all versions of a model together
WINDOWS = "windows"
MODEL = "sidelight.model.name"
PLACES_MAX = 3  # of an error: the innermost calls
WEIGHT_MIN, WEIGHT_MAX = 1e-9, 1e9  # squares of more, times a number's fourth power, are no numbers
log = logging.getLogger("sidelight.followers")
T = TypeVar("T")


@dataclass(slots=True)
class Followers:
    """Of one version. One that fails is logged and counted, and the others go on.

    labelled_in: windows in which labels came and that are not over. closed_below: windows below this one are; labels
    that come late count in the newest. revision: rises with every change. segments: keys that the operator chose: no
    value of another one is counted apart, or leaves by name, whatever senders send. failures: by follower and step,
    since the agent's start. window_ns: the length of the windows that these indices count; of all versions together
    the one it began with, in which windows of other lengths are told, too.
    """

    members: tuple[Follower, ...] = field(default_factory=lambda: tuple(make() for make in OWN))
    labelled_in: set[int] = field(default_factory=set)
    closed_below: int = 0
    revision: int = 0
    segments: tuple[str, ...] = ()
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    whole: bool = False  # of all versions of a model
    own: dict[str, str] = field(default_factory=dict)  # the version's attributes, or the model's
    window_ns: int = 0
    lengths: dict[ModelKey, int] = field(default_factory=dict)  # of all versions' windows, where these are whole

    @classmethod
    def shared(cls) -> Followers:
        """Those that look at all versions of a model."""
        return cls(tuple(make() for make in SHARED), whole=True)

    def prepare(self, about: About) -> None:
        self.segments = about.settings.segments
        own = about.key.attributes()
        self.own = {MODEL: own[MODEL]} if self.whole else own
        if self.whole:
            self.lengths[about.key] = about.window_ns
        if not self.whole or not self.window_ns:
            self.window_ns = about.window_ns
        self._each("prepare", lambda one: one.prepare(about))

    def predicted(self, batch: Batch, index: int) -> None:
        if batch.weights is not None and (sound := weighed(batch.weights)) is not batch.weights:
            batch = replace(batch, weights=sound)
        index = self._in_own(index, batch.model)
        self._each("predicted", lambda one: one.predicted(batch, index))

    def labelled(self, pairs: Pairs, index: int) -> None:
        index = max(self._in_own(index, pairs.model), self.closed_below)
        if (sound := weighed(pairs.weights)) is not pairs.weights:
            pairs = replace(pairs, weights=sound)
        self.labelled_in.add(index)
        chosen = replace(pairs, segments={key: pairs.segments[key] for key in self.segments if key in pairs.segments})
        self._each("labelled", lambda one: one.labelled(pairs if one.name in EVERY_SEGMENT else chosen, index))

    def _in_own(self, index: int, key: ModelKey) -> int:
        """The window in which the version's window `index` begins: references may differ in how long windows are."""
        length = self.lengths.get(key, self.window_ns) if self.whole else self.window_ns
        return index if length == self.window_ns else index * length // self.window_ns

    def due(self, upto: int) -> list[int]:
        """Windows before `upto` that had labels and were not closed, oldest first."""
        return sorted(index for index in self.labelled_in if index < upto)

    def close(
        self, index: int, recent: Sequence[Closed], end_ns: int, others: Sequence[Finding] = ()
    ) -> Iterator[list[Finding]]:
        """The findings of one window's end, follower by follower and step by step. others: what was found otherwise."""
        if self.whole and self.window_ns:
            index = end_ns // self.window_ns - 1
            self.labelled_in = {i for i in self.labelled_in if i > index}
        self.labelled_in.discard(index)
        self.closed_below = max(self.closed_below, index + 1)
        self.revision += 1
        told = list(others)
        for one in self.members:
            beside = getattr(one, "beside", None)
            if beside is not None:
                self._try(one, "beside", partial(beside, told))
            for found in self._steps(one, index, recent, end_ns):
                told += found
                yield found

    def _steps(
        self, one: Follower, index: int, recent: Sequence[Closed], end_ns: int
    ) -> Iterator[list[Finding]]:
        closing = getattr(one, "closing", None)
        if closing is None:
            yield self._try(one, "close", partial(one.close, index, recent, end_ns)) or []
            return
        steps = self._try(one, "close", partial(closing, index, recent, end_ns))
        while steps is not None and (found := self._try(one, "close", partial(next, steps, None))) is not None:
            yield found

    def points(self) -> Iterator[Any]:
        for one in self.members:
            points = self._try(one, "points", one.points)
            while points is not None and (point := self._try(one, "points", partial(next, points, None))) is not None:
                yield point
        failed: Counter[str] = Counter()
        for (name, _), times in self.failures.items():
            failed[name] += times
        for name, times in failed.items():
            yield Point(FOLLOWER_FAILURES, times, {**self.own, "sidelight.follower": name})

    def events(self) -> list[Event]:
        return [event for one in self.members for event in self._try(one, "events", one.events) or ()]

    def show(self) -> dict[str, Any]:
        """By follower, what it has to show; nothing of those that have nothing."""
        return {one.name: shown for one in self.members if (shown := self._try(one, "show", one.show))}

    def dump(self) -> dict[str, bytes]:
        """By name: every follower's state, and under "windows" which of them are open. What fails stays as stored."""
        held = {"labelled_in": sorted(self.labelled_in), "closed_below": self.closed_below, "window_ns": self.window_ns}
        windows = json.dumps(held).encode()
        dumped = {one.name: self._try(one, "dump", one.dump) for one in self.members}
        return {WINDOWS: windows, **{name: blob for name, blob in dumped.items() if blob is not None}}

    def load(self, stored: Callable[[str], bytes | None], window_ns: int = 0, of: str = "") -> int:
        """stored: a follower's state by its name. window_ns: of the windows from now on, 0: as they were. of: whose it
        is, for the log. Returns how many were corrupt; these are as new.

        Windows of another length are no measure of these, and their indices come sooner or later than these: what
        was held of them is dropped, as their counts are.
        """
        corrupt, self.window_ns = 0, window_ns
        for name, load in ((WINDOWS, self._load_windows), *((one.name, one.load) for one in self.members)):
            if self._other(window_ns) and name not in (WINDOWS, *ANY_LENGTH):
                continue
            try:
                blob = stored(name)
                if blob is not None:
                    load(blob)
            except (CorruptError, ValueError) as error:
                corrupt += 1
                log.warning("state_blob_dropped follower=%s error=%s", name, error)
            except Exception as error:  # one that stumbles over its state must not keep the agent from starting
                corrupt += 1
                log.error("state_blob_dropped follower=%s %s", name, _where(error))
        if self._other(window_ns):
            log.warning(
                "followed_anew %s window_seconds=%g before=%g: what labels showed is counted from now on",
                of,
                window_ns / 1e9,
                self.window_ns / 1e9,
            )
            self.labelled_in, self.closed_below, self.window_ns = set(), 0, window_ns
        return corrupt

    def _other(self, window_ns: int) -> bool:
        """Whether what is held is of windows of another length than this."""
        return not self.whole and window_ns not in (0, self.window_ns)

    def _load_windows(self, blob: bytes) -> None:
        try:
            held = json.loads(blob)
            window_ns = max(0, int(held.get("window_ns", 0)))
            self.labelled_in, self.closed_below = {int(i) for i in held["labelled_in"]}, int(held["closed_below"])
            self.window_ns = window_ns or self.window_ns
        except (KeyError, TypeError, RecursionError) as error:
            raise CorruptError(f"windows of labels: {type(error).__name__}") from error

    def _each(self, step: str, do: Callable[[Follower], None]) -> None:
        self.revision += 1
        for one in self.members:
            self._try(one, step, partial(do, one))

    def _try(self, one: Follower, step: str, do: Callable[[], T]) -> T | None:
        """What it gives, or None where it fails: counted, and logged at the first, second, fourth, … time."""
        try:
            return do()
        except Exception as error:
            self.failures[one.name, step] += 1
            times = self.failures[one.name, step]
            if times & (times - 1) == 0:
                log.error("follower_failed follower=%s step=%s times=%d %s", one.name, step, times, _where(error))
            return None


def _where(error: Exception) -> str:
    """Kind and place of an error. Not its message: that may hold a value, which must not leave."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-PLACES_MAX:]]
    return f"error={type(error).__name__} at={'>'.join(places)}"


def weighed(weights: Floats) -> Floats:
    """Weights that can be squared and added up: what is none (NaN, 0, negative, infinite) counts as one row, others
    are held within 1e-9 to 1e9. The same array where all are sound.

    >>> weighed(np.array([2.0, 0.0, -1.0, np.nan, np.inf, 1e300])).tolist()
    [2.0, 1.0, 1.0, 1.0, 1.0, 1000000000.0]
    """
    if not weights.size or (weights.min() >= WEIGHT_MIN and weights.max() <= WEIGHT_MAX):
        return weights
    return np.where(np.isfinite(weights) & (weights > 0.0), np.clip(weights, WEIGHT_MIN, WEIGHT_MAX), 1.0)
