"""cpu, memory, cgroup and process, over a recorded node."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from collectors import Host, Reading, Unavailable
from collectors.base import TICKS_PER_SECOND
from collectors.cgroup import Cgroup
from collectors.cgroup import parse as parse_cgroup
from collectors.cpu import Cpu
from collectors.cpu import parse as parse_cpu
from collectors.memory import Memory
from collectors.memory import parse as parse_memory
from collectors.process import Process, Watched, parse_stat
from tests.collectors.fakes import NODE

HOST = Host(proc=NODE / "proc", cgroup=NODE / "cgroup")
pytestmark = pytest.mark.skipif(TICKS_PER_SECOND != 100, reason="the node was recorded at 100 ticks a second")


def values(readings: object, name: str, label: str = "") -> dict[str, float]:
    """attribute's value -> reading's value, of one metric."""
    assert hasattr(readings, "__iter__")
    found: list[Reading] = [reading for reading in readings if reading.name == name]
    return {str(reading.attributes.get(label, "")): reading.value for reading in found}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A copy of the recorded node that a test may change."""
    return Path(shutil.copytree(NODE, tmp_path / "node"))


def test_cpu_time_is_in_seconds_by_mode_and_counts_guests_once() -> None:
    """Ticks become seconds, both kinds of interrupt are one mode, and the guest columns add nothing."""
    readings = list(Cpu(HOST).collect())
    times = values(readings, "system.cpu.time", "cpu.mode")
    assert times == {
        "user": 225.06, "nice": 0.12, "system": 74.66, "idle": 3578.43, "iowait": 15.62, "steal": 22.87,
        "interrupt": pytest.approx(2.45),
    }  # fmt: skip
    assert values(readings, "system.cpu.logical.count") == {"": 2}


def test_cpu_time_counts_since_the_host_booted() -> None:
    """The counter's start is btime, so that no backend takes a week's total for this minute's."""
    starts = {reading.start_ns for reading in Cpu(HOST).collect() if reading.kind == "counter"}
    assert starts == {1_700_000_000 * 10**9}


def test_a_stat_without_cpu_line_is_a_failure_not_zeros() -> None:
    """Text that is no /proc/stat raises instead of reading as an idle machine."""
    with pytest.raises(ValueError, match="no line `cpu`"):
        list(parse_cpu("intr 1 2 3\n"))


def test_memory_states_add_up_to_the_limit() -> None:
    """used + free + buffers + cached = limit, in bytes, with reclaimable slab counted as cache."""
    readings = list(Memory(HOST).collect())
    states = values(readings, "system.memory.usage", "system.memory.state")
    limit = values(readings, "system.memory.limit")[""]
    assert limit == 24684092 * 1024
    assert states["cached"] == (719916 + 31200) * 1024
    assert sum(states.values()) == limit


def test_memory_without_total_is_a_failure() -> None:
    """A truncated meminfo raises."""
    with pytest.raises(ValueError, match="MemTotal"):
        list(parse_memory("MemFree: 3 kB\n"))


@pytest.mark.parametrize("collector", [Cpu, Memory, Process, Cgroup])
def test_a_machine_without_these_files_is_unavailable(collector: type, tmp_path: Path) -> None:
    """No /proc, no cgroup (a developer's Mac): a state with the path in its reason, no error."""
    with pytest.raises(Unavailable, match=str(tmp_path)):
        list(collector(Host(proc=tmp_path, cgroup=tmp_path)).collect())


def test_cgroup_gives_the_container_s_use_and_limits() -> None:
    """Working set is usage less inactive file cache; what is available is the limit less that."""
    readings = list(Cgroup(HOST).collect())
    assert values(readings, "container.cpu.time", "cpu.mode") == {"user": 60.0, "system": pytest.approx(24.211904)}
    assert values(readings, "sidelight.container.cpu.limit") == {"": 0.5}
    assert values(readings, "sidelight.container.cpu.throttled.time") == {"": 1.5}
    assert values(readings, "container.memory.working_set") == {"": 104857600 - 20971520}
    assert values(readings, "container.memory.available") == {"": 268435456 - (104857600 - 20971520)}
    assert values(readings, "container.paging.faults", "system.paging.fault.type") == {"major": 120, "minor": 50880}
    assert values(readings, "sidelight.container.memory.oom_kills") == {"": 1}
    assert values(readings, "sidelight.container.pressure.time", "sidelight.pressure") == {"some": 2.5, "full": 0.5}


def test_a_container_without_limits_has_no_limit_readings(node: Path) -> None:
    """`max` is the absence of a limit, not a number."""
    (node / "cgroup" / "memory.max").write_text("max\n")
    (node / "cgroup" / "cpu.max").write_text("max 100000\n")
    names = {reading.name for reading in Cgroup(Host(proc=node / "proc", cgroup=node / "cgroup")).collect()}
    assert "container.memory.usage" in names
    assert not {name for name in names if name.endswith((".limit", ".available"))}


def test_the_root_cgroup_is_no_container(node: Path) -> None:
    """On the host itself the root has no usage files: unavailable."""
    for path in (node / "cgroup").iterdir():
        if path.name.startswith(("memory", "cpu.")):
            path.unlink()
    with pytest.raises(Unavailable, match="root cgroup"):
        list(Cgroup(Host(proc=node / "proc", cgroup=node / "cgroup")).collect())


