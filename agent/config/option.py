"""What an option is: a field of a settings class, read from the environment, refused by name, shown to people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode

from agent.errors import ConfigurationError

Names = Annotated[tuple[str, ...], NoDecode]
G = TypeVar("G", bound=BaseSettings)


def option(default: Any, about: str, unit: str = "", **limits: Any) -> Any:
    return Field(default=default, description=about, json_schema_extra={"unit": unit}, **limits)


def names(text: str) -> tuple[str, ...]:
    """A comma separated list, each name once: a key that is given twice must not count twice."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@dataclass(frozen=True, slots=True)
class Option:
    """One option as `sidelight config` and the documentation show it. origin: "environment" or "default"."""

    variable: str
    value: str
    default: str
    unit: str
    origin: str
    about: str


def read(group: type[G]) -> G:
    """The group from the environment. Raises ConfigurationError for the first wrong value."""
    try:
        return group()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        variable = f"{group.model_config['env_prefix']}{name}".upper()
        field = group.model_fields.get(name)
        shown = "(hidden)" if field is not None and field.annotation is SecretStr else first["input"]
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise ConfigurationError(variable, shown, message) from None


def options(*groups: BaseSettings) -> list[Option]:
    """Every option of these groups, in the order they are written."""
    found = []
    for group in groups:
        prefix = group.model_config["env_prefix"]
        for name, field in type(group).model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            octal = extra.get("unit") == "octal"
            variable = f"{prefix}{name}".upper()
            found.append(
                Option(
                    variable=variable,
                    value=_show(getattr(group, name), octal),
                    default=_show(field.default, octal),
                    unit="" if octal else str(extra.get("unit", "")),
                    origin="environment" if os.environ.get(variable) else "default",
                    about=field.description or "",
                )
            )
    return found


def _show(value: object, octal: bool) -> str:
    if octal and isinstance(value, int):
        return f"{value:04o}"
    if isinstance(value, tuple):
        return ",".join(str(v) for v in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
