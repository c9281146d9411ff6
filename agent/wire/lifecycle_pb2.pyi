from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_BINARY: _ClassVar[Task]
    TASK_MULTICLASS: _ClassVar[Task]
    TASK_REGRESSION: _ClassVar[Task]
    TASK_RANKING: _ClassVar[Task]
    TASK_OTHER: _ClassVar[Task]
TASK_UNSPECIFIED: Task
TASK_BINARY: Task
TASK_MULTICLASS: Task
TASK_REGRESSION: Task
TASK_RANKING: Task
TASK_OTHER: Task

class Lifecycle(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("time_unix_nano", "loaded", "unloaded", "run")
    TIME_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    UNLOADED_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    time_unix_nano: int
    loaded: ModelLoaded
    unloaded: ModelUnloaded
    run: BatchRun
    def __init__(self, time_unix_nano: _Optional[int] = ..., loaded: _Optional[_Union[ModelLoaded, _Mapping]] = ..., unloaded: _Optional[_Union[ModelUnloaded, _Mapping]] = ..., run: _Optional[_Union[BatchRun, _Mapping]] = ...) -> None: ...

class ModelLoaded(_message.Message):
    __slots__ = ("task", "positive_label", "threshold", "trained_at_unix_nano", "reference", "load_seconds", "framework")
    TASK_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_LABEL_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    TRAINED_AT_UNIX_NANO_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    task: Task
    positive_label: str
    threshold: float
    trained_at_unix_nano: int
    reference: str
    load_seconds: float
    framework: str
    def __init__(self, task: _Optional[_Union[Task, str]] = ..., positive_label: _Optional[str] = ..., threshold: _Optional[float] = ..., trained_at_unix_nano: _Optional[int] = ..., reference: _Optional[str] = ..., load_seconds: _Optional[float] = ..., framework: _Optional[str] = ...) -> None: ...

class ModelUnloaded(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class BatchRun(_message.Message):
    __slots__ = ("run_id", "state", "attempt", "done", "expected", "cost", "error_type")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[BatchRun.State]
        STATE_STARTED: _ClassVar[BatchRun.State]
        STATE_PROGRESSED: _ClassVar[BatchRun.State]
        STATE_FINISHED: _ClassVar[BatchRun.State]
        STATE_FAILED: _ClassVar[BatchRun.State]
        STATE_RETRIED: _ClassVar[BatchRun.State]
    STATE_UNSPECIFIED: BatchRun.State
    STATE_STARTED: BatchRun.State
    STATE_PROGRESSED: BatchRun.State
    STATE_FINISHED: BatchRun.State
    STATE_FAILED: BatchRun.State
    STATE_RETRIED: BatchRun.State
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    state: BatchRun.State
    attempt: int
    done: int
    expected: int
    cost: float
    error_type: str
    def __init__(self, run_id: _Optional[str] = ..., state: _Optional[_Union[BatchRun.State, str]] = ..., attempt: _Optional[int] = ..., done: _Optional[int] = ..., expected: _Optional[int] = ..., cost: _Optional[float] = ..., error_type: _Optional[str] = ...) -> None: ...
