"""The door: what a model server calls. Calls return at once and never raise; what is lost is counted in `stats`."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import time as clock
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from gc import is_tracked
from time import time_ns
from typing import Any, TypeVar, overload

from sidelight import blocks
from sidelight.batches import nanoseconds
from sidelight.endpoint import Endpoint, disabled
from sidelight.gather import Form, keep_about
from sidelight.sender import Limits, Sender, Stats
from sidelight.values import STILL, hashed, keep, keep_mapping
from sidelight.watch import Prediction, Ticket, watched
from sidelight.wire import lifecycle_pb2, recorder_pb2

_ROLES = {"primary": recorder_pb2.ROLE_PRIMARY, "shadow": recorder_pb2.ROLE_SHADOW}
_EXIT_SECONDS = 2.0
_F = TypeVar("_F", bound=Callable[..., Any])


class Recorder:
    """Records what one model does. Make one per model and version, at start; it may be made before a fork.

    model, version, role ("primary" or "shadow"), deployment, tenant: what made the predictions.
    endpoint: `host:port` or `unix:/path`; None finds the agent as the agent finds its own socket.
    schema: the schema or reference the sender believes in; informative.
    feature_names: names of the columns of arrays, where a call gives none.
    queue_records: single records that may wait, the oldest dropped first; about 2 kB each for 20 features.
    queue_block_rows: rows of arrays and frames that may wait; 8 bytes for each number of a row.
    batch_rows: records a message. flush_seconds: the longest a record waits while the agent is there.

    Raises ValueError or TypeError for arguments that cannot be meant; after that nothing raises.
    """

    def __init__(
        self,
        model: str,
        version: str = "",
        *,
        endpoint: str | None = None,
        role: str = "primary",
        deployment: str = "",
        tenant: str = "",
        schema: str = "",
        feature_names: Sequence[str] | None = None,
        queue_records: int = 10_000,
        queue_block_rows: int = 1_000_000,
        batch_rows: int = 500,
        flush_seconds: float = 0.2,
    ) -> None:
        if not model:
            raise ValueError("model: empty, expected the model's name")
        if role not in _ROLES:
            raise ValueError(f"role: {role!r}, expected primary or shadow")
        for name, value in (
            ("queue_records", queue_records), ("queue_block_rows", queue_block_rows), ("batch_rows", batch_rows),
            ("flush_seconds", flush_seconds),
        ):  # fmt: skip
            if not value > 0:
                raise ValueError(f"{name}: {value!r}, expected more than 0")
        identity = recorder_pb2.Model(
            name=model, version=version, role=_ROLES[role], deployment=deployment, tenant=tenant
        )  # fmt: skip
        limits = Limits(queue_records, queue_block_rows, batch_rows, flush_seconds)
        self._make = functools.partial(Sender, identity, schema, Endpoint.parse(endpoint), limits)
        self._names = None if feature_names is None else tuple(map(str, feature_names))
        self._enabled = not disabled()
        self._batch_rows = batch_rows
        self._renew()
        _watch_process()
        _live.add(self)

    def _renew(self) -> None:
        """A sender of this process's own. What waited before a fork is the parent's to send."""
        self._sender = self._make()
        self._lane = self._sender.predictions
        self._waiting: deque[Any] = self._lane.items if self._enabled else deque(maxlen=0)
        self._limit = self._lane.limit
        self._prefix = self._sender.prefix
        self._numbers = itertools.count()  # next() of it costs half of its bound __next__
        self._batch_end = self._due = 0  # numbers: of the next kick; from which on `_look` is due
        self._kick: Callable[[], None] = self._sender.kick if self._enabled else _nothing
        self._places: dict[int, tuple[str, ...]] = {}
        # Type, shape, dtype and names of the array rows that come all the time.
        self._form: Form = (None, None, None, ())

    def record(
        self,
        features: Any,
        prediction: Any = None,
        *,
        score: Any = None,
        prediction_id: Any = None,
        latency: Any = None,
        **about: Any,
    ) -> Any:
        """Records one prediction, or many; returns its id, or a sequence of ids.

        features: a dict, a series, a 1-D row (named by `feature_names`), or many rows: a 2-D array or a data frame;
            then every other argument is one value a row, or one for all.
        prediction: a number, or a class name. score: of the positive class. latency: seconds.
        Also: scores (by class), request_id, time (datetime or seconds since the epoch, of the start), status
        ("ok", "error", "timeout", "rejected"), error_type, segments, protected, measures (mappings), stages (name to
        seconds, or to (offset, seconds)), weight, traceparent, tracestate, batch_id, batch_size, outputs (name to
        value, or to a mapping of prediction, score, scores, vector, items), items (ids, (id, score) or mappings of
        id, position, score), vector, feature_names.

        Copies what it keeps; costs about a microsecond. What cannot be kept or encoded counts as dropped_invalid.
        """
        # This is the one function on the prediction's own time: an id, a copy, a tuple, an append.
        number = next(self._numbers)
        try:
            form = None
            if type(features) is dict:
                kept = features.copy()
                try:
                    if is_tracked(kept) or not hashed(kept.values()):
                        kept = keep_mapping(kept)
                except TypeError:
                    kept = keep_mapping(kept)
            elif (
                type(features) is (form := self._form)[0]
                and features.shape == form[1]
                and features.dtype is form[2]
                and (not about or "feature_names" not in about)
            ):
                kept = features.tobytes()
            elif blocks.is_many(features):
                fields = {"prediction": prediction, "score": score, "prediction_id": prediction_id, "latency": latency}
                return self._record_many(number, features, {**fields, **about})
            else:
                kept, form = self._keep_row(features, about.pop("feature_names", None))
            # The usual types first: to ask the set for them costs 3 % of a row's call.
            if type(prediction) is not str and type(prediction) not in STILL:
                prediction = keep(prediction)
            if type(score) is not float and type(score) not in STILL:
                score = keep(score)
            rest = keep_about(about) if about else None
            self._waiting.append((number, time_ns(), kept, form, prediction, score, prediction_id, latency, rest))
        except Exception:  # a value that fails when it is read: its record is lost and counted, the prediction is not
            self._waiting.append(None)
        if number >= self._due:
            self._look(number)
        return f"{self._prefix}{number}" if prediction_id is None else prediction_id

    def _look(self, number: int) -> None:
        """Keeps the lane in its bound, wakes the sender once a batch, and says when the next record must look: the
        lane grows by one a number at most, so until then neither can be due."""
        if len(self._waiting) > self._limit:
            self._lane.trim()
        if number >= self._batch_end or self._sender.unstarted:
            self._batch_end = number - number % self._batch_rows + self._batch_rows
            self._kick()
        self._due = min(self._batch_end, number + 1 + self._limit - len(self._waiting))

    def _record_many(self, number: int, features: Any, fields: dict[str, Any]) -> Sequence[str]:
        prefix = f"{self._prefix}{number}."
        names = fields.pop("feature_names", None) or self._names
        try:
            block = blocks.copy_predictions(features, names, prefix, fields)
            if self._enabled:
                self._sender.blocks.put(block)
            self._kick()
        except Exception:
            self._sender.blocks.put_broken(len(features))
        given = fields["prediction_id"]
        return blocks.Ids(prefix, len(features)) if given is None else list(given)

    def _keep_row(self, features: Any, names: Any) -> tuple[Any, Form | None]:
        """One row, kept: (its numbers as bytes, their form), or (dict, None)."""
        if features is None:
            return {}, None
        if isinstance(features, Mapping):
            return keep_mapping(features), None
        if hasattr(features, "to_dict"):  # a pandas series
            return keep_mapping(features.to_dict()), None
        if not hasattr(features, "__len__"):  # a dataclass, a request model
            return keep_mapping(vars(features)), None
        width, own = len(features), names is None
        names = self._names if names is None else names if type(names) is tuple else tuple(names)
        if names is None:
            names = self._places.get(width) or self._places.setdefault(width, tuple(f"f{one}" for one in range(width)))
        if len(names) != width:
            raise ValueError(f"{len(names)} feature names for {width} features")
        dtype = getattr(features, "dtype", None)
        if dtype is not None and getattr(dtype, "kind", "O") in "fiu" and type(features).__module__ == "numpy":
            form = (type(features), features.shape, dtype, names)
            if own:
                self._form = form
            return features.tobytes(), form
        return keep_mapping(dict(zip(names, features))), None

    def label(
        self,
        prediction_id: Any = None,
        truth: Any = None,
        *,
        request_id: Any = None,
        item: Any = "",
        time: Any = None,
        weight: Any = None,
        output: str = "",
    ) -> None:
        """Records the truth, when it is known; by prediction id, or by request id for every version that answered it.

        truth: a number or a class name. Lists, arrays and series record one label an entry.
        item: which of the items shown. time: of the truth, datetime or seconds since the epoch. output: which one.
        """
        if not self._enabled:
            return
        try:
            if blocks.is_column(truth):
                fields = {"ids": prediction_id, "request_ids": request_id, "truth": truth, "items": item, "time": time}
                self._sender.blocks.put(blocks.copy_truths(output, {**fields, "weights": weight}))
            else:
                moment = time_ns() if time is None else nanoseconds(time)
                self._sender.labels.put((prediction_id, request_id, keep(truth), item, moment, weight, output))
        except Exception:
            self._sender.labels.put(None)
        if self._sender.unstarted or not len(self._sender.labels) % self._batch_rows:
            self._kick()

    def loaded(
        self,
        *,
        task: str = "",
        positive_label: str = "",
        threshold: float | None = None,
        trained_at: Any = None,
        reference: str = "",
        load_seconds: float = 0.0,
        framework: str = "",
    ) -> None:
        """The model was loaded. task: binary, multiclass, regression, ranking or other; trained_at as `time` above."""
        self._event(
            lambda: lifecycle_pb2.Event(
                loaded=lifecycle_pb2.ModelLoaded(
                    task=getattr(lifecycle_pb2, f"TASK_{(task or 'unspecified').upper()}"),
                    positive_label=str(positive_label),
                    threshold=threshold,
                    trained_at_unix_nano=0 if trained_at is None else nanoseconds(trained_at),
                    reference=reference,
                    load_seconds=load_seconds,
                    framework=framework,
                )
            )
        )

    def unloaded(self, reason: str = "") -> None:
        """The model was unloaded."""
        self._event(lambda: lifecycle_pb2.Event(unloaded=lifecycle_pb2.ModelUnloaded(reason=reason)))

    def run(
        self,
        run_id: str,
        state: str,
        *,
        attempt: int = 1,
        done: int = 0,
        expected: int = 0,
        cost: float = 0.0,
        error_type: str = "",
    ) -> None:
        """A batch job's progress. state: started, progressed, finished, failed or retried; done, expected: records."""
        self._event(
            lambda: lifecycle_pb2.Event(
                run=lifecycle_pb2.BatchRun(
                    run_id=run_id,
                    state=getattr(lifecycle_pb2.BatchRun, f"STATE_{state.upper()}"),
                    attempt=attempt,
                    done=done,
                    expected=expected,
                    cost=cost,
                    error_type=error_type,
                )
            )
        )

    def _event(self, make: Callable[[], Any]) -> None:
        if not self._enabled:
            return
        try:
            event = make()
            event.time_unix_nano = time_ns()
            self._sender.events.put(event)
        except Exception:
            self._sender.labels.put(None)
        self._kick()

    def prediction(self, features: Any = None, **about: Any) -> Prediction:
        """Times a prediction: `with recorder.prediction(features) as p: p.prediction = ...`; see `Prediction`."""
        return Prediction(self, features, about)

    def _reserve(self, features: Any, names: Any) -> Ticket:
        """An id and a copy of the features, before the prediction is made: the call may change them."""
        number = next(self._numbers)
        try:
            if blocks.is_many(features):
                copied = features.clone() if hasattr(features, "clone") else features.copy()
                return Ticket(number, copied, names, True)
            return Ticket(number, *self._keep_row(features, names))
        except Exception:
            return Ticket(number, None, None)

    def _settle(
        self, ticket: Ticket, prediction: Any, score: Any, prediction_id: Any, latency: Any, about: dict[str, Any]
    ) -> None:
        """Records a reserved prediction, now that it is over."""
        number, features, names, many = ticket
        if many:
            fields = {"prediction": prediction, "score": score, "prediction_id": prediction_id, "latency": latency}
            self._record_many(number, features, {**fields, **about, "feature_names": names})
            return
        item: Any = None
        try:
            if features is not None:
                kept = (keep(prediction), keep(score), prediction_id, latency, keep_about(about) or None)
                item = (number, time_ns(), features, names, *kept)
        except Exception:
            item = None
        self._waiting.append(item)
        self._look(number)

    def _identity(self, ticket: Ticket) -> Any:
        if ticket.many:
            return blocks.Ids(f"{self._prefix}{ticket.number}.", len(ticket.features))
        return f"{self._prefix}{ticket.number}"

    @overload
    def watch(
        self,
        function: _F,
        *,
        features: Callable[..., Any] | None = ...,
        result: Callable[[Any], Mapping[str, Any]] | None = ...,
        **about: Any,
    ) -> _F: ...
    @overload
    def watch(
        self,
        *,
        features: Callable[..., Any] | None = ...,
        result: Callable[[Any], Mapping[str, Any]] | None = ...,
        **about: Any,
    ) -> Callable[[_F], _F]: ...
    def watch(
        self,
        function: Callable[..., Any] | None = None,
        *,
        features: Callable[..., Any] | None = None,
        result: Callable[[Any], Mapping[str, Any]] | None = None,
        **about: Any,
    ) -> Any:
        """Decorates a predict function, sync or async: every call is recorded with its latency and its exception.

        features: given the call's arguments, returns the features; default: the first argument that is not self or cls.
        result: given what the function returned, returns arguments of `record`; default: it is the prediction itself.
        """
        decorate = functools.partial(watched, self, features=features, result=result, about=about)
        return decorate if function is None else decorate(function)

    def flush(self, timeout: float = 2.0) -> bool:
        """Waits up to `timeout` seconds until all recorded so far was answered or dropped; whether it was. Blocks."""
        return not self._enabled or self._sender.flush(timeout)

    def close(self, timeout: float = _EXIT_SECONDS) -> None:
        """Sends what waits, for at most `timeout` seconds, and ends. What is recorded afterwards is dropped_failed."""
        self._sender.close(timeout)

    def stats(self) -> Stats:
        """Counts since this process began to record."""
        return self._sender.stats()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nothing() -> None:
    """What a disabled recorder does."""


_live: weakref.WeakSet[Recorder] = weakref.WeakSet()
_abandoned: list[Any] = []


@functools.lru_cache(maxsize=1)
def _watch_process() -> None:
    """Asks to be told of forks and of the end; once, when the first recorder is made."""
    atexit.register(_close_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_renew_all)


def _renew_all() -> None:
    for recorder in list(_live):
        _abandoned.append(recorder._sender.abandon())
        recorder._renew()


def _close_all() -> None:
    deadline = clock.monotonic() + _EXIT_SECONDS
    recorders = list(_live)
    for recorder in recorders:
        recorder._sender.begin_close()
    for recorder in recorders:
        recorder.close(max(0.0, deadline - clock.monotonic()))
