"""The reference's own performance, block by block: made by `sidelight reference build --label`, read by the agent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.errors import CorruptError
from agent.packed import pack, unpack
from agent.performance.form import MEANS, MOMENTS, VALUE_MAX, Form
from agent.performance.outcomes import Outcomes, count, count_losses
from agent.performance.seen import ClassPlaces, Seen, see
from agent.performance.slices import SLICES_MAX, Slices
from agent.performance.stored import dense, form_head, form_of, outcomes_arrays, outcomes_of, sparse
from agent.records import Floats, Ints, Pairs, Task
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.profile import Reference

KEY = "performance"
BLOCKS_MAX, SEGMENT_BLOCKS_MAX = 1024, 256  # the newest: more would say no more of how windows differ


@dataclass(frozen=True)
class Section:
    """form: its threshold is what the predictions themselves show, where they came with scores. whole: of all rows;
    parts: float64 (segments, coarse size); blocks, part_blocks: (1 or segments, blocks, tested, 6), oldest first."""

    form: Form
    classes: tuple[str, ...]
    segments: tuple[str, ...]
    whole: Outcomes
    parts: Floats
    blocks: Floats
    part_blocks: Floats

    def to_bytes(self) -> bytes:
        head = form_head(self.form) | {
            "classes": self.classes, "segments": self.segments, "blocks": self.blocks.shape[1],
            "part_blocks": self.part_blocks.shape[1],
        }  # fmt: skip
        arrays = {**outcomes_arrays(self.whole), **sparse("parts", self.parts), **sparse("blocks", self.blocks)}
        return pack(head, arrays | sparse("part_blocks", self.part_blocks), level=6)

    @classmethod
    def from_bytes(cls, body: bytes) -> Section:
        """Raises CorruptError."""
        head, arrays = unpack(body, f"reference: section {KEY}")
        form = form_of(head)
        try:
            classes, segments = (tuple(str(name) for name in head[key]) for key in ("classes", "segments"))
            blocks, parts = int(head["blocks"]), int(head["part_blocks"])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"section {KEY}: {type(error).__name__}") from error
        if not (0 <= blocks <= BLOCKS_MAX and 0 <= parts <= SEGMENT_BLOCKS_MAX and len(segments) <= SLICES_MAX):
            raise CorruptError(f"section {KEY}: {blocks} blocks of {len(segments)} segments")
        each, count_ = (len(form.tested), MOMENTS), len(segments)
        return cls(
            form, classes, segments, outcomes_of(form, arrays), dense("parts", arrays, (count_, form.coarse.size)),
            dense("blocks", arrays, (1, blocks, *each)), dense("part_blocks", arrays, (count_, parts, *each)),
        )  # fmt: skip

    @classmethod
    def of(cls, reference: Reference | None) -> Section | None:
        """The reference's, where it was built with labels. Raises CorruptError."""
        body = None if reference is None else reference.section(KEY)
        return None if body is None else cls.from_bytes(body)


