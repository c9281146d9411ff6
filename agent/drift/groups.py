"""One finding a vector, one for the whole row: the parts that stand for it speak with one voice.

The ledger has divided among the parts what one feature may spend, so an alarm of any is an alarm of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from typing import Protocol

from agent.bins import FRACTIONAL_CELL, Layout
from agent.bins.projections import CLUSTER, Projection, RowProjection, VectorProjection
from agent.drift.rare import shapeless
from agent.drift.relations import Relations
from agent.records import Closed, Finding, Ints, Kind, Source, Verdict

Name = tuple[Source, str]
NAMED = 3  # features named in one reason
FAULT_WEIGHT = 0.02  # all values at fault lie 3 σ away at most: less moves no direction by 0.1 σ, the floor
ECHO_WEIGHT = 0.05  # a feature that weighs so much moves a whole row's direction when it drifts by itself
WEIGHT_SAID_MIN = 0.05  # of a direction's squared weights
NOTHING: frozenset[str] = frozenset()
NO_DIRECTIONS = "the reference has no directions of it: it was built from too few vectors"
NO_SHARES = "which of its values the reference lists was chance: no shares to compare; new ones are still looked at"


class Judging(Protocol):
    """A measure with a finding for each part."""

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]: ...


class Grouped:
    """A drift measure whose findings on parts are told as one for each group."""

    def __init__(self, measure: Judging, layout: Layout, pooled: Ints) -> None:
        """pooled: (layout cells,), the reference's counts."""
        self._measure = measure
        self._group: dict[Name, str] = {(f.source, f.name): f.group for f in layout.features if f.computed}
        self._moved = {part: words for p in layout.projections for part, words in moved(p).items()}
        rows = [p for p in layout.projections if isinstance(p, RowProjection)]
        smooth = {p.name: p.smooth([_cells(layout, pooled, i) for i in p.inputs.tolist()]) for p in rows}
        of_rows = [(p, k, part, smooth[p.name]) for p in rows for k, part in enumerate(p.parts)]
        self._inputs = {part: frozenset(p.heaviest(k, ECHO_WEIGHT, even)) for p, k, part, even in of_rows}
        self._made_of = {part: frozenset(p.heaviest(k, FAULT_WEIGHT, even)) for p, k, part, even in of_rows}
        self._relations = {p.name: (p.parts[:-1], Relations(p)) for p in rows}
        with_parts = {f.group for f in layout.features if f.computed}
        blind = [f for f in layout.features if f.kind is Kind.VECTOR and not f.ignored and f.name not in with_parts]
        texts = [layout.features[i] for i in sorted(shapeless(layout, pooled))]
        self._blind = [
            Finding("drift", f.name, f.source, Verdict.NO_REFERENCE, reason=why)
            for found, why in ((blind, NO_DIRECTIONS), (texts, NO_SHARES)) for f in found
        ]  # fmt: skip

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        """As the measure's, groups last."""
        parts: dict[Name, list[Finding]] = {}
        drifting: set[str] = set()
        for findings in self._measure.judge(recent):
            plain = []
            for finding in findings:
                group = self._group.get((finding.source, finding.subject))
                if group is None:
                    plain.append(finding)
                else:
                    parts.setdefault((finding.source, group), []).append(finding)
            drifting.update(finding.subject for finding in plain if finding.alarms)
            yield plain
        yield [self._merged(name, found, drifting) for (_, name), found in parts.items()]
        yield list(self._blind)

    def _merged(self, group: str, parts: Sequence[Finding], drifting: Set[str]) -> Finding:
        """The most significant part's, of those that alarm if any do.

        A row's directions move with each of their features that drifts by itself: such an alarm is an echo, and muted
        unless a direction without that feature alarms too.
        """
        alarms = [f for f in parts if f.alarms]
        echoes = {f.subject: self._inputs.get(f.subject, NOTHING) & drifting for f in alarms}
        alarms = [f for f in alarms if not echoes[f.subject]] or alarms
        tested = [f for f in parts if f.p_value == f.p_value]
        chosen = min(alarms or tested or parts, key=lambda f: (f.p_value, -f.effect))
        said = [chosen.reason] if chosen.reason else []
        if chosen.alarms:
            also = f", and along {len(alarms) - 1} more of its {len(parts)} parts" if len(alarms) > 1 else ""
            lost = () if echoes[chosen.subject] else self._lost(group, parts)
            said.insert(0, f"{lost or self._moved[chosen.subject]}{also}")
            if echo := sorted(echoes[chosen.subject]):
                said.insert(0, f"{_listed(echo[:NAMED])} drifted by {'itself' if len(echo) == 1 else 'themselves'}")
                chosen = replace(chosen, verdict=Verdict.MUTED)
        if not chosen.subject.endswith(f"[{CLUSTER}]"):  # bins and ranks along a line tell a reader nothing
            chosen = replace(chosen, changes=(), current=float("nan"), expected=float("nan"))
        made_of = tuple(self._made_of[f.subject] for f in alarms if f.subject in self._made_of)
        return replace(chosen, subject=group, reason="; ".join(said), made_of=made_of)

    def _lost(self, group: str, parts: Sequence[Finding]) -> str:
        """In words, which features of a row no longer go with the others; empty: none explains what is seen."""
        named, relations = self._relations.get(group, ((), None))
        effects = {f.subject: f.effect for f in parts}
        lost = relations.lost([effects.get(name, float("nan")) for name in named]) if relations else ()
        if len(lost) == 1:
            return f"the relation of {lost[0]} to the other features has changed"
        return f"the relation between {_listed(lost)} has changed" if lost else ""


def _cells(layout: Layout, pooled: Ints, feature: int) -> Ints:
    """A feature's counts, each row in one cell: a fraction is counted beside its value."""
    counts = pooled[layout.slice(feature)].copy()
    counts[layout.features[feature].bins + FRACTIONAL_CELL] = 0
    return counts


def moved(projection: Projection) -> dict[str, str]:
    """What an alarm of each part says, for people."""
    if isinstance(projection, VectorProjection):
        return {part: _of_vector(part[len(projection.name) + 1 : -1]) for part in projection.parts}
    found = {}
    for k, part in enumerate(projection.parts):
        if k == len(projection.shown):
            found[part] = "how the features go together has changed, in many directions a little"
            continue
        weights = [weight for weight in projection.weights(k) if weight[1] >= WEIGHT_SAID_MIN]
        words = "how the features go together has changed"
        if projection.shown[k] * 2 < len(projection.inputs):
            words = "moved in what features have in common"
        named = [f"{name} ({share * 100:.0f} %)" for name, share in weights[:NAMED]]
        more = [f"{len(weights) - NAMED} more"] if len(weights) > NAMED else []
        made_of = _listed([*named, *more]) if named else "many features, of each a little"
        found[part] = f"{words}, most along a sum made of {made_of}"
    return found


def _of_vector(part: str) -> str:
    if part.startswith("pc"):
        return f"moved along its {_ordinal(int(part[2:]))} principal direction"
    if part.startswith("rest"):
        return "moved along a random direction beside the principal ones"
    return {
        "norm": "its length has changed",
        "residual": "moved outside its principal directions",
        "mahalanobis": "its spread along the principal directions has changed",
        CLUSTER: "the shares of its clusters have changed",
    }[part]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ordinal(number: int) -> str:
    """
    >>> [_ordinal(n) for n in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
