from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReferenceFile(_message.Message):
    __slots__ = ("format", "sections", "checksum")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    format: int
    sections: _containers.RepeatedCompositeFieldContainer[Section]
    checksum: int
    def __init__(self, format: _Optional[int] = ..., sections: _Optional[_Iterable[_Union[Section, _Mapping]]] = ..., checksum: _Optional[int] = ...) -> None: ...

class Section(_message.Message):
    __slots__ = ("key", "checksum", "body")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    key: str
    checksum: int
    body: bytes
    def __init__(self, key: _Optional[str] = ..., checksum: _Optional[int] = ..., body: _Optional[bytes] = ...) -> None: ...

class Layout(_message.Message):
    __slots__ = ("model", "version", "features", "window_seconds", "task", "positive_label", "trained_at_unix_nano", "segments", "protected", "classes", "projections")
    class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TASK_UNSPECIFIED: _ClassVar[Layout.Task]
        TASK_BINARY: _ClassVar[Layout.Task]
        TASK_MULTICLASS: _ClassVar[Layout.Task]
        TASK_REGRESSION: _ClassVar[Layout.Task]
        TASK_RANKING: _ClassVar[Layout.Task]
        TASK_OTHER: _ClassVar[Layout.Task]
    TASK_UNSPECIFIED: Layout.Task
    TASK_BINARY: Layout.Task
    TASK_MULTICLASS: Layout.Task
    TASK_REGRESSION: Layout.Task
    TASK_RANKING: Layout.Task
    TASK_OTHER: Layout.Task
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_LABEL_FIELD_NUMBER: _ClassVar[int]
    TRAINED_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    PROJECTIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    features: _containers.RepeatedCompositeFieldContainer[Feature]
    window_seconds: float
    task: Layout.Task
    positive_label: str
    trained_at_unix_nano: int
    segments: _containers.RepeatedScalarFieldContainer[str]
    protected: _containers.RepeatedScalarFieldContainer[str]
    classes: _containers.RepeatedScalarFieldContainer[str]
    projections: _containers.RepeatedCompositeFieldContainer[Projection]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., features: _Optional[_Iterable[_Union[Feature, _Mapping]]] = ..., window_seconds: _Optional[float] = ..., task: _Optional[_Union[Layout.Task, str]] = ..., positive_label: _Optional[str] = ..., trained_at_unix_nano: _Optional[int] = ..., segments: _Optional[_Iterable[str]] = ..., protected: _Optional[_Iterable[str]] = ..., classes: _Optional[_Iterable[str]] = ..., projections: _Optional[_Iterable[_Union[Projection, _Mapping]]] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("name", "source", "kind", "edges", "categories", "public", "critical", "ignored", "integral", "size", "seen", "group", "rare_cells", "rules")
    class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SOURCE_UNSPECIFIED: _ClassVar[Feature.Source]
        SOURCE_FEATURE: _ClassVar[Feature.Source]
        SOURCE_PREDICTION: _ClassVar[Feature.Source]
        SOURCE_SCORE: _ClassVar[Feature.Source]
        SOURCE_LATENCY: _ClassVar[Feature.Source]
        SOURCE_ROW: _ClassVar[Feature.Source]
    SOURCE_UNSPECIFIED: Feature.Source
    SOURCE_FEATURE: Feature.Source
    SOURCE_PREDICTION: Feature.Source
    SOURCE_SCORE: Feature.Source
    SOURCE_LATENCY: Feature.Source
    SOURCE_ROW: Feature.Source
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Feature.Kind]
        KIND_NUMBER: _ClassVar[Feature.Kind]
        KIND_TEXT: _ClassVar[Feature.Kind]
        KIND_FLAG: _ClassVar[Feature.Kind]
        KIND_VECTOR: _ClassVar[Feature.Kind]
    KIND_UNSPECIFIED: Feature.Kind
    KIND_NUMBER: Feature.Kind
    KIND_TEXT: Feature.Kind
    KIND_FLAG: Feature.Kind
    KIND_VECTOR: Feature.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    INTEGRAL_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    RARE_CELLS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: Feature.Source
    kind: Feature.Kind
    edges: _containers.RepeatedScalarFieldContainer[float]
    categories: _containers.RepeatedScalarFieldContainer[str]
    public: bool
    critical: bool
    ignored: bool
    integral: bool
    size: int
    seen: bytes
    group: str
    rare_cells: int
    rules: Rules
    def __init__(self, name: _Optional[str] = ..., source: _Optional[_Union[Feature.Source, str]] = ..., kind: _Optional[_Union[Feature.Kind, str]] = ..., edges: _Optional[_Iterable[float]] = ..., categories: _Optional[_Iterable[str]] = ..., public: bool = ..., critical: bool = ..., ignored: bool = ..., integral: bool = ..., size: _Optional[int] = ..., seen: _Optional[bytes] = ..., group: _Optional[str] = ..., rare_cells: _Optional[int] = ..., rules: _Optional[_Union[Rules, _Mapping]] = ...) -> None: ...

