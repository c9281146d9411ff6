"""Follows one version's errors: gathers losses as labels come, asks the detectors when a window ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from agent.concept.bets import width_of
from agent.concept.expected import came_of, errors_of, joint
from agent.concept.findings import CHECK, findings, silent
from agent.concept.gathered import Gathered
from agent.concept.losses import WRONG, Kind, kind_of, place
from agent.concept.section import Section
from agent.concept.stored import pack, pack_open, pack_tracks, unpack, unpack_open, unpack_tracks
from agent.concept.tracks import SCALE_LABELS, Asked, Judged, Tracks
from agent.concept.wording import Inputs, Told, amount, changed, inputs_of, usual
from agent.errors import CorruptError
from agent.following import About
from agent.records import Batch, Closed, Event, Finding, Floats, Pairs, Verdict
from agent.telemetry import CONCEPT_EVIDENCE, CONCEPT_LOSS, CONCEPT_USUAL, Point

SEGMENTS_SHARE = 0.5  # of the check's false alarms, where segments are followed; each has the same part
MOVED_MAX = 32  # inputs remembered to have moved


TITLE = "Errors as they come"


class Concept:
    """The follower `concept`. Memory with all 32 segments: of a binary model .4 MB (outcomes by score, and what they
    should be), of another classifier .1; and for each window that is open 80 kB of a binary model (33 series of 305
    cells), 106 of a regression (401 cells)."""

    name = "concept"

    def __init__(self) -> None:
        self._about: About | None = None
        self._tracks: Tracks | None = None
        self._of = ""  # for which task, positive label and reference the state was counted
        self._why = ""  # nothing can be followed
        self._unusable = ""  # why the reference's errors are not
        self._open: dict[int, Gathered] = {}
        self._inputs = Inputs(False)
        self._moved: dict[str, int] = {}  # inputs -> the newest window in which they alarmed
        self._judged: Judged | None = None
        self._labels, self._missing = 0.0, 0
        self._strange, self._alike = 0.0, 0.0  # of the newest window's labels, as `Told` has them

    # ── what it is told ──

    def prepare(self, about: About) -> None:
        """Another task, positive label or labelled reference is another question: what was counted fits no more."""
        self._about = about
        kind, self._why = kind_of(about.task, about.positive)
        if kind is None and self._tracks is not None and self._of == "texts":
            return  # found by its texts, and nothing more is known now
        self._settle(kind)

    def predicted(self, batch: Batch, index: int) -> None:
        """Predictions alone say nothing of errors."""

    def labelled(self, pairs: Pairs, index: int) -> None:
        about = self._about
        if about is None:
            return
        if self._tracks is None:
            kind, _ = kind_of(about.task, about.positive, pairs)
            if kind is None:
                self._missing += pairs.rows
                return
            self._settle(kind, "texts")
        tracks = self._tracks
        assert tracks is not None  # noqa: S101 - settled above
        placed = place(pairs, tracks.kind, about.positive, about.threshold)
        if tracks.kind is Kind.BINARY:
            placed = joint(pairs, placed, about.positive)
        self._open.setdefault(index, Gathered.new(width_of(tracks.kind))).add(pairs, placed, tracks.followed)

    def beside(self, findings: Sequence[Finding]) -> None:
        """Told before `close`: what else was found of the window."""
        self._inputs = inputs_of(findings)

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        """One finding of the whole, and of segments what alarms alone. Nothing before the first label."""
        self._moved |= dict.fromkeys(self._inputs.moved, index)
        if len(self._moved) > MOVED_MAX:
            self._moved = dict(sorted(self._moved.items(), key=lambda each: -each[1])[:MOVED_MAX])
        found: list[Finding] = []
        for due in sorted(i for i in self._open if i <= index):
            found = self._judge(due, self._open.pop(due))
        if found or not (self._labels or self._missing):
            return found
        if self._tracks is None:
            return [silent(index, Verdict.NO_REFERENCE, self._why)]
        return [silent(index, Verdict.NO_DATA, "no label came")]

    def _judge(self, index: int, gathered: Gathered) -> list[Finding]:
        tracks = self._tracks
        assert tracks is not None  # noqa: S101 - else nothing was gathered
        self._missing += gathered.missing
        labels = float(gathered.weights[0].sum())
        if not labels:
            return [silent(index, Verdict.NO_DATA, f"{gathered.missing} labels, none beside a prediction to compare")]
        self._labels += labels
        if tracks.kind is Kind.BINARY:
            self._strange = float(errors_of(gathered.weights[:1])[0, WRONG]) / labels
            self._alike = labels if came_of(gathered.weights[0]) >= labels * (1.0 - 1e-9) else 0.0
        asked = self._asked()
        if asked is None:
            return [silent(index, Verdict.NO_REFERENCE, "the ledger gives concept drift no share")]
        self._judged = judged = tracks.judge(index, gathered, asked)
        if judged is None or tracks.scale is None:
            reason = f"{tracks.raw.sum():.0f} labels of {SCALE_LABELS} known, from which errors take their scale"
            return [silent(index, Verdict.LEARNING, reason)]
        change = judged.whole.change
        moved = tuple(name for name, at in self._moved.items() if change is None or at >= change.index)
        inputs = replace(self._inputs, moved=moved)
        told = Told(tracks.scale, self._about.positive if self._about else "", inputs, self._strange, self._alike)
        return findings(told, judged, asked)

    def _asked(self) -> Asked | None:
        """ln A. One step a window: A windows to a false alarm are the windows of a day over the false alarms a day that
        the ledger gives. None: it gives none."""
        if self._about is None or self._tracks is None:
            return None
        ledger, parts = self._about.ledger, len(self._tracks.followed.names) - 1
        windows = ledger.windows_per_day / budget if (budget := ledger.budget(CHECK)) > 0.0 else math.inf
        if math.isinf(windows):
            return None
        if not parts:
            return Asked(math.log(max(windows, 2.0)), math.inf)
        whole, each = windows / (1.0 - SEGMENTS_SHARE), windows * parts / SEGMENTS_SHARE
        return Asked(math.log(max(whole, 2.0)), math.log(max(each, 2.0)))

    def _settle(self, kind: Kind | None, by: str = "") -> None:
        assert self._about is not None  # noqa: S101 - prepared before
        try:
            section, self._unusable = Section.of(self._about.reference, kind), ""
        except CorruptError as error:  # of a newer version, say: the service's own first windows do
            section, self._unusable = None, str(error)
        source = self._about.reference.hash_text if section is not None and self._about.reference is not None else ""
        of = by or f"{kind}/{self._about.positive}/{source}"
        if of == self._of and self._tracks is not None:
            self._tracks.give(section)
            return
        self._of, self._open, self._judged = of, {}, None
        self._tracks = None if kind is None else Tracks(kind, section)

    # ── what is shown and kept ──

    def points(self) -> Iterator[Point]:
        judged, asked = self._judged, self._asked()
        if self._about is None or judged is None or asked is None or self._tracks is None or self._tracks.scale is None:
            return
        scale, of_model = self._tracks.scale, self._about.key.attributes()
        size = 1.0 if scale.two_valued else scale.cap
        parts = {name: (said, asked.segment) for name, (said, _) in judged.parts.items()}
        for name, (said, limit) in {"": (judged.whole, asked.whole), **parts}.items():
            attributes = {**of_model, **({"sidelight.segment": name} if name else {})}
            yield Point(CONCEPT_LOSS, float(said.mean[0]) * size, attributes)
            if said.usual is not None:
                yield Point(CONCEPT_USUAL, float(said.usual[0]) * size, attributes)
                yield Point(CONCEPT_EVIDENCE, (said.evidence - limit) / math.log(10.0), attributes)

    def events(self) -> list[Event]:
        """None: what happens is an alert's."""
        return []

    def show(self) -> dict[str, Any]:
        if not (self._labels or self._missing):
            return {}
        if self._tracks is None:
            return {"title": TITLE, "lines": [], "note": self._why}
        found: dict[str, Any] = {
            "title": TITLE, "lines": [], "labels": round(self._labels), "without_prediction": self._missing,
            "segments": len(self._tracks.followed.names) - 1,
            "usual_from": "the reference" if self._tracks.section else "the service's own first labelled windows",
        }  # fmt: skip
        if self._unusable:
            found["reference_unusable"] = self._unusable
        judged, scale = self._judged, self._tracks.scale
        if judged is None or scale is None:
            return {**found, "note": "what errors are usual is being learned"}
        said = judged.whole
        told = Told(scale, self._about.positive if self._about else "", Inputs(False), self._strange, self._alike)
        now = changed(told, said) if said.verdict is Verdict.ALARM else usual(scale, said)
        found |= {"verdict": said.verdict.value, "note": f"{now}; {told.words}" if told.words else now}
        if said.usual is not None:
            found |= {"usual": amount(scale, float(said.usual[0])), "usual_labels": said.usual_labels,
                      "overdispersion": round(said.phi, 3)}  # fmt: skip
        return found

    def dump(self) -> bytes:
        head: dict[str, Any] = {"of": self._of, "moved": self._moved, "labels": self._labels, "missing": self._missing}
        if self._tracks is None:
            return pack({**head, "tracks": None, "open": []}, ())
        tracks, own = pack_tracks(self._tracks)
        windows, counts = pack_open(self._open)
        return pack({**head, "tracks": tracks, "open": windows}, (*own, *counts))

    def load(self, stored: bytes) -> None:
        about = self._about
        self.__init__()  # type: ignore[misc]  # as new, should it raise
        try:
            self._take(*unpack(stored))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            self.__init__()  # type: ignore[misc]
            raise CorruptError(f"concept: {type(error).__name__}") from error
        finally:
            if about is not None:
                self.prepare(about)

    def _take(self, head: dict[str, Any], arrays: Sequence[Floats]) -> None:
        self._of, self._labels, self._missing = str(head["of"]), float(head["labels"]), int(head["missing"])
        self._moved = {str(name): int(at) for name, at in list(head["moved"].items())[:MOVED_MAX]}
        if head["tracks"] is None:
            return
        counts = len(arrays) - 2 * len(head["open"])
        self._tracks = unpack_tracks(head["tracks"], arrays[:counts])
        self._open = unpack_open(head["open"], arrays[counts:], width_of(self._tracks.kind))
