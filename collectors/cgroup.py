"""The container the agent runs in, from cgroup v2.

A container sees only its own cgroup: these are the sidecar's figures, unless the pod's cgroup is mounted at the root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from collectors.base import Host, Reading, Unavailable, read

_FILES = (
    "cpu.stat",
    "cpu.max",
    "memory.current",
    "memory.max",
    "memory.stat",
    "memory.events",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
)


class Cgroup:
    """container.cpu.time and container.memory.*; limits, throttling, out-of-memory kills and stalls under own names."""

    name = "cgroup"

    def __init__(self, host: Host) -> None:
        self._root, self._self = host.cgroup, host.proc / "self" / "cgroup"

    def collect(self) -> Iterator[Reading]:
        yield from parse(self.read())

    def read(self) -> dict[str, str]:
        """The texts of this cgroup's files by name; files the kernel does not offer are left out."""
        if not (self._root / "cgroup.controllers").exists():
            raise Unavailable(f"{self._root}: no cgroup v2 here")
        folder = self._folder()
        texts = {}
        for name in _FILES:
            try:
                texts[name] = (folder / name).read_text()
            except OSError:  # controller not enabled, or pressure accounting off (EOPNOTSUPP)
                continue
        if "memory.current" not in texts and "cpu.max" not in texts:
            raise Unavailable(f"{folder}: the root cgroup, no container's")
        return texts

    def _folder(self) -> Path:
        """Without a cgroup namespace the root is the host's, and /proc/self/cgroup says where in it we are."""
        for line in read(self._self).splitlines():
            if line.startswith("0::/") and ".." not in line:
                inner = self._root / line.removeprefix("0::/")
                return inner if inner.is_dir() else self._root
        return self._root


def parse(texts: Mapping[str, str]) -> Iterator[Reading]:
    """Files by name -> readings. A limit of `max` gives none: no limit is not a big number."""
    if "cpu.stat" in texts:
        yield from _parse_cpu(_pairs(texts["cpu.stat"]))
    if "cpu.max" in texts:
        quota, period = texts["cpu.max"].split()
        if quota != "max":
            yield Reading("sidelight.container.cpu.limit", "{cpu}", "gauge", int(quota) / int(period))
    if "memory.current" in texts:
        yield from _parse_memory(int(texts["memory.current"]), texts.get("memory.max", "max").strip(), texts)
    if "memory.events" in texts:
        kills = _pairs(texts["memory.events"]).get("oom_kill", 0)
        yield Reading("sidelight.container.memory.oom_kills", "{kill}", "counter", kills)
    for resource in ("cpu", "memory", "io"):
        yield from _parse_pressure(resource, texts.get(f"{resource}.pressure", ""))


def _parse_cpu(stat: Mapping[str, int]) -> Iterator[Reading]:
    for mode in ("user", "system"):
        if f"{mode}_usec" in stat:
            yield Reading("container.cpu.time", "s", "counter", stat[f"{mode}_usec"] / 1e6, {"cpu.mode": mode})
    if "throttled_usec" in stat:
        yield Reading("sidelight.container.cpu.throttled.time", "s", "counter", stat["throttled_usec"] / 1e6)


def _parse_memory(current: int, limit: str, texts: Mapping[str, str]) -> Iterator[Reading]:
    yield Reading("container.memory.usage", "By", "gauge", current)
    stat = _pairs(texts.get("memory.stat", ""))
    # cadvisor's definition, the one the kubelet evicts by: what is in use less the file cache nobody touched lately.
    working_set = max(0, current - stat.get("inactive_file", 0))
    if stat:
        yield Reading("container.memory.working_set", "By", "gauge", working_set)
        yield Reading("container.memory.rss", "By", "gauge", stat.get("anon", 0))
        major = stat.get("pgmajfault", 0)
        for kind, value in (("major", major), ("minor", max(0, stat.get("pgfault", 0) - major))):
            yield Reading("container.paging.faults", "{fault}", "counter", value, {"system.paging.fault.type": kind})
    if limit != "max":
        yield Reading("sidelight.container.memory.limit", "By", "gauge", int(limit))
        yield Reading("container.memory.available", "By", "gauge", max(0, int(limit) - working_set))


def _parse_pressure(resource: str, text: str) -> Iterator[Reading]:
    """`some avg10=0.00 avg60=0.00 avg300=0.00 total=123` (µs), one line each for some and full."""
    for line in text.splitlines():
        scope, *fields = line.split()
        total = dict(pair.split("=", 1) for pair in fields)["total"]
        attributes = {"sidelight.resource": resource, "sidelight.pressure": scope}
        yield Reading("sidelight.container.pressure.time", "s", "counter", int(total) / 1e6, attributes)


def _pairs(text: str) -> dict[str, int]:
    """Lines of `key value`; others are skipped."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
