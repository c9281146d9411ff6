"""The dashboards against the catalogue, against what dashboard-linter asks, and against itself where it is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.telemetry import CATALOGUE, Shape
from deploy import promql
from deploy.backends import build
from deploy.grafana import dashboards
from deploy.prometheus import rules

FILES = dashboards.files()
SELECTOR = re.compile(r"([a-z][a-z0-9_:]*)\{([^}]*)\}")
HERE = Path(dashboards.__file__).parent
LINTER = shutil.which("dashboard-linter") or shutil.which(build.folder() / "dashboard-linter")
BUILT_IN = {"__rate_interval", "__range"}


def targets(made: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in made["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize("made", FILES.values(), ids=FILES)
def test_variables_are_as_the_linter_wants_them(made: dict[str, Any]) -> None:
    """One data source called so; job and instance several at once, all of them `.+`, read again with the time."""
    by_name = {each["name"]: each for each in made["templating"]["list"]}
    assert [n for n, each in by_name.items() if each["type"] == "datasource"] == ["datasource"]
    assert by_name["datasource"]["label"] == "Data source"
    for name in ("job", "instance"):
        each = by_name[name]
        assert (each["type"], each["multi"], each["includeAll"], each["allValue"]) == ("query", True, True, ".+")
        assert each["label"] == name.title()
    for each in by_name.values():
        if each["type"] == "query":
            assert each["datasource"]["uid"] == "${datasource}"
            assert each["refresh"] == 2
            assert re.fullmatch(r"label_values\(.+, [a-z_]+\)", each["query"]["query"])
    assert made["editable"] is False


@pytest.mark.parametrize("made", FILES.values(), ids=FILES)
def test_panels_say_what_they_show(made: dict[str, Any]) -> None:
    """Title, description, unit, queries and the templated data source, in each; none lies over another."""
    panels = made["panels"]
    for panel in panels:
        if panel["type"] != "row":
            assert panel["title"]
            assert len(panel["description"]) > 10
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]
            assert {each["datasource"]["uid"] for each in (panel, *panel["targets"])} == {"${datasource}"}
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y) for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    ]  # fmt: skip
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("made", FILES.values(), ids=FILES)
def test_every_selector_is_of_the_chosen_jobs_and_instances(made: dict[str, Any]) -> None:
    """Both matchers in each; recorded series are of all instances, so they have only the job's. Labels exist."""
    attributes = {each.in_prometheus: each.attributes for each in CATALOGUE.values()}
    recorded = {rule.name for rule in (*rules.drift(), *rules.performance())}
    for expression in [*targets(made), *(each["expr"] for each in made["annotations"]["list"] if "expr" in each)]:
        found = SELECTOR.findall(expression)
        assert found
        for name, matchers in found:
            assert 'job=~"$job"' in matchers
            if name.startswith("fleet:"):
                assert name in recorded
                continue
            assert 'instance=~"$instance"' in matchers
            labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", matchers)) - {"job", "instance"}
            assert labels <= {a.replace(".", "_") for a in (*attributes[name], *promql.MODEL)}
        bare = re.findall(r"\b(?:sidelight|process|container|system|hw)_[a-z0-9_]+", expression)
        assert set(bare) <= promql.known_names() | {each.replace("fleet:", "").split(":")[0] for each in recorded}


@pytest.mark.parametrize("made", FILES.values(), ids=FILES)
def test_counters_are_rates(made: dict[str, Any]) -> None:
    """A counter or histogram stands in rate or increase only, a rate over $__rate_interval; variables are known."""
    growing = {each.in_prometheus for each in CATALOGUE.values() if each.shape is not Shape.GAUGE}
    names = {each["name"] for each in made["templating"]["list"]} | BUILT_IN
    for expression in targets(made):
        assert set(re.findall(r"\$(\w+)", expression)) <= names
        for start in SELECTOR.finditer(expression):
            if start[1] in growing:
                before, after = expression[: start.start()], expression[start.end() :]
                assert before.endswith(("rate(", "increase("))
                assert after.startswith(("[$__rate_interval]", "[$__range]"))
                assert before.endswith("increase(") or after.startswith("[$__rate_interval]")


def test_every_metric_of_the_catalogue_is_on_a_dashboard() -> None:
    """What the agent says can be seen."""
    shown = " ".join(expression for made in FILES.values() for expression in targets(made))
    missing = [m.name for m in CATALOGUE.values() if not re.search(rf"\b{re.escape(m.in_prometheus)}\b", shown)]
    assert missing == []


def test_the_model_in_depth_shows_what_was_promised() -> None:
    """Traffic, latency, data quality, drift by feature and time, distribution beside reference, labels, performance,
    groups, versions, states, and alerts as annotations."""
    made = FILES["model.json"]
    titles = {panel["title"]: panel for panel in made["panels"]}
    rows = ("Traffic", "Data quality", "Drift", "Labels", "Performance: $metric", "Groups of people",
            "Versions beside each other", "Alerts and blind states")  # fmt: skip
    assert titles.keys() >= {*rows, "Latency"}
    shown = " ".join(targets(made))
    of_the_model = ("sidelight.performance", "sidelight.label", "sidelight.concept", "sidelight.fairness",
                    "sidelight.shadow", "sidelight.drift", "sidelight.quality", "sidelight.prediction.")  # fmt: skip
    here = [each for each in CATALOGUE.values() if each.name.startswith(of_the_model)]
    here = [each for each in here if not each.name.startswith("sidelight.label.store.")]  # the agent's own health
    assert len(here) > 30
    assert [each.name for each in here if not re.search(rf"\b{each.in_prometheus}\b", shown)] == []
    assert titles["Drift by feature and time"]["type"] == "status-history"
    beside = titles["Distribution now and in the reference"]
    assert beside["type"] == "barchart"
    assert len(beside["targets"]) == 2
    (marks,) = [each for each in made["annotations"]["list"] if "expr" in each]
    assert promql.metric("sidelight.alert") in marks["expr"]


@pytest.mark.skipif(LINTER is None, reason="no dashboard-linter on the PATH or beside the backends")
@pytest.mark.parametrize("name", FILES)
def test_dashboard_linter_passes(name: str) -> None:
    """Strictly, warnings too, but for what it cannot know of recorded series."""
    assert LINTER is not None
    done = subprocess.run(
        [LINTER, "lint", "--strict", "--config", ".lint", name], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_without_a_version_is_shown() -> None:
    """All versions are those without the label too: a series whose sender names none has no such label."""
    (version,) = [each for each in FILES["model.json"]["templating"]["list"] if each["name"] == "version"]
    assert version["allValue"] == ".*"
