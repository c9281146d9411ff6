"""The pages: health, readiness, status, the local page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from decimal import Decimal

from agent.report.states import STATES
from agent.web.page import HTML, SCRIPT, STYLE
from agent.web.pages import encode, policy, routes
from agent.web.server import text
from tests.web.samples import NAN, busy


def test_healthz_says_ok() -> None:
    """200 as soon as the loop runs a page at all."""
    answer = routes(busy, lambda: (False, "loading"))["/healthz"]()
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_readyz_is_503_with_the_reason_until_ready() -> None:
    """The reason is asked for anew at every request."""
    state = [(False, "replaying the journal")]
    page = routes(busy, lambda: state[0])["/readyz"]
    assert (page().status, page().body) == (503, b"replaying the journal\n")
    state[0] = (True, "")
    assert (page().status, page().body) == (200, b"ready\n")


def test_status_is_json_without_nan() -> None:
    """NaN and infinity, however deep, are null; the rest is as given, indented."""
    answer = routes(busy, lambda: (True, ""))["/status"]()
    found = json.loads(answer.body, parse_constant=_refuse)
    assert found["models"][0]["drift"][8]["effect"] is None
    assert found["models"][0]["records"] == busy()["models"][0]["records"]
    assert answer.body.startswith(b'{\n  "agent": {\n')


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def test_values_json_does_not_know_become_text() -> None:
    """Tuples are lists, keys are text, and a stray type does not break the page."""
    assert json.loads(encode({"a": (1, NAN), "b": {2: Decimal("1.5")}})) == {"a": [1, None], "b": {"2": "1.5"}}


def test_further_routes_are_served_beside() -> None:
    """Another station may add its page."""
    assert routes(busy, lambda: (True, ""), {"/metrics": lambda: text(200, "x")})["/metrics"]().body == b"x\n"


def test_the_local_page_takes_nothing_from_outside() -> None:
    """No address but its own status; the favicon is empty data."""
    assert re.findall(r"(?:https?:)?//[a-z]", HTML) == []
    assert set(re.findall(r'(?:src|href)="([^"]*)"', HTML)) == {"data:,", "status"}


def test_the_local_page_sets_names_as_text() -> None:
    """Nothing that came from a sender is parsed as markup."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", SCRIPT)


def test_the_policy_lets_only_the_page_s_own_blocks_run() -> None:
    """The hashes are those of the blocks between the tags, and there is exactly one block each."""
    for tag, block in (("script", SCRIPT), ("style", STYLE)):
        assert re.findall(rf"<{tag}>(.*?)</{tag}>", HTML, re.DOTALL) == [block]
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy()
    header = routes(busy, lambda: (True, ""))["/"]().headers["Content-Security-Policy"]
    assert header == policy()
    assert "unsafe" not in header


def test_every_state_has_words_on_the_page() -> None:
    """A disk that takes nothing is said above all of them."""
    for state in set(STATES) - {"not_durable"}:
        assert f"  {state}: [" in SCRIPT
