"""Work in steps, between which the loop takes records, and what comes of it when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, TypeVar

TURNS = 4  # of the loop between two steps: a call needs one to arrive, one to be answered, and more to begin and end
T = TypeVar("T")


async def give_way() -> None:
    """Lets records have the loop. In a single turn a call that waits gets one step of its own, and then the next step
    of the work is run before its second one."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def sliced(work: Generator[object, None, T]) -> Generator[list[Any], None, T]:
    """The work's result, with a slice without findings, an empty list, for each of its steps."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
        yield []


def finished(work: Generator[object, None, T]) -> T:
    """The work's result, all steps at once; what they yield is nobody's.

    >>> def sums(n):
    ...     yield
    ...     return n + n
    >>> finished(sums(2))
    4
    """
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
