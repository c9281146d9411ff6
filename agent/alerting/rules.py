"""The table of alerts: which findings make one, when it fires, when it ends, and what to look at next.

`docs/runbook.md` has a section for each row; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.records import Finding, Source, Verdict

INPUTS = frozenset({Source.FEATURE, Source.ROW})
OUTPUTS = frozenset({Source.PREDICTION, Source.SCORE})
ANY = frozenset(Source)

BROKEN_PIPELINE, DATA_DRIFT, PREDICTION_DRIFT = "broken_pipeline", "data_drift", "prediction_drift"
SEGMENT_CHANGE = "segment_change"
LATENCY, NOT_DURABLE, NO_DATA = "latency", "not_durable", "no_data"
NEW_FEATURE = "new_feature"
DUPLICATES, VOLUME = "duplicates", "volume"
DISPARITY = "disparity"
PERFORMANCE_DROP = "performance_drop"
CONCEPT_DRIFT, RETRAIN_SUGGESTED = "concept_drift", "retrain_suggested"
ESTIMATED_DROP = "estimated_performance_drop"

QUALITY_CHECKS = frozenset(
    {
        "type_mismatch", "missing", "absent", "out_of_range", "new_category", "not_finite", "fractional", "constant",
    }
)  # fmt: skip
# A world that moved can cause these two; nothing but a broken pipeline causes the others: nobody's world is the same
# value in every row.
AMBIGUOUS_CHECKS = frozenset({"out_of_range", "new_category"})


SEGMENT_STATE = "segments"  # the check that says of a segment whether it could be judged
SEGMENT_MIX = "segment_mix"


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert.

    checks, sources: the findings that count for it. pending_windows: bad closes to wait before it fires; 0 where the
    check is calibrated, whose one alarm is already as rare as was asked. healthy_windows: good closes in a row that
    end it. warn_effect, error_effect: severity by the largest effect, in the checks' unit; under warn it is INFO.
    title: for the message. next_step: one sentence, what to look at first. forgets: its values' closed windows are
    emptied when it ends, so that pooled horizons start anew. needs_rows: an empty window is neither good nor bad.
    good_effect: newest windows with less than that are good, however sure it is: the checks' own floor.
    of_segments: of findings in one segment, else of the whole's. retrain: a model trained anew may cure it.
    """

    name: str
    checks: frozenset[str]
    sources: frozenset[Source]
    title: str
    next_step: str
    warn_effect: float
    error_effect: float
    pending_windows: int = 0
    healthy_windows: int = 2
    forgets: bool = False
    needs_rows: bool = True
    good_effect: float = 0.01  # the drift floor (statistics.md, point 6)
    of_segments: bool = False
    retrain: bool = False

    @property
    def runbook(self) -> str:
        """Where the runbook speaks of it."""
        return f"docs/runbook.md#{self.name.replace('_', '-')}"

    def severity(self, effect: float) -> str:
        """INFO, WARN or ERROR. An effect nobody measured (NaN) is at least a warning."""
        if effect >= self.error_effect:
            return "ERROR"
        return "INFO" if effect < self.warn_effect else "WARN"


