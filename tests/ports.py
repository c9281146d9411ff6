"""Ports for servers that a test starts by number, and starts again."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

FROM, BELOW = 20_000, 32_000  # under the range that kernels take a connection's own port from


def free_port() -> int:
    """One that nobody has now, and that no connection takes by itself before its server does, or while it is away."""
    chance = random.SystemRandom()  # not the one that tests seed: those side by side would ask for the same
    while True:
        port = chance.randrange(FROM, BELOW)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def refusing_port() -> Iterator[int]:
    """One where nobody answers, and nobody else begins to meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
