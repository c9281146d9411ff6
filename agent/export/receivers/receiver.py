"""What a receiver of alerts is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.config import Secret, Settings
from agent.errors import ConfigurationError, RetryableError
from agent.export.attributes import text
from agent.records import Event

TAKE, PASS = "", "pass"
"""What `Receiver.when` says besides a reason that is counted."""
RESOLVED = ".resolved"
VERSIONS = "sidelight.model.versions"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A request as it leaves. secret: what must not be repeated where a refusal is shown; empty: nothing."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver. shown: the address without anything secret.

    when: of an alert's event, at a time (ns): TAKE, PASS, or why it is held back, which is counted. body: what is
    spooled, without secrets. seal: adds them, of a body at a time (s), raises RetryableError where one cannot be read.
    known: statuses that say that it has this request already.
    """

    signal: str
    address: str = field(repr=False)
    shown: str
    body: Callable[[Event], bytes] = field(repr=False)
    seal: Callable[[bytes, int], Sealed] = field(repr=False)
    when: Callable[[Event, int], str] = field(default=lambda event, now_ns: TAKE, repr=False)
    known: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who is speaking: what tells this agent from the others. Empty: not known."""

    service: str = ""
    namespace: str = ""
    environment: str = ""
    instance: str = ""

    @classmethod
    def of(cls, resource: Resource) -> Speaker:
        values = {pair.key: pair.value.string_value for pair in resource.attributes}
        names = ("service.name", "service.namespace", "deployment.environment.name", "service.instance.id")
        return cls(*(values.get(name, "") for name in names))

    def named(self) -> dict[str, str]:
        pairs = {
            "service": self.service, "namespace": self.namespace, "environment": self.environment,
            "instance": self.instance,
        }  # fmt: skip
        return {name: value for name, value in pairs.items() if value}


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret, from a variable or from a file that is read whenever it is used, so that it can be changed in place."""

    variable: str
    value: Secret = field(repr=False)
    file: str = ""

    @classmethod
    def of(cls, settings: Settings, name: str) -> Credential:
        """Raises ConfigurationError where both are given: nobody could say which one counts."""
        value, file = getattr(settings, name), getattr(settings, f"{name}_file")
        variable = f"SIDELIGHT_{name.upper()}"
        if value.get_secret_value() and file:
            raise ConfigurationError(f"{variable}_FILE", file, f"only one of it and {variable}")
        return cls(variable, value, file)

    def __bool__(self) -> bool:
        return bool(self.file or self.value.get_secret_value())

    def read(self) -> str:
        """Empty: there is none. Raises RetryableError where the file cannot be read now."""
        if not self.file:
            return self.value.get_secret_value()
        try:
            with open(self.file, encoding="utf-8") as file:
                return file.read().strip()
        except (OSError, UnicodeError) as error:
            raise RetryableError(f"{self.variable}_FILE cannot be read ({type(error).__name__})") from None


def shown_url(variable: str, url: str, expected: str = "http://host[:port]/path or https://…") -> str:
    """The address as people may see it: what follows the host may be a token. Raises ConfigurationError, without the
    value, for what is no URL."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(variable, "(hidden)", expected)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"


def hidden(said: str, secret: str) -> str:
    """What a receiver said, without the secret it was given, also without its scheme.

    >>> hidden("no entry for hunter2", "Bearer hunter2")
    'no entry for (hidden)'
    """
    bare = secret.rpartition(" ")[2]
    return said.replace(secret, "(hidden)").replace(bare, "(hidden)") if bare else said


def alert_name(event: Event) -> str:
    """The alert's rule, as data_drift."""
    return str(event.attributes.get("sidelight.alert.name", event.name))


def whose(event: Event) -> str:
    """Model and version, for people."""
    of = event.attributes
    version = of.get("sidelight.model.version")
    return cut(f"{of.get('sidelight.model.name', '')}{f' version {version}' if version else ''}", 200)


def features(event: Event) -> list[Mapping[str, Any]]:
    """The values it is about, worst first."""
    return list(event.attributes.get("sidelight.alert.features", ()))


def runbook(event: Event, base: str) -> str:
    """The runbook's section: a link where its place is known, else the file in the project."""
    section = str(event.attributes.get("sidelight.alert.runbook", ""))
    return f"{base}#{section.partition('#')[2]}" if base and section else section


def identity(event: Event, speaker: Speaker) -> tuple[str, ...]:
    """What stays the same from an alert's beginning to its end, and again the next time."""
    of = event.attributes
    model = sorted(f"{key}={of[key]}" for key in of if key.startswith("sidelight.model.") and key != VERSIONS)
    return (*speaker.named().values(), *model, str(of.get("sidelight.tenant", "")), alert_name(event))


def moment(time_ns: int) -> str:
    """RFC 3339 in milliseconds.

    >>> moment(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123Z'
    """
    return datetime.fromtimestamp(time_ns // 1_000_000 / 1e3, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def cut(said: str, limit: int) -> str:
    """The text as JSON can carry it, of at most `limit` characters.

    >>> cut("a long story", 7)
    'a long…'
    """
    said = text(said)
    return said if len(said) <= limit else f"{said[: limit - 1]}…"
