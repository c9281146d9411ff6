"""Predictions and labels as lines of JSON, with what must not leave left out or hashed: nothing else is ever held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agent.config import Settings
from agent.counting.fingerprints import Hashes
from agent.errors import ConfigurationError
from agent.records import PRESENT, Batch, Columns, Flags, Ints, Numbers, Pairs, Texts, Vectors, select

PREDICTION = "prediction"
DIGEST_BYTES = 8  # of a keyed hash: 16 hex digits
FEATURE, OUTPUT, SEGMENT, PROTECTED, MEASURE = "feature", "output", "segment", "protected", "measure"


@dataclass(frozen=True)
class Discretion:
    """What is left out, and what is hashed with which key. Protected attributes are left out unless `named`."""

    redacted: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    protected: frozenset[str] = frozenset()  # features that the reference protects, and SIDELIGHT_FAIRNESS names
    key: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, settings: Settings, protected: Sequence[str] = ()) -> Discretion:
        """Raises OSError where the key's file cannot be read, ConfigurationError where there is none in it."""
        key = capture_key(settings)
        if settings.capture_hash and not key:
            raise ConfigurationError("SIDELIGHT_CAPTURE_KEY_FILE", settings.capture_key_file, "a file with a key in it")
        return cls(
            frozenset(settings.capture_redact), frozenset(settings.capture_hash), frozenset(settings.capture_protected),
            frozenset((*protected, *settings.fairness)), key,
        )  # fmt: skip

    def tells(self, kind: str, name: str) -> bool:
        """Whether anything of it may be written."""
        known = names_of(kind, name)
        if known & self.redacted:
            return False
        return name in self.named or not (kind == PROTECTED or known & self.protected)

    def of_column(self, kind: str, name: str) -> Callable[[Any], Any] | None:
        """What becomes of each value of a column; None: nothing."""
        return self.hash if names_of(kind, name) & self.hashed else None

    def beside(self, protected: Iterable[str]) -> Discretion:
        """With what a sender protects: a feature or segment of that name says the same."""
        further = frozenset(protected) - self.protected
        return replace(self, protected=self.protected | further) if further else self

    def hash(self, value: Any) -> str:
        """BLAKE2b with the key, of the value's text (RFC 7693): the same value has the same hash under one key."""
        text = value if isinstance(value, str) else json.dumps(value)
        return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES, key=self.key).hexdigest()


def names_of(kind: str, name: str) -> frozenset[str]:
    """What a user may call a column: a score of a class is a score, an output's prediction is that output.

    >>> sorted(names_of("output", "price.score:high")), sorted(names_of("feature", "a.b"))
    (['price', 'price.score', 'price.score:high', 'score', 'score:high'], ['a.b'])
    """
    if kind != OUTPUT:
        return frozenset((name,))
    output, _, own = name.rpartition(".")
    return frozenset((name, own, *(part.partition(":")[0] for part in (name, own)), *((output,) if output else ())))


def capture_key(settings: Settings) -> bytes:
    """At most 64 bytes, as BLAKE2b takes them: of a longer secret its digest."""
    if settings.capture_key_file:
        with open(settings.capture_key_file, encoding="utf-8") as file:
            secret = file.read().strip()
    else:
        secret = settings.capture_key.get_secret_value()
    return hashlib.blake2b(secret.encode()).digest() if secret else b""


def sampled_by(ids: Hashes | None, requests: Hashes | None) -> Hashes | None:
    """The hash by which a row is kept or not, as where predictions wait for their labels: of the request, which all
    versions share, or else of the prediction. None: rows that nothing can find again."""
    if requests is None:
        return ids
    return requests if ids is None else np.where(requests != 0, requests, ids)


def row_ids(ids: Hashes | None, requests: Hashes | None) -> Hashes | None:
    """The hash by which a row finds its label: of the prediction, or else of the request."""
    return sampled_by(requests, ids)


