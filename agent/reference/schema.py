"""The schema file: what a person knows of the features and the data cannot say. TOML, written by the first build."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent.errors import UnusableReferenceError
from agent.records import Kind, Source

TASKS = {"binary": 1, "multiclass": 2, "regression": 3, "ranking": 4, "other": 5}  # as in reference.proto
TYPES = {"number": Kind.NUMBER, "text": Kind.TEXT, "flag": Kind.FLAG, "vector": Kind.VECTOR}
_INFINITE = float("inf")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
OUTPUTS = {"prediction": Source.PREDICTION, "score": Source.SCORE}
# The fields of one feature, and the types that may have them; None: any.
FIELDS: Mapping[str, tuple[Kind, ...] | None] = {
    "type": None, "public": None, "critical": None, "ignored": None, "integral": None,
    "edges": (Kind.NUMBER,), "categories": (Kind.TEXT,),
    "required": None, "never_null": None, "max_missing": None,
    "whole": (Kind.NUMBER,), "range": (Kind.NUMBER,),
    "allowed": (Kind.TEXT,), "closed": (Kind.TEXT,), "max_new": (Kind.TEXT,),
}  # fmt: skip
DEMANDS = ("required", "never_null", "max_missing", "whole", "range", "allowed", "closed", "max_new")


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """What is said of one feature; None: the data decides.

    From `required` on: what is demanded of it, as in `bins.Rules`. range: possible values, bounds included, infinite
    for none; allowed: the only categories there may be; closed: none but the reference's.
    """

    kind: Kind | None = None
    public: bool = False
    critical: bool = False
    ignored: bool = False
    integral: bool | None = None
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    required: bool = False
    never_null: bool = False
    whole: bool = False
    range: tuple[float, float] | None = None
    allowed: tuple[str, ...] = ()
    closed: bool | None = None
    max_missing: float = 1.0
    max_new: float = 1.0


@dataclass(frozen=True, slots=True)
class Schema:
    """What is said of a model. `features` by (source, name); window_seconds 0, task 0, "" or (): nothing is said."""

    features: Mapping[tuple[Source, str], FeatureSchema] = field(default_factory=dict)
    task: int = 0
    positive_label: str = ""
    window_seconds: float = 0.0
    segments: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    file: str = ""
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def of(self, source: Source, name: str) -> FeatureSchema:
        return self.features.get((source, name), FeatureSchema())

    def of_value(self, source: Source, name: str) -> FeatureSchema | None:
        """What is said of a value as traffic names it: [score] goes for `score:CLASS`, too. None: nothing."""
        return self.features.get((source, name.partition(":")[0] if source is Source.SCORE else name))

    def path(self, source: Source, name: str) -> tuple[str, ...]:
        """Where a value's table stands in the file."""
        return ("features", name) if source is Source.FEATURE else (name.partition(":")[0],)

    def where(self, *path: str) -> str:
        """`file:line` of a key or table, or of the nearest one around it."""
        return _where(self.file, self.lines, path)


def duration_seconds(text: str) -> float:
    """Seconds of `3600`, `90s`, `15m`, `1h`, `1d`. Raises ValueError for anything else, zero and less included."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", text)
    seconds = float(match[1]) * UNITS[match[2] or "s"] if match else 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{text!r}: expected a duration such as 3600, 15m, 1h or 1d")
    return seconds


def duration_text(seconds: float) -> str:
    """The shortest form that `duration_seconds` reads back."""
    for unit, size in reversed(UNITS.items()):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds!r}s"


def load(path: str | Path) -> Schema:
    """Reads a schema file. Raises UnusableReferenceError with file, line, field and what was expected."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # an editor's mark at the beginning is no mistake
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableReferenceError(f"{path}: {getattr(error, 'strerror', None) or 'expected UTF-8 text'}") from error
    return parse(text, str(path))