@dataclass
class Performing:
    """The builder of the section. Memory: 100 bytes a block, 25 kB a segment."""

    settled: Settled
    key: str = KEY
    _form: Form | None = None
    _places: ClassPlaces = field(default_factory=lambda: ClassPlaces([]))
    _slices: Slices = field(default_factory=Slices)
    _whole: Outcomes | None = None
    _parts: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    _blocks: dict[int, Floats] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)
    _true: set[int] = field(default_factory=set)  # classes that were true, and that were said
    _said: set[int] = field(default_factory=set)
    _highest_no: float = -math.inf
    _lowest_yes: float = math.inf

    def add(self, rows: LabelledRows) -> None:
        if self.settled.task not in MEANS:
            return
        form, pairs = self._first(rows.pairs), rows.pairs
        assert self._whole is not None  # noqa: S101 - made with the form
        seen = see(form, pairs, self._places)
        self._whole.add(seen)
        self._true |= set(np.unique(pairs.actual_class).tolist()) - {-1}
        self._said |= set(np.unique(pairs.predicted_class).tolist()) - {-1}
        groups = self._slices.of(pairs)
        self._parts = _grown(self._parts, (len(self._slices.names), form.coarse.size))
        if groups:
            self._parts += count(form.coarse, seen, groups, len(self._parts))
        self._add_blocks(_by_block(form, seen, rows.position, groups, len(self._parts)))
        if form.task is Task.BINARY:
            score, said = seen.score, seen.said
            self._highest_no = max(self._highest_no, float(np.max(score[said == 0], initial=-math.inf)))
            self._lowest_yes = min(self._lowest_yes, float(np.min(score[said == 1], initial=math.inf)))

    def finish(self) -> bytes:
        if self._form is None or self._whole is None or not self._whole.rows:
            self._notes.append(self._why_not())
            return b""
        if self._said and self._true and not self._said & self._true:
            self._notes.append("no prediction is any label's word: are they written alike?")
        self._notes += _doubts(self._whole)
        blocks = sorted(self._blocks)[-BLOCKS_MAX:]
        parts = blocks[-SEGMENT_BLOCKS_MAX:]
        each, segments = (len(self._form.tested), MOMENTS), len(self._slices.names)
        whole = np.array([self._blocks[b][0] for b in blocks]).reshape(1, len(blocks), *each)
        found = np.zeros((segments, len(parts), *each))
        for i, block in enumerate(parts):
            own = self._blocks[block][1:]
            found[: len(own), i] = own
        threshold = self._lowest_yes if self._highest_no < self._lowest_yes < math.inf else math.nan
        form = replace(self._form, threshold=threshold)
        names = tuple(self._slices.names)
        return Section(form, tuple(self._places.names), names, self._whole, self._parts, whole, found).to_bytes()

    def notes(self) -> Sequence[str]:
        return tuple(self._notes)

    def _first(self, pairs: Pairs) -> Form:
        if self._form is None:
            actual = pairs.actual[np.abs(pairs.actual) <= VALUE_MAX]
            regression = self.settled.task is Task.REGRESSION and actual.size > 0
            pivot = float(actual.mean()) if regression else 0.0
            self._form = Form(self.settled.task, self.settled.positive, pivot=pivot)
            self._whole = Outcomes.empty(self._form)
            if self._form.task is Task.MULTICLASS:
                self._places.of(self.settled.classes)
        return self._form

    def _add_blocks(self, blocks: dict[int, Floats]) -> None:
        for block, losses in blocks.items():
            held = self._blocks.get(block)
            if held is None:
                self._blocks[block] = losses
            else:
                self._blocks[block] = _grown(held, losses.shape)
                self._blocks[block][: len(losses)] += losses
        old = sorted(self._blocks)[: -SEGMENT_BLOCKS_MAX - 1]
        for block in old:  # of old blocks the whole is enough
            self._blocks[block] = self._blocks[block][:1]

    def _why_not(self) -> str:
        if self.settled.task not in MEANS:
            return "the task is not known, so no performance was counted: say --task"
        return "no label met a prediction or a score: no performance was counted (--prediction, --score)"


def _by_block(form: Form, seen: Seen, position: Ints, groups: Sequence[Ints], segments: int) -> dict[int, Floats]:
    """block -> float64 (1 + segments, tested, 6): the losses of its rows, of all and by segment."""
    blocks, own = np.unique(position, return_inverse=True)
    side = 1 + segments
    each = [own * side, *(np.where(group >= 0, own * side + 1 + group, -1) for group in groups)]
    found = count_losses(form, seen, each, len(blocks) * side)
    return dict(zip(blocks.tolist(), found.reshape(len(blocks), side, *found.shape[1:]), strict=True))


def _doubts(whole: Outcomes) -> list[str]:
    undecided, *_ = whole.form.part(whole.sums, "left_out").tolist()
    means = whole.form.part(whole.sums, "means")
    if whole.form.task in (Task.BINARY, Task.MULTICLASS) and means[0, 0] == 0 and undecided:
        return ["no predicted label: accuracy has no reference (--prediction)"]
    return []


def _grown(held: Floats, shape: tuple[int, ...]) -> Floats:
    """With zeros for what is new along the first axis."""
    if len(held) >= shape[0]:
        return held
    found = np.zeros((shape[0], *shape[1:]))
    if len(held):
        found[: len(held)] = held
    return found
