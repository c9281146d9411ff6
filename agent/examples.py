"""Of an open window, predictions that stand in traces: a few of every bin and category, whatever comes.

Which cell will have grown is known only when the window closes; by then the predictions are gone. So of each cell the
two with the lowest hashes are held, as bytes. The hash is one for all cells: the lowest of all stands in one cell of
every feature, and a few hundred predictions cover thousands of cells. Whatever the order they come in, the same ones
are held (bottom-k sampling; Cohen & Kaplan 2007), as long as there is room.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent import durations
from agent.errors import CorruptError
from agent.records import Batch, Cells, Floats, Ints
from agent.traced import Trace
from agent.wire import state_pb2 as state

EACH = 2  # held of one cell
BYTES_MAX = 256 << 10  # held of one window: about a thousand predictions with two stages
WINDOWS_MAX = 4  # open windows of one series that hold examples; of further ones none
BEYOND = durations.BUCKETS + 1  # further cells: a latency bucket each, and one for latencies that are none
AT_ONCE = 16  # offered before what is left is looked through again
NONE = np.uint64((1 << 64) - 1)
Hashes = npt.NDArray[np.uint64]


class Examples:
    """Of one window. lowest: uint64 (EACH, cells + BEYOND), hashes, lowest first. held: what stands behind each."""

    def __init__(self, cells: int) -> None:
        self.lowest: Hashes = np.full((EACH, cells + BEYOND), NONE)
        self.held: dict[int, bytes] = {}
        self.size = 0  # bytes held
        self.full = False  # nothing more is taken

    @property
    def cells(self) -> int:
        """The layout's; behind them lie the latency buckets."""
        return int(self.lowest.shape[1]) - BEYOND

    def add(self, batch: Batch, placed: Cells | None) -> None:
        """Takes those of the batch's predictions that are in a trace and lower than what some cell holds.
        placed: int32 (features, rows); None where there is no layout."""
        if self.full:
            return
        traces = batch.traces
        hashes = traces.hashes(batch.ids)
        own = self._own(batch, placed)
        left = np.argsort(hashes, kind="stable")
        left = left[self._lower(hashes, own, left)]
        while left.size and not self.full:
            for place in left[:AT_ONCE].tolist():
                self._offer(hashes[place], own[:, place], batch, place)
            left = left[AT_ONCE:]
            left = left[self._lower(hashes, own, left)]

    def of(self, cell: int) -> list[tuple[int, Trace, bool]]:
        """Those held of a cell: hash, the prediction, whether it is a span already."""
        hashes = [int(found) for found in self.lowest[:, cell] if int(found) in self.held]
        return [(found, *unpack(self.held[found])) for found in hashes]

    def of_latency(self, bucket: int) -> list[tuple[int, Trace, bool]]:
        return self.of(self.cells + bucket)

    def _own(self, batch: Batch, placed: Cells | None) -> Cells:
        """int32 (features + 1, n): the cells of each prediction in a trace."""
        rows = batch.traces.rows
        latency = np.full((1, len(rows)), self.cells + durations.BUCKETS, np.int32)
        if batch.latency is not None:
            latency[0] = self.cells + _buckets(batch.latency[rows])
        return latency if placed is None else np.vstack((placed[:, rows], latency))

    def _lower(self, hashes: Hashes, own: Cells, places: Ints) -> npt.NDArray[np.bool_]:
        """bool, one a place: whether some cell of it holds higher ones only, or too few."""
        return np.asarray((hashes[places] < self.lowest[-1][own[:, places]]).any(axis=0))

    def _offer(self, its: np.uint64, cells: Cells, batch: Batch, place: int) -> None:
        first, second = self.lowest[0, cells], self.lowest[1, cells]
        lowest, next_to = its < first, (its > first) & (its < second)
        if not (lowest.any() or next_to.any()):
            return
        if int(its) not in self.held and not self._hold(int(its), batch, place):
            return
        self.lowest[1, cells[lowest]] = first[lowest]
        self.lowest[0, cells[lowest]] = its
        self.lowest[1, cells[next_to]] = its

    def _hold(self, its: int, batch: Batch, place: int) -> bool:
        """Makes room by what no cell points at any more; False, and full, where that is not enough."""
        exported = batch.traces.exported is not None and bool(batch.traces.exported[place])
        packed = pack(batch.traces.whole(place), exported)
        if self.size + len(packed) > BYTES_MAX:
            used = set(np.unique(self.lowest).tolist())
            self.held = {one: body for one, body in self.held.items() if one in used}
            self.size = sum(map(len, self.held.values()))
            self.full = self.size + len(packed) > BYTES_MAX
        if not self.full:
            self.held[its] = packed
            self.size += len(packed)
        return not self.full

    def dump(self) -> state.Examples:
        hashes = np.fromiter(self.held, dtype="<u8", count=len(self.held)).tobytes()
        lowest = self.lowest.astype("<u8").tobytes()
        return state.Examples(lowest=lowest, hashes=hashes, traces=list(self.held.values()), full=self.full)

    @classmethod
    def load(cls, message: state.Examples, cells: int) -> Examples:
        """Raises CorruptError where it is not of so many cells."""
        found = cls(cells)
        lowest, hashes = np.frombuffer(message.lowest, "<u8"), np.frombuffer(message.hashes, "<u8").tolist()
        if lowest.size != found.lowest.size or len(hashes) != len(message.traces):
            raise CorruptError(f"examples: {lowest.size} hashes, expected {found.lowest.size}")
        found.lowest = lowest.reshape(EACH, -1).astype(np.uint64)
        found.held = dict(zip(hashes, message.traces, strict=True))
        found.size, found.full = sum(map(len, message.traces)), message.full
        return found


def pack(trace: Trace, exported: bool) -> bytes:
    """As it is held and stored."""
    made = state.Example(
        trace_id=trace.trace_id, parent_id=trace.parent_id, flags=trace.flags, state=_text(trace.state),
        prediction_id=_text(trace.prediction_id), start_unix_nano=max(trace.start_ns, 0), latency=trace.latency,
        error_type=_text(trace.error_type), row=trace.row, exported=exported,
        segments=[_text(segment) for segment in trace.segments],
    )  # fmt: skip
    for name, offset, duration in trace.stages:
        made.stages.add(name=_text(name), offset=offset, duration=duration)
    for name, value in trace.values:
        kept = made.values.add(name=_text(name))
        if isinstance(value, bool):
            kept.flag = value
        elif isinstance(value, str):
            kept.text = _text(value)
        else:
            kept.number = value
    return made.SerializeToString()


def unpack(packed: bytes) -> tuple[Trace, bool]:
    """What was packed, and whether it is a span already."""
    found = state.Example.FromString(packed)
    trace = Trace(
        row=found.row, trace_id=found.trace_id, parent_id=found.parent_id, flags=found.flags,
        prediction_id=found.prediction_id, start_ns=found.start_unix_nano, latency=found.latency,
        error_type=found.error_type, stages=tuple((s.name, s.offset, s.duration) for s in found.stages),
        state=found.state, segments=tuple(found.segments),
        values=tuple((v.name, getattr(v, v.WhichOneof("value") or "number")) for v in found.values),
    )  # fmt: skip
    return trace, found.exported


def _buckets(seconds: Floats) -> Ints:
    known = (seconds >= 0) & (seconds < durations.MAX_SECONDS)  # NaN compares false
    return np.where(known, durations.bucket(np.where(known, seconds, 0.0)), durations.BUCKETS)


def _text(value: str) -> str:
    """As protobuf can carry it: lone surrogates become question marks."""
    return value.encode(errors="replace").decode()
