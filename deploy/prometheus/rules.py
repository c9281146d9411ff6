"""Drift of a whole fleet out of its agents' counters per bin, as Prometheus rules. `make docs` writes
sidelight.rules.yml; `python -m deploy.prometheus.rules 6h 5m` prints them over another range, every so often.

The statistic is `agent.drift.effect`'s, on pooled counts: PSI with half a count added to every bin, less what noise
alone would give, φ (B - 1) (1/n + 1/N). Never an average of the agents' own PSI: that is not the fleet's.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass, field

from deploy.promql import MODEL, VALUES, labels, metric

RANGE, INTERVAL = "1h", "1m"
CLEAR, LARGE = 0.1, 0.25  # corrected PSI; agent.drift.effect.Severity
ROWS_MIN = 50  # agent.drift.pooling.ROWS_MIN
SIGMAS = 5.0  # of noise; docs/decisions/0114-fleet-drift.md measures it
BINS, REFERENCE = metric("sidelight.feature.bin.values"), metric("sidelight.feature.bin.reference")
ROWS, PHI = metric("sidelight.reference.rows"), metric("sidelight.drift.overdispersion")
FEATURE = ("sidelight.feature.name", "sidelight.feature.source")
OF_REFERENCE = labels(["job", *MODEL, "sidelight.reference.hash"])
OF_FEATURE = labels(["job", *MODEL, *FEATURE])
SERIES = labels(["job", *MODEL, "sidelight.reference.hash", *FEATURE])
OF_BIN = labels(["job", *MODEL, "sidelight.reference.hash", *FEATURE, "sidelight.bin"])


@dataclass(frozen=True)
class Recorded:
    """A recording rule. about: a comment in the file."""

    name: str
    about: str
    expression: str


@dataclass(frozen=True)
class Alerting:
    """An alerting rule. lasting: how long it has to hold. Labels beside severity are the expression's own."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    description: str
    runbook: str = "docs/backends/prometheus.md"
    keep: str = field(default="")  # keep_firing_for


def drift(over: str = RANGE) -> list[Recorded]:
    """The chain from counters to the corrected effect; each rule uses those before it."""
    n, k = f"fleet:sidelight_feature_values:increase{over}", f"fleet:sidelight_bin_values:increase{over}"
    share, bins = "fleet:sidelight_bin_reference:max", "fleet:sidelight_feature_bins:count"
    now, then = f"fleet:sidelight_bin_share:live{over}", "fleet:sidelight_bin_share:reference"
    known, phi = "fleet:sidelight_reference_values:max", f"fleet:sidelight_drift_overdispersion:max{over}"
    psi, noise = f"fleet:sidelight_drift_psi:{over}", f"fleet:sidelight_drift_noise:{over}"
    every = "ignoring (sidelight_bin) group_left ()"
    df = f"({bins} - 1)"
    return [
        Recorded(
            k, "Values per bin over all replicas. Bins with a name (null, absent, …) hold none.",
            f'sum by ({OF_BIN}) (increase({BINS}{{sidelight_bin=~"{VALUES}"}}[{over}]))',
        ),
        Recorded(n, "n: values of the feature.", f"sum without (sidelight_bin) ({k})"),
        Recorded(
            share, "q: the reference's shares, alike in all replicas with the same hash.",
            f'max by ({OF_BIN}) ({REFERENCE}{{sidelight_bin=~"{VALUES}"}})',
        ),
        Recorded(bins, "B.", f"count without (sidelight_bin) ({share})"),
        Recorded(
            known, "N: the reference's rows in which the feature has a value.",
            f'(1 - sum by ({SERIES}) (max by ({OF_BIN}) ({REFERENCE}{{sidelight_bin!~"{VALUES}"}})))\n'
            f"  * on ({OF_REFERENCE}) group_left () max by ({OF_REFERENCE}) ({ROWS})",
        ),
        Recorded(
            now, "p, with half a count a bin, so that an empty one is finite. None without values.",
            f"({k} + 0.5)\n  / {every} (({n} > 0) + 0.5 * {bins})",
        ),
        Recorded(
            then, "q, likewise.",
            f"({share} * {every} {known} + 0.5)\n  / {every} ({known} + 0.5 * {bins})",
        ),
        Recorded(
            phi, "φ of the pooled rows: what moves windows moves all replicas alike; more of them do not average it "
            "away.\nφ - 1 grows with the rows of a window, so replicas' excesses add up. Each one's largest in that "
            "time, so\nthat a replica that was replaced still counts as its rows do.",
            f'1 + sum by ({OF_FEATURE}) (\n  clamp_min(max_over_time({PHI}{{sidelight_segment=""}}[{over}]) - 1, 0)\n)',
        ),
        Recorded(
            psi, "PSI of pooled counts. Never averaged over replicas.",
            f"sum without (sidelight_bin) (({now} - {then}) * ln({now} / {then}))",
        ),
        Recorded(
            noise, "What noise alone gives on average: φ (B - 1) (1/n + 1/N). None until agents tell φ.",
            f"{df} * (1 / ({n} > 0) + 1 / {known}) * on ({OF_FEATURE}) group_left () {phi}",
        ),
        Recorded(
            f"fleet:sidelight_drift_effect:{over}", "Corrected effect: 0.02 small, 0.1 clear, 0.25 large.",
            f"{psi} - {noise}",
        ),
        Recorded(
            f"fleet:sidelight_drift_sigmas:{over}",
            "How many standard deviations of noise: PSI over its noise is a χ² of B - 1 degrees over B - 1, made\n"
            "normal by its cube root (Wilson, Hilferty 1931).",
            f"(({psi} / {noise}) ^ (1 / 3) - (1 - 2 / (9 * {df})))\n/ sqrt(2 / (9 * {df}))",
        ),
    ]  # fmt: skip


