"""Slack's incoming webhook: a header, the sentence, and where to look, within its limits."""

from __future__ import annotations

import json
from typing import Any

from agent.export.receivers.receiver import RESOLVED, Speaker, alert_name, cut, runbook, whose
from agent.records import Event

HEADER_MAX, SECTION_MAX, CONTEXT_MAX = 150, 3_000, 2_000
"""Characters of a header, of a section, of a context's text (docs.slack.dev/reference/block-kit/blocks)."""
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""What Slack reads as markup: a link, a mention of everyone."""


def body(event: Event, speaker: Speaker, runbook_url: str) -> bytes:
    """An incoming webhook's message: `text` for notifications, `blocks` for the channel."""
    state = event.name.rpartition(".")[2]
    severity = "" if event.name.endswith(RESOLVED) else f" ({event.severity.lower()})"
    head = f"{alert_name(event).replace('_', ' ')} {state}{severity}: {whose(event)}"
    where = ", ".join(f"{name} {value}" for name, value in speaker.named().items())
    at = runbook(event, runbook_url)
    link = f"<{escaped(at, SECTION_MAX)}|Runbook>" if "://" in at else escaped(at, CONTEXT_MAX // 4)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(head, HEADER_MAX), "emoji": False}},
        {"type": "section", "text": {"type": "mrkdwn", "text": escaped(event.body, SECTION_MAX) or "-"}},
        {"type": "context", "elements": [
            {"type": "mrkdwn", "text": escaped(where, CONTEXT_MAX) or "-"}, {"type": "mrkdwn", "text": link or "-"},
        ]},
    ]  # fmt: skip
    return json.dumps({"text": escaped(head, SECTION_MAX), "blocks": blocks}).encode()


def escaped(said: str, limit: int) -> str:
    """At most `limit` characters after escaping, none of them cut in two.

    >>> escaped("a<b&c", 7)
    'a&lt;b…'
    >>> escaped("a<b", 7)
    'a&lt;b'
    """
    pieces = [ENTITIES.get(character, character) for character in cut(said, limit)]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    room = limit - 1
    while sum(map(len, pieces)) > room:
        pieces.pop()
    return "".join(pieces) + "…"
