"""The pages by path: health, readiness, status as JSON, and the local page that draws it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from agent.web.page import HTML, SCRIPT, STYLE
from agent.web.server import Response, Routes, text

# Names of models and features come from senders: the page sets them as text, and this header lets nothing run but its
# own two blocks, by their hash.
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; script-src '{}'; style-src '{}'"
)


def routes(
    status: Callable[[], Mapping[str, Any]],
    ready: Callable[[], tuple[bool, str]],
    further: Routes | None = None,
) -> Routes:
    """What the server serves. ready: whether records are taken, and why not. further: paths that other stations add."""
    index = Response(200, "text/html; charset=utf-8", HTML.encode(), {"Content-Security-Policy": policy()})
    return {
        "/": lambda: index,
        "/healthz": lambda: text(200, "ok"),  # the loop turns: this ran
        "/readyz": lambda: _readiness(*ready()),
        "/status": lambda: json_page(status()),
        **(further or {}),
    }


def policy() -> str:
    """The Content-Security-Policy of the local page."""
    digests = (hashlib.sha256(block.encode()).digest() for block in (SCRIPT, STYLE))
    return _POLICY.format(*(f"sha256-{base64.b64encode(digest).decode()}" for digest in digests))


def json_page(content: Mapping[str, Any]) -> Response:
    """A page of JSON, as `encode` writes it."""
    return Response(200, "application/json", encode(content))


def encode(status: Mapping[str, Any]) -> bytes:
    """Indented JSON; a number that JSON has no word for (NaN, infinity) is null, an unknown type its text.

    >>> encode({"p": float("nan")})
    b'{\\n  "p": null\\n}\\n'
    """
    return json.dumps(_finite(status), indent=2, ensure_ascii=False, allow_nan=False, default=str).encode() + b"\n"


def _readiness(taken: bool, reason: str) -> Response:
    return text(200 if taken else 503, reason or ("ready" if taken else "not ready"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