RULES: tuple[Rule, ...] = (
    Rule(
        BROKEN_PIPELINE, QUALITY_CHECKS, ANY - {Source.LATENCY}, "broken pipeline",
        "Look at the last change to the code or feed that fills the features named, not at the model.",
        warn_effect=0.0, error_effect=0.25, forgets=True,  # shares: a quarter of a feature gone is gone
        good_effect=0.005,  # the rates' floor
    ),
    Rule(
        NEW_FEATURE, frozenset({"new_feature"}), INPUTS, "new feature",
        "If it is a new name of one that is now absent, repair the sender; else build a new reference to watch it.",
        warn_effect=float("inf"), error_effect=float("inf"),  # nothing the model uses is wrong: it is said once
    ),
    Rule(
        DATA_DRIFT, frozenset({"drift", SEGMENT_MIX}), INPUTS, "data drift",
        "Ask what happened in the world or upstream at the first bad window; look at the highest ranked feature first.",
        warn_effect=0.1, error_effect=0.25, forgets=True,  # corrected PSI: clear, large (statistics.md, point 6)
        retrain=True,
    ),
    Rule(
        PREDICTION_DRIFT, frozenset({"drift"}), OUTPUTS, "prediction drift",
        "See whether inputs drifted too; if not, look at the model's deployment, its threshold, its features' order.",
        warn_effect=0.1, error_effect=0.25, forgets=True,
    ),
    Rule(
        SEGMENT_CHANGE, QUALITY_CHECKS | {"drift", "concept_drift", "performance"}, ANY - {Source.LATENCY},
        "change in a part of the traffic",
        "Look at what feeds the segment named, and at its last change: the traffic as a whole looks fine.",
        warn_effect=0.1, error_effect=0.25, forgets=True, of_segments=True,
    ),
    Rule(
        PERFORMANCE_DROP, frozenset({"performance"}), OUTPUTS, "performance drop",
        "Look at the labels' source first, then at what the wrong predictions have in common: a segment, a class, one "
        "kind of mistake.",
        warn_effect=0.1, error_effect=0.5,  # relative rise of the loss: half as many errors again
        good_effect=0.05, needs_rows=False, retrain=True,  # labels may come when predictions do not
    ),
    Rule(
        CONCEPT_DRIFT, frozenset({"concept_drift"}), OUTPUTS, "concept drift",
        "Look at what the wrong predictions since the change have in common; if inputs look as ever, train anew on "
        "labels from after it.",
        warn_effect=0.0, error_effect=0.5,  # relative rise of the loss: half as many errors again
        needs_rows=False, retrain=True,  # labels may come when predictions do not
    ),
    Rule(
        LATENCY, frozenset({"latency", "latency_objective"}), frozenset({Source.LATENCY}), "slow predictions",
        "Look at CPU, memory and GPU of the model's container and at its traffic since the first bad window.",
        warn_effect=1.0, error_effect=3.0,  # ratios: three times slower breaks callers' timeouts
    ),
    Rule(
        ESTIMATED_DROP, frozenset({"estimated_performance"}), OUTPUTS, "estimated performance drop",
        "It is an estimate: see which inputs or scores moved, and have some of these predictions labelled first.",
        warn_effect=0.0, error_effect=0.25, good_effect=0.05,  # relative rise of the loss: a quarter more errors
        retrain=True,
    ),
    Rule(
        DISPARITY, frozenset({"fairness", "fairness_limit"}), frozenset({Source.ROW}), "groups fare differently",
        "See which group's rates moved and since when; compare inputs and labels of that group before and after.",
        warn_effect=0.0, error_effect=0.2,  # of a rate: a fifth of a group fares otherwise than it did
        needs_rows=False, good_effect=0.05,  # the gaps' floor
    ),
    Rule(
        DUPLICATES, frozenset({"duplicates"}), ANY, "duplicates",
        "Look for a job or a feed that ran twice: first at senders that resend, then at the table the rows come from.",
        warn_effect=0.0, error_effect=0.3,  # rise of the share: doubled input is 0.5
    ),
    Rule(
        VOLUME, frozenset({"volume"}), ANY, "unusual traffic",
        "Ask who calls the model, and whether callers were added, lost, or retry; look at its errors and latency.",
        warn_effect=0.0, error_effect=4.0,  # ratio to the usual rate, or its inverse
    ),
    Rule(
        NOT_DURABLE, frozenset({"not_durable"}), ANY, "records are not on disk",
        "Free or enlarge the agent's state volume: what arrives now is lost if the agent dies.",
        warn_effect=0.0, error_effect=0.0, healthy_windows=1, needs_rows=False,
    ),
    Rule(
        NO_DATA, frozenset({"no_data"}), ANY, "no data",
        "Check that the model server runs and that its client reaches the agent's socket.",
        warn_effect=0.0, error_effect=2.0, pending_windows=1, healthy_windows=1, needs_rows=False,
    ),
    Rule(
        RETRAIN_SUGGESTED, frozenset({"retrain"}), ANY, "retraining is suggested",
        "Weigh the reasons named; then train on data from after the oldest of them, and build a new reference from it.",
        warn_effect=2.0, error_effect=4.0,  # reasons: one may wait, two are worth a look, four are a model at its end
        needs_rows=False, retrain=True,
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Rule] = {rule.name: rule for rule in RULES}


def rule_of(finding: Finding) -> Rule | None:
    """The alert a finding counts for; None: it is shown, and alerts nobody."""
    for rule in RULES:
        if bool(finding.segment) is not rule.of_segments:
            continue
        if finding.check in rule.checks and finding.source in rule.sources:
            return rule
    return None


def state_finding(check: str, broken: bool, reason: str, window: int) -> Finding:
    """A finding about the agent or its traffic as a whole: `not_durable`, `no_data`. The reason must hold no value."""
    verdict = Verdict.ALARM if broken else Verdict.WITHIN_NOISE
    return Finding(check, "", Source.FEATURE, verdict, effect=float(broken), first_window=window, reason=reason)
