"""The GPU collector, over a fake NVML. No hardware here: docs/decisions/0041 says how to verify on some."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from collectors import Host, Reading, Unavailable
from collectors.gpu import PROCESSES_MAX, Gpu
from tests.collectors.fakes import GIB, FakeNvml, NVMLError, NVMLError_NoPermission, NVMLError_NotSupported, device


def collect(nvml: FakeNvml) -> list[Reading]:
    return list(Gpu(Host(nvml=nvml)).collect())


def by_name(readings: list[Reading]) -> dict[str, float]:
    return {reading.name: reading.value for reading in readings}


def test_units_are_ratios_bytes_watts_joules_and_hertz() -> None:
    """NVML's percent, milliwatts, millijoules and MHz leave as 0-1, W, J and Hz."""
    found = by_name(collect(FakeNvml(device())))
    assert found["hw.gpu.utilization"] == 0.87
    assert found["hw.gpu.memory.usage"] == 20 * GIB
    assert found["hw.gpu.memory.limit"] == 80 * GIB
    assert found["hw.gpu.memory.utilization"] == 0.25
    assert found["hw.power"] == 412.5
    assert found["hw.energy"] == 9000
    assert found["hw.temperature"] == 64
    assert found["sidelight.gpu.sm.clock"] == 1_980_000_000


def test_every_reading_names_its_device() -> None:
    """Type, UUID and product stand on all readings of two devices."""
    readings = collect(FakeNvml(device("GPU-a"), device("GPU-b", Name=b"NVIDIA A10")))
    assert {reading.attributes["hw.type"] for reading in readings} == {"gpu"}
    names = {(reading.attributes["hw.id"], reading.attributes["hw.name"]) for reading in readings}
    assert names == {("GPU-a", "NVIDIA H100"), ("GPU-b", "NVIDIA A10")}


def test_throttle_reasons_are_bits_and_idle_is_none() -> None:
    """Only the power cap is on; the idle bit, set too, is no throttling."""
    throttles = {
        reading.attributes["sidelight.gpu.throttle.reason"]: reading.value
        for reading in collect(FakeNvml(device()))
        if reading.name == "sidelight.gpu.throttle"
    }
    assert throttles == {
        "power_cap": 1, "power_brake": 0, "thermal_software": 0, "thermal_hardware": 0, "hardware_slowdown": 0,
    }  # fmt: skip


def test_errors_are_told_apart() -> None:
    """Corrected and uncorrected ECC errors are two series."""
    readings = collect(FakeNvml(device()))
    errors = {reading.attributes["error.type"]: reading.value for reading in readings if reading.name == "hw.errors"}
    assert errors == {"ecc_corrected": 5, "ecc_uncorrected": 0}


@pytest.mark.parametrize(
    ("query", "lost"),
    [
        ("UtilizationRates", "hw.gpu.utilization"),
        ("MemoryInfo", "hw.gpu.memory.usage"),
        ("PowerUsage", "hw.power"),
        ("TotalEnergyConsumption", "hw.energy"),
        ("Temperature", "hw.temperature"),
        ("TotalEccErrors", "hw.errors"),
        ("ClockInfo", "sidelight.gpu.sm.clock"),
        ("CurrentClocksEventReasons", "sidelight.gpu.throttle"),
        ("ComputeRunningProcesses", "sidelight.gpu.process.memory.usage"),
    ],
)
def test_a_query_not_supported_drops_that_reading_alone(query: str, lost: str) -> None:
    """No false zero for it, and its neighbours stay."""
    whole = set(by_name(collect(FakeNvml(device()))))
    found = set(by_name(collect(FakeNvml(device() | {query: NVMLError_NotSupported("Not Supported")}))))
    assert lost not in found
    assert {name for name in whole - found if not name.startswith("hw.gpu.memory")} <= {lost}
    assert len(found) >= len(whole) - 3


def test_a_library_that_will_not_start_is_unavailable_with_its_reason() -> None:
    """Driver absent: NVML's own words, as a state."""
    with pytest.raises(Unavailable, match="NVML: Driver Not Loaded"):
        collect(FakeNvml(device(), init=NVMLError("Driver Not Loaded")))


def test_no_device_is_unavailable() -> None:
    """A driver without a visible GPU says what to look at."""
    with pytest.raises(Unavailable, match="NVIDIA_VISIBLE_DEVICES"):
        collect(FakeNvml())


def test_no_permission_is_unavailable() -> None:
    """Every device denied: a state, not a failure."""
    with pytest.raises(Unavailable, match="Insufficient Permissions"):
        collect(FakeNvml({"handle": NVMLError_NoPermission("Insufficient Permissions")}))


def test_a_lost_device_leaves_its_neighbours() -> None:
    """One GPU fell off the bus; the other one is still read."""
    readings = collect(FakeNvml({"handle": NVMLError("GPU is lost")}, device("GPU-b")))
    assert {reading.attributes["hw.id"] for reading in readings} == {"GPU-b"}


def test_all_devices_lost_is_a_failure_and_nvml_is_started_anew() -> None:
    """It raises, and the next run initialises NVML again and reads."""
    nvml = FakeNvml({"handle": NVMLError("GPU is lost")})
    gpu = Gpu(Host(nvml=nvml))
    with pytest.raises(NVMLError, match="GPU is lost"):
        list(gpu.collect())
    nvml.devices = [device()]
    assert list(gpu.collect())
    assert nvml.inits == 2


def test_nvml_is_initialised_once() -> None:
    """Three runs, one nvmlInit."""
    nvml = FakeNvml(device())
    gpu = Gpu(Host(nvml=nvml))
    for _ in range(3):
        list(gpu.collect())
    assert nvml.inits == 1


def test_processes_are_bounded_and_the_largest_stay() -> None:
    """Forty processes and one whose memory is not told: the sixteen largest are said."""
    many = [SimpleNamespace(pid=pid, usedGpuMemory=pid * GIB) for pid in range(1, 41)]
    unknown = SimpleNamespace(pid=99, usedGpuMemory=None)
    readings = collect(FakeNvml(device(ComputeRunningProcesses=[unknown, *many])))
    used = [reading for reading in readings if reading.name == "sidelight.gpu.process.memory.usage"]
    pids = [reading.attributes["process.pid"] for reading in used]
    assert pids == [str(pid) for pid in range(40, 40 - PROCESSES_MAX, -1)]


def test_no_process_on_the_device_is_no_reading() -> None:
    """Not a zero for a process that does not exist."""
    assert "sidelight.gpu.process.memory.usage" not in by_name(collect(FakeNvml(device(ComputeRunningProcesses=[]))))


def test_without_the_library_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """libnvidia-ml absent, as in any container without a GPU: unavailable, pynvml is not even imported."""

    def absent(_name: str) -> None:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(Unavailable, match="libnvidia-ml"):
        list(Gpu(Host()).collect())
