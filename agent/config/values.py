"""Texts of the environment as an option's type: what is taken, and how what is not is refused."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
SWITCHES = dict.fromkeys(("yes", "y", "t", "on"), "true") | dict.fromkeys(("no", "n", "f", "off"), "false")


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


def read(value: object, annotation: Any, limits: Mapping[str, Any]) -> Any:
    """A value of this type, made of a text or given in code. Raises ValueError with what was expected.

    >>> read("10", int, {"ge": 1}), read("on", bool, {}), read(None, float | None, {"gt": 0})
    (10, True, None)
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else read(value, next(part for part in parts if part is not type(None)), limits)
    if annotation is Secret:
        return value if isinstance(value, Secret) else Secret(read(value, str, limits))
    if isinstance(value, str) and annotation in (int, float, bool):
        value = value.strip().lower()
        value = SWITCHES.get(value, value) if annotation is bool else value
    wanted = Annotated[annotation, msgspec.Meta(**limits)] if limits else annotation
    try:
        found = msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError:
        raise ValueError(_expected(annotation, limits)) from None
    if annotation is float and not math.isfinite(found):
        raise ValueError(_expected(annotation, limits))
    return found


def _expected(annotation: Any, limits: Mapping[str, Any]) -> str:
    if typing.get_origin(annotation) is Literal:
        *others, last = map(repr, typing.get_args(annotation))
        return f"{', '.join(others)} or {last}"
    bounds = " and ".join(f"{LIMITS[name]} {limit:,.12g}" for name, limit in limits.items())
    return f"{WORDS.get(annotation, 'a list')}{bounds and f', {bounds}'}"
