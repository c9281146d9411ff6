"""The follower "estimate": how good a version probably is, window by window, before any label comes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import xxhash

from agent.errors import CorruptError
from agent.estimate import calibrating, loss
from agent.estimate.expected import Estimate
from agent.estimate.judge import CHECK, RATES, WORDS, Judge
from agent.estimate.methods import ByLosses, ByScores, Method
from agent.estimate.validity import (
    TALLY,
    TRUTH_WINDOWS,
    Belief,
    Realised,
    Support,
    Validity,
    against_labels,
    moved,
    unknown,
    whole,
)
from agent.following import About
from agent.ledger import HORIZONS
from agent.packed import pack, unpack
from agent.records import Batch, Closed, Event, Finding, Floats, Pairs, Task
from agent.reference.profile import Reference
from agent.steps import sliced
from agent.telemetry import ESTIMATE_BELIEVED, ESTIMATED, Point

KEPT = HORIZONS[-1]  # closed windows that are judged
REMEMBERED = 512  # closed windows kept of a regression: its labels are held against their window's estimate
OPEN_MAX = 64  # windows in which predictions may come; the oldest goes first
NORMAL_95 = 1.959964
T = TypeVar("T")
TITLE = "Performance, estimated without labels"
WITHOUT = "the reference was built without labels, or without scores (--label, --score or --prediction)"


@dataclass(frozen=True, slots=True)
class _Ready:
    """What a reference lends. key: of the bins, trees and windows whose sums may be added up."""

    method: Method
    judge: Judge
    support: Support
    window_ns: int
    key: str
    of_version: str

    @classmethod
    def of(cls, reference: Reference, task: Task, window_ns: int) -> _Ready | None:
        """None where the reference knows of no labels. Raises CorruptError."""
        method: Method | None = None
        calibration = calibrating.read(reference)
        if calibration is not None:
            method = ByScores(calibration)
        elif (model := loss.read(reference)) is not None:
            method = ByLosses(model, reference.layout, task or Task(reference.task))
        if method is None:
            return None
        state = xxhash.xxh3_64(str(window_ns).encode())
        for key in (calibrating.KEY, loss.KEY):
            state.update(reference.section(key) or b"")
        judge = Judge(method, window_ns / 1e9 / reference.layout.window_seconds)
        return cls(method, judge, Support(reference), window_ns, state.hexdigest(), reference.version)


class Estimating:
    """Memory: 24 closed windows and those open, of (3 + classes x bins) floats each: 100 kB of a binary model, 13 kB
    for each class of another, 25 kB of a regression."""

    name = "estimate"

    def __init__(self) -> None:
        self._about: About | None = None
        self._ready: _Ready | None = None
        self._why = ""
        self._told: Sequence[Finding] = ()
        self._anew("")

    def _anew(self, key: str) -> None:
        """Sums of another reference's bins cannot be added to."""
        self._key = key
        self._open: dict[int, Floats] = {}
        self._closed: dict[int, Floats] = {}
        self._unbelieved: set[int] = set()  # of the closed ones
        self._truths: dict[int, Floats] = {}
        self._estimates: dict[str, Estimate] = {}
        self._validity = Validity()

    # ── what it is told ──

    def prepare(self, about: About) -> None:
        before, self._about = self._about, about
        if before is not None and _basis(before) == _basis(about):
            return
        self._ready, self._why = None, ""
        if about.reference is None:
            return
        try:
            self._ready = _Ready.of(about.reference, about.task, about.window_ns)
        except CorruptError as error:
            self._why = str(error)
            return
        if self._ready is None:
            self._why = WITHOUT
        elif self._ready.key != self._key:
            self._anew(self._ready.key)

    def predicted(self, batch: Batch, index: int) -> None:
        if self._ready is None:
            return
        sums = self._open.get(index)
        if sums is None:
            if len(self._open) >= OPEN_MAX:
                del self._open[min(self._open)]
            sums = self._open[index] = np.zeros(self._ready.method.size)
        newest = self._closed.get(max(self._closed, default=0))
        self._ready.method.count(batch, sums, 0.0 if newest is None else float(newest[0]))

    def labelled(self, pairs: Pairs, index: int) -> None:
        if self._ready is None:
            return
        tally = self._ready.method.tally(pairs, self._ready.window_ns, self._sums_of)
        held = self._truths.get(index)
        self._truths[index] = tally if held is None else held + tally
        while len(self._truths) > TRUTH_WINDOWS:
            del self._truths[min(self._truths)]

    def beside(self, findings: Sequence[Finding]) -> None:
        """What else was found of the window that is closed next."""
        self._told = findings

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        return [finding for part in self.closing(index, recent, end_ns) for finding in part]

    def closing(self, index: int, recent: Sequence[Closed], end_ns: int) -> Iterator[list[Finding]]:
        """In steps. Nothing of windows without a prediction."""
        told, self._told = self._told, ()
        ready, about = self._ready, self._about
        if ready is None or about is None or index not in self._open:
            return
        for earlier in [each for each in self._open if each < index]:  # whose rows came too late to be closed
            del self._open[earlier]
        sums = self._closed[index] = self._open.pop(index)
        while len(self._closed) > (REMEMBERED if isinstance(ready.method, ByLosses) else KEPT):
            del self._closed[min(self._closed)]
        newest = recent[-1] if recent and recent[-1].index == index else None
        self._estimates = yield from sliced(ready.method.estimating(sums))
        yield []
        self._validity = whole([*self._believed(ready, sums, told), *_of_others(ready, newest, about)])
        yield []
        self._unbelieved = {each for each in self._unbelieved if each in self._closed}
        if self._validity.belief is Belief.NO:
            self._unbelieved.add(index)
        windows = [self._pooled(each, index) for each in sorted(self._closed)[-KEPT:]]
        yield from ready.judge.judging(windows, about.ledger.alpha(CHECK, 0), index, self._validity)

    # ── what it tells ──

    def points(self) -> Iterator[Point]:
        if self._about is None or not self._estimates:
            return
        shared = self._about.key.attributes()
        for metric, found in self._estimates.items():
            for statistic, value in _interval(metric, found).items():
                if math.isfinite(value):
                    said = {"sidelight.performance.metric": metric, "sidelight.statistic": statistic}
                    yield Point(ESTIMATED, value, {**shared, **said})
        if (told := self._realised()) is not None:
            for statistic, value in (("realised", told[1].shown), ("estimated_of_realised", told[1].estimated)):
                said = {"sidelight.performance.metric": told[0], "sidelight.statistic": statistic}
                yield Point(ESTIMATED, value, {**shared, **said})
        yield Point(ESTIMATE_BELIEVED, self._validity.belief.figure, shared)

    def events(self) -> list[Event]:
        return []

    def show(self) -> dict[str, Any]:
        if self._ready is None:
            return {"title": TITLE, "lines": [], "note": self._why} if self._why else {}
        usual, shares = self._ready.judge.usual, not isinstance(self._ready.method, ByLosses)
        told = self._estimates.items()
        lines = [_line(name, found, usual, shares) for name, found in told if math.isfinite(found.value)]
        if (known := self._realised()) is not None:
            lines.insert(1, _realised_line(*known, shares))
        note = self._validity.words() if lines else "no window with predictions has closed yet"
        return {"title": TITLE, "lines": lines, "note": note, "believed": str(self._validity.belief)}

    def dump(self) -> bytes:
        groups = {"open": self._open, "closed": self._closed, "truths": self._truths}
        arrays = {name: np.array(list(group.values()) or np.zeros((0, 0))) for name, group in groups.items()}
        unbelieved = sorted(self._unbelieved)
        head = {"key": self._key, "unbelieved": unbelieved, **{name: list(group) for name, group in groups.items()}}
        return pack(head, arrays)

    def load(self, stored: bytes) -> None:
        self._anew("" if self._ready is None else self._ready.key)
        head, arrays = unpack(stored, "estimate")
        try:
            held = [_windows(head[name], arrays[name]) for name in ("open", "closed", "truths")]
            _check(held, None if self._ready is None else self._ready.method.size)
            key, unbelieved = str(head["key"]), {int(index) for index in head.get("unbelieved", ())}
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"estimate: {error}") from error
        if self._ready is None or key == self._key:  # else of a reference that is not in use any more
            self._key = key
            self._open, self._closed, self._truths = held
            self._unbelieved = unbelieved & held[1].keys()

    # ── inside ──

    def _pooled(self, window: int, newest: int) -> Floats:
        """A window's sums as longer horizons add them up: one that was not believed says nothing later either."""
        sums = self._closed[window]
        return np.zeros_like(sums) if window in self._unbelieved and window != newest else sums

    def _sums_of(self, index: int) -> Floats | None:
        found = self._closed.get(index)
        return self._open.get(index) if found is None else found

    def _believed(self, ready: _Ready, sums: Floats, told: Sequence[Finding]) -> list[Validity]:
        method = ready.method
        parts = [unknown(method.rows(sums)[2], method.unknown_words), moved(told)]
        parts.append(unknown(method.outside(sums), "have a score beyond the reference's"))
        if self._truths:
            metric = method.past.metrics[0]
            parts.append(against_labels(self._tally(), WORDS[metric], ready.judge.prior(metric), metric in RATES))
        return parts

    def _tally(self) -> Floats:
        return np.asarray(np.sum(list(self._truths.values()), axis=0))

    def _realised(self) -> tuple[str, Realised] | None:
        """The first metric of predictions whose label came in the newest windows with labels; None: no label came."""
        if self._ready is None or not self._truths:
            return None
        metric = self._ready.method.past.metrics[0]
        found = Realised.of(self._tally(), metric in RATES)
        return None if found is None else (metric, found)


