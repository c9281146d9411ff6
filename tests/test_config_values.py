"""Texts of the environment become values of an option's type, or are refused with what was expected."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any, ClassVar, Literal

import pytest

from agent.config.option import Options, option
from agent.config.values import Secret, read
from agent.errors import ConfigurationError

OPTIONAL: Any = int | None


class Group(Options):
    """Some options of every kind."""

    prefix: ClassVar[str] = "TRIED_"
    rows: int = option(5, "Rows.", ge=1, lt=100)
    share: float = option(0.5, "A share.", gt=0, le=1)
    limit: float | None = option(None, "A limit.", ge=2)
    key: Secret = option(Secret(""), "A key.")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "10", 10), (int, " 1000 ", 1000), (int, "1e3", 1000), (int, "-3", -3), (int, "10.0", 10), (int, 10.0, 10),
        (float, "0.5", 0.5), (float, "1e3", 1000.0), (float, 60, 60.0),
        (bool, "true", True), (bool, "ON", True), (bool, "0", False), (bool, False, False), (bool, "No", False),
        (str, " as it is ", " as it is "),
        (OPTIONAL, "7", 7), (OPTIONAL, None, None),
        (Literal["a", "b"], "b", "b"),
        (tuple[str, ...], ["a", "b"], ("a", "b")),
        (Secret, "s", Secret("s")), (Secret, Secret("s"), Secret("s")),
    ],
)  # fmt: skip
def test_what_is_taken(kind: Any, text: object, value: object) -> None:
    """As text or, from code, as what it is; a whole float is a whole number."""
    found = read(text, kind, {})
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (int, "many", "a whole number"), (int, "1.5", "a whole number"), (int, "", "a whole number"),
        (int, math.inf, "a whole number"), (int, "\u0663", "a whole number"),
        (float, "x", "a number"), (float, None, "a number"),
        (float, "nan", "a number"), (float, "-inf", "a number"),
        (bool, "maybe", "true or false"), (bool, 2, "true or false"),
        (str, 5, "a text"), (Secret, 5, "a text"),
        (OPTIONAL, "x", "a whole number"),
        (Literal["a", "b", "c"], "d", "'a', 'b' or 'c'"),
        (tuple[str, ...], "a,b", "a list"), (tuple[str, ...], (1,), "a list"),
    ],
)  # fmt: skip
def test_what_is_refused(kind: Any, text: object, expected: str) -> None:
    """With what was expected in its place."""
    with pytest.raises(ValueError, match=expected):
        read(text, kind, {})


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [
        ("0", {"ge": 1, "lt": 100}, "a number, at least 1 and below 100"), (0.0, {"gt": 0}, "above 0"),
        ("61", {"le": 60}, "at most 60"), (1.0, {"lt": 1}, "below 1"), (-1e-9, {"ge": 0, "le": 1}, "at least 0"),
    ],
)  # fmt: skip
def test_limits_are_named(value: object, limits: dict[str, float], words: str) -> None:
    """All of them, whichever it broke."""
    with pytest.raises(ValueError, match=words):
        read(value, float, limits)


@pytest.mark.parametrize("value", [1, "60", None])
def test_limits_hold_at_themselves(value: object) -> None:
    """What is unset lies nowhere."""
    assert read(value, OPTIONAL, {"ge": 1, "le": 60}) in (1, 60, None)


def test_code_goes_before_the_environment_and_it_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any case of letters; an empty variable is none; what no option is called is not looked at."""
    monkeypatch.setenv("tried_rows", "7")
    monkeypatch.setenv("TRIED_SHARE", "")
    monkeypatch.setenv("TRIED_LIMIT", "9")
    found = Group(limit=3.0)
    assert (found.rows, found.share, found.limit) == (7, 0.5, 3.0)
    assert Group.of({"rows": 8}, {}) == Group.of({"rows": "8", "unheard_of": 1}, {})
    assert Group.of({}, {}).rows == 5


def test_the_first_wrong_value_is_named_and_a_secret_is_not_shown() -> None:
    """In the order they are written, wherever it came from."""
    with pytest.raises(ConfigurationError) as caught:
        Group.of({"share": "x"}, {"TRIED_ROWS": "100"})
    assert (caught.value.variable, caught.value.value) == ("TRIED_ROWS", "100")
    with pytest.raises(ConfigurationError) as caught:
        Group.of({"key": 12345})
    assert "12345" not in str(caught.value)


def test_a_secret_is_shown_nowhere() -> None:
    """Not in text, nor in what a debugger or a log prints of it; whether there is one may be seen."""
    assert "hunter2" not in f"{Secret('hunter2')} {Secret('hunter2')!r} {[Secret('hunter2')]}"
    assert (str(Secret("")), str(Secret("x"))) == ("", "**********")


def test_options_do_not_change_and_survive_being_carried() -> None:
    """To another process, or as a copy."""
    found = Group.of({"rows": 9, "key": "k"}, {})
    with pytest.raises(AttributeError, match="rows"):
        found.rows = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(found)) == found == copy.deepcopy(found)
