"""How much of a window the agent saw. Volume is records per *covered* second: an agent that was down is no silence.

While the agent lives it leaves a sign every second; the first frame after a start carries the last one, so that a
replay knows the same gaps.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.records import Bools, Ints

GAPS_MAX = 64  # remembered at once; more, and the two nearest become one
DOWN_SECONDS_MIN = 2.0  # between two lives of the agent: a sign a second, and one may come late
STOOD_SECONDS_MIN = 10.0  # within one life: less is a busy machine, whose senders wait at the socket
log = logging.getLogger("sidelight.coverage")
Gap = tuple[int, int]  # [from, to) in ns


@dataclass(slots=True)
class Coverage:
    """The gaps in which nobody watched one series, rising and apart. Memory: 64 gaps."""

    gaps: list[Gap] = field(default_factory=list)

    def lost(self, start_ns: int, end_ns: int) -> None:
        """Nobody watched from `start_ns` to `end_ns`. Gaps that touch become one."""
        if end_ns <= start_ns:
            return
        merged: list[Gap] = []
        for gap in sorted([*self.gaps, (start_ns, end_ns)]):
            if merged and gap[0] <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], gap[1]))
            else:
                merged.append(gap)
        if len(merged) > GAPS_MAX:
            at = min(range(len(merged) - 1), key=lambda i: merged[i + 1][0] - merged[i][1])
            merged[at : at + 2] = [(merged[at][0], merged[at + 1][1])]
        self.gaps = merged

    def forget(self, before_ns: int) -> None:
        """Drops gaps that ended before this moment: no window reaches back to them."""
        self.gaps = [gap for gap in self.gaps if gap[1] > before_ns]

    def seconds(self, start_ns: int, end_ns: int) -> float:
        """Seconds watched between the two moments."""
        blind = sum(max(0, min(end, end_ns) - max(start, start_ns)) for start, end in self.gaps)
        return max(0, end_ns - start_ns - blind) / 1e9

    def inside(self, times_ns: Ints) -> Bools:
        """bool (rows,): which of these moments lie in a gap. Their records were sent afterwards: the backlog."""
        found = np.zeros(len(times_ns), dtype=np.bool_)
        for start, end in self.gaps:
            found |= (times_ns >= start) & (times_ns < end)
        return found

    @classmethod
    def of(cls, gaps: Iterable[Gap]) -> Coverage:
        found = cls()
        for start, end in gaps:
            found.lost(start, end)
        return found


class Alive:
    """The agent's last sign of life, in a file of twenty bytes that is rewritten every second."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last_ns(self) -> int:
        """When the agent that used this folder was last seen alive; 0: never, or nobody can read it."""
        try:
            return int(self._path.read_bytes()[:20])
        except (OSError, ValueError):
            return 0

    def sign(self, now_ns: int) -> None:
        """Says that the agent lives. A disk that cannot be written is said elsewhere."""
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.debug("sign_failed error=%s", error)
            return
        try:
            os.pwrite(file, b"%020d" % now_ns, 0)
        except OSError as error:
            log.debug("sign_failed error=%s", error)
        finally:
            os.close(file)