def _of_others(ready: _Ready, newest: Closed | None, about: About) -> Iterator[Validity]:
    """Of the cells of the window, and of whose reference it is."""
    if newest is not None:
        yield ready.support.judge(newest.counts, newest.rows)
    if ready.of_version != about.key.version:
        said = f"the reference is version {ready.of_version}'s, whose scores may mean something else"
        yield Validity(Belief.DOUBTFUL, (said,))


def _basis(about: About) -> tuple[int, int, Task]:
    return id(about.reference), about.window_ns, about.task


def _windows(indices: Sequence[Any], sums: np.ndarray) -> dict[int, Floats]:
    return {int(index): own.astype(np.float64) for index, own in zip(indices, sums, strict=True)}


def _check(held: Sequence[dict[int, Floats]], size: int | None) -> None:
    """open, closed and truths. Raises ValueError."""
    sizes = {len(sums) for group in held[:2] for sums in group.values()}
    if len(sizes) > 1 or any(len(tally) != TALLY for tally in held[2].values()):
        raise ValueError("sums of several sizes")
    if size is not None and sizes - {size}:
        raise ValueError("sums of another size")
    if len(held[0]) > OPEN_MAX or len(held[1]) > REMEMBERED or len(held[2]) > TRUTH_WINDOWS:
        raise ValueError("too many windows")
    if not all(np.isfinite(sums).all() for group in held for sums in group.values()):
        raise ValueError("a sum that is no number")


