"""Follows one version's predictions and truths by group of each attribute in `SIDELIGHT_FAIRNESS`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent import telemetry
from agent.errors import CorruptError
from agent.fairness import showing
from agent.fairness.attribute import Attribute, chosen_of
from agent.fairness.judging import GAP, Terms, judging
from agent.fairness.outcomes import Meaning, same_meaning
from agent.fairness.past import SECTION, of_reference
from agent.following import About
from agent.packed import join, pack, split, unpack
from agent.records import Batch, Closed, Event, Finding, Pairs, Task
from agent.telemetry import Point

log = logging.getLogger("sidelight.fairness")


class Fairness:
    """Holds nothing and says nothing where no attribute is named."""

    name = "fairness"

    def __init__(self) -> None:
        self._about: About | None = None
        self._meaning = Meaning()
        self._of: dict[str, Attribute] = {}
        self._findings: dict[str, list[Finding]] = {}
        self._shown: showing.Shown | None = None
        self._closed_state: bytes | None = None

    def prepare(self, about: About) -> None:
        names = about.settings.fairness
        meaning = self._meaning.with_known(about.task, about.positive, about.threshold)
        self._about = about
        self._of = {name: self._of.get(name) or Attribute(name) for name in names}
        if not same_meaning(self._meaning, meaning):
            for attribute in self._of.values():
                attribute.restart()
            self._meaning = meaning
        for attribute in self._of.values():
            attribute.reference = self._of_reference(about, attribute)
        self._changed()

    def predicted(self, batch: Batch, index: int) -> None:
        if not self._of:
            return
        chosen = chosen_of(batch, self._meaning)
        for attribute in self._of.values():
            attribute.predicted(batch, index, chosen)

    def labelled(self, pairs: Pairs, index: int) -> None:
        for attribute in self._of.values():
            attribute.labelled(pairs, index, self._meaning)

    def close(self, index: int, recent: Sequence[Closed], end_ns: int) -> list[Finding]:
        return [finding for part in self.closing(index, recent, end_ns) for finding in part]

    def closing(self, index: int, recent: Sequence[Closed], end_ns: int) -> Iterator[list[Finding]]:
        """In steps: attribute by attribute, and each in several."""
        if not self._of or self._about is None:
            return
        terms = self._terms(self._about)
        for name, attribute in self._of.items():
            found: list[Finding] = []
            for part in judging(attribute, index, terms):
                found += part
                yield part
            self._findings[name] = found
            self._changed()

    def points(self) -> Iterator[Point]:
        if self._about is None:
            return
        own = self._about.key.attributes()
        exported = self._about.settings.fairness_groups == "export"
        for name, attribute in self._of.items():
            about = own | {"sidelight.fairness.attribute": name}
            yield from showing.row_points(attribute, about, exported)
            yield from showing.points(attribute, self._look()[name], about, exported)  # made as they are asked for
            for finding in self._findings.get(name, ()):
                if finding.p_value > 0 and finding.alpha > 0:
                    said = showing.significance(finding)
                    yield Point(telemetry.FAIRNESS_SIGNIFICANCE, said, about | {"sidelight.check": finding.check})

    def events(self) -> list[Event]:
        return []

    def show(self) -> dict[str, Any]:
        if not self._of:
            return {}
        looks = self._look()
        pages = {name: showing.page(one, looks[name], self._findings.get(name, ())) for name, one in self._of.items()}
        lines = [line for name in self._of for line in showing.lines(name, looks[name])]
        note = "" if lines else "no window with two groups has closed yet"
        return {"title": "Groups compared", "lines": lines, "note": note, **pages}

    def dump(self) -> bytes:
        """The closed windows are encoded once: only the open ones change between two checkpoints."""
        if not self._of:
            return b""
        if self._closed_state is None:
            self._closed_state = self._packed(opened=False)
        return join((self._closed_state, self._packed(opened=True)))

    def load(self, stored: bytes) -> None:
        """Raises CorruptError, and is as new then."""
        self._of, self._findings = {}, {}
        self._changed()
        try:
            if stored:
                self._load(stored)
        finally:
            if self._about is not None:
                self.prepare(self._about)

    def _load(self, stored: bytes) -> None:
        parts = [unpack(part, self.name) for part in split(stored, self.name)]
        try:
            (head, numbered), (opened, open_numbered) = parts
            arrays, open_arrays = list(numbered.values()), list(open_numbered.values())
            task, positive, threshold = head["meaning"]
            meaning = Meaning(Task(int(task)), str(positive), float("nan") if threshold is None else float(threshold))
            found = {}
            for name, own in head["of"].items():
                found[name] = Attribute.of_closed(name, own, arrays)
                found[name].take_open(opened["of"][name], open_arrays)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CorruptError(f"fairness: {type(error).__name__}") from error
        self._of, self._meaning = found, meaning

    def _packed(self, opened: bool) -> bytes:
        heads: dict[str, Any] = {}
        arrays = []
        for name, attribute in self._of.items():
            heads[name], own = attribute.open_state() if opened else attribute.closed_state()
            arrays += own
        threshold = self._meaning.threshold
        meaning = [int(self._meaning.task), self._meaning.positive, threshold if threshold == threshold else None]
        return pack({"of": heads, "meaning": meaning}, {str(k): array for k, array in enumerate(arrays)})

    def _terms(self, about: About) -> Terms:
        """The dial's part is divided among attributes; limits take half of it where there are any."""
        limits = about.settings.fairness_limit
        part = about.ledger.alpha(GAP, 0) / len(self._of) / (2.0 if limits else 1.0)
        return Terms(self._meaning, part, part, limits, about.settings.fairness_groups == "export")

    def _of_reference(self, about: About, attribute: Attribute) -> Any:
        body = about.reference.section(SECTION) if about.reference is not None else None
        if body is None:
            return None
        try:
            return of_reference(body, attribute.name, self._meaning.task, self._meaning.positive, attribute.groups)
        except CorruptError as error:
            log.warning("reference_section_unusable attribute=%s error=%s", attribute.name, error)
            return None

    def _look(self) -> Mapping[str, showing.Look]:
        """Disparities and rates of the recent windows, made when first asked after a close."""
        if self._shown is None:
            self._shown = {name: showing.look(a, self._meaning) for name, a in self._of.items()}
        return self._shown

    def _changed(self) -> None:
        self._shown, self._closed_state = None, None
