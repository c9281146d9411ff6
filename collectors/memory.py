"""The node's memory, from psutil. In a container its figures are the node's: `system.*`, never `container.*`."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.base import Host, Reading, visible


class Memory:
    """system.memory.limit, .usage by state, and what the kernel thinks is still available, in bytes."""

    name = "memory"

    def __init__(self, host: Host) -> None:
        self._system = host.system

    def collect(self) -> Iterator[Reading]:
        with visible():
            memory = self._system.virtual_memory()._asdict()
        yield Reading("system.memory.limit", "By", "gauge", memory["total"])
        # `cached` holds reclaimable slab. `used` is the rest, so that the states add up: psutil's own is total less
        # available in some releases and total less free, buffers and cached in others.
        states = {state: memory[state] for state in ("free", "buffers", "cached") if state in memory}
        states["used"] = max(0, memory["total"] - sum(states.values()))
        for state, value in states.items():
            yield Reading("system.memory.usage", "By", "gauge", value, {"system.memory.state": state})
        yield Reading("system.memory.linux.available", "By", "gauge", memory["available"])
