"""Where several replicas keep the predictions that wait, as `SIDELIGHT_LABEL_STORE` has it. Its secret stays inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

EXPECTED = (
    "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss://… for TLS (with ?ssl_ca_certs=FILE for an authority of your "
    "own), or unix:///PATH[?db=DB]; characters like @ and / of a password as %40 and %2F"
)


@dataclass(frozen=True, slots=True)
class LabelStore:
    """A Redis server. path: its unix socket, "" over TCP; authority: a file of certificates, "" the system's."""

    host: str = ""
    port: int = 6379
    db: int = 0
    path: str = ""
    tls: bool = False
    authority: str = ""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Without user and password: for people.

        >>> str(label_store("rediss://me:secret@cache.example:6380/2"))
        'rediss://cache.example:6380/2'
        """
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' * self.tls}://{host}:{self.port}/{self.db}"


def label_store(text: str) -> LabelStore:
    """Raises ValueError, which does not hold the text: it may have a password."""
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        port, secret = parts.port, (unquote(parts.username or ""), unquote(parts.password or ""))
    except ValueError:
        raise ValueError(EXPECTED) from None
    if parts.scheme == "unix":
        db = options.pop("db", "0")
        if parts.hostname or not parts.path.startswith("/") or options or not _number(db):
            raise ValueError(EXPECTED)
        return LabelStore(db=int(db), path=unquote(parts.path), user=secret[0], password=secret[1])
    db, authority = parts.path.strip("/") or "0", options.pop("ssl_ca_certs", "")
    sound = parts.scheme in ("redis", "rediss") and parts.hostname and port != 0 and _number(db)
    if not sound or options or parts.fragment or (authority and parts.scheme != "rediss"):
        raise ValueError(EXPECTED)
    return LabelStore(
        host=parts.hostname or "", port=port or 6379, db=int(db), tls=parts.scheme == "rediss", authority=authority,
        user=secret[0], password=secret[1],
    )  # fmt: skip


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5
