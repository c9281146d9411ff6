"""The generic webhook: one JSON object an alert's event, signed where there is a secret.

    X-Sidelight-Signature: t=UNIX-SECONDS,v1=HEX     HEX = HMAC-SHA256(secret, UNIX-SECONDS "." body)

It is signed when it is sent: an alert may have waited for an hour, and its signature is to be fresh.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from agent.export.receivers.receiver import Credential, Sealed, Speaker
from agent.records import Event

SIGNATURE = "X-Sidelight-Signature"


def body(event: Event, speaker: Speaker) -> bytes:
    """The event as it is. key: the same alert is never told under two keys."""
    time = datetime.fromtimestamp(event.time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return json.dumps({
        "key": event.key, "name": event.name, "time": time, "severity": event.severity, "body": event.body,
        "source": speaker.named(), "attributes": plain(event.attributes),
    }).encode()  # fmt: skip


def sealed(secret: Credential) -> Callable[[bytes, int], Sealed]:
    """Signs, if there is a secret."""

    def seal(payload: bytes, seconds: int) -> Sealed:
        key = secret.read()
        return Sealed(payload, ((SIGNATURE, signature(key, seconds, payload)),) if key else (), key)

    return seal


def signature(secret: str, seconds: int, payload: bytes) -> str:
    """The header's value. docs/alerts.md has the same vector, made with openssl.

    >>> signature("correct horse battery staple", 1700000000, b'{"name":"sidelight.alert.firing"}')
    't=1700000000,v1=d86d4088b66d00996778f5fa52f75b61ae418298acf1465a9980b8e94f614cc5'
    """
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + payload, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"


def plain(value: Any) -> Any:
    """What JSON can say: NaN and the infinities become null, numpy's numbers plain ones, the rest text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
