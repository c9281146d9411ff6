"""What Sidelight reads of the machine: one file a part, one line here each. Imports nothing of the agent."""

from __future__ import annotations

from collections.abc import Callable

from collectors.base import Collector, Host, Reading, Unavailable
from collectors.cgroup import Cgroup
from collectors.cpu import Cpu
from collectors.gpu import Gpu
from collectors.memory import Memory
from collectors.process import Process, Watched

__all__ = ["COLLECTORS", "Collector", "Host", "Reading", "Unavailable"]

COLLECTORS: tuple[Callable[[Host], Collector], ...] = (Cpu, Memory, Cgroup, Process, Watched, Gpu)
