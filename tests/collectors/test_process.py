"""The agent's own process and watched ones, over a fake psutil and over real processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

import psutil
import pytest

from collectors import Host, Unavailable
from collectors import process as module
from collectors.process import Process, Watched
from tests.collectors.fakes import BOOT_SECONDS, GIB, FakeProcess, FakePsutil, serving, values

LABEL = "process.executable.name"


def user_seconds(watched: Watched) -> float:
    """One look, and the counter after it."""
    times = [reading for reading in watched.collect() if reading.name == "sidelight.watched.cpu.time"]
    return sum(reading.value for reading in times if reading.attributes["cpu.mode"] == "user")


def test_the_agent_s_own_process_is_read() -> None:
    """CPU by mode, resident bytes, descriptors, switches, uptime; counters start when the process did."""
    readings = list(Process(Host(system=FakePsutil(FakeProcess(41, started=1958.5)))).collect())
    assert values(readings, "process.cpu.time", "cpu.mode") == {"user": 2.5, "system": 0.75}
    assert values(readings, "process.memory.usage") == {"": GIB}
    assert values(readings, "process.memory.virtual") == {"": 4 * GIB}
    assert values(readings, "process.thread.count") == {"": 4}
    assert values(readings, "process.unix.file_descriptor.count") == {"": 3}
    switches = values(readings, "process.context_switches", "process.context_switch.type")
    assert switches == {"voluntary": 812, "involuntary": 13}
    assert {reading.start_ns for reading in readings if reading.kind == "counter"} == {1_700_001_958_500_000_000}


def test_uptime_is_since_the_start_and_never_negative() -> None:
    """Now less the start; a clock set back before the start gives 0."""
    before = time.time()
    uptime = values(Process(Host(system=FakePsutil())).collect(), "process.uptime")[""]
    assert before <= uptime + BOOT_SECONDS + 10.0 <= time.time() + 1e-6
    future = FakePsutil(FakeProcess(41, started=1e10))
    assert values(Process(Host(system=future)).collect(), "process.uptime") == {"": 0.0}


def test_page_faults_are_this_process_s() -> None:
    """Between what the kernel says before and after."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    faults = values(Process(Host(system=FakePsutil())).collect(), "process.paging.faults", "system.paging.fault.type")
    assert before <= faults["minor"] <= resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert faults.keys() == {"minor", "major"}


def test_a_kernel_that_counts_no_switches_costs_that_reading_alone() -> None:
    """gVisor: no context switches, everything else."""

    class Sandboxed(FakeProcess):
        def num_ctx_switches(self) -> object:  # type: ignore[override]
            raise NotImplementedError

    found = {reading.name for reading in Process(Host(system=FakePsutil(Sandboxed(41)))).collect()}
    whole = {reading.name for reading in Process(Host(system=FakePsutil())).collect()}
    assert whole - found == {"process.context_switches"}


def test_the_real_process_is_read() -> None:
    """psutil itself gives this very process's memory, in a plausible size."""
    memory = values(Process(Host()).collect(), "process.memory.usage")[""]
    assert 1 << 20 < memory < 1 << 40


def test_watched_processes_are_summed_by_name() -> None:
    """Two workers run by `python3 serve.py` are one series; the server is found by its command."""
    readings = list(Watched(Host(watched=("tritonserver", "serve.py"), system=serving())).collect())
    assert values(readings, "sidelight.watched.processes", LABEL) == {"tritonserver": 1, "serve.py": 2}
    assert values(readings, "sidelight.watched.threads", LABEL) == {"tritonserver": 24, "serve.py": 8}
    assert values(readings, "sidelight.watched.memory.usage", LABEL) == {"tritonserver": GIB, "serve.py": 2 * GIB}
    user = [reading for reading in readings if reading.attributes.get("cpu.mode") == "user"]
    assert values(user, "sidelight.watched.cpu.time", LABEL) == {"tritonserver": 10.0, "serve.py": 8.0}


@pytest.mark.parametrize(
    ("pattern", "command", "line"),
    [
        ("triton*", "tritonserver", ()),
        ("inference-server", "inference-serve", ()),  # the kernel keeps 15 characters
        ("inference-server", "inference-server", ("/bin/inference-server",)),  # and psutil lengthens them
        ("serve.py", "python3", ("/usr/bin/python3", "/srv/serve.py")),
        ("python3.11", "python3", ("/usr/bin/python3.11", "-m", "serve")),
    ],
)
def test_a_name_is_a_pattern_over_command_program_and_first_argument(
    pattern: str, command: str, line: tuple[str, ...]
) -> None:
    """Any of the three may bear it."""
    system = FakePsutil(FakeProcess(7, command=command, line=line))
    assert user_seconds(Watched(Host(watched=(pattern,), system=system))) == 2.5


