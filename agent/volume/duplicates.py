"""Does the same come again? The share of repeated ids, and of repeated rows, against the service's own past.

Few discrete features repeat by nature, and senders that are not stamped resend now and then: what counts is a share
that rose. Windows vary more than independent rows would: the rise is held against Student's t with the spread of the
past's windows, and the count against the exact binomial. The larger p counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from agent.errors import CorruptError
from agent.records import Closed, Finding, Source, Verdict
from agent.statistics.tails import binomial_tail, student_tail

IDS, ROWS = "ids", "rows"
WORDS = {IDS: "the same ids again", ROWS: "the same rows again, under new ids"}
WINDOWS_MAX = 64  # of the past, the newest
WINDOWS_MIN = 8  # fewer say nothing of how often rows repeat by nature; ids should not at all
SAMPLED_MIN = 20  # as latency
RISE_MIN = 0.05  # of the share: a twentieth of the rows does not double a count
# What is believed of the spread between windows, as sure as eight of them would make it: two in a hundred.
PRIOR_SPREAD, PRIOR_WINDOWS = 0.02, 8
SUBJECT = "duplicates"
FIELDS = 4  # of a window: sampled ids, repeated ones, sampled rows, repeated ones


@dataclass(frozen=True, slots=True)
class Usual:
    """The repeats of usual windows, newest last: (sampled ids, repeated, sampled rows, repeated) each."""

    windows: tuple[tuple[int, int, int, int], ...] = ()

    def learn(self, repeats: Mapping[str, tuple[int, int]]) -> Usual:
        """With one more window. Judge first, and do not learn from one that alarms."""
        window = (*repeats.get(IDS, (0, 0)), *repeats.get(ROWS, (0, 0)))
        return replace(self, windows=(*self.windows, window)[-WINDOWS_MAX:])

    def of(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows sampled and repeated, float64, of the windows that had some."""
        at = 0 if kind == IDS else 2
        known = np.array([w[at : at + 2] for w in self.windows if w[at]], dtype=np.float64).reshape(-1, 2)
        return known[:, 0], known[:, 1]

    def to_bytes(self) -> bytes:
        return np.array(self.windows, dtype="<i8").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Usual:
        """Raises CorruptError where these are not windows of repeats."""
        if len(stored) % (8 * FIELDS) or len(stored) > 8 * FIELDS * WINDOWS_MAX:
            raise CorruptError(f"duplicates: {len(stored)} bytes are no windows")
        found = np.frombuffer(stored, dtype="<i8").reshape(-1, FIELDS)
        if (found < 0).any() or (found[:, 1::2] > found[:, ::2]).any():
            raise CorruptError("duplicates: more repeats than rows")
        return cls(tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in found))


@dataclass(slots=True)
class Repeats:
    """One series' repeats. revision: rises with every change."""

    usual: Usual = field(default_factory=Usual)
    revision: int = 0

    def close(self, closed: Closed, alpha: float) -> Finding | None:
        """Judges one closed window, then learns from it unless it alarms; None where nothing could be sampled."""
        self.revision += 1
        found = judge(closed.repeats, self.usual, alpha, closed.index)
        if found is not None and not found.alarms:
            self.usual = self.usual.learn(closed.repeats)
        return found

    def to_bytes(self) -> bytes:
        return self.usual.to_bytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Repeats:
        """Raises CorruptError."""
        return cls(Usual.from_bytes(stored))


def judge(repeats: Mapping[str, tuple[int, int]], usual: Usual, alpha: float, window: int) -> Finding | None:
    """The newest window; None where nothing could be sampled (a replay of rows older than the two newest windows).

    repeats: by kind, rows sampled and those that came before in this window or the last. Ids explain rows: where both
    rose, the finding says ids. effect: the rise of the share; current, expected: the share, now and usually; distances:
    both shares. Each kind may use half of `alpha`.
    """
    found = [_one(kind, *repeats[kind], usual, alpha, window) for kind in (IDS, ROWS) if repeats.get(kind, (0, 0))[0]]
    if not found:
        return None
    shares = {f"share_{kind}": repeated / rows for kind, (rows, repeated) in repeats.items() if rows}
    chosen = next((f for f in found if f.alarms), found[-1])
    return replace(chosen, distances=shares)


def _one(kind: str, rows: int, repeated: int, usual: Usual, alpha: float, window: int) -> Finding:
    known, before = usual.of(kind)
    share = repeated / rows
    expected = float(before.sum() / known.sum()) if known.size else 0.0

    def finding(verdict: Verdict, reason: str, p: float = float("nan"), phi: float = 1.0) -> Finding:
        return Finding(
            "duplicates", SUBJECT, Source.ROW, verdict, p, alpha, share - expected, n=rows, phi=phi,
            n_reference=int(known.sum()), first_window=window, current=share, expected=expected, reason=reason,
        )  # fmt: skip

    if rows < SAMPLED_MIN:
        return finding(Verdict.NOT_ENOUGH_ROWS, f"{rows} rows, {SAMPLED_MIN} are needed")
    if kind == ROWS and known.size < WINDOWS_MIN:
        return finding(Verdict.LEARNING, f"{known.size} windows of {WINDOWS_MIN} known")
    said = f"{share * 100:.3g} % of the rows are {WORDS[kind]} (usually {expected * 100:.3g} %)"
    p, phi = _tail(rows, repeated, known, before)
    p = min(1.0, 2.0 * p)
    if p > alpha:
        return finding(Verdict.WITHIN_NOISE, said, p, phi)
    if share - expected < RISE_MIN:
        said = f"{said}; a rise under {RISE_MIN * 100:.0f} % is not worth an alarm"
        return finding(Verdict.BELOW_FLOOR, said, p, phi)
    return finding(Verdict.ALARM, said, p, phi)


def _tail(rows: int, repeated: int, known: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    """One-sided p of the share, and φ: its variance over that of independent rows."""
    n = float(known.sum())
    usual = (float(before.sum()) + 0.5) / (n + 1.0)  # Jeffreys 1946: never 0, never 1
    chance = usual * (1.0 - usual)
    shares = before / np.maximum(known, 1.0)
    between = float(np.square(shares - usual).sum() - chance * (1.0 / np.maximum(known, 1.0)).sum()) if n else 0.0
    spread = (PRIOR_WINDOWS * PRIOR_SPREAD**2 + max(between, 0.0)) / (PRIOR_WINDOWS + known.size)
    variance = spread * (1.0 + 1.0 / max(known.size, 1)) + chance * (1.0 / rows + 1.0 / (n + 1.0))
    t = (repeated / rows - usual) / math.sqrt(variance)
    p = max(student_tail(t, PRIOR_WINDOWS + max(known.size - 1, 0)), binomial_tail(repeated, rows, usual))
    return p, variance / (chance / rows)
