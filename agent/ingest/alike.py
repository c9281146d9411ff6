"""Rows that are built alike, read together: where most rows of a message have the same fields in the same order, numpy
walks all of them at once, a stretch of bytes at a time (`shape.py`).

What does not fit in every row, or is rare (nulls, vectors, lists, several outputs, texts over 127 bytes), is left to
`rows.py`: it reads anything, and of what fits here it makes the same batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from agent.counting.fingerprints import Hashes, identities
from agent.ingest.limits import Limits
from agent.ingest.row import TIME_MAX_NS
from agent.ingest.shape import LENGTH_MAX, WORD, Place, Shape, shape_of
from agent.records import Batch, Bools, Columns, Floats, Ints, ModelKey, Numbers, Texts

Words = npt.NDArray[np.uint64]
Octets = npt.NDArray[np.uint8]
ROWS_MIN = 16  # of a message; fewer are read sooner one by one
SHARE_MIN = 0.75  # of a message; where more are odd, another shape may come
SHAPES_MAX = 8  # known of one model: each process that sends may have its own order
PAUSE_MAX = 64  # messages
CUT_BYTES_MAX = 1 << 18  # of texts at once, each as wide as the longest: one long text makes no copy of all large
NOWHERE = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows of one message. numbers: (rows, numbers of the shape), their bits; texts: of each text of the shape its
    UTF-8 bytes row by row. at: which rows of the message; odd: its others, which are to be read one by one. after: how
    many rows read so stand before each, in the same gathering; None: not one."""

    shape: Shape
    rows: int
    arrived_ns: int
    numbers: Words
    texts: list[list[bytes]]
    at: Ints
    odd: list[int]
    after: Ints | None = None


