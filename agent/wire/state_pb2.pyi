from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FrameHead(_message.Message):
    __slots__ = ("offset", "arrived_unix_nano", "kind", "verdict", "config_hash", "client_id", "sequence", "covered_unix_nano", "response")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[FrameHead.Kind]
        KIND_REQUEST: _ClassVar[FrameHead.Kind]
        KIND_TICK: _ClassVar[FrameHead.Kind]
    KIND_UNSPECIFIED: FrameHead.Kind
    KIND_REQUEST: FrameHead.Kind
    KIND_TICK: FrameHead.Kind
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CONFIG_HASH_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COVERED_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    offset: int
    arrived_unix_nano: int
    kind: FrameHead.Kind
    verdict: bytes
    config_hash: int
    client_id: str
    sequence: int
    covered_unix_nano: int
    response: bytes
    def __init__(self, offset: _Optional[int] = ..., arrived_unix_nano: _Optional[int] = ..., kind: _Optional[_Union[FrameHead.Kind, str]] = ..., verdict: _Optional[bytes] = ..., config_hash: _Optional[int] = ..., client_id: _Optional[str] = ..., sequence: _Optional[int] = ..., covered_unix_nano: _Optional[int] = ..., response: _Optional[bytes] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("model", "version", "role", "deployment", "tenant", "reference_hash", "open", "counters", "learner", "last_seen_unix_nano", "total", "kll", "newest_unix_nano", "closed_below", "last_rows", "started_unix_nano", "trained_at_unix_nano", "latency", "latency_sum", "refusals", "window_nanos", "reference_note", "positive_label", "bins_since_unix_nano", "gaps", "samples", "last_traced", "task", "threshold")
    class KllEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_HASH_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNER_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    KLL_FIELD_NUMBER: _ClassVar[int]
    NEWEST_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    CLOSED_BELOW_FIELD_NUMBER: _ClassVar[int]
    LAST_ROWS_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    TRAINED_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SUM_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_NANOS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_NOTE_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_LABEL_FIELD_NUMBER: _ClassVar[int]
    BINS_SINCE_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    LAST_TRACED_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    role: int
    deployment: str
    tenant: str
    reference_hash: int
    open: _containers.RepeatedCompositeFieldContainer[Window]
    counters: Counters
    learner: bytes
    last_seen_unix_nano: int
    total: bytes
    kll: _containers.ScalarMap[str, bytes]
    newest_unix_nano: int
    closed_below: int
    last_rows: int
    started_unix_nano: int
    trained_at_unix_nano: int
    latency: bytes
    latency_sum: float
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    window_nanos: int
    reference_note: str
    positive_label: str
    bins_since_unix_nano: int
    gaps: _containers.RepeatedCompositeFieldContainer[Gap]
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    last_traced: int
    task: int
    threshold: float
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., role: _Optional[int] = ..., deployment: _Optional[str] = ..., tenant: _Optional[str] = ..., reference_hash: _Optional[int] = ..., open: _Optional[_Iterable[_Union[Window, _Mapping]]] = ..., counters: _Optional[_Union[Counters, _Mapping]] = ..., learner: _Optional[bytes] = ..., last_seen_unix_nano: _Optional[int] = ..., total: _Optional[bytes] = ..., kll: _Optional[_Mapping[str, bytes]] = ..., newest_unix_nano: _Optional[int] = ..., closed_below: _Optional[int] = ..., last_rows: _Optional[int] = ..., started_unix_nano: _Optional[int] = ..., trained_at_unix_nano: _Optional[int] = ..., latency: _Optional[bytes] = ..., latency_sum: _Optional[float] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., window_nanos: _Optional[int] = ..., reference_note: _Optional[str] = ..., positive_label: _Optional[str] = ..., bins_since_unix_nano: _Optional[int] = ..., gaps: _Optional[_Iterable[_Union[Gap, _Mapping]]] = ..., samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ..., last_traced: _Optional[int] = ..., task: _Optional[int] = ..., threshold: _Optional[float] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "field", "count", "detail", "last_unix_nano")
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    LAST_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    reason: str
    field: str
    count: int
    detail: str
    last_unix_nano: int
    def __init__(self, reason: _Optional[str] = ..., field: _Optional[str] = ..., count: _Optional[int] = ..., detail: _Optional[str] = ..., last_unix_nano: _Optional[int] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("index", "rows", "counts", "latency", "covered_seconds", "segments", "errors", "latency_sum", "unknown", "backlog", "repeats", "texts", "sketched", "first_unix_nano", "examples")
    class SegmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class UnknownEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class RepeatsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Repeats
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Repeats, _Mapping]] = ...) -> None: ...
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    COVERED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SUM_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    SKETCHED_FIELD_NUMBER: _ClassVar[int]
    FIRST_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    index: int
    rows: int
    counts: bytes
    latency: bytes
    covered_seconds: float
    segments: _containers.ScalarMap[str, bytes]
    errors: int
    latency_sum: float
    unknown: _containers.ScalarMap[str, int]
    backlog: int
    repeats: _containers.MessageMap[str, Repeats]
    texts: _containers.RepeatedCompositeFieldContainer[Texts]
    sketched: bool
    first_unix_nano: int
    examples: Examples
    def __init__(self, index: _Optional[int] = ..., rows: _Optional[int] = ..., counts: _Optional[bytes] = ..., latency: _Optional[bytes] = ..., covered_seconds: _Optional[float] = ..., segments: _Optional[_Mapping[str, bytes]] = ..., errors: _Optional[int] = ..., latency_sum: _Optional[float] = ..., unknown: _Optional[_Mapping[str, int]] = ..., backlog: _Optional[int] = ..., repeats: _Optional[_Mapping[str, Repeats]] = ..., texts: _Optional[_Iterable[_Union[Texts, _Mapping]]] = ..., sketched: bool = ..., first_unix_nano: _Optional[int] = ..., examples: _Optional[_Union[Examples, _Mapping]] = ...) -> None: ...

