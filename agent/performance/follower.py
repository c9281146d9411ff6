"""Follows one version's performance: counts joined labels, judges a drop when a window ends, says how good it is."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agent.errors import CorruptError
from agent.following import About
from agent.ledger import HORIZONS
from agent.packed import join, pack, split, unpack
from agent.performance import wording
from agent.performance.exported import points, shown
from agent.performance.figures import Figures, figures
from agent.performance.form import CLASSES_MAX, MEANS, ROWS, VALUE_MAX, Form
from agent.performance.gathering import Gathering
from agent.performance.judging import Judging, Said
from agent.performance.outcomes import Outcomes
from agent.performance.section import Section
from agent.performance.seen import ClassPlaces
from agent.performance.slices import Slices
from agent.performance.stored import form_head, form_of
from agent.performance.window import Open, Past, opened_of
from agent.records import Batch, Closed, Event, Finding, Floats, Pairs, Task, Verdict
from agent.reference.profile import Reference
from agent.telemetry import Point

RING = HORIZONS[-1]  # closed windows that are kept
POOLED_STEP = 4  # windows added up in one step
OPEN_MAX = 8  # windows whose labels still come, by event time; more join the newest
BROKEN = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, MemoryError)
TOTAL = 0  # the horizon of everything since the start
CONCEPT_DRIFT = "concept_drift"  # the check that is asked before this one
_SURE = frozenset({Verdict.ALARM, Verdict.WITHIN_NOISE, Verdict.BELOW_FLOOR})


class Performance:
    """The follower `performance`. Memory: 300 kB, at most 100 kB for each of 24 windows, and 2 kB a slice and window
    that holds labels of it (100 slices at most)."""

    name = "performance"

    def __init__(self) -> None:
        self._about: About | None = None
        self._section: Section | None = None
        self._read: Reference | None = None  # what it was read from
        self._why = "nothing is known of the model yet"
        self._uncounted = 0  # pairs that came while the task was not known
        self._keys: Collection[str] | None = None  # of segments; None: all
        self._start(None)

    def _start(self, form: Form | None) -> None:
        """Empty, of this form of counts."""
        self._form = form
        self._places, self._slices = ClassPlaces([]), Slices(keys=self._keys)
        self._gathering = Gathering()
        self._open: dict[int, Open] = {}
        self._ring: list[Past] = []  # newest first
        self._total = None if form is None else Open.empty(form)
        self._judging = None if form is None else Judging(form)
        self._elsewhere, self._anew = False, False  # concept drift tells of the same wrong answers; no longer does
        self._said: list[Said] = []
        self._pooled: dict[int, Open] = {}
        self._known: dict[tuple[int, int], Figures] = {}  # by horizon and slice (0: the whole)
        self._usual: dict[int, Figures] = {}  # the reference's, by slice

    # ── what it is told ──

    def prepare(self, about: About) -> None:
        """Another task or positive label is another question: what was counted cannot answer it."""
        self._count()
        self._about = about
        self._read_section(about)
        self._look_at(about.settings.segments)
        wanted, self._why = _form(about, self._section, self._form)
        held = self._form
        if wanted is None:
            return
        if held is None or (held.task, held.positive) != (wanted.task, wanted.positive):
            self._start(wanted)
        else:
            self._form = replace(held, threshold=wanted.threshold)
        self._adopt()

    def predicted(self, batch: Batch, index: int) -> None:
        """Of a ranking, what was shown; else nothing."""
        form = self._form
        if batch.items is not None and form is not None and form.task is Task.RANKING:
            self._window(form, index).shown(batch)

    def labelled(self, pairs: Pairs, index: int) -> None:
        if self._form is None:
            self._uncounted += pairs.rows
            return
        for window, part in self._gathering.add(pairs, index):
            self._add(part, window)

    def beside(self, findings: Sequence[Finding]) -> None:
        """Told before `close`. What concept drift has told, and is over, begins anew, as after an alert of its own."""
        concept = [f for f in findings if f.check == CONCEPT_DRIFT and not f.segment and f.verdict in _SURE]
        if concept:
            tells = any(finding.alarms for finding in concept)
            self._anew, self._elsewhere = self._elsewhere and not tells, tells

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        return [finding for part in self.closing(index, recent, end_ns) for finding in part]

    def closing(self, index: int, recent: Sequence[Closed], end_ns: int) -> Iterator[list[Finding]]:
        """In steps, so that very many segments do not hold the loop."""
        self._count()
        yield []
        form, judging, about, total = self._form, self._judging, self._about, self._total
        over = [self._open.pop(i) for i in sorted(self._open) if i <= index]
        if form is None or judging is None or about is None or total is None or not over:
            return
        window = over[0]
        for other in over[1:]:
            window.join(other)
        total.join(window)
        self._ring = [Past.of(index, window), *self._ring][:RING]
        self._pooled, self._known, self._said = {}, {}, []
        if self._anew:
            judging.begin(index)
        yield []
        if window.whole.rows:
            alpha = about.ledger.alpha(wording.CHECK, 0)
            for part in judging.closing(self._labelled, len(self._slices.names), alpha):
                yield []
                self._said += part
        for _ in self._pooling():
            yield []
        yield from self._telling()
        assert total.packed  # noqa: S101 - here rather than all at once when the state is stored: it is kept
        yield []
        for _ in self._ring[0].packing():
            yield []

    # ── what it says ──

    def points(self) -> Iterator[Point]:
        about = self._about
        if about is None or self._form is None or not self._ring:
            return iter(())
        return points(about, self)

    def events(self) -> list[Event]:
        return []

    def show(self) -> dict[str, Any]:
        if self._form is None:
            return {} if not self._uncounted else shown(None, self._why, self._uncounted)
        return shown(self, self._why, self._uncounted) if self._ring or self._open else {}

    @property
    def form(self) -> Form | None:
        return self._form

    @property
    def segments(self) -> Sequence[str]:
        """Names of the slices, without the whole."""
        return self._slices.names

    @property
    def classes(self) -> Sequence[str]:
        """Of a multiclass model, in the order of their places: none ever moves."""
        return self._places.names

    @property
    def windows(self) -> int:
        """Closed windows that are kept."""
        return len(self._ring)

    @property
    def built(self) -> bool:
        """Whether there is a reference's own performance to compare with."""
        return self._section is not None

    @property
    def said(self) -> Sequence[Said]:
        """Of the newest window."""
        return self._said

    def figures(self, horizon: int, part: int = 0) -> Figures:
        """Of the newest windows with labels (TOTAL: of all since the start), of the whole or slice `part` (from 1)."""
        key = (horizon, part)
        if key not in self._known:
            self._known[key] = _figures(self._over(horizon), part, self._places.names)
        return self._known[key]

    def usual(self, part: int = 0) -> Figures | None:
        """The reference's, where it was built with labels."""
        section, name = self._section, self._slices.names[part - 1] if part else ""
        if section is None or not self._fits(section) or (name and name not in section.segments):
            return None
        if part not in self._usual:
            place = section.segments.index(name) + 1 if name else 0  # numbers of its own
            self._usual[part] = _figures(Open(section.whole, section.parts), place, section.classes)
        return self._usual[part]

    # ── what it keeps ──

    def dump(self) -> bytes:
        """Windows that did not change since are not packed again."""
        self._count()
        form, judging, total = self._form, self._judging, self._total
        if form is None or judging is None or total is None:
            return join([pack({"uncounted": self._uncounted}, {})])
        head = form_head(form) | {
            "uncounted": self._uncounted, "classes": self._places.names, "segments": self._slices.names,
            "open": sorted(self._open), "ring": [past.index for past in self._ring],
            "learned": [len(window) for window in judging.learned],
            "begins": [[*place, begin] for place, begin in sorted(judging.begins.items())],
            "well": [[*place, closes] for place, closes in sorted(judging.well.items())],
            "elsewhere": self._elsewhere,
        }  # fmt: skip
        learned = np.concatenate([np.zeros((0, len(form.tested), 6)), *judging.learned])
        opened = (self._open[index] for index in head["open"])
        windows = [total.packed, *(window.packed for window in opened), *(past.packed for past in self._ring)]
        return join([pack(head, {"learned": learned}), *windows])

    def load(self, stored: bytes) -> None:
        try:
            self._load(stored)
            if self._about is not None:  # what is known now goes before what was known then
                self.prepare(self._about)
        except (CorruptError, *BROKEN) as error:
            self._uncounted = 0
            self._start(None)
            if self._about is not None:
                self.prepare(self._about)
            raise CorruptError(f"performance: {error}") from error

    def _load(self, stored: bytes) -> None:
        first, *blobs = split(stored, self.name)
        head, arrays = unpack(first, self.name)
        self._uncounted = int(head["uncounted"])
        self._keys = None  # the state knows its own
        self._start(None)
        if "task" not in head:
            return
        form = form_of(head)
        self._start(form)
        self._places.names.extend(str(name) for name in head["classes"][:CLASSES_MAX])
        for name in head["segments"]:
            self._slices.know(str(name))
        names, opened, ring = len(self._slices.names), head["open"], head["ring"]
        if names != len(head["segments"]) or len(opened) > OPEN_MAX or len(ring) > RING:
            raise CorruptError("more windows or segments than there can be")
        total, *windows = (opened_of(form, blob, names) for blob in blobs)
        self._total = total
        split_at = len(opened)
        self._open = {int(index): window for index, window in zip(opened, windows[:split_at], strict=True)}
        self._ring = [Past.of(int(i), window) for i, window in zip(ring, windows[split_at:], strict=True)]
        assert self._judging is not None  # noqa: S101 - made with the form
        self._judging.load(head, arrays["learned"], names)
        self._elsewhere = bool(head.get("elsewhere"))
        self._adopt()

    # ── inside ──

    def _read_section(self, about: About) -> None:
        """The reference's performance; one that cannot be read is as none, and the reference is shown as it is."""
        if about.reference is self._read:
            return
        self._read = about.reference
        try:
            self._section = Section.of(about.reference)
        except CorruptError:
            self._section = None

    def _look_at(self, keys: Sequence[str]) -> None:
        """Only values of these segment keys are counted apart, and leave by name: those that the operator chose."""
        self._keys = keys
        stale = any(name.partition("=")[0] not in keys for name in self._slices.names)
        self._slices.keys = keys
        if not stale or self._form is None or self._total is None or self._judging is None:
            return
        size = len(self._slices.names)
        self._slices, kept = self._slices.of_keys(keys)
        for window in (self._total, *self._open.values()):
            window.keep(kept, size)
        self._ring = [past.kept(self._form, kept, size) for past in self._ring]
        self._judging.keep(kept.tolist())
        self._said, self._pooled, self._known = [], {}, {}

    def _adopt(self) -> None:
        """The section's classes and segments have places; it is what drops are judged by."""
        section, self._usual = self._section, {}
        if self._judging is None:
            return
        if section is not None and self._fits(section):
            self._places.of(section.classes)
            places = [self._slices.know(name) for name in section.segments]
            self._judging.adopt(section, places)
        else:
            self._judging.adopt(None, ())

    def _fits(self, section: Section) -> bool:
        """Whether it answers the same question."""
        form = self._form
        return form is not None and (section.form.task, section.form.positive) == (form.task, form.positive)

    def _count(self) -> None:
        for window, part in self._gathering.take():
            self._add(part, window)

    def _add(self, pairs: Pairs, index: int) -> None:
        form = self._form
        if form is None:
            return
        if form.task is Task.REGRESSION and not form.pivot and self._total is not None and not self._total.whole.rows:
            form = self._centred(form, pairs)
        self._window(form, index).add(pairs, self._places, self._slices)

    def _centred(self, form: Form, pairs: Pairs) -> Form:
        """True numbers are counted from the mean of the first that come."""
        known = pairs.actual[np.abs(pairs.actual) <= VALUE_MAX]
        if self._open or not known.size:
            return form
        self._form = replace(form, pivot=float(known.mean()))
        self._total = Open.empty(self._form)
        return self._form

    def _window(self, form: Form, index: int) -> Open:
        if index not in self._open and len(self._open) >= OPEN_MAX:
            index = max(self._open)
        if index not in self._open:
            self._open[index] = Open.empty(form)
        window = self._open[index]
        window.whole.form = form  # a threshold may have changed since
        return window

    @property
    def _labelled(self) -> list[Past]:
        """Closed windows with labels, newest first: a ranking has others."""
        return [past for past in self._ring if past.losses[0, :, ROWS].any()]

    def _over(self, horizon: int) -> Open:
        if horizon == TOTAL and self._total is not None:
            return self._total
        if horizon not in self._pooled:
            for _ in self._pooling():
                pass
        return self._pooled[horizon]

    def _pooling(self) -> Iterator[None]:
        """Makes what the newest windows hold together, in steps; longer horizons than there are windows hold these."""
        if self._form is None:
            return
        found, pooled = Open.empty(self._form), dict[int, Open]()
        for number, past in enumerate(self._ring, start=1):
            past.add_to(found)
            if number in HORIZONS or number == len(self._ring):
                pooled[next(h for h in HORIZONS if h >= number)] = found.copy()
                yield
            elif number % POOLED_STEP == 0:
                yield
        longest = pooled[max(pooled)] if pooled else found
        self._pooled = {size: pooled.get(size, longest) for size in HORIZONS}

    def _telling(self) -> Iterator[list[Finding]]:
        """A finding of each that is said; of a slice's first alarm what there is beside, made in steps before it."""
        alarms = [said for said in self._said if said.verdict is Verdict.ALARM]
        first = {said.slice: said for said in reversed(alarms)}
        for said in self._said:
            if said is not first.get(said.slice):
                yield [self._finding(said, [])]
                continue
            self.figures(said.windows, said.slice)  # is kept, and so is the next
            yield []
            self.usual(said.slice)
            yield []
            worst: list[tuple[int, float, float]] = []
            if not said.slice and self._judging is not None:
                worst = yield from self._judging.worst(self._labelled, said.windows, said.loss)
            yield [self._finding(said, self._more(said, worst))]

    def _finding(self, said: Said, more: Sequence[str]) -> Finding:
        form = self._form
        assert form is not None  # noqa: S101 - what is said is said of a form
        segment = self._slices.names[said.slice - 1] if said.slice else ""
        echo = bool(segment) and said.verdict is Verdict.ALARM and self._whole_fell
        said = replace(said, verdict=Verdict.MUTED) if echo else said
        windows = self._labelled[: said.windows]
        made = wording.predictions(min(past.first_ns for past in windows), max(past.last_ns for past in windows))
        told = [wording.IN_WHOLE if echo else "", wording.moved(form, said, self.built), made, said.why, *more]
        reason = "; ".join(part for part in told if part)
        return wording.finding(form, said, segment, windows[-1].index, reason)

    @property
    def _whole_fell(self) -> bool:
        """Whether all of the traffic is told to be worse, here or by concept drift: both name the worst segments."""
        return self._elsewhere or any(not said.slice and said.verdict is Verdict.ALARM for said in self._said)

    def _more(self, said: Said, worst: Sequence[tuple[int, float, float]]) -> list[str]:
        """Of an alarm: what else fell, which mistakes grew, where most; worst: slices from 0, with their losses."""
        assert self._form is not None  # noqa: S101
        now, before = self.figures(said.windows, said.slice), self.usual(said.slice)
        found = []
        if before is not None:
            subject = wording.SUBJECTS[self._form.means[self._form.tested[said.loss]]][0]
            found += [wording.others(now, before, subject), wording.which_way(now, before)]
        if not said.slice:
            names = self._slices.names
            found.append(wording.worst(self._form, said.loss, [(names[s], b, n) for s, b, n in worst]))
        return found


