"""The sample of one window: rows with the lowest hashes, as many as the window may hold, whatever comes.

A row is held if its hash is below a limit that halves whenever rows or bytes become too many: a uniform sample of which
every row had the same chance (consistent sampling, Broder 1997; Cohen and Kaplan 2007). Rows behind a finding have
`BOOST` times that chance. 1 / chance is the weight that keeps means right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.counting.fingerprints import Hashes
from agent.records import Bools

WHOLE = 1 << 64
BOOST_LOG2 = 4
BOOST = 1 << BOOST_LOG2
CARRIED = 4  # times the last window's limit is where the next begins: it need not take everything to throw it away
LOWEST_LIMIT = 1 << 24


@dataclass(slots=True)
class Sample:
    """rows: rank (the hash, of a boosted row shifted down), line; size: bytes of the lines."""

    limit: int = WHOLE
    rows: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0

    def below(self, hashes: Hashes) -> Bools:
        """Which rows could be held, boosted or not; 0 is none."""
        highest = min(self.limit << BOOST_LOG2, WHOLE)
        known = hashes != 0
        return np.asarray(known if highest >= WHOLE else known & (hashes < np.uint64(highest)))

    def held(self, hashes: Hashes, boosted: Bools) -> Bools:
        """Which of these are held."""
        return np.asarray(_within(ranks(hashes, boosted), self.limit))

    def add(self, ranked: Hashes, lines: list[bytes], rows_max: int, bytes_max: int) -> None:
        """Lines of rows that `held` chose."""
        self.rows += zip(ranked.tolist(), lines, strict=True)
        self.size += sum(map(len, lines))
        while self.rows and (len(self.rows) > rows_max or self.size > bytes_max):
            self.limit >>= 1
            self.rows = [row for row in self.rows if row[0] < self.limit] if self.limit >= LOWEST_LIMIT else []
            self.size = sum(len(line) for _, line in self.rows)

    @property
    def share(self) -> float:
        """The chance that a row of the window had, 0-1."""
        return self.limit / WHOLE

    def next(self) -> Sample:
        """Of the window after it."""
        return Sample(min(WHOLE, max(self.limit, LOWEST_LIMIT) * CARRIED))


def ranks(hashes: Hashes, boosted: Bools) -> Hashes:
    """uint64 (rows,): what is held against the limit."""
    return np.where(boosted, hashes >> np.uint64(BOOST_LOG2), hashes)


def chance(share: float, boosted: bool) -> float:
    """Of a row to be in the sample."""
    return min(1.0, share * BOOST) if boosted else share


def _within(found: Hashes, limit: int) -> Bools:
    return np.ones(len(found), dtype=bool) if limit >= WHOLE else np.asarray(found < np.uint64(limit))
