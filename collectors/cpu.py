"""The node's processors, from psutil. In a container its figures are the node's: `system.*`, never `container.*`."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.base import Host, Reading, visible

# OpenTelemetry's modes of psutil's fields. Guest time is left out: it stands in user and nice already (proc(5)).
_MODES = {
    "user": ("user",), "nice": ("nice",), "system": ("system",), "idle": ("idle",), "iowait": ("iowait",),
    "interrupt": ("irq", "softirq"), "steal": ("steal",),
}  # fmt: skip


class Cpu:
    """system.cpu.time by mode, summed over processors (128 would be 900 series a pod), and how many there are."""

    name = "cpu"

    def __init__(self, host: Host) -> None:
        self._system = host.system

    def collect(self) -> Iterator[Reading]:
        with visible():
            times = self._system.cpu_times()._asdict()
            start_ns = int(self._system.boot_time() * 1e9)
            cpus = self._system.cpu_count()
        for mode, fields in _MODES.items():
            if seconds := [times[field] for field in fields if field in times]:
                yield Reading("system.cpu.time", "s", "counter", sum(seconds), {"cpu.mode": mode}, start_ns)
        if cpus:  # None where the system does not tell
            yield Reading("system.cpu.logical.count", "{cpu}", "gauge", cpus)
