"""Predictions that stand in a caller's trace: of a batch all of them as arrays, of one whatever its span needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Value: TypeAlias = float | str | bool
TRACE_ID, SPAN_ID = 16, 8  # bytes
STATE_MAX = 512  # characters of a tracestate; a longer one is left out whole, as the W3C allows
ERRORS = {2: "timeout", 3: "rejected"}  # a status' word; numbers as in rows.proto
OTHER_ERROR = "_OTHER"  # the conventions' word for an error without a name
_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xFF51AFD7ED558CCD))


@dataclass(frozen=True, slots=True)
class Trace:
    """One prediction's place in its caller's trace.

    trace_id 16 bytes, parent_id 8 bytes; stages: (name, offset seconds, duration seconds). error_type: empty where it
    went well. state: W3C tracestate. reason: why it becomes a span. values: of the features named in
    SIDELIGHT_TRACE_FEATURES. segments: "key=value", for inside only.
    """

    row: int
    trace_id: bytes
    parent_id: bytes
    flags: int
    prediction_id: str
    start_ns: int
    latency: float
    error_type: str
    stages: tuple[tuple[str, float, float], ...] = ()
    state: str = ""
    reason: str = ""
    values: tuple[tuple[str, Value], ...] = ()
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """Those of one batch, n of them. rows: int64 (n,), rising, in the batch; ids: uint8 (n, 16); parents: uint8 (n, 8);
    flags: uint8 (n,). make: one whole, by its number; numbers: int64 (n,), what `make` knows each by.
    exported: bool (n,), those that are spans already; None: none.
    """

    rows: npt.NDArray[np.int64]
    ids: npt.NDArray[np.uint8]
    parents: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint8]
    numbers: npt.NDArray[np.int64]
    make: Callable[[int], Trace]
    exported: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, found: list[Trace]) -> Traces:
        """Of such as were made already; `row` is their row in the batch."""
        ids = np.frombuffer(b"".join([t.trace_id for t in found]), np.uint8).reshape(-1, TRACE_ID)
        parents = np.frombuffer(b"".join([t.parent_id for t in found]), np.uint8).reshape(-1, SPAN_ID)
        flags = np.array([t.flags & 0xFF for t in found], np.uint8)
        rows = np.array([t.row for t in found], np.int64)
        return cls(rows, ids, parents, flags, np.arange(len(found)), found.__getitem__)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Trace]:
        return (self.make(number) for number in self.numbers.tolist())

    def whole(self, place: int) -> Trace:
        """The one at this place, 0 to n - 1."""
        return self.make(int(self.numbers[place]))

    def select(self, kept: npt.NDArray[np.int64]) -> Traces:
        """Those of the batch's rows in `kept` (rising)."""
        if not len(self):
            return self
        stay = np.isin(self.rows, kept, assume_unique=True)
        return replace(
            self, rows=np.searchsorted(kept, self.rows[stay]).astype(np.int64), ids=self.ids[stay],
            parents=self.parents[stay], flags=self.flags[stay], numbers=self.numbers[stay],
            exported=None if self.exported is None else self.exported[stay],
        )  # fmt: skip

    def hashes(self, ids: npt.NDArray[np.uint64] | None) -> npt.NDArray[np.uint64]:
        """uint64 (n,): of trace, caller's span and prediction, the same whenever they come again. ids: hashes of the
        batch's prediction ids."""
        found = _words(self.ids)[:, 1] + _words(self.parents)[:, 0] * _ODD[0]
        if ids is not None:
            found ^= ids[self.rows] * _ODD[1]
        found ^= found >> np.uint64(32)
        found *= _ODD[2]
        return np.asarray(found ^ (found >> np.uint64(29)))


def error_type(said: str, status: int) -> str:
    """What `error.type` is to be: the sender's word, else the status'; empty where all went well."""
    return said or (ERRORS.get(status, OTHER_ERROR) if status else "")


def _words(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(data).view("<u8").astype(np.uint64)


NO_TRACES = Traces.of([])
