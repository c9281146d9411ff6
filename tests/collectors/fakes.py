"""Stand-ins for what a collector reads: a fake psutil, a fake NVML, and the recorded cgroup files beside this file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import psutil

from collectors import Reading

NODE = Path(__file__).parent / "node"
GIB = 1 << 30
BOOT_SECONDS = 1_700_000_000.0


def values(readings: Iterable[Reading], name: str, label: str = "") -> dict[str, float]:
    """attribute's value -> reading's value, of one metric."""
    return {str(reading.attributes.get(label, "")): reading.value for reading in readings if reading.name == name}


class CpuTimes(NamedTuple):
    """psutil's fields on Linux, in seconds."""

    user: float = 225.06
    nice: float = 0.12
    system: float = 74.66
    idle: float = 3578.43
    iowait: float = 15.62
    irq: float = 0.3
    softirq: float = 2.15
    steal: float = 22.87
    guest: float = 5.0
    guest_nice: float = 0.0


class Memory(NamedTuple):
    """The part of psutil's fields on Linux that the collector reads, in bytes, and `used` as release 7.2 counts it."""

    total: int = 24 * GIB
    available: int = 22 * GIB
    used: int = 2 * GIB
    free: int = 20 * GIB
    buffers: int = 1 * GIB
    cached: int = 2 * GIB


@dataclass(frozen=True)
class FakeProcess:
    """A process as psutil gives it; equal where pid and start are. `hidden`: what it raises when it is asked."""

    pid: int
    started: float = 10.0
    command: str = "python3"
    line: tuple[str, ...] = ()
    user: float = 2.5
    threads: int = 4
    hidden: type[psutil.Error] | None = None
    node: FakePsutil | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FakeProcess) and (self.pid, self.started) == (other.pid, other.started)

    def __hash__(self) -> int:
        return hash((self.pid, self.started))

    def is_running(self) -> bool:
        return self.node is not None and self.node.processes.get(self.pid) == self

    def name(self) -> str:
        if self.hidden is not None:
            raise self.hidden(self.pid)
        return self.command

    def cmdline(self) -> list[str]:
        return list(self.line)

    def create_time(self) -> float:
        return BOOT_SECONDS + self.started

    def cpu_times(self) -> SimpleNamespace:
        return SimpleNamespace(user=self.user, system=0.75)

    def memory_info(self) -> SimpleNamespace:
        return SimpleNamespace(rss=GIB, vms=4 * GIB)

    def num_threads(self) -> int:
        return self.threads

    def num_fds(self) -> int:
        return 3

    def num_ctx_switches(self) -> SimpleNamespace:
        return SimpleNamespace(voluntary=812, involuntary=13)


class FakePsutil:
    """The part of `psutil` that the collectors call, over given processes; pid 41 is the agent's own."""

    def __init__(self, *processes: FakeProcess) -> None:
        self.processes: dict[int, FakeProcess] = {}
        self.put(FakeProcess(41, command="sidelight"), *processes)

    def put(self, *processes: FakeProcess) -> None:
        """These processes run from now on, in place of those that had their pids."""
        for process in processes:
            self.processes[process.pid] = replace(process, node=self)

    def change(self, pid: int, **changes: Any) -> None:
        self.put(replace(self.processes[pid], **changes))

    def cpu_times(self) -> CpuTimes:
        return CpuTimes()

    def cpu_count(self) -> int:
        return 2

    def boot_time(self) -> float:
        return BOOT_SECONDS

    def virtual_memory(self) -> Memory:
        return Memory()

    def pids(self) -> list[int]:
        return list(self.processes)

    def Process(self, pid: int = 41) -> FakeProcess:  # noqa: N802 - psutil's name
        if pid not in self.processes:
            raise psutil.NoSuchProcess(pid)
        return self.processes[pid]


def serving() -> FakePsutil:
    """A pod that shares its processes: a Triton, and two workers run as `python3 serve.py`."""
    worker = ("/usr/bin/python3", "/srv/serve.py", "--port=80")
    return FakePsutil(
        FakeProcess(73, command="python3", line=worker, user=5.0),
        FakeProcess(71, command="tritonserver", line=("/opt/tritonserver/bin/tritonserver",), user=10.0, threads=24),
        FakeProcess(72, command="python3", line=worker, user=3.0),
    )


class NVMLError(Exception):
    """As pynvml's: raised with NVML's code; subclasses are told apart by class."""


class NVMLError_NoPermission(NVMLError):  # noqa: N801, N818 - pynvml's name
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818 - pynvml's name
    pass


class FakeNvml:
    """The part of `pynvml` that the collector calls. `devices`: an answer or an exception by the query's short name."""

    NVMLError = NVMLError
    NVMLError_NoPermission = NVMLError_NoPermission
    NVML_TEMPERATURE_GPU = 0
    NVML_MEMORY_ERROR_TYPE_CORRECTED = 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_VOLATILE_ECC = 0
    NVML_CLOCK_SM = 1
    nvmlClocksEventReasonSwPowerCap = 0x4  # noqa: N815 - pynvml's names
    nvmlClocksEventReasonHwSlowdown = 0x8  # noqa: N815
    nvmlClocksEventReasonSwThermalSlowdown = 0x20  # noqa: N815
    nvmlClocksEventReasonHwThermalSlowdown = 0x40  # noqa: N815
    nvmlClocksEventReasonHwPowerBrakeSlowdown = 0x80  # noqa: N815

    def __init__(self, *devices: dict[str, Any], init: Exception | None = None) -> None:
        self.devices, self.init, self.inits = list(devices), init, 0

    def __getattr__(self, name: str) -> Any:
        """nvmlDeviceGetXxx(device, …): the device's answer to `Xxx`, by its second argument where that is a dict."""
        query = name.removeprefix("nvmlDeviceGet")

        def call(device: dict[str, Any], kind: int = 0, *_rest: int) -> Any:
            answer = device[query]
            if isinstance(answer, dict):
                answer = answer[kind]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def nvmlInit(self) -> None:  # noqa: N802 - pynvml's names
        self.inits += 1
        if self.init is not None:
            raise self.init

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:  # noqa: N802
        device = self.devices[index]
        if "handle" in device:
            raise device["handle"]
        return device


def device(uuid: str = "GPU-1", **changes: Any) -> dict[str, Any]:
    """An H100 that answers everything, but for the changes."""
    answers: dict[str, Any] = {
        "UUID": uuid,
        "Name": "NVIDIA H100",
        "UtilizationRates": SimpleNamespace(gpu=87, memory=31),
        "MemoryInfo": SimpleNamespace(used=20 * GIB, total=80 * GIB),
        "PowerUsage": 412_500,
        "TotalEnergyConsumption": 9_000_000,
        "Temperature": 64,
        "TotalEccErrors": {0: 5, 1: 0},
        "ClockInfo": 1980,
        "CurrentClocksEventReasons": 0x4 | 0x1,
        "ComputeRunningProcesses": [SimpleNamespace(pid=4001, usedGpuMemory=18 * GIB)],
    }
    return answers | changes