class Shapes:
    """The shapes of one model's rows, as far as they are known. Where reading together fails, it is tried again after
    more and more messages: maps that come in another order every time (Go's) are never alike."""

    def __init__(self) -> None:
        self._known: list[Shape] = []  # the newest last
        self._left = self._pause = 0  # messages until the next try, after the next failure

    def read(self, items: Sequence[bytes], limits: Limits, arrived_ns: int) -> Alike | None:
        """Most rows, or None where they are not alike, or too few to gain by it."""
        if len(items) < ROWS_MIN:
            return None
        if self._left:
            self._left -= 1
            return None
        items = [*items]  # protobuf copies a row's bytes whenever it is asked for them
        # Either row may be an odd one.
        some = (items[0], items[len(items) // 2])
        shape = next((one for one in self._known if any(map(one.of, some))), None) or shape_of(some[0])
        found = read(items, shape, limits, arrived_ns) if shape is not None and shape.fits(limits) else None
        if found is None:
            self._left = self._pause
            self._pause = min(2 * self._pause + 1, PAUSE_MAX)
        else:
            self._pause = 0
            if found.shape not in self._known:
                self._known = [*self._known[-SHAPES_MAX + 1 :], found.shape]
        return found


def read(items: Sequence[bytes], shape: Shape, limits: Limits, arrived_ns: int) -> Alike | None:
    """The rows that are built so and break no limit. None where these are too few."""
    rows = len(items)
    ends = np.fromiter(map(len, items), np.int64, rows).cumsum()
    data, at = b"".join((*items, shape.padding)), np.concatenate((NOWHERE, ends[:-1]))
    octets = np.frombuffer(data, np.uint8)
    found: list[Octets] = []
    begins: list[Ints] = []  # of each text, (rows,)
    for stretch in shape.stretches:
        # Whether this is what it should be is looked at once for all; until then a position may be anywhere within
        # the padding.
        everywhere = np.ndarray(len(data) - stretch.width + 1, stretch.dtype, data, 0, (1,))
        found.append(everywhere[at].view(np.uint8).reshape(rows, stretch.width))
        at = at + stretch.size
        if stretch.before_text:
            begins.append(at)
            at = at + octets[at - 1]
    together = np.concatenate(found, axis=1)
    sizes = together.take(shape.sizes, axis=1).astype(np.int64)
    fits = (at == ends) & _as_learned(shape, together, sizes, limits)
    chosen = np.flatnonzero(fits)
    if len(chosen) < max(ROWS_MIN, rows * SHARE_MIN):
        return None
    if len(chosen) < rows:
        together, sizes, begins = together[chosen], sizes[chosen], [begin[chosen] for begin in begins]
    texts = _cut(data, np.array(begins), sizes.T) if begins else []
    if texts is None:
        return None
    width = together.shape[1]
    words = np.ndarray((len(chosen), width - WORD + 1), np.uint64, together, 0, (width, 1))  # at every byte
    numbers = words[:, shape.numbers_at]
    return Alike(shape, len(chosen), arrived_ns, numbers, texts, chosen, np.flatnonzero(~fits).tolist())


def _as_learned(shape: Shape, together: Octets, sizes: Ints, limits: Limits) -> Bools:
    """(rows,), whether what is fixed is as it should be, lengths are one byte each, texts within the limit, and each
    part as long as what is in it. together: (rows, bytes of all stretches); sizes: (rows, texts)."""
    differs = together.view(np.uint64) ^ shape.want
    differs &= shape.care
    wrong = np.asarray(np.bitwise_or.reduce(differs, axis=1) != 0)
    longest = min(LENGTH_MAX, limits.text_bytes)
    if sizes.max(initial=0) > longest:
        wrong |= (sizes > longest).any(axis=1)
    lengths = together.take(shape.lengths, axis=1)  # (rows, parts)
    wrong |= ((lengths > LENGTH_MAX) | (lengths != sizes @ shape.inside + shape.own_size)).any(axis=1)
    return ~wrong


def _cut(data: bytes, begins: Ints, sizes: Ints) -> list[list[bytes]] | None:
    """Of each text its bytes row by row; None where not all are UTF-8. begins, sizes: (texts, rows)."""
    width = int(sizes.max(initial=0)) + 1  # with a zero behind each, that belongs to neither of two
    if begins.size * width > CUT_BYTES_MAX and len(begins) > 1:
        half = len(begins) // 2
        first, second = _cut(data, begins[:half], sizes[:half]), _cut(data, begins[half:], sizes[half:])
        return None if first is None or second is None else first + second
    everywhere = np.ndarray(len(data) - width + 1, np.dtype((np.void, width)), data, 0, (1,))
    cells = everywhere[begins].view(np.uint8).reshape(*begins.shape, width)
    cells *= _ones(width).take(sizes, axis=0)
    try:
        cells.tobytes().decode()
    except UnicodeDecodeError:
        return None
    found: list[list[bytes]] = cells.view(np.dtype((np.bytes_, width)))[..., 0].tolist()
    if np.count_nonzero(cells) == sizes.sum():
        return found
    ends = zip(found, sizes.tolist(), strict=True)  # numpy cuts off the zeros that a text ends with
    return [[value.ljust(size, b"\0") for value, size in zip(*each, strict=True)] for each in ends]


@lru_cache(maxsize=LENGTH_MAX + 1)
def _ones(width: int) -> Octets:
    """(width, width), in row n as many ones, then zeros."""
    return np.tri(width, width, -1, dtype=np.uint8)


def batch(model: ModelKey, arrived_ns: int, messages: Sequence[Alike]) -> Batch:
    """The rows of messages with the same places, in whichever order each has them, as columns; at least one."""
    shape, rows = messages[0].shape, sum([one.rows for one in messages])
    bits = np.ascontiguousarray(np.concatenate([_ordered(one, shape) for one in messages]).T)
    by_bits: dict[Place, Words] = dict(zip(shape.numbers, bits, strict=True))
    by_text: dict[Place, list[bytes]] = {place: [] for place in shape.texts}
    for one in messages:
        for place, values in zip(one.shape.texts, one.texts, strict=True):
            by_text[place] += values
    latency = by_bits.get(Place("", "latency"))
    seconds = None if latency is None else latency.view(np.float64)
    return Batch(
        model=model,
        rows=rows,
        arrived_ns=arrived_ns,
        features=Columns(_numbers(by_bits, "numbers"), _texts(by_text, "texts")),
        outputs=Columns(_numbers(by_bits, "outputs"), _texts(by_text, "outputs")),
        time_ns=_times(by_bits.get(Place("", "time")), messages),
        latency=None if seconds is None or np.isnan(seconds).all() else seconds,
        segments=_texts(by_text, "segments"),
        weights=_weights(by_bits.get(Place("", "weight")), rows),
        ids=_identities(by_text.get(Place("", "prediction_id"))),
        request_ids=_identities(by_text.get(Place("", "request_id"))),
    )


def _ordered(one: Alike, shape: Shape) -> Words:
    own = one.shape.numbers
    return one.numbers if own == shape.numbers else one.numbers[:, [own.index(place) for place in shape.numbers]]


def _numbers(by_bits: Mapping[Place, Words], where: str) -> dict[str, Numbers]:
    return {place.name: Numbers(bits.view(np.float64)) for place, bits in by_bits.items() if place.where == where}


def _texts(by_text: Mapping[Place, list[bytes]], where: str) -> dict[str, Texts]:
    return {place.name: _coded(values) for place, values in by_text.items() if place.where == where}


def _coded(values: list[bytes]) -> Texts:
    index = {value: code for code, value in enumerate(dict.fromkeys(values))}
    codes = np.fromiter(map(index.__getitem__, values), np.int32, len(values))
    return Texts([value.decode() for value in index], codes)


def _times(bits: Words | None, messages: Sequence[Alike]) -> Ints:
    """A time that int64 does not hold is an unknown one, as in columns: that of the arrival."""
    arrived = np.repeat([one.arrived_ns for one in messages], [one.rows for one in messages]).astype(np.int64)
    if bits is None:
        return arrived
    return np.where((bits > 0) & (bits <= TIME_MAX_NS), bits.view(np.int64), arrived)


def _weights(bits: Words | None, rows: int) -> Floats:
    """0: one."""
    if bits is None:
        return np.ones(rows)
    given = bits.view(np.float64)
    return np.where(given == 0.0, 1.0, given)


def _identities(ids: list[bytes] | None) -> Hashes | None:
    return identities(ids) if ids is not None and any(ids) else None
