"""What is simulated: one cell is one world, one size of window and of reference, and one limit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Protocol

from agent.ledger import Dial
from agent.records import Batch
from calibration.tables import Shuffled, Table
from calibration.worlds import DAY, Change, Embedding, Numeric, Stream, World

FIRST = 336_000  # windows since the epoch where every history begins, a whole number of weeks


class Windows(Protocol):
    """Draws windows one after the other. None: an hour without rows. Raises EOFError where there are no more."""

    def window(self, index: int, rows: int, change: Change | None = None) -> Batch | None: ...


@dataclass(frozen=True, slots=True)
class Cell:
    """n: rows a window (hourly); reference_rows: N; days: simulated for each reference, before a change if there is
    one. limit: of the rate, in dials; 0: shown, not judged. made: learned (from traffic) or file. change, subject: what
    happens after, and the value an alert must name ("": any). expected: median delay that was promised, in windows.
    dial: false alarms a day; trials: how often the change begins anew on each reference. weight: part of the time;
    short: also run in the short form.
    """

    name: str
    world: World | Table
    n: int
    reference_rows: int
    days: float = 4.0
    limit: float = 1.0
    made: str = "learned"
    dial: float = Dial().false_alarms_per_day
    change: Change | None = None
    subject: str = ""
    trials: int = 1
    expected: float = 0.0
    weight: float = 1.0
    short: bool = False

    @property
    def blocks(self) -> int:
        """Windows of the reference."""
        return max(2, round(self.reference_rows / self.n))

    @property
    def live_windows(self) -> int:
        return round(self.days * DAY)

    @property
    def features(self) -> int:
        if isinstance(self.world, Table):
            return 0
        return sum(1 if isinstance(group, Embedding) else group.count for group in self.world.groups)

    @property
    def key(self) -> str:
        """Of everything that decides the runs: what is only said of the cell is left out."""
        said = asdict(self)
        for name in ("name", "limit", "expected", "weight", "short"):
            del said[name]
        text = json.dumps([type(self.world).__name__, said], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def stream(self, seed: int) -> Windows:
        seeds = (int(self.key[:8], 16), seed)
        return Shuffled(self.world, FIRST, seeds) if isinstance(self.world, Table) else Stream(self.world, seeds)


def normal(m: int, **how: float) -> World:
    return World((Numeric(m, **how),))  # type: ignore[arg-type]  # mypy takes `how` for every field's type
