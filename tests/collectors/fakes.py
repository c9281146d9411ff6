"""Stand-ins for what a collector reads: a fake NVML, and the recorded node beside this file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

NODE = Path(__file__).parent / "node"
GIB = 1 << 30


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
