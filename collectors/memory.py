"""The node's memory, from /proc/meminfo. In a container this file is the node's: `system.*`, never `container.*`."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.base import Host, Reading, read


class Memory:
    """system.memory.limit, .usage by state, and what the kernel thinks is still available, in bytes."""

    name = "memory"

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "meminfo"

    def collect(self) -> Iterator[Reading]:
        yield from parse(read(self._path))


def parse(meminfo: str) -> Iterator[Reading]:
    """/proc/meminfo -> readings; the states add up to the limit. Raises ValueError without MemTotal and MemFree.

    >>> next(parse("MemTotal: 4 kB\\nMemFree: 1 kB")).value
    4096
    """
    found = {}
    for line in meminfo.splitlines():
        key, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            found[key] = int(rest.split()[0]) * 1024
    if "MemTotal" not in found or "MemFree" not in found:
        raise ValueError("no MemTotal or MemFree in /proc/meminfo")
    total, free, buffers = found["MemTotal"], found["MemFree"], found.get("Buffers", 0)
    # Reclaimable slab is cache in all but name; `free` and htop count it so.
    cached = found.get("Cached", 0) + found.get("SReclaimable", 0)
    yield Reading("system.memory.limit", "By", "gauge", total)
    states = {"free": free, "buffers": buffers, "cached": cached, "used": max(0, total - free - buffers - cached)}
    for state, value in states.items():
        yield Reading("system.memory.usage", "By", "gauge", value, {"system.memory.state": state})
    if "MemAvailable" in found:  # since Linux 3.14
        yield Reading("system.memory.linux.available", "By", "gauge", found["MemAvailable"])
