"""Every segment value the reference knows, at one window's close, each against its own reference counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from agent.ledger import Dial, Ledger
from agent.quality.measure import Of
from agent.quality.tables import Places
from agent.records import Bools, Closed, Finding, Ints, Source, Verdict
from agent.reference.by_segment import RUN_WINDOWS
from agent.reference.profile import Reference
from agent.segments import coarse
from agent.segments.elsewhere import Rest
from agent.segments.findings import SAID, Told
from agent.segments.mix import Mix
from agent.segments.prepare import Group, judged_values, prepare
from agent.segments.rates import ROWS_MIN, kinds
from agent.steps import sliced

STATE = "segments"  # the check that says of a segment whether it could be judged
# Among its distances: the fewest newest windows over which drift is judged, and rates of faults are; 0: none.
DRIFT_OVER, FAULTS_OVER = "drift_over", "faults_over"
_ALARMS_A_SLICE = 8


def segment_tests(reference: Reference) -> int:
    """How many times every feature is tested at each horizon: values x checks, and each key's mix once."""
    values = judged_values(reference)
    return len(values) * (1 + len(kinds(reference.layout))) + len(_keys(reference)) if values else 0


class Segments:
    """Judges the segments of windows against one reference. Holds no history.

    Preparation takes some 50 ms a segment of 200 features; judging works in slices of about 2 ms.
    """

    def __init__(self, reference: Reference, ledger: Ledger) -> None:
        """ledger: its dial must know the `segment_tests` of this reference."""
        self._layout = reference.layout
        self._prepared = prepare(reference)
        self._alpha = [ledger.alpha("segments", i) for i in range(len(reference.layout.features))]
        self._protected = frozenset(reference.protected)
        self._known = {v.name: int(v.rows.sum()) for v in reference.by_segment.values}
        self._packed = {v.name for v in reference.by_segment.values if v.packed}
        self._ready = {name for group in self._prepared.groups for name in group.names}
        counts = {n: c for g in self._prepared.groups for n, c in zip(g.names, g.counts, strict=True)}
        self._rest = Rest(reference.layout, reference.pooled, counts, self._prepared.kinds)
        keys = _keys(reference)
        self._mix = Mix(reference, keys, _mix_dial(ledger, len(keys))) if keys and self._ready else None

    @property
    def groups(self) -> tuple[Group, ...]:
        """The segments that can be judged."""
        return self._prepared.groups

    @property
    def kinds(self) -> tuple[Places, ...]:
        """The faults looked for, as each group's rates have them."""
        return self._prepared.kinds

    @property
    def alphas(self) -> Sequence[float]:
        """What one test may use, by feature of the layout."""
        return self._alpha

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """One finding "segments" for each (was it judged, else why not), and one for each check that is unusual.

        recent: closed windows, newest last; the newest 16 matter. A check and feature without a finding are as usual
        where the segment was judged. Findings carry the segment's name; effects and figures as those of the whole.
        """
        if not recent or not any(closed.segments for closed in recent[-RUN_WINDOWS[-1] :]):
            return
        yield self._strangers(recent)
        alarms: list[Finding] = []
        for group in self._prepared.groups:
            for found in self._judge(group, recent):
                alarms += [f for f in found if f.alarms]
                yield [f for f in found if not f.alarms]
        for i in range(0, len(alarms), _ALARMS_A_SLICE):  # all are known: which segments are the rest of one
            yield self._rest.told(alarms, recent, slice(i, i + _ALARMS_A_SLICE))
        if self._mix is not None:
            yield from self._mix.judge(recent)

    def _judge(self, group: Group, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        counts = _counts(group, recent)
        yield []
        told = Told(self._layout, group, counts, recent[-1].index, self._alpha)
        pooled = group.shift.coarse.pool(counts.reshape(len(counts), -1).astype(np.float64))
        looks = []
        for horizon in range(len(counts)):
            looks.append(group.shift.look(pooled[horizon], horizon))
            yield []
        chosen = np.flatnonzero(np.any([look.stands_out for look in looks], axis=0))
        p = yield from sliced(group.shift.p_values(looks, chosen))
        yield []
        unusual = np.flatnonzero((p < SAID).any(axis=0))
        for i in unusual.tolist():
            yield [told.drift(looks, int(chosen[i]), p[:, i])]
        for rates, kind in zip(group.rates, self._prepared.kinds, strict=True):
            yield from told.faults(rates, kind)
        judged = np.array([look.judged(group.shift.coarse.lone) for look in looks])
        rows = told.bases[Of.ROWS].max(axis=-1, initial=0)
        yield self._states(group, rows, _any(judged, len(group.names)), recent[-1].index)

    def _states(self, group: Group, rows: Ints, judged: Bools, window: int) -> list[Finding]:
        """rows, judged: (horizons, segments); judged: whether drift of any feature is."""
        found = []
        for s, name in enumerate(group.names):
            newest, most, drift = int(rows[0, s]), int(rows[-1, s]), _shortest(judged[:, s])
            verdict, reason = Verdict.WITHIN_NOISE, ""
            if not most:
                verdict, reason = Verdict.NO_DATA, "no rows in the recent windows"
            elif not drift and most < ROWS_MIN:
                verdict, reason = Verdict.NOT_ENOUGH_ROWS, f"{most} rows in {RUN_WINDOWS[len(rows) - 1]} windows"
            elif not drift:
                verdict = Verdict.REFERENCE_TOO_SHORT
                reason = "drift is not judged: too few windows; rates of faults are"
                if newest < coarse.ROWS_MIN:
                    verdict = Verdict.NOT_ENOUGH_ROWS
                    reason = f"{newest} rows in the newest window; drift needs {coarse.ROWS_MIN}, or a longer reference"
                    reason += " to add windows up; rates of faults are judged"
            elif drift > 1:
                reason = f"{newest} rows in the newest window are too few for one: {drift} are judged together"
            state = _state(name, verdict, newest, self._known[name], window, reason)
            told = {DRIFT_OVER: float(drift), FAULTS_OVER: float(_shortest(rows[:, s] >= ROWS_MIN))}
            found.append(replace(state, distances=told))
        return found

    def _strangers(self, recent: Sequence[Closed]) -> list[Finding]:
        """Segments that are counted and cannot be judged."""
        found = []
        for name in recent[-1].segments:
            if name in self._ready or name.partition("=")[0] in self._protected:
                continue
            n_reference = self._known.get(name, 0)
            verdict, reason = Verdict.NO_REFERENCE, "the reference has no counts of it"
            if n_reference:
                verdict, reason = Verdict.REFERENCE_TOO_SHORT, f"the reference has {n_reference} rows of it"
                if name in self._packed:
                    reason = "there is no room to judge so many segments of so many features"
            found.append(_state(name, verdict, 0, n_reference, recent[-1].index, reason))
        return found


def _counts(group: Group, recent: Sequence[Closed]) -> Ints:
    """int64 (horizons, segments, cells): the newest windows added up, for each horizon that there are windows for."""
    found: list[Ints] = []
    total, summed = np.zeros(group.counts.shape, dtype=np.int64), 0
    for horizon in RUN_WINDOWS:
        if horizon > len(recent):
            break
        for closed in recent[len(recent) - horizon : len(recent) - summed]:
            for s, name in enumerate(group.names):
                own = closed.segments.get(name)
                if own is not None:
                    total[s] += own
        summed = horizon
        found.append(total.copy())
    return np.array(found)


def _state(name: str, verdict: Verdict, n: int, n_reference: int, window: int, reason: str) -> Finding:
    return Finding(
        STATE, "", Source.ROW, verdict, n=n, n_reference=n_reference, first_window=window, reason=reason, segment=name
    )


def _any(judged: Bools, segments: int) -> Bools:
    """(horizons, segments) of (horizons, subjects): whether any feature of a segment is."""
    return np.asarray(judged.reshape(len(judged), segments, -1).any(axis=2))


def _shortest(judged: Bools) -> int:
    """judged: by horizon; windows of the shortest that is, 0: none is."""
    return RUN_WINDOWS[int(np.argmax(judged))] if judged.any() else 0


def _keys(reference: Reference) -> list[str]:
    """Keys whose mix is judged: with two values at least."""
    values = [v.key for v in reference.by_segment.values if v.key not in reference.protected]
    return [key for key in dict.fromkeys(values) if values.count(key) > 1]


def _mix_dial(ledger: Ledger, keys: int) -> Dial:
    """The keys' part of what segments may spend: each key counts as one test of every feature."""
    part = ledger.budget("segments") * keys / max(ledger.dial.segments, 1)
    return replace(Dial(), false_alarms_per_day=part)  # nothing but drift runs in the small ledger: it has all of it