class Projection(_message.Message):
    __slots__ = ("vector", "row")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    vector: VectorProjection
    row: RowProjection
    def __init__(self, vector: _Optional[_Union[VectorProjection, _Mapping]] = ..., row: _Optional[_Union[RowProjection, _Mapping]] = ...) -> None: ...

class VectorProjection(_message.Message):
    __slots__ = ("name", "mean", "basis", "scale", "centroids", "shown")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    CENTROIDS_FIELD_NUMBER: _ClassVar[int]
    SHOWN_FIELD_NUMBER: _ClassVar[int]
    name: str
    mean: bytes
    basis: bytes
    scale: bytes
    centroids: bytes
    shown: int
    def __init__(self, name: _Optional[str] = ..., mean: _Optional[bytes] = ..., basis: _Optional[bytes] = ..., scale: _Optional[bytes] = ..., centroids: _Optional[bytes] = ..., shown: _Optional[int] = ...) -> None: ...

class RowProjection(_message.Message):
    __slots__ = ("inputs", "scores", "whiten", "shown")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    WHITEN_FIELD_NUMBER: _ClassVar[int]
    SHOWN_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedScalarFieldContainer[int]
    scores: bytes
    whiten: bytes
    shown: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, inputs: _Optional[_Iterable[int]] = ..., scores: _Optional[bytes] = ..., whiten: _Optional[bytes] = ..., shown: _Optional[_Iterable[int]] = ...) -> None: ...

class Rules(_message.Message):
    __slots__ = ("required", "never_null", "whole", "low", "high", "max_missing", "max_new")
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    NEVER_NULL_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    MAX_MISSING_FIELD_NUMBER: _ClassVar[int]
    MAX_NEW_FIELD_NUMBER: _ClassVar[int]
    required: bool
    never_null: bool
    whole: bool
    low: float
    high: float
    max_missing: float
    max_new: float
    def __init__(self, required: bool = ..., never_null: bool = ..., whole: bool = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., max_missing: _Optional[float] = ..., max_new: _Optional[float] = ...) -> None: ...

class Blocks(_message.Message):
    __slots__ = ("start_unix_nano", "rows", "counts")
    START_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    start_unix_nano: _containers.RepeatedScalarFieldContainer[int]
    rows: _containers.RepeatedScalarFieldContainer[int]
    counts: bytes
    def __init__(self, start_unix_nano: _Optional[_Iterable[int]] = ..., rows: _Optional[_Iterable[int]] = ..., counts: _Optional[bytes] = ...) -> None: ...

