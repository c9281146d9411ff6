"""Of an open window, predictions that stand in traces: a few of every bin and category, whatever comes.

Which cell will have grown is known only when the window closes; by then the predictions are gone. So of each cell the
two with the lowest hashes are held, as bytes. The hash is one for all cells: the lowest of all stands in one cell of
every feature, and a few hundred predictions cover thousands of cells. Whatever the order they come in, the same ones
are held (bottom-k sampling; Cohen & Kaplan 2007), as long as there is room. Where the last window had many, only the
lowest hashes of the next are looked at: about as many as make `ROWS`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.counting import durations
from agent.errors import CorruptError
from agent.records import Batch, Cells, Floats, Ints
from agent.traces.traced import Trace
from agent.wire import state_pb2 as state

EACH = 2  # held of one cell
BYTES_MAX = 256 << 10  # held of one window: about a thousand predictions with two stages
WINDOWS_MAX = 4  # open windows of one series that hold examples; of further ones none
BEYOND = durations.BUCKETS + 1  # further cells: a latency bucket each, and one for latencies that are none
ROWS = 2_000  # predictions of a window that are looked at: its lowest hashes
NONE_SEEN = (1 << 64) - 1
NONE = np.uint64(NONE_SEEN)
Hashes = npt.NDArray[np.uint64]


class Examples:
    """Of one window. lowest: uint64 (EACH, cells + BEYOND), hashes, lowest first. held: what stands behind each."""

    def __init__(self, cells: int) -> None:
        self.lowest: Hashes = np.full((EACH, cells + BEYOND), NONE)
        self.held: dict[int, bytes] = {}
        self.size = 0  # bytes held
        self.full = False  # nothing more is taken
        self.seen = 0  # predictions in a trace so far

    @property
    def cells(self) -> int:
        """The layout's; behind them lie the latency buckets."""
        return int(self.lowest.shape[1]) - BEYOND

    def add(self, batch: Batch, placed: Cells | None, below: int = NONE_SEEN) -> None:
        """Takes those of the batch's predictions that are in a trace and lower than what some cell holds.
        placed: int32 (features, rows); None where there is no layout. below: higher hashes are not looked at."""
        self.seen += len(batch.traces)
        if self.full:
            return
        hashes = batch.traces.hashes(batch.ids)
        places = np.flatnonzero(hashes <= np.uint64(below))
        if not places.size:
            return
        own, its = self._own(batch, placed, places), hashes[places]
        lower = (its < self.lowest[-1][own]).any(axis=0)
        if not lower.any():
            return
        order = np.argsort(its[lower], kind="stable")
        places, own, its = places[lower][order], own[:, lower][:, order], its[lower][order]
        cells, lowest = self._merged(its, own)
        new = {int(its[k]): int(places[k]) for k in np.flatnonzero(np.isin(its, lowest))[::-1]}  # of equals the first
        before = self.lowest[:, cells]
        self.lowest[:, cells] = lowest
        if not self._hold({one: place for one, place in new.items() if one not in self.held}, batch):
            self.lowest[:, cells] = before
            self.full = True

    def _merged(self, its: Hashes, own: Cells) -> tuple[Ints, Hashes]:
        """The touched cells, and their new lowest, uint64 (EACH, cells). its: rising, as the columns of `own`."""
        features, rows = own.shape
        cell = own[:, ::-1].T.ravel()  # the highest first: what is written last stays
        rank = np.repeat(np.arange(rows)[::-1], features)
        first, second = np.full((2, self.lowest.shape[1]), rows)
        first[cell] = rank
        later = rank != first[cell]
        second[cell[later]] = rank[later]
        cells, known = np.flatnonzero(first < rows), np.append(its, NONE)
        old, one, two = self.lowest[:, cells], known[first[cells]], known[second[cells]]
        one = np.where((one == old).any(axis=0), NONE, one)
        two = np.where((two == old).any(axis=0) | (two == known[first[cells]]), NONE, two)
        return cells, np.sort(np.vstack((old, one, two)), axis=0)[:EACH]

    def of(self, cell: int) -> list[tuple[int, Trace, bool]]:
        """Those held of a cell: hash, the prediction, whether it is a span already."""
        hashes = [int(found) for found in self.lowest[:, cell] if int(found) in self.held]
        return [(found, *unpack(self.held[found])) for found in hashes]

    def of_latency(self, bucket: int) -> list[tuple[int, Trace, bool]]:
        return self.of(self.cells + bucket)

    def _own(self, batch: Batch, placed: Cells | None, places: Ints) -> Cells:
        """int32 (features + 1, places): the cells of each of these predictions."""
        rows = batch.traces.rows[places]
        latency = np.full((1, len(rows)), self.cells + durations.BUCKETS, np.int32)
        if batch.latency is not None:
            latency[0] = self.cells + _buckets(batch.latency[rows])
        return latency if placed is None else np.vstack((placed[:, rows], latency))

    def _hold(self, new: dict[int, int], batch: Batch) -> bool:
        """Holds these (hash -> place in the batch), in the room of what no cell points at any more. False, and nothing
        held of them, where that is not enough."""
        marked, whole = batch.traces.exported, batch.traces.whole
        packed = {its: pack(whole(place), marked is not None and bool(marked[place])) for its, place in new.items()}
        more = sum(map(len, packed.values()))
        if self.size + more > BYTES_MAX:
            used = set(np.unique(self.lowest).tolist())
            held = {its: body for its, body in self.held.items() if its in used}
            size = sum(map(len, held.values()))
            if size + more > BYTES_MAX:
                return False
            self.held, self.size = held, size
        self.held.update(packed)
        self.size += more
        return True

    def dump(self) -> state.Examples:
        hashes = np.fromiter(self.held, dtype="<u8", count=len(self.held)).tobytes()
        lowest = self.lowest.astype("<u8").tobytes()
        return state.Examples(
            lowest=lowest, hashes=hashes, traces=list(self.held.values()), full=self.full, seen=self.seen
        )

    @classmethod
    def load(cls, message: state.Examples, cells: int) -> Examples:
        """Raises CorruptError where it is not of so many cells."""
        found = cls(cells)
        lowest, hashes = np.frombuffer(message.lowest, "<u8"), np.frombuffer(message.hashes, "<u8").tolist()
        if lowest.size != found.lowest.size or len(hashes) != len(message.traces):
            raise CorruptError(f"examples: {lowest.size} hashes, expected {found.lowest.size}")
        found.lowest = lowest.reshape(EACH, -1).astype(np.uint64)
        found.held = dict(zip(hashes, message.traces, strict=True))
        found.size, found.full, found.seen = sum(map(len, message.traces)), message.full, message.seen
        return found


def below(expected: int) -> int:
    """The highest hash to look at in a window that will have so many: the same for all of it, so that no order
    matters."""
    return NONE_SEEN if expected <= ROWS else NONE_SEEN * ROWS // expected


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
