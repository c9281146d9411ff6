from sidelight.wire import columns_pb2 as _columns_pb2
from sidelight.wire import labels_pb2 as _labels_pb2
from sidelight.wire import lifecycle_pb2 as _lifecycle_pb2
from sidelight.wire import rows_pb2 as _rows_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_PRIMARY: _ClassVar[Role]
    ROLE_SHADOW: _ClassVar[Role]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_UNDECODABLE: _ClassVar[Reason]
    REASON_INVALID_UTF8: _ClassVar[Reason]
    REASON_MODEL_MISSING: _ClassVar[Reason]
    REASON_TOO_MANY_RECORDS: _ClassVar[Reason]
    REASON_TOO_MANY_FEATURES: _ClassVar[Reason]
    REASON_TEXT_TOO_LONG: _ClassVar[Reason]
    REASON_DUPLICATE_KEY: _ClassVar[Reason]
    REASON_COLUMN_LENGTH: _ClassVar[Reason]
    REASON_CODE_OUT_OF_RANGE: _ClassVar[Reason]
    REASON_VECTOR_SIZE: _ClassVar[Reason]
    REASON_FUTURE: _ClassVar[Reason]
    REASON_TOO_MANY_MODELS: _ClassVar[Reason]
    REASON_NOT_PERMITTED: _ClassVar[Reason]
    REASON_ID_MISSING: _ClassVar[Reason]
    REASON_MESSAGE_TOO_LARGE: _ClassVar[Reason]
    REASON_EMPTY: _ClassVar[Reason]
    REASON_LABEL_MISSING: _ClassVar[Reason]
    REASON_QUEUE_FULL: _ClassVar[Reason]
ROLE_UNSPECIFIED: Role
ROLE_PRIMARY: Role
ROLE_SHADOW: Role
REASON_UNSPECIFIED: Reason
REASON_UNDECODABLE: Reason
REASON_INVALID_UTF8: Reason
REASON_MODEL_MISSING: Reason
REASON_TOO_MANY_RECORDS: Reason
REASON_TOO_MANY_FEATURES: Reason
REASON_TEXT_TOO_LONG: Reason
REASON_DUPLICATE_KEY: Reason
REASON_COLUMN_LENGTH: Reason
REASON_CODE_OUT_OF_RANGE: Reason
REASON_VECTOR_SIZE: Reason
REASON_FUTURE: Reason
REASON_TOO_MANY_MODELS: Reason
REASON_NOT_PERMITTED: Reason
REASON_ID_MISSING: Reason
REASON_MESSAGE_TOO_LARGE: Reason
REASON_EMPTY: Reason
REASON_LABEL_MISSING: Reason
REASON_QUEUE_FULL: Reason

class RecordRequest(_message.Message):
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
    schema: str
    sent_at_unix_nano: int
    client_id: str
    sequence: int
    report: ClientReport
    rows: _rows_pb2.Rows
    columns: _columns_pb2.Columns
    labels: _labels_pb2.Labels
    lifecycle: _lifecycle_pb2.Lifecycle
    label_columns: _labels_pb2.LabelColumns
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., schema: _Optional[str] = ..., sent_at_unix_nano: _Optional[int] = ..., client_id: _Optional[str] = ..., sequence: _Optional[int] = ..., report: _Optional[_Union[ClientReport, _Mapping]] = ..., rows: _Optional[_Union[_rows_pb2.Rows, _Mapping]] = ..., columns: _Optional[_Union[_columns_pb2.Columns, _Mapping]] = ..., labels: _Optional[_Union[_labels_pb2.Labels, _Mapping]] = ..., lifecycle: _Optional[_Union[_lifecycle_pb2.Lifecycle, _Mapping]] = ..., label_columns: _Optional[_Union[_labels_pb2.LabelColumns, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "role", "deployment", "tenant")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    role: Role
    deployment: str
    tenant: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., deployment: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class ClientReport(_message.Message):
    __slots__ = ("recorded", "dropped_full", "dropped_failed", "dropped_invalid", "sampled_out", "language", "client_version")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FULL_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FAILED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_INVALID_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_OUT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    dropped_full: int
    dropped_failed: int
    dropped_invalid: int
    sampled_out: int
    language: str
    client_version: str
    def __init__(self, recorded: _Optional[int] = ..., dropped_full: _Optional[int] = ..., dropped_failed: _Optional[int] = ..., dropped_invalid: _Optional[int] = ..., sampled_out: _Optional[int] = ..., language: _Optional[str] = ..., client_version: _Optional[str] = ...) -> None: ...

class RecordResponse(_message.Message):
    __slots__ = ("accepted", "duplicate", "durable", "refusals", "hints")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    duplicate: bool
    durable: bool
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    hints: Hints
    def __init__(self, accepted: _Optional[int] = ..., duplicate: bool = ..., durable: bool = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., hints: _Optional[_Union[Hints, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "index", "count", "field", "limit", "detail")
    REASON_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    reason: Reason
    index: _containers.RepeatedScalarFieldContainer[int]
    count: int
    field: str
    limit: int
    detail: str
    def __init__(self, reason: _Optional[_Union[Reason, str]] = ..., index: _Optional[_Iterable[int]] = ..., count: _Optional[int] = ..., field: _Optional[str] = ..., limit: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class Hints(_message.Message):
    __slots__ = ("max_rows_per_message", "sampling_ratio", "retry_after_seconds")
    MAX_ROWS_PER_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_RATIO_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    max_rows_per_message: int
    sampling_ratio: float
    retry_after_seconds: float
    def __init__(self, max_rows_per_message: _Optional[int] = ..., sampling_ratio: _Optional[float] = ..., retry_after_seconds: _Optional[float] = ...) -> None: ...
