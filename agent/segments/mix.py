"""The mix of segments: a region that doubled, vanished or is new. Each key is judged as a text of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from agent.bins import SPECIALS, Feature, Layout
from agent.counting.segments import VALUES_MAX
from agent.drift import Drift
from agent.ledger import Dial, Ledger
from agent.records import Cells, Closed, Finding, Kind, Source, Verdict
from agent.reference.by_segment import RUN_WINDOWS
from agent.reference.profile import Reference
from agent.segments.coarse import judged_features
from agent.sketches.frequent import LONG_TEXT

CHECK = "segment_mix"
UNCOUNTED_MAX = 0.02  # of a window's rows, beyond the reference's: more, and shares of the rest say nothing


class Mix:
    """Judges how rows divide over the values of each key, rows without a counted value left out.

    Where those are many more than in the reference (a sender that tags no longer, no room to count) a window says
    nothing of the key, unless it was new values that took the room.
    """

    def __init__(self, reference: Reference, keys: Sequence[str], dial: Dial) -> None:
        """dial: what all keys together may spend."""
        values, everything = reference.by_segment.values, np.maximum(reference.rows, 1)
        layout = reference.layout
        self._two = [layout.slice(i) for i in (judged_features(layout) or [*range(layout.sent)])[:2]]
        self._values = {key: tuple(v.value for v in values if v.key == key) for key in keys}
        features = tuple(
            Feature(key, Source.FEATURE, Kind.TEXT, categories=own, public=True) for key, own in self._values.items()
        )
        blocks, self._uncounted = [], {}
        for key in self._values:
            known = np.array([v.rows for v in values if v.key == key], dtype=np.int64).reshape(-1, everything.size)
            self._uncounted[key] = max(0.0, 1.0 - float(known.sum()) / float(everything.sum()))
            blocks.append(np.vstack((known, np.zeros((2 + SPECIALS, everything.size)))).T.astype(np.int32))
        small = Reference(
            reference.model, reference.version, Layout(features, reference.layout.window_seconds),
            np.concatenate(blocks, axis=1), reference.starts_ns, reference.rows,
        )  # fmt: skip
        ledger = Ledger.of(dial, small.layout, reference.layout.window_seconds, ("drift",))
        self._drift = Drift(small, ledger, RUN_WINDOWS)

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """One finding a key: subject the key, changes the values whose share moved most."""
        small, untold = [], frozenset[str]()
        for closed in recent[-RUN_WINDOWS[-1] :]:
            counts, untold = self._counts(closed)
            small.append(Closed(closed.index, counts, rows=closed.rows))
            yield []
        for part in self._drift.judge(small):
            yield [self._named(finding, finding.subject in untold) for finding in part]

    def _counts(self, closed: Closed) -> tuple[Cells, frozenset[str]]:
        """int32, as the small layout has it: known values, no other, all new ones together; keys it says nothing of."""
        rows, parts, untold = rows_of(self._two, closed), [], set()
        for key, values in self._values.items():
            listed = {name.partition("=")[2]: n for name, n in rows.items() if name.partition("=")[0] == key}
            known = [listed.pop(value, 0) for value in values]
            new = sum(n for value, n in listed.items() if len(value) <= LONG_TEXT)  # longer ones no reference lists
            uncounted = max(closed.rows - sum(known) - new, 0)
            if uncounted > (self._uncounted[key] + UNCOUNTED_MAX) * max(closed.rows, 1):
                if len(values) + len(listed) >= VALUES_MAX and not self._uncounted[key]:
                    new += uncounted  # new values have taken all the room: so are those that found none
                else:
                    known, new = [0] * len(known), 0
                    untold.add(key)
            parts += [*known, 0, new, *(0,) * SPECIALS]
        return np.array(parts, dtype=np.int32), frozenset(untold)

    @staticmethod
    def _named(finding: Finding, untold: bool) -> Finding:
        """untold: the newest window says nothing of it."""
        if untold and finding.p_value != finding.p_value:
            why = "more rows than in the reference have no value of it, or none that there is room for"
            return replace(finding, check=CHECK, source=Source.ROW, verdict=Verdict.NO_DATA, reason=why)
        return replace(finding, check=CHECK, source=Source.ROW, reason=_said(finding))


def rows_of(parts: Sequence[slice], closed: Closed) -> dict[str, int]:
    """Rows of each segment value that was counted in the window; parts: the cells of two features.

    Of two: an alert that ended may have emptied one, and `fractional` is counted beside a value's own cell.
    """
    return {
        name: max((int(counts[part.start : part.stop - 1].sum()) for part in parts), default=0)
        for name, counts in closed.segments.items()
    }


def _said(finding: Finding) -> str:
    if finding.verdict not in (Verdict.ALARM, Verdict.BELOW_FLOOR):
        return finding.reason
    moved = [f"{c.label} {c.reference * 100:.3g} % → {c.current * 100:.3g} %" for c in finding.changes[:3]]
    return f"the mix of {finding.subject} changed: {', '.join(moved)}"
