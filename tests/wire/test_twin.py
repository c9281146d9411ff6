"""The door's twin of the contract: the same numbers, and wire types that hold the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import columns_pb2, recorder_pb2, rows_pb2, twin_pb2

PAIRS = {
    "Request": recorder_pb2.RecordRequest, "Model": recorder_pb2.Model, "Columns": columns_pb2.Columns,
    "NumberColumn": columns_pb2.NumberColumn, "TextColumn": columns_pb2.TextColumn, "FlagColumn": columns_pb2.FlagColumn,
    "VectorColumn": columns_pb2.VectorColumn, "OutputColumn": columns_pb2.OutputColumn,
    "ScoreColumn": columns_pb2.ScoreColumn, "StageColumn": columns_pb2.StageColumn, "Row": rows_pb2.Row,
}
LISTS = {"rows", "labels", "lifecycle"}  # messages of one repeated field: Many in the twin
DELIMITED = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE}


def _packable(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated) and field.type not in DELIMITED


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_a_twin_holds_the_same_wire_types(name: str) -> None:
    """Every twin field has its public field's number and name; text and packed arrays are bytes, the rest is alike."""
    public: Descriptor = PAIRS[name].DESCRIPTOR
    twin = twin_pb2.DESCRIPTOR.message_types_by_name[name]
    for field in twin.fields:
        other = public.fields_by_number.get(field.number)
        assert other is not None, f"{name}.{field.name}: the contract has no field {field.number}"
        assert other.name == field.name
        if field.type == FieldDescriptor.TYPE_BYTES:
            assert other.type in DELIMITED or _packable(other), field.name
            assert bool(field.is_repeated) == bool(other.is_repeated), field.name
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            assert other.type == FieldDescriptor.TYPE_MESSAGE, field.name
            assert bool(field.is_repeated) == bool(other.is_repeated), field.name
        else:
            assert field.type == other.type, field.name


@pytest.mark.parametrize("name", sorted(set(PAIRS) - {"Row"}))
def test_a_twin_leaves_nothing_out(name: str) -> None:
    """A public field the twin lacks would be dropped at the door without a word. (Row's twin only names faults.)"""
    twin = twin_pb2.DESCRIPTOR.message_types_by_name[name]
    missing = {f.name for f in PAIRS[name].DESCRIPTOR.fields} - {f.name for f in twin.fields}
    assert not missing


def test_the_rows_twin_has_every_text() -> None:
    """The lenient row is read to name the field that is not UTF-8: each field that may hold text is in it."""
    twin = {f.name for f in twin_pb2.Row.DESCRIPTOR.fields}
    textual = {f.name for f in rows_pb2.Row.DESCRIPTOR.fields if f.type in DELIMITED}
    assert textual == twin


def test_lists_are_many() -> None:
    """Rows, labels and events: one repeated message as field 1, which the twin leaves as bytes."""
    for name in LISTS:
        field = recorder_pb2.RecordRequest.DESCRIPTOR.fields_by_name[name]
        (only,) = field.message_type.fields
        assert (only.number, only.type, bool(only.is_repeated)) == (1, FieldDescriptor.TYPE_MESSAGE, True)
        assert twin_pb2.Request.DESCRIPTOR.fields_by_name[name].message_type.name == "Many"
    assert twin_pb2.Many.DESCRIPTOR.fields_by_name["items"].number == 1


def _value(field: FieldDescriptor, data: st.DataObject, depth: int) -> Any:
    numbers = {
        FieldDescriptor.TYPE_DOUBLE: st.floats(), FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
        FieldDescriptor.TYPE_STRING: st.text(max_size=8), FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
        FieldDescriptor.TYPE_BOOL: st.booleans(), FieldDescriptor.TYPE_ENUM: st.integers(0, 2),
        FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1), FieldDescriptor.TYPE_FIXED32: st.integers(0, 2**32 - 1),
        FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1), FieldDescriptor.TYPE_FIXED64: st.integers(0, 2**64 - 1),
    }
    return data.draw(numbers[field.type])


def _fill(message: Any, data: st.DataObject, depth: int = 0) -> Any:
    """Any message of this type, a few fields set."""
    fields = list(message.DESCRIPTOR.fields)
    for field in data.draw(st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda f: f.number)):
        if field.type == FieldDescriptor.TYPE_MESSAGE and depth > 3:
            continue
        is_map = field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.GetOptions().map_entry
        if is_map:
            key, value = field.message_type.fields_by_number[1], field.message_type.fields_by_number[2]
            if value.type != FieldDescriptor.TYPE_MESSAGE:
                getattr(message, field.name)[_value(key, data, depth)] = _value(value, data, depth)
        elif field.is_repeated:
            many = getattr(message, field.name)
            for _ in range(data.draw(st.integers(1, 3))):
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    _fill(many.add(), data, depth + 1)
                else:
                    many.append(_value(field, data, depth))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(message, field.name).SetInParent()
            if not _fill(getattr(message, field.name), data, depth + 1).ByteSize() and field.name in ("report", "items"):
                message.ClearField(field.name)  # plain bytes in the twin: an empty message and none are the same
        else:
            setattr(message, field.name, _value(field, data, depth))
    return message


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reading_by_the_twin_loses_nothing(data: st.DataObject) -> None:
    """Law: public bytes -> twin -> bytes -> public is the identity, and the twin has no field it does not know."""
    message = _fill(recorder_pb2.RecordRequest(), data)
    raw = message.SerializeToString(deterministic=True)
    twin = twin_pb2.Request.FromString(raw)
    back = recorder_pb2.RecordRequest.FromString(twin.SerializeToString())
    assert back.SerializeToString(deterministic=True) == raw
    copy = twin_pb2.Request()
    copy.CopyFrom(twin)
    copy.DiscardUnknownFields()  # type: ignore[attr-defined]
    assert copy.SerializeToString(deterministic=True) == twin.SerializeToString(deterministic=True)
    assert twin.WhichOneof("body") == message.WhichOneof("body")
