"""A finding as the status, the terminal and the page show it: one sentence first, then the figures.

What a bin is called depends on who may read it. The names of categories leave the agent for features marked public
alone; edges of numbers are values too, and are shown where the page answers on this machine only, and so are categories
that no bin has, which nobody could look up. Elsewhere a bin has its stable number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent.alerting.rules import SEGMENT_STATE
from agent.alerting.wording import drift_words, newcomers_words, significance
from agent.bins import Feature, Layout
from agent.drift.effect import severity
from agent.records import BinChange, Finding, Kind, Source, Verdict

DRIFT_SHOWN = 50
OTHERS_SHOWN = 250  # of each further kind; alarms come first
LINES = ("title", "lines", "note")  # of what a follower shows
KINDS = ("drift", "quality", "traffic", "service", "truth", "segments")
LATENCY_CHECKS = frozenset({"latency", "latency_objective"})
# Of how right the predictions are.
TRUTH_CHECKS = frozenset(
    {"performance", "estimated_performance", "concept_drift", "fairness", "stale", "retrain", "shadow"}
)
# Of the traffic as a whole, not of one value.
TRAFFIC_CHECKS = frozenset({"volume", "duplicates", "segment_mix", "no_data", "not_durable"})
SHARE_CHECKS = frozenset(
    {"missing", "absent", "type_mismatch", "out_of_range", "new_category", "not_finite", "fractional", "duplicates"}
)


@dataclass(frozen=True, slots=True)
class Showing:
    """How one series' findings are shown. layout: of its reference; window_ns: length of a window; inside: whether only
    this machine can read it."""

    layout: Layout
    window_ns: int
    inside: bool

    def followed(self, shown: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """What followers show; outside this machine only their lines, for the rest names groups and classes."""
        if self.inside:
            return {name: dict(told) for name, told in shown.items()}
        return {name: {key: told[key] for key in LINES if key in told} for name, told in shown.items()}

    def groups(self, findings: Sequence[Finding]) -> dict[str, list[dict[str, Any]]]:
        """By kind: drift (ranked), quality, traffic, service, truth; segments: all that is of one part of the traffic,
        and whether it was judged. Alarms first; of the others what fits."""
        by_kind: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
        for f in findings:
            by_kind[kind_of(f)].append(f)
        ranked = {"drift": self.ranked(by_kind.pop("drift"))}
        return ranked | {kind: self._others(found) for kind, found in by_kind.items()}

    def ranked(self, findings: Iterable[Finding]) -> list[dict[str, Any]]:
        """Alarms first, largest effect first, each with its rank and its share of all inputs' alarming effect."""
        ordered = sorted(
            findings, key=lambda f: (not f.alarms, f.source is Source.FEATURE and not f.alarms, -_or_least(f.effect))
        )
        counted = [f for f in ordered if f.alarms and f.source is Source.FEATURE]
        whole = sum(max(_or_least(f.effect), 0.0) for f in counted)
        found = []
        for rank, f in enumerate(ordered[:DRIFT_SHOWN], start=1):
            line = self.line(f)
            if f.alarms:
                line["rank"] = rank
            if f in counted and whole > 0:
                line["share_of_effect"] = max(_or_least(f.effect), 0.0) / whole
            found.append(line)
        return found

    def line(self, f: Finding) -> dict[str, Any]:
        """One finding. `said`: the sentence; since: start of the first window its horizon holds."""
        feature = self._feature(f)
        drift = f.check == "drift" and f.effect == f.effect
        told = self.inside or (feature is not None and feature.public)
        said = drift_words(f, self._label(feature)) if drift and f.alarms else f.reason
        return {
            "check": f.check,
            "feature": f.subject,
            "source": f.source.name.lower(),
            "segment": f.segment,
            "verdict": f.verdict.value,
            "said": said + newcomers_words(f) if told else said,
            "newcomers": [{"text": text, "share": share} for text, share in f.newcomers] if told else [],
            "severity": str(severity(f.effect)) if drift and f.alarms else "",
            "since": self._since(f) if f.alarms else "",
            "effect": f.effect,
            "p": f.p_value,
            "alpha": f.alpha,
            "significance": significance(f),
            "horizon": f.horizon,
            "n": f.n,
            "n_reference": f.n_reference,
            "phi": f.phi,
            "current": f.current,
            "expected": f.expected,
            "reason": f.reason,
            "distances": dict(f.distances),
            "changes": [
                {"bin": c.bin, "label": self._label(feature)(c), "reference": c.reference, "current": c.current}
                for c in f.changes
            ],
        }

    def _since(self, f: Finding) -> str:
        return datetime.fromtimestamp(f.first_window * self.window_ns / 1e9, UTC).isoformat() if f.first_window else ""

    def _feature(self, f: Finding) -> Feature | None:
        place = self.layout.index.get((f.source, f.subject))
        return None if place is None else self.layout.features[place]

    def _label(self, feature: Feature | None) -> Callable[[BinChange], str]:
        """What a bin may be called here; empty: nothing but its number."""

        def name(change: BinChange) -> str:
            if feature is None:
                return ""
            if feature.kind is Kind.VECTOR:  # the bins are a part's: lengths, and places along a line
                return change.label if self.inside else ""
            if feature.public or feature.kind is Kind.FLAG or change.bin >= feature.bins:
                return change.label
            if feature.kind is Kind.TEXT:
                return change.label if change.bin >= len(feature.categories) else ""  # other, never seen
            return change.label if self.inside else ""

        return name

    def _others(self, findings: Iterable[Finding]) -> list[dict[str, Any]]:
        def place(f: Finding) -> tuple[bool, bool, bool]:
            return not f.alarms, f.check != SEGMENT_STATE, f.verdict is Verdict.WITHIN_NOISE

        order = sorted(findings, key=place)
        return [self.line(f) for f in order[:OTHERS_SHOWN]]


def kind_of(finding: Finding) -> str:
    """Where it is listed, of KINDS."""
    if finding.segment or finding.check == SEGMENT_STATE:
        return "segments"
    if finding.check == "drift":
        return "drift"
    if finding.check in LATENCY_CHECKS:
        return "service"
    if finding.check in TRUTH_CHECKS:
        return "truth"
    return "traffic" if finding.check in TRAFFIC_CHECKS else "quality"


def _or_least(value: float) -> float:
    return value if value == value else -1.0
