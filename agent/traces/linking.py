"""From an alert to predictions that show it: what the closed window held of the cells that grew most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.alerting.book import Subject
from agent.bins import Layout
from agent.export.traces import span_id
from agent.records import Closed, Event, Floats, ModelKey, Source
from agent.reference.profile import Reference
from agent.traces.examples import Examples
from agent.traces.traced import Trace

CELLS_MAX = 3  # looked at of one value: those that grew most
EACH_MAX = 2  # examples of one value
ALL_MAX = 4  # and of one alert


@dataclass(slots=True)
class Linking:
    """One close of one series. spans: hashes of those that are spans since this close."""

    examples: Examples
    closed: Closed
    reference: Reference | None
    spans: set[int] = field(default_factory=set)

    def find(self, subjects: Sequence[Subject]) -> list[tuple[int, Trace, bool]]:
        """Examples of these values, the worst first: hash, the prediction, whether it is a span already."""
        found: dict[int, tuple[int, Trace, bool]] = {}
        for subject in subjects:
            own = 0
            for its, trace, exported in self._of(subject):
                if own == EACH_MAX or len(found) == ALL_MAX:
                    break
                if its not in found:
                    found[its] = (its, trace, exported or its in self.spans)
                    own += 1
        return list(found.values())

    def _of(self, subject: Subject) -> Iterator[tuple[int, Trace, bool]]:
        """Of a value in a segment only predictions of that segment, which the whole's examples may hold none of."""
        for cell in self._cells(subject):
            for its, trace, exported in self.examples.of(cell):
                if not subject.segment or subject.segment in trace.segments:
                    yield its, trace, exported

    def _cells(self, subject: Subject) -> list[int]:
        """The cells that grew most, most first; of latency the slowest."""
        if subject.source is Source.LATENCY and subject.name == "latency":
            slowest = np.flatnonzero(self.closed.latency)[::-1][:CELLS_MAX]
            return [self.examples.cells + int(bucket) for bucket in slowest]
        if self.reference is None or len(self.closed.counts) != self.reference.layout.cells:
            return []
        counts = self.closed.segments.get(subject.segment) if subject.segment else self.closed.counts
        if counts is None:
            return []
        layout, found = self.reference.layout, list[tuple[float, int]]()
        for place in layout.members(subject.source, subject.name):
            if place < layout.sent:  # parts of vectors and of whole rows are computed of a sample, not held
                cells = layout.slice(place)
                grown = shares(counts[cells].astype(np.float64), layout, place) - self.reference.share[cells]
                found += [(-float(more), cells.start + k) for k, more in enumerate(grown) if more > 0]
        return [cell for _, cell in sorted(found)[:CELLS_MAX]]


def linked_event(event: Event, traces: Sequence[Trace], model: ModelKey) -> Event:
    """The event with its examples: as lists of ids for machines, in hex, and as a sentence for people."""
    ids = [trace.trace_id.hex() for trace in traces]
    attributes = {
        **event.attributes,
        "sidelight.example.trace_id": ids,
        "sidelight.example.span_id": [span_id(trace, model, 0).hex() for trace in traces],
    }
    shown = ", ".join(dict.fromkeys(ids))
    return replace(event, attributes=attributes, body=f"{event.body} Examples: trace {shown}.")


def shares(counts: Floats, layout: Layout, place: int) -> Floats:
    """Each cell's share, as `Reference.share` reckons: of the values, and what is none of all rows."""
    bins, found = layout.features[place].bins, np.zeros(len(counts))
    values, everything = counts[:bins].sum(), counts[:-1].sum()
    if values:
        found[:bins] = counts[:bins] / values
    if everything:
        found[bins:] = counts[bins:] / everything
    return found
