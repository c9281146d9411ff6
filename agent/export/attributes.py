"""Python values as OTLP attributes, within the limits of the specification's variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from agent.config import Otel
from agent.export import spool

DEPTH_MAX = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """OTEL_ATTRIBUTE_COUNT_LIMIT and OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT (characters), or a signal's own."""

    count: int = 128
    value_length: int = 4_096

    @classmethod
    def of(cls, otel: Otel) -> dict[str, Limits]:
        """Of spans and of log records, by signal."""
        both = otel.attribute_count_limit, otel.attribute_value_length_limit
        own = {
            spool.TRACES: (otel.span_attribute_count_limit, otel.span_attribute_value_length_limit),
            spool.LOGS: (otel.logrecord_attribute_count_limit, otel.logrecord_attribute_value_length_limit),
        }
        return {signal: cls(count or both[0], length or both[1]) for signal, (count, length) in own.items()}


UNLIMITED = Limits(1 << 31, 1 << 31)


def key_values(attributes: Mapping[str, Any], limits: Limits = UNLIMITED) -> tuple[list[KeyValue], int]:
    """The attributes in their order, None left out, and how many the count limit cut off."""
    present = [(key, value) for key, value in attributes.items() if value is not None]
    found = [KeyValue(key=key, value=any_value(value, limits.value_length)) for key, value in present[: limits.count]]
    return found, len(present) - len(found)


def any_value(value: Any, value_length: int = 1 << 31, depth: int = DEPTH_MAX) -> AnyValue:
    """str, bool, int, float, bytes, lists and mappings of them; anything else, or nested deeper, as its text."""
    if isinstance(value, bool | np.bool_):
        return AnyValue(bool_value=bool(value))
    if isinstance(value, int | np.integer) and -(1 << 63) <= int(value) < 1 << 63:
        return AnyValue(int_value=int(value))
    if isinstance(value, float | np.floating):
        return AnyValue(double_value=float(value))
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, Mapping) and depth > 0:
        pairs = [KeyValue(key=str(k), value=any_value(v, value_length, depth - 1)) for k, v in value.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and depth > 0:
        return AnyValue(array_value=ArrayValue(values=[any_value(v, value_length, depth - 1) for v in value]))
    return AnyValue(string_value=text(str(value))[:value_length])


def text(value: str) -> str:
    """The text as protobuf can carry it: lone surrogates become question marks."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="replace").decode()
    return value


def plain(pairs: Iterable[KeyValue]) -> dict[str, str | int | float | bool]:
    """Attributes back as Python values, those that are one value each."""
    found = {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
    return {key: value for key, value in found.items() if isinstance(value, str | int | float)}
