"""What the status says of a finding, and what it keeps to itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.records import Finding, Source, Verdict
from agent.report.findings import Showing, kind_of
from agent.web.pages import encode
from tests.web.samples import LAYOUT, kinds

HOUR_NS = 3_600_000_000_000


def shown(inside: bool) -> str:
    return encode(Showing(LAYOUT, HOUR_NS, inside).groups(kinds())).decode()


def test_category_names_are_shown_only_where_the_schema_says_public() -> None:
    """carrier is public, tailnum is not: its bin has a number, on this machine too."""
    text = shown(inside=True)
    assert "in B6" in text
    assert "N14228" not in text
    assert "in bin 0" in text
    assert "in never seen" in text  # no value, but the want of one


def test_edges_of_numbers_are_shown_on_this_machine_alone() -> None:
    """A page that others may read has the bin's number instead."""
    assert "60 to 120" in shown(inside=True)
    assert "60 to 120" not in shown(inside=False)
    assert "in bin 4" in shown(inside=False)


def test_groups_and_classes_of_followers_are_named_on_this_machine_alone() -> None:
    """Elsewhere a follower's lines are shown, and not the legend of its groups."""
    shown = {"fairness": {"title": "Groups compared", "lines": [], "note": "", "gender": {"groups": {"1": "f"}}}}
    assert Showing(LAYOUT, HOUR_NS, inside=True).followed(shown) == shown
    assert "gender" not in Showing(LAYOUT, HOUR_NS, inside=False).followed(shown)["fairness"]


def test_each_alarm_says_what_since_when_and_by_which_method() -> None:
    """The sentence comes with direction, bins and season; the first window of the horizon as a time; rank and share."""
    groups = Showing(LAYOUT, HOUR_NS, inside=True).groups(kinds())
    first = groups["drift"][0]
    assert (first["feature"], first["rank"], first["severity"]) == ("dep_delay", 1, "large")
    assert first["share_of_effect"] == pytest.approx(0.31 / 0.43)
    assert "values moved up" in first["said"]
    assert "compared with the same hour of the day" in first["said"]
    assert "tested over" not in first["said"]
    assert "tested over" in first["reason"]
    assert first["since"] == "2026-05-10T08:00:00+00:00"
    assert first["significance"] == pytest.approx(12.52, abs=0.01)
    assert [line["feature"] for line in groups["drift"] if "share_of_effect" not in line] == ["late"]


def test_every_check_has_its_place() -> None:
    """Faults of one value, of the traffic as a whole, of the service; nothing is lost."""
    groups = Showing(LAYOUT, HOUR_NS, inside=True).groups(kinds())
    assert {line["check"] for line in groups["traffic"]} == {"volume", "duplicates"}
    assert {line["check"] for line in groups["service"]} == {"latency"}
    assert {line["segment"] for line in groups["segments"]} == {"origin=JFK", "origin=SWF"}
    assert sum(len(lines) for lines in groups.values()) == len(kinds())
    assert kind_of(Finding("no_data", "", Source.FEATURE, Verdict.ALARM)) == "traffic"


def test_what_does_not_alarm_comes_after_what_does() -> None:
    """A long list keeps its alarms."""
    quiet = [replace(f, verdict=Verdict.WITHIN_NOISE, effect=9.0) for f in kinds() * 40 if f.subject == "air_time"]
    lines = Showing(LAYOUT, HOUR_NS, inside=True).groups([*quiet, *kinds()])["quality"]
    alarms = [line["verdict"] == "alarm" for line in lines]
    assert alarms == sorted(alarms, reverse=True)
    assert sum(alarms) == 6
    assert json.loads(encode({"lines": lines}))["lines"][0]["check"] == "missing"
