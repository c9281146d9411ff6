"""`python -m collectors`: the readings as a table, to verify a machine by eye."""

from __future__ import annotations

import pytest

from collectors import Host
from collectors.__main__ import main, table
from collectors.gpu import Gpu
from tests.collectors.fakes import FakeNvml, device


def test_readings_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, value, unit and labels, a line each."""
    assert table(Gpu(Host(nvml=FakeNvml(device("GPU-7")))))
    line = next(line for line in capsys.readouterr().out.splitlines() if "hw.power" in line)
    assert line.split() == ["hw.power", "412.5", "W", "hw.type=gpu", "hw.id=GPU-7", "hw.name=NVIDIA", "H100"]


def test_nothing_to_read_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """A state and its reason in place of readings."""
    assert not table(Gpu(Host(nvml=FakeNvml())))
    assert "unavailable: NVML sees no device" in capsys.readouterr().out


def test_an_unknown_name_exits_2_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is told what there is."""
    assert main(["gpus"]) == 2
    assert "there are cpu, memory" in capsys.readouterr().err


def test_a_collector_asked_for_that_has_nothing_exits_1() -> None:
    """A script can tell; no process is watched by default."""
    assert main(["watched"]) == 1