def lines(batch: Batch, chosen: Ints, grown: Sequence[bool], discretion: Discretion) -> list[bytes]:
    """One line of JSON a chosen row. grown: whether a finding is behind it."""
    some, discretion = select(batch, chosen), discretion.beside(batch.protected)
    ids = row_ids(some.ids, some.request_ids)
    assert ids is not None  # noqa: S101 - else there was nothing to choose by
    columns: dict[str, list[Any]] = {}
    for kind, held in (
        (FEATURE, batch_columns(some.features)),
        (OUTPUT, batch_columns(some.outputs)),
        (SEGMENT, some.segments.items()),
        (PROTECTED, some.protected.items()),
        (MEASURE, some.measures.items()),
    ):
        for name, column in held:
            if discretion.tells(kind, name):
                _take(columns, f"{kind}.{name}", column, discretion.of_column(kind, name))
    times = [batch.arrived_ns] * some.rows if some.time_ns is None else some.time_ns.tolist()
    weights = [1.0] * some.rows if some.weights is None else some.weights.tolist()
    latency = [None] * some.rows if some.latency is None else _known(some.latency.tolist())
    errors = [False] * some.rows if some.errors is None else some.errors.tolist()
    found = []
    for i, own in enumerate(ids.tolist()):
        values = {name: column[i] for name, column in columns.items() if column[i] is not None}
        row = [f"{own:016x}", times[i], weights[i], bool(grown[i]), latency[i], errors[i], values]
        found.append(json.dumps(row, separators=(",", ":")).encode())
    return found


def batch_columns(columns: Columns) -> list[tuple[str, Any]]:
    """All of them; a name that stands in two types stands here twice."""
    return [*columns.numbers.items(), *columns.texts.items(), *columns.flags.items(), *columns.vectors.items()]


def _take(columns: dict[str, list[Any]], name: str, column: Any, change: Callable[[Any], Any] | None) -> None:
    values = _values(column)
    if change is not None:
        values = [None if value is None else change(value) for value in values]
    known = columns.get(name)
    columns[name] = values if known is None else [a if b is None else b for a, b in zip(known, values, strict=True)]


def _values(column: Numbers | Texts | Flags | Vectors) -> list[Any]:
    if isinstance(column, Texts):
        values: list[Any] = [column.dictionary[code] for code in column.codes.tolist()] if column.dictionary else []
        values = values or [None] * len(column.codes)
    else:
        values = column.values.tolist()
    if column.state is None:
        return values
    return [value if state == PRESENT else None for value, state in zip(values, column.state.tolist(), strict=True)]


def _known(values: list[float]) -> list[float | None]:
    return [value if value == value else None for value in values]


def label_lines(pairs: Pairs, chosen: Ints, boosted: Sequence[bool], discretion: Discretion) -> list[bytes]:
    """One line of JSON a chosen pair: the truth, and what was predicted where that may be written."""
    tells = discretion.tells(OUTPUT, PREDICTION) and discretion.of_column(OUTPUT, PREDICTION) is None
    ids = row_ids(pairs.ids, pairs.request_ids)
    assert ids is not None  # noqa: S101 - both are always there
    found = []
    for i, more in zip(chosen.tolist(), boosted, strict=True):
        row = [
            f"{int(ids[i]):016x}", int(pairs.time_ns[i]), int(pairs.label_ns[i]), float(pairs.weights[i]),
            _number(pairs.actual[i]), _text(pairs.classes, pairs.actual_class[i]),
            _number(pairs.predicted[i]) if tells else None,
            _text(pairs.classes, pairs.predicted_class[i]) if tells else None,
            0 if pairs.position is None else int(pairs.position[i]),
            more,
        ]  # fmt: skip
        found.append(json.dumps(row, separators=(",", ":")).encode())
    return found


def _number(value: Any) -> float | None:
    return float(value) if value == value else None


def _text(texts: Sequence[str], place: Any) -> str | None:
    return texts[int(place)] if place >= 0 else None