def parse(text: str, file: str = "schema") -> Schema:
    """The schema in a TOML text; `file` stands in messages."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnusableReferenceError(_not_toml(file, str(error), len(text.splitlines()))) from error
    reader = _Reader(file, _lines(text))
    reader.only((), document, {"task", "positive_label", "window", "segments", "protected", "features", *OUTPUTS})
    features: dict[tuple[Source, str], FeatureSchema] = {}
    for name, source in OUTPUTS.items():
        if name in document:
            features[source, name] = reader.feature((name,), document[name])
    named = document.get("features", {})
    if not isinstance(named, dict):
        raise reader.error(("features",), "tables such as [features.age]", named)
    for name, table in named.items():
        features[Source.FEATURE, name] = reader.feature(("features", name), table)
    protected = reader.texts(("protected",), document.get("protected", []))
    for name in protected:
        reader.unwatched(("features", name), named.get(name, {}))
    return Schema(
        features=features,
        task=TASKS.get(reader.choice(("task",), document.get("task", ""), TASKS), 0),
        positive_label=reader.text(("positive_label",), document.get("positive_label", "")),
        window_seconds=reader.duration(("window",), document.get("window", "")),
        segments=reader.texts(("segments",), document.get("segments", [])),
        protected=protected,
        file=file,
        lines=reader.lines,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks one value at a time; every complaint says where."""

    file: str
    lines: Mapping[tuple[str, ...], int]

    def error(self, path: tuple[str, ...], expected: str, found: object) -> UnusableReferenceError:
        shown = json.dumps(found, default=str)[:60]
        return UnusableReferenceError(
            f"{_where(self.file, self.lines, path)}: {'.'.join(path)}: expected {expected}, found {shown}"
        )

    def only(self, path: tuple[str, ...], table: Mapping[str, Any], known: set[str]) -> None:
        for key in table:
            if key not in known:
                place = _where(self.file, self.lines, (*path, key))
                raise UnusableReferenceError(
                    f"{place}: {'.'.join((*path, key))}: no such field, expected one of {', '.join(sorted(known))}"
                )

    def feature(self, path: tuple[str, ...], table: Any) -> FeatureSchema:
        if not isinstance(table, dict):
            raise self.error(path, 'a table, such as {type = "number"}', table)
        self.only(path, table, set(FIELDS))
        kind = TYPES.get(self.choice((*path, "type"), table.get("type", ""), TYPES)) or _kind_by_fields(table)
        self.fitting(path, table, kind)
        return FeatureSchema(
            kind=kind,
            public=self.flag((*path, "public"), table.get("public", False)),
            critical=self.flag((*path, "critical"), table.get("critical", False)),
            ignored=self.flag((*path, "ignored"), table.get("ignored", False)),
            integral=self.flag((*path, "integral"), table["integral"]) if "integral" in table else None,
            edges=self.edges((*path, "edges"), table.get("edges", [])),
            categories=self.texts((*path, "categories"), table.get("categories", [])),
            required=self.flag((*path, "required"), table.get("required", False)),
            never_null=self.flag((*path, "never_null"), table.get("never_null", False)),
            whole=self.flag((*path, "whole"), table.get("whole", False)),
            range=self.range((*path, "range"), table["range"]) if "range" in table else None,
            allowed=self.texts((*path, "allowed"), table.get("allowed", [])),
            closed=self.flag((*path, "closed"), table["closed"]) if "closed" in table else None,
            max_missing=self.share((*path, "max_missing"), table.get("max_missing", 1.0)),
            max_new=self.share((*path, "max_new"), table.get("max_new", 1.0)),
        )

    def fitting(self, path: tuple[str, ...], table: Mapping[str, Any], kind: Kind | None) -> None:
        """Fields that do not go with the type, or with each other."""
        for name, kinds in FIELDS.items():
            if name in table and kinds is not None and kind is not None and kind not in kinds:
                wanted = kinds[0].name.lower()
                raise self.error((*path, name), f"{name} only where type is {wanted}", kind.name.lower())
        demanded = next((name for name in DEMANDS if name in table), None)
        if table.get("ignored") is True and demanded is not None:
            raise self.error((*path, demanded), "no demand where ignored is true", table[demanded])
        if table.get("whole") is True and table.get("integral") is False:
            raise self.error((*path, "integral"), "true or nothing where whole is true", False)
        for one, other in (("allowed", "categories"), ("allowed", "max_new"), ("closed", "max_new")):
            if one in table and other in table:
                raise self.error((*path, other), f"{one} or {other}, not both", table[other])
        if table.get("allowed") and table.get("closed") is False:
            raise self.error((*path, "closed"), "true or nothing where categories are allowed one by one", False)

    def unwatched(self, path: tuple[str, ...], table: Mapping[str, Any]) -> None:
        """A demand on what is no feature would hold for nothing, and nobody would know."""
        demanded = next((name for name in DEMANDS if name in table), None)
        if demanded is not None:
            raise self.error((*path, demanded), "no demand on what is protected: it is no feature", table[demanded])

    def flag(self, path: tuple[str, ...], value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.error(path, "true or false", value)
        return value

    def text(self, path: tuple[str, ...], value: Any) -> str:
        if not isinstance(value, str):
            raise self.error(path, "a text in quotes", value)
        return value

    def choice(self, path: tuple[str, ...], value: Any, choices: Mapping[str, Any]) -> str:
        if value != "" and (not isinstance(value, str) or value not in choices):
            raise self.error(path, f"one of {', '.join(choices)}", value)
        return str(value)

    def duration(self, path: tuple[str, ...], value: Any) -> float:
        if value == "":
            return 0.0
        try:
            return duration_seconds("" if isinstance(value, bool) else str(value))
        except ValueError:
            raise self.error(path, "a duration such as 3600, 15m, 1h or 1d", value) from None

    def texts(self, path: tuple[str, ...], value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(path, "a list of texts", value)
        if len(set(value)) != len(value):
            raise self.error(path, "each text once", value)
        return tuple(value)

    def edges(self, path: tuple[str, ...], value: Any) -> tuple[float, ...]:
        if value == []:
            return ()
        found = _numbers(value)
        rising = all(a < b for a, b in pairwise(found))
        if len(found) < 2 or not rising or not all(abs(v) < _INFINITE for v in found):
            raise self.error(path, "at least two finite numbers that rise", value)
        return found

    def range(self, path: tuple[str, ...], value: Any) -> tuple[float, float]:
        found = _numbers(value)
        if len(found) != 2 or not found[0] <= found[1] or found[0] == _INFINITE or found[1] == -_INFINITE:
            raise self.error(path, "[low, high], numbers that do not fall (-inf, inf: no bound)", value)
        return found[0], found[1]

    def share(self, path: tuple[str, ...], value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise self.error(path, "a share from 0 to 1", value)
        return float(value)


def _not_toml(file: str, error: str, lines: int) -> str:
    """lines: how many the file has, since the parser does not say where a document ends.

    >>> _not_toml("own.toml", "Cannot overwrite a value (at line 3, column 12)", 5)
    'own.toml:3: not TOML: Cannot overwrite a value (at line 3, column 12)'
    """
    where = re.search(r"at line (\d+)", error)
    return f"{file}:{where[1] if where else lines}: not TOML: {error}"


def _numbers(value: Any) -> tuple[float, ...]:
    """A list of numbers; empty for anything else, and for whole numbers that no double can hold."""
    if not isinstance(value, list) or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return ()
    try:
        return tuple(float(v) for v in value)
    except OverflowError:
        return ()


def _kind_by_fields(table: Mapping[str, Any]) -> Kind | None:
    """The type that a field needs, where none is said."""
    said = {name for name, value in table.items() if value is not False and value != []}  # a share of 0 says much
    return next((kinds[0] for name, kinds in FIELDS.items() if kinds is not None and name in said), None)


def _where(file: str, lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return f"{file}:{lines[path[:length]]}"
    return file


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each table and key, as far as a line by itself tells: the parser keeps none."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if content.startswith("["):
            table = _key_path(content) or table
            found.setdefault(table, number)
        elif match := re.match(r'("(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_.-]+|[^=\[\]{}]+?)\s*=', content):
            found.setdefault((*table, *_key_path(f"[{match[1]}]")), number)
    return found


def _key_path(header: str) -> tuple[str, ...]:
    try:
        document: Any = tomllib.loads(header)
    except tomllib.TOMLDecodeError:
        return ()
    path = []
    while isinstance(document, dict) and document:
        path.append(next(iter(document)))
        document = document[path[-1]]
    return tuple(path)
