"""A finding as the status, the terminal and the page show it: one sentence first, then the figures.

What a bin is called depends on who may read it. The names of categories leave the agent for features marked public
alone; edges of numbers are values too, and are shown where the page answers on this machine only. Elsewhere a bin has
its stable number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent.alerting.rules import SEGMENT_STATE
from agent.alerting.wording import drift_words, significance
from agent.bins import Feature, Layout
from agent.drift.effect import severity
from agent.records import BinChange, Finding, Kind, Source, Verdict

DRIFT_SHOWN = 50
OTHERS_SHOWN = 100  # of each further kind; alarms come first
LATENCY_CHECKS = frozenset({"latency", "latency_objective"})
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

    def groups(self, findings: Sequence[Finding]) -> dict[str, list[dict[str, Any]]]:
        """By kind: drift (ranked), quality, traffic, service, and whether each segment was judged.

        Alarms first, and of the others no more than fit.
        """
        return {
            "drift": self.ranked(f for f in findings if f.check == "drift"),
            "quality": self._others(f for f in findings if kind_of(f) == "quality"),
            "traffic": self._others(f for f in findings if kind_of(f) == "traffic"),
            "service": self._others(f for f in findings if kind_of(f) == "service"),
            "segments": self._others(f for f in findings if kind_of(f) == "segments"),
        }

    def ranked(self, findings: Iterable[Finding]) -> list[dict[str, Any]]:
        """Alarms first, largest effect first, each with its rank and its share of all inputs' alarming effect."""
        ordered = sorted(
            findings, key=lambda f: (not f.alarms, f.source is Source.FEATURE and not f.alarms, -_or_least(f.effect))
        )
        counted = [f for f in ordered if f.alarms and f.source is Source.FEATURE and not f.segment]
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
        return {
            "check": f.check,
            "feature": f.subject,
            "source": f.source.name.lower(),
            "segment": f.segment,
            "verdict": f.verdict.value,
            "said": drift_words(f, self._label(feature)) if drift and f.alarms else f.reason,
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
            if feature.public or feature.kind is Kind.FLAG or change.bin >= feature.bins:
                return change.label
            if feature.kind is Kind.TEXT:
                return change.label if change.bin >= len(feature.categories) else ""  # other, never seen
            return change.label if self.inside else ""

        return name

    def _others(self, findings: Iterable[Finding]) -> list[dict[str, Any]]:
        order = sorted(findings, key=lambda f: (not f.alarms, f.verdict is Verdict.WITHIN_NOISE))
        return [self.line(f) for f in order[:OTHERS_SHOWN]]


def kind_of(finding: Finding) -> str:
    """Where it is listed: drift, quality, traffic, service or segments."""
    if finding.check == "drift":
        return "drift"
    if finding.check in LATENCY_CHECKS:
        return "service"
    if finding.check == SEGMENT_STATE:
        return "segments"
    return "traffic" if finding.check in TRAFFIC_CHECKS else "quality"


def _or_least(value: float) -> float:
    return value if value == value else -1.0
