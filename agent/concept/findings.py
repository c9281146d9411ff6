"""What was judged, as findings: one of the whole, and of segments what alarms alone."""

from __future__ import annotations

import math
from dataclasses import replace

from agent.concept.losses import STREAMS
from agent.concept.tracks import Asked, Judged, Said
from agent.concept.wording import Told, changed, segments, usual
from agent.records import Finding, Source, Verdict

CHECK = "concept_drift"


def silent(index: int, verdict: Verdict, reason: str) -> Finding:
    """Where nothing was judged."""
    return Finding(CHECK, "", Source.PREDICTION, verdict, first_window=index, reason=reason)


def findings(told: Told, judged: Judged, asked: Asked) -> list[Finding]:
    """effect: how much worse since the change, relative (`Said.effect`); current, expected: the loss then and usually,
    or the outcome's rate that came and that the scores told of;
    p_value: at most how many false alarms a window so much evidence means; first_window, n: since the change."""
    found = [_finding(judged.index, judged.whole, asked.whole, _reason(told, judged))]
    whole_alarms = judged.whole.verdict is Verdict.ALARM
    for name, (said, lately) in judged.parts.items():
        if not lately:
            continue
        alarms = said.verdict is Verdict.ALARM
        reason = changed(told, said, name) if alarms else usual(told.scale, said)
        finding = _finding(judged.index, said, asked.segment, reason)
        if alarms and whole_alarms:
            finding = replace(finding, verdict=Verdict.MUTED, reason=f"so it is in the whole; {finding.reason}")
        found.append(replace(finding, segment=name))
    return found


def _reason(told: Told, judged: Judged) -> str:
    said = judged.whole
    if said.verdict is Verdict.ALARM:
        parts = {name: part for name, (part, _) in judged.parts.items()}
        return "; ".join(part for part in (changed(told, said), segments(told, parts, said), told.cause) if part)
    also = "; a change that is sure, and too small for an alarm" if said.verdict is Verdict.BELOW_FLOOR else ""
    return "; ".join(part for part in (f"{usual(told.scale, said)}{also}", told.words) if part)


def _finding(index: int, said: Said, asked: float, reason: str) -> Finding:
    if said.change is None or said.usual is None:
        return replace(silent(index, said.verdict, reason), n=int(said.labels), current=float(said.mean[0]))
    change, mean = said.change, said.usual
    names = STREAMS[: len(mean)]
    distances = {f"loss_{name}": float(value) for name, value in zip(names, change.means[: len(mean)], strict=True)}
    distances |= {f"usual_{name}": float(value) for name, value in zip(names, mean, strict=True)}
    if len(change.means) > len(mean):
        distances |= {"observed": change.came, "told_by_scores": change.told}
    labels = change.scored if said.scores else change.labels
    return Finding(
        CHECK, "", Source.PREDICTION, said.verdict, math.exp(-max(said.evidence, 0.0)), math.exp(-asked), said.effect,
        horizon=max(index - change.index + 1, 1), n=round(labels), n_reference=said.usual_labels,
        phi=said.phi, first_window=change.index, current=said.now, expected=said.then,
        reason=reason,
        distances={**distances, "first_ns": float(change.first_ns), "last_ns": float(change.last_ns)},
    )  # fmt: skip
