"""What an option is: a field of a group of options, read from the environment, refused by name, shown to people."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, dataclass_transform

from agent.config.values import Secret, read
from agent.errors import ConfigurationError

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """limits: by ge, gt, le and lt. kind: what its annotation says it is."""

    default: Any
    about: str
    unit: str
    limits: Mapping[str, float]
    kind: Any = None


@dataclass(frozen=True, slots=True)
class Check:
    """What some options are put through beside their type. before: given the text, and not the value made of it."""

    names: tuple[str, ...]
    before: bool
    work: Callable[[Any], Any]


def option(default: Any, about: str, unit: str = "", **limits: float) -> Any:
    return Field(default, about, unit, limits)


def checked(*names: str, before: bool = False) -> Callable[[Callable[[Any], Any]], Check]:
    """Marks a static method that returns the value to take, or raises ValueError with what was expected."""
    return lambda work: Check(names, before, work)


def names(text: str) -> tuple[str, ...]:
    """A comma separated list, each name once: a key that is given twice must not count twice."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Options:
    """A group of options, none of which changes. What is not given stands in the environment, as `prefix` and the
    option's name, in any case; an empty variable is none. Raises ConfigurationError for the first wrong value."""

    prefix: ClassVar[str]
    fields: ClassVar[dict[str, Field]]
    checks: ClassVar[tuple[Check, ...]]

    def __init_subclass__(cls) -> None:
        kinds, own = typing.get_type_hints(cls), list(vars(cls).items())
        cls.checks = tuple(found for _, found in own if isinstance(found, Check))
        cls.fields = {
            name: Field(found.default, found.about, found.unit, found.limits, kinds[name])
            for name, found in own
            if isinstance(found, Field)
        }
        for name in cls.fields:
            delattr(cls, name)

    def __init__(self, **given: Any) -> None:
        self._fill(given, os.environ)

    @classmethod
    def of(cls, given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Self:
        """As in code, but by their names at run time. environment: None: the process's own."""
        made = cls.__new__(cls)
        made._fill(given, os.environ if environment is None else environment)
        return made

    def _fill(self, given: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        texts = {variable.lower(): text for variable, text in environment.items() if text}
        for name, field in self.fields.items():
            unset = texts.get(f"{self.prefix}{name}".lower(), field.default)
            self.__dict__[name] = self._read(name, field, given.get(name, unset))
        self.check()

    def check(self) -> None:
        """What concerns several options together. Raises ConfigurationError."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name}: options do not change")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # equal by what they hold

    def _read(self, name: str, field: Field, value: Any) -> Any:
        try:
            found = value
            for check in self._checks(name, before=True):
                found = check.work(found)
            found = read(found, field.kind, field.limits)
            for check in self._checks(name, before=False):
                found = check.work(found)
        except ValueError as error:
            shown = "(hidden)" if field.kind is Secret else value
            raise ConfigurationError(f"{self.prefix}{name}".upper(), shown, str(error)) from None
        return found

    def _checks(self, name: str, before: bool) -> Iterator[Check]:
        return (check for check in self.checks if check.before is before and name in check.names)


@dataclass(frozen=True, slots=True)
class Option:
    """One option as `sidelight config` and the documentation show it. origin: "environment" or "default"."""

    variable: str
    value: str
    default: str
    unit: str
    origin: str
    about: str


def options(*groups: Options) -> list[Option]:
    """Every option of these groups, in the order they are written."""
    found = []
    for group in groups:
        for name, field in group.fields.items():
            octal = field.unit == "octal"
            variable = f"{group.prefix}{name}".upper()
            found.append(
                Option(
                    variable=variable,
                    value=_show(getattr(group, name), octal),
                    default=_show(field.default, octal),
                    unit="" if octal else field.unit,
                    origin="environment" if os.environ.get(variable) else "default",
                    about=field.about,
                )
            )
    return found


def _show(value: object, octal: bool) -> str:
    if octal and isinstance(value, int):
        return f"{value:04o}"
    if isinstance(value, tuple):
        return ",".join(str(v) for v in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
