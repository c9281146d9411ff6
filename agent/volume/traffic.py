"""What comes, as a whole: how much, whether it comes at all, and whether it comes twice. One object a series.

Duplicates explain a volume that rose by as much; another version's loss explains this one's gain. What is explained is
muted, so that one cause makes one alert.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from agent.errors import CorruptError
from agent.records import Closed, Finding, Verdict
from agent.volume import duplicates
from agent.volume.duplicates import Usual
from agent.volume.judge import RATIO_MIN, Volume
from agent.volume.past import Counted, Past

GAP_MAX = 64  # empty windows looked at one by one; of a longer gap nothing is learned
HEAD = struct.Struct("<qI")  # window length, bytes of the past


@dataclass(frozen=True, slots=True)
class Alphas:
    """What one window's tests may use."""

    volume: float
    duplicates: float


@dataclass(frozen=True, slots=True)
class Beside:
    """The model's other versions in one window. rows: theirs; usual: how many were to be expected of those in use.

    rested: of each that another had taken over from, and that is back since a few windows at most.
    """

    rows: float = 0.0
    usual: float = 0.0
    rested: tuple[float, ...] = ()

    def explains(self, rows: float, expected: float) -> bool:
        """Whether all versions together have what may be usual: a version's past may be of the model as a whole, or of
        its part."""
        if not (self.rows or self.usual or self.rested):
            return False
        totals = [expected + self.usual + sum(self.rested)]
        if self.rested:
            totals += [expected + self.usual, max(expected, self.usual, *self.rested)]
        together = rows + self.rows
        return any(1.0 / RATIO_MIN < together / max(total, 1e-9) < RATIO_MIN for total in totals)


ALONE = Beside()


@dataclass(slots=True)
class Traffic:
    """revision: rises with every change."""

    volume: Volume
    usual: Usual = field(default_factory=Usual)
    revision: int = 0

    @classmethod
    def of(cls, window_ns: int) -> Traffic:
        return cls(Volume.of(window_ns))

    def close(self, closed: Closed, alphas: Alphas, beside: Beside = ALONE) -> list[Finding]:
        """Findings on one closed window; windows must rise, and `silent` comes before. Learns from what is usual."""
        self.revision += 1
        repeated = duplicates.judge(closed.repeats, self.usual, alphas.duplicates, closed.index)
        if repeated is not None and not repeated.alarms:
            self.usual = self.usual.learn(closed.repeats)
        found = [] if repeated is None else [repeated]
        rows = closed.rows - closed.backlog
        if rows <= 0 or closed.index <= self.volume.past.last:
            return found  # only what was sent afterwards, or a clock that went back
        volume = self.volume.close(Counted(closed.index, rows, closed.covered_seconds), alphas.volume)
        return [*found, _explained(volume, repeated, beside, rows, closed.covered_seconds)]

    def silent(self, before: int, covered: Callable[[int], float], alphas: Alphas) -> Iterator[Finding]:
        """A finding for each window below `before` from which no record came, oldest first."""
        last = self.volume.past.last
        if last < 0:
            return
        for index in range(max(last + 1, before - GAP_MAX), before):
            self.revision += 1
            yield self.volume.close(Counted(index, 0, covered(index)), alphas.volume)

    def to_bytes(self) -> bytes:
        past = self.volume.past.to_bytes()
        return HEAD.pack(self.volume.window_ns, len(past)) + past + self.usual.to_bytes()

    @classmethod
    def from_bytes(cls, window_ns: int, stored: bytes) -> Traffic:
        """Begins anew where windows had another length. Raises CorruptError."""
        if len(stored) < HEAD.size:
            raise CorruptError(f"traffic: {len(stored)} bytes")
        length, size = HEAD.unpack_from(stored)
        if length != window_ns:
            return cls.of(window_ns)
        at = HEAD.size + size
        volume = Volume(window_ns, Past.from_bytes(stored[HEAD.size : at]))
        return cls(volume, Usual.from_bytes(stored[at:]))


def _explained(volume: Finding, repeated: Finding | None, beside: Beside, rows: int, seconds: float) -> Finding:
    """The finding, muted where something else accounts for it."""
    if not volume.alarms:
        return volume
    expected = volume.expected * seconds
    if repeated is not None and repeated.alarms and rows > expected:
        left = rows * (1.0 - max(0.0, repeated.effect))
        if left < RATIO_MIN * expected:
            return _mute(volume, "the rows beyond the usual are duplicates")
    if beside.explains(rows, expected):
        return _mute(volume, "traffic moved between the model's versions, which together have the usual")
    return volume


def _mute(finding: Finding, why: str) -> Finding:
    return replace(finding, verdict=Verdict.MUTED, reason=f"{why}; {finding.reason}")
