"""Three agents' counters through a restart and a rollout, and what the fleet's rules must make of them: the unit tests
that `promtool test rules` runs. `make docs` writes sidelight.test.yml.

Expected effects are `agent.drift.effect`'s on the counts of all agents together, never the rules' own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.drift.effect import corrected_psi, psi_terms
from agent.records import Floats, ModelKey
from deploy.prometheus import operations
from deploy.prometheus.rules import BINS, LARGE, PHI, REFERENCE, ROWS

TOLERANCE = 0.005
"""Of an effect over an hour of points two minutes apart: `increase` extrapolates by up to a point."""
STEP, MINUTES, RANGE = 2, 150, 60
RESTART, ROLLOUT = 40, 66  # minutes: agent b loses its state; agents a and b go to version 4, c stays
MOVED = 50  # minute from which agent a alone sees other values
SHARE: Floats = np.array([0.05, 0.25, 0.4, 0.2, 0.1, 0.0])  # of values; the last bin was never seen in the reference
ROWS_REFERENCE, MISSING, PHIS = 20_000, 0.02, (1.0, 1.8, 1.3)
HASH, FEATURE = "00c0ffee00c0ffee", "fare"


@dataclass(frozen=True)
class Series:
    """An agent's counters of one version: (points, bins) from its point number `start` on, where a new one is zero."""

    agent: int
    version: str
    counters: Floats
    start: int


def traffic() -> tuple[Floats, Floats]:
    """Values that arrive in each step: (agents, steps, bins) of version 3, and of version 4."""
    rng = np.random.RandomState(5)  # the stream that NumPy never changes: the file is checked for freshness
    steps = MINUTES // STEP + 1
    three, four = np.zeros((3, steps, len(SHARE))), np.zeros((3, steps, len(SHARE)))
    other = np.array([0.02, 0.08, 0.2, 0.35, 0.3, 0.05])
    for agent, rows in enumerate((90, 60, 30)):
        for step in range(1, steps):
            share = other if agent == 0 and step * STEP > MOVED else SHARE
            into = four if agent < 2 and step * STEP > ROLLOUT else three
            into[agent, step] = rng.multinomial(rows, share)
    return three, four


