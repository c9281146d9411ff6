"""The node's processors, from /proc/stat. In a container this file is the node's: `system.*`, never `container.*`."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.base import TICKS_PER_SECOND, Host, Reading, parse_boot_ns, read

# The columns of /proc/stat's `cpu` lines (proc(5)) under OpenTelemetry's names; irq and softirq are one there.
_MODES = ("user", "nice", "system", "idle", "iowait", "interrupt", "interrupt", "steal")


class Cpu:
    """system.cpu.time by mode, summed over processors (128 would be 900 series a pod), and how many there are."""

    name = "cpu"

    def __init__(self, host: Host) -> None:
        self._path = host.proc / "stat"

    def collect(self) -> Iterator[Reading]:
        yield from parse(read(self._path))


def parse(stat: str) -> Iterator[Reading]:
    """/proc/stat -> readings. Raises ValueError where it has no `cpu` line.

    >>> [(r.attributes["cpu.mode"], r.value) for r in parse("cpu  0 0 0 700\\ncpu0 0 0 0 700") if r.value == 7]
    [('idle', 7.0)]
    """
    seconds: dict[str, float] = {}
    cpus = 0
    for line in stat.splitlines():
        label, *fields = line.split() or [""]
        if label == "cpu":
            # Guest time stands in user and nice already (proc(5)), so the two last columns are left out.
            for mode, ticks in zip(_MODES, fields, strict=False):
                seconds[mode] = seconds.get(mode, 0.0) + int(ticks) / TICKS_PER_SECOND
        elif label.startswith("cpu"):
            cpus += 1
    if not seconds:
        raise ValueError("no line `cpu` in /proc/stat")
    start_ns = parse_boot_ns(stat)
    for mode, value in seconds.items():
        yield Reading("system.cpu.time", "s", "counter", value, {"cpu.mode": mode}, start_ns)
    yield Reading("system.cpu.logical.count", "{cpu}", "gauge", cpus)
