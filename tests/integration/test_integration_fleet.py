"""Three agents and Prometheus with the fleet's rules: the effect of all replicas together is the pooled counts', over a
kill and a rollout; and every query of the dashboards finds data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from agent.drift.effect import corrected_psi, psi_terms
from agent.records import Floats, Source
from agent.reference.profile import Reference
from deploy.grafana import dashboards, truth
from deploy.prometheus import rules
from tests.end_to_end import everything, stream, truth_world
from tests.end_to_end.harness import AgentProcess
from tests.end_to_end.traffic import ROWS, WELL, Fault, drift, kept, sending, window
from tests.integration.prometheus import Prometheus
from tests.integration.servers import until
from tests.integration.story import SERVICE

pytestmark = pytest.mark.integration

TOLERANCE = 0.02
"""Of an effect: some points a second apart, of which `increase` extrapolates up to one at either end."""
AGENTS, WINDOWS = 3, 12
FOLLOWED, FOLLOWED_WINDOWS = "scored", 40  # by then there is a past to compare with
LENT_WINDOWS = 6
FULFILLED = {
    "", truth.LABELS, truth.TWO, truth.GROUPS, truth.PAST, truth.CLASSES, truth.SEGMENTS, truth.TRAINED,
    truth.GROUPS_PAST, truth.LABELLED, "only numbers",
}  # fmt: skip
"""Why a query may find nothing, that this fleet gives no cause for."""
VARIABLES = {
    "job": ".+", "instance": ".+", "model": "loan|scored", "version": ".*", "feature": "x0", "metric": "accuracy",
    "__rate_interval": "1m", "__range": "1h",
}  # fmt: skip


@dataclass(frozen=True)
class Fleet:
    """sent: (values of x0, of x1) by version, over all agents, without each version's first message."""

    prometheus: Prometheus
    reference: Reference
    agents: list[AgentProcess]
    sent: dict[str, dict[str, list[float]]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    made = stream.reference(folder / "fleet.sidelight")
    (folder / "rules.yml").write_text(rules.text(interval="1s"))
    prometheus = Prometheus(folder)
    (folder / "prometheus.yml").write_text(f"rule_files: [{folder / 'rules.yml'}]\n")
    with ExitStack() as stack:
        stack.enter_context(prometheus)
        known = folder / "fleet.sidelight"
        agents = [stack.enter_context(agent_of(folder / name, known, prometheus)) for name in "abc"]
        yield Fleet(prometheus, made, agents, {"3": {"x0": [], "x1": []}, "4": {"x0": [], "x1": []}})


def agent_of(own: Path, reference: Path, prometheus: Prometheus, **options: str) -> AgentProcess:
    own.mkdir()
    return AgentProcess(
        own, **everything.OPTIONS, SIDELIGHT_COLLECTORS="cpu,memory,process", SIDELIGHT_COLLECT_SECONDS="1",
        SIDELIGHT_REFERENCE=str(reference),
        OTEL_METRIC_EXPORT_INTERVAL="1000", OTEL_LOGS_EXPORTER="none", OTEL_TRACES_EXPORTER="none",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{prometheus.endpoint}/v1/metrics",
        OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="http/protobuf", **({"OTEL_SERVICE_NAME": SERVICE} | options),
    )  # fmt: skip


def play(fleet: Fleet, which: int, version: str, windows: range, fault: Fault = WELL) -> None:
    """Sends the windows to one agent; the first of a version is seen in Prometheus before the others go."""
    agent, sent = fleet.agents[which], fleet.sent[version]
    offset = 1_000 * which  # each agent's traffic is its own
    first = not kept(agent.status(), version=version)
    before = fleet.prometheus.value(counted(version)) or 0.0
    with sending(agent) as send:
        for number, index in enumerate(windows):
            request = window(index, fault, version=version)
            rng = np.random.default_rng(offset + index)
            for column in request.columns.numbers:
                shift = dict(fault.shift).get(column.name, 0.0)
                column.values[:] = (rng.normal(size=len(column.values)) + shift).tolist()
                if number or not first:
                    sent.setdefault(column.name, []).extend(column.values)
            assert send(request).accepted == request.columns.rows
            if first and not number:
                until(lambda: (fleet.prometheus.value(counted(version)) or 0.0) > before)


def counted(version: str) -> str:
    name = "sidelight_feature_bin_values_total"
    return f'sum({name}{{sidelight_feature_name="x0",sidelight_model_version="{version}"}})'


def pooled(fleet: Fleet, version: str, feature: str) -> Floats:
    """Counts per bin of what was sent to all agents."""
    layout = fleet.reference.layout
    own = layout.features[layout.index[Source.FEATURE, feature]]
    cells = np.searchsorted(own.split, fleet.sent[version][feature], side="right")
    return np.bincount(cells, minlength=own.bins).astype(np.float64)


def expected(fleet: Fleet, version: str, feature: str) -> float:
    """The corrected effect of the pooled counts, by the agent's own code, with the φ that the agents told."""
    layout = fleet.reference.layout
    number = layout.index[Source.FEATURE, feature]
    bins, start = layout.features[number].bins, int(layout.starts[number])
    reference = fleet.reference.pooled[start : start + bins].astype(np.float64)
    counts = pooled(fleet, version, feature)
    n, n_reference, b = np.array([counts.sum()]), np.array([reference.sum()]), np.array([bins])
    psi = np.array([psi_terms(counts, reference, n, n_reference, b, np.zeros(bins, np.int64)).sum()])
    labels = f'sidelight_feature_name="{feature}",sidelight_model_version="{version}",sidelight_segment=""'
    told = fleet.prometheus.values(f"max_over_time(sidelight_drift_overdispersion{{{labels}}}[1h])", "instance")
    phi = 1.0 + sum(max(value - 1.0, 0.0) for value in told.values())
    return float(corrected_psi(psi, n, n_reference, b, np.array([phi]))[0])


def arrived(fleet: Fleet, version: str) -> bool:
    """Whether every value sent, and what was said first, is in the counters."""
    everything = sum(kept(agent.status(), version=version) for agent in fleet.agents)
    return fleet.prometheus.value(counted(version)) == everything


def effect(fleet: Fleet, version: str, feature: str) -> float:
    labels = f'sidelight_feature_name="{feature}",sidelight_model_version="{version}"'
    found = fleet.prometheus.value(f"{rules.drift()[-2].name}{{{labels}}}")
    return np.nan if found is None else found


def agrees(fleet: Fleet, version: str, feature: str) -> None:
    """The rule's effect comes to be the pooled counts' and is so to within the tolerance."""
    until(lambda: arrived(fleet, version))
    until(lambda: abs(effect(fleet, version, feature) - expected(fleet, version, feature)) < TOLERANCE, 30.0)


def test_the_fleets_effect_is_the_pooled_counts(fleet: Fleet) -> None:
    """One replica of three drifts, one is killed and starts again, two go to another version: pooled throughout."""
    for which in range(AGENTS):
        play(fleet, which, "3", range(WINDOWS), drift(x0=2.0) if which == 0 else WELL)
    agrees(fleet, "3", "x0")
    agrees(fleet, "3", "x1")
    assert expected(fleet, "3", "x0") > 0.25 > 0.02 > abs(expected(fleet, "3", "x1"))

    fleet.agents[1].kill()
    fleet.agents[1].start()
    play(fleet, 1, "3", range(WINDOWS, 2 * WINDOWS))
    agrees(fleet, "3", "x0")
    agrees(fleet, "3", "x1")

    for which in range(2):
        play(fleet, which, "4", range(2 * WINDOWS, 3 * WINDOWS), drift(x1=1.0))
    play(fleet, 2, "3", range(WINDOWS, 2 * WINDOWS))
    for version in "34":
        agrees(fleet, version, "x0")
        agrees(fleet, version, "x1")
    assert expected(fleet, "4", "x1") > 0.25 > 0.02 > abs(expected(fleet, "4", "x0"))


@pytest.fixture(scope="module")
def followed(fleet: Fleet) -> Fleet:
    """One agent gets two versions of another model, their truth a window later, and groups of people."""
    agent, models = fleet.agents[2], (everything.CHAMPION, everything.CHALLENGER)
    with sending(agent) as send:
        for version in models:
            send(everything.loaded(version, FOLLOWED))
        for index in range(FOLLOWED_WINDOWS):
            for version in models:
                assert send(everything.answers(index, version, FOLLOWED)).accepted == ROWS
            if index:
                assert send(everything.truth(index - 1, index, FOLLOWED)).accepted == ROWS
    counted = f'sum(sidelight_performance_outcomes_total{{sidelight_model_name="{FOLLOWED}"}})'
    expected = len(models) * (FOLLOWED_WINDOWS - 2) * ROWS  # the newest window's end brings the truth of those before
    until(lambda: fleet.prometheus.value(counted) == expected)
    lent(fleet)
    return fleet


def lent(fleet: Fleet) -> None:
    """A fourth agent, of another job, has a reference with labels: it says how good predictions are without them."""
    folder = Path(fleet.agents[0].folder).parent
    made = truth_world.reference(folder)
    with agent_of(folder / "d", made, fleet.prometheus, OTEL_SERVICE_NAME="lender") as agent, sending(agent) as send:
        for index in range(LENT_WINDOWS):
            assert send(truth_world.predictions(truth_world.loans(index))).accepted == truth_world.ROWS
        until(lambda: fleet.prometheus.value("count(sidelight_performance_estimated)"))


def test_the_fleets_accuracy_is_that_of_its_labels(followed: Fleet) -> None:
    """By the rules, from counts of outcomes: of either version."""
    selector = f'fleet:sidelight_performance_accuracy:1h{{sidelight_model_name="{FOLLOWED}"}}'
    for version in (everything.CHAMPION, everything.CHALLENGER):
        windows = range(FOLLOWED_WINDOWS - 2)
        right = np.mean([everything.guesses(index, version) == everything.true(index) for index in windows])
        until(lambda: followed.prometheus.values(selector, "sidelight_model_version"))
        found = followed.prometheus.values(selector, "sidelight_model_version")[version]
        assert abs(found - right) < TOLERANCE


def test_every_query_of_the_dashboards_finds_data(followed: Fleet) -> None:
    """With all variables on all; panels that rightly are empty say when they are not."""
    fleet = followed
    until(lambda: fleet.prometheus.value("count(fleet:sidelight_drift_sigmas:1h)"))
    empty = []
    for row in dashboards.rows():
        for panel in row.panels:
            for query in panel.queries:
                expression = re.sub(r"\$(\w+)", lambda found: VARIABLES[found[1]], query.expression)
                if query.sparse in FULFILLED and not fleet.prometheus.value(f"count({expression})"):
                    empty.append((row.title, panel.title))
    assert empty == []
