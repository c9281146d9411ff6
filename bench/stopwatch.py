"""Own CPU time of chosen functions while the program runs as it is: a profiler cheap enough to be believed."""

from __future__ import annotations

import functools
import importlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

CALIBRATIONS = 20_000


class Stopwatch:
    """Wraps functions named `module:Class.method`; as a context manager it takes the wrapping off again.

    own_ns: thread CPU of each, without what wrapped functions below it took, and without the wrapping's own cost.
    """

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self._undo: list[tuple[Any, str, Any]] = []
        self._below: list[float] = [0.0]
        self.own_ns: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._inside_ns, self._outside_ns = 0.0, 0.0
        self._calibrate()

    def __enter__(self) -> Stopwatch:
        for name, label in self._names.items():
            module, _, path = name.partition(":")
            owner: Any = importlib.import_module(module)
            *classes, attribute = path.split(".")
            for part in classes:
                owner = getattr(owner, part)
            work = owner.__dict__[attribute]  # AttributeError or KeyError: the table is older than the code
            self._undo.append((owner, attribute, work))
            setattr(owner, attribute, self._wrap(work, label))
        return self

    def __exit__(self, *_: object) -> None:
        while self._undo:
            owner, attribute, work = self._undo.pop()
            setattr(owner, attribute, work)

    def _wrap(self, work: Callable[..., Any], label: str) -> Callable[..., Any]:
        clock, below, own, calls = time.thread_time_ns, self._below, self.own_ns, self.calls

        @functools.wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:
            below.append(0.0)
            began = clock()
            try:
                return work(*arguments, **named)
            finally:
                spent = clock() - began
                inner = below.pop()
                own[label] += spent - inner - self._inside_ns
                below[-1] += spent + self._outside_ns
                calls[label] += 1

        return timed

    def _calibrate(self) -> None:
        """What wrapping costs a call: inside its own two readings, and outside them, in the caller's time."""
        empty = self._wrap(lambda: None, "calibration")
        began = time.thread_time_ns()
        for _ in range(CALIBRATIONS):
            empty()
        whole = (time.thread_time_ns() - began) / CALIBRATIONS
        self._inside_ns = self.own_ns.pop("calibration") / CALIBRATIONS
        self._outside_ns = max(0.0, whole - self._inside_ns)
        self.calls.clear()
        self._below[:] = [0.0]
