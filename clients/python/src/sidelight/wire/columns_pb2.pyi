from sidelight.wire import rows_pb2 as _rows_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Columns(_message.Message):
    __slots__ = ("rows", "id_prefix", "id_numbers", "ids", "request_id_prefix", "request_id_numbers", "request_ids", "time_unix_nano", "part", "numbers", "texts", "flags", "vectors", "outputs", "measures", "latency_seconds", "stages", "status", "error_types", "trace_ids", "span_ids", "trace_flags", "trace_states", "segments", "protected", "weights", "batch_ids", "batch_sizes")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ID_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPES_FIELD_NUMBER: _ClassVar[int]
    TRACE_IDS_FIELD_NUMBER: _ClassVar[int]
    SPAN_IDS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FLAGS_FIELD_NUMBER: _ClassVar[int]
    TRACE_STATES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    BATCH_IDS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    id_prefix: str
    id_numbers: _containers.RepeatedScalarFieldContainer[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    request_id_prefix: str
    request_id_numbers: _containers.RepeatedScalarFieldContainer[int]
    request_ids: _containers.RepeatedScalarFieldContainer[str]
    time_unix_nano: _containers.RepeatedScalarFieldContainer[int]
    part: _containers.RepeatedScalarFieldContainer[_rows_pb2.Part]
    numbers: _containers.RepeatedCompositeFieldContainer[NumberColumn]
    texts: _containers.RepeatedCompositeFieldContainer[TextColumn]
    flags: _containers.RepeatedCompositeFieldContainer[FlagColumn]
    vectors: _containers.RepeatedCompositeFieldContainer[VectorColumn]
    outputs: _containers.RepeatedCompositeFieldContainer[OutputColumn]
    measures: _containers.RepeatedCompositeFieldContainer[NumberColumn]
    latency_seconds: _containers.RepeatedScalarFieldContainer[float]
    stages: _containers.RepeatedCompositeFieldContainer[StageColumn]
    status: _containers.RepeatedScalarFieldContainer[_rows_pb2.Status]
    error_types: TextColumn
    trace_ids: bytes
    span_ids: bytes
    trace_flags: bytes
    trace_states: TextColumn
    segments: _containers.RepeatedCompositeFieldContainer[TextColumn]
    protected: _containers.RepeatedCompositeFieldContainer[TextColumn]
    weights: _containers.RepeatedScalarFieldContainer[float]
    batch_ids: TextColumn
    batch_sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, rows: _Optional[int] = ..., id_prefix: _Optional[str] = ..., id_numbers: _Optional[_Iterable[int]] = ..., ids: _Optional[_Iterable[str]] = ..., request_id_prefix: _Optional[str] = ..., request_id_numbers: _Optional[_Iterable[int]] = ..., request_ids: _Optional[_Iterable[str]] = ..., time_unix_nano: _Optional[_Iterable[int]] = ..., part: _Optional[_Iterable[_Union[_rows_pb2.Part, str]]] = ..., numbers: _Optional[_Iterable[_Union[NumberColumn, _Mapping]]] = ..., texts: _Optional[_Iterable[_Union[TextColumn, _Mapping]]] = ..., flags: _Optional[_Iterable[_Union[FlagColumn, _Mapping]]] = ..., vectors: _Optional[_Iterable[_Union[VectorColumn, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[OutputColumn, _Mapping]]] = ..., measures: _Optional[_Iterable[_Union[NumberColumn, _Mapping]]] = ..., latency_seconds: _Optional[_Iterable[float]] = ..., stages: _Optional[_Iterable[_Union[StageColumn, _Mapping]]] = ..., status: _Optional[_Iterable[_Union[_rows_pb2.Status, str]]] = ..., error_types: _Optional[_Union[TextColumn, _Mapping]] = ..., trace_ids: _Optional[bytes] = ..., span_ids: _Optional[bytes] = ..., trace_flags: _Optional[bytes] = ..., trace_states: _Optional[_Union[TextColumn, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[TextColumn, _Mapping]]] = ..., protected: _Optional[_Iterable[_Union[TextColumn, _Mapping]]] = ..., weights: _Optional[_Iterable[float]] = ..., batch_ids: _Optional[_Union[TextColumn, _Mapping]] = ..., batch_sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class NumberColumn(_message.Message):
    __slots__ = ("name", "values", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class TextColumn(_message.Message):
    __slots__ = ("name", "dictionary", "codes", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    dictionary: _containers.RepeatedScalarFieldContainer[str]
    codes: _containers.RepeatedScalarFieldContainer[int]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[str] = ..., dictionary: _Optional[_Iterable[str]] = ..., codes: _Optional[_Iterable[int]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class FlagColumn(_message.Message):
    __slots__ = ("name", "values", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[bool]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[bool]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class VectorColumn(_message.Message):
    __slots__ = ("name", "size", "values", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    values: _containers.RepeatedScalarFieldContainer[float]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., values: _Optional[_Iterable[float]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class OutputColumn(_message.Message):
    __slots__ = ("name", "values", "labels", "scores", "vectors", "items")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: NumberColumn
    labels: TextColumn
    scores: _containers.RepeatedCompositeFieldContainer[ScoreColumn]
    vectors: VectorColumn
    items: ItemsColumn
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Union[NumberColumn, _Mapping]] = ..., labels: _Optional[_Union[TextColumn, _Mapping]] = ..., scores: _Optional[_Iterable[_Union[ScoreColumn, _Mapping]]] = ..., vectors: _Optional[_Union[VectorColumn, _Mapping]] = ..., items: _Optional[_Union[ItemsColumn, _Mapping]] = ...) -> None: ...

class ScoreColumn(_message.Message):
    __slots__ = ("values",)
    CLASS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ..., **kwargs) -> None: ...

class ItemsColumn(_message.Message):
    __slots__ = ("lengths", "ids", "positions", "scores")
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    lengths: _containers.RepeatedScalarFieldContainer[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    positions: _containers.RepeatedScalarFieldContainer[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, lengths: _Optional[_Iterable[int]] = ..., ids: _Optional[_Iterable[str]] = ..., positions: _Optional[_Iterable[int]] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class StageColumn(_message.Message):
    __slots__ = ("name", "offset_seconds", "duration_seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    offset_seconds: _containers.RepeatedScalarFieldContainer[float]
    duration_seconds: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., offset_seconds: _Optional[_Iterable[float]] = ..., duration_seconds: _Optional[_Iterable[float]] = ...) -> None: ...
