from agent.wire import recorder_pb2 as _recorder_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Request(_message.Message):
    __slots__ = ("model", "schema", "sent_at_unix_nano", "client_id", "sequence", "report", "rows", "columns", "labels", "lifecycle", "label_columns")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LIFECYCLE_FIELD_NUMBER: _ClassVar[int]
    LABEL_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    model: Model
    schema: bytes
    sent_at_unix_nano: int
    client_id: bytes
    sequence: int
    report: bytes
    rows: Many
    columns: Columns
    labels: Many
    lifecycle: Many
    label_columns: bytes
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., schema: _Optional[bytes] = ..., sent_at_unix_nano: _Optional[int] = ..., client_id: _Optional[bytes] = ..., sequence: _Optional[int] = ..., report: _Optional[bytes] = ..., rows: _Optional[_Union[Many, _Mapping]] = ..., columns: _Optional[_Union[Columns, _Mapping]] = ..., labels: _Optional[_Union[Many, _Mapping]] = ..., lifecycle: _Optional[_Union[Many, _Mapping]] = ..., label_columns: _Optional[bytes] = ...) -> None: ...

class Many(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, items: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "role", "deployment", "tenant")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    version: bytes
    role: _recorder_pb2.Role
    deployment: bytes
    tenant: bytes
    def __init__(self, name: _Optional[bytes] = ..., version: _Optional[bytes] = ..., role: _Optional[_Union[_recorder_pb2.Role, str]] = ..., deployment: _Optional[bytes] = ..., tenant: _Optional[bytes] = ...) -> None: ...

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
    id_prefix: bytes
    id_numbers: _containers.RepeatedScalarFieldContainer[bytes]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    request_id_prefix: bytes
    request_id_numbers: _containers.RepeatedScalarFieldContainer[bytes]
    request_ids: _containers.RepeatedScalarFieldContainer[bytes]
    time_unix_nano: _containers.RepeatedScalarFieldContainer[bytes]
    part: _containers.RepeatedScalarFieldContainer[bytes]
    numbers: _containers.RepeatedCompositeFieldContainer[NumberColumn]
    texts: _containers.RepeatedCompositeFieldContainer[TextColumn]
    flags: _containers.RepeatedCompositeFieldContainer[FlagColumn]
    vectors: _containers.RepeatedCompositeFieldContainer[VectorColumn]
    outputs: _containers.RepeatedCompositeFieldContainer[OutputColumn]
    measures: _containers.RepeatedCompositeFieldContainer[NumberColumn]
    latency_seconds: _containers.RepeatedScalarFieldContainer[bytes]
    stages: _containers.RepeatedCompositeFieldContainer[StageColumn]
    status: _containers.RepeatedScalarFieldContainer[bytes]
    error_types: TextColumn
    trace_ids: bytes
    span_ids: bytes
    trace_flags: bytes
    trace_states: TextColumn
    segments: _containers.RepeatedCompositeFieldContainer[TextColumn]
    protected: _containers.RepeatedCompositeFieldContainer[TextColumn]
    weights: _containers.RepeatedScalarFieldContainer[bytes]
    batch_ids: TextColumn
    batch_sizes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, rows: _Optional[int] = ..., id_prefix: _Optional[bytes] = ..., id_numbers: _Optional[_Iterable[bytes]] = ..., ids: _Optional[_Iterable[bytes]] = ..., request_id_prefix: _Optional[bytes] = ..., request_id_numbers: _Optional[_Iterable[bytes]] = ..., request_ids: _Optional[_Iterable[bytes]] = ..., time_unix_nano: _Optional[_Iterable[bytes]] = ..., part: _Optional[_Iterable[bytes]] = ..., numbers: _Optional[_Iterable[_Union[NumberColumn, _Mapping]]] = ..., texts: _Optional[_Iterable[_Union[TextColumn, _Mapping]]] = ..., flags: _Optional[_Iterable[_Union[FlagColumn, _Mapping]]] = ..., vectors: _Optional[_Iterable[_Union[VectorColumn, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[OutputColumn, _Mapping]]] = ..., measures: _Optional[_Iterable[_Union[NumberColumn, _Mapping]]] = ..., latency_seconds: _Optional[_Iterable[bytes]] = ..., stages: _Optional[_Iterable[_Union[StageColumn, _Mapping]]] = ..., status: _Optional[_Iterable[bytes]] = ..., error_types: _Optional[_Union[TextColumn, _Mapping]] = ..., trace_ids: _Optional[bytes] = ..., span_ids: _Optional[bytes] = ..., trace_flags: _Optional[bytes] = ..., trace_states: _Optional[_Union[TextColumn, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[TextColumn, _Mapping]]] = ..., protected: _Optional[_Iterable[_Union[TextColumn, _Mapping]]] = ..., weights: _Optional[_Iterable[bytes]] = ..., batch_ids: _Optional[_Union[TextColumn, _Mapping]] = ..., batch_sizes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class NumberColumn(_message.Message):
    __slots__ = ("name", "values", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    values: _containers.RepeatedScalarFieldContainer[bytes]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[bytes] = ..., values: _Optional[_Iterable[bytes]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class TextColumn(_message.Message):
    __slots__ = ("name", "dictionary", "codes", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    dictionary: _containers.RepeatedScalarFieldContainer[bytes]
    codes: _containers.RepeatedScalarFieldContainer[bytes]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[bytes] = ..., dictionary: _Optional[_Iterable[bytes]] = ..., codes: _Optional[_Iterable[bytes]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class FlagColumn(_message.Message):
    __slots__ = ("name", "values", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    values: _containers.RepeatedScalarFieldContainer[bytes]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[bytes] = ..., values: _Optional[_Iterable[bytes]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class VectorColumn(_message.Message):
    __slots__ = ("name", "size", "values", "nulls", "absents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    ABSENTS_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    size: int
    values: _containers.RepeatedScalarFieldContainer[bytes]
    nulls: bytes
    absents: bytes
    def __init__(self, name: _Optional[bytes] = ..., size: _Optional[int] = ..., values: _Optional[_Iterable[bytes]] = ..., nulls: _Optional[bytes] = ..., absents: _Optional[bytes] = ...) -> None: ...

class OutputColumn(_message.Message):
    __slots__ = ("name", "values", "labels", "scores", "vectors", "items")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    values: NumberColumn
    labels: TextColumn
    scores: _containers.RepeatedCompositeFieldContainer[ScoreColumn]
    vectors: VectorColumn
    items: bytes
    def __init__(self, name: _Optional[bytes] = ..., values: _Optional[_Union[NumberColumn, _Mapping]] = ..., labels: _Optional[_Union[TextColumn, _Mapping]] = ..., scores: _Optional[_Iterable[_Union[ScoreColumn, _Mapping]]] = ..., vectors: _Optional[_Union[VectorColumn, _Mapping]] = ..., items: _Optional[bytes] = ...) -> None: ...

class ScoreColumn(_message.Message):
    __slots__ = ("values",)
    CLASS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ..., **kwargs) -> None: ...

class StageColumn(_message.Message):
    __slots__ = ("name", "offset_seconds", "duration_seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    offset_seconds: _containers.RepeatedScalarFieldContainer[bytes]
    duration_seconds: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, name: _Optional[bytes] = ..., offset_seconds: _Optional[_Iterable[bytes]] = ..., duration_seconds: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("prediction_id", "request_id", "numbers", "texts", "flags", "vectors", "nulls", "outputs", "measures", "stages", "error_type", "traceparent", "tracestate", "segments", "protected", "batch_id")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    prediction_id: bytes
    request_id: bytes
    numbers: _containers.RepeatedCompositeFieldContainer[Entry]
    texts: _containers.RepeatedCompositeFieldContainer[Entry]
    flags: _containers.RepeatedCompositeFieldContainer[Entry]
    vectors: _containers.RepeatedCompositeFieldContainer[Entry]
    nulls: _containers.RepeatedScalarFieldContainer[bytes]
    outputs: _containers.RepeatedScalarFieldContainer[bytes]
    measures: _containers.RepeatedCompositeFieldContainer[Entry]
    stages: _containers.RepeatedScalarFieldContainer[bytes]
    error_type: bytes
    traceparent: bytes
    tracestate: bytes
    segments: _containers.RepeatedCompositeFieldContainer[Entry]
    protected: _containers.RepeatedCompositeFieldContainer[Entry]
    batch_id: bytes
    def __init__(self, prediction_id: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., numbers: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., texts: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., flags: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., vectors: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., nulls: _Optional[_Iterable[bytes]] = ..., outputs: _Optional[_Iterable[bytes]] = ..., measures: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., stages: _Optional[_Iterable[bytes]] = ..., error_type: _Optional[bytes] = ..., traceparent: _Optional[bytes] = ..., tracestate: _Optional[bytes] = ..., segments: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., protected: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., batch_id: _Optional[bytes] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...