def _figures(window: Open, part: int, classes: Sequence[str]) -> Figures:
    """Of the whole (0), or of the slice `part` from 1."""
    if part == 0:
        return figures(window.whole, classes)
    form = window.whole.form.coarse
    empty = Outcomes.empty(form)
    sums: Floats = window.parts[part - 1] if part <= len(window.parts) else empty.sums
    return figures(Outcomes(form, sums, empty.reach), classes)


def _form(about: About, section: Section | None, held: Form | None) -> tuple[Form | None, str]:
    """How to count, and what cannot be said, with the reason. held: what is not known for a while, at a start say,
    takes nothing back."""
    reference = about.reference
    of_reference = Task(reference.task) if reference is not None and reference.task in set(Task) else Task.UNKNOWN
    task = about.task if about.task is not Task.UNKNOWN else of_reference
    if task not in MEANS:
        said = "not known" if task is Task.UNKNOWN else task.name.lower()
        how = "say it when the model is loaded, or build a reference with labels"
        return None, f"the task is {said}: no performance can be computed; {how}"
    of_section = section is not None and section.form.task is task
    positive = about.positive or (reference.positive_label if reference is not None else "")
    if not positive and held is not None and held.task is task:
        positive = held.positive
    threshold = about.threshold
    if math.isnan(threshold) and section is not None and of_section and section.form.positive == positive:
        threshold = section.form.threshold
    pivot = section.form.pivot if section is not None and of_section else 0.0
    if task is Task.BINARY and not positive:
        why = "the positive label is not known, so precision, recall and what needs scores cannot be computed"
        return Form(Task.MULTICLASS), why
    return Form(task, positive if task in (Task.BINARY, Task.RANKING) else "", threshold, pivot), ""