def test_without_a_cgroup_namespace_the_own_folder_is_found(node: Path) -> None:
    """/proc/self/cgroup names a folder below the root: that one is read, not the root's."""
    inner = node / "cgroup" / "kubepods" / "pod1"
    inner.mkdir(parents=True)
    (inner / "memory.current").write_text("4096\n")
    (node / "proc" / "self" / "cgroup").write_text("0::/kubepods/pod1\n")
    readings = list(Cgroup(Host(proc=node / "proc", cgroup=node / "cgroup")).collect())
    assert values(readings, "container.memory.usage") == {"": 4096}


def test_a_cgroup_path_that_climbs_out_is_not_followed(node: Path) -> None:
    """`..` in /proc/self/cgroup (a process of another namespace) leaves the root in use."""
    (node / "proc" / "self" / "cgroup").write_text("0::/../../etc\n")
    readings = list(Cgroup(Host(proc=node / "proc", cgroup=node / "cgroup")).collect())
    assert values(readings, "container.memory.usage") == {"": 104857600}


def test_a_missing_controller_leaves_out_its_readings() -> None:
    """Only cpu.stat: CPU time is read, nothing is said of memory."""
    names = {reading.name for reading in parse_cgroup({"cpu.stat": "user_usec 1\nsystem_usec 2\n"})}
    assert names == {"container.cpu.time"}


def test_a_command_with_brackets_and_spaces_is_parsed() -> None:
    """The command's own brackets do not shift the fields behind it."""
    stat = parse_stat((NODE / "proc" / "self" / "stat").read_text())
    assert (stat.command, stat.threads, stat.user, stat.started) == ("sidelight (agt)", 9, 2.5, 1958.62)


def test_the_agent_s_own_process_is_read() -> None:
    """CPU by mode, resident bytes, descriptors, uptime; counters start when the process did."""
    readings = list(Process(HOST).collect())
    assert values(readings, "process.cpu.time", "cpu.mode") == {"user": 2.5, "system": 0.75}
    assert values(readings, "process.memory.usage") == {"": 21504 * os.sysconf("SC_PAGE_SIZE")}
    assert values(readings, "process.unix.file_descriptor.count") == {"": 3}
    assert values(readings, "process.uptime") == {"": pytest.approx(2000.5 - 1958.62)}
    assert values(readings, "process.context_switches", "process.context_switch.type")["involuntary"] == 13
    assert {reading.start_ns for reading in readings if reading.kind == "counter"} == {1_700_001_958_620_000_000}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
def test_the_real_machine_is_read() -> None:
    """On Linux the default roots give this very process's memory, in a plausible size."""
    memory = values(Process(Host()).collect(), "process.memory.usage")[""]
    assert 1 << 20 < memory < 1 << 40


def test_watched_processes_are_summed_by_name() -> None:
    """Two workers run by `python3 serve.py` are one series; the server is found by its command."""
    host = Host(proc=NODE / "proc", watched=("tritonserver", "serve.py"))
    readings = list(Watched(host).collect())
    label = "process.executable.name"
    assert values(readings, "sidelight.watched.processes", label) == {"tritonserver": 1, "serve.py": 2}
    assert values(readings, "sidelight.watched.threads", label) == {"tritonserver": 24, "serve.py": 8}
    user = {
        reading.attributes[label]: reading.value
        for reading in readings
        if reading.name == "sidelight.watched.cpu.time" and reading.attributes["cpu.mode"] == "user"
    }
    assert user == {"tritonserver": 10.0, "serve.py": 8.0}


def test_a_worker_that_ends_never_makes_the_cpu_counter_fall(node: Path) -> None:
    """Its time stays in the sum, and a new process with the old pid adds its own."""
    watched = Watched(Host(proc=node / "proc", watched=("serve.py",)))
    before = _user(watched)
    ended = (node / "proc" / "73" / "stat").read_text()
    shutil.rmtree(node / "proc" / "73")
    assert _user(watched) == before
    (node / "proc" / "73").mkdir()
    (node / "proc" / "73" / "cmdline").write_text("/usr/bin/python3\0/srv/serve.py\0")
    (node / "proc" / "73" / "stat").write_text(ended.replace("150200", "199000").replace(" 500 100 ", " 70 0 "))
    assert _user(watched) == pytest.approx(before + 0.7)


def _user(watched: Watched) -> float:
    return sum(
        reading.value
        for reading in watched.collect()
        if reading.name == "sidelight.watched.cpu.time" and reading.attributes["cpu.mode"] == "user"
    )


def test_no_matching_process_is_unavailable_and_names_it() -> None:
    """Not zero processes: the pod may simply not share its process namespace, and the reason says so."""
    with pytest.raises(Unavailable, match=r"no process named nginx .*shareProcessNamespace"):
        list(Watched(Host(proc=NODE / "proc", watched=("nginx",))).collect())


def test_nothing_to_watch_is_unavailable() -> None:
    """Without names there is nothing to look for."""
    with pytest.raises(Unavailable, match="no process is to be watched"):
        list(Watched(Host(proc=NODE / "proc")).collect())