class Quantiles(_message.Message):
    __slots__ = ("kll",)
    class KllEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    KLL_FIELD_NUMBER: _ClassVar[int]
    kll: _containers.ScalarMap[str, bytes]
    def __init__(self, kll: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class Segments(_message.Message):
    __slots__ = ("keys", "runs", "values")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    runs: _containers.RepeatedCompositeFieldContainer[SegmentRun]
    values: _containers.RepeatedCompositeFieldContainer[SegmentValue]
    def __init__(self, keys: _Optional[_Iterable[str]] = ..., runs: _Optional[_Iterable[_Union[SegmentRun, _Mapping]]] = ..., values: _Optional[_Iterable[_Union[SegmentValue, _Mapping]]] = ...) -> None: ...

class SegmentRun(_message.Message):
    __slots__ = ("first", "blocks")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    first: int
    blocks: int
    def __init__(self, first: _Optional[int] = ..., blocks: _Optional[int] = ...) -> None: ...

class SegmentValue(_message.Message):
    __slots__ = ("key", "value", "rows", "counts")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    rows: _containers.RepeatedScalarFieldContainer[int]
    counts: bytes
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., rows: _Optional[_Iterable[int]] = ..., counts: _Optional[bytes] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("made_by", "made_at_unix_nano", "source", "rows")
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    made_by: str
    made_at_unix_nano: int
    source: str
    rows: int
    def __init__(self, made_by: _Optional[str] = ..., made_at_unix_nano: _Optional[int] = ..., source: _Optional[str] = ..., rows: _Optional[int] = ...) -> None: ...

class LearnerState(_message.Message):
    __slots__ = ("head", "fixed", "learn_rows", "learn_windows", "buffer", "windows", "tainted", "paused", "skipped_rows", "made_by", "segment_keys", "segment_names")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    FIXED_FIELD_NUMBER: _ClassVar[int]
    LEARN_ROWS_FIELD_NUMBER: _ClassVar[int]
    LEARN_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    TAINTED_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_ROWS_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_KEYS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_NAMES_FIELD_NUMBER: _ClassVar[int]
    head: Layout
    fixed: bool
    learn_rows: int
    learn_windows: int
    buffer: _containers.RepeatedCompositeFieldContainer[BufferedBatch]
    windows: _containers.RepeatedCompositeFieldContainer[LearnedWindow]
    tainted: _containers.RepeatedScalarFieldContainer[int]
    paused: bool
    skipped_rows: int
    made_by: str
    segment_keys: _containers.RepeatedScalarFieldContainer[str]
    segment_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, head: _Optional[_Union[Layout, _Mapping]] = ..., fixed: bool = ..., learn_rows: _Optional[int] = ..., learn_windows: _Optional[int] = ..., buffer: _Optional[_Iterable[_Union[BufferedBatch, _Mapping]]] = ..., windows: _Optional[_Iterable[_Union[LearnedWindow, _Mapping]]] = ..., tainted: _Optional[_Iterable[int]] = ..., paused: bool = ..., skipped_rows: _Optional[int] = ..., made_by: _Optional[str] = ..., segment_keys: _Optional[_Iterable[str]] = ..., segment_names: _Optional[_Iterable[str]] = ...) -> None: ...

class BufferedBatch(_message.Message):
    __slots__ = ("window", "rows", "columns")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    window: int
    rows: int
    columns: _containers.RepeatedCompositeFieldContainer[BufferedColumn]
    def __init__(self, window: _Optional[int] = ..., rows: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[BufferedColumn, _Mapping]]] = ...) -> None: ...

class BufferedColumn(_message.Message):
    __slots__ = ("name", "output", "kind", "values", "state", "dictionary", "size", "segment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    output: bool
    kind: Feature.Kind
    values: bytes
    state: bytes
    dictionary: _containers.RepeatedScalarFieldContainer[str]
    size: int
    segment: bool
    def __init__(self, name: _Optional[str] = ..., output: bool = ..., kind: _Optional[_Union[Feature.Kind, str]] = ..., values: _Optional[bytes] = ..., state: _Optional[bytes] = ..., dictionary: _Optional[_Iterable[str]] = ..., size: _Optional[int] = ..., segment: bool = ...) -> None: ...

class LearnedWindow(_message.Message):
    __slots__ = ("window", "rows", "counts", "closed", "segments")
    class SegmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    window: int
    rows: int
    counts: bytes
    closed: bool
    segments: _containers.ScalarMap[str, bytes]
    def __init__(self, window: _Optional[int] = ..., rows: _Optional[int] = ..., counts: _Optional[bytes] = ..., closed: bool = ..., segments: _Optional[_Mapping[str, bytes]] = ...) -> None: ...
