"""Processes, from /proc/PID: the agent's own as OpenTelemetry's `process.*`, watched ones as `sidelight.watched.*`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from collectors.base import PAGE_BYTES, TICKS_PER_SECOND, Host, Reading, Unavailable, parse_boot_ns, read

WATCHED_MAX = 512  # processes followed at once; a model server has tens


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says. Times in seconds, `started` since boot; memory in bytes."""

    command: str
    minor_faults: int
    major_faults: int
    user: float
    system: float
    threads: int
    started: float
    virtual: int
    resident: int


def parse_stat(text: str) -> Stat:
    """One line of /proc/PID/stat (proc(5)); the command stands in brackets and may itself hold brackets and spaces."""
    head, _, tail = text.rpartition(")")
    f = tail.split()  # f[0] is field 3, the state
    return Stat(
        command=head.partition("(")[2], minor_faults=int(f[7]), major_faults=int(f[9]),
        user=int(f[11]) / TICKS_PER_SECOND, system=int(f[12]) / TICKS_PER_SECOND, threads=int(f[17]),
        started=int(f[19]) / TICKS_PER_SECOND, virtual=int(f[20]), resident=int(f[21]) * PAGE_BYTES,
    )  # fmt: skip


def parse_switches(status: str) -> Iterator[tuple[str, int]]:
    """Context switches of one thread by OpenTelemetry's kind, from /proc/PID/status."""
    kinds = {"voluntary_ctxt_switches": "voluntary", "nonvoluntary_ctxt_switches": "involuntary"}
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key in kinds:
            yield kinds[key], int(value)


class Process:
    """The agent's own CPU, memory, faults, threads, descriptors and age."""

    name = "process"

    def __init__(self, host: Host) -> None:
        self._folder, self._proc = host.proc / "self", host.proc

    def collect(self) -> Iterator[Reading]:
        stat = parse_stat(read(self._folder / "stat"))
        boot_ns = parse_boot_ns(read(self._proc / "stat"))
        start_ns = boot_ns + int(stat.started * 1e9) if boot_ns else 0
        yield from _readings(stat, start_ns)
        # The main thread's alone (Linux has no sum); it is the event loop, and its involuntary ones say it was starved.
        for kind, count in parse_switches(read(self._folder / "status")):
            attributes = {"process.context_switch.type": kind}
            yield Reading("process.context_switches", "{context_switch}", "counter", count, attributes, start_ns)
        descriptors = len(os.listdir(self._folder / "fd"))
        yield Reading("process.unix.file_descriptor.count", "{file_descriptor}", "gauge", descriptors)
        uptime = float(read(self._proc / "uptime").split()[0])
        yield Reading("process.uptime", "s", "gauge", max(0.0, uptime - stat.started))


def _readings(stat: Stat, start_ns: int) -> Iterator[Reading]:
    for mode, seconds in (("user", stat.user), ("system", stat.system)):
        yield Reading("process.cpu.time", "s", "counter", seconds, {"cpu.mode": mode}, start_ns)
    yield Reading("process.memory.usage", "By", "gauge", stat.resident)
    yield Reading("process.memory.virtual", "By", "gauge", stat.virtual)
    yield Reading("process.thread.count", "{thread}", "gauge", stat.threads)
    for kind, faults in (("minor", stat.minor_faults), ("major", stat.major_faults)):
        attributes = {"system.paging.fault.type": kind}
        yield Reading("process.paging.faults", "{fault}", "counter", faults, attributes, start_ns)


class Watched:
    """The model server's processes, by name, summed; visible where the pod has `shareProcessNamespace`.

    A name is a pattern over the command (`comm`, 15 characters) or the base name of the program or its first argument.
    CPU time of processes that ended is kept in the sum, so the counter never falls when a worker is replaced.
    """

    name = "watched"

    def __init__(self, host: Host) -> None:
        self._proc, self._names = host.proc, host.watched
        self._groups = {name: _Group() for name in host.watched}

    def collect(self) -> Iterator[Reading]:
        if not self._names:
            raise Unavailable("no process is to be watched")
        found = self.read()
        for name, group in self._groups.items():
            group.take(found.get(name, {}))
        if not found:
            names = ", ".join(self._names)
            raise Unavailable(f"no process named {names} is visible (shareProcessNamespace?)")
        for name, group in self._groups.items():
            yield from group.readings({"process.executable.name": name})

    def read(self) -> dict[str, dict[int, Stat]]:
        """name -> pid -> what its stat says, for up to WATCHED_MAX processes, lowest pids first."""
        found: dict[str, dict[int, Stat]] = {}
        left = WATCHED_MAX
        for pid in sorted(int(entry) for entry in os.listdir(self._proc) if entry.isdigit()):
            stat = self._stat(self._proc / str(pid))
            name = stat and self._match(stat.command, self._proc / str(pid))
            if stat and name and left > 0:
                found.setdefault(name, {})[pid] = stat
                left -= 1
        return found

    def _stat(self, folder: Path) -> Stat | None:
        try:
            return parse_stat(read(folder / "stat"))
        except (Unavailable, ProcessLookupError):  # ended meanwhile, or hidden from us
            return None

    def _match(self, command: str, folder: Path) -> str | None:
        """The first watched name this process bears. The command line is read only where the command does not tell."""
        for name in self._names:
            if fnmatchcase(command, name[:15]):
                return name
        try:
            words = read(folder / "cmdline").split("\0")[:2]
        except (Unavailable, ProcessLookupError):
            return None
        bases = [PurePosixPath(word).name for word in words if word]
        return next((name for name in self._names for base in bases if fnmatchcase(base, name)), None)


@dataclass(slots=True)
class _Group:
    """The processes of one watched name. Keyed by pid and start, since pids are used again."""

    alive: dict[tuple[int, float], Stat] = field(default_factory=dict)
    ended_user: float = 0.0
    ended_system: float = 0.0

    def take(self, processes: Mapping[int, Stat]) -> None:
        now = {(pid, stat.started): stat for pid, stat in processes.items()}
        for gone in self.alive.keys() - now.keys():
            self.ended_user += self.alive[gone].user
            self.ended_system += self.alive[gone].system
        self.alive = now

    def readings(self, attributes: Mapping[str, str]) -> Iterator[Reading]:
        stats = self.alive.values()
        yield Reading("sidelight.watched.processes", "{process}", "gauge", len(stats), attributes)
        user = self.ended_user + sum(stat.user for stat in stats)
        system = self.ended_system + sum(stat.system for stat in stats)
        for mode, seconds in (("user", user), ("system", system)):
            yield Reading("sidelight.watched.cpu.time", "s", "counter", seconds, {**attributes, "cpu.mode": mode})
        yield Reading("sidelight.watched.memory.usage", "By", "gauge", sum(stat.resident for stat in stats), attributes)
        yield Reading("sidelight.watched.threads", "{thread}", "gauge", sum(stat.threads for stat in stats), attributes)
