"""Texts of the environment as an option's type: what is taken, and how what is not is refused."""

from __future__ import annotations

import math
import operator
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

YES, NO = frozenset(("1", "true", "t", "yes", "y", "on")), frozenset(("0", "false", "f", "no", "n", "off"))
LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "ge": (operator.ge, "greater than or equal to"),
    "gt": (operator.gt, "greater than"),
    "le": (operator.le, "less than or equal to"),
    "lt": (operator.lt, "less than"),
}


class Secret:
    """A text that is shown to nobody.

    >>> Secret("hunter2"), str(Secret("hunter2")), str(Secret(""))
    (Secret(**********), '**********', '')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Secret({self})"

    def __str__(self) -> str:
        return "**********" if self._text else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some texts."""

    texts: tuple[str, ...]

    def __call__(self, value: object) -> str:
        if value not in self.texts:
            *others, last = map(repr, self.texts)
            raise ValueError(f"{', '.join(others)} or {last}")
        return str(value)


def reader(annotation: Any) -> Callable[[Any], Any]:
    """What makes a value of this type of a text, or takes one that is given in code; raises ValueError with what was
    expected."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = reader(next(one for one in typing.get_args(annotation) if one is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return Choice(typing.get_args(annotation))
    if origin is tuple:
        return _tuple(typing.get_args(annotation)[0])
    return _READERS[annotation]


def within(value: Any, limits: Mapping[str, float]) -> None:
    """Raises ValueError where it lies outside; None lies nowhere."""
    for name, limit in limits.items():
        holds, words = LIMITS[name]
        if value is not None and not holds(value, limit):
            raise ValueError(f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a valid string")
    return value


def _whole(value: object) -> int:
    """Also 10.0 is a whole number."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+(_\d+)*(\.0*)?\s*", value, re.ASCII):
        return int(value.partition(".")[0])
    if isinstance(value, int | float) and math.isfinite(value) and value == int(value):
        return int(value)
    raise ValueError("a valid integer, unable to parse string as an integer")


def _number(value: object) -> float:
    try:
        found = float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("a valid number, unable to parse string as a number")
    if not math.isfinite(found):
        raise ValueError("a finite number")
    return found


def _switch(value: object) -> bool:
    text = str(value).lower()
    if text not in YES | NO:
        raise ValueError("a valid boolean: true or false")
    return text in YES


def _secret(value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret(_text(value))


def _tuple(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(one, kind) for one in value):
            raise ValueError("a list")
        return tuple(value)

    return read


_READERS: dict[Any, Callable[[Any], Any]] = {str: _text, int: _whole, float: _number, bool: _switch, Secret: _secret}
