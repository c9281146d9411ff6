"""Predictions that time themselves: a context manager and a decorator, for plain and for async functions."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sidelight.recorder import Recorder


class Ticket(NamedTuple):
    """A prediction's place, taken before it is made."""

    number: int
    features: Any  # ours; None where they could not be kept
    names: Any
    many: bool = False


class Prediction:
    """One prediction being made. On leaving, it is recorded with its latency; an exception goes on to the caller.

    id: the prediction's id, known at once. prediction, score: set them when they are known. about: any other argument
    of `Recorder.record`, to be filled until the end.
    """

    def __init__(self, recorder: Recorder, features: Any, about: dict[str, Any]) -> None:
        self._recorder, self._features, self._start = recorder, features, time.perf_counter()
        self.prediction = about.pop("prediction", None)
        self.score = about.pop("score", None)
        self._latency = about.pop("latency", None)
        given = about.pop("prediction_id", None)
        self.about = about
        self._ticket = recorder._reserve(features, about.pop("feature_names", None))
        self.id = recorder._identity(self._ticket) if given is None else given
        self._given = given

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a step of the prediction: `with p.stage("preprocess"): ...`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            stages = self.about.setdefault("stages", {})
            stages[name] = (start - self._start, time.perf_counter() - start)

    def __enter__(self) -> Prediction:
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        latency = time.perf_counter() - self._start if self._latency is None else self._latency
        if kind is not None:
            late = issubclass(kind, (TimeoutError, asyncio.TimeoutError))
            self.about.setdefault("status", "timeout" if late else "error")
            self.about.setdefault("error_type", kind.__name__)
        self._recorder._settle(self._ticket, self.prediction, self.score, self._given, latency, self.about)

    async def __aenter__(self) -> Prediction:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def watched(
    recorder: Recorder,
    function: Callable[..., Any],
    *,
    features: Callable[..., Any] | None,
    result: Callable[[Any], Mapping[str, Any]] | None,
    about: Mapping[str, Any],
) -> Callable[..., Any]:
    """The function, recorded. Whatever `features` and `result` raise costs the record, never the call."""
    read = features or _first_argument(function)

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prediction:
        try:
            return Prediction(recorder, read(*args, **kwargs), dict(about))
        except Exception:
            return Prediction(recorder, _UNREADABLE, dict(about))

    def end(prediction: Prediction, answer: Any) -> None:
        try:
            found = {"prediction": answer} if result is None else dict(result(answer))
            prediction.prediction, prediction.score = found.pop("prediction", None), found.pop("score", None)
            prediction.about.update(found)
        except Exception:
            prediction.about["unreadable"] = True  # no such argument: the record counts as dropped_invalid

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with begin(args, kwargs) as prediction:
                answer = await function(*args, **kwargs)
                end(prediction, answer)
            return answer

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as prediction:
            answer = function(*args, **kwargs)
            end(prediction, answer)
        return answer

    return call


class _Unreadable:
    """Features that could not be read from the call: nothing can be kept of them."""

    __slots__ = ()


_UNREADABLE = _Unreadable()


def _first_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some functions written in C have none
        names = []
    place = 1 if names[:1] in (["self"], ["cls"]) else 0
    name = names[place] if len(names) > place else ""

    def read(*args: Any, **kwargs: Any) -> Any:
        return args[place] if len(args) > place else kwargs.get(name)

    return read
