"""How a row is built on the wire, learned from one: which fields in which order, what stands at fixed places, and where
texts make it longer. Rows of one sender are mostly built alike; `alike.py` reads those together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.ingest.limits import Limits

LENGTH_MAX = 127  # of a part: its length is one byte
WORD = 8
# Tags: field << 3 | wire type, of rows.proto.
NUMBER_TAGS = {0x19: "time", 0x61: "latency", 0xA1: "weight"}
TEXT_TAGS = {0x0A: "prediction_id", 0x12: "request_id"}
MAP_TAGS = {0x2A: "numbers", 0x32: "texts", 0x92: "segments"}
OUTPUT_TAG, SCORES_TAG, VALUE_TAG, LABEL_TAG = 0x52, 0x22, 0x11, 0x1A
FEATURES = frozenset(("numbers", "texts"))
BESIDE = frozenset(("segments", "outputs"))
NUMERIC = frozenset(("numbers", "scores"))
KEY_TAG, NUMBER_TAG, TEXT_TAG = 0x0A, 0x11, 0x12  # in a map's entry


Offsets = npt.NDArray[np.intp]


class Place(NamedTuple):
    """What a number or a text of the row is: the map it stands in ("" of the row's own fields), and its name."""

    where: str
    name: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes up to the next text, its length included, or to the row's end. want, care: what stands there, and which
    bits of it do so in every row; both filled up to whole words."""

    want: bytes
    care: bytes
    size: int
    before_text: bool
    dtype: np.dtype[np.void]

    @property
    def width(self) -> int:
        return len(self.want)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Offsets are those in all stretches, one after the other.

    want, care: uint64 (words,). numbers, texts: what they are; places: all of them. numbers_at: offsets of the numbers;
    sizes: of the texts' lengths; lengths: of the lengths of parts (a map's entry, an output) with texts.
    own_size: int64 (parts,), bytes of such a part without its texts; inside: int64 (texts, parts), 1 where a text is in
    it. features: how many, or how many segments and outputs where these are more. padding: no reading goes further
    beyond the rows' end.
    """

    stretches: tuple[Stretch, ...]
    want: npt.NDArray[np.uint64]
    care: npt.NDArray[np.uint64]
    numbers: tuple[Place, ...]
    texts: tuple[Place, ...]
    places: frozenset[Place]
    numbers_at: Offsets
    sizes: Offsets
    lengths: Offsets
    own_size: npt.NDArray[np.int64]
    inside: npt.NDArray[np.int64]
    features: int
    longest_name: int
    padding: bytes

    def of(self, row: bytes) -> bool:
        """Whether the row seems to be built so: a look at what is fixed."""
        at = 0
        for one in self.stretches:
            here, fill = row[at : at + one.size], one.want[one.size :]
            at += one.size + (here[-1] if here and one.before_text else 0)
            if len(here) < one.size or (_integer(here + fill) ^ _integer(one.want)) & _integer(one.care):
                return False
        return at == len(row)

    def fits(self, limits: Limits) -> bool:
        """Whether no row built so is refused for its names or for how many they are."""
        return self.features <= limits.features and self.longest_name <= limits.text_bytes


class _OtherwiseError(Exception):
    """The row has something that no shape has."""


@dataclass(slots=True)
class _Learning:
    row: bytes
    at: int = 0
    begun: int = 0  # where the present stretch began, in `want`
    want: bytearray = field(default_factory=bytearray)
    care: bytearray = field(default_factory=bytearray)
    stretches: list[Stretch] = field(default_factory=list)
    numbers: list[Place] = field(default_factory=list)
    texts: list[Place] = field(default_factory=list)
    numbers_at: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    parts: list[tuple[int, int, int, int]] = field(default_factory=list)  # offset, size without texts, texts from, to
    text_bytes: int = 0  # of all texts so far
    longest_name: int = 0  # bytes
    seen: set[Place] = field(default_factory=set)

    def fixed(self, count: int) -> bytes:
        """So many bytes that are the same in every row."""
        found = self.row[self.at : self.at + count]
        if len(found) < count:
            raise _OtherwiseError
        self.want += found
        self.care += b"\xff" * count
        self.at += count
        return found

    def expect(self, tag: int) -> None:
        if self.fixed(1)[0] != tag:
            raise _OtherwiseError

    def loose(self, count: int) -> int:
        """So many bytes that differ by row; gives the first one."""
        found = self.row[self.at : self.at + count]
        if len(found) < count:
            raise _OtherwiseError
        self.want += bytes(count)
        self.care += bytes(count)
        self.at += count
        return found[0]

    def length(self) -> int:
        found = self.loose(1)
        if found > LENGTH_MAX or self.at + found > len(self.row):
            raise _OtherwiseError
        return found

    def once(self, place: Place) -> None:
        """Of what comes twice the last one counts: that is not for here."""
        if place in self.seen:
            raise _OtherwiseError
        self.seen.add(place)

    def number(self, place: Place) -> None:
        self.numbers.append(place)
        self.numbers_at.append(len(self.want))
        self.loose(WORD)

    def text(self, place: Place) -> None:
        self.sizes.append(len(self.want))
        size = self.length()
        self.texts.append(place)
        self.text_bytes += size
        self.at += size
        self.end_stretch(before_text=True)

    def end_stretch(self, before_text: bool) -> None:
        size = len(self.want) - self.begun
        if not size:
            return
        self.want += bytes(-size % WORD)
        self.care += bytes(-size % WORD)
        want, care = bytes(self.want[self.begun :]), bytes(self.care[self.begun :])
        self.stretches.append(Stretch(want, care, size, before_text, np.dtype((np.void, len(want)))))
        self.begun = len(self.want)

    def part(self, read: Callable[[int], None]) -> None:
        """A part of the row with a length of its own; `read` reads it, given where it ends."""
        offset, size = len(self.want), self.length()
        end = self.at + size
        begin, first, before = self.at, len(self.texts), self.text_bytes
        read(end)
        if self.at != end:
            raise _OtherwiseError
        if len(self.texts) == first:  # as long in every row
            self.want[offset], self.care[offset] = size, 0xFF
        else:
            self.parts.append((offset, end - begin - (self.text_bytes - before), first, len(self.texts)))

    def entry(self, where: str) -> None:
        """A map's entry: key, then value."""
        self.expect(KEY_TAG)
        size = self.fixed(1)[0]
        if size > LENGTH_MAX:
            raise _OtherwiseError
        self.longest_name = max(self.longest_name, size)
        name = self.fixed(size).decode()
        # A feature stands in one map only.
        self.once(Place("features" if where in FEATURES else where, name))
        self.expect(NUMBER_TAG if where in NUMERIC else TEXT_TAG)
        if where == "scores":
            self.number(Place("outputs", f"score:{name}" if name else "score"))
        elif where in NUMERIC:
            self.number(Place(where, name))
        else:
            self.text(Place(where, name))

    def output(self, end: int) -> None:
        """The one output, without a name."""
        self.once(Place("", "output"))
        while self.at < end:
            tag = self.fixed(1)[0]
            if tag == SCORES_TAG:
                self.part(lambda _: self.entry("scores"))
                continue
            self.once(Place("", "prediction"))
            if tag == VALUE_TAG:
                self.number(Place("outputs", "prediction"))
            elif tag == LABEL_TAG:
                self.text(Place("outputs", "prediction"))
            else:
                raise _OtherwiseError

    def field(self) -> None:
        """One field of the row."""
        tag = self.fixed(1)[0]
        if tag & 0x80:
            self.expect(0x01)  # fields 16 to 31
        if tag in MAP_TAGS:
            self.part(lambda _: self.entry(MAP_TAGS[tag]))
        elif tag == OUTPUT_TAG:
            self.part(self.output)
        elif name := NUMBER_TAGS.get(tag):
            self.once(Place("", name))
            self.number(Place("", name))
        elif name := TEXT_TAGS.get(tag):
            self.once(Place("", name))
            self.text(Place("", name))
        else:
            raise _OtherwiseError

    def shape(self) -> Shape:
        inside = np.zeros((len(self.texts), len(self.parts)), np.int64)
        for number, (_, _, first, last) in enumerate(self.parts):
            inside[first:last, number] = 1
        places = frozenset((*self.numbers, *self.texts))
        return Shape(
            stretches=tuple(self.stretches),
            want=np.frombuffer(bytes(self.want), np.uint64),
            care=np.frombuffer(bytes(self.care), np.uint64),
            numbers=tuple(self.numbers),
            texts=tuple(self.texts),
            places=places,
            numbers_at=np.array(self.numbers_at, np.intp),
            sizes=np.array(self.sizes, np.intp),
            lengths=np.array([offset for offset, _, _, _ in self.parts], np.intp),
            own_size=np.array([size for _, size, _, _ in self.parts], np.int64),
            inside=inside,
            features=max(sum([place.where in of for place in places]) for of in (FEATURES, BESIDE)),
            longest_name=self.longest_name,
            padding=bytes(len(self.want) + 256 * len(self.stretches)),
        )


def shape_of(row: bytes) -> Shape | None:
    """How the row is built, or None where it has what no shape has."""
    learning = _Learning(row)
    try:
        while learning.at < len(row):
            learning.field()
    except (_OtherwiseError, UnicodeDecodeError):
        return None
    learning.end_stretch(before_text=False)
    return learning.shape() if learning.stretches else None


def _integer(octets: bytes) -> int:
    return int.from_bytes(octets, "little")