def performance(over: str = RANGE) -> list[Recorded]:
    """How good the fleet's predictions were whose labels came in that time: from counts of outcomes, which add up. Of
    classes that go by numbers, each agent's own, only what is right can be told from what is wrong."""
    outcomes, every = metric("sidelight.performance.outcomes"), f"fleet:sidelight_performance_labels:increase{over}"
    actual, predicted = (f"sidelight_performance_{which}" for which in ("actual", "predicted"))

    def counted(*matchers: str) -> str:
        chosen = f"{{{', '.join(matchers)}}}" if matchers else ""
        return f"sum by ({labels(['job', *MODEL])}) (increase({outcomes}{chosen}[{over}]))"

    def copied(label: str) -> str:
        return f'label_replace(increase({outcomes}[{over}]), "class", "$1", "{label}", "(.*)")'

    of_positive, said_positive = f'{actual}="positive"', f'{predicted}="positive"'
    both = counted(of_positive, said_positive)
    return [
        Recorded(every, "Labels that met their prediction, over all replicas.", counted()),
        Recorded(
            f"fleet:sidelight_performance_accuracy:{over}", "Where truth and decision are of the same class.",
            f"sum by ({labels(['job', *MODEL])}) (\n  {copied(actual)}\n  and {copied(predicted)}\n)\n/ ({every} > 0)",
        ),
        Recorded(
            f"fleet:sidelight_performance_precision:{over}", "Of two classes.",
            f"{both}\n/ ({counted(said_positive)} > 0)",
        ),
        Recorded(
            f"fleet:sidelight_performance_recall:{over}", "Of two classes.",
            f"{both}\n/ ({counted(of_positive)} > 0)",
        ),
    ]  # fmt: skip


