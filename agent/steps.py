"""Work in steps, between which the loop takes records: what comes of it when nobody waits."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


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
