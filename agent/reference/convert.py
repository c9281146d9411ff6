"""Arrow arrays to the columns the agent counts, and the type each is watched as. Needs pyarrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.records import ABSENT, NULL, PRESENT, Bools, Bytes, Flags, Floats, Ints, Kind, Numbers, Texts, Vectors

# How spreadsheets and data frames write "nothing", beside the empty text. For numbers and flags only: NA is Namibia.
NULL_WORDS = (
    "", "NA", "N/A", "n/a", "#N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
NUMBER_PATTERN = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)$"
LEADING_ZERO = r"^[+-]?0\d"
EARLIEST_NS, LATEST_NS = -(2**63) + 1, 2**63 - 1

Column = Numbers | Texts | Flags | Vectors


@dataclass(frozen=True, slots=True)
class Watched:
    """How a column is watched; kind None: not at all, `why` says the reason."""

    kind: Kind | None
    why: str = ""


def watched_as(arrow_type: Any, vector: bool) -> Watched:
    """What a typed column (Parquet) is."""
    import pyarrow.types as t

    if t.is_dictionary(arrow_type):
        return watched_as(arrow_type.value_type, vector)
    if t.is_boolean(arrow_type):
        return Watched(Kind.FLAG)
    if t.is_integer(arrow_type) or t.is_floating(arrow_type) or t.is_decimal(arrow_type) or t.is_null(arrow_type):
        return Watched(Kind.NUMBER)
    if t.is_string(arrow_type) or t.is_large_string(arrow_type) or t.is_string_view(arrow_type):
        return Watched(Kind.TEXT)
    if t.is_temporal(arrow_type):
        return Watched(None, "a date or time")
    listed = t.is_list(arrow_type) or t.is_large_list(arrow_type) or t.is_fixed_size_list(arrow_type)
    if listed and (t.is_floating(arrow_type.value_type) or t.is_integer(arrow_type.value_type)):
        return Watched(Kind.VECTOR) if vector else Watched(None, "a list of numbers; name it with --vector")
    return Watched(None, f"the type {arrow_type}")


class TextType:
    """What a column of texts (CSV) is: a number only if every value is one. Feed it the whole column.

    A leading zero (`01234`) makes a column text: it is a code, and as a number it would lose its zero.
    """

    def __init__(self) -> None:
        self._possible = {Kind.FLAG: _all_flags, Kind.NUMBER: _all_numbers, None: _all_times}  # None: a date or time
        self._seen = False

    def add(self, array: Any) -> None:
        import pyarrow.compute as pc

        if not self._possible:
            return
        values = pc.drop_null(_without_null_words(array))
        if len(values):
            self._seen = True
            self._possible = {kind: test for kind, test in self._possible.items() if test(values)}

    @property
    def watched(self) -> Watched:
        if not self._seen:
            return Watched(Kind.NUMBER)  # nothing in it: one empty number
        kind = next(iter(self._possible), Kind.TEXT)
        return Watched(kind) if kind is not None else Watched(None, "a date or time")


def column(array: Any, kind: Kind) -> tuple[Column, Texts | None]:
    """The values as `kind`, and beside them the texts that were not of that kind (both absent in turn), if any.

    Raises ValueError where the column cannot be read as that kind at all.
    """
    array = _plain(array)
    if kind is Kind.VECTOR:
        return _vectors(array), None
    if kind is Kind.TEXT:
        return _texts(array), None
    return _flags(array) if kind is Kind.FLAG else _numbers(array)


def times_ns(array: Any) -> tuple[Ints, Bools]:
    """Nanoseconds since the epoch, and which rows had a time that could be read.

    Timestamps, dates, ISO 8601 texts (without a zone: UTC), or numbers: seconds, and by their size milli-, micro- or
    nanoseconds (beyond 1e11, 1e14, 1e17: as seconds that would be the year 5138 and later).
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    array = _plain(array)
    if t.is_temporal(array.type) and not t.is_time(array.type) and not t.is_duration(array.type):
        if t.is_date(array.type):
            array = pc.cast(array, pa.timestamp("s"))
        unit = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}[array.type.unit]
        counts = pc.fill_null(pc.cast(array, pa.int64()), 0).to_numpy(zero_copy_only=False)
        valid = _valid(array) & (counts <= LATEST_NS // unit) & (counts >= -(LATEST_NS // unit))
        return np.where(valid, counts, 0) * unit, valid
    if t.is_integer(array.type) or t.is_floating(array.type) or t.is_decimal(array.type):
        return _epoch_ns(_floats(array), _integers(array))
    if not (t.is_string(array.type) or t.is_large_string(array.type)):
        return np.zeros(len(array), np.int64), np.zeros(len(array), bool)
    return _text_times(array)


def _text_times(array: Any) -> tuple[Ints, Bools]:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(array)
    numeric = pc.fill_null(pc.match_substring_regex(trimmed, NUMBER_PATTERN), False)
    if pc.any(numeric).as_py():
        numbers = pc.cast(pc.if_else(numeric, trimmed, None), pa.float64())
        found, valid = _epoch_ns(_floats(numbers), None)
        rest = ~numeric.to_numpy(zero_copy_only=False) & _valid(array)
        if rest.any():
            found[rest], valid[rest] = _text_times(array.filter(pa.array(rest)))
        return found, valid
    for kind in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            return times_ns(pc.cast(trimmed, kind))
        except pa.ArrowInvalid:
            continue
    return _times_one_by_one(trimmed)


def _times_one_by_one(array: Any) -> tuple[Ints, Bools]:
    # Only where a batch mixes forms or has a broken time in it.
    from datetime import UTC, datetime

    found, valid = np.zeros(len(array), np.int64), np.zeros(len(array), bool)
    for i, text in enumerate(array.to_pylist()):
        try:
            moment = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            continue
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        count = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
        if EARLIEST_NS < count < LATEST_NS:
            found[i], valid[i] = count, True
    return found, valid


def _epoch_ns(values: Floats, whole: Ints | None) -> tuple[Ints, Bools]:
    size = np.abs(values)
    valid = np.isfinite(values) & (size < 9.2e18)
    unit = np.select([size > 1e17, size > 1e14, size > 1e11], [1, 1000, 1_000_000], 1_000_000_000)
    if whole is not None:  # int64 nanoseconds would lose their last digits as doubles
        return np.where(valid, whole, 0) * unit, valid
    return np.rint(np.where(valid, values, 0.0) * unit).astype(np.int64), valid


def _numbers(array: Any) -> tuple[Numbers, Texts | None]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if not t.is_string(array.type):
        if not (t.is_integer(array.type) or t.is_floating(array.type) or t.is_decimal(array.type)
                or t.is_null(array.type) or t.is_boolean(array.type)):  # fmt: skip
            raise ValueError(f"cannot read {array.type} as number")
        return Numbers(_floats(array), _state(array)), None
    words = _without_null_words(array)
    good = pc.fill_null(pc.match_substring_regex(words, NUMBER_PATTERN), False)
    numbers = pc.cast(pc.if_else(good, words, None), pa.float64())
    return _beside(Numbers, _floats(numbers), words, good)


def _flags(array: Any) -> tuple[Flags, Texts | None]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_boolean(array.type) or t.is_null(array.type):
        values = pc.fill_null(pc.cast(array, pa.bool_()), False).to_numpy(zero_copy_only=False)
        return Flags(values, _state(array)), None
    if not t.is_string(array.type):
        raise ValueError(f"cannot read {array.type} as flag")
    words = _without_null_words(array)
    lower = pc.utf8_lower(words)
    good = pc.is_in(lower, value_set=pa.array(["true", "false"]))
    return _beside(Flags, pc.fill_null(pc.equal(lower, "true"), False).to_numpy(zero_copy_only=False), words, good)


def _beside(make: Any, values: Any, words: Any, good: Any) -> tuple[Any, Texts | None]:
    """Values where `good`, null where there is no word, and the other words as a text column of their own."""
    kept, present = good.to_numpy(zero_copy_only=False), _valid(words)
    wrong = present & ~kept
    state = np.where(present, PRESENT, NULL).astype(np.uint8)
    if not wrong.any():
        return make(values, state if not present.all() else None), None
    state[wrong] = ABSENT
    other = _texts(words)
    return make(values, state), Texts(other.dictionary, other.codes, np.where(wrong, PRESENT, ABSENT).astype(np.uint8))


def _texts(array: Any) -> Texts:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if not t.is_string(array.type):
        try:
            array = pc.cast(array, pa.string())
        except pa.ArrowException as error:
            raise ValueError(f"cannot read {array.type} as text") from error
    encoded = array.dictionary_encode()
    codes = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False).astype(np.int32)
    return Texts(encoded.dictionary.to_pylist(), codes, _state(array))


