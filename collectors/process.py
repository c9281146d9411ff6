"""Processes, from psutil: the agent's own as OpenTelemetry's `process.*`, watched ones as `sidelight.watched.*`."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import psutil

from collectors.base import Host, Reading, Unavailable, visible

WATCHED_MAX = 512  # processes followed at once; a model server has tens


class Process:
    """The agent's own CPU, memory, faults, threads, descriptors and age."""

    name = "process"

    def __init__(self, host: Host) -> None:
        self._system = host.system

    def collect(self) -> Iterator[Reading]:
        with visible():
            # A new object each time: one that is kept would keep the start it worked out before the clock was set.
            process: psutil.Process = self._system.Process()
            yield from _readings(process)


def _readings(process: psutil.Process) -> Iterator[Reading]:
    started, cpu, memory = process.create_time(), process.cpu_times(), process.memory_info()
    start_ns = int(started * 1e9)
    for mode, seconds in (("user", cpu.user), ("system", cpu.system)):
        yield Reading("process.cpu.time", "s", "counter", seconds, {"cpu.mode": mode}, start_ns)
    yield Reading("process.memory.usage", "By", "gauge", memory.rss)
    yield Reading("process.memory.virtual", "By", "gauge", memory.vms)
    yield Reading("process.thread.count", "{thread}", "gauge", process.num_threads())
    faults = resource.getrusage(resource.RUSAGE_SELF)  # psutil has none on Linux
    for kind, count in (("minor", faults.ru_minflt), ("major", faults.ru_majflt)):
        attributes = {"system.paging.fault.type": kind}
        yield Reading("process.paging.faults", "{fault}", "counter", count, attributes, start_ns)
    for kind, count in _switches(process):
        attributes = {"process.context_switch.type": kind}
        yield Reading("process.context_switches", "{context_switch}", "counter", count, attributes, start_ns)
    yield Reading("process.unix.file_descriptor.count", "{file_descriptor}", "gauge", process.num_fds())
    yield Reading("process.uptime", "s", "gauge", max(0.0, time.time() - started))


def _switches(process: psutil.Process) -> Iterator[tuple[str, int]]:
    """The main thread's alone (Linux has no sum); it is the event loop, and its involuntary ones say it was starved."""
    try:
        switches = process.num_ctx_switches()
    except NotImplementedError:  # gVisor does not count them
        return
    yield "voluntary", switches.voluntary
    yield "involuntary", switches.involuntary


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process uses: processor time in seconds, resident memory in bytes, threads."""

    user: float
    system: float
    resident: int
    threads: int


class Watched:
    """The model server's processes, by name, summed; visible where the pod has `shareProcessNamespace`.

    A name is a pattern over the command (`comm`, 15 characters) or the base name of the program or its first argument.
    CPU time of processes that ended is kept in the sum, so the counter never falls when a worker is replaced.
    """

    name = "watched"

    def __init__(self, host: Host) -> None:
        self._system, self._names = host.system, host.watched
        self._groups = {name: _Group() for name in host.watched}

    def collect(self) -> Iterator[Reading]:
        if not self._names:
            raise Unavailable("no process is to be watched")
        with visible():
            found = self.read()
        for name, group in self._groups.items():
            group.take(found.get(name, {}))
        if not found:
            names = ", ".join(self._names)
            raise Unavailable(f"no process named {names} is visible (shareProcessNamespace?)")
        for name, group in self._groups.items():
            yield from group.readings({"process.executable.name": name})

    def read(self) -> dict[str, dict[psutil.Process, Usage]]:
        """name -> process -> what it uses, for up to WATCHED_MAX processes, lowest pids first."""
        found: dict[str, dict[psutil.Process, Usage]] = {}
        left = WATCHED_MAX
        for pid in sorted(self._system.pids()):
            try:
                # Not process_iter: that answers with a cached object, of the process that had this pid before.
                process: psutil.Process = self._system.Process(pid)
                if name := self._match(process):
                    found.setdefault(name, {})[process] = _usage(process)
                    left -= 1
            except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended meanwhile, or hidden from us
                continue
            if not left:
                break
        return found

    def _match(self, process: psutil.Process) -> str | None:
        """The first watched name this process bears. The command line is read only where the command does not tell."""
        command = process.name()[:15]  # psutil lengthens it by the command line where it can
        for name in self._names:
            if fnmatchcase(command, name[:15]):
                return name
        bases = [PurePosixPath(word).name for word in process.cmdline()[:2] if word]
        return next((name for name in self._names for base in bases if fnmatchcase(base, name)), None)


def _usage(process: psutil.Process) -> Usage:
    cpu = process.cpu_times()
    return Usage(cpu.user, cpu.system, process.memory_info().rss, process.num_threads())


@dataclass(slots=True)
class _Group:
    """The processes of one watched name.

    seen: the last usage of each process that has not ended, whether or not the newest scan has it. One that a scan
    misses (beyond WATCHED_MAX, its command line unreadable for a moment) and the next one finds must not count twice.
    At most the node's processes. psutil's processes are equal where pid and start are, since pids are used again.
    """

    seen: dict[psutil.Process, Usage] = field(default_factory=dict)
    current: tuple[Usage, ...] = ()
    ended_user: float = 0.0
    ended_system: float = 0.0

    def take(self, found: Mapping[psutil.Process, Usage]) -> None:
        for process in [process for process in self.seen if process not in found and not process.is_running()]:
            usage = self.seen.pop(process)
            self.ended_user += usage.user
            self.ended_system += usage.system
        self.seen.update(found)
        self.current = tuple(found.values())

    def readings(self, attributes: Mapping[str, str]) -> Iterator[Reading]:
        yield Reading("sidelight.watched.processes", "{process}", "gauge", len(self.current), attributes)
        user = self.ended_user + sum(usage.user for usage in self.seen.values())
        system = self.ended_system + sum(usage.system for usage in self.seen.values())
        for mode, seconds in (("user", user), ("system", system)):
            yield Reading("sidelight.watched.cpu.time", "s", "counter", seconds, {**attributes, "cpu.mode": mode})
        resident, threads = sum(usage.resident for usage in self.current), sum(usage.threads for usage in self.current)
        yield Reading("sidelight.watched.memory.usage", "By", "gauge", resident, attributes)
        yield Reading("sidelight.watched.threads", "{thread}", "gauge", threads, attributes)
