"""What Sidelight reads of the machine: one file a part, one line here each. Imports nothing of the agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from collectors.base import Collector, Host, Reading, Unavailable
from collectors.cgroup import Cgroup
from collectors.cpu import Cpu
from collectors.gpu import Gpu
from collectors.memory import Memory
from collectors.process import Process, Watched

__all__ = ["COLLECTORS", "Collector", "Host", "Reading", "Unavailable", "build"]

COLLECTORS: Mapping[str, Callable[[Host], Collector]] = MappingProxyType(
    {"cpu": Cpu, "memory": Memory, "cgroup": Cgroup, "process": Process, "watched": Watched, "gpu": Gpu}
)


def build(names: Iterable[str], host: Host) -> tuple[Collector, ...]:
    """The collectors of these names, in the table's order, and `watched` wherever the host names processes to watch.

    Raises ValueError, naming them, for names the table does not have.
    """
    wanted = set(names) | ({"watched"} if host.watched else set())
    if unknown := wanted - COLLECTORS.keys():
        raise ValueError(f"no collector {', '.join(sorted(unknown))}; there are {', '.join(COLLECTORS)}")
    return tuple(make(host) for name, make in COLLECTORS.items() if name in wanted)
