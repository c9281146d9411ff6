"""The table of alerts, and its runbook."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from agent.alerting.rules import BY_NAME, RULES, Rule, rule_of
from agent.records import Finding, Source, Verdict

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


def sections() -> dict[str, str]:
    """Each section by the anchor its heading makes."""
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    return {heading.lower().replace(" ", "-"): body for heading, body in zip(parts[::2], parts[1::2], strict=True)}


def test_runbook_and_table_name_the_same_alerts() -> None:
    """A rule without a section, or a section without a rule, fails here; the order is the same."""
    assert [f"docs/runbook.md#{anchor}" for anchor in sections()] == [rule.runbook for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_section_answers_the_five_questions(rule: Rule) -> None:
    """What it means, what to look at first, how to check, what to do, when to ignore it."""
    body = sections()[rule.runbook.split("#")[1]]
    for question in ("**What it means.**", "**Look first**", "**Check.**", "**Do.**", "**Ignore it when**"):
        assert question in body


def test_no_finding_belongs_to_two_alerts() -> None:
    """Checks and sources divide the findings."""
    for check in {check for rule in RULES for check in rule.checks}:
        for source, segment in product(Source, ("", "region=north")):
            same = [rule for rule in RULES if rule.of_segments is bool(segment)]
            takers = [rule.name for rule in same if check in rule.checks and source in rule.sources]
            found = rule_of(Finding(check, "x", source, Verdict.ALARM, segment=segment))
            assert takers == ([found.name] if found else [])


@pytest.mark.parametrize(
    ("name", "effect", "severity"),
    [
        ("data_drift", 0.02, "INFO"), ("data_drift", 0.1, "WARN"), ("data_drift", 0.25, "ERROR"),
        ("data_drift", float("nan"), "WARN"), ("broken_pipeline", 0.01, "WARN"), ("broken_pipeline", 1.0, "ERROR"),
        ("latency", 1.6, "WARN"), ("latency", 8.0, "ERROR"), ("not_durable", 1.0, "ERROR"), ("no_data", 1.0, "WARN"),
    ],
)  # fmt: skip
def test_severity_follows_the_effect(name: str, effect: float, severity: str) -> None:
    """In each check's own unit."""
    assert BY_NAME[name].severity(effect) == severity
