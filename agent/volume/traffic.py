"""How much comes to a model, whatever its version, and whether anything comes at all. One object a model.

A canary that is promoted, a rollout and a rollback move traffic between versions: the model's own past lives on, and
its sum says whether anything happened. One version tells of it, so that one cause makes one alert.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from agent.errors import CorruptError
from agent.records import Finding, Verdict
from agent.reference.profile import Reference
from agent.volume.forecast import lend
from agent.volume.judge import RATIO_MIN, Volume
from agent.volume.past import Counted, Past

GAP_MAX = 64  # windows that nobody told, looked at one by one; of a longer gap nothing is learned
MOST = 2.0  # times the teller's records: another version tells from here on
HEAD = struct.Struct("<qI")  # window length, bytes of the past


@dataclass(slots=True)
class Traffic:
    """All versions of one model together. teller: the version whose alerts tell of it. revision: rises with every
    change."""

    volume: Volume
    teller: str = ""
    revision: int = 0
    _lent_by: int = 0  # hash of the reference whose week was looked at

    @classmethod
    def of(cls, window_ns: int) -> Traffic:
        return cls(Volume.of(window_ns))

    @property
    def last(self) -> int:
        """Index of the newest window judged; -1: none."""
        return self.volume.past.last

    def lend(self, reference: Reference | None) -> None:
        """The shape of the reference's week is tried, once a reference."""
        of = 0 if reference is None else reference.hash
        if of != self._lent_by:
            self._lent_by = of
            self.volume.lend(None if reference is None else lend(reference))

    def tells(self, version: str, rows: int, tellers: int | None) -> bool:
        """Whether it is for `version`, which had so many rows in a window, to tell of the model.

        tellers: rows of the one that did so far; None: it is gone or rests. Few versions have twice as much by chance,
        so alerts do not wander.
        """
        if version != self.teller and (tellers is None or rows > MOST * tellers):
            self.teller = version
            self.revision += 1
        return version == self.teller

    def unseen(self, before: int) -> range:
        """Windows below `before` that were not judged yet; none while nothing is known."""
        return range(max(self.last + 1, before - GAP_MAX), before) if self.last >= 0 else range(0)

    def close(self, window: Counted, alpha: float) -> Finding:
        """Judges one window and learns from what is usual. Windows must rise."""
        self.revision += 1
        return self.volume.close(window, alpha)

    def silent(
        self, before: int, rows: Callable[[int], int], covered: Callable[[int], float], alpha: float
    ) -> Iterator[Finding]:
        """A finding for each window below `before` from which no record came, oldest first; up to one that had some,
        for which a version has still to close it."""
        for index in self.unseen(before):
            if rows(index):
                return
            yield self.close(Counted(index, 0, covered(index)), alpha)

    def to_bytes(self) -> bytes:
        past = self.volume.past.to_bytes()
        return HEAD.pack(self.volume.window_ns, len(past)) + past + self.teller.encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Traffic:
        """Raises CorruptError."""
        if len(stored) < HEAD.size:
            raise CorruptError(f"traffic: {len(stored)} bytes")
        length, size = HEAD.unpack_from(stored)
        at = HEAD.size + size
        if length <= 0 or len(stored) < at:
            raise CorruptError(f"traffic: {len(stored)} bytes, windows of {length} ns")
        try:
            teller = stored[at:].decode()
        except UnicodeDecodeError as error:
            raise CorruptError("traffic: the version's name is no text") from error
        return cls(Volume(length, Past.from_bytes(stored[HEAD.size : at])), teller)


def explained(volume: Finding, repeated: Finding | None, rows: int, covered_seconds: float) -> Finding:
    """The finding, muted where the rows beyond the usual are duplicates. rows: those that `repeated` speaks of."""
    if not volume.alarms or repeated is None or not repeated.alarms or volume.current <= volume.expected:
        return volume
    left = volume.current * covered_seconds - rows * max(0.0, repeated.effect)
    if left >= RATIO_MIN * volume.expected * covered_seconds:
        return volume
    reason = f"the rows beyond the usual are duplicates; {volume.reason}"
    return replace(volume, verdict=Verdict.MUTED, reason=reason)
