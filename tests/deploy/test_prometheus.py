"""The rules for Prometheus against the catalogue, and against Prometheus' own tool where it is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.telemetry import CATALOGUE
from deploy import generate, promql
from deploy.prometheus import check, rules

RULES = Path(rules.__file__).parent / "sidelight.rules.yml"
SELECTOR = re.compile(r"\b((?:sidelight|fleet|process|container|system|hw)[a-z0-9_:]*)\{([^}]*)\}")
NAME = re.compile(r"\b(?:sidelight|process|container|system|hw)_[a-z0-9_]+\b(?!:)")


def written() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_generated_files_are_fresh() -> None:
    """What is committed is what the catalogue makes."""
    stale = [path for path, text in generate.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == []


@pytest.mark.parametrize("rule", written(), ids=lambda rule: rule.get("record") or rule["alert"])
def test_a_rule_names_only_what_there_is(rule: dict[str, Any]) -> None:
    """Every metric and label is the catalogue's, every recorded one is recorded by a rule before."""
    recorded = [each["record"] for each in written() if "record" in each]
    before = recorded[: recorded.index(rule["record"])] if "record" in rule else recorded
    text = " ".join([rule["expr"], *rule.get("annotations", {}).values()])
    used = set(re.findall(r"\bfleet:[a-z0-9_:]+", text))
    assert used <= set(before)
    found = set(NAME.findall(re.sub(r"\bfleet:[a-z0-9_:]+", "", text)))
    assert found <= promql.known_names()


def test_a_selector_names_only_labels_its_metric_has() -> None:
    """A matcher on a label that the metric does not carry would silently match nothing, or everything."""
    attributes = {each.in_prometheus: each.attributes for each in CATALOGUE.values()}
    seen = 0
    for rule in written():
        for name, matchers in SELECTOR.findall(rule["expr"]):
            labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", matchers))
            assert labels <= {a.replace(".", "_") for a in (*attributes[name], *promql.MODEL)} | {"job", "instance"}
            seen += 1
    assert seen >= 5


def test_alerts_on_drift_are_on_the_corrected_effect_and_its_noise() -> None:
    """No alert looks at raw PSI, and none at an effect without its n and its noise."""
    drift = [each for each in written() if "Drift" in each.get("alert", "")]
    assert len(drift) == 2
    for each in drift:
        assert each["expr"].startswith("fleet:sidelight_drift_effect:1h >=")
        assert "fleet:sidelight_drift_sigmas:1h >" in each["expr"]
        assert "fleet:sidelight_feature_values:increase1h >=" in each["expr"]
    assert not any("psi" in each["expr"] for each in written() if "alert" in each)


def test_other_ranges_make_other_names() -> None:
    """Rules over two ranges can live in one Prometheus: only what does not depend on the range is called alike."""
    hour, day = ({rule.name for rule in rules.drift(over)} for over in ("1h", "1d"))
    alike = hour & day
    assert alike == {
        "fleet:sidelight_bin_reference:max", "fleet:sidelight_feature_bins:count",
        "fleet:sidelight_reference_values:max", "fleet:sidelight_bin_share:reference",
    }  # fmt: skip


@pytest.mark.skipif(check.promtool() is None, reason="no promtool on the PATH, and none built by `make backends`")
def test_promtool_passes_rules_and_simulation() -> None:
    """The fleet's effect is the pooled counts', over a reset and a rollout, to within the stated tolerance."""
    tool = check.promtool()
    assert tool is not None
    done = subprocess.run(
        [tool, "test", "rules", "sidelight.test.yml"], cwd=RULES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
