"""Where several replicas keep what waits: what a URL may be, and that its secret stays inside."""

from __future__ import annotations

import pytest

from agent.config.label_store import LabelStore, label_store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://cache", LabelStore("cache")),
        ("redis://:p%40ss%2F@cache:7000/3", LabelStore("cache", 7000, 3, password="p@ss/")),
        ("rediss://me:word@[::1]/1", LabelStore("::1", 6379, 1, tls=True, user="me", password="word")),
        ("rediss://cache?ssl_ca_certs=/etc/ca.pem", LabelStore("cache", tls=True, authority="/etc/ca.pem")),
        ("unix://:word@/run/redis.sock?db=2", LabelStore(db=2, path="/run/redis.sock", password="word")),
    ],
)
def test_a_url_is_a_store(text: str, expected: LabelStore) -> None:
    """Host, port, database, TLS, socket, user and password; shown without the last two."""
    found = label_store(text)
    assert found == expected
    assert "word" not in f"{found} {found!r}"
    assert "p@ss" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    "text",
    [
        "cache:6379", "http://cache", "redis://", "redis://:s3cret@", "redis://cache:0", "redis://cache:s3cret",
        "redis://cache/s3cret", "redis://cache/-1", "redis://cache?s3cret=1", "redis://cache#s3cret",
        "redis://cache?ssl_ca_certs=/ca.pem", "unix://s3cret/run/redis.sock", "unix://", "redis://[s3cret", "redis://cache/١",
    ],
)  # fmt: skip
def test_what_is_none_is_refused_without_its_secret(text: str) -> None:
    """The message says what was expected, never what was given."""
    with pytest.raises(ValueError, match="redis://") as refused:
        label_store(text)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None
