"""The container's figures, over recorded cgroup files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from collectors import Host, Unavailable
from collectors.cgroup import Cgroup, parse
from tests.collectors.fakes import NODE, values

HOST = Host(proc=NODE / "proc", cgroup=NODE / "cgroup")


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A copy of the recorded files that a test may change."""
    return Path(shutil.copytree(NODE, tmp_path / "node"))


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
    names = {reading.name for reading in parse({"cpu.stat": "user_usec 1\nsystem_usec 2\n"})}
    assert names == {"container.cpu.time"}


def test_a_machine_without_cgroup_v2_is_unavailable(tmp_path: Path) -> None:
    """No cgroup files (a developer's Mac): a state with the path in its reason, no error."""
    with pytest.raises(Unavailable, match=str(tmp_path)):
        list(Cgroup(Host(proc=tmp_path, cgroup=tmp_path)).collect())