class Examples(_message.Message):
    __slots__ = ("lowest", "hashes", "traces", "full", "seen")
    LOWEST_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    TRACES_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    lowest: bytes
    hashes: bytes
    traces: _containers.RepeatedScalarFieldContainer[bytes]
    full: bool
    seen: int
    def __init__(self, lowest: _Optional[bytes] = ..., hashes: _Optional[bytes] = ..., traces: _Optional[_Iterable[bytes]] = ..., full: bool = ..., seen: _Optional[int] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("trace_id", "parent_id", "flags", "state", "prediction_id", "start_unix_nano", "latency", "error_type", "stages", "values", "segments", "row", "exported")
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    START_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_FIELD_NUMBER: _ClassVar[int]
    trace_id: bytes
    parent_id: bytes
    flags: int
    state: str
    prediction_id: str
    start_unix_nano: int
    latency: float
    error_type: str
    stages: _containers.RepeatedCompositeFieldContainer[ExampleStage]
    values: _containers.RepeatedCompositeFieldContainer[ExampleValue]
    segments: _containers.RepeatedScalarFieldContainer[str]
    row: int
    exported: bool
    def __init__(self, trace_id: _Optional[bytes] = ..., parent_id: _Optional[bytes] = ..., flags: _Optional[int] = ..., state: _Optional[str] = ..., prediction_id: _Optional[str] = ..., start_unix_nano: _Optional[int] = ..., latency: _Optional[float] = ..., error_type: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[ExampleStage, _Mapping]]] = ..., values: _Optional[_Iterable[_Union[ExampleValue, _Mapping]]] = ..., segments: _Optional[_Iterable[str]] = ..., row: _Optional[int] = ..., exported: bool = ...) -> None: ...

class ExampleStage(_message.Message):
    __slots__ = ("name", "offset", "duration")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    offset: float
    duration: float
    def __init__(self, name: _Optional[str] = ..., offset: _Optional[float] = ..., duration: _Optional[float] = ...) -> None: ...

