"""NVIDIA GPUs, through NVML: OpenTelemetry's `hw.*` where it has a name, `sidelight.gpu.*` where it has none.

No library, no driver, no device, no permission: `Unavailable`. A query it does not answer drops that reading alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from collectors.base import Host, Reading, Unavailable

PROCESSES_MAX = 16  # a device's largest; the rest are left out, largest first kept

_THROTTLES = {  # attribute value -> NVML's bit. Idle, and clocks set by an administrator, are no throttling.
    "power_cap": "nvmlClocksEventReasonSwPowerCap",
    "power_brake": "nvmlClocksEventReasonHwPowerBrakeSlowdown",
    "thermal_software": "nvmlClocksEventReasonSwThermalSlowdown",
    "thermal_hardware": "nvmlClocksEventReasonHwThermalSlowdown",
    "hardware_slowdown": "nvmlClocksEventReasonHwSlowdown",
}

Query = Callable[[Any, Any, dict[str, str]], Iterator[Reading]]


class Gpu:
    """Utilisation, memory, power, energy, temperature, ECC errors, SM clock, throttling and memory by process."""

    name = "gpu"

    def __init__(self, host: Host) -> None:
        self._nvml = host.nvml
        self._opened = False

    def collect(self) -> Iterator[Reading]:
        nvml = self._open()
        readings: list[Reading] = []
        trouble: Exception | None = None
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                device = nvml.nvmlDeviceGetHandleByIndex(index)
                attributes = identity(nvml, device)
            except nvml.NVMLError as error:  # one lost device must not hide its neighbours
                trouble = error
                continue
            readings += query(nvml, device, attributes)
        if trouble is not None and not readings:
            self._opened = False  # a driver that was reloaded needs a new nvmlInit
            raise _translated(nvml, trouble)
        yield from readings

    def _open(self) -> Any:
        """The library, initialised, with at least one device. NVML is initialised once: that takes up to a second."""
        if self._nvml is None:
            self._nvml = load()
        nvml = self._nvml
        try:
            if not self._opened:
                nvml.nvmlInit()
                self._opened = True
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._opened = False
            raise Unavailable(f"NVML: {error}") from error
        if not count:
            raise Unavailable("NVML sees no device (NVIDIA_VISIBLE_DEVICES?)")
        return nvml


def load() -> Any:
    """The module `pynvml`. The library is tried first: without it the import would cost 60 ms and 3 MiB for nothing."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise Unavailable("no NVML library (libnvidia-ml.so.1) in this container") from error
    import pynvml

    return pynvml


def identity(nvml: Any, device: Any) -> dict[str, str]:
    """What every reading of a device carries: its type, UUID and product name."""
    uuid, product = nvml.nvmlDeviceGetUUID(device), nvml.nvmlDeviceGetName(device)
    return {"hw.type": "gpu", "hw.id": _text(uuid), "hw.name": _text(product)}


def query(nvml: Any, device: Any, attributes: dict[str, str]) -> list[Reading]:
    """All that this device answers."""
    readings: list[Reading] = []
    for ask in QUERIES:
        try:
            readings += ask(nvml, device, attributes)
        except nvml.NVMLError:  # not supported here (vGPU, MIG, GeForce), or gone: no reading rather than a false zero
            continue
    return readings


def utilisation(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    # `.memory` beside it is the time the memory bus was busy, not how full it is: left out, the names invite mistakes.
    percent = nvml.nvmlDeviceGetUtilizationRates(device).gpu
    yield Reading("hw.gpu.utilization", "1", "gauge", percent / 100, {**attributes, "hw.gpu.task": "general"})


def memory(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    info = nvml.nvmlDeviceGetMemoryInfo(device)
    yield Reading("hw.gpu.memory.usage", "By", "gauge", info.used, attributes)
    yield Reading("hw.gpu.memory.limit", "By", "gauge", info.total, attributes)
    if info.total:
        yield Reading("hw.gpu.memory.utilization", "1", "gauge", info.used / info.total, attributes)


def power(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    yield Reading("hw.power", "W", "gauge", nvml.nvmlDeviceGetPowerUsage(device) / 1000, attributes)


def energy(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    yield Reading("hw.energy", "J", "counter", nvml.nvmlDeviceGetTotalEnergyConsumption(device) / 1000, attributes)


def temperature(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    celsius = nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)
    yield Reading("hw.temperature", "Cel", "gauge", celsius, attributes)


def errors(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    codes = {
        "corrected": nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
        "uncorrected": nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
    }
    for kind, code in codes.items():
        count = nvml.nvmlDeviceGetTotalEccErrors(device, code, nvml.NVML_VOLATILE_ECC)
        yield Reading("hw.errors", "{error}", "counter", count, {**attributes, "error.type": f"ecc_{kind}"})


def clock(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    megahertz = nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM)
    yield Reading("sidelight.gpu.sm.clock", "Hz", "gauge", megahertz * 1_000_000, attributes)


def throttling(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    mask = nvml.nvmlDeviceGetCurrentClocksEventReasons(device)
    for reason, bit in _THROTTLES.items():
        labels = {**attributes, "sidelight.gpu.throttle.reason": reason}
        yield Reading("sidelight.gpu.throttle", "1", "gauge", int(bool(mask & getattr(nvml, bit))), labels)


def processes(nvml: Any, device: Any, attributes: dict[str, str]) -> Iterator[Reading]:
    """pids are the host's, not this pod's; a process whose memory NVML will not tell is left out."""
    known = [entry for entry in nvml.nvmlDeviceGetComputeRunningProcesses(device) if entry.usedGpuMemory is not None]
    known.sort(key=lambda entry: (-entry.usedGpuMemory, entry.pid))
    for entry in known[:PROCESSES_MAX]:
        labels = {**attributes, "process.pid": str(entry.pid)}
        yield Reading("sidelight.gpu.process.memory.usage", "By", "gauge", entry.usedGpuMemory, labels)


QUERIES: tuple[Query, ...] = (utilisation, memory, power, energy, temperature, errors, clock, throttling, processes)


def _translated(nvml: Any, error: Exception) -> Exception:
    """No permission on any device is a state; a lost device is a failure."""
    if isinstance(error, nvml.NVMLError_NoPermission):
        return Unavailable(f"NVML: {error}")
    return error


def _text(value: str | bytes) -> str:
    """NVML's strings were bytes before nvidia-ml-py 11.515."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