def _vectors(array: Any) -> Vectors:
    import pyarrow.compute as pc

    lengths = pc.list_value_length(array)
    sizes = pc.unique(pc.drop_null(lengths)).to_pylist()
    if len(sizes) > 1:
        raise ValueError(f"vectors of different sizes: {min(sizes)} and {max(sizes)} entries")
    size = int(sizes[0]) if sizes else 0
    values = np.zeros((len(array), size), dtype=np.float32)
    flat = pc.fill_null(pc.list_flatten(array), float("nan")).to_numpy(zero_copy_only=False)
    values[_valid(array)] = flat.reshape(-1, size) if size else 0.0
    return Vectors(values, _state(array))


def _plain(array: Any) -> Any:
    """Dictionaries decoded, large and view strings as strings: one form of each thing from here on."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_dictionary(array.type):
        array = array.dictionary_decode()
    if t.is_large_string(array.type) or t.is_string_view(array.type):
        array = pc.cast(array, pa.string())
    return array


def _without_null_words(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(array)
    return pc.if_else(pc.is_in(trimmed, value_set=pa.array(NULL_WORDS)), None, trimmed)


def _all_flags(values: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    return bool(pc.all(pc.is_in(pc.utf8_lower(values), value_set=pa.array(["true", "false"]))).as_py())


def _all_numbers(values: Any) -> bool:
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(values, LEADING_ZERO)).as_py():
        return False
    return bool(pc.all(pc.match_substring_regex(values, NUMBER_PATTERN)).as_py())


def _all_times(values: Any) -> bool:
    import pyarrow.compute as pc

    # Looked at only where no value is a number; a year by itself was one.
    if not pc.all(pc.match_substring_regex(values, r"^\d{4}-\d{2}-\d{2}")).as_py():
        return False
    return bool(times_ns(values)[1].all())


def _floats(array: Any) -> Floats:
    import pyarrow as pa
    import pyarrow.compute as pc

    cast = pc.cast(array, pa.float64(), safe=False)
    return np.asarray(pc.fill_null(cast, float("nan")).to_numpy(zero_copy_only=False), dtype=np.float64)


def _integers(array: Any) -> Ints | None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if not t.is_integer(array.type) or t.is_uint64(array.type):
        return None
    return np.asarray(pc.fill_null(pc.cast(array, pa.int64()), 0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _valid(array: Any) -> Bools:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _state(array: Any) -> Bytes | None:
    if not array.null_count:
        return None
    return np.where(_valid(array), PRESENT, NULL).astype(np.uint8)
