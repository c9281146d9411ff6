"""PagerDuty's Events API v2: an alert's events open, refresh and resolve one incident."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import xxhash

from agent.export.receivers.receiver import (
    RESOLVED,
    Credential,
    Sealed,
    Speaker,
    alert_name,
    cut,
    features,
    identity,
    moment,
    runbook,
    whose,
)
from agent.records import Event

SEVERITIES = {"INFO": "info", "WARN": "warning", "ERROR": "critical"}
SUMMARY_MAX, SAID_MAX = 1_024, 300


def body(event: Event, speaker: Speaker, runbook_url: str) -> bytes:
    """All but the routing key, which does not lie on disk. dedup_key: the alert's identity, at its end as at its
    beginning."""
    key = xxhash.xxh3_128_hexdigest("\0".join(identity(event, speaker)).encode())
    said: dict[str, Any] = {"dedup_key": f"sidelight/{key}", "client": "sidelight"}
    if event.name.endswith(RESOLVED):
        return json.dumps({"event_action": "resolve", **said}).encode()
    of, at = event.attributes, runbook(event, runbook_url)
    payload = {
        "summary": cut(event.body, SUMMARY_MAX),
        "source": speaker.instance or speaker.service or "sidelight",
        "severity": SEVERITIES.get(event.severity, "warning"),
        "timestamp": moment(event.time_ns),
        "component": whose(event),
        "group": speaker.service,
        "class": alert_name(event),
        "custom_details": {
            **speaker.named(),
            "event": event.key,
            "since": of.get("sidelight.alert.start"),
            "features": [f"{cut(str(f.get('name', '')), 200)}: {cut(str(f.get('said', '')), SAID_MAX)}"
                         for f in features(event)],
            "next_step": of.get("sidelight.alert.next_step"),
            "runbook": at,
        },
    }  # fmt: skip
    links = [{"href": at, "text": "Runbook"}] if "://" in at else []
    return json.dumps({"event_action": "trigger", **said, "payload": payload, "links": links}).encode()


def sealed(key: Credential) -> Callable[[bytes, int], Sealed]:
    """Adds the routing key."""

    def seal(payload: bytes, _: int) -> Sealed:
        secret = key.read()
        return Sealed(b'{"routing_key": ' + json.dumps(secret).encode() + b", " + payload[1:], secret=secret)

    return seal