def series(three: Floats, four: Floats) -> list[Series]:
    """The counters as exported: agent c has counted before, b's begin anew at its restart."""
    found = []
    for agent in range(3):
        counters = three[agent].cumsum(axis=0) + (1_000.0 * SHARE if agent == 2 else 0.0)
        if agent == 1:
            counters[RESTART // STEP :] -= counters[RESTART // STEP]
        found.append(Series(agent, "3", counters, 0))
    for agent in range(2):
        start = ROLLOUT // STEP
        found.append(Series(agent, "4", four[agent, start:].cumsum(axis=0), start))
    return found


def expected(counts: Floats, phis: tuple[float, ...]) -> float:
    """The corrected effect of these values (bins,), by the agent's own code."""
    bins, owner = np.array([len(SHARE)]), np.zeros(len(SHARE), np.int64)
    reference = SHARE * ROWS_REFERENCE * (1 - MISSING)
    n, n_reference = np.array([counts.sum()]), np.array([reference.sum()])
    psi = np.array([psi_terms(counts, reference, n, n_reference, bins, owner).sum()])
    phi = np.array([1.0 + sum(each - 1.0 for each in phis)])
    return float(corrected_psi(psi, n, n_reference, bins, phi)[0])


def text() -> str:
    """The file of unit tests."""
    three, four = traffic()
    lines = [
        "# Made by deploy/prometheus/simulation.py: `make docs`. Run: make rules.",
        "rule_files: [sidelight.rules.yml]\nevaluation_interval: 1m\ntests:",
        f"  - interval: {STEP}m\n    name: three agents, one restarts, two go to another version\n    input_series:",
    ]
    for each in series(three, four):
        lines += _input(each)
    lines.append("    promql_expr_test:")
    for minute, version, counts, phis in (
        (48, "3", three[:, : 48 // STEP + 1], PHIS),  # over the restart, before an hour has passed
        (64, "3", three[:, 4 // STEP + 1 : 64 // STEP + 1], PHIS),  # a has moved, the fleet's mix with it
        (90, "3", three[:, 30 // STEP + 1 : 90 // STEP + 1], PHIS),  # two have left, what they counted is in the hour
        (90, "4", four[:, : 90 // STEP + 1], PHIS[:2]),
        (150, "3", three[:, 90 // STEP + 1 :], PHIS),  # c alone still counts
        (150, "4", four[:, 90 // STEP + 1 :], PHIS[:2]),
    ):
        lines += _effect(minute, version, expected(counts.sum(axis=(0, 1)), phis))
    lines += ["      - {expr: 'fleet:sidelight_drift_effect:1h', eval_time: 0m, exp_samples: []}"]  # no increase yet
    lines += _alerts(expected(four[:, 90 // STEP + 1 :].sum(axis=(0, 1)), PHIS[:2]))
    return "\n".join(lines) + "\n" + operations.text()


def _input(each: Series) -> list[str]:
    """Per bin a counter and a gauge, per agent the reference's rows and φ."""
    gap = f"_x{each.start} " if each.start else ""
    steps = len(each.counters)
    own = ModelKey("taxi", each.version).attributes() | {"job": "fleet", "instance": "abc"[each.agent]}
    of_feature = own | {"sidelight.feature.name": FEATURE, "sidelight.feature.source": "feature"}
    of_bins = of_feature | {"sidelight.reference.hash": HASH}
    found = [_series(ROWS, own | {"sidelight.reference.hash": HASH}, f"{gap}{ROWS_REFERENCE}x{steps - 1}")]
    found += [_series(PHI, of_feature, f"{gap}{PHIS[each.agent]}x{steps - 1}")]
    for cell, values in enumerate(each.counters.T):
        counted = " ".join(f"{value:g}" for value in values)
        found.append(_series(BINS, of_bins | {"sidelight.bin": str(cell)}, gap + counted))
        found.append(_series(REFERENCE, of_bins | {"sidelight.bin": str(cell)}, f"{gap}{SHARE[cell]:g}x{steps - 1}"))
    # A third of the rows are null now: no values, so nothing of the drift.
    found.append(_series(BINS, of_bins | {"sidelight.bin": "null"}, f"{gap}0+30x{steps - 1}"))
    found.append(_series(REFERENCE, of_bins | {"sidelight.bin": "null"}, f"{gap}{MISSING}x{steps - 1}"))
    return found


def _series(name: str, attributes: dict[str, str], values: str) -> str:
    about = ", ".join(f'{key.replace(".", "_")}="{value}"' for key, value in attributes.items())
    return f"      - {{series: '{name}{{{about}}}', values: '{values}'}}"


def _effect(minute: int, version: str, effect: float) -> list[str]:
    selected = f'fleet:sidelight_drift_effect:1h{{sidelight_model_version="{version}"}}'
    return [
        f"      - expr: 'count(abs({selected} - {effect:.6f}) < {TOLERANCE})'",
        f"        eval_time: {minute}m\n        exp_samples: [{{labels: '{{}}', value: 1}}]",
    ]


def _alerts(effect: float) -> list[str]:
    """Nothing before agent a moved; at the end version 4's, as a has most of its traffic; c's version 3 is well."""
    assert effect > LARGE  # noqa: S101 - else the story is about another alert
    attributes = ModelKey("taxi", "4").attributes() | {
        "job": "fleet", "sidelight.feature.name": FEATURE, "sidelight.feature.source": "feature",
        "sidelight.reference.hash": HASH,
    }  # fmt: skip
    about = "".join(f'{key.replace(".", "_")}: "{value}", ' for key, value in attributes.items())
    told = f"Corrected effect {effect:.2f} over all replicas in 1h (0.1 is clear, 0.25 large)."
    return [
        "    alert_rule_test:",
        "      - {eval_time: 48m, alertname: SidelightFleetDrift, exp_alerts: []}",
        "      - {eval_time: 48m, alertname: SidelightFleetDriftLarge, exp_alerts: []}",
        "      - eval_time: 150m\n        alertname: SidelightFleetDriftLarge\n        exp_alerts:",
        f"          - exp_labels: {{severity: critical, {about[:-2]}}}",
        "            exp_annotations:",
        f"              summary: 'taxi 4: {FEATURE} drifted over the whole fleet'",
        f"              description: '{told}'",
        "              runbook: docs/runbook.md#data-drift",
    ]