def alerts(over: str = RANGE) -> list[Alerting]:
    """Two of the fleet's drift, one for what the agents themselves say, the rest about being blind or losing data."""
    effect, sigmas = f"fleet:sidelight_drift_effect:{over}", f"fleet:sidelight_drift_sigmas:{over}"
    rows = f"fleet:sidelight_feature_values:increase{over}"
    sure = f"and {sigmas} > {SIGMAS:g} and {rows} >= {ROWS_MIN}"
    model = "{{ $labels.sidelight_model_name }} {{ $labels.sidelight_model_version }}"
    moved = f"{model}: {{{{ $labels.sidelight_feature_name }}}} drifted over the whole fleet"
    told = (
        f"Corrected effect {{{{ $value | printf \"%.2f\" }}}} over all replicas in {over} (0.1 is clear, 0.25 large)."
    )  # fmt: skip
    state, alert = metric("sidelight.model.state"), metric("sidelight.alert")
    by_model = labels(["job", *MODEL])
    by_agent = labels(["job", "instance"])
    return [
        Alerting(
            "SidelightFleetDrift", f"{effect} >= {CLEAR} < {LARGE} {sure}", "15m", "warning", moved, told,
            "docs/runbook.md#data-drift",
        ),
        Alerting(
            "SidelightFleetDriftLarge", f"{effect} >= {LARGE} {sure}", "5m", "critical", moved, told,
            "docs/runbook.md#data-drift",
        ),
        Alerting(
            "SidelightAlert",
            f"max by ({by_model}, sidelight_alert_name, sidelight_alert_severity) ({alert}) == 1", "0m", "warning",
            f"{model}: {{{{ $labels.sidelight_alert_name }}}}",
            "An agent's own calibrated alert fires, {{ $labels.sidelight_alert_severity }}; its words are in the "
            "event of that name.", "docs/runbook.md", "5m",
        ),
        Alerting(
            "SidelightBlind",
            f"max by ({by_model}, sidelight_state) (\n"
            f'  {state}{{sidelight_state=~"no_reference|reference_too_short|no_data"}}\n) == 1',
            "1h", "warning", f"{model} is not watched: {{{{ $labels.sidelight_state }}}}",
            "At least one replica cannot judge this model; its silence is no health. `sidelight status` says why.",
        ),
        Alerting(
            "SidelightNotDurable",
            f'max by (job, instance) ({state}{{sidelight_state="not_durable"}}) == 1', "1m", "critical",
            "{{ $labels.instance }} cannot write its records to disk",
            "What is counted now is lost if the agent dies. Free or enlarge its state volume.",
            "docs/runbook.md#not-durable",
        ),
        Alerting(
            "SidelightRecordsLost",
            f'sum by ({by_agent}, sidelight_reason) '
            f'(increase({metric("sidelight.records")}{{sidelight_outcome=~"dropped|refused"}}[15m]))\n> 0',
            "0m", "warning",
            "{{ $labels.instance }} dropped or refused records",
            "{{ $value | printf \"%.0f\" }} records in 15 minutes, {{ $labels.sidelight_reason }}; no window has them.",
        ),
        Alerting(
            "SidelightSendersLost",
            f"sum by ({by_model}, sidelight_reason) (increase({metric('sidelight.client.dropped')}[15m])) > 0",
            "0m", "warning",
            f"Senders of {model} lose records before the agent",
            "{{ $value | printf \"%.0f\" }} records in 15 minutes, {{ $labels.sidelight_reason }}.",
        ),
        Alerting(
            "SidelightExportLost",
            f"sum by ({by_agent}, sidelight_signal, sidelight_outcome) (\n"
            f'  increase({metric("sidelight.export.items")}{{sidelight_outcome=~"dropped|rejected"}}[15m])\n) > 0',
            "0m", "warning",
            "{{ $labels.instance }} lost {{ $labels.sidelight_signal }} on the way to its backend",
            "{{ $value | printf \"%.0f\" }} items {{ $labels.sidelight_outcome }} in 15 minutes.",
        ),
        Alerting(
            "SidelightFeedbackLost",
            f"sum by ({by_model}) (increase({metric('sidelight.capture.dropped')}[15m])) > 0",
            "0m", "warning",
            f"Rows of {model} were not written to the feedback set",
            "{{ $value | printf \"%.0f\" }} rows in 15 minutes: too many waited for a place that could not be written.",
        ),
        Alerting(
            "SidelightCheckpointOld", f"{metric('sidelight.checkpoint.age')} > 60", "5m", "warning",
            "{{ $labels.instance }} has not written its state for a minute",
            "It writes every two seconds. What it counted since would be replayed from the journal, which grows.",
        ),
    ]  # fmt: skip


def text(over: str = RANGE, interval: str = INTERVAL) -> str:
    """The rules file."""
    lines = [
        "# Drift of a whole fleet, and alerts on what its agents say. docs/backends/prometheus.md explains it.",
        "# Made by deploy/prometheus/rules.py from agent/telemetry.py: `make docs`.",
        "groups:",
        f"  - name: sidelight-fleet-drift\n    interval: {interval}\n    rules:",
    ]
    for rule in drift(over):
        lines += _recorded(rule)
    lines.append(f"  - name: sidelight-fleet-performance\n    interval: {interval}\n    rules:")
    for rule in performance(over):
        lines += _recorded(rule)
    lines.append(f"  - name: sidelight-alerts\n    interval: {interval}\n    rules:")
    for alert in alerts(over):
        lines += [f"      - alert: {alert.name}", _block("expr", alert.expression), f"        for: {alert.lasting}"]
        lines += [f"        keep_firing_for: {alert.keep}"] if alert.keep else []
        lines += [f"        labels:\n          severity: {alert.severity}", "        annotations:"]
        for name, said in (("summary", alert.summary), ("description", alert.description)):
            lines.append(f"          {name}: '{said.replace(chr(39), chr(39) * 2)}'")
        lines.append(f"          runbook: {alert.runbook}")
    return "\n".join(lines) + "\n"


def _recorded(rule: Recorded) -> list[str]:
    return [
        *(f"      # {each}" for each in rule.about.splitlines()),
        f"      - record: {rule.name}", _block("expr", rule.expression),
    ]  # fmt: skip


def _block(key: str, expression: str) -> str:
    return f"        {key}: |-\n" + textwrap.indent(expression, " " * 10)


if __name__ == "__main__":
    sys.stdout.write(text(*sys.argv[1:3]))
