"""What Alertmanager's API v2 is told of an alert. Silencing, inhibition and grouping are its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agent.config import Secret, Settings
from agent.errors import ConfigurationError
from agent.export.receivers.receiver import Speaker, alert_name, cut, features, moment, runbook, shown_url, whose
from agent.records import Event

PATH = "/api/v2/alerts"
SEVERITIES = {"INFO": "info", "WARN": "warning", "ERROR": "critical"}
LIVES_INTERVALS = 4
"""An alert that is not sent again for so long ends by itself: as with Prometheus, whoever sent it is gone."""
LABEL_MAX, TEXT_MAX = 512, 4_000
VARIABLE = "SIDELIGHT_ALERTMANAGER_URLS"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the Alertmanagers; signal: its books' name."""

    signal: str
    address: str
    shown: str
    authorization: Secret = field(repr=False)


def replicas(settings: Settings) -> list[Replica]:
    """Raises ConfigurationError for what is no URL, or holds a password."""
    found = []
    for number, url in enumerate(settings.alertmanager_urls, start=1):
        shown_url(VARIABLE, url, "http://host:port[/prefix] or https://…, comma separated")
        if "@" in urlsplit(url).netloc or urlsplit(url).query:
            expected = "URLs without password or query; SIDELIGHT_ALERTMANAGER_AUTHORIZATION takes the secret"
            raise ConfigurationError(VARIABLE, "(hidden)", expected)
        address = url.rstrip("/").removesuffix(PATH) + PATH
        found.append(Replica(f"alertmanager-{number}", address, address, settings.alertmanager_authorization))
    return found


def labels(event: Event, speaker: Speaker) -> Labels:
    """The alert's identity there, so only what does not change while it fires: not the features, whose order does.

    A severity that rises makes it another alert, and ends the lesser one: routes go by severity.
    """
    of = event.attributes
    pairs = {
        "alertname": f"Sidelight{alert_name(event).title().replace('_', '')}",
        "severity": SEVERITIES.get(event.severity, "warning"),
        **speaker.named(),
        "model": of.get("sidelight.model.name", ""),
        "version": of.get("sidelight.model.version", ""),
        "role": of.get("sidelight.model.role", ""),
        "deployment": of.get("sidelight.model.deployment", ""),
        "tenant": of.get("sidelight.tenant", ""),
    }
    return tuple((name, cut(str(value), LABEL_MAX)) for name, value in pairs.items() if value)


def notes(event: Event, runbook_url: str) -> Mapping[str, str]:
    """What people read; it may change while the alert fires."""
    worst = features(event)
    named = {
        "summary": f"{alert_name(event).replace('_', ' ')}: {whose(event)}",
        "description": event.body,
        "features": ", ".join(dict.fromkeys(str(f.get("name", "")) for f in worst if f.get("name"))),
        "segments": ", ".join(dict.fromkeys(str(f["segment"]) for f in worst if f.get("segment"))),
        "next_step": str(event.attributes.get("sidelight.alert.next_step", "")),
        "runbook_url": runbook(event, runbook_url),
    }
    return {name: cut(value, TEXT_MAX) for name, value in named.items() if value}


def alert(of: Labels, notes: Mapping[str, str], starts_ns: int, ends_ns: int) -> dict[str, Any]:
    """One entry of the array. ends_ns: in the future while it fires."""
    return {
        "labels": dict(of), "annotations": dict(notes), "startsAt": moment(min(starts_ns, ends_ns)),
        "endsAt": moment(ends_ns),
    }  # fmt: skip