class ExampleValue(_message.Message):
    __slots__ = ("name", "number", "text", "flag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: float
    text: str
    flag: bool
    def __init__(self, name: _Optional[str] = ..., number: _Optional[float] = ..., text: _Optional[str] = ..., flag: bool = ...) -> None: ...

class Texts(_message.Message):
    __slots__ = ("source", "name", "sketch", "distinct", "new", "error", "newcomers")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SKETCH_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    NEWCOMERS_FIELD_NUMBER: _ClassVar[int]
    source: int
    name: str
    sketch: bytes
    distinct: int
    new: int
    error: int
    newcomers: _containers.RepeatedCompositeFieldContainer[Newcomer]
    def __init__(self, source: _Optional[int] = ..., name: _Optional[str] = ..., sketch: _Optional[bytes] = ..., distinct: _Optional[int] = ..., new: _Optional[int] = ..., error: _Optional[int] = ..., newcomers: _Optional[_Iterable[_Union[Newcomer, _Mapping]]] = ...) -> None: ...

class Newcomer(_message.Message):
    __slots__ = ("text", "count")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    text: str
    count: int
    def __init__(self, text: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Repeats(_message.Message):
    __slots__ = ("rows", "again")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    rows: int
    again: int
    def __init__(self, rows: _Optional[int] = ..., again: _Optional[int] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("kind", "index", "highest", "fingerprints", "rows")
    KIND_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINTS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    index: int
    highest: int
    fingerprints: bytes
    rows: bytes
    def __init__(self, kind: _Optional[str] = ..., index: _Optional[int] = ..., highest: _Optional[int] = ..., fingerprints: _Optional[bytes] = ..., rows: _Optional[bytes] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("from_unix_nano", "to_unix_nano")
    FROM_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    TO_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    from_unix_nano: int
    to_unix_nano: int
    def __init__(self, from_unix_nano: _Optional[int] = ..., to_unix_nano: _Optional[int] = ...) -> None: ...

class Counters(_message.Message):
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, int]
    def __init__(self, values: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Client(_message.Message):
    __slots__ = ("id", "sequences", "responses", "last_seen_unix_nano", "report", "model")
    ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    id: str
    sequences: _containers.RepeatedScalarFieldContainer[int]
    responses: _containers.RepeatedScalarFieldContainer[bytes]
    last_seen_unix_nano: int
    report: bytes
    model: str
    def __init__(self, id: _Optional[str] = ..., sequences: _Optional[_Iterable[int]] = ..., responses: _Optional[_Iterable[bytes]] = ..., last_seen_unix_nano: _Optional[int] = ..., report: _Optional[bytes] = ..., model: _Optional[str] = ...) -> None: ...

class Baseline(_message.Message):
    __slots__ = ("since_unix_nano", "begun", "whole", "real", "histograms")
    SINCE_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAMS_FIELD_NUMBER: _ClassVar[int]
    since_unix_nano: int
    begun: bool
    whole: HeldNumbers
    real: HeldNumbers
    histograms: _containers.RepeatedCompositeFieldContainer[HeldHistogram]
    def __init__(self, since_unix_nano: _Optional[int] = ..., begun: bool = ..., whole: _Optional[_Union[HeldNumbers, _Mapping]] = ..., real: _Optional[_Union[HeldNumbers, _Mapping]] = ..., histograms: _Optional[_Iterable[_Union[HeldHistogram, _Mapping]]] = ...) -> None: ...

class HeldNumbers(_message.Message):
    __slots__ = ("keys", "times", "values")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    keys: bytes
    times: bytes
    values: bytes
    def __init__(self, keys: _Optional[bytes] = ..., times: _Optional[bytes] = ..., values: _Optional[bytes] = ...) -> None: ...

class HeldHistogram(_message.Message):
    __slots__ = ("key", "time_unix_nano", "count", "sum", "scale", "zero_count", "offset", "buckets", "negative_offset", "negative", "zero_threshold")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    ZERO_COUNT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    ZERO_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    key: int
    time_unix_nano: int
    count: int
    sum: float
    scale: int
    zero_count: int
    offset: int
    buckets: _containers.RepeatedScalarFieldContainer[int]
    negative_offset: int
    negative: _containers.RepeatedScalarFieldContainer[int]
    zero_threshold: float
    def __init__(self, key: _Optional[int] = ..., time_unix_nano: _Optional[int] = ..., count: _Optional[int] = ..., sum: _Optional[float] = ..., scale: _Optional[int] = ..., zero_count: _Optional[int] = ..., offset: _Optional[int] = ..., buckets: _Optional[_Iterable[int]] = ..., negative_offset: _Optional[int] = ..., negative: _Optional[_Iterable[int]] = ..., zero_threshold: _Optional[float] = ...) -> None: ...
