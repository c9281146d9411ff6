"""cpu and memory, over a fake psutil; and the fake held against the real one."""

from __future__ import annotations

import errno
import sys
from typing import NamedTuple

import psutil
import pytest

from collectors import COLLECTORS, Host, Reading, Unavailable
from collectors.cpu import Cpu
from collectors.memory import Memory
from tests.collectors.fakes import BOOT_SECONDS, GIB, FakePsutil, values

HOST = Host(system=FakePsutil())


def test_cpu_time_is_by_mode_and_counts_guests_once() -> None:
    """Seconds as psutil has them, both kinds of interrupt are one mode, and the guest fields add nothing."""
    readings = list(Cpu(HOST).collect())
    assert values(readings, "system.cpu.time", "cpu.mode") == {
        "user": 225.06, "nice": 0.12, "system": 74.66, "idle": 3578.43, "iowait": 15.62, "steal": 22.87,
        "interrupt": pytest.approx(2.45),
    }  # fmt: skip
    assert values(readings, "system.cpu.logical.count") == {"": 2}


def test_cpu_time_counts_since_the_host_booted() -> None:
    """The counter's start is the boot, so that no backend takes a week's total for this minute's."""
    starts = {reading.start_ns for reading in Cpu(HOST).collect() if reading.kind == "counter"}
    assert starts == {int(BOOT_SECONDS) * 10**9}


def test_a_system_with_fewer_modes_has_no_zeros_for_the_rest() -> None:
    """A Mac's psutil knows four: those are read, the others are left out; an unknown count is no reading."""

    class Few(NamedTuple):
        user: float = 1.0
        nice: float = 2.0
        system: float = 3.0
        idle: float = 4.0

    class Mac(FakePsutil):
        def cpu_times(self) -> Few:  # type: ignore[override]
            return Few()

        def cpu_count(self) -> None:  # type: ignore[override]
            return None

    readings = list(Cpu(Host(system=Mac())).collect())
    assert [reading.value for reading in readings] == [1.0, 2.0, 3.0, 4.0]
    assert {reading.name for reading in readings} == {"system.cpu.time"}


def test_memory_states_add_up_to_the_limit() -> None:
    """used + free + buffers + cached = limit, in bytes, whatever this release of psutil calls used."""
    readings = list(Memory(HOST).collect())
    states = values(readings, "system.memory.usage", "system.memory.state")
    assert states == {"free": 20 * GIB, "buffers": GIB, "cached": 2 * GIB, "used": GIB}
    assert values(readings, "system.memory.limit") == {"": sum(states.values())}
    assert values(readings, "system.memory.linux.available") == {"": 22 * GIB}


@pytest.mark.parametrize("name", ["cpu", "memory", "process", "watched"])
@pytest.mark.parametrize(
    "trouble",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/stat"),
        PermissionError(errno.EACCES, "Permission denied", "/proc/stat"),
        psutil.AccessDenied(41, msg="/proc/stat"),
        psutil.NoSuchProcess(41, msg="/proc/stat"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_what_psutil_cannot_see_is_unavailable(name: str, trouble: Exception) -> None:
    """No /proc, or no permission: a state with psutil's reason, no failure."""

    class Blind(FakePsutil):
        def blind(self, *_: object) -> None:
            raise trouble

        cpu_times = virtual_memory = pids = Process = blind  # type: ignore[assignment]

    with pytest.raises(Unavailable, match="/proc/stat"):
        list(COLLECTORS[name](Host(watched=("serve.py",), system=Blind())).collect())


@pytest.mark.skipif(sys.platform != "linux", reason="the fake is psutil on Linux")
@pytest.mark.parametrize("name", ["cpu", "memory", "process"])
def test_the_real_psutil_answers_as_the_fake_does(name: str) -> None:
    """Same readings, but for the values; only context switches may be missing (gVisor has none)."""

    def series(host: Host) -> set[tuple[str, str]]:
        return {(reading.name, str(reading.attributes)) for reading in COLLECTORS[name](host).collect()}

    real, fake = series(Host()), series(HOST)
    assert real <= fake
    assert {metric for metric, _ in fake - real} <= {"process.context_switches"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_real_machine_s_memory_adds_up() -> None:
    """The law of the states, on this machine's own figures."""
    readings: list[Reading] = list(Memory(Host()).collect())
    states = values(readings, "system.memory.usage", "system.memory.state")
    assert values(readings, "system.memory.limit") == {"": sum(states.values())}