def _interval(metric: str, found: Estimate) -> dict[str, float]:
    """Value, and 95 % limits within what is possible, where known."""
    far = NORMAL_95 * found.error
    highest = math.inf if metric in loss.UNBOUNDED else 1.0
    if not math.isfinite(far):
        return {"value": found.value}
    return {"value": found.value, "lower": max(found.value - far, 0.0), "upper": min(found.value + far, highest)}


def _realised_line(metric: str, found: Realised, share: bool) -> dict[str, Any]:
    """What labels showed, beside what had been estimated of the same predictions, as far as chance lets it differ."""
    far = NORMAL_95 * found.error
    note = f"of {found.rows} predictions whose label came, {found.estimated:.3g} ± {far:.2g} was estimated"
    return {"name": f"{WORDS[metric]}, as labels show it", "value": found.shown, "unit": "share" if share else "number",
            "note": note}  # fmt: skip


def _line(metric: str, found: Estimate, usual: dict[str, float], share: bool) -> dict[str, Any]:
    bounds = _interval(metric, found)
    is_share = share or metric not in loss.UNBOUNDED
    line: dict[str, Any] = {"name": WORDS[metric], "value": found.value, "unit": "share" if is_share else "number"}
    if "upper" in bounds:
        line |= {"low": bounds["lower"], "high": bounds["upper"]}
    if metric in usual:
        line["expected"] = usual[metric]
    return line
