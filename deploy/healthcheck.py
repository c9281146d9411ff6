"""Asks the agent beside it whether it lives: the image's HEALTHCHECK. Exit 0: yes; 1: no, and why on stderr.

Reads SIDELIGHT_HTTP as the agent does. Standard library only, so that a check costs one bare interpreter.
"""

from __future__ import annotations

import http.client
import os
import sys


def check(address: str, timeout_seconds: float = 2.0) -> str:
    """What is wrong with the agent at host:port, in words; empty: it is well."""
    host, _, port = address.rpartition(":")
    if not host:
        return f"SIDELIGHT_HTTP={address}: nothing to ask; run the container with --no-healthcheck"
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_seconds)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{address}: {error}"
    finally:
        connection.close()
    return "" if status == 200 else f"{address}/healthz answered {status}"


if __name__ == "__main__":
    sys.exit(check(os.environ.get("SIDELIGHT_HTTP") or "127.0.0.1:8686") or 0)
