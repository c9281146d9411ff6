"""The Datadog dashboard against the catalogue and Datadog's rules for names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agent.telemetry import CATALOGUE, Shape
from deploy.datadog import dashboard
from deploy.promql import MODEL

QUERY = re.compile(r"(sum|max|p50|p95|p99):([a-z0-9_.]+)\{([^}]*)\}(?: by \{([^}]*)\})?(\.as_rate\(\))?")


def queries(widget: dict[str, Any]) -> list[str]:
    definition = widget["definition"]
    below = [each for inner in definition.get("widgets", ()) for each in queries(inner)]
    return below + [q["query"] for request in definition.get("requests", ()) for q in request["queries"]]


def test_every_query_is_of_what_there_is() -> None:
    """Metrics and tags are the catalogue's; counters are rates, distributions are asked for percentiles."""
    made = dashboard.made()
    variables = {each["name"] for each in made["template_variables"]}
    found = [each for widget in made["widgets"] for each in queries(widget)]
    assert len(found) > 20
    for expression in found:
        parts = QUERY.fullmatch(expression)
        assert parts, expression
        space, name, scope, by, rate = parts.groups()
        of = CATALOGUE[name.removeprefix("otel.")]
        assert name == dashboard.in_datadog(of.name)
        assert bool(rate) is (of.shape is Shape.COUNTER)
        assert space.startswith("p") is (of.shape is Shape.HISTOGRAM)
        chosen = [each for each in scope.split(",") if each.startswith("$")]
        assert {each.removeprefix("$") for each in chosen} <= variables
        assert {each.partition(":")[0] for each in scope.split(",")} - set(chosen) <= set(of.attributes)
        assert set((by or "service").split(",")) <= {*of.attributes, *MODEL, "service"}


def test_a_query_of_what_is_not_there_is_refused() -> None:
    """Neither a metric nor an attribute can be misspelt."""
    with pytest.raises(KeyError):
        dashboard.query("sidelight.prediction")
    with pytest.raises(KeyError):
        dashboard.query("sidelight.predictions", ("sidelight.feature.name",))


def test_names_are_within_datadogs_limits() -> None:
    """A metric's name begins with a letter, has letters, digits, dots and underscores, and at most 200 of them."""
    for name in CATALOGUE:
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.]{0,199}", name)
