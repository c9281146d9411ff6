from agent.wire import columns_pb2 as _columns_pb2
from agent.wire import rows_pb2 as _rows_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Labels(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("prediction_id", "request_id", "item", "value", "label", "time_unix_nano", "weight", "prediction", "output")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    request_id: str
    item: str
    value: float
    label: str
    time_unix_nano: int
    weight: float
    prediction: _rows_pb2.Row
    output: str
    def __init__(self, prediction_id: _Optional[str] = ..., request_id: _Optional[str] = ..., item: _Optional[str] = ..., value: _Optional[float] = ..., label: _Optional[str] = ..., time_unix_nano: _Optional[int] = ..., weight: _Optional[float] = ..., prediction: _Optional[_Union[_rows_pb2.Row, _Mapping]] = ..., output: _Optional[str] = ...) -> None: ...

class LabelColumns(_message.Message):
    __slots__ = ("rows", "id_prefix", "id_numbers", "ids", "request_id_prefix", "request_id_numbers", "request_ids", "items", "values", "labels", "time_unix_nano", "weights", "output")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ID_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    rows: int
    id_prefix: str
    id_numbers: _containers.RepeatedScalarFieldContainer[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    request_id_prefix: str
    request_id_numbers: _containers.RepeatedScalarFieldContainer[int]
    request_ids: _containers.RepeatedScalarFieldContainer[str]
    items: _columns_pb2.TextColumn
    values: _columns_pb2.NumberColumn
    labels: _columns_pb2.TextColumn
    time_unix_nano: _containers.RepeatedScalarFieldContainer[int]
    weights: _containers.RepeatedScalarFieldContainer[float]
    output: str
    def __init__(self, rows: _Optional[int] = ..., id_prefix: _Optional[str] = ..., id_numbers: _Optional[_Iterable[int]] = ..., ids: _Optional[_Iterable[str]] = ..., request_id_prefix: _Optional[str] = ..., request_id_numbers: _Optional[_Iterable[int]] = ..., request_ids: _Optional[_Iterable[str]] = ..., items: _Optional[_Union[_columns_pb2.TextColumn, _Mapping]] = ..., values: _Optional[_Union[_columns_pb2.NumberColumn, _Mapping]] = ..., labels: _Optional[_Union[_columns_pb2.TextColumn, _Mapping]] = ..., time_unix_nano: _Optional[_Iterable[int]] = ..., weights: _Optional[_Iterable[float]] = ..., output: _Optional[str] = ...) -> None: ...
