"""`sidelight status` as text, against goldens (`SIDELIGHT_GOLDENS=write` writes them anew)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from agent.figures import bar, share, span, took, whole
from agent.web.terminal import render_status
from tests.web.samples import NAN, alarming, busy, empty

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize(
    ("golden", "status", "width"),
    [
        ("busy-100.txt", busy(), 100),
        ("busy-60.txt", busy(), 60),
        ("empty-80.txt", empty(), 80),
        ("alarming-100.txt", alarming(), 100),
        ("alarming-80.txt", alarming(), 80),
    ],
)
def test_the_text_is_as_agreed(golden: str, status: dict[str, object], width: int) -> None:
    """A busy agent in two widths, and one nobody talks to, which says where to look."""
    found = render_status(status, width)
    if os.environ.get("SIDELIGHT_GOLDENS") == "write":
        (GOLDENS / golden).write_text(found, encoding="utf-8")
    assert found == (GOLDENS / golden).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 100])
def test_no_line_is_wider_than_asked(width: int) -> None:
    """Only a single word longer than the width may stick out."""
    lines = render_status(busy(), width).splitlines()
    assert [line for line in lines if len(line) > width and " " in line.strip()] == []


def test_colours_change_nothing_but_colours() -> None:
    """At a width where nothing folds, the coloured text less its codes is the plain text."""
    coloured = render_status(busy(), 1000, colour=True)
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == render_status(busy(), 1000)


def test_a_name_cannot_steer_the_terminal() -> None:
    """Escape and newline in a sender's name come out as question marks."""
    status = busy()
    status["models"][0]["name"] = "evil\x1b[2J\nmodel"
    text = render_status(status, 100)
    assert "\x1b" not in text
    assert "evil?[2J?model" in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("learning", "not judged yet"),
        ("no_reference", "drift is not judged"),
        ("reference_too_short", "drift is not judged"),
        ("no_data", "nothing is known"),
        ("labels_only", "its predictions stopped"),
    ],
)
def test_a_blind_state_never_reads_as_healthy(state: str, words: str) -> None:
    """Each says that it does not judge, and the word watching is not there."""
    status = empty() | {"models": [busy()["models"][1] | {"state": state, "state_reason": ""}]}
    line = next(line for line in render_status(status, 100).splitlines() if line.startswith("flight-delay"))
    assert words in line
    assert "watching" not in line


def test_lost_durability_is_said() -> None:
    """A disk that takes nothing stands right under the head."""
    status = empty()
    status["agent"]["durable"] = False
    assert "not durable: /var/lib/sidelight cannot be written" in render_status(status, 100).splitlines()[1]


def test_resolved_alerts_are_left_out() -> None:
    """Only what still matters is listed."""
    status = busy()
    status["alerts"][0]["state"] = "resolved"
    assert "input_drift" not in render_status(status, 100)


def test_what_is_no_number_is_a_dash() -> None:
    """NaN, null and text never become 0."""
    for value in (NAN, None, "7", True):
        assert (whole(value), took(value), span(value), share(value)) == ("–", "–", "–", "–")


def test_units_fit_the_size() -> None:
    """Microseconds to days."""
    assert [took(seconds) for seconds in (0.00002, 0.0042, 2.5)] == ["20 µs", "4.2 ms", "2.50 s"]
    assert [span(seconds) for seconds in (3, 600, 84_180, 864_000)] == ["3 s", "10 min", "23 h", "10 days"]


def test_a_bar_is_never_empty_nor_overfull() -> None:
    """Any drift shows one cell at least; a huge one fills the bar and no more."""
    assert bar(0.0).count("█") == 1
    assert bar(99.0) == "█" * 16
