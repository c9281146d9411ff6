"""The project tests itself: what is generated is fresh, what is promised of imports holds, every part is documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent import config, documentation
from agent.alerting.rules import RULES
from agent.ledger import CHECKS
from agent.telemetry import CATALOGUE

ROOT = Path(__file__).parent.parent


def test_generated_pages_say_what_the_code_says() -> None:
    """docs/configuration.md and docs/metrics.md are those that `make docs` would write."""
    for path, text in documentation.pages().items():
        assert path.read_text() == text, f"{path.name} is stale: run `make docs`"


def test_every_option_is_documented_with_its_default() -> None:
    """Each SIDELIGHT_ and OTEL_ option stands in docs/configuration.md."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    for group in (config.Settings, config.Otel):
        for name, field in group.fields.items():
            assert f"`{group.prefix}{name}`".upper() in page.upper()
            assert field.about


def test_metric_names_follow_the_conventions() -> None:
    """Lowercase dotted names without units or `total`; a UCUM unit and a description each."""
    for name, metric in CATALOGUE.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", name), name
        assert not name.endswith((".total", "_total", "_seconds", "_bytes")), name
        assert metric.unit, name
        assert metric.description.endswith((".", ":")) or metric.description, name


@pytest.mark.parametrize("module", ["agent.app", "agent.cli", "sidelight", "collectors"])
def test_importing_does_nothing(module: str) -> None:
    """No socket, process, thread or file comes or goes by an import."""
    watch = f"""
import sys
seen = []
def audit(event, args):
    if event in ("socket.bind", "socket.connect", "subprocess.Popen", "os.remove", "os.mkdir"):
        seen.append(event)
sys.addaudithook(audit)
import {module}, threading
assert not seen, seen
assert threading.active_count() == 1, threading.enumerate()
"""
    subprocess.run([sys.executable, "-c", watch], check=True, cwd=ROOT)


def test_the_agent_starts_without_the_heavy_libraries() -> None:
    """scipy, pandas, pyarrow, sklearn and rich are for other machines: memory and start time are budgets."""
    heavy = ("scipy", "pandas", "pyarrow", "sklearn", "rich")
    code = f"import agent.app, sys; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_every_alert_has_a_check_with_a_share() -> None:
    """A check that may alarm by a test takes its share from the ledger."""
    untested = {"not_durable", "no_data", "latency_objective", "new_feature", "retrain"}  # states and facts
    of_others = {"segment_mix", "fairness_limit"}  # take a part of the segments' and of fairness's share
    tested = {check for rule in RULES for check in rule.checks} - untested - of_others
    assert tested <= {check.name for check in CHECKS}


def test_readme_links_lead_somewhere() -> None:
    """Every relative link of the pages for people exists."""
    pages = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