def test_a_later_argument_is_no_name() -> None:
    """`tail serve.log serve.py` is not the server."""
    system = FakePsutil(FakeProcess(7, command="tail", line=("tail", "serve.log", "/srv/serve.py")))
    with pytest.raises(Unavailable):
        list(Watched(Host(watched=("serve.py",), system=system)).collect())


def test_a_worker_that_ends_never_makes_the_cpu_counter_fall() -> None:
    """Its time stays in the sum, and a new process with the old pid adds its own."""
    system = serving()
    watched = Watched(Host(watched=("serve.py",), system=system))
    assert user_seconds(watched) == 8.0
    ended = system.processes.pop(73)
    assert user_seconds(watched) == 8.0
    system.put(FakeProcess(73, started=99.0, line=ended.line, user=0.5))
    assert user_seconds(watched) == 8.5
    system.put(FakeProcess(73, started=199.0, line=ended.line, user=0.25))  # and its pid again, between two looks
    assert user_seconds(watched) == 8.75


@pytest.mark.parametrize("hidden", [psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess])
def test_a_live_worker_that_a_look_misses_counts_once(hidden: type[psutil.Error]) -> None:
    """Hidden for a round and back: the counter stands still and goes on from there; the gauges leave it out."""
    system = serving()
    watched = Watched(Host(watched=("serve.py",), system=system))
    assert user_seconds(watched) == 8.0
    system.change(73, hidden=hidden)
    readings = list(watched.collect())
    assert values(readings, "sidelight.watched.processes", LABEL) == {"serve.py": 1}
    assert user_seconds(watched) == 8.0
    system.change(73, hidden=None, user=6.0)
    assert user_seconds(watched) == 9.0


def test_a_worker_that_ends_while_it_was_missed_keeps_its_time() -> None:
    """The last figure seen is kept, once."""
    system = serving()
    watched = Watched(Host(watched=("serve.py",), system=system))
    assert user_seconds(watched) == 8.0
    system.change(73, hidden=psutil.AccessDenied)
    assert user_seconds(watched) == 8.0
    del system.processes[73]
    assert user_seconds(watched) == 8.0
    assert user_seconds(watched) == 8.0


def test_no_more_than_the_bound_are_followed_and_those_it_leaves_out_count_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lowest pids first; one pushed out by a lower pid stays in the counter, and comes back without counting again."""
    monkeypatch.setattr(module, "WATCHED_MAX", 2)
    system = serving()
    watched = Watched(Host(watched=("serve.py",), system=system))
    assert user_seconds(watched) == 8.0
    system.put(FakeProcess(5, line=system.processes[72].line, user=1.0))
    readings = list(watched.collect())
    assert values(readings, "sidelight.watched.processes", LABEL) == {"serve.py": 2}
    assert user_seconds(watched) == 9.0
    del system.processes[5]
    assert user_seconds(watched) == 9.0


def test_no_matching_process_is_unavailable_and_names_it() -> None:
    """Not zero processes: the pod may simply not share its process namespace, and the reason says so."""
    with pytest.raises(Unavailable, match=r"no process named nginx .*shareProcessNamespace"):
        list(Watched(Host(watched=("nginx",), system=serving())).collect())


def test_nothing_to_watch_is_unavailable() -> None:
    """Without names there is nothing to look for."""
    with pytest.raises(Unavailable, match="no process is to be watched"):
        list(Watched(Host(system=serving())).collect())


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_real_processes_are_watched_and_kept_when_they_end() -> None:
    """Two children found by their first argument: read while they live, and an end does not lower the sum."""
    marker = f"watched-{os.getpid()}"
    watched = Watched(Host(watched=(marker,)))
    work = "sum(range(5_000_000)); print(flush=True); input()"
    command = ["bash", "-c", f"exec -a /srv/{marker} {sys.executable} -c '{work}'"]

    def child() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    with child() as first, child() as second:
        for each in (first, second):
            assert each.stdout is not None
            each.stdout.readline()
        assert values(watched.collect(), "sidelight.watched.processes", LABEL) == {marker: 2}
        both = user_seconds(watched)
        assert both > 0
        first.communicate(b"\n")
        assert values(watched.collect(), "sidelight.watched.processes", LABEL) == {marker: 1}
        assert user_seconds(watched) >= both
        second.communicate(b"\n")
