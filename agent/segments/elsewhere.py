"""Is it this segment alone? The same feature in the rest of the traffic: all rows but those of segments that alarm.

A rest of a few rows says nothing (NaN): neither that it is as ever nor that it changed too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent.bins import Feature, Layout
from agent.drift.effect import corrected_psi, psi_terms
from agent.drift.pooling import ROWS_MIN
from agent.quality.measure import Of
from agent.quality.tables import Places
from agent.records import Closed, Finding, Ints

ELSEWHERE = "elsewhere"  # among a finding's distances: the effect in the rest of the traffic, in the check's unit


class Rest:
    """The reference of the rest. pooled: int64 (cells,), of the whole; segments: likewise, by name."""

    def __init__(self, layout: Layout, pooled: Ints, segments: Mapping[str, Ints], faults: Sequence[Places]) -> None:
        self._layout, self._pooled, self._segments = layout, pooled, segments
        self._faults = {fault.measure.check: fault.measure for fault in faults}

    def told(self, alarms: Sequence[Finding], recent: Sequence[Closed], some: slice) -> list[Finding]:
        """Some of the alarms, each with `elsewhere`: of one key, all that alarm for the same feature are left out."""
        together: dict[tuple[str, str, int, str], set[str]] = {}
        for f in alarms:
            together.setdefault(_group(f), set()).add(f.segment)
        return [
            replace(f, distances={**f.distances, ELSEWHERE: self._effect(f, sorted(together[_group(f)]), recent)})
            for f in alarms[some]
        ]

    def _effect(self, finding: Finding, names: Sequence[str], recent: Sequence[Closed]) -> float:
        index = self._layout.index[finding.source, finding.subject]
        feature, cells = self._layout.features[index], self._layout.slice(index)
        then = self._pooled[cells] - sum(self._segments[name][cells] for name in names)
        now = np.zeros(feature.cells, dtype=np.int64)
        for closed in recent[-finding.horizon :]:
            now += closed.counts[cells]
            now -= sum(closed.segments[name][cells].astype(np.int64) for name in names if name in closed.segments)
        now, then = np.maximum(now, 0), np.maximum(then, 0)
        measure = self._faults.get(finding.check)
        of_values = measure is None or measure.of is Of.VALUES
        everything = slice(0, feature.bins) if of_values else slice(0, feature.cells - 1)
        rows = now[everything].sum(), then[everything].sum()
        if min(rows) < ROWS_MIN:
            return float("nan")
        if measure is None:
            return _psi(feature, now, then)
        at_fault = list(measure.cells(feature))
        return float(now[at_fault].sum() / rows[0] - then[at_fault].sum() / rows[1])


def _group(finding: Finding) -> tuple[str, str, int, str]:
    return finding.check, finding.subject, int(finding.source), finding.segment.partition("=")[0]


def _psi(feature: Feature, now: Ints, then: Ints) -> float:
    """Corrected PSI."""
    current, reference = (feature.wholes(counts).astype(np.float64) for counts in (now, then))
    n, n_reference, bins = current.sum(keepdims=True), reference.sum(keepdims=True), np.array([current.size])
    terms = psi_terms(current, reference, n, n_reference, bins, np.zeros(current.size, dtype=np.int64))
    return float(corrected_psi(terms.sum(keepdims=True), n, n_reference, bins, np.ones(1))[0])
