"""What a collector is: something that reads a part of the machine, once, when asked. Imports nothing of the agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import psutil

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one metric. name, unit: OpenTelemetry's where it has one (UCUM units), else `sidelight.*`.

    start_ns: since when a counter counts, Unix nanoseconds; 0: unknown, no earlier than the host's boot.
    """

    name: str
    unit: str
    kind: Kind
    value: float
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    start_ns: int = 0


class Unavailable(Exception):  # noqa: N818 - a state of the machine, not an error
    """Rightly nothing to read here: no GPU, no cgroup, no such process. Said once, never a failure."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where collectors look. proc, cgroup: roots of cgroup's files, so that tests can bring a recorded tree.

    watched: names of processes to follow (`*` and `?` allowed). system: `psutil`, or what answers like it.
    nvml: the module `pynvml`; None: loaded if NVML exists.
    """

    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")
    watched: tuple[str, ...] = ()
    system: Any = psutil
    nvml: Any = None


class Collector(Protocol):
    """One part of the machine."""

    name: str

    def collect(self) -> Iterable[Reading]:
        """Reads once; may block, so it is called in a thread, never in two at once.

        Raises `Unavailable` where there is rightly nothing to read; any other exception is a failure of this collector.
        """
        ...


def read(path: Path) -> str:
    """The file's text. Raises `Unavailable`, naming the file, where it is absent or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise Unavailable(f"{path}: {error.strerror}") from error


@contextmanager
def visible() -> Iterator[None]:
    """What psutil may not or cannot see here (no /proc, no permission, no such process) becomes `Unavailable`."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise Unavailable(f"{error.filename}: {error.strerror}") from error
    except (psutil.AccessDenied, psutil.NoSuchProcess) as error:
        raise Unavailable(str(error)) from error
